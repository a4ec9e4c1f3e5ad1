# SPDX-License-Identifier: MIT
"""Files, folders and sockets by name, where somebody has put something else first, or does so meanwhile. What it points to is never touched.

The kernel's fs.protected_* would hide mistakes; they hold in sticky folders and for other users' links alone, so the folders here are not sticky and root plants."""
import os
import shutil
import socket
import stat
import subprocess
import tempfile
import threading
import unittest

import kit
from case import Case

STATE = ("lock", "jobd.db", "jobd.db-wal", "jobd.db-journal", "out", "backups", "ballast", "runner.sock", "runner.sock.new", "runner.sock.lock",
         "runner.sock.ends", "runner.sock.cgroup")
NAMES = ["../x", "..", ".", "a/../b", "/etc/x", "a/", "a//b", "./a", "a/.", "x" * 256, "x/" + "y" * 300, "a\nb", "a\x00b", "-", "--", "a/-rf", "~root", "$HOME", "a;b", "\u202ea", "con", "a\\b"]


class Planted(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="jobd-")
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.state = os.path.join(self.folder, "state")
        self.victims = os.path.join(self.folder, "victims")
        os.mkdir(self.victims)
        self.victim = os.path.join(self.victims, "file")
        with open(self.victim, "w", encoding="ascii") as f:
            f.write("precious\n")
        os.chmod(self.victim, 0o640)
        self.before = self.look()

    def look(self):
        with open(self.victim, encoding="ascii") as f:
            text = f.read()
        st = os.stat(self.victim)
        return text, st.st_mode, st.st_uid, st.st_gid, st.st_size, sorted(os.listdir(self.victims))

    def plant(self, kind, path):
        if kind == "link to a file":
            os.symlink(self.victim, path)
        elif kind == "link to nothing":
            os.symlink(os.path.join(self.victims, "new"), path)
        elif kind == "link to a folder":
            os.symlink(self.victims, path)
        elif kind == "fifo":
            os.mkfifo(path)
        elif kind == "socket":
            with socket.socket(socket.AF_UNIX) as s:
                s.bind(path)
        else:
            os.mkdir(path)

    def run_daemon(self):
        """It starts, does something and ends; or says why it does not start. It never hangs."""
        words = [kit.JOBD, "--state", self.state, "--socket", os.path.join(self.folder, "run", "socket"), "--ready"]
        env = dict(os.environ, JOBD_RUNNER=kit.RUNNER, JOBD_CONFIG=os.path.join(self.folder, "conf"))
        with open(env["JOBD_CONFIG"], "w", encoding="ascii") as f:
            f.write("socket_mode = 0666\nlog_level = error\n")
        fd, log = tempfile.mkstemp(dir=self.folder)     # not a pipe, and one for each: a runner that has just been started still has it for a while
        with open(fd, "w", encoding="utf-8") as err, subprocess.Popen(words, stdout=subprocess.PIPE, stderr=err, env=env, text=True) as process:
            watch = threading.Timer(kit.PATIENCE / 6, process.kill)
            watch.start()
            ready = process.stdout.readline() == "ready\n"
            if ready:
                process.terminate()             # not over the socket: somebody may have taken its place
            status = process.wait()
            watch.cancel()
        with open(log, encoding="utf-8", errors="replace") as f:
            said = f.read()
        self.assertGreaterEqual(status, 0, "it hung, or died of a signal")
        return ready, said

    def test_whatever_stands_where_a_file_should_be_is_not_followed(self):
        for kind in ("link to a file", "link to nothing", "link to a folder", "fifo", "socket", "folder"):
            for name in STATE:
                with self.subTest(kind=kind, name=name):
                    self.state = tempfile.mkdtemp(dir=self.folder)         # a runner may still be leaving the one before
                    self.plant(kind, os.path.join(self.state, name))
                    ready, said = self.run_daemon()
                    self.assertEqual(self.look(), self.before)
                    self.assertTrue(ready or self.state in said, said)

    def test_a_runner_does_not_wait_for_what_is_no_note(self):
        note = os.path.join(self.folder, "s.cgroup")
        os.mkfifo(note)
        words = [kit.RUNNER, "--socket", os.path.join(self.folder, "s"), "--state", self.folder]
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=kit.PATIENCE)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(note, done.stderr)

    def test_a_state_folder_that_others_can_write_to_is_not_used(self):
        for mode in (0o777, 0o1777, 0o707):
            os.mkdir(self.state)
            os.chmod(self.state, mode)
            ready, said = self.run_daemon()
            self.assertFalse(ready)
            self.assertIn("others can write to it", said)
            self.assertEqual(os.listdir(self.state), [])
            os.rmdir(self.state)

    def test_a_link_to_a_state_folder_is_not_followed(self):
        os.mkdir(os.path.join(self.folder, "real"), 0o700)
        os.symlink("real", self.state)
        ready, said = self.run_daemon()
        self.assertFalse(ready)
        self.assertIn("a link is not followed", said)
        self.assertEqual(os.listdir(os.path.join(self.folder, "real")), [])

    def test_a_socket_is_not_given_away_with_what_takes_its_place(self):
        """In a folder that everybody can write to its name is swapped while jobd starts; the mode is meant for the socket alone."""
        run = os.path.join(self.folder, "run")
        os.mkdir(run)
        os.chmod(run, 0o777)
        new = os.path.join(run, "socket.new")
        stop = threading.Event()

        def swap():
            while not stop.is_set():
                for make in (os.symlink, os.link):
                    try:
                        make(self.victim, new + ".evil")
                        os.rename(new + ".evil", new)
                    except OSError:
                        pass

        attacker = threading.Thread(target=swap)
        attacker.start()
        try:
            for _ in range(10):
                self.run_daemon()
        finally:
            stop.set()
            attacker.join()
        self.assertEqual(self.look(), self.before)

    def test_the_runner_does_not_work_in_a_folder_that_others_can_write_to(self):
        run = os.path.join(self.folder, "open")
        os.mkdir(run)
        os.chmod(run, 0o1777)
        done = subprocess.run([kit.RUNNER, "--socket", os.path.join(run, "s"), "--state", self.folder, "--idle-exit", "1"], capture_output=True, text=True,
                              timeout=kit.PATIENCE, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("others can write to it", done.stderr)
        self.assertEqual(os.listdir(run), [])


class Names(Case):
    def test_names_of_jobs_and_runs_are_no_names_of_files(self):
        for name in NAMES:
            try:
                self.call("Submit", run={"name": name}, jobs=[{"path": "a", "shell": "echo x"}])
            except Exception as e:              # pylint: disable=broad-except
                self.assertIn("Refused", getattr(e, "name", "EOF" if "\0" in name else str(e)) if "\0" not in name else "Refused")
                self.connect()
            try:
                run = str(self.call("Submit", jobs=[{"path": name, "shell": "head -c 5000 /dev/zero; echo $JOBD_PATH"}])["run"])
                self.wait(run)
            except Exception as e:              # pylint: disable=broad-except
                self.assertIn("Refused", getattr(e, "name", "") if "\0" not in name else "Refused")
                self.connect()
        for folder, folders, files in os.walk(os.path.join(self.d.state, "out")):
            for entry in folders + files:
                self.assertRegex(entry, r"^([0-9]+(\.[0-9]+\.(out|err))?|\.spare)$", folder)
        outside = set(os.listdir(self.d.folder)) | set(os.listdir(self.d.state))
        self.assertFalse({"x", "b", "-rf", "con"} & outside)
        self.assertFalse(os.path.exists("/etc/x"))

    def test_everything_is_closed_to_others(self):
        run = self.submit({"a": "head -c 9000 /dev/zero"})
        self.wait(run)
        for folder, _, files in os.walk(self.d.state):
            self.assertEqual(stat.S_IMODE(os.stat(folder).st_mode) & 0o077, 0, folder)
            for name in files:
                mode = stat.S_IMODE(os.lstat(os.path.join(folder, name)).st_mode)
                self.assertEqual(mode & 0o177, 0, "%s/%s has mode %o" % (folder, name, mode))


if __name__ == "__main__":
    unittest.main()
