# SPDX-License-Identifier: MIT
"""Outputs on file systems of their own: one that is full, and one that can not punch holes. In a mount namespace of this process and those it
starts, so that nothing is left behind."""
import ctypes
import os
import subprocess
import sys
import unittest

import kit
from case import Case

CLONE_NEWNS = 0x20000


def own_namespace():
    return (os.geteuid() == 0 and ctypes.CDLL(None).unshare(CLONE_NEWNS) == 0 and
            subprocess.run(["mount", "--make-rprivate", "/"], stderr=subprocess.DEVNULL, check=False).returncode == 0)


class OnAFileSystem(Case):
    config = "slots = 4\nlog_level = warning\noutput_max = 64K\n"
    mount = None

    def setUp(self):
        self.d = kit.Daemon(config=self.config)
        self.out = os.path.join(self.d.state, "out")
        os.makedirs(self.out, 0o700)
        os.chmod(self.d.state, 0o700)
        subprocess.run(["mount", *self.mount, self.out], check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", self.out], check=True)
        os.chmod(self.out, 0o700)
        self.d.start()
        self.addCleanup(self.d.__exit__, None)
        self.connect()
        self.addCleanup(self.show_log_of_a_failure)


class Full(OnAFileSystem):
    config = OnAFileSystem.config.replace("64K", "64M")
    mount = ("-t", "tmpfs", "-o", "size=1m", "none")

    def test_a_full_disk_is_the_business_of_who_writes_and_of_nobody_else(self):
        run = self.submit({"a": "head -c 3000000 /dev/zero", "b": "exit 3", "c": "true", "c/d": "printf x || exit 7"})
        self.wait(run)
        jobs = self.jobs(run)
        self.assertEqual((jobs["a"]["state"], jobs["a"]["reason"], jobs["a"]["exit_code"]), ("failed", "exit", 1))
        self.assertEqual((jobs["b"]["exit_code"], jobs["c"]["state"]), (3, "ok"))
        attempt = self.call("Get", run=run, path="a")["attempts"][0]
        self.assertGreater(attempt["out_bytes"], 900000)
        self.assertEqual(self.output(run, "a")[:1000], bytes(1000))
        self.call("Remove", run=run)
        last = self.submit({"a": "echo room"})
        self.wait(last)
        self.assertEqual(self.output(last, "a"), b"room\n")


class WithoutHoles(OnAFileSystem):
    mount = ("-t", "ramfs", "none")

    def test_a_job_is_ended_where_its_output_can_not_be_held(self):
        run = self.submit({"a": "yes", "b": "echo little", "c": "yes | head -c 10000000 >/dev/null"})
        self.wait(run)
        jobs = self.jobs(run)
        self.assertEqual((jobs["a"]["state"], jobs["a"]["reason"]), ("failed", "output"))
        self.assertEqual((jobs["b"]["state"], jobs["c"]["state"]), ("ok", "ok"))
        self.assertEqual(self.output(run, "b"), b"little\n")
        attempt = self.call("Get", run=run, path="a")["attempts"][0]
        self.assertEqual(attempt["out_dropped"], None)
        self.assertEqual(self.output(run, "a", offset=attempt["out_bytes"] - 4)[-4:].strip(b"\n")[-1:], b"y")
        self.assertIn("can not be held to 65536 bytes", self.d.said())


if __name__ == "__main__":
    if not own_namespace():
        print("SKIP: file systems can not be mounted")
        sys.exit(77)
    unittest.main()
