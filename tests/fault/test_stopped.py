# SPDX-License-Identifier: MIT
# timeout: 400
"""SIGSTOP of jobd and of the runner, with kills in between: nothing starts twice, and no second runner is started beside a stopped one."""
import sys

import campaign
import faults

sys.exit(campaign.main([(faults.StopJobd, 50, 1000), (faults.StopRunner, 50, 1000)]))
