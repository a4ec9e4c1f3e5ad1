# SPDX-License-Identifier: MIT
# timeout: 300
"""Power cuts at random instants while random trees are submitted and run: nothing acknowledged is lost, nothing told is taken back.

Each cut drops what was not synced and kills jobd, the runner and the jobs at once (power.py). After each the database is sound, and what
clients were told of ends is still so; at the end check_history.py compares the three witnesses.

    JOBD_CUTS=200 JOBD_SEED=... tests/fault/test_power.py [ext4|xfs]
"""
import json
import os
import random
import shutil
import sqlite3
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import power
import test_kill9
import varlink

SOAK = os.environ.get("JOBD_SOAK") == "1"
CUTS = {"ext4": 5000 if SOAK else 100, "xfs": 2000 if SOAK else 20}
CUTS_A_ROUND = 250              # a new disk and a judgement after so many
SEED = os.environ.get("JOBD_SEED") or str(random.SystemRandom().randrange(1 << 32))
CONFIG = "slots = %d\nlog_level = warning\n" % test_kill9.SLOTS


class Trees(test_kill9.Trees):
    """An attempt that a cut took is tried again, however often. told: the runs whose end was told, and how long the side log was then."""

    def __init__(self, rng, folder):
        super().__init__(rng, folder)
        self.told = {}

    def length_ms(self):
        return self.rng.choice([0, 0, 0, 5, 30, 100, 300])

    def make(self):
        request, specs = super().make()
        for job in request["jobs"]:
            job["lost_max"] = 1000000
        return request, specs

    def ask_end(self, conn, patience_s):
        run = self.runs[-1]
        if conn.call("Wait", targets=[{"run": str(run)}], timeout_s=patience_s)["done"]:
            self.told.setdefault(run, os.path.getsize(self.side))

    def began_again(self):
        """Jobs of runs whose end was told that began afterwards."""
        names = {}
        with open(self.acks.name, encoding="utf-8") as f:
            for line in map(json.loads, f):
                if line["ev"] == "ok" and line["id"] in self.told:
                    names[line["key"]] = self.told[line["id"]]
        found, at = [], 0
        with open(self.side, "rb") as f:
            for line in f:
                words = line.decode("ascii").split()
                if words[0] == "B" and at >= names.get(words[1], at + 1):
                    found.append(words[1])
                at += len(line)
        return found


def work_until(trees, machine, instant):
    with varlink.Connection(machine.socket) as conn:
        while True:
            left = instant - time.monotonic()
            if left <= 0:
                return
            if not trees.runs or trees.rng.random() < 0.5:
                trees.submit_one(conn)
            else:
                trees.ask_end(conn, min(left, 0.05))


def cut_in_flight(trees, machine, forget):
    """Sends a submission and cuts without waiting for the answer; what is answered after the freeze is too late to count."""
    request, specs = trees.make()
    trees.say("invoke", specs)
    with varlink.Connection(machine.socket) as conn:
        conn.send("org.jobd.Submit", request)
        machine.cut(forget)
    trees.say("info", specs)
    trees.open.append((request, specs))


def sound(machine):
    """What SQLite says of a copy of database and WAL."""
    copy = os.path.join(machine.folder, "look")
    os.mkdir(copy)
    for name in os.listdir(machine.state):
        if name.startswith("jobd.db"):
            shutil.copy(os.path.join(machine.state, name), copy)
    with sqlite3.connect(os.path.join(copy, "jobd.db")) as db:
        said = db.execute("PRAGMA integrity_check").fetchone()[0]
    db.close()
    shutil.rmtree(copy)
    return said


def one_cut(trees, machine):
    rng = trees.rng
    machine.start()
    work_until(trees, machine, time.monotonic() + rng.choice([0.0, 0.005, 0.02, 0.1, 0.3]) * rng.random())
    forget = rng.random() < 0.8
    if rng.random() < 0.5:
        cut_in_flight(trees, machine, forget)
    else:
        machine.cut(forget)
    test_kill9.mark(trees, "powerloss")
    said = sound(machine)
    assert said == "ok", "after a cut the database is damaged: %s" % said


def cut_often(trees, machine, cuts):
    """Returns whether what was acknowledged can still be asked for."""
    try:
        for _ in range(cuts):
            one_cut(trees, machine)
        test_kill9.drain(trees, machine)
    except varlink.Error as e:
        print("something that was acknowledged has gone: %s" % e)
        return False
    return True


def one_round(folder, kind, cuts, seed):
    """Returns whether all held."""
    with power.Machine(folder, kind, config=CONFIG) as machine:
        trees = Trees(random.Random(seed), folder)
        test_kill9.mark(trees, "start")
        if not cut_often(trees, machine, cuts):
            return False
        machine.stop()
        again = trees.began_again()
        if again:
            print("told to have ended, and began again: %s" % " ".join(again))
        return test_kill9.judge(trees, folder, machine) == 0 and not again


def campaign(kind):
    left, failed = int(os.environ.get("JOBD_CUTS") or CUTS[kind]), 0
    for n in range(10**6):
        if left <= 0:
            return failed == 0
        cuts, seed = min(left, CUTS_A_ROUND), "%s.%s.%d" % (SEED, kind, n)
        print("%s: %d cuts, seed %s" % (kind, cuts, seed), flush=True)
        with tempfile.TemporaryDirectory() as folder:
            failed += not one_round(folder, kind, cuts, seed)
        left -= cuts


def main():
    verdicts = []
    for kind in sys.argv[1:] or ["ext4", "xfs"]:
        why = power.why_not(kind)
        if why:
            print("SKIP: no power cuts on %s: %s" % (kind, why))
            continue
        if not verdicts:
            power.prepare()
        verdicts.append(campaign(kind))
    print("%d passed, %d failed" % (verdicts.count(True), verdicts.count(False)))
    return 77 if not verdicts else verdicts.count(False) != 0


if __name__ == "__main__":
    sys.exit(main())
