# SPDX-License-Identifier: MIT
# timeout: 300
"""Power cuts, the state on xfs: what was acknowledged or told is there in the next boot, and the database is sound after each cut."""
import sys

import campaign
import power

sys.exit(campaign.main([(power.CutXfs, 20, 2000)], lengths_ms=(0, 0, 5, 30, 100, 300)))
