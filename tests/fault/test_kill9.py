# SPDX-License-Identifier: MIT
# timeout: 400
"""kill -9 of jobd at random instants, also while it recovers from the last one: nothing is lost, doubled or out of order.

Clients die as well, and repeat what they were not answered with the same key. See campaign.py.
"""
import sys

import campaign
import faults

sys.exit(campaign.main([(faults.KillJobd, 450, 9000), (faults.KillRecovering, 50, 1000)]))
