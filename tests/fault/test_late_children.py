# SPDX-License-Identifier: MIT
# timeout: 300
"""Children are added at random moments around the end of their parent, while other streams are sealed and cancelled meanwhile.

An acknowledged child runs, once, after its parent ended well; a refused one never. What nobody can know is nothing: every call is answered.

    JOBD_CHILDREN=10000 JOBD_SEED=... tests/fault/test_late_children.py
"""
import os
import random
import sys

import campaign
import clients
import kit
import trees
import varlink

CHILDREN = kit.size("JOBD_CHILDREN", 10000, 100000)
SEED = os.environ.get("JOBD_SEED") or str(random.SystemRandom().randrange(1 << 32))
FEEDERS = 4
FAMILIES_A_RUN = 40
MOMENTS_MS = [0, 0.5, 1, 2, 4]          # after the parent's acknowledgement; it lives as long


class Feeder(clients.Client):
    """One stream after the other: parents of random lengths, and children that may come too late."""

    def __init__(self, world, name, children):
        super().__init__(world, name)
        self.maker = trees.Maker(world.seed, name, world.folder, world.slots)
        self.left, self.n = children, 0

    def step(self):
        if self.left <= 0:
            self.closing.set()
            return
        self.n += 1
        name = "%s%d" % (self.name.split()[-1], self.n)
        self.keys, self.early_end = {}, self.rng.choice([None, None, None, "Seal", "Cancel"])
        self.number = self.conn.call("Open", run={"name": name, "key": name, "workers": self.world.slots}, mode="stream")["run"]
        at_end = self.rng.randrange(FAMILIES_A_RUN)
        for family in range(FAMILIES_A_RUN):
            if family == at_end and self.early_end:
                self.end_early()
            self.feed(name, family)
        if self.early_end != "Cancel":
            self.conn.call("Seal", run=self.number)
        self.conn.call("Wait", targets=[{"run": str(self.number)}], timeout_s=kit.PATIENCE)

    def feed(self, name, family):
        parent = "p%d" % family
        status = 3 if self.rng.random() < 0.1 else 0
        self.add(name, [(parent, self.rng.choice(MOMENTS_MS), status)])
        children = ["%s/c%d" % (parent, i) for i in range(self.rng.randint(4, 12))]
        while children:
            self.world.work(self.rng.choice(MOMENTS_MS) * self.rng.random() / 1000)
            n = self.rng.randint(1, 3)
            self.add(name, [(path, 0, 0) for path in children[:n]])
            self.left -= len(children[:n])
            children = children[n:]

    def add(self, name, members):
        """All or nothing."""
        fresh = {path: "%s.%d" % (name, len(self.keys) + i) for i, (path, _, _) in enumerate(members)}
        self.keys.update(fresh)
        self.witness.invoke([trees.spec(name, self.keys, path) for path in fresh])
        jobs = [{"path": path, "labels": {"key": self.keys[path]}, "argv": self.maker.argv(self.keys[path], int(ms), status)}
                for path, ms, status in members]
        try:
            self.conn.call("Add", run=self.number, jobs=jobs)
            self.witness.answer("ok", "submit", fresh.values(), run=self.number)
            self.world.keys.update({(self.number, path): key for path, key in fresh.items()})
        except varlink.Error:
            self.witness.answer("fail", "submit", fresh.values())

    def end_early(self):
        """Nothing can be added from now on."""
        if self.early_end == "Cancel":
            for ev in ("invoke", "ok"):
                self.witness.answer(ev, "cancel", self.keys.values())
        self.conn.call(self.early_end, run=self.number if self.early_end == "Seal" else str(self.number))


def main():
    print("JOBD_SEED=%s, %d children" % (SEED, CHILDREN), flush=True)
    found, took = campaign.calm_history(SEED, make_clients=lambda w: [Feeder(w, name, CHILDREN // FEEDERS) for name in "pqrs"], slots=16)
    print("%d jobs, %d refused, %.0f s" % (found["jobs"], found["refused"], took))
    print("1 passed, 0 failed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
