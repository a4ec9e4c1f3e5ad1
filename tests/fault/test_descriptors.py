# SPDX-License-Identifier: MIT
"""jobd and its runner run out of descriptors while they work, and get them back: nothing is lost, no attempt is spent on it."""
import sys

import campaign
import shortages

sys.exit(campaign.main([(shortages.FewDescriptors, 10, 200), (shortages.FewDescriptorsOfRunner, 10, 200)]))
