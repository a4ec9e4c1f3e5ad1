# SPDX-License-Identifier: MIT
"""SIGSTOP of the runner for longer than jobd has patience: it says that it is degraded and why, starts nothing twice, and goes on."""
import os
import sys

import campaign
import faults

FAULT = faults.FreezeRunner if os.environ.get("JOBD_SOAK") else faults.FreezeRunnerBriefly

sys.exit(campaign.main([(FAULT, 3, 20)]))
