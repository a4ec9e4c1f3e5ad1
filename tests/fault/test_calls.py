# SPDX-License-Identifier: MIT
# timeout: 300
"""Calls that fail, in jobd and in the runner: no crash, no hang, no promise broken; an error of the disk ends jobd, and its next start recovers."""
import sys

import campaign
import inject

sys.exit(campaign.main([(inject.Inject, 300, 10000)]))
