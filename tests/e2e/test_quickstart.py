#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""./quickstart does what the README says of it: the pipeline runs, the copies are checked, nothing is left; and a copy that somebody breaks
while it runs makes it fail and say which."""
import glob
import json
import os
import re
import subprocess
import unittest

import kit


class Quickstart(unittest.TestCase):
    def start(self, kbps):
        env = dict(os.environ, REPLICATE_SLOW_KBPS=str(kbps))
        self.process = subprocess.Popen([os.path.join(kit.SOURCE, "quickstart"), "--built", kit.BUILD], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, text=True, env=env)
        self.addCleanup(self.process.stdout.close)
        self.said = ""

    def read_until(self, pattern):
        for line in self.process.stdout:
            self.said += line
            found = re.search(pattern, line)
            if found:
                return found
        self.fail("never said %r:\n%s" % (pattern, self.said))

    def finish(self):
        self.said += self.process.stdout.read()
        return self.process.wait(kit.PATIENCE)

    def test_all_is_well(self):
        self.start(4000)
        folder = self.read_until(r"private daemon in (\S+)").group(1)
        self.assertEqual(0, self.finish(), self.said)
        for target in ("fast", "flaky", "slow"):
            self.assertRegex(self.said, r"(?m)^%s +41 files and the database: same as the source$" % target)
        self.assertFalse(os.path.exists(folder))

    def test_a_copy_broken_meanwhile_is_found(self):
        self.start(400)
        folder = self.read_until(r"private daemon in (\S+)").group(1)
        self.read_until("To see it fail")
        events = subprocess.Popen([kit.JOBCTL, "--socket", folder + "/socket", "events", "--json", "--since", "0", "-f"], stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, text=True)
        for line in events.stdout:
            event = json.loads(line)
            if event["kind"] == "ended" and (event.get("path") or "").endswith("fast/verify"):
                break
        events.kill()
        events.wait()
        events.stdout.close()
        (diary,) = glob.glob(folder + "/data/targets/fast/*/files/diary.txt")
        with open(diary, "a", encoding="utf-8") as f:
            f.write("broken\n")
        self.assertEqual(1, self.finish(), self.said)
        self.assertIn("differs: ./diary.txt", self.said)
        self.assertIn('the copy at the target "fast" is not the source', self.said)
        self.assertFalse(os.path.exists(folder))


if __name__ == "__main__":
    unittest.main()
