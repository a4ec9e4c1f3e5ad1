# SPDX-License-Identifier: MIT
# timeout: 1200
"""Without faults the mutants pass the tests of the engine but for those that are directed at the very rule (mutants.DIRECTED): it takes the
campaign to find them. Behind JOBD_SOAK=1 all of them, else one of them, by chance. A mutant breaks an order, and a busy machine may show that to a
test that looks at something else: such luck does not come each time.

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
TRIES = 3


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


def run(command, env):
    """Its exit status, and what it said until then; None: it did not end."""
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            said, _ = process.communicate(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            said, _ = process.communicate()
            return None, said
        return process.returncode, said


def passes(mutant, module):
    """Whether the plain tests of the module pass; says why not."""
    directed = mutants.DIRECTED.get(mutant, [])
    chosen = [name for name in names(module) if name.split(".")[1] not in directed]
    if not chosen:
        return True
    env = dict(os.environ, JOBD=failpoints.JOBD, JOBD_RUNNER=failpoints.RUNNER, JOBD_MUTANT=mutant)
    script = os.path.join(kit.SOURCE, "tests", "e2e", module + ".py")
    for _ in range(TRIES):
        status, said = run([sys.executable, script, "-v", *chosen], env)
        if status == 0:
            return True
        print("%s: %s: %s\n%s" % (mutant, module, "did not end in %d s" % PATIENCE_S if status is None else "exit %d" % status, said[-5000:]), flush=True)
    return False


def main():
    if kit.SANITIZED:
        print("SKIP: mutants are tried in the plain build")
        return 77
    some = list(mutants.CASES) if kit.SOAK else [random.SystemRandom().choice(list(mutants.CASES))]
    chosen = os.environ.get("JOBD_MUTANTS", ",".join(some)).split(",")
    print("JOBD_MUTANTS=%s" % ",".join(chosen), flush=True)
    results = [passes(mutant, module) for mutant in chosen for module in MODULES]
    print("%d passed, %d failed" % (results.count(True), results.count(False)))
    return 1 if False in results else 0


if __name__ == "__main__":
    sys.exit(main())
