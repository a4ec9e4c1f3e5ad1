# SPDX-License-Identifier: MIT
"""A private jobd for a test, and jobctl that talks to it.

    with Daemon() as d:
        run = d.submit("a: true\\na/b: exit 3\\n")
        assert d.jobctl("wait", run).returncode == 1
        assert d.jobs(run)["a/b"]["exit_code"] == 3

Everything lives in a folder that goes with it; nothing is waited for by sleeping: jobd says when it is ready, jobctl waits.
"""
import json
import os
import shutil
import signal
import subprocess
import tempfile

BUILD = os.path.abspath(os.environ.get("JOBD_BUILDDIR", "."))
SOURCE = os.path.abspath(os.environ.get("JOBD_SRCDIR") or os.path.join(os.path.dirname(__file__), "..", ".."))
JOBD = os.environ.get("JOBD") or os.path.join(BUILD, "jobd")
JOBCTL = os.environ.get("JOBCTL") or os.path.join(BUILD, "jobctl")
RUNNER = os.environ.get("JOBD_RUNNER") or os.path.join(BUILD, "jobd-runner")
SANITIZED = os.environ.get("JOBD_SANITIZERS", "no") != "no"
# ThreadSanitizer loses a signal that comes while it makes room for signals, which it does when a thread blocks for the first time (libtsan of GCC
# 12). A jobd that has answered has waited for the question, and hears every signal from then on.
THREADS_SANITIZED = os.environ.get("JOBD_SANITIZERS", "no").startswith("thread")
SOAK = bool(os.environ.get("JOBD_SOAK"))
PATIENCE = 180 if SANITIZED else 60     # seconds until a test gives up on a process


def size(name, ci, soak):
    """How often a test does what it does by chance: JOBD_name when given. A sanitizer is there for memory errors, not for rare orders: a tenth."""
    return int(os.environ.get(name) or (soak if SOAK else max(1, ci // 10) if SANITIZED else ci))


def temporary_folder():
    """For a context. A runner may still write into it while it is removed, since it goes after its jobd: the driver removes what is left then."""
    return tempfile.TemporaryDirectory(prefix="jobd-", ignore_cleanup_errors=True)


class Daemon:
    """folder: where state and socket are (kept when given, else made and removed). config: the text of its jobd.conf."""

    def __init__(self, folder=None, config="", env=None):
        self.own_folder = folder is None
        self.folder = folder or tempfile.mkdtemp(prefix="jobd-")
        self.state = os.path.join(self.folder, "state")
        self.socket = os.path.join(self.folder, "socket")
        self.config = os.path.join(self.folder, "jobd.conf")
        self.log = os.path.join(self.folder, "jobd.log")
        with open(self.config, "w", encoding="utf-8") as f:
            f.write(config)
        self.env = dict(os.environ, **{"JOBD_RUNNER": RUNNER, "JOBD_SOCKET": self.socket, "JOBCTL": JOBCTL, **(env or {})})
        self.process = None

    def start(self):
        self.spawn()
        line = self.process.stdout.readline()
        if line != "ready\n":
            raise AssertionError("jobd said %r instead of ready\n%s" % (line, self.said()))
        if THREADS_SANITIZED:
            self.jobctl("status")
        return self

    def spawn(self):
        """Starts jobd and does not wait until it serves."""
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([JOBD, "--state", self.state, "--socket", self.socket, "--config", self.config, "--ready"],
                                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, env=self.env, text=True)

    def said(self):
        with open(self.log, encoding="utf-8", errors="replace") as f:
            return f.read()

    def jobctl(self, *words, text=None, check=False, env=None, cwd=None):
        done = subprocess.run([JOBCTL, "--socket", self.socket, *map(str, words)], input="" if text is None else text, capture_output=True,
                              text=True, env=dict(self.env, **(env or {})), cwd=cwd, timeout=PATIENCE * 2)
        if check and done.returncode != 0:
            raise AssertionError("jobctl %s: exit %d\n%s%s\n%s" % (" ".join(map(str, words)), done.returncode, done.stdout, done.stderr, self.said()))
        return done

    def submit(self, text, *options):
        return int(self.jobctl("submit", *options, "-", text=text, check=True).stdout)

    def listed(self, *words):
        return [json.loads(line) for line in self.jobctl("ls", "--json", *words, check=True).stdout.splitlines()]

    def jobs(self, run):
        return {row["path"]: row for row in self.listed(run)}

    def kill(self):
        """kill -9; the runner and its jobs live on."""
        self.process.kill()
        self.gone()

    def gone(self):
        """jobd has ended, or is about to."""
        self.process.wait(PATIENCE)
        self.process.stdout.close()
        self.process = None

    def stop(self):
        """TERM, and jobd's exit status; running jobs stay with the runner."""
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(PATIENCE)
        self.process.stdout.close()
        self.process = None
        return status

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, *_):
        if self.process:
            self.jobctl("shutdown", "--kill")
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process.stdout.close()
        if kind:
            print(self.said())
        if self.own_folder:
            shutil.rmtree(self.folder, ignore_errors=True)
