#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# timeout: 240
"""Items on standard input that are too large for one call: their parts, their files, and who dies meanwhile."""
import hashlib
import os
import signal
import subprocess
import unittest

import kit
import maps
from maps import b64
from test_map_protocol import MapCase

MIB = 1 << 20


def pattern(n, seed=0):
    """n bytes without a line's end, cheap to make, no two blocks alike."""
    block = b"".join(hashlib.sha256(b"%d/%d" % (seed, i)).hexdigest().encode() for i in range(1024))
    return (block * (n // len(block) + 1))[:n - 8] + b"%08d" % seed if n >= 8 else block[:n]


def digest(data):
    return hashlib.sha256(data).hexdigest().encode()


def said(data):
    return b"\n" + digest(data) + b"  -\n"


class Files(MapCase):
    def files(self):
        """Those of runs: jobd keeps some for the next ones beside them."""
        return sorted(name for folder, _, names in os.walk(os.path.join(self.d.state, "out")) if os.path.basename(folder).isdigit() for name in names)

    def inputs(self):
        return [name for name in self.files() if ".in" in name]


class Parts(Files):
    """What MapInput takes, and what becomes of it."""

    def sum_map(self, **options):
        return self.map("sha256sum", stdin=True, **options)

    def test_an_item_of_many_parts_is_the_standard_input(self):
        m, data = self.sum_map(), pattern(5 * MIB + 1)
        tag = m.put_input(data)
        e = m.next_ended()
        self.assertEqual((tag, digest(data) + b"  -\n"), (e["tag"], e["out"]))
        m.delivered(tag)
        m.end()

    def test_the_command_may_open_it_by_name(self):
        m, data = self.shell_map("cat /dev/stdin | wc -c", stdin=True), pattern(MIB)
        m.put_input(data)
        self.assertEqual(b"%d\n" % MIB, m.next_ended()["out"])

    def test_every_attempt_reads_it_from_its_beginning(self):
        m, data = self.shell_map("sha256sum; exit $((JOBD_ATTEMPT < 3))", stdin=True, retry=dict(max=5, cap_s=0)), pattern(MIB)
        m.put_input(data)
        e = m.next_ended()
        self.assertEqual((3, digest(data) + b"  -\n"), (e["attempts"], e["out"]))

    def test_the_file_goes_when_the_item_has_ended(self):
        m = self.sum_map()
        m.put_input(pattern(MIB))
        m.next_ended()
        self.assertEqual([], self.inputs())

    def test_the_file_goes_when_the_item_is_stopped_before_it_began(self):
        m = self.map(*self.pup.argv("x"), stdin=True, slots=1)
        m.put(b"first")
        self.pup.accept()
        m.put_input(pattern(MIB))
        m.tell("Stop", now=True)
        self.assertEqual({"cancelled"}, {e["reason"] for e in m.all_ended(2).values()})
        self.assertEqual([], self.inputs())

    def test_one_that_was_begun_and_not_put_goes_with_its_client(self):
        m = self.sum_map()
        m.tell("Input", tag=m.tag, offset=0, data_b64=b64(b"x" * 1000))
        m.put(b"small")
        m.next_ended()
        self.assertEqual([], self.inputs())
        m.tell("Input", tag=m.tag, offset=0, data_b64=b64(b"x" * 1000))
        m.close()
        self.wait(str(m.run))
        self.assertEqual([], self.files())

    def test_a_part_at_another_place_is_a_mistake(self):
        m = self.sum_map()
        m.tell("Input", tag=m.tag, offset=0, data_b64=b64(b"abc"))
        m.tell("Input", tag=m.tag, offset=4, data_b64=b64(b"abc"))
        self.assertIn("there are 3 bytes: the next part cannot begin at 4", str(self.mistake(m)))

    def test_what_is_put_has_to_be_what_was_told(self):
        m = self.sum_map()
        m.tell("Input", tag=m.tag, offset=0, data_b64=b64(b"abc"))
        m.tell("Put", items=[dict(tag=m.tag, seq=1, input_bytes=4)])
        self.assertIn("is to have 4 bytes of standard input, and 3 were told", str(self.mistake(m)))

    def test_an_item_is_given_in_one_way(self):
        m = self.sum_map()
        m.tell("Put", items=[dict(tag=m.tag, seq=1)])
        self.assertIn("either items_b64 or input_bytes", str(self.mistake(m)))

    def test_what_is_no_base64_is_a_mistake(self):
        m = self.sum_map()
        m.tell("Input", tag=m.tag, offset=0, data_b64="ab c")
        self.assertIn("data_b64 must be base64", str(self.mistake(m)))

    def test_only_an_item_on_standard_input_has_one(self):
        m = self.map("true")
        m.tell("Input", tag=m.tag, offset=0, data_b64=b64(b"abc"))
        self.assertIn("command.stdin is not set", str(self.mistake(m)))


class Budget(Files):
    config = "slots = 4\nlog_level = warning\noutput_total = 4M\n"

    def test_what_finds_no_room_is_refused_and_leaves_none(self):
        m = self.map("sha256sum", stdin=True)
        m.put_input(pattern(3 * MIB))
        m.next_ended()
        m.put_input(pattern(5 * MIB))
        self.assertIn("finds no room: outputs have reached output_total", str(self.mistake(m)))
        self.wait(str(m.run))
        self.assertEqual([], self.files())

    def test_room_is_given_back_with_each_item(self):
        m = self.map("sha256sum", stdin=True)
        for i in range(4):
            m.put_input(pattern(3 * MIB, i))
            self.assertEqual(digest(pattern(3 * MIB, i)) + b"  -\n", m.next_ended()["out"])


class Deaths(Files):
    """kill -9 of jobd, of the client, of the runner."""

    def held_map(self, **options):
        """Items that begin wait for the word; then they say what they have read."""
        return self.shell_map("echo; %s %s x; sha256sum" % tuple(self.pup.argv("x")[:2]), stdin=True, slots=1, **options)

    def settle(self, m, tag):
        """What was said before has been heard, and is durable: the answer to this comes behind it, from an item that runs."""
        m.read(tag, size=1)
        self.assertEqual(b"\n", m.next_data()["data"])
        self.shown(m)

    def test_an_item_outlives_the_daemon(self):
        m, data = self.held_map(), [pattern(2 * MIB, i) for i in range(3)]
        tags = [m.put_input(d) for d in data]
        self.pup.accept()
        self.settle(m, tags[0])
        self.restart()
        back = maps.MapClient(self.d.socket, attach=m.run)
        self.addCleanup(back.close)
        self.assertEqual(tags, back.hello["in_hand"])
        self.pup.end("x", 0)
        for _ in tags[1:]:
            self.pup.accept()
            self.pup.end("x", 0)
        ended = back.all_ended(3)
        self.assertEqual([said(d) for d in data], [ended[t]["out"] for t in tags])
        self.assertEqual([], self.inputs())

    def test_half_of_one_does_not_outlive_the_daemon(self):
        m = self.held_map()
        first, = m.put(b"first")
        self.pup.accept()
        m.tell("Input", tag=m.tag, offset=0, data_b64=b64(b"x" * 1000))
        self.settle(m, first)
        self.assertEqual(1, len(self.inputs()))
        self.restart()
        back = maps.MapClient(self.d.socket, attach=m.run)
        self.addCleanup(back.close)
        back.tag = m.tag
        data = pattern(2 * MIB)
        tag = back.put_input(data)
        self.pup.end("x", 0)
        self.pup.accept()
        self.pup.end("x", 0)
        self.assertEqual(said(data), back.all_ended(2)[tag]["out"])
        back.delivered(tag - 1, tag)
        back.end()
        self.assertEqual([], self.files())

    def test_an_item_outlives_the_runner(self):
        m, data = self.held_map(), pattern(2 * MIB)
        m.put_input(data)
        self.pup.accept()
        os.kill(self.call("Stats")["runner_pid"], signal.SIGKILL)
        self.pup.accept()
        self.pup.end("x", 0)
        e = m.next_ended()
        self.assertEqual((2, said(data)), (e["attempts"], e["out"]))

    def test_a_later_client_takes_it_over_and_tells_what_is_not_known(self):
        first, data = self.held_map(name="m"), [pattern(MIB, i) for i in range(2)]
        first.put_input(data[0])
        self.pup.accept()
        self.lose(first)
        second = self.held_map(name="m", resume=True)
        tags = [second.put_input(d) for d in data]
        self.pup.end("x", 0)
        self.pup.accept()
        self.pup.end("x", 0)
        ended = second.all_ended(2)
        self.assertEqual([said(d) for d in data], [ended[t]["out"] for t in tags])
        second.delivered(*tags)
        second.end()
        third = self.held_map(name="m", resume=True)
        tags = [third.put_input(d) for d in data]
        self.assertEqual([True, True], [e["known"] for e in third.all_ended(2).values()])
        third.delivered(*tags)
        third.end()
        self.assertEqual([], self.inputs())


class Client(Files):
    """Through jobctl."""

    def run_map(self, *words, data, **more):
        return subprocess.run([kit.JOBCTL, "--socket", self.d.socket, "map", *words], input=data, capture_output=True, timeout=kit.PATIENCE,
                              env=self.d.env, check=False, **more)

    def test_items_of_any_size_keep_their_order(self):
        items = [pattern(n, i) for i, n in enumerate((3, 3 * MIB, 1, 262144, 262145, 786432, 8 * MIB, 5))]
        done = self.run_map("-0", "--stdin", "item", "-j3", "sha256sum", data=b"\0".join(items))
        self.assertEqual((0, b"", b"".join(digest(d) + b"  -\n" for d in items)), (done.returncode, done.stderr, done.stdout))
        self.assertEqual([], self.files())

    def test_blocks_of_lines(self):
        lines = b"".join(pattern(1000, i) + b"\n" for i in range(6000))
        done = self.run_map("--block", "2M", "-j2", "cat", data=lines)
        self.assertEqual((0, digest(lines)), (done.returncode, digest(done.stdout)))

    def test_more_than_the_spool_may_hold_goes_one_by_one(self):
        items = [pattern(2 * MIB, i) for i in range(5)]
        done = self.run_map("-0", "--stdin", "item", "--spool-bytes", "1M", "--buffer-bytes", "1M", "sha256sum", data=b"\0".join(items))
        self.assertEqual((0, b"".join(digest(d) + b"  -\n" for d in items)), (done.returncode, done.stdout))

    def test_the_daemon_holds_a_part_and_not_the_item(self):
        if kit.SANITIZED:
            print("\nSKIP: the memory of a sanitizer is not ours", flush=True)
            self.skipTest("the memory of a sanitizer is not ours")
        done = self.run_map("--stdin", "item", "sha256sum", data=pattern(48 * MIB))
        self.assertEqual(digest(pattern(48 * MIB)) + b"  -\n", done.stdout)
        with open("/proc/%d/status" % self.d.process.pid, encoding="ascii") as f:
            peak = next(int(line.split()[1]) for line in f if line.startswith("VmHWM"))
        self.assertLess(peak, 32 << 10, "KiB")

    def test_the_daemon_dies_while_one_is_told(self):
        """The first item holds the slot until it has; then everything is told again."""
        items = [b"go"] + [pattern(4 * MIB, i) for i in range(4)]
        p = subprocess.Popen([kit.JOBCTL, "--socket", self.d.socket, "map", "-0", "--stdin", "item", "-j1", "--shell",
                              "%s %s x; sha256sum" % tuple(self.pup.argv("x")[:2])], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=self.d.env)
        self.addCleanup(p.wait)
        self.addCleanup(p.kill)
        p.stdin.write(b"\0".join(items))
        p.stdin.close()
        self.pup.accept()
        self.restart()
        for i in items:
            if i != items[0]:
                self.pup.accept()
            self.pup.end("x", 0)
        self.assertEqual(b"".join(digest(d) + b"  -\n" for d in items), p.stdout.read())
        self.assertEqual(0, p.wait(kit.PATIENCE))
        p.stdout.close()


if __name__ == "__main__":
    unittest.main()
