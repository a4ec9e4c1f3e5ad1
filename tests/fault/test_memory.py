# SPDX-License-Identifier: MIT
"""The kernel kills jobd, or its runner, for want of memory: as a kill -9, from where nobody sent one."""
import sys

import campaign
import shortages

sys.exit(campaign.main([(shortages.OutOfMemoryJobd, 10, 200), (shortages.OutOfMemoryRunner, 10, 200)]))
