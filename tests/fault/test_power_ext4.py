# SPDX-License-Identifier: MIT
# timeout: 300
"""Power cuts, the state on ext4: what was acknowledged or told is there in the next boot, and the database is sound after each cut."""
import sys

import campaign
import power

sys.exit(campaign.main([(power.CutExt4, 100, 5000)], lengths_ms=(0, 0, 5, 30, 100, 300)))
