# SPDX-License-Identifier: MIT
"""No process can be made for a while: jobs wait, and none fails for it."""
import sys

import campaign
import shortages

sys.exit(campaign.main([(shortages.FewProcesses, 10, 200)]))
