# SPDX-License-Identifier: MIT
"""The campaign: histories of random work under random faults, each judged by its witnesses.

A test names its faults, how often each strikes in the CI size, and how often behind JOBD_SOAK=1:

    sys.exit(campaign.main([(faults.KillJobd, 400, 8000), (faults.KillRecovering, 100, 2000)]))

    JOBD_SEED=N            the same runs, the same actions, the same faults in the same order (not the same instants)
    JOBD_HISTORY=N         only the N-th history of that seed
    JOBD_STRIKES=N         that many of each fault instead
    JOBD_KEEP=FOLDER       keep the folder of the first history that fails

The strikes are dealt out to histories of at most STRIKES_A_HISTORY (a_history), each with a state folder of its own, drained and judged by itself.
A failure prints the seed of its history.
"""
import collections
import contextlib
import os
import random
import shutil
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "e2e"))
import faults
import judge
import kit
import world as worlds

STRIKES_A_HISTORY = 100
FIGURES = ["jobs", "attempts", "told", "cancels", "holds", "removed", "asked_again", "cut_short"]
PAUSES_S = [0.0, 0.002, 0.02, 0.1, 0.2]         # between two strikes: up to so long


def plan(rng, mixture, a_history):
    """[(fault class, n)] -> lists of at most so many fault classes, one a history, in random order."""
    strikes = [fault for fault, n in mixture for _ in range(n)]
    rng.shuffle(strikes)
    return [strikes[i:i + a_history] for i in range(0, len(strikes), a_history)]


def strike_all(world, strikes, made):
    for fault in strikes:
        struck = False
        while not struck:
            world.work(world.rng.choice(PAUSES_S) * world.rng.random())
            struck = made[fault].strike(world, world.rng)
        made[fault].mend(world, world.rng)


def judged(world, live, undo=lambda: None):
    """Lives and judges a history: what the checker counted, or AssertionError with all that is known when a promise was broken."""
    try:
        live()
        drained = world.drain()
        return dict(judge.judge(world), drained_s=drained)
    except faults.Skip:
        raise
    except BaseException as broken:
        keep_evidence(world)
        seen = judge.until_now(world)
        if seen:
            raise AssertionError("%s; until then: violation %s" % (broken, seen)) from broken
        raise
    finally:
        undo()
        world.abandon()
        world.remove()


def history(seed, strikes, **options):
    """One under these faults, in this order. options: of World."""
    world = worlds.World(seed, **options)
    made = {fault: fault() for fault in sorted(set(strikes), key=lambda f: f.name)}

    def live():
        for fault in made.values():
            fault.prepare(world)
        world.begin()
        strike_all(world, strikes, made)

    def undo():
        for fault in made.values():
            fault.undo(world)

    return judged(world, live, undo)


def calm_history(seed, **options):
    """One without faults, of clients that end by themselves. Also the seconds that they took."""
    world, began, ended = worlds.World(seed, **options), time.monotonic(), []

    def live():
        world.begin()
        world.await_clients()
        ended.append(time.monotonic())

    return judged(world, live), ended[0] - began


def keep_evidence(world):
    print(world.daemon.said()[-20000:])
    keep = os.environ.get("JOBD_KEEP")
    if keep and not os.path.exists(keep):
        with contextlib.suppress(shutil.Error):         # of files that went meanwhile
            shutil.copytree(world.folder, keep, ignore=shutil.ignore_patterns("socket*", "*.sock", "passes", "run", "disk", "*.img"))


def main(mixture, a_history=STRIKES_A_HISTORY, **options):
    """mixture: [(fault class, strikes in CI, strikes in soak)]. a_history: strikes at most. options: of World. The exit status of a test."""
    seed = os.environ.get("JOBD_SEED") or str(random.SystemRandom().randrange(1 << 32))
    mixture = [(fault, kit.size("JOBD_STRIKES", ci, soak)) for fault, ci, soak in mixture]
    print("JOBD_SEED=%s, strikes: %s" % (seed, ", ".join("%s %d" % (fault.name, n) for fault, n in mixture)), flush=True)
    began, totals, only = time.monotonic(), collections.Counter(), os.environ.get("JOBD_HISTORY")
    histories = list(enumerate(plan(random.Random(seed), mixture, a_history)))
    for n, strikes in histories if only is None else [histories[int(only)]]:
        try:
            found = history("%s.%d" % (seed, n), strikes, **options)
        except faults.Skip as skip:
            print("SKIP: %s" % skip)
            return 77
        except AssertionError as broken:
            print("JOBD_SEED=%s JOBD_HISTORY=%d: %s" % (seed, n, broken))
            print("%d passed, 1 failed" % n)
            return 1
        totals.update({figure: found[figure] for figure in FIGURES})
    took = time.monotonic() - began
    print("%d histories, %.0f s, %.1f strikes a second; %s" % (len(histories), took, sum(n for _, n in mixture) / took,
                                                             ", ".join("%s %d" % (f.replace("_", " "), totals[f]) for f in FIGURES)))
    print("%d passed, 0 failed" % len(histories))
    return 0
