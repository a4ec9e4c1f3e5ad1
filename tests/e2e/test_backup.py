#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Backups are whole and made beside the work; a restore replaces nothing silently and nothing twice."""
import contextlib
import glob
import os
import random
import select
import shutil
import signal
import socket
import sqlite3
import subprocess
import threading
import unittest
import unittest.mock

import kit
import varlink
from case import Case

STEPS = ("link", "rename", "unlink", "fsync", "fdatasync", "pwrite64", "sendfile", "mkdir")


def restore(state, backup, wrap=()):
    """jobd --restore; what it said, and its exit status. Under strace a sanitizer cannot look for leaks."""
    env = dict(os.environ, ASAN_OPTIONS=os.environ.get("ASAN_OPTIONS", "") + (":detect_leaks=0" if wrap else ""))
    return subprocess.run([*wrap, kit.JOBD, "--state", state, "--config", os.devnull, "--restore", backup], capture_output=True, text=True,
                          timeout=kit.PATIENCE, env=env)


def ask(database, query):
    with contextlib.closing(sqlite3.connect("file:%s?mode=ro&immutable=1" % database, uri=True)) as db:
        return db.execute(query).fetchall()


def is_whole(database):
    return ask(database, "PRAGMA integrity_check") == [("ok",)]


def skip(test, reason):
    print("\nSKIP: " + reason, flush=True)      # on a line of its own, behind the dots
    test.skipTest(reason)


def read(path):
    with open(path, "rb") as f:
        return f.read()


class Load(threading.Thread):
    """Submits runs with keys, one after the other; what has been acknowledged is in `acknowledged` before the next begins."""

    def __init__(self, daemon, name):
        super().__init__()
        self.daemon_of_test, self.prefix = daemon, name
        self.acknowledged = []
        self.over = False

    def run(self):
        with varlink.Connection(self.daemon_of_test.socket, kit.PATIENCE) as conn:
            while not self.over:
                key = "%s-%d" % (self.prefix, len(self.acknowledged))
                conn.call("Submit", run={"key": key}, jobs=[{"path": "a", "argv": ["true"]}, {"path": "a/b", "shell": "echo " + key}])
                self.acknowledged.append(key)


class Backup(Case):
    def folder(self):
        return self.enterContext(kit.temporary_folder())

    def backups(self):
        return sorted(glob.glob(os.path.join(self.d.state, "backups", "backup-*.db")))

    def test_the_last_few_are_kept(self):
        for n in range(1, 6):
            self.assertTrue(self.call("Backup")["path"].endswith("/state/backups/backup-%d.db" % n))
        self.assertEqual(["backup-%d.db" % n for n in (3, 4, 5)], [os.path.basename(name) for name in self.backups()])
        self.assertEqual(os.stat(self.backups()[0]).st_mode & 0o7777, 0o600)

    def test_a_file_is_replaced_by_a_whole_copy_or_not_at_all(self):
        name = os.path.join(self.folder(), "copy.db")
        self.assertEqual(name + "\n", self.d.jobctl("backup", name, check=True).stdout)
        first = read(name)
        self.submit({"a": "true"})
        self.d.jobctl("backup", name, check=True)
        self.assertNotEqual(first, read(name))
        self.assertEqual([(1,)], ask(name, "SELECT count(*) FROM runs"))
        done = self.d.jobctl("backup", os.path.join(name, "below"))
        self.assertEqual((6, True), (done.returncode, "Not a directory" in done.stderr))

    def test_each_backup_under_load_holds_what_was_acknowledged_before_it(self):
        loads = [Load(self.d, name) for name in ("x", "y")]
        made = []
        for load in loads:
            load.start()
        try:
            for n in range(200 if kit.SOAK else 8):
                known = {key for load in loads for key in list(load.acknowledged)}
                copy = os.path.join(self.d.folder, "copy-%d.db" % n)
                self.d.jobctl("backup", copy, check=True)
                made.append((copy, known))
        finally:
            for load in loads:
                load.over = True
            for load in loads:
                load.join()
        for copy, known in made:
            self.judge(copy, known)

    def judge(self, copy, known):
        """It is restored into a jobd of its own, which knows every key, goes on with what was paused, and ends it all."""
        folder = self.folder()
        os.mkdir(os.path.join(folder, "state"), 0o700)
        done = restore(os.path.join(folder, "state"), copy)
        self.assertEqual(0, done.returncode, done.stderr)
        with kit.Daemon(folder, config="slots = 4\nlog_level = warning\n") as d:
            rows = d.listed("--limit", 1000000)
            self.assertLessEqual(known, {row["key"] for row in rows})
            open_runs = [row["run"] for row in rows if row["state"] == "paused"]
            if open_runs:
                d.jobctl("resume", *open_runs, check=True)
                d.jobctl("wait", *open_runs, check=True)
            self.assertEqual({"ok"}, {row["state"] for row in d.listed("--limit", 1000000)} or {"ok"})

    def test_a_kill_in_the_middle_leaves_the_backup_before(self):
        jobs = [{"path": "p%d" % i, "argv": ["true", "x" * 2000]} for i in range(400)]
        for _ in range(40):
            self.call("Submit", run={}, jobs=[dict(job, after=["never"]) for job in jobs] + [{"path": "never", "shell": "exit 1"}])
        first = self.call("Backup")["path"]
        before = read(first)
        for _ in range(40 if kit.SOAK else 6):
            self.conn.send("org.jobd.Backup")
            with contextlib.suppress(EOFError, OSError):
                self.conn.sock.settimeout(random.uniform(0, 0.05))
                self.conn.receive()
            self.d.kill()
            for name in self.backups():
                self.assertTrue(is_whole(name), name)
            self.d.start()
            self.connect()
        self.assertEqual(before, read(first) if os.path.exists(first) else before)
        self.assertTrue(is_whole(self.call("Backup")["path"]))
        self.assertEqual([], glob.glob(os.path.join(self.d.state, "backups", "*.new")))

    def test_others_may_not(self):
        if os.geteuid() != 0:
            skip(self, "needs root to become another user")
        os.chmod(self.d.folder, 0o755)
        os.chmod(self.d.socket, 0o666)
        done = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", kit.JOBCTL, "--socket", self.d.socket, "backup"],
                              capture_output=True, text=True, timeout=kit.PATIENCE, cwd="/")
        self.assertEqual(6, done.returncode)
        self.assertIn("only root and jobd's own user", done.stderr)


class Restore(Case):
    def setUp(self):
        super().setUp()
        self.submit({"a": "true"}, key="first")
        self.call("Wait", targets=[{"run": "1"}])
        self.going = self.submit({"b": {"argv": ["sleep", "1000"], "on_lost": "retry"}, "b/c": "true"})
        self.copy = os.path.join(self.d.folder, "copy.db")
        self.d.jobctl("backup", self.copy, check=True)
        self.submit({"later": "true"}, key="later")

    def end(self):
        runner = os.pidfd_open(self.call("Stats")["runner_pid"])
        self.d.jobctl("shutdown", "--kill", check=True)
        self.d.gone()
        select.select([runner], [], [])
        os.close(runner)

    def restart(self):
        self.d.start()
        self.connect()

    def refused(self, backup, why):
        before = read(self.d.state + "/jobd.db")
        done = restore(self.d.state, backup)
        self.assertEqual(1, done.returncode)
        self.assertIn(why, done.stderr)
        self.assertEqual(before, read(self.d.state + "/jobd.db"))
        self.assertEqual([], glob.glob(self.d.state + "/jobd.db.*"))

    def test_not_while_a_jobd_or_a_runner_lives(self):
        self.refused(self.copy, "in use by another jobd")
        self.d.kill()
        self.refused(self.copy, "jobd-runner still serves")
        self.restart()

    def test_nor_while_the_runner_of_the_user_units_lives(self):
        """It is not where a jobd without units would look; nobody has to say so."""
        self.end()
        places = {"XDG_STATE_HOME": self.d.folder + "/home", "XDG_RUNTIME_DIR": self.d.folder}
        os.makedirs(self.d.folder + "/home")
        os.makedirs(self.d.folder + "/jobd")
        os.symlink(self.d.state, self.d.folder + "/home/jobd")
        with unittest.mock.patch.dict(os.environ, places), socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as runner:
            runner.bind(self.d.folder + "/jobd/runner")
            runner.listen()
            self.refused(self.copy, "jobd-runner still serves " + self.d.folder + "/jobd/runner")
        self.restart()

    def test_what_is_no_whole_backup_is_refused(self):
        self.end()
        self.refused(self.d.folder + "/nothing", "nothing in it")
        text = os.path.join(self.d.folder, "text")
        with open(text, "w", encoding="ascii") as f:
            f.write("x" * 300)
        self.refused(text, "not a database")
        whole = read(self.copy)
        damaged = os.path.join(self.d.folder, "damaged.db")
        for content in (whole[:len(whole) - 4096], whole[:8192] + bytes(8192) + whole[16384:]):
            with open(damaged, "wb") as f:
                f.write(content)
            self.refused(damaged, "damaged")
        shutil.copy(self.copy, damaged)
        with contextlib.closing(sqlite3.connect(damaged)) as db:
            db.execute("PRAGMA journal_mode = DELETE")
            db.execute("PRAGMA user_version = 99")
        self.refused(damaged, "written by a newer jobd")
        live = os.path.join(self.d.folder, "live.db")
        shutil.copy(self.copy, live)
        with open(live + "-wal", "w", encoding="ascii") as f:
            f.write("x")
        self.refused(live, "not a backup: a log stands beside it")
        self.restart()

    def test_what_had_not_ended_is_paused_and_numbers_go_on(self):
        backup = read(self.copy)
        self.end()
        old = read(self.d.state + "/jobd.db")
        done = restore(self.d.state, self.copy)
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertIn("is restored into %s: 2 runs; 1 of them had not ended and are paused" % self.d.state, done.stderr)
        self.assertEqual(backup, read(self.copy))
        self.assertEqual(old, read(self.d.state + "/backups/replaced-1.db"))
        self.restart()
        self.assertEqual({1: "ok", 2: "paused"}, {row["run"]: row["state"] for row in self.call("List")["runs"]})
        self.assertTrue(self.call("Submit", run={"key": "first"}, jobs=[{"path": "a", "shell": "true"}])["existing"])
        new = self.submit({"new": "true"})
        self.assertGreater(int(new), 3)
        self.wait(new)
        self.assertIn("paused", [reason["what"] for reason in self.call("Explain", run=self.going, path="b/c")["reasons"]])

    def test_a_damaged_database_is_replaced_too_and_kept(self):
        self.end()
        name = self.d.state + "/jobd.db"
        damaged = read(name)[:8192]
        with open(name, "wb") as f:
            f.write(damaged)
        self.assertEqual(0, restore(self.d.state, self.copy).returncode)
        self.assertEqual(damaged, read(self.d.state + "/backups/replaced-1.db"))
        self.restart()
        self.assertGreater(int(self.submit({"new": "true"})), 3)

    def test_a_kill_at_any_step_leaves_the_old_one_or_the_new_one(self):
        if not shutil.which("strace"):
            skip(self, "strace is not installed")
        self.end()
        kept = os.path.join(self.d.folder, "kept")
        shutil.copytree(self.d.state, kept, ignore=lambda *_: ["runner.sock"])
        seen = [self.runs_after_a_start() for call in STEPS for _ in self.killed_at_each(call, kept)]
        self.assertEqual({(1, 2), (1, 2, 3)}, set(seen))
        self.assertGreater(len(seen), 20)
        self.restart()

    def killed_at_each(self, call, kept):
        """For each time that a restore makes this system call: once, with the state that a kill there leaves."""
        for n in range(1, 200):
            shutil.rmtree(self.d.state)
            shutil.copytree(kept, self.d.state)
            trace = ["strace", "-qq", "-o", os.devnull, "-e", "trace=" + call, "-e", "inject=%s:signal=KILL:when=%d" % (call, n)]
            done = restore(self.d.state, self.copy, trace)
            if done.returncode == 0:
                return
            self.assertEqual(-signal.SIGKILL, done.returncode, done.stderr)
            yield n

    def runs_after_a_start(self):
        d = kit.Daemon(self.d.folder, env={"JOBD_RUNNER": "none"}).start()
        rows = d.listed()
        d.kill()
        return tuple(sorted(row["run"] for row in rows))


if __name__ == "__main__":
    unittest.main()
