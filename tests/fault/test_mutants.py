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
import kit
import mutants

TRIES = 4                       # histories until a mutant counts as missed
AT_ONCE = 3
LIMIT_S, PATIENCE_S = 100, 60   # of the product: a history that takes longer hangs; for its drain
SLOWER = 5                      # a mutant hangs when it takes so many times what the product took in the same run ...
LEAST_S = 10                    # ... and at least this


def hangs(*_):
    raise AssertionError("the history hangs")


def history(seed, mutant, case, limit_s, patience_s):
    """(None, or what was wrong: a broken promise, a run that does not end, a jobd that goes away; the seconds of its drain)."""
    made = [mutants.under(fault, mutant, case.rules) for fault in case.faults]
    said, drained_s = io.StringIO(), 0
    signal.signal(signal.SIGALRM, hangs)
    signal.alarm(int(limit_s))
    try:
        with contextlib.redirect_stdout(said):
            drained_s = campaign.history(seed, [made[i % len(made)] for i in range(case.strikes)], patience_s=patience_s)["drained_s"]
    except (AssertionError, OSError, EOFError) as broken:
        return "%s%s" % (broken, "" if mutant else "\n" + said.getvalue()), drained_s
    finally:
        signal.alarm(0)
    return None, drained_s


def caught(seed, mutant, case, limit_s, patience_s):
    """How a mutant was caught, None when it was not."""
    for n in range(TRIES):
        wrong, _ = history("%s.%d" % (seed, n), mutant, case, limit_s, patience_s)
        if wrong and case.seen in wrong:
            return wrong[wrong.find("violation"):] if "violation" in wrong else wrong
    return None


def verdict(seed, mutant):
    """(whether the mutant was caught and the product was not, what to say)."""
    began, case = time.monotonic(), mutants.CASES[mutant]
    try:
        innocent, drained_s = history(seed, None, case, LIMIT_S, PATIENCE_S)
        took = time.monotonic() - began
        how = caught(seed, mutant, case, SLOWER * max(LEAST_S, took), max(LEAST_S, SLOWER * drained_s))
    except faults.Skip as skip:
        return None, "SKIP: mutant %s: %s" % (mutant, skip)
    text = "%-30s %s (%.1f s)" % (mutant, "caught: " + how.split("\n")[0][:120] if how else "NOT CAUGHT", time.monotonic() - began)
    return bool(how) and not innocent, text + ("; but so is the product: " + innocent if innocent else "")


def main():
    if kit.SANITIZED:
        print("SKIP: mutants are tried in the plain build")
        return 77
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
