# SPDX-License-Identifier: MIT
# timeout: 400
"""kill -9 of the runner, alone and together with jobd: no job has two live instances, every end that nobody saw is reported as lost."""
import sys

import campaign
import faults

sys.exit(campaign.main([(faults.KillRunner, 50, 1000), (faults.KillBoth, 50, 1000)]))
