# SPDX-License-Identifier: MIT
"""SIGSTOP of the runner for longer than jobd has patience: it says that it is degraded and why, starts nothing twice, and goes on."""
import sys

import campaign
import faults
import kit

FAULT = faults.FreezeRunner if kit.SOAK else faults.FreezeRunnerBriefly

sys.exit(campaign.main([(FAULT, 3, 20)]))
