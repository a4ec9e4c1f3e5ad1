#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""cancel, hold, release, pause, resume, retry, rm, status, stats, ping, shutdown, bridge: what changes when they are used."""
import fcntl
import json
import os
import subprocess
import unittest

import kit


class Control(unittest.TestCase):
    def setUp(self):
        self.daemon = self.enterContext(kit.Daemon())
        self.fifo = os.path.join(self.daemon.folder, "fifo")
        os.mkfifo(self.fifo)

    def jobctl(self, *words, **more):
        return self.daemon.jobctl(*words, **more)

    def go(self):
        with open(self.fifo, "w", encoding="utf-8") as f:
            f.write("go\n")

    def running(self, text, *options):
        """Submits text, whose job `a` waits for the fifo, and returns when that runs."""
        ready = os.path.join(self.daemon.folder, "ready")
        if not os.path.exists(ready):
            os.mkfifo(ready)
        run = self.daemon.submit("a: echo > %s; read x < %s\n%s" % (ready, self.fifo, text), *options)
        with open(ready, encoding="utf-8") as f:
            f.read()
        return run

    def test_cancel_ends_a_run(self):
        run = self.running("a/b: true\n")
        done = self.jobctl("cancel", run)
        self.assertEqual((0, "", ""), (done.returncode, done.stdout, done.stderr))
        self.assertEqual(1, self.jobctl("wait", run).returncode)
        jobs = self.daemon.jobs(run)
        self.assertEqual(("cancelled", "skipped"), (jobs["a"]["state"], jobs["a/b"]["state"]))
        self.assertIn("has ended", self.jobctl("cancel", run).stderr)

    def test_cancel_of_a_job_leaves_the_others(self):
        run = self.running("b: true\n")
        self.jobctl("cancel", "%d/a" % run, check=True)
        self.assertEqual(1, self.jobctl("wait", run).returncode)
        self.assertEqual("ok", self.daemon.jobs(run)["b"]["state"])

    def test_hold_and_release(self):
        run = self.running("a/b: true\n")
        self.jobctl("hold", "%d/a/b" % run, check=True)
        self.go()
        self.assertEqual(0, self.jobctl("wait", "%d/a" % run).returncode)
        self.assertEqual("held", self.daemon.jobs(run)["a/b"]["state"])
        self.jobctl("release", "%d/a/b" % run, check=True)
        self.assertEqual(0, self.jobctl("wait", run).returncode)

    def test_pause_and_resume(self):
        run = self.running("a/b: true\n")
        self.jobctl("pause", run, check=True)
        self.go()
        self.assertEqual(0, self.jobctl("wait", "%d/a" % run).returncode)
        self.assertEqual("paused", self.daemon.listed()[0]["state"])
        self.assertEqual(5, self.jobctl("wait", "--timeout", "0.05", run).returncode)
        self.jobctl("resume", run, check=True)
        self.assertEqual(0, self.jobctl("wait", run).returncode)

    def test_retry_runs_what_failed_and_what_needs_it(self):
        marker = os.path.join(self.daemon.folder, "marker")
        run = self.daemon.submit("a: true\nb: test -e %s\nb/c: true\n" % marker)
        self.assertEqual(1, self.jobctl("wait", run).returncode)
        open(marker, "w", encoding="utf-8").close()
        self.jobctl("retry", run, check=True)
        self.assertEqual(0, self.jobctl("wait", run).returncode)
        jobs = self.daemon.jobs(run)
        self.assertEqual((1, 2, 1), tuple(jobs[p]["attempts"] for p in ("a", "b", "b/c")))
        self.jobctl("retry", "--all", run, check=True)
        self.assertEqual(0, self.jobctl("wait", run).returncode)
        self.assertEqual(2, self.daemon.jobs(run)["a"]["attempts"])

    def test_rm_forgets_what_has_ended(self):
        run = self.running("")
        self.assertEqual(6, self.jobctl("rm", run).returncode)
        self.go()
        self.jobctl("wait", run)
        self.jobctl("rm", run, check=True)
        self.assertEqual(3, self.jobctl("ls", run).returncode)

    def test_all_addresses_are_tried(self):
        run = self.running("")
        done = self.jobctl("cancel", "99", run)
        self.assertEqual(3, done.returncode)
        self.assertEqual(1, self.jobctl("wait", run).returncode)

    def test_status_says_whether_it_is_idle(self):
        run = self.running("")
        self.assertIs(False, json.loads(self.jobctl("status", "--json", check=True).stdout)["idle"])
        self.go()
        self.jobctl("wait", run)
        self.assertIs(True, json.loads(self.jobctl("status", "--json", check=True).stdout)["idle"])
        self.assertIn("idle", self.jobctl("status", check=True).stdout)
        self.assertIn("commits", self.jobctl("stats", check=True).stdout)
        self.assertEqual(self.daemon.process.pid, json.loads(self.jobctl("ping", "--json", check=True).stdout)["pid"])

    def test_shutdown_leaves_jobs_running(self):
        run = self.running("")
        done = self.jobctl("shutdown")
        self.assertEqual(0, done.returncode)
        self.assertEqual(0, self.daemon.process.wait(kit.PATIENCE))
        self.daemon.process.stdout.close()
        self.assertEqual(4, self.jobctl("ping").returncode)
        self.daemon.start()
        self.go()
        self.assertEqual(0, self.jobctl("wait", run).returncode)
        self.assertEqual(1, self.daemon.jobs(run)["a"]["attempts"])

    def test_shutdown_drain_waits(self):
        self.running("a/b: true\n")
        stopper = subprocess.Popen([kit.JOBCTL, "--socket", self.daemon.socket, "shutdown", "--drain"])
        self.go()
        self.assertEqual(0, stopper.wait(kit.PATIENCE))
        self.assertEqual(0, self.daemon.process.wait(kit.PATIENCE))
        self.daemon.process.stdout.close()
        self.daemon.start()

    def test_shutdown_takes_one_way(self):
        self.assertEqual(2, self.jobctl("shutdown", "--drain", "--kill").returncode)

    def test_bridge_carries_varlink(self):
        done = subprocess.run([kit.JOBCTL, "--socket", self.daemon.socket, "bridge"], input=b'{"method":"org.varlink.service.GetInfo"}\0',
                              capture_output=True, timeout=kit.PATIENCE, check=True)
        self.assertIn("org.jobd", json.loads(done.stdout.rstrip(b"\0"))["parameters"]["interfaces"])

    def test_bridge_waits_for_a_pipe_that_does_not_block(self):
        question = {"method": "org.varlink.service.GetInterfaceDescription", "parameters": {"interface": "org.jobd"}}
        theirs, ours = os.pipe()
        self.addCleanup(os.close, theirs)
        os.set_blocking(ours, False)
        fcntl.fcntl(ours, fcntl.F_SETPIPE_SZ, 4096)
        bridge = subprocess.Popen([kit.JOBCTL, "--socket", self.daemon.socket, "bridge"], stdin=subprocess.PIPE, stdout=ours)
        os.close(ours)
        bridge.stdin.write(100 * (json.dumps(question).encode() + b"\0"))
        bridge.stdin.close()
        with open(theirs, "rb", closefd=False) as f:
            said = f.read()
        self.assertEqual(0, bridge.wait(kit.PATIENCE))
        replies = [json.loads(reply) for reply in said.split(b"\0")[:-1]]
        self.assertEqual(100, sum("interface org.jobd" in reply["parameters"]["description"] for reply in replies))


if __name__ == "__main__":
    unittest.main()
