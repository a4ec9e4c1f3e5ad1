#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# timeout: 300
"""A runner that cannot look for what a dead one left starts nothing beside it: the n-th call of its start fails, for each kind of call that looks."""
import os
import signal
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "e2e")]
import case
import inject
import kit

FAILS = [("open", "EMFILE"), ("openat", "ENFILE"), ("read", "EIO"), ("pread", "EIO"), ("pread", "EINTR"), ("write", "EIO")]
CALLS_OF_A_START = 8
# Holds a lock in a process that is in a session of its own, and ends well only where nobody else does.
JOB = ("exec 9>%s; flock -n 9 || exit 5; [ $JOBD_ATTEMPT = 1 ] || exit 0; setsid -f sleep 1000; echo >%s; sleep 1000")


class Leftovers(case.Case):
    def setUp(self):
        self.order = inject.Order(os.path.join(self.enterContext(tempfile.TemporaryDirectory()), "order"))
        self.env = {"JOBD_FAULTY": self.order.path, "LD_PRELOAD": inject.LIBRARY}
        super().setUp()

    def die_and_start(self, call, error, n):
        lock, up = os.path.join(self.d.folder, "lock"), os.path.join(self.d.folder, "up.%s.%s.%d" % (call, error, n))
        os.mkfifo(up)
        run = self.submit({"a": JOB % (lock, up)})
        with open(up, encoding="utf-8") as f:
            f.read()
        self.order.give(inject.RUNNER, [name for name, _ in inject.CALLS].index(call), inject.number(error), n, 2)
        os.kill(self.call("Stats")["runner_pid"], signal.SIGKILL)
        self.wait(run)
        failed = self.order.take_back()
        job = self.jobs(run)["a"]
        self.assertEqual(("ok", 2), (job["state"], job["attempts"]), "%s fails with %s after %d calls, %d did" % (call, error, n, failed))
        return failed

    def test_nothing_runs_beside_them(self):
        failed = 0
        for call, error in FAILS:
            for n in range(CALLS_OF_A_START):
                with self.subTest(call=call, error=error, n=n):
                    failed += self.die_and_start(call, error, n)
        self.assertGreater(failed, len(FAILS) * 2)


if __name__ == "__main__":
    if kit.SANITIZED:
        print("SKIP: nothing can be preloaded before a sanitizer")
        sys.exit(77)
    unittest.main()
