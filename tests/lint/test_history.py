#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The judge of the fault tests finds every planted violation and raises no false alarm (a small round of its own self-test)."""
import os
import subprocess
import sys

import tree

rounds = "300" if os.environ.get("JOBD_SOAK") else "30"
sys.exit(subprocess.run([sys.executable, os.path.join(tree.ROOT, "tests", "check_history.py"), "selftest", "--rounds", rounds]).returncode)
