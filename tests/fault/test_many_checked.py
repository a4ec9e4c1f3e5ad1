# SPDX-License-Identifier: MIT
# timeout: 200
"""20,000 tiny jobs end to end, in trees with barriers, each judged by three witnesses: no fault, only load.

    JOBD_JOBS=20000 tests/fault/test_many_checked.py
"""
import sys

import campaign
import clients
import kit
import trees

JOBS = kit.size("JOBD_JOBS", 20000, 1000000)
CLIENTS = 4
A_FAMILY = 20
FAMILIES = min(50, JOBS // (2 * CLIENTS * A_FAMILY))            # in a run: each client has two runs at least
JOBS_A_RUN = FAMILIES * A_FAMILY


class Loader(clients.Client):
    """Submits its runs whole, two ahead of what has ended."""

    def __init__(self, world, name, n_runs):
        super().__init__(world, name)
        self.maker = trees.Maker(world.seed, name, world.folder, world.slots)
        self.letter, self.left, self.n, self.numbers = name, n_runs, 0, []

    def step(self):
        if len(self.numbers) == 2 or (not self.left and self.numbers):
            number = self.numbers.pop(0)
            assert self.conn.call("Wait", targets=[{"run": str(number)}], timeout_s=kit.PATIENCE)["done"], "run %d does not end" % number
        elif self.left:
            self.submit()
        else:
            self.closing.set()

    def submit(self):
        self.left -= 1
        self.n += 1
        name = "%s%d" % (self.letter, self.n)
        keys = {path: "%s.%d" % (name, i) for i, path in enumerate(wide_tree())}
        self.witness.invoke([trees.spec(name, keys, path) for path in keys])
        jobs = [{"path": path, "labels": {"key": key}, "argv": self.maker.argv(key, 0)} for path, key in keys.items()]
        number = self.conn.call("Submit", run={"name": name, "key": name, "workers": self.world.slots}, jobs=jobs)["run"]
        self.witness.answer("ok", "submit", keys.values(), run=number)
        self.world.keys.update({(number, path): key for path, key in keys.items()})
        self.numbers.append(number)


def wide_tree():
    """JOBS_A_RUN paths: parents with children, a barrier in each, one at the top."""
    for family in range(FAMILIES):
        top = "p%d" % family
        yield top
        for child in range(17 if family else 16):
            yield "%s/c%d" % (top, child)
        yield top + "/~/x"
        yield top + "/~/y"
    yield "~/end"


def main():
    runs = JOBS // JOBS_A_RUN // CLIENTS
    found, took = campaign.calm_history("many", make_clients=lambda w: [Loader(w, name, runs) for name in "pqrs"], slots=16)
    assert found["began"] == found["jobs"] == runs * CLIENTS * JOBS_A_RUN, found
    print("%d jobs in %.1f s: %.0f a second" % (found["jobs"], took, found["jobs"] / took))
    print("1 passed, 0 failed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
