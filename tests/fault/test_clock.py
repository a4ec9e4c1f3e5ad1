#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# timeout: 200
"""The wall clock of jobd and its runner jumps an hour ahead, a day back, ten years ahead, while they run and while they are dead: whatever waits
takes as long as it should, nobody spins, times are shown by the new clock, and order is that of numbers.

    JOBD_SEED=N JOBD_STRIKES=N tests/fault/test_clock.py
"""
import datetime
import glob
import os
import random
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "e2e")]
import kit
import varlink
import world as worlds

OFFSETS_S = [0, 3600, -86400, 10 * 365 * 86400]
LATE_S = 15.0                   # a busy machine is late by seconds, a clock that has jumped by an hour at least
EARLY_S = 0.1
BUSY = 0.35                     # of a processor, for all that happens here
DEADLINE_S, TIMEOUT_S, BACKOFF_S, INTERVAL_S, WAIT_S = 1.5, 1.2, 1.1, 0.6, 0.4


def skip(why):
    print("SKIP: " + why)
    sys.exit(77)


def library():
    found = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
    if not found:
        skip("libfaketime is not installed")
    if kit.SANITIZED:
        skip("nothing can be preloaded before a sanitizer")
    return found[0]


class Clock:
    """The wall clock of what was started with env: ours and so many seconds."""

    def __init__(self, folder):
        self.path, self.offset_s = os.path.join(folder, "clock"), 0
        self.set(0)
        self.env = {"LD_PRELOAD": library(), "FAKETIME_TIMESTAMP_FILE": self.path, "FAKETIME_NO_CACHE": "1",
                    "FAKETIME_DONT_FAKE_MONOTONIC": "1"}

    def set(self, offset_s):
        """In one step for whoever reads it."""
        with open(self.path + ".new", "w", encoding="ascii") as f:
            f.write("%+d\n" % offset_s)
        os.rename(self.path + ".new", self.path)
        self.offset_s = offset_s

    def jump(self, rng):
        self.set(rng.choice([o for o in OFFSETS_S if o != self.offset_s]))

    def seconds_off(self, shown):
        """How far a time that jobd shows is from this clock."""
        then = datetime.datetime.fromisoformat(shown.replace("Z", "+00:00")).timestamp()
        return abs(then - (time.time() + self.offset_s))


def uptime():
    """As jobs write it down, whose clocks are nobody's to change."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Rounds(threading.Thread):
    """Again and again: runs with everything that waits, and what they took."""

    def __init__(self, test):
        super().__init__(name="rounds")
        self.test, self.closing, self.failure, self.n, self.off = test, threading.Event(), None, 0, {}

    def run(self):
        try:
            while not self.closing.is_set():
                self.round()
                self.n += 1
        except BaseException as failure:        # told by the main thread
            self.failure = failure

    def round(self):
        out = os.path.join(self.test.folder, "round")
        stamp = "cut -d\\  -f1 /proc/uptime >>%s." % out
        began, starts = uptime(), self.test.starts
        timed = self.test.submit([
            {"path": "timeout", "shell": "trap '%stimeout; exit 1' TERM; sleep 100 & wait" % stamp, "timeout_s": TIMEOUT_S},
            {"path": "retry", "shell": stamp + "retry; exit 1", "retry": {"max": 1, "min_s": BACKOFF_S, "cap_s": BACKOFF_S}}])
        paced = self.test.submit([{"path": p, "shell": stamp + "paced"} for p in "abc"], interval_s=INTERVAL_S)
        late = self.test.submit([{"path": "a", "shell": "trap '%sdeadline; exit 1' TERM; sleep 100 & wait" % stamp}], deadline_s=DEADLINE_S)
        self.wait_in_vain(late)
        for run in (timed, paced, late):
            self.test.ends(run)
        at = {name: stamps(out + "." + name) for name in ("timeout", "retry", "paced", "deadline")}
        self.judge(began, at, self.test.starts - starts)

    def wait_in_vain(self, run):
        """A connection that is broken by a restart says nothing about clocks."""
        began = uptime()
        try:
            with varlink.Connection(self.test.daemon.socket) as conn:
                conn.call("Wait", targets=[{"run": run}], timeout_s=WAIT_S)
        except (OSError, EOFError):
            return
        self.took("wait", uptime() - began, WAIT_S)

    def judge(self, began, at, restarts):
        """What is left of a wait when jobd starts is known by the wall clock: after a jump it is anything from nothing to the whole."""
        self.took("timeout", at["timeout"][0] - began, TIMEOUT_S)
        self.took("deadline", at["deadline"][0] - began, DEADLINE_S, restarts)
        self.took("retry", at["retry"][1] - at["retry"][0], BACKOFF_S, restarts)
        self.took("paced", at["paced"][2] - began, 2 * INTERVAL_S, restarts)    # the first may read its clock late, but began no earlier

    def took(self, what, seconds, expected, restarts=0):
        self.off[what] = max(self.off.get(what, 0), seconds - expected)
        least, most = 0 if restarts else expected - EARLY_S, expected * (1 + restarts)
        assert least <= seconds <= most + LATE_S, "%s took %.3f s instead of %.1f s" % (what, seconds, expected)


def stamps(path):
    with open(path, encoding="ascii") as f:
        times = [float(line) for line in f]
    os.unlink(path)
    return times


class Test:
    def __init__(self, seed, folder):
        self.rng, self.folder, self.clock = random.Random(seed), folder, Clock(folder)
        self.daemon = kit.Daemon(folder=folder, config="slots = 16\nretain_days = 0\n", env=self.clock.env)
        self.serving = threading.Event()
        self.last_run, self.starts, self.seen = 0, 0, {}

    def asked(self, what, **parameters):
        """The answer, however often jobd is killed meanwhile."""
        while True:
            self.serving.wait(kit.PATIENCE)
            try:
                with varlink.Connection(self.daemon.socket) as conn:
                    return conn.call(what, **parameters)
            except (OSError, EOFError):
                pass

    def submit(self, jobs, **run):
        key = "k%d" % self.rng.randrange(1 << 60)
        return str(self.asked("Submit", run=dict(run, key=key, workers=16), jobs=jobs)["run"])

    def ends(self, run):
        assert self.asked("Wait", targets=[{"run": run}], timeout_s=kit.PATIENCE - 5)["done"], "run %s does not end" % run

    def start(self):
        self.starts += 1
        self.daemon.start()
        self.serving.set()

    def note_cpu(self):
        """Of the processes that there are, by pid, before they are killed."""
        for pid in [self.daemon.process.pid] + worlds.processes_with_arguments(os.path.basename(kit.RUNNER), self.daemon.state):
            self.seen[pid] = cpu_s(pid)

    def jump(self, rng):
        dead = rng.random() < 0.25
        if dead:
            self.serving.clear()
            self.note_cpu()
            self.daemon.kill()
        self.clock.jump(rng)
        if dead:
            self.start()
        self.look_at_times()

    def look_at_times(self):
        """A run of now has times of now, and a higher number than any before."""
        run = self.submit([{"path": "now", "shell": "true"}])
        self.ends(run)
        assert int(run) > self.last_run, "run %s came after run %d" % (run, self.last_run)
        self.last_run = int(run)
        got = self.asked("Get", run=run, path="now")
        for what, shown in [("submitted_at", got["run"]["submitted_at"])] + [(w, got["job"][w]) for w in ("started_at", "ended_at")]:
            assert self.clock.seconds_off(shown) < 5, "%s is %s with the clock at %+d s" % (what, shown, self.clock.offset_s)
        wall_s = got["attempts"][0]["wall_s"]
        assert 0 <= wall_s < 5, "an attempt is said to have taken %s s" % wall_s

    def look_at_order(self):
        numbers = [row["run"] for row in self.asked("List", limit=1000)["runs"]]
        assert numbers == sorted(numbers, reverse=True), "runs are listed as %s" % numbers
        seqs = [event["seq"] for event in self.asked("Watch", since=0)["events"]]
        assert seqs == sorted(set(seqs)), "events are told as %s" % seqs

    def live(self, jumps):
        self.start()
        self.look_at_times()
        rounds, began = Rounds(self), time.monotonic()
        rounds.start()
        for _ in range(jumps):
            rounds.closing.wait(self.rng.random() * 0.6)
            self.jump(self.rng)
            if rounds.failure:
                break
        rounds.closing.set()
        rounds.join()
        if rounds.failure:
            raise rounds.failure
        self.note_cpu()
        self.look_at_order()
        busy = sum(self.seen.values()) / (time.monotonic() - began)
        assert busy < BUSY, "jobd and its runner took %.0f %% of a processor" % (busy * 100)
        print("%d jumps, %d rounds, %.0f %% of a processor; latest by s: %s" % (
            jumps, rounds.n, busy * 100, ", ".join("%s %.2f" % item for item in sorted(rounds.off.items()))))


def cpu_s(pid):
    with open("/proc/%d/stat" % pid, encoding="ascii") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main():
    seed, jumps = os.environ.get("JOBD_SEED") or str(random.SystemRandom().randrange(1 << 32)), kit.size("JOBD_STRIKES", 20, 1000)
    print("JOBD_SEED=%s, %d jumps" % (seed, jumps), flush=True)
    with tempfile.TemporaryDirectory(prefix="jobd-", ignore_cleanup_errors=True) as folder:
        test = Test(seed, folder)
        try:
            test.live(jumps)
        except BaseException:
            print(test.daemon.said()[-20000:])
            raise
        finally:
            test.daemon.env.pop("LD_PRELOAD")
            test.daemon.__exit__(None)


if __name__ == "__main__":
    main()
