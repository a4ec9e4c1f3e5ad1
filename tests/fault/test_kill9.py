# SPDX-License-Identifier: MIT
# timeout: 400
"""kill -9 of jobd at random instants while random trees are submitted and run: nothing is lost, doubled or out of order.

Three witnesses are compared by check_history.py: what the jobs wrote, what the client was told, what the database says. Job lengths go from
nothing to three restarts, so that outcomes arrive in another life of jobd than their starts. The client repeats what it was not answered,
with the same key.

    JOBD_KILLS=200 JOBD_SEED=... tests/fault/test_kill9.py
"""
import json
import os
import random
import shutil
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "e2e"))
import kit
import varlink

KILLS = int(os.environ.get("JOBD_KILLS", "200"))
SEED = os.environ.get("JOBD_SEED") or str(random.SystemRandom().randrange(1 << 32))
SIDEJOB = os.path.join(kit.BUILD, "tests", "fault", "sidejob")
CHECKER = os.path.join(HERE, "..", "check_history.py")
SLOTS = 4
NAMES = ["a", "b", "c", "d"]


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
    groups, at = [], stages(path)
    for i in range(0, len(at), 2):
        for earlier in range(int(at[i][1:])):
            groups.append("/".join(at[:i] + ["s%d" % earlier]))
    return groups


class Trees:
    """Random runs, and the witness of what the client was told of them."""

    def __init__(self, rng, folder):
        self.rng = rng
        self.side = os.path.join(folder, "side")
        self.locks = os.path.join(folder, "locks")
        os.mkdir(self.locks)
        open(self.side, "w").close()
        self.acks = open(os.path.join(folder, "acks"), "w", buffering=1, encoding="utf-8")
        self.made = 0
        self.open = []          # not answered yet: to be repeated
        self.runs = []

    def paths(self):
        rng, chosen = self.rng, set()
        for _ in range(rng.randint(1, 9)):
            depth = rng.randint(1, 4)
            parts = []
            for i in range(depth):
                parts.append("~" if i + 1 < depth and rng.random() < 0.25 else rng.choice(NAMES))
            chosen.add("/".join(parts))
        return sorted(chosen)

    def length_ms(self):
        return self.rng.choice([0, 0, 0, 5, 30, 100, 300, 700])

    def make(self):
        rng = self.rng
        self.made += 1
        name = "r%d" % self.made
        jobs, specs = [], []
        paths = self.paths()
        for n, path in enumerate(paths):
            key = "%s.%d" % (name, n)
            status = 3 if rng.random() < 0.08 else 0
            retries = rng.choice([0, 0, 1, 2])
            jobs.append({"path": path, "labels": {"key": key}, "retry": {"max": retries, "cap_s": 0.02},
                         "argv": [SIDEJOB, self.side, self.locks, key, str(self.length_ms()), str(status)]})
            specs.append({"op": "submit", "key": key, "group": "/".join([name] + stages(path)),
                          "deps": ["%s.%d" % (name, paths.index(p)) for p in paths if path.startswith(p + "/")],
                          "after": [name + "/" + g for g in barrier_groups(path)], "max_attempts": 1 + retries})
        return {"run": {"name": name, "key": name, "workers": rng.randint(1, SLOTS)}, "jobs": jobs}, specs

    def say(self, ev, specs, **more):
        for s in specs:
            self.acks.write(json.dumps(dict(s if ev == "invoke" else {"op": "submit", "key": s["key"]}, ev=ev, **more)) + "\n")

    def submit_one(self, conn):
        request, specs = self.open.pop() if self.open and self.rng.random() < 0.7 else self.make()
        self.say("invoke", specs)
        try:
            run = conn.call("Submit", **request)["run"]
        except (OSError, EOFError):
            self.say("info", specs)
            self.open.append((request, specs))
            raise
        self.say("ok", specs, id=run)
        self.runs.append(run)


def mark(trees, *words):
    with open(trees.side, "a", encoding="ascii") as f:
        f.write("M %s\n" % " ".join(words))


def work_until(trees, daemon, instant):
    """Submits until the instant; the last call is broken off by the kill."""
    with varlink.Connection(daemon.socket) as conn:
        while True:
            left = instant - time.monotonic()
            if left <= 0:
                return
            try:
                if trees.rng.random() < 0.5:
                    trees.submit_one(conn)
                else:
                    conn.call("Wait", targets=[{"run": str(trees.runs[-1])}] if trees.runs else [{"run": "r1"}], timeout_s=min(left, 0.05))
            except varlink.Error:
                pass


def kill_in_flight(trees, daemon):
    """Sends a submission and kills without waiting for the answer."""
    request, specs = trees.make()
    trees.say("invoke", specs)
    with varlink.Connection(daemon.socket) as conn:
        conn.send("org.jobd.Submit", request)
        daemon.kill()
    trees.say("info", specs)
    trees.open.append((request, specs))


def one_round(trees, daemon):
    daemon.start()
    work_until(trees, daemon, time.monotonic() + trees.rng.choice([0.0, 0.002, 0.02, 0.1, 0.3]) * trees.rng.random())
    if trees.rng.random() < 0.5:
        kill_in_flight(trees, daemon)
    else:
        daemon.kill()
    mark(trees, "kill9")


def drain(trees, daemon):
    daemon.start()
    with varlink.Connection(daemon.socket, timeout=240) as conn:
        while trees.open:
            trees.submit_one(conn)
        for run in trees.runs:
            assert conn.call("Wait", targets=[{"run": str(run)}], timeout_s=200)["done"], "run %d does not end" % run
        assert conn.call("Stats")["idle"], "every run has ended, and jobd is not idle"
    mark(trees, "drain")


def judge(trees, folder, daemon):
    copy = os.path.join(folder, "copy")
    os.mkdir(copy)
    for name in os.listdir(daemon.state):
        if name.startswith("jobd.db"):
            shutil.copy(os.path.join(daemon.state, name), copy)
    return subprocess.run([sys.executable, CHECKER, "check", "--side", trees.side, "--acks", trees.acks.name, "--db",
                           os.path.join(copy, "jobd.db"), "--max-parallel", str(SLOTS)]).returncode


def main():
    print("seed %s, %d kills" % (SEED, KILLS), flush=True)
    daemon = kit.Daemon(config="slots = %d\nlog_level = warning\n" % SLOTS)
    trees = Trees(random.Random(SEED), daemon.folder)
    mark(trees, "start")
    try:
        for _ in range(KILLS):
            one_round(trees, daemon)
        drain(trees, daemon)
        daemon.jobctl("shutdown")
        daemon.process.wait(kit.PATIENCE)
        status = judge(trees, daemon.folder, daemon)
    except BaseException:
        print(daemon.said()[-20000:])
        raise
    if status:
        print(daemon.said()[-20000:])
        keep = os.environ.get("JOBD_KEEP")
        if keep:
            shutil.copytree(daemon.folder, keep)
    shutil.rmtree(daemon.folder, ignore_errors=True)
    print("%d passed, %d failed" % (status == 0, status != 0))
    return 1 if status else 0


if __name__ == "__main__":
    sys.exit(main())
