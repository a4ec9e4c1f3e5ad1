#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""jobctl map --local: the cases of all maps, and what concerns its own spool and log."""
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
        out = self.run_map("-j4", "--buffer-bytes", "64K", "--stats", "--shell", "head -c 1000000 /dev/zero | tr '\\0' $1", text="a\nb\nc\nd\n")
        numbers = self.numbers(out)
        self.assertLessEqual(numbers["memory_max"], 65536 + 4 * 65600)
        self.assertGreater(numbers["spooled_bytes"], 0)
        self.assertEqual(b"".join(c * 1000000 for c in (b"a", b"b", b"c", b"d")), out.stdout)
        self.assertEqual(0, out.returncode)


class Forms(Local, cases.Forms, unittest.TestCase):
    pass


class Input(Local, cases.Input, unittest.TestCase):
    pass


class Batches(Local, cases.Batches, unittest.TestCase):
    def test_limits(self):
        done = subprocess.run([kit.JOBCTL, "limits", "--os", "posix"], capture_output=True, text=True, env=self.env)
        self.assertRegex(done.stdout, r"(?m)^exec +4096 ")


class Ends(Local, cases.Ends, unittest.TestCase):
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

    def test_a_log_is_a_log(self):
        with open(os.path.join(self.folder, "text"), "w", encoding="ascii") as f:
            f.write("no database" * 100)
        self.assertEqual(2, self.run_map("--log", "text", "echo").returncode)


if __name__ == "__main__":
    unittest.main()
