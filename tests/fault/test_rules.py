# SPDX-License-Identifier: MIT
# timeout: 300
"""Delays and errors at places with a name, in jobd and in the runner: no hang, no promise broken."""
import sys

import campaign
import failpoints
import rules

failpoints.use()
sys.exit(campaign.main([(rules.Rules, 40, 5000)]))
