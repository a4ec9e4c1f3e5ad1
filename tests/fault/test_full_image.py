# SPDX-License-Identifier: MIT
# timeout: 300
"""Another writer fills the ext4 of the state, 6 to 16 MiB, again and again: jobd answers, refuses by name, and goes on when there is room.

Clients repeat what was refused. On a loop image, in a mount namespace of the test's own.
"""
import sys

import campaign
import shortages

sys.exit(campaign.main([(shortages.FullImage, 10, 200)], a_history=shortages.EPISODES_A_HISTORY))
