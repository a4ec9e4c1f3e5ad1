# SPDX-License-Identifier: MIT
# timeout: 300
"""Another writer fills the tmpfs of the state, 256 KiB to 8 MiB, again and again: jobd answers, refuses by name, and goes on when there is room.

Clients repeat what was refused. In a mount namespace of the test's own.
"""
import sys

import campaign
import shortages

sys.exit(campaign.main([(shortages.FullTmpfs, 10, 200)], a_history=shortages.EPISODES_A_HISTORY))
