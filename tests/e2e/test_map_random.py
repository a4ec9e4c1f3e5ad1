#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# timeout: 240
"""Random histories of maps: a client that puts, hears, holds back, delivers, stops, goes and comes back, while jobd, its runner or both are killed.

What is promised at every instant is judged by those who see it: each command takes the lock of its slot, which only the kernel gives back, so two at a
time in one slot, and with that more than N at a time, are seen by the second; and commands and client write what they do into one file with O_APPEND,
before they do it, which puts all of it into one order.

    JOBD_SEED=N JOBD_HISTORY=M tests/e2e/test_map_random.py         # the history that failed
    JOBD_SOAK=1 tests/e2e/test_map_random.py                        # many
"""
import contextlib
import fcntl
import os
import random
import signal
import sqlite3
import unittest

import kit
import maps
import varlink

SEED = int(os.environ.get("JOBD_SEED") or random.randrange(1 << 32))
ONLY = os.environ.get("JOBD_HISTORY")
HISTORIES = range(int(ONLY), int(ONLY) + 1) if ONLY else range(600 if kit.SOAK else 30)

# $1: number, seconds, bytes, how often it fails, and how much follows on standard input. The lock is on a descriptor that everything it starts has too.
COMMAND = """
set -- $1
exec 9>>"$SLOTS/$JOBD_SLOT"
flock -n 9 || echo "clash $1 $JOBD_SLOT" >>"$TRACE"
echo "begin $1 $JOBD_ATTEMPT $JOBD_SLOT" >>"$TRACE"
[ $2 = 0 ] || sleep $2
[ $3 = 0 ] || yes "$1" | head -c $3
echo "end $1 $JOBD_ATTEMPT $JOBD_SLOT" >>"$TRACE"
[ $JOBD_ATTEMPT -gt $4 ]
"""
# The same, of an item on standard input: a line, and then x as often as it says.
FROM_STDIN = """
read -r line
set -- "$line" $line
[ "$(cat | tr x y | tr -d '\\n' | wc -c)" = $6 ] || echo "damaged $2" >>"$TRACE"
""" + COMMAND
LARGE = 300 << 10


class Item:
    def __init__(self, no, rng, on_stdin=False):
        self.no = no
        self.fails = rng.choice((0, 0, 0, 1, 2, 9))
        self.size = rng.choice((0, 10, 3000, 3000, 5000, 70000))
        self.more = rng.choice((0, 0, 100, LARGE, 1500000)) if on_stdin else 0
        text = "%d %s %d %d %d" % (no, rng.choice(("0", "0", "0.01", "0.03")), self.size, self.fails, self.more)
        self.data = text.encode() + (b"\n" + b"x" * self.more if on_stdin else b"")
        self.out = (b"%d\n" % no * self.size)[:self.size]

    def expected(self, retries):
        """Attempts and exit code, where nothing ends it."""
        return (self.fails + 1, 0) if self.fails <= retries else (retries + 1, 1)


class History:
    """One map, from its beginning to its end, through clients and daemons."""

    def __init__(self, case, seed):
        self.case, self.d = case, case.d
        self.rng = rng = random.Random(seed)
        self.folder = os.path.join(self.d.folder, "h%s" % seed.replace("/", "-"))
        self.trace = os.path.join(self.folder, "trace")
        os.makedirs(os.path.join(self.folder, "slots"))
        self.name = rng.choice((None, "m" + seed.replace("/", "-")))
        self.slots = self.slots_max = rng.randint(1, 4)
        self.window = rng.choice((self.slots, self.slots + 1, 8, 16))
        self.window = max(self.window, self.slots)
        self.retries = rng.choice((0, 1, 2))
        self.cap = rng.choice((None, None, 0, 4000))
        self.ordered = rng.random() < .6
        self.on_stdin = rng.random() < .3
        self.items = [Item(i, rng, self.on_stdin) for i in range(rng.randint(1, 40))]
        self.ended = {}                 # no -> what was told first
        self.delivered = set()          # by any client
        self.stopped = set()            # nos that a stop may have cut off
        self.resumed = self.rerun = self.ever_rerun = False
        self.fullest = 0
        self.n_kills = self.n_runner_kills = 0
        self.new_client()

    def fail(self, text):
        raise AssertionError(text)

    def check(self, fact, text, *args):
        if not fact:
            self.fail(text % args)

    def note(self, *words):
        with open(self.trace, "a", encoding="ascii") as f:
            f.write(" ".join(map(str, words)) + "\n")

    # ---- clients

    def options(self):
        env = dict(PATH=os.environ["PATH"], SLOTS=os.path.join(self.folder, "slots"), TRACE=self.trace)
        more = dict(name=self.name) if self.name else {}
        if self.cap is not None:
            more["undelivered_max"] = self.cap
        return dict(words=[FROM_STDIN if self.on_stdin else COMMAND], shell=True, stdin=self.on_stdin, slots=self.slots, window=self.window, env=env,
                    retry=dict(max=self.retries, on=["exit"], cap_s=0.01), **more)

    def begin(self):
        """What this client has in hand: tag -> item; those it has not heard of; what it will put."""
        self.hand, self.unheard, self.told, self.left = {}, set(), set(), set()
        self.has_stopped = False
        self.to_put = list(self.items)

    def new_client(self):
        self.begin()
        self.m = maps.MapClient(self.d.socket, resume=self.resumed, rerun_failed=self.rerun, hears=False, **self.options())
        hello = self.m.hear()
        self.m.greeted(self.m.hear() if hello.get("ending") else hello)
        self.first_tag = self.m.hello["next_tag"]

    def lose(self):
        """The client goes, and jobd knows it when this returns."""
        self.m.delivered(1 << 40)
        try:
            while not self.m.done:
                self.m.hear()
            self.fail("a mistake was not one")
        except varlink.Error:
            self.m.close()

    def resume(self):
        self.slots = self.rng.randint(1, 4)
        self.slots_max = max(self.slots, self.slots_max)
        self.window = max(self.window, self.slots)
        self.resumed, self.rerun = True, self.rng.random() < .3
        self.ever_rerun |= self.rerun
        self.note("client", self.slots, int(self.rerun))
        self.new_client()

    def attach(self):
        """To a jobd that was killed: what it does not have is put again, in its old order, under new tags."""
        old, tag = self.m, self.m.tag
        self.m = maps.MapClient(self.d.socket, attach=old.run, from_tag=self.first_tag, resume=self.resumed, rerun_failed=self.rerun)
        self.m.named, self.m.tag = bool(self.name), max(tag, self.m.hello["next_tag"])
        old.close()
        there = set(self.m.hello["in_hand"])
        for t in sorted(t for t in there if t >= self.first_tag and t not in self.hand):
            self.m.delivered(t)                 # it was, and nobody heard it; its end may be told again
            self.left.add(t)
        lost = [t for t in sorted(self.hand) if t not in there]
        self.to_put[:0] = [self.hand.pop(t) for t in lost]
        self.unheard = set(self.hand)
        self.told = set()

    # ---- what a client does

    def put(self):
        n = min(len(self.to_put), self.window - len(self.hand), self.rng.randint(1, self.window))
        if n <= 0:
            return
        batch, self.to_put = self.to_put[:n], self.to_put[n:]
        for i in batch:
            self.note("put", i.no)
        tags = self.tell(batch)
        self.hand.update(zip(tags, batch))
        self.unheard.update(tags)
        self.fullest = max(self.fullest, len(self.hand))

    def tell(self, items):
        if not self.on_stdin:
            return self.m.put(*(i.data for i in items))
        return [self.m.put_input(i.data) if i.more >= LARGE else self.m.put(i.data)[0] for i in items]

    def may_wait(self):
        """Something is bound to end: the oldest, which always may start, has not."""
        return self.unheard and min(self.hand) in self.unheard

    def hear(self):
        if self.may_wait():
            self.judge(self.m.next_ended())

    def judge(self, e):
        tag = e["tag"]
        if tag in self.left:
            return
        self.check(tag in self.hand, "an end of what is not in hand: %s", e)
        self.check(tag not in self.told, "told twice: %s", e)
        self.told.add(tag)
        self.unheard.discard(tag)
        item = self.hand[tag]
        self.compare(item, e)
        self.note("told", item.no, int(e["reason"] == "exit"), e.get("exit_code", -1))
        if e["reason"] != "cancelled" or item.no not in self.ended:       # stopped before it was looked up: it is as it was
            self.ended[item.no] = (e["reason"], e.get("exit_code"), e["attempts"])
        if e["reason"] == "exit":
            out = e["out"] if e["out"] is not None else self.m.read_all(tag, size=self.rng.choice((1000, 65536, 1 << 20)))
            self.check(out == item.out, "item %d wrote %d bytes, not its %d: %s", item.no, len(out), item.size, e)

    def compare(self, item, e):
        now = (e["reason"], e.get("exit_code"), e["attempts"])
        was = self.ended.get(item.no)
        if e["reason"] == "cancelled" or self.n_kills:
            self.check(e["reason"] != "cancelled" or self.has_stopped or item.no in self.stopped, "item %d was cancelled, and nobody stopped it", item.no)
        else:
            self.check(now[1:] == item.expected(self.retries)[::-1], "item %d ended as %s", item.no, now)
        if was and now[0] != "cancelled" and not (was[0] == "cancelled" or self.ever_rerun and was[1]):
            self.check(now == was, "item %d ended as %s, and then as %s", item.no, was, now)
        if e.get("known"):
            self.check(item.no in self.delivered, "item %d is said to have been delivered", item.no)

    def deliver(self, everything=False):
        ready = []
        for tag in sorted(self.hand):
            if tag not in self.unheard:
                ready.append(tag)
            elif self.ordered:
                break
        if not everything and ready:
            ready = ready[:self.rng.randint(1, len(ready))] if self.ordered else self.rng.sample(ready, self.rng.randint(1, len(ready)))
        for tag in ready:
            item = self.hand.pop(tag)
            self.delivered.add(item.no)
            self.note("deliver", item.no)
        if ready:
            self.m.delivered(*ready)

    def stop(self):
        self.stopped.update(self.hand[t].no for t in self.unheard)
        self.has_stopped = True                 # what an earlier client put, and this one asks for later, may be cut off as well
        self.note("stop")
        self.m.tell("Stop", now=self.rng.random() < .5)
        while self.unheard:                     # whatever the cap: nothing has to start for that
            self.judge(self.m.next_ended())

    def kill(self):
        self.n_kills += 1
        self.d.kill()
        self.note("killed")
        self.d.start()
        self.attach()

    def kill_runner(self):
        """What it ran is lost, and runs again; jobd starts another one by itself."""
        with varlink.Connection(self.d.socket, kit.PATIENCE) as c:
            pid = c.call("Stats")["runner_pid"]
        if pid:
            self.n_kills += 1
            self.n_runner_kills += 1
            self.note("runner-killed")
            os.kill(pid, signal.SIGKILL)

    def kill_both(self):
        self.kill_runner()
        self.kill()

    def leave(self):
        if self.name:
            self.lose()
            self.resume()

    def row(self):
        with varlink.Connection(self.d.socket, kit.PATIENCE) as c:
            row = {r["run"]: r for r in c.call("MapList")["maps"]}[self.m.run]
        # After a kill what may have begun counts, until the runner has said that it has not.
        self.check(row["running"] <= self.slots_max or self.n_kills, "%s run", row["running"])
        self.check(row["in_hand"] <= self.window or self.resumed, "%s are in hand", row["in_hand"])

    def step(self):
        acts = [(self.put, 8), (self.hear, 8), (self.deliver, 5), (self.row, 1), (self.kill, .25), (self.kill_runner, .15), (self.kill_both, .1), (self.leave, .4), (self.stop, .1)]
        self.rng.choices([a for a, _ in acts], [w for _, w in acts])[0]()

    def finish(self):
        """Everything that is to be put is; all is heard and delivered, or (of a map that ends so) some of it is given up."""
        while self.to_put or self.hand:
            self.put()
            self.hear()
            self.deliver(everything=True)
        if self.rng.random() < .2:              # one more than the window is refused, and the window was not
            self.to_put = [Item(1000 + i, self.rng) for i in range(self.window + 1)]
            self.m.put(*(i.data for i in self.to_put))
            self.to_put = []
            try:
                while True:
                    self.m.hear()
            except varlink.Error as e:
                self.check("one more than the window of %d" % self.window in str(e), "%s", e)
            if self.name:
                self.give_up()
        else:
            self.m.end()

    def give_up(self):
        with varlink.Connection(self.d.socket, kit.PATIENCE) as c:
            try:
                c.call("MapControl", run=str(self.m.run), how="stop")
            except varlink.Error:
                if not self.has_stopped:        # one that its client had stopped ends by itself
                    raise

    def run(self):
        for _ in range(self.rng.randint(5, 150)):
            self.step()
        self.finish()
        with varlink.Connection(self.d.socket, kit.PATIENCE) as c:
            c.call("Wait", targets=[dict(run=str(self.m.run))], timeout_s=kit.PATIENCE)
        self.m.close()
        self.all_is_gone()
        self.files_are_named()
        self.read_trace()

    # ---- judging

    def all_is_gone(self):
        """Nothing runs any more once the run has ended."""
        slots = os.path.join(self.folder, "slots")
        for name in os.listdir(slots):
            with open(os.path.join(slots, name), "ab") as f:
                fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def files_are_named(self):
        """Of the run no file is left but outputs that a record names. What a jobd was about to remove when it was killed goes with the run only."""
        if self.n_kills > self.n_runner_kills:
            return
        folder = os.path.join(self.d.state, "out", str(self.m.run))
        files = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
        if not files:
            return
        self.check(self.name, "the map had no name, and %s are left", files)
        with varlink.Connection(self.d.socket, kit.PATIENCE) as c:
            copy = c.call("Backup")["path"]
        with contextlib.closing(sqlite3.connect(copy)) as db:
            named = {"%d.%d.%s" % (job & 0xffffffff, attempt, stream)
                     for job, attempt, out, err in db.execute("SELECT id, attempt, out_bytes > 0 AND out IS NULL, err_bytes > 0 AND err IS NULL FROM attempts")
                     if job >> 32 == self.m.run for stream, is_file in (("out", out), ("err", err)) if is_file}
        self.check(set(files) <= named, "%s are left, and no record names them", sorted(set(files) - named))

    def read_trace(self):
        judge = Judge(self)
        with open(self.trace, encoding="ascii") as f:
            for line in f:
                word, *rest = line.split()
                getattr(judge, word, judge.nothing)(*map(int, rest))
        self.busiest = judge.busiest


class Judge:
    """The lines of a trace, in their order."""

    def __init__(self, h):
        self.h = h
        self.running, self.busiest = {}, 0      # slot -> item; ends of what is killed are not written, so a slot that is taken again is free
        self.slots, self.rerun = h.slots_max, False
        self.told_ok, self.cut = set(), False
        self.waiting = {}                       # ended and not delivered: item -> bytes
        self.put_order, self.gone = {}, set()

    def nothing(self, *_):
        pass

    def clash(self, no, slot):
        self.h.fail("item %d was given slot %d, in which another one ran" % (no, slot))

    def damaged(self, no):
        self.h.fail("item %d had another standard input" % no)

    def begin(self, no, attempt, slot):
        self.h.check(1 <= slot <= self.h.slots_max, "item %d was given slot %d of %d", no, slot, self.h.slots_max)
        self.h.check(no not in self.told_ok, "item %d ran again after its end was told", no)
        self.running[slot] = no
        self.busiest = max(self.busiest, len(self.running))
        self.waiting.pop(no, None)
        self.check_cap(no)

    def check_cap(self, no):
        """Only the oldest may begin beyond it. Of up to N that ended just now jobd did not know when it let this one begin."""
        if self.h.cap is None or self.h.resumed or self.h.stopped or self.h.n_runner_kills or no >= 1000:
            return
        older = [o for o in self.put_order if self.put_order[o] < self.put_order[no] and o not in self.gone]
        most = self.h.cap + self.h.slots_max * max(i.size for i in self.h.items)
        known = sum(self.waiting.values())
        self.h.check(not older or known <= most, "item %d began while %d bytes waited", no, known)

    def end(self, no, attempt, slot):
        self.running.pop(slot, None)
        if no < 1000 and attempt >= self.h.items[no].expected(self.h.retries)[0]:
            self.waiting[no] = self.h.items[no].size

    def put(self, no):
        self.put_order[no] = len(self.put_order)
        self.gone.discard(no)

    def told(self, no, exited, code):
        if exited and not (self.h.ever_rerun and code):
            self.told_ok.add(no)

    def deliver(self, no):
        self.waiting.pop(no, None)
        self.gone.add(no)


class Random(unittest.TestCase):
    def test_what_is_promised_at_every_instant_holds_in_random_histories(self):
        print("\nJOBD_SEED=%d, %d histories" % (SEED, len(HISTORIES)), flush=True)
        reached = {"window": 0, "slots": 0, "kills": 0, "runner kills": 0, "clients": 0, "inputs": 0}
        with kit.Daemon(config="slots = 8\nlog_level = warning\n") as self.d:
            for n in HISTORIES:
                h = None
                try:
                    h = History(self, "%d/%d" % (SEED, n))
                    h.run()
                except Exception as e:
                    if h and ONLY and os.path.exists(h.trace):
                        with open(h.trace, encoding="ascii") as f:
                            print(f.read())
                    raise AssertionError("JOBD_SEED=%d JOBD_HISTORY=%d: %s: %s" % (SEED, n, type(e).__name__, e)) from e
                reached["window"] += h.fullest == h.window
                reached["slots"] += h.busiest == h.slots_max
                reached["kills"] += h.n_kills
                reached["runner kills"] += h.n_runner_kills
                reached["clients"] += h.resumed
                reached["inputs"] += h.on_stdin and any(i.more >= LARGE for i in h.items)
        print("of these reached %s" % reached, flush=True)
        if not ONLY:
            self.assertTrue(all(reached.values()), reached)


if __name__ == "__main__":
    unittest.main()
