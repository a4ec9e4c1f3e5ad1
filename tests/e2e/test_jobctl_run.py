#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""run: as if the command had been started here. And which daemon that is: the user's own is started once, never elsewhere."""
import fcntl
import json
import os
import select
import signal
import subprocess
import unittest

import kit


class Run(unittest.TestCase):
    def setUp(self):
        self.daemon = self.enterContext(kit.Daemon())

    def jobctl(self, *words, **more):
        return self.daemon.jobctl(*words, **more)

    def test_output_and_status_are_the_jobs(self):
        done = self.jobctl("run", "--", "sh", "-c", "echo out; echo err >&2; exit 3")
        self.assertEqual((3, "out\n", "err\n"), (done.returncode, done.stdout, done.stderr))
        (row,) = self.daemon.listed()
        self.assertEqual(("sh", "failed"), (row["name"], row["state"]))
        self.assertEqual(["sh"], list(self.daemon.jobs("sh")))

    def test_statuses(self):
        self.assertEqual(0, self.jobctl("run", "true").returncode)
        done = self.jobctl("run", "-c", "kill -9 $$")
        self.assertEqual(128 + 9, done.returncode)
        self.assertIn("was killed by signal 9", done.stderr)
        done = self.jobctl("run", "/nonexistent/program")
        self.assertEqual(127, done.returncode)
        self.assertIn("could not be started: cannot execute /nonexistent/program: No such file or directory", done.stderr)

    def test_arguments_stay_as_they_are(self):
        done = self.jobctl("run", "-n", "args", "--", "printf", "%s|", "a b", "-x", "--", "$HOME", "*")
        self.assertEqual((0, "a b|-x|--|$HOME|*|"), (done.returncode, done.stdout))
        words = [kit.JOBCTL, "--socket", self.daemon.socket, "run", "printf", "%s", b"\xff\xfe"]
        done = subprocess.run(words, capture_output=True, timeout=kit.PATIENCE, check=True)
        self.assertEqual(b"\xff\xfe", done.stdout)

    def test_options_reach_the_job(self):
        folder = os.path.realpath(self.daemon.folder)
        path = os.path.join(folder, "in")
        with open(path, "w", encoding="utf-8") as f:
            f.write("text\n")
        done = self.jobctl("run", "-C", folder, "-e", "A=1=2", "-E", "B", "--stdin", path, "-c", "pwd; echo $A $B; cat", env={"B": "b", "C": "c"})
        self.assertEqual((0, folder + "\n1=2 b\ntext\n"), (done.returncode, done.stdout), done.stderr)
        done = self.jobctl("run", "--timeout", "0.05", "--grace", "0.05", "-c", "exec sleep 600")
        self.assertEqual(128 + 15, done.returncode)
        self.assertIn("ran longer than its --timeout of 0.05 s", done.stderr)

    def test_what_was_terminated_has_not_ended_well_whatever_it_says(self):
        command = "trap 'exit 0' TERM; echo up; sleep 600 & wait"
        runner = subprocess.Popen([kit.JOBCTL, "--socket", self.daemon.socket, "run", "-n", "polite", "-c", command],
                                  stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.addCleanup(runner.stdout.close)
        self.assertEqual("up\n", runner.stdout.readline())
        runner.send_signal(signal.SIGINT)
        self.assertEqual(1, runner.wait(kit.PATIENCE))
        row = self.daemon.jobs("polite")["polite"]
        self.assertEqual(("cancelled", 0), (row["state"], row["exit_code"]))
        self.assertEqual(1, self.jobctl("wait", "--exit-code", "polite/polite").returncode)

    def test_retries(self):
        done = self.jobctl("run", "--retry", "2", "-n", "again", "-c", "test $JOBD_ATTEMPT = 3")
        self.assertEqual(0, done.returncode)
        self.assertEqual(3, self.daemon.jobs("again")["again"]["attempts"])

    def test_large_output_comes_whole(self):
        done = self.jobctl("run", "-c", "seq 200000")
        self.assertEqual((0, "".join("%d\n" % i for i in range(1, 200001))), (done.returncode, done.stdout))

    def test_output_waits_for_a_pipe_that_does_not_block(self):
        theirs, ours = os.pipe()
        self.addCleanup(os.close, theirs)
        os.set_blocking(ours, False)
        fcntl.fcntl(ours, fcntl.F_SETPIPE_SZ, 4096)
        runner = subprocess.Popen([kit.JOBCTL, "--socket", self.daemon.socket, "run", "-n", "loud", "-c", "seq 20000"], stdout=ours)
        os.close(ours)
        self.addCleanup(runner.wait, kit.PATIENCE)
        said = os.read(theirs, 1)
        self.jobctl("wait", "loud", check=True)
        with open(theirs, "rb", closefd=False) as f:
            said += f.read()
        self.assertEqual(b"".join(b"%d\n" % i for i in range(1, 20001)), said)

    def test_detached(self):
        done = self.jobctl("run", "-d", "-n", "later", "--", "sh", "-c", "exit 5")
        self.assertEqual((0, "1\n"), (done.returncode, done.stdout))
        self.assertEqual(5, self.jobctl("wait", "--exit-code", "later/later").returncode)

    def test_signals_are_passed_on_as_cancel(self):
        for sig in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(sig):
                runner = subprocess.Popen([kit.JOBCTL, "--socket", self.daemon.socket, "run", "-n", "victim", "-c", "echo up; exec sleep 600"],
                                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
                self.assertEqual("up\n", runner.stdout.readline())
                runner.send_signal(sig)
                self.assertEqual(128 + 15, runner.wait(kit.PATIENCE))
                self.assertRegex(runner.stderr.read(), r"^jobctl: interrupted: \d+/victim is terminated, and killed .* in 10 s\n$")
                runner.stdout.close()
                runner.stderr.close()
                self.assertEqual("cancelled", self.daemon.jobs("victim")["victim"]["state"])

    def test_usage(self):
        for words in (("run",), ("run", "-c", "true", "true"), ("run", "-e", "nonsense", "true"), ("run", "--nice", "99", "true")):
            with self.subTest(words):
                self.assertEqual(2, self.jobctl(*words).returncode)
        self.assertEqual([], self.daemon.listed())


class Start(unittest.TestCase):
    def setUp(self):
        folder = self.enterContext(kit.temporary_folder())
        for name in ("run", "state", "config"):
            os.mkdir(os.path.join(folder, name), 0o700)
        self.env = dict(os.environ, XDG_RUNTIME_DIR=os.path.join(folder, "run"), XDG_STATE_HOME=os.path.join(folder, "state"),
                        XDG_CONFIG_HOME=os.path.join(folder, "config"), JOBD_RUNNER=kit.RUNNER, PATH=kit.BUILD + ":" + os.environ["PATH"])
        self.env.pop("JOBD_SOCKET", None)
        self.addCleanup(self.jobctl, "shutdown", "--kill")

    def jobctl(self, *words):
        return subprocess.run([kit.JOBCTL, *words], capture_output=True, text=True, env=self.env, stdin=subprocess.DEVNULL, timeout=kit.PATIENCE)

    @unittest.skipIf(os.path.exists("/run/jobd/socket"), "a system daemon answers here")
    def test_first_use_starts_the_users_own(self):
        self.assertEqual(4, self.jobctl("ping").returncode)
        done = self.jobctl("run", "echo", "hello")
        self.assertEqual((0, "hello\n"), (done.returncode, done.stdout), done.stderr)
        self.assertEqual(0, self.jobctl("ping").returncode)
        self.assertEqual(0, self.jobctl("shutdown").returncode)
        self.assertEqual(4, self.jobctl("ping").returncode)

    @unittest.skipIf(os.path.exists("/run/jobd/socket"), "a system daemon answers here")
    def test_it_keeps_no_descriptor_of_who_started_it(self):
        theirs, ours = os.pipe()
        self.addCleanup(os.close, theirs)
        subprocess.run([kit.JOBCTL, "ls"], env=self.env, pass_fds=[ours], timeout=kit.PATIENCE, check=True)
        os.close(ours)
        self.assertTrue(select.select([theirs], [], [], kit.PATIENCE)[0], "somebody still holds the other end")
        self.assertEqual(b"", os.read(theirs, 1))

    @unittest.skipIf(os.path.exists("/run/jobd/socket"), "a system daemon answers here")
    def test_a_mistake_in_the_users_configuration_is_told(self):
        folder = os.path.join(self.env["XDG_CONFIG_HOME"], "jobd")
        os.mkdir(folder)
        with open(os.path.join(folder, "jobd.conf"), "w", encoding="utf-8") as f:
            f.write("slotz = 1\n")
        done = self.jobctl("ls")
        self.assertEqual((4, ""), (done.returncode, done.stdout))
        self.assertIn('did not get ready: %s/jobd.conf:1: unknown key "slotz"; did you mean "slots"?' % folder, done.stderr)

    @unittest.skipIf(os.path.exists("/run/jobd/socket"), "a system daemon answers here")
    def test_many_at_once_start_one(self):
        clients = [subprocess.Popen([kit.JOBCTL, "run", "-n", "job-%d" % i, "true"], env=self.env, stdin=subprocess.DEVNULL,
                                    stderr=subprocess.PIPE, text=True) for i in range(10)]
        for client in clients:
            _, said = client.communicate(timeout=kit.PATIENCE)
            self.assertEqual(0, client.returncode, said)
        rows = [json.loads(line) for line in self.jobctl("ls", "--json").stdout.splitlines()]
        self.assertEqual({"job-%d" % i for i in range(10)}, {row["name"] for row in rows})

    def test_an_explicit_socket_starts_nothing(self):
        nowhere = os.path.join(self.env["XDG_RUNTIME_DIR"], "nowhere")
        done = self.jobctl("--socket", nowhere, "run", "true")
        self.assertEqual(4, done.returncode)
        self.assertIn(nowhere, done.stderr)
        self.env["JOBD_SOCKET"] = nowhere
        self.assertEqual(4, self.jobctl("run", "true").returncode)
        del self.env["JOBD_SOCKET"]
        self.assertEqual([], os.listdir(self.env["XDG_STATE_HOME"]))


if __name__ == "__main__":
    unittest.main()
