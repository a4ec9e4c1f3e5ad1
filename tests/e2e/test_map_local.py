#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""jobctl map --local: the cases of all maps, and what concerns its own spool and log."""
import json
import os
import subprocess
import unittest

import kit
import map_cases as cases


class Local:
    mode = ("--local",)
    keeps = ("--log", "l")


class Results(Local, cases.Results, unittest.TestCase):
    def test_large_outputs_wait_in_the_spool_and_stay_whole(self):
        """Where each gets its turn of the processor when it is the first anyway, nothing waits: then once more."""
        spooled = 0
        for _ in range(20):
            out = self.run_map("-j4", "--buffer-bytes", "64K", "--stats", "--shell", "head -c 1000000 /dev/zero | tr '\\0' $1", text="a\nb\nc\nd\n")
            numbers = self.numbers(out)
            self.assertLessEqual(numbers["memory_max"], 65536 + 4 * 65600)
            self.assertEqual(b"".join(c * 1000000 for c in (b"a", b"b", b"c", b"d")), out.stdout)
            self.assertEqual(0, out.returncode)
            spooled += numbers["spooled_bytes"]
            if spooled:
                break
        self.assertGreater(spooled, 0)

    def test_a_line_without_end_takes_no_more_memory(self):
        command = "(ulimit -v 200000; exec \"$@\" --line-buffer --shell 'head -c 300000000 /dev/zero') <<<a | wc -c"
        for order in ("-k", "-u"):
            if not kit.SANITIZED:
                done = subprocess.run(["bash", "-c", command, "sh", kit.JOBCTL, "map", *self.mode, order], capture_output=True, text=True, env=self.env,
                                      timeout=kit.PATIENCE)
                self.assertEqual(("300000000\n", ""), (done.stdout, done.stderr))


class Forms(Local, cases.Forms, unittest.TestCase):
    pass


class Input(Local, cases.Input, unittest.TestCase):
    pass


class LargeItems(Local, cases.LargeItems, unittest.TestCase):
    pass


class Batches(Local, cases.Batches, unittest.TestCase):
    def test_limits(self):
        done = subprocess.run([kit.JOBCTL, "limits", "--os", "posix"], capture_output=True, text=True, env=self.env)
        self.assertRegex(done.stdout, r"(?m)^exec +4096 ")


class Ends(Local, cases.Ends, unittest.TestCase):
    pass


class Endings(Local, cases.Endings, unittest.TestCase):
    pass


class Stages(Local, cases.Stages, unittest.TestCase):
    pass


class Progress(Local, cases.Progress, unittest.TestCase):
    pass


class Resume(Local, cases.Resume, unittest.TestCase):
    def test_what_was_finished_and_not_printed_survives_a_kill(self):
        """The head blocks the order; the others end behind it, the map is killed, and only the head runs again."""
        p, _ = self.map_with_a_blocked_head()
        p.kill()
        p.wait()
        self.assertEqual(["1", "2", "3", "4"], sorted(self.ran()))
        with open(os.path.join(self.folder, "go"), "w", encoding="ascii"):
            pass
        self.assertEqual(["got %d" % i for i in range(1, 5)], self.lines(*self.keeps, "--resume", "--shell", self.script, text=cases.seq(4)))
        self.assertEqual(["1"], self.ran())

    def test_outputs_of_any_size_are_in_the_log(self):
        """Around the megabyte that stands with the result, and of both streams."""
        script = "head -c $1 /dev/zero | tr '\\0' x; head -c $1 /dev/zero | tr '\\0' y >&2"
        words = ("--log", "l", "--out", "jsonl", "--stderr", "field", "--buffer-bytes", "64K")
        sizes = [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, (3 << 20) + 7]
        text = "".join("%d\n" % n for n in sizes)
        for more in ((), ("--resume=all",)):
            rows = [json.loads(line) for line in self.lines(*words, *more, "--shell", script, text=text)]
            self.assertEqual([("x" * n, "y" * n) for n in sizes], [(row["stdout"], row["stderr"]) for row in rows])

    def test_of_what_runs_again_nothing_is_left_in_the_log(self):
        script = "test -e short && echo short || { head -c 3000000 /dev/zero; exit 1; }"
        self.assertEqual(3000000, len(self.run_map("--log", "l", "--shell", script, text="1\n").stdout))
        with open(os.path.join(self.folder, "short"), "w", encoding="ascii"):
            pass
        for how in ("--resume-failed", "--resume=all"):
            self.assertEqual(b"short\n", self.run_map("--log", "l", how, "--shell", script, text="1\n").stdout)

    def test_a_log_takes_outputs_that_are_larger_than_the_memory(self):
        if kit.SANITIZED:
            return
        size = 160 << 20
        for more in ("", "--resume=all"):
            done = subprocess.run(["bash", "-c", '(ulimit -v 120000; exec "$@") | wc -c', "sh", kit.JOBCTL, "map", "--local", "--log", "l", *more.split(), "--buffer-bytes", "1M",
                                   "--shell", "head -c %d /dev/zero" % size], input=b"1\n", capture_output=True, env=self.env, timeout=kit.PATIENCE, cwd=self.folder)
            self.assertEqual((size, b""), (int(done.stdout), done.stderr))

    def test_a_log_is_a_log(self):
        with open(os.path.join(self.folder, "text"), "w", encoding="ascii") as f:
            f.write("no database" * 100)
        self.assertEqual(2, self.run_map("--log", "text", "echo").returncode)


if __name__ == "__main__":
    unittest.main()
