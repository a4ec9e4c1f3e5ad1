#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What jobd says when it cannot start: what happened, to which thing, and what to do."""
import contextlib
import ctypes
import os
import sqlite3
import subprocess
import unittest

import kit


PIDFD_GETFD = 438


def copy_of_descriptor(pid, path):
    """A descriptor of our own for what that process has open as path: the same open file description."""
    fds = "/proc/%d/fd" % pid
    fd = next(int(n) for n in os.listdir(fds) if os.readlink(os.path.join(fds, n)) == path)
    pidfd = os.pidfd_open(pid)
    copy = ctypes.CDLL(None, use_errno=True).syscall(PIDFD_GETFD, pidfd, fd, 0)
    os.close(pidfd)
    if copy < 0:
        raise OSError(ctypes.get_errno(), "pidfd_getfd")
    return copy


class Start(unittest.TestCase):
    def setUp(self):
        self.folder = self.enterContext(kit.temporary_folder())
        os.mkdir(self.place("first"))

    def place(self, name):
        return os.path.join(self.folder, name)

    def refused(self, state="state", socket="socket", config=""):
        """jobd's last words; it has ended by itself, with a failure."""
        with open(self.place("conf"), "w", encoding="utf-8") as f:
            f.write(config)
        words = [kit.JOBD, "--state", self.place(state), "--socket", self.place(socket), "--config", self.place("conf")]
        done = subprocess.run(words, capture_output=True, text=True, timeout=kit.PATIENCE, env=dict(os.environ, JOBD_RUNNER=kit.RUNNER))
        self.assertIn(done.returncode, (1, 2), done.stderr)
        return [line for line in done.stderr.splitlines() if line.startswith("jobd: error: ")][-1]

    def test_a_mistake_in_the_configuration_has_a_line(self):
        self.assertIn('conf:2: unknown key "slotz"; did you mean "slots"?', self.refused(config="log_level = info\nslotz = 3\n"))

    def test_a_second_jobd_on_the_same_state_names_the_first(self):
        with kit.Daemon(self.place("first")) as first:
            said = self.refused(state="first/state")
            self.assertIn("in use by another jobd (process %d)" % first.process.pid, said)
            self.assertIn("give another --state", said)

    def test_the_lock_of_a_killed_jobd_goes_with_it_whoever_has_a_copy_of_the_descriptor(self):
        """As a runner has that is just being spawned."""
        with kit.Daemon(self.place("first")) as d:
            copy = copy_of_descriptor(d.process.pid, os.path.join(d.state, "lock"))
            self.addCleanup(os.close, copy)
            d.kill()
            d.start()
            self.assertEqual(0, d.jobctl("ping").returncode)

    def test_a_jobd_with_another_state_takes_no_served_socket(self):
        with kit.Daemon(self.place("first")) as first:
            said = self.refused(socket="first/socket")
            self.assertIn("first/socket: another jobd answers there", said)
            self.assertEqual(0, first.jobctl("ping").returncode)

    def test_a_socket_that_was_left_behind_is_taken(self):
        with kit.Daemon(self.place("first")) as first:
            first.kill()
            first.start()
            self.assertEqual(0, first.jobctl("ping").returncode)

    def test_paths_that_no_socket_can_have_are_told_before_anything_starts(self):
        self.assertIn("the socket's path is too long", self.refused(socket="x" * 120))
        said = self.refused(state="x" * 120)
        self.assertIn("jobd-runner's socket is too long", said)
        self.assertIn("shorter --state", said)
        self.assertFalse(os.path.exists(self.place("x" * 120)))

    def test_a_state_that_is_no_folder_is_named(self):
        with open(self.place("file"), "w", encoding="utf-8"):
            pass
        self.assertIn("file: Not a directory", self.refused(state="file"))

    def test_a_newer_database_is_left_alone(self):
        with kit.Daemon(self.place("first")):
            pass
        database = self.place("first/state/jobd.db")
        with contextlib.closing(sqlite3.connect(database)) as db:
            db.execute("PRAGMA user_version = 99")
        self.assertIn("written by a newer jobd", self.refused(state="first/state"))


if __name__ == "__main__":
    unittest.main()
