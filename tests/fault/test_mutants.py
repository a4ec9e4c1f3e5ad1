# SPDX-License-Identifier: MIT
# timeout: 400
"""Every mutant is caught, and the product passes where they fail: a check that catches no mutant is no check.

    JOBD_SEED=N  JOBD_MUTANTS=a,b
"""
import concurrent.futures
import contextlib
import io
import os
import random
import signal
import sys
import time

import campaign
import failpoints
import faults
import mutants

TRIES = 4                       # histories until a mutant counts as missed
AT_ONCE = 3
LIMIT_S = {True: 30, False: 100}        # a history that takes longer hangs: of a mutant, of the product
PATIENCE_S = {True: 10, False: 60}      # for its drain


def hangs(*_):
    raise AssertionError("the history hangs")


def history(seed, mutant, case):
    """None, or what was wrong: a broken promise, a run that does not end, a jobd that goes away."""
    rules, kinds, strikes = case
    made = [mutants.under(fault, mutant, rules) for fault in kinds]
    said = io.StringIO()
    signal.signal(signal.SIGALRM, hangs)
    signal.alarm(LIMIT_S[bool(mutant)])
    try:
        with contextlib.redirect_stdout(said):
            campaign.history(seed, [made[i % len(made)] for i in range(strikes)], patience_s=PATIENCE_S[bool(mutant)])
    except (AssertionError, OSError, EOFError) as broken:
        return "%s%s" % (broken, "" if mutant else "\n" + said.getvalue())
    finally:
        signal.alarm(0)
    return None


def verdict(seed, mutant):
    """(whether the mutant was caught and the product was not, what to say)."""
    began, case, how = time.monotonic(), mutants.CASES[mutant], None
    try:
        tries = (history("%s.%d" % (seed, n), mutant, case) for n in range(TRIES))
        how = next((wrong.split("\n")[0][:120] for wrong in tries if wrong), None)
        innocent = history(seed, None, case)
    except faults.Skip as skip:
        return None, "SKIP: mutant %s: %s" % (mutant, skip)
    text = "%-30s %s (%.1f s)" % (mutant, "caught: " + how if how else "NOT CAUGHT", time.monotonic() - began)
    return bool(how) and not innocent, text + ("; but so is the product: " + innocent if innocent else "")


def main():
    seed = os.environ.get("JOBD_SEED") or str(random.SystemRandom().randrange(1 << 32))
    chosen = os.environ.get("JOBD_MUTANTS", ",".join(mutants.CASES)).split(",")
    failpoints.use()
    print("JOBD_SEED=%s" % seed, flush=True)
    verdicts = []
    with concurrent.futures.ProcessPoolExecutor(AT_ONCE) as pool:
        for caught, text in pool.map(verdict, [seed] * len(chosen), chosen):
            print(text, flush=True)
            verdicts.append(caught)
    print("%d passed, %d failed" % (verdicts.count(True), verdicts.count(False)))
    return 1 if verdicts.count(False) else 77 if None in verdicts else 0


if __name__ == "__main__":
    sys.exit(main())
