# SPDX-License-Identifier: MIT
"""Random runs, and what check_history.py has to know of them.

The n-th run of a client depends on the seed, the client and n alone, never on what happened before: a failing history is made again from
its seed as far as a concurrent system can.
"""
import os
import random

import kit

SIDEJOB = os.path.join(kit.BUILD, "tests", "fault", "sidejob")
NAMES = ["a", "b", "c", "d"]                    # all sort before the barrier's "~": what a path waits for stands before it
LENGTHS_MS = [0, 0, 0, 5, 30, 100, 300, 700]    # up to several restarts: the end arrives in another life of jobd than the start


def stages(path):
    """The path with the number of barriers before each name, so that "everything below P but not below P/~" is one prefix."""
    out, barriers = [], 0
    for name in path.split("/"):
        if name == "~":
            barriers += 1
        else:
            out += ["s%d" % barriers, name]
            barriers = 0
    return out


def barrier_groups(path):
    """The prefixes that have to be complete before the path, in the same notation."""
    groups, at = [], stages(path)
    for i in range(0, len(at), 2):
        for earlier in range(int(at[i][1:])):
            groups.append("/".join(at[:i] + ["s%d" % earlier]))
    return groups


def above(path):
    """Its proper prefixes, the nearest last."""
    parts = path.split("/")
    return ["/".join(parts[:i]) for i in range(1, len(parts))]


def spec(name, keys, path, more_deps=(), **more):
    """What check_history.py has to know of the job of the run `name` at this path. keys: of all its jobs, by path."""
    return dict(more, op="submit", key=keys[path], group="/".join([name] + stages(path)),
                deps=[keys[p] for p in above(path) if p in keys] + [keys[p] for p in more_deps],
                after=[name + "/" + g for g in barrier_groups(path)])


class Run:
    """name; options and jobs as Submit takes them; specs: a line of the witness for each job; number: once jobd has told it."""

    def __init__(self, name, options, jobs, specs):
        self.name, self.options, self.jobs, self.specs = name, options, jobs, specs
        self.number = None
        self.keys = {job["path"]: spec["key"] for job, spec in zip(jobs, specs)}

    def leaves(self):
        return [p for p in self.keys if not any(q.startswith(p + "/") for q in self.keys)]


class Maker:
    """Makes the runs of one client. folder: of the side log and the locks."""

    def __init__(self, seed, client, folder, slots, lengths_ms=tuple(LENGTHS_MS)):
        self.seed, self.client, self.slots, self.lengths_ms = seed, client, slots, lengths_ms
        self.side = os.path.join(folder, "side")
        self.locks = os.path.join(folder, "locks")
        self.made = 0

    def make(self):
        self.made += 1
        name = "%s%d" % (self.client, self.made)
        rng = random.Random("%s/%s" % (self.seed, name))
        paths = random_paths(rng)
        keys = {path: "%s.%d" % (name, n) for n, path in enumerate(paths)}
        both = [self._job(rng, name, keys, path) for path in paths]
        options = {"name": name, "key": name, "workers": rng.randint(1, self.slots)}
        return Run(name, options, [job for job, _ in both], [witnessed for _, witnessed in both])

    def argv(self, key, length_ms, status=0):
        return [SIDEJOB, self.side, self.locks, key, str(length_ms), str(status)]

    def _job(self, rng, name, keys, path):
        status = 3 if rng.random() < 0.08 else 0
        retries = rng.choice([0, 0, 1, 2])
        on_lost = rng.choice(["retry", "retry", "fail", "hold"])
        after = random_after(rng, [p for p in keys if p < path], path)
        job = {"path": path, "labels": {"key": keys[path]}, "on_lost": on_lost, "retry": {"max": retries, "cap_s": 0.02},
               "argv": self.argv(keys[path], rng.choice(["", "+"]) + str(rng.choice(self.lengths_ms)), status)}
        if after:
            job["after"] = [after]
        waited_for = [p for p in keys if after in (p, p + "/") or (after and after.endswith("/") and p.startswith(after))]
        return job, spec(name, keys, path, waited_for, max_attempts=1 + retries, on_lost=on_lost)


def random_paths(rng):
    """Sorted; all that a path may wait for stands before it."""
    chosen = set()
    for _ in range(rng.randint(1, 9)):
        depth = rng.randint(1, 4)
        chosen.add("/".join("~" if i + 1 < depth and rng.random() < 0.25 else rng.choice(NAMES) for i in range(depth)))
    return sorted(chosen)


def random_after(rng, earlier, path):
    """A job, or a subtree, that stands before the path and has no part in it; None: nothing."""
    if not earlier or rng.random() > 0.2:
        return None
    target = rng.choice(earlier)
    if path.startswith(target + "/"):
        return None
    return target + rng.choice(["", "/"])
