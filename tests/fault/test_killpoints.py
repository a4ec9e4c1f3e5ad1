# SPDX-License-Identifier: MIT
# timeout: 400
"""kill -9 at every place that has a name, also while it recovers, migrates, copies: nothing is lost, doubled or out of order.

    JOBD_SEED=N          the same work, the same deaths in the same order
    JOBD_HITS=20         so many deaths at each place
    JOBD_PLACES=a,b      at these places alone
    JOBD_HISTORY=SEED JOBD_PLACES=a,b,...       the history that a failure names, alone
    JOBD_KEEP=FOLDER     keep the folder of the first history that fails
"""
import collections
import concurrent.futures
import os
import random
import sys
import time

import failpoints
import kit
import killpoints
import quietpoints

HITS = kit.size("JOBD_HITS", 20, 1000)
A_HISTORY = 100
AT_ONCE = 4                     # histories: what they cost is waiting
FRUITLESS = 4                   # rounds in a row over what is missing, until it counts as out of reach


def missing(places, tally):
    return [place for place in places for _ in range(HITS - tally[place])]


def shares(strikes):
    """As many lists as can be at work at once, or more: none longer than a history."""
    n = max(min(AT_ONCE, len(strikes)), -(-len(strikes) // A_HISTORY))
    return [strikes[i::n] for i in range(n)]


def history(seed, strikes):
    """Its seed and its strikes are what a failure is repeated with."""
    try:
        return killpoints.history(seed, strikes)
    except AssertionError as broken:
        raise AssertionError("JOBD_HISTORY=%s JOBD_PLACES=%s: %s" % (seed, ",".join(strikes), broken)) from broken


def under_load(places, tally, seed):
    """Histories until every place was met often enough, or will not be. Returns how many, and of how many jobs."""
    rng = random.Random(seed)
    n, jobs, fruitless = 0, 0, 0
    with concurrent.futures.ProcessPoolExecutor(AT_ONCE) as pool:
        while fruitless < FRUITLESS and (left := missing(places, tally)):
            rng.shuffle(left)
            seeds = ["%s.%d" % (seed, n + i) for i in range(len(left))]
            for died, figures in pool.map(history, seeds, shares(left)):
                tally.update(died)
                jobs += figures["jobs"]
                n += 1
            fruitless = 0 if len(missing(places, tally)) < len(left) else fruitless + 1
    return n, jobs


def quiet(places, tally):
    """Several at once: the most of their time they wait."""
    strikes = missing(places, tally)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(quietpoints.strike, strikes))
    tally.update(strikes)


def everywhere():
    """The exit status."""
    seed = os.environ.get("JOBD_SEED") or str(random.SystemRandom().randrange(1 << 32))
    places = failpoints.listed(failpoints.JOBD) + failpoints.listed(failpoints.RUNNER)
    places = [p for p in places if p in os.environ.get("JOBD_PLACES", p).split(",")]
    print("JOBD_SEED=%s, %d places, %d deaths at each" % (seed, len(places), HITS), flush=True)
    tally, began = collections.Counter(), time.monotonic()
    apart = quietpoints.OF_OLD_DATABASE | quietpoints.OF_REST
    quiet([p for p in places if p in apart], tally)
    print("apart from others: %.0f s" % (time.monotonic() - began), flush=True)
    n, jobs = under_load([p for p in places if p not in apart], tally, seed)
    for place in places:
        print("%6d  %s" % (tally[place], place))
    short = [place for place in places if tally[place] < HITS]
    print("%d deaths, %d histories, %d jobs, %.0f s" % (sum(tally.values()), n, jobs, time.monotonic() - began))
    if short:
        print("met too rarely: %s" % " ".join(short))
    print("%d passed, %d failed" % (len(places) - len(short), len(short)))
    return 1 if short else 0


def main():
    failpoints.use()
    if "JOBD_HISTORY" not in os.environ:
        return everywhere()
    history(os.environ["JOBD_HISTORY"], os.environ["JOBD_PLACES"].split(","))
    print("1 passed, 0 failed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
