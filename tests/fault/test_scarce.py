#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What is scarce holds jobs up and fails none: processes, descriptors, a runner or a disk that does not answer. jobd says what it lacks, once, and goes on
by itself. An end of the disk ends jobd, with what to do; nothing acknowledged is lost."""
import fcntl
import os
import resource
import signal
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "e2e")]
import disk
import failpoints
import groups
import kit
import puppets
import told
import varlink

FREEZE, THAW = 0xC0045877, 0xC0045878           # of a file system
STRANGER = 64321                                # a user who has no process


def skip(why):
    print("SKIP: " + why)
    raise unittest.SkipTest(why)


class Scarce(unittest.TestCase):
    config = "slots = 4\npatience_s = 1\n"

    def setUp(self):
        self.folder = self.enterContext(tempfile.TemporaryDirectory(prefix="jobd-", ignore_cleanup_errors=True))
        os.chmod(self.folder, 0o755)
        self.told = told.Told(self.folder)
        self.addCleanup(self.told.close)
        self.pup = puppets.Puppets(self.folder)
        os.chmod(self.pup.path, 0o777)
        self.addCleanup(self.pup.close)

    def start(self, env=None, state=None):
        self.d = kit.Daemon(folder=self.folder, config=self.config, env=dict(self.told.env, **(env or {})))
        self.d.state = state or self.d.state
        self.d.start()
        self.addCleanup(self.d.__exit__, None)
        self.connect()
        while not self.stats()["runner_pid"]:
            self.conn.call("Wait", targets=[{"run": self.submit({"first": "true"})}])

    def connect(self):
        self.conn = varlink.Connection(self.d.socket, kit.PATIENCE)
        self.addCleanup(self.conn.close)

    def stats(self):
        return self.conn.call("Stats")

    def troubles(self):
        return [t["what"] for t in self.stats()["troubles"]]

    def submit(self, jobs, **run):
        listed = [dict({"shell": v} if isinstance(v, str) else v, path=k) for k, v in jobs.items()]
        return str(self.conn.call("Submit", run=run, jobs=listed)["run"])

    def puppet(self, name, **fields):
        return dict(fields, argv=self.pup.argv(name))

    def ends(self, run, state="ok"):
        reply = self.conn.call("Wait", targets=[{"run": run}], timeout_s=kit.PATIENCE - 5)
        self.assertTrue(reply["done"], "run %s does not end" % run)
        self.assertEqual(state, reply["results"][0]["state"])
        for row in self.conn.call("List", run=run)["jobs"]:
            self.assertEqual(1, row["attempts"], "%s: no attempt is spent on what was lacking" % row["path"])

    def runner(self):
        return self.stats()["runner_pid"]

    def limit(self, pid, what, soft):
        """Live; put back at the end, and by what this returns."""
        old = resource.prlimit(pid, what)
        resource.prlimit(pid, what, (soft, old[1]))
        return lambda: resource.prlimit(pid, what, old)

    # ---- processes

    def runner_that_spawns_in_order(self):
        path = os.path.join(self.folder, "runner-of-one-worker")
        with open(path, "w", encoding="utf-8") as f:
            f.write("#!/bin/sh\nexec '%s' --workers 1 \"$@\"\n" % kit.RUNNER)
        os.chmod(path, 0o755)
        return path

    def test_no_process_to_be_had_holds_jobs_up_and_fails_none(self):
        if why := groups.why_not("pids"):
            skip(why)
        self.start()
        group = groups.FewProcesses(self.runner(), 2)
        self.addCleanup(group.close)
        run = self.submit({p: self.puppet(p) for p in "abcdef"}, workers=4)
        self.assertLess({self.pup.accept(), self.pup.accept()}, set("abcd"))      # the workers that spawn them stand beside each other
        self.assertIn("cannot start processes", self.told.degraded())
        self.assertIn("fork", self.troubles())
        for i in range(4):
            self.pup.end(self.pup.order[i])
            self.pup.accept()
        for name in self.pup.order[4:]:
            self.pup.end(name)
        self.ends(run)
        self.told.well()
        self.assertEqual(1, self.d.said().count("error: degraded"))

    def test_a_user_with_too_many_processes_holds_up_nobody_else_and_nothing_runs_as_root_instead(self):
        if os.geteuid() != 0:
            skip("only root can run jobs as others")
        self.start(env={"JOBD_RUNNER": self.runner_that_spawns_in_order()})
        self.addCleanup(self.limit(self.runner(), resource.RLIMIT_NPROC, 0))     # one more than that: looked at before it counts
        theirs = self.submit({p: self.puppet(p, user=str(STRANGER), group=str(STRANGER), cwd="/") for p in "ab"})
        first = self.pup.accept()
        ours = self.submit({"c": self.puppet("c")})
        self.assertEqual("c", self.pup.accept(), "the other one has not run, and c did")
        self.pup.end("c")
        self.ends(ours)
        self.assertIn("can have no more processes", self.d.said(), "the other one was tried, and that was told, before c")
        self.pup.end(first)
        self.assertEqual({"a", "b"} - {first}, {second := self.pup.accept()})
        self.pup.end(second)
        self.ends(theirs)

    def test_what_can_not_be_executed_is_the_jobs_own_failure_and_says_why(self):
        self.start()
        script = os.path.join(self.folder, "script")
        for mode, text, says in ((0o755, "no header\n", "Exec format error"), (0o644, "#!/bin/sh\n", "Permission denied")):
            with open(script, "w", encoding="ascii") as f:
                f.write(text)
            os.chmod(script, mode)
            run = self.submit({"a": {"argv": [script]}})
            self.ends(run, "failed")
            attempt = self.conn.call("Get", run=run, path="a")["attempts"][0]
            self.assertEqual("spawn", attempt["reason"])
            self.assertIn(says, attempt["message"])
        os.unlink(script)
        run = self.submit({"a": {"argv": [script]}})
        self.ends(run, "failed")
        self.assertIn("No such file", self.conn.call("Get", run=run, path="a")["attempts"][0]["message"])

    # ---- descriptors

    def spent(self):
        with open("/proc/%d/stat" % self.d.process.pid, encoding="ascii") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def test_jobd_without_descriptors_answers_waits_and_goes_on(self):
        self.start()
        pid = self.d.process.pid
        put_back = self.limit(pid, resource.RLIMIT_NOFILE, len(os.listdir("/proc/%d/fd" % pid)))
        self.addCleanup(put_back)
        spent = self.spent()
        crowd = [varlink.Connection(self.d.socket) for _ in range(50)]
        run = self.submit({"a": "echo out"})
        said = [self.told.degraded(), self.told.degraded()]
        self.assertEqual(["descriptors", "outputs"], sorted(self.troubles()), said)
        put_back()
        self.ends(run)
        self.told.well()
        self.assertLess(self.spent() - spent, 0.5, "it does not spin on connections that it can not accept")
        self.connect()
        self.assertEqual([], self.stats()["troubles"])
        for one in crowd:
            one.close()

    def test_a_runner_without_descriptors_lets_starts_wait(self):
        self.start()
        runner = self.runner()
        put_back = self.limit(runner, resource.RLIMIT_NOFILE, len(os.listdir("/proc/%d/fd" % runner)))
        self.addCleanup(put_back)
        run = self.submit({"a": "true", "b": {"shell": "cat", "stdin": {"text": "x"}}})
        self.assertIn("Too many open files", self.told.degraded())
        put_back()
        self.ends(run)
        self.told.well()

    def test_jobs_that_can_not_be_watched_are_looked_at_and_end_as_they_ended(self):
        self.addCleanup(setattr, kit, "JOBD", kit.JOBD)
        self.addCleanup(setattr, kit, "RUNNER", kit.RUNNER)
        failpoints.use()
        self.start(env={"JOBD_FP": "before_watch:error=ENOSPC"})
        run = self.submit({"a": "exit 0", "b": {"shell": "exit 7", "success_exit": [7]}, "c": "setsid sleep 1000 & exit 0"})
        self.ends(run)
        late = self.submit({"d": {"shell": "sleep 1000", "timeout_s": 0.1, "on_error": "ignore"}})
        self.ends(late)
        self.assertEqual("timeout", self.conn.call("Get", run=late, path="d")["attempts"][0]["reason"])
        self.assertIn("can not be watched: No space left on device", self.d.said())

    # ---- answers

    def test_a_stopped_runner_is_said_starts_nothing_twice_and_starves_the_watchdog(self):
        self.start(env={"WATCHDOG_USEC": "2000000"})
        self.told.until("WATCHDOG=1")
        run = self.submit({"a": self.puppet("a"), "b": self.puppet("b")})
        self.assertEqual({"a", "b"}, {self.pup.accept(), self.pup.accept()})
        runner = self.runner()
        os.kill(runner, signal.SIGSTOP)
        self.addCleanup(os.kill, runner, signal.SIGCONT)
        self.assertIn("does not answer", self.told.degraded())
        self.told.now()
        self.pup.end("a")
        later = self.submit({"c": self.puppet("c")})
        self.assertEqual("degraded", self.stats()["state"])
        os.kill(runner, signal.SIGCONT)
        before = []
        while "STATUS=Serving" not in " ".join(before):
            before += self.told.message()
        self.assertNotIn("WATCHDOG=1", before, "not fed while the runner was silent")
        self.told.until("WATCHDOG=1")
        self.assertEqual("c", self.pup.accept())
        self.pup.end("b")
        self.pup.end("c")
        self.ends(run)
        self.ends(later)
        self.assertEqual(runner, self.runner())

    def on_a_disk(self):
        why = disk.why_not("ext4")
        if why:
            skip("no file system of one's own: " + why)
        disk.private_mounts()
        self.disk = disk.Disk(self.folder, "ext4", 16)
        self.addCleanup(disk.call, "umount2", self.disk.path, 2)

    def test_a_disk_that_does_not_answer_is_said_and_waited_for(self):
        self.on_a_disk()
        env = {"WATCHDOG_USEC": "2000000", "JOBD_RUNNER_SOCKET": os.path.join(self.folder, "runner")}
        self.start(state=os.path.join(self.disk.path, "state"), env=env)
        other = varlink.Connection(self.d.socket, kit.PATIENCE)
        self.addCleanup(other.close)
        mount = os.open(self.disk.path, os.O_RDONLY)
        self.addCleanup(os.close, mount)
        fcntl.ioctl(mount, FREEZE, 0)
        try:
            other.send("org.jobd.Submit", {"jobs": [{"path": "a", "shell": "true"}]})
            self.assertIn("the database does not answer", self.told.degraded())
            self.assertEqual(["stalled"], self.troubles())
        finally:
            fcntl.ioctl(mount, THAW, 0)
        run = str(other.receive()["parameters"]["run"])
        self.ends(run)
        self.told.well()
        self.told.until("WATCHDOG=1")

    def test_a_disk_that_fails_ends_jobd_with_what_to_do(self):
        self.on_a_disk()
        self.start(state=os.path.join(self.disk.path, "state"), env={"JOBD_RUNNER_SOCKET": os.path.join(self.folder, "runner")})
        self.addCleanup(os.kill, self.runner(), signal.SIGKILL)         # nobody is left to tell it to go
        self.submit({"a": self.puppet("a")}, key="k")
        self.pup.accept()
        self.disk.shut_down()
        with self.assertRaises((EOFError, ConnectionError)):             # it may be gone before it is asked
            self.submit({"never": "true"})
        self.d.gone()
        said = self.d.said()
        self.assertIn("jobd.db", said)
        self.assertIn("nothing more is acknowledged", said)
        self.assertIn("start jobd again", said)


if __name__ == "__main__":
    unittest.main()
