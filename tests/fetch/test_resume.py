#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A fetch that was killed, stopped or failed is gone on with: the bytes are the same, few come twice, and nothing foreign is believed."""
import hashlib
import os
import random
import signal

import kit
from kit import SHORT
from server import Server, Thing, after_the_first, noise

SIZE = 1_000_003
PARTS = ("--min-part", "64K", "-x", "4")
DATA, OTHER = noise(SIZE), noise(SIZE, 2)
KILLS = 5000 if kit.SOAK else 60 if kit.SANITIZED else 250


def claims(state):
    """(start, written) of each part."""
    return [tuple(int(v) for v in line.split()[1:3]) for line in state.decode().splitlines() if line.startswith("part ")]


class Killed(kit.FetchTest):
    def setUp(self):
        super().setUp()
        self.server.stop()
        self.server = Server(sndbuf=16384)
        self.addCleanup(self.server.stop)

    def claims_hold(self, data, seed):
        """What the state claims is in the file."""
        try:
            state, part = self.read(self.name + ".part.state"), self.read(self.name + ".part")
        except FileNotFoundError:
            return 0
        for start, written in claims(state):
            self.assertTrue(part[start:written] == data[start:written], "seed %d: the state claims %d-%d" % (seed, start, written))
        return sum(written - start for start, written in claims(state))

    def kill_after(self, bytes_sent, *options):
        """Whether it was killed: else it had ended, well."""
        reached = self.server.alarm(bytes_sent)
        p = self.start(self.server.url("/x"), *options, stdout=None)
        while not reached.wait(0.02):
            if p.poll() is not None:
                break
        p.kill()
        err = p.communicate()[1]
        self.assertIn(p.returncode, (0, -signal.SIGKILL), err.decode())
        return p.returncode != 0

    def test_at_random_instants(self):
        seed = int(os.environ.get("JOBD_SEED", "1"))
        dice, kills, objects = random.Random(seed), 0, 0
        while kills < KILLS:
            objects += 1
            data = noise(dice.randrange(1 << 20, 6 << 20), objects)
            options = ("--min-part", dice.choice(("32K", "64K", "256K")), "-x", dice.choice((1, 2, 4, 8)), "--save-bytes", "64K", "--save-interval",
                       dice.choice(("0.01", "0.1", "2")), "--alloc", dice.choice(("fall", "sparse", "none")), "-q")
            self.server.add("/x", Thing(data, etag='"%d"' % objects))
            self.write(kit.OLD)
            while self.kill_after(dice.randrange(0, 2 << 20), *options):
                kills += 1
                self.assertTrue(self.read() in (kit.OLD, data), "seed %d, kill %d" % (seed, kills))     # it may have been killed after its rename
                self.claims_hold(data, seed)
            self.assertTrue(self.read() == data, "seed %d, object %d" % (seed, objects))
            self.assertEqual(["out"], self.left())
        print("seed %d: %d kills, %d objects" % (seed, kills, objects))

    def test_few_bytes_come_twice(self):
        """At most --save-bytes and the pool - and what the kernel held, which nobody has read."""
        streams, save, size = 2, 1 << 20, 48 << 20
        with open("/proc/sys/net/ipv4/tcp_rmem", encoding="ascii") as f:
            kernel = streams * (int(f.read().split()[2]) + 2 * 16384)
        bound = save + 3 * streams * (256 << 10) + kernel
        data = noise(size)
        self.server.add("/x", Thing(data))
        options = ("-x", streams, "--save-bytes", save, "--min-part", "1M", "-q")
        most = 0
        while self.kill_after(20 << 20, *options):
            sent, claimed = self.server.passed, self.claims_hold(data, 0)
            self.assertGreater(claimed, 0)
            lost = sent - claimed
            self.assertLessEqual(lost, bound)
            most = max(most, lost)
            with self.server.lock:
                self.server.passed = claimed    # what was lost is paid; the next round starts from what is there
        self.assertTrue(self.read() == data)
        print("at most %d bytes came twice after a kill; the bound is %d" % (most, bound))


class Resumed(kit.FetchTest):
    def broken(self, thing=None, options=PARTS, url=None):
        """Leaves a fetch that has got its first part and half of another."""
        thing = thing or Thing(DATA)
        self.server.forget()
        self.server.add("/x", after_the_first(thing.part, lambda r: thing.part(r, cut=20000 if r.number == 2 else 0)))
        self.write(kit.OLD)
        done = self.fetch(url or self.server.url("/x"), *options, "--tries", "1")
        self.untouched(done, SHORT, left=("out.part", "out.part.state"))
        self.server.forget()
        return done

    def again(self, thing, *options, url=None):
        self.server.add("/x", thing)
        return self.fetch(url or self.server.url("/x"), *PARTS, *options)

    def resumed(self, done, data=DATA):
        self.right(done, data)
        self.assertGreater(done.end["resumed_bytes"], 0)
        self.assertEqual(len(data), done.end["resumed_bytes"] + done.end["received"])

    def anew(self, done, data):
        self.right(done, data)
        self.assertEqual(len(data), done.end["received"])
        self.assertEqual(0, done.end["resumed_bytes"])

    def test_only_what_lacks_is_asked_for(self):
        before = self.broken()
        done = self.again(Thing(DATA))
        self.resumed(done)
        self.assertEqual(before.end["bytes"], done.end["resumed_bytes"])
        self.assertEqual('"v1"', self.server.requests[0].headers["if-range"])

    def test_by_last_modified(self):
        old = Thing(DATA, etag=None, age=3600)
        self.broken(old)
        self.resumed(self.again(old))

    def test_changed_between_the_runs(self):
        self.broken()
        done = self.again(Thing(OTHER, '"v2"'))
        self.anew(done, OTHER)
        self.assertEqual(0, done.end["restarts"])

    def test_changed_in_length_between_the_runs(self):
        self.broken()
        longer = noise(SIZE + 7, 3)
        self.anew(self.again(Thing(longer, '"v2"')), longer)

    def test_changed_and_the_server_knows_no_conditions(self):
        self.broken()
        other = Thing(OTHER, '"v2"')
        self.right(self.again(lambda r: other.part(r) if r.range else other.whole(r)), OTHER)

    def test_a_validator_that_is_gone(self):
        self.broken()
        self.anew(self.again(Thing(OTHER, etag=None)), OTHER)

    def test_ranges_that_are_gone(self):
        self.broken()
        self.right(self.again(lambda r: Thing(DATA).whole(r)), DATA)

    def test_without_a_validator_only_if_size_is_trusted(self):
        bare = Thing(DATA, etag=None)
        self.broken(bare)
        self.anew(self.again(bare), DATA)
        self.broken(bare)
        self.resumed(self.again(bare, "--trust-size"))

    def test_another_url_is_another_object(self):
        self.broken()
        self.server.add("/y", Thing(OTHER))
        self.anew(self.fetch(self.server.url("/y"), *PARTS), OTHER)
        self.broken(url=self.server.url("/x?signature=1"))
        self.anew(self.again(Thing(OTHER), url=self.server.url("/x?signature=2")), OTHER)

    def test_another_range_is_another_fetch(self):
        self.broken()
        self.anew(self.again(Thing(DATA), "--range", "0-499999"), DATA[:500_000])

    def test_a_range_is_gone_on_with(self):
        self.broken(options=(*PARTS, "--range", "100000-999999"))
        self.resumed(self.again(Thing(DATA), "--range", "100000-999999"), DATA[100_000:1_000_000])

    def test_a_state_that_is_damaged_foreign_or_not_matched_by_the_file(self):
        path = self.name + ".part.state"

        def edit(change):
            self.write(change(self.read(path)), path)
        for what in (lambda: edit(lambda s: s[:-20]), lambda: edit(lambda s: b""), lambda: edit(lambda s: s.replace(b"part 0 ", b"part 0 9")),
                     lambda: edit(lambda s: s.replace(b"jobd-fetch 1", b"jobd-fetch 2")), lambda: os.unlink(path), lambda: os.unlink(self.name + ".part"),
                     lambda: os.truncate(self.name + ".part", 60000), lambda: edit(lambda s: noise(5000)), lambda: edit(lambda s: noise(2 << 20))):
            with self.subTest(what):
                self.broken()
                what()
                self.anew(self.again(Thing(OTHER)), OTHER)

    def test_a_state_that_is_a_link_is_not_followed(self):
        self.broken()
        os.rename(self.name + ".part.state", self.folder + "/elsewhere")
        os.symlink(self.folder + "/elsewhere", self.name + ".part.state")
        done = self.again(Thing(DATA))
        self.right(done, DATA, left=("elsewhere", "out"))
        self.assertEqual(0, done.end["resumed_bytes"])

    def test_leftovers_without_a_state_are_overwritten(self):
        self.write(noise(3 * SIZE, 9), self.name + ".part")
        self.anew(self.again(Thing(DATA)), DATA)

    def test_all_is_there_and_a_checksum_is_known(self):
        state = self.seal(checksum=hashlib.sha256(DATA).hexdigest())
        self.assertIn(b"checksum sha256:", state)
        done = self.again(Thing(DATA))
        self.right(done, DATA)
        self.assertEqual([], self.server.requests)

    def test_all_is_there_and_no_checksum_is_known(self):
        self.seal()
        self.right(self.again(Thing(DATA)), DATA)
        self.assertEqual(["bytes=%d-" % SIZE], [r.headers.get("range") for r in self.server.requests])
        self.assertEqual('"v1"', self.server.requests[0].headers["if-range"])

    def test_all_is_there_but_it_is_another_object_now(self):
        self.seal()
        self.anew(self.again(Thing(OTHER, '"v2"')), OTHER)
        self.seal()
        longer = noise(SIZE + 100, 4)
        self.anew(self.again(Thing(longer, '"v2"')), longer)

    def test_all_is_there_and_the_server_ignores_ranges(self):
        self.seal()
        done = self.again(lambda r: Thing(DATA).whole(r))
        self.right(done, DATA)
        self.assertEqual(0, done.end["received"])

    def test_all_is_there_and_wrong(self):
        self.seal(checksum="0" * 64)
        self.write(kit.OLD)
        self.untouched(self.again(Thing(DATA)), kit.SUM, left=())

    def test_a_checksum_that_is_given_now_counts_more_than_that_of_the_state(self):
        self.seal(checksum="0" * 64)
        done = self.again(Thing(DATA), "--checksum", "sha256:" + hashlib.sha256(DATA).hexdigest())
        self.right(done, DATA)
        self.assertEqual([], self.server.requests)

    def seal(self, checksum=None):
        """What a fetch leaves that dies before its rename: all bytes, and a state that says so."""
        self.broken()
        path = self.name + ".part.state"
        lines = [line for line in self.read(path).decode().splitlines() if not line.startswith(("part ", "crc ", "checksum "))]
        if checksum:
            lines.append("checksum sha256:" + checksum)
        body = "\n".join(lines + ["part 0 %d %d\n" % (SIZE, SIZE)]).encode()
        self.write(body + b"crc %08x\n" % kit.crc32(body), path)
        self.write(DATA, self.name + ".part")
        return self.read(path)

    def test_a_signal_notes_down_all_that_came(self):
        for sig in (signal.SIGTERM, signal.SIGINT):
            with self.subTest(sig):
                self.server.forget()
                self.server.add("/x", lambda r: Thing(DATA).part(r) if r.number == 1 else Thing(DATA).part(r, rate=200_000))
                self.write(kit.OLD)
                reached = self.server.alarm(300_000)
                p = self.start(self.server.url("/x"), *PARTS, "--save-interval", "1000", "--stats")
                self.assertTrue(reached.wait(kit.PATIENCE))
                p.send_signal(sig)
                out, err = p.communicate(timeout=kit.PROMPT)
                self.assertEqual(-sig, p.returncode, err)
                ended = kit.Done(p, out, err)
                self.assertEqual(sig, ended.end["signal"])
                self.assertGreater(ended.end["bytes"], 65536)
                self.assertEqual(kit.OLD, self.read())
                self.server.forget()
                done = self.again(Thing(DATA))
                self.resumed(done)
                self.assertEqual(ended.end["bytes"], done.end["resumed_bytes"])

    def test_a_signal_while_nothing_comes(self):
        self.server.add("/x", lambda r: r.stall())
        self.write(kit.OLD)
        p = self.start(self.server.url("/x"))
        while not self.server.requests:
            self.server.over.wait(0.01)
        p.terminate()
        p.communicate(timeout=kit.PROMPT)
        self.assertEqual(-signal.SIGTERM, p.returncode)
        self.assertEqual(["out"], self.left())

    def test_a_failure_keeps_what_is_there_whatever_failed(self):
        self.broken()
        for status in (403, 405, 451):
            self.server.add("/x", lambda r, status=status: r.send(status, []))
            self.untouched(self.fetch(self.server.url("/x"), *PARTS), kit.HTTP, left=("out.part", "out.part.state"))
        self.server.add("/x", lambda r: r.stall())
        self.untouched(self.fetch(self.server.url("/x"), *PARTS, "--deadline", "0.2"), kit.DEADLINE, left=("out.part", "out.part.state"))
        self.resumed(self.again(Thing(DATA)))

    def test_a_fetch_that_cannot_start_leaves_what_is_there(self):
        no_thread = self.failing("clone3:error=EAGAIN")
        self.write(kit.OLD)
        self.untouched(self.fetch(self.server.add("/x", Thing(DATA)), before=no_thread), kit.IO, left=())
        self.broken()
        self.untouched(self.fetch(self.server.url("/x"), *PARTS, before=no_thread), kit.IO, left=("out.part", "out.part.state"))
        self.resumed(self.again(Thing(DATA)))

    def test_an_object_that_is_gone_leaves_nothing_to_go_on_with(self):
        for status in (404, 410):
            with self.subTest(status):
                self.broken()
                self.server.add("/x", lambda r, status=status: r.send(status, []))
                self.untouched(self.fetch(self.server.url("/x"), *PARTS), kit.HTTP, left=())


if __name__ == "__main__":
    kit.main()
