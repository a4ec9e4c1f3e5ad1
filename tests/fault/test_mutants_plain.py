# SPDX-License-Identifier: MIT
# timeout: 1200
"""Without faults the mutants pass the tests of the engine but for those that are directed at the very rule (mutants.DIRECTED): it takes the
campaign to find them. Behind JOBD_SOAK=1 all of them, else one of them, by chance.

    JOBD_MUTANTS=a,b
"""
import importlib
import os
import random
import subprocess
import sys
import unittest

import failpoints
import kit
import mutants

MODULES = ["test_engine", "test_link", "test_jobctl_control", "test_jobctl_run"]
PATIENCE_S = 200


def names(module):
    """Of its tests, as its main() takes them."""
    found = []
    suites = [unittest.defaultTestLoader.loadTestsFromModule(importlib.import_module(module))]
    while suites:
        suite = suites.pop()
        if isinstance(suite, unittest.TestCase):
            found.append(suite.id().removeprefix(module + "."))
        else:
            suites.extend(suite)
    return sorted(found)


def passes(mutant, module):
    """Whether the plain tests of the module pass; says why not."""
    directed = mutants.DIRECTED.get(mutant, [])
    chosen = [name for name in names(module) if name.split(".")[1] not in directed]
    if not chosen:
        return True
    env = dict(os.environ, JOBD=failpoints.JOBD, JOBD_RUNNER=failpoints.RUNNER, JOBD_MUTANT=mutant)
    script = os.path.join(kit.SOURCE, "tests", "e2e", module + ".py")
    done = subprocess.run([sys.executable, script, *chosen], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=PATIENCE_S)
    if done.returncode:
        print("%s: %s:\n%s" % (mutant, module, done.stdout[-5000:]))
    return not done.returncode


def main():
    if os.environ.get("JOBD_SANITIZERS", "no") != "no":
        print("SKIP: mutants are tried in the plain build")
        return 77
    some = list(mutants.CASES) if os.environ.get("JOBD_SOAK") else [random.SystemRandom().choice(list(mutants.CASES))]
    chosen = os.environ.get("JOBD_MUTANTS", ",".join(some)).split(",")
    print("JOBD_MUTANTS=%s" % ",".join(chosen), flush=True)
    results = [passes(mutant, module) for mutant in chosen for module in MODULES]
    print("%d passed, %d failed" % (results.count(True), results.count(False)))
    return 1 if False in results else 0


if __name__ == "__main__":
    sys.exit(main())
