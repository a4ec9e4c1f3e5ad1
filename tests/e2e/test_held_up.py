#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Who waits for a command in the foreground hears what holds it up, and sees it through when that is over. Here it is a runner that cannot be started."""
import os
import signal
import subprocess
import unittest

import kit


def blocks(p, sig):
    with open("/proc/%d/status" % p.pid, encoding="ascii") as f:
        mask = next(int(line.split()[1], 16) for line in f if line.startswith("SigBlk:"))
    return mask >> (sig - 1) & 1


class HeldUp(unittest.TestCase):
    def setUp(self):
        self.folder = self.enterContext(kit.temporary_folder())
        self.runner = os.path.join(self.folder, "jobd-runner")
        self.d = self.enterContext(kit.Daemon(config="patience_s = 1\nslots = 1\n", env={"JOBD_RUNNER": self.runner}))

    def begin(self, *words, stderr=subprocess.PIPE):
        p = subprocess.Popen([kit.JOBCTL, "--socket", self.d.socket, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, text=True)
        self.addCleanup(p.communicate)
        self.addCleanup(p.kill)
        return p

    def mend(self):
        os.symlink(kit.RUNNER, self.runner)

    def text(self):
        return "the daemon is degraded: jobd-runner does not answer: cannot start %s: No such file or directory; " % self.runner

    def test_run(self):
        p = self.begin("run", "-n", "x", "echo", "done")
        self.assertIn("1/x waits, " + self.text(), p.stderr.readline())
        self.mend()
        self.assertEqual("done\n", p.communicate(timeout=kit.PATIENCE)[0])
        self.assertEqual(0, p.returncode)

    def test_interrupted_it_waits_without_work(self):
        self.mend()
        runner = int(self.d.jobctl("run", "-c", "echo $PPID", check=True).stdout)
        os.kill(runner, signal.SIGSTOP)
        self.addCleanup(os.kill, runner, signal.SIGCONT)
        p = self.begin("run", "-n", "x", "true")
        self.assertIn("2/x waits, the daemon is degraded", p.stderr.readline())
        p.send_signal(signal.SIGINT)
        self.assertIn("interrupted", p.stderr.readline())
        self.assertEqual(5, self.d.jobctl("wait", "--timeout", "6", "2").returncode, "longer than it is to the next look")
        with open("/proc/%d/schedstat" % p.pid, encoding="ascii") as f:
            self.assertLess(int(f.read().split()[0]) / 1e9, 0.5)
        os.kill(runner, signal.SIGCONT)
        p.communicate(timeout=kit.PATIENCE)

    def test_map(self):
        p = self.begin("map", "echo")
        p.stdin.write("a\nb\n")
        p.stdin.flush()
        self.assertIn(self.text(), p.stderr.readline())
        other = self.begin("map", "echo")
        self.assertIn(self.text(), other.stderr.readline(), "what was there before it began is told, too")
        self.mend()
        self.assertEqual("a\nb\nc\n", p.communicate("c\n", timeout=kit.PATIENCE)[0])
        self.assertEqual("d\n", other.communicate("d\n", timeout=kit.PATIENCE)[0])
        self.assertEqual((0, 0), (p.returncode, other.returncode))

    def test_a_terminal_is_told_how_to_find_out(self):
        self.mend()
        self.d.jobctl("run", "true", check=True)
        self.d.submit("long: sleep 600\n")
        mine, theirs = os.openpty()
        self.addCleanup(os.close, mine)
        p = self.begin("run", "-n", "x", "echo", "done", stderr=theirs)
        os.close(theirs)
        self.assertEqual(b"jobctl: 3/x has not started yet; `jobctl why 3/x` tells what it waits for\r\n", os.read(mine, 4096))
        self.d.jobctl("cancel", "2", check=True)
        self.assertEqual("done\n", p.communicate(timeout=kit.PATIENCE)[0])
        self.assertEqual(0, p.returncode)

    def stopped(self):
        """jobd stands still: a call is not answered until it goes on."""
        self.mend()
        self.d.jobctl("run", "true", check=True)
        self.d.process.send_signal(signal.SIGSTOP)
        self.addCleanup(self.d.process.send_signal, signal.SIGCONT)
        p = self.begin("run", "-n", "x", "sleep", "600")
        while not blocks(p, signal.SIGINT):
            pass
        p.send_signal(signal.SIGINT)
        self.assertEqual("jobctl: interrupted: the job is cancelled as soon as the daemon answers; interrupt once more to give up\n", p.stderr.readline())
        return p

    def test_an_interrupted_submission_is_cancelled_when_it_is_answered(self):
        p = self.stopped()
        self.d.process.send_signal(signal.SIGCONT)
        self.assertIn("jobctl: interrupted: 2/x is terminated", p.stderr.readline())
        self.assertNotEqual(0, p.wait(kit.PATIENCE))
        self.assertEqual("cancelled", self.d.jobs(2)["x"]["state"])

    def test_a_submission_that_is_not_answered_can_be_given_up(self):
        p = self.stopped()
        p.send_signal(signal.SIGINT)
        self.assertIn("jobctl: interrupted again: whether the daemon has taken the job is not known", p.stderr.readline())
        self.assertEqual(130, p.wait(kit.PATIENCE))


if __name__ == "__main__":
    unittest.main()
