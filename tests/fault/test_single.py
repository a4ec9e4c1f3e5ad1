#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Two or many jobd are started at once on one state: exactly one serves, the others say who does, and jobs see one daemon.

    JOBD_PAIRS=100 tests/fault/test_single.py
"""
import os
import re
import resource
import select
import subprocess
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "e2e"))
import kit

PAIRS = kit.size("JOBD_PAIRS", 100, 1000)
CROWD = 1000 if kit.SOAK else 100


class Single(unittest.TestCase):
    def setUp(self):
        self.folder = self.enterContext(kit.temporary_folder())
        self.env = dict(os.environ, JOBD_RUNNER="none")
        with open(self.place("conf"), "w", encoding="ascii") as f:
            f.write("log_level = error\n")

    def place(self, name):
        return os.path.join(self.folder, name)

    def start(self):
        words = [kit.JOBD, "--state", self.place("state"), "--socket", self.place("socket"), "--config", self.place("conf"), "--ready"]
        return subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self.env)

    def one_serves(self, many):
        """The one that is ready; all others have ended with a failure that names its process."""
        said = {p: p.stdout.readline() for p in many}
        winners = [p for p in many if said[p] == "ready\n"]
        losers = [p for p in many if said[p] == ""]
        self.assertEqual((1, len(many) - 1), (len(winners), len(losers)))
        for p in losers:
            self.assertEqual(1, p.wait(kit.PATIENCE))
            self.assertRegex(p.stderr.read(), r"state is in use by another jobd \(process %d\)" % winners[0].pid)
            p.stdout.close()
            p.stderr.close()
        return winners[0]

    def pid_that_answers(self):
        done = subprocess.run([kit.JOBCTL, "--socket", self.place("socket"), "ping"], capture_output=True, text=True, timeout=kit.PATIENCE)
        self.assertEqual(0, done.returncode, done.stderr)
        return int(re.search(r"pid (\d+)", done.stdout).group(1))

    def end(self, process):
        process.kill()
        process.wait(kit.PATIENCE)
        process.stdout.close()
        process.stderr.close()

    def test_of_two_one_serves(self):
        for _ in range(PAIRS):
            winner = self.one_serves([self.start(), self.start()])
            self.assertEqual(winner.pid, self.pid_that_answers())
            self.end(winner)    # kill -9: its lock goes with it, its socket stays

    def test_of_a_crowd_one_serves(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        winner = self.one_serves([self.start() for _ in range(CROWD)])
        self.assertEqual(winner.pid, self.pid_that_answers())
        self.end(winner)

    def test_clients_that_start_a_daemon_at_once_find_the_same_one(self):
        env = {"PATH": os.path.dirname(kit.JOBD) + ":" + os.environ["PATH"], "HOME": self.folder, "XDG_RUNTIME_DIR": self.place("run"),
               "XDG_STATE_HOME": self.place("xdg"), "JOBD_RUNNER": kit.RUNNER}
        os.mkdir(self.place("run"), 0o700)
        for _ in range(20 if kit.SOAK else 3):
            clients = [subprocess.Popen([kit.JOBCTL, "run", "-c", "echo $PPID"], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True) for _ in range(12)]
            said = [(p.communicate(timeout=kit.PATIENCE), p.returncode) for p in clients]
            self.assertEqual({0}, {status for _, status in said}, said)
            self.assertEqual(1, len({out for (out, _), _ in said}), said)
            self.shut_down(env)

    def shut_down(self, env):
        stats = subprocess.run([kit.JOBCTL, "status", "--json"], env=env, capture_output=True, text=True, check=True, timeout=kit.PATIENCE).stdout
        runner = os.pidfd_open(int(re.search(r'"runner_pid": ?(\d+)', stats).group(1)))
        subprocess.run([kit.JOBCTL, "shutdown"], env=env, check=True, timeout=kit.PATIENCE)
        select.select([runner], [], [], kit.PATIENCE)
        os.close(runner)


if __name__ == "__main__":
    unittest.main()
