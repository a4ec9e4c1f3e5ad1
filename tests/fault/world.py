# SPDX-License-Identifier: MIT
"""The world of one history: a jobd with its state, the witnesses, the clients. Faults act on it, clients live in it."""
import os
import random
import shutil
import signal
import tempfile
import threading
import time

import clients
import kit
import trees
import varlink
import witness

SLOTS = 8
CONFIG = "slots = %d\nlog_level = warning\n"


def three_submitters(world):
    return [clients.Submitter(world, name) for name in "pqr"]


class World:
    """folder: side log, locks, socket, state (unless a fault moves daemon.state elsewhere before the first start).
    make_clients: the clients of a world; three submitters unless given. patience_s: for the drain."""

    def __init__(self, seed, make_clients=None, lengths_ms=tuple(trees.LENGTHS_MS), slots=SLOTS, patience_s=120):
        self.seed, self.lengths_ms, self.slots = seed, lengths_ms, slots
        self.rng = random.Random("%s/faults" % seed)
        self.folder = tempfile.mkdtemp(prefix="jobd-fault-")
        self.daemon = kit.Daemon(folder=self.folder, config=CONFIG % slots)
        self.witness = witness.Witness(self.folder)
        self.serving, self.failed = threading.Event(), threading.Event()
        self.failures = []
        self.keys = {}                  # (run number, path) -> key, of what was acknowledged
        self.patience_s, self.deadline = patience_s, None       # of the drain
        self.clients = (make_clients or three_submitters)(self)
        self.watcher = clients.Watcher(self)
        self.witness.mark("start")
        self.witness.mark("reaper", reaper())

    # ---- for clients

    def connect(self, patience_s):
        """A connection; None when none can be had now (ask again)."""
        if not self.serving.wait(0.2):
            return None
        return varlink.Connection(self.daemon.socket, timeout=patience_s)

    def await_serving(self):
        """After a broken connection: until jobd is there (again), or a moment when it is said to be."""
        if self.serving.is_set():
            self.failed.wait(0.001)
        self.serving.wait(0.2)

    def know(self, run):
        self.keys.update({(run.number, path): key for path, key in run.keys.items()})

    def key_of(self, number, path):
        return self.keys.get((number, path))

    def check_patience(self, what):
        """During the drain: jobd is there, and it goes on."""
        if self.deadline and self.serving.is_set() and self.daemon.process.poll() is not None:
            raise AssertionError("jobd ended by itself during the drain: status %d" % self.daemon.process.returncode)
        if self.deadline and time.monotonic() > self.deadline:
            raise AssertionError("not drained after %d s: %s" % (self.patience_s, what))

    # ---- for faults

    def start(self):
        self.daemon.start()
        self.serving.set()

    def start_and_kill(self, seconds):
        """kill -9 within so many seconds of a start, whether it is ready by then or not."""
        self.daemon.spawn()
        self.failed.wait(seconds)
        self.daemon.kill()

    def kill(self):
        """kill -9 of jobd; returns when it has gone."""
        self.serving.clear()
        self.daemon.kill()

    def runners(self):
        """The pids of the jobd-runners of this state folder. A child of one looks like it until it has become a job."""
        found = processes_with_arguments(os.path.basename(kit.RUNNER), self.daemon.state)
        return [pid for pid in found if parent_of(pid) not in (None, *found)]

    def jobs(self):
        """The pids of the jobs that run."""
        return processes_with_arguments("sidejob", self.witness.side.path)

    def mark(self, *words):
        self.witness.mark(*words)

    def work(self, seconds):
        """Lets the clients and the jobs go on."""
        if self.failed.wait(seconds):
            self.tell_failure()

    def tell_failure(self):
        name, failure = self.failures[0]
        raise AssertionError("%s: %s: %s" % (name, type(failure).__name__, failure)) from failure

    # ---- life

    def begin(self):
        self.start()
        for client in self.clients + [self.watcher]:
            client.start()

    def await_clients(self):
        """Until all have done what they have to do; for clients that end by themselves."""
        for client in self.clients:
            while client.is_alive():
                client.join(0.5)
                if self.failed.is_set():
                    self.tell_failure()

    def drain(self):
        """All that is unanswered is repeated, everything held is released, every run ends, jobd says that it is idle, and leaves. How long it took."""
        began = time.monotonic()
        self.deadline = began + self.patience_s
        for client in self.clients:
            client.finish()
        for client in self.clients:
            client.join()
        self.watcher.finish()
        self.watcher.join()
        if self.failures:
            self.tell_failure()
        with varlink.Connection(self.daemon.socket) as conn:
            stats = conn.call("Stats")
            assert stats["idle"], "every run has ended, and jobd is not idle: %s" % stats
        self.mark("drain")
        self.serving.clear()
        self.daemon.jobctl("shutdown", check=True)
        self.daemon.gone()
        return time.monotonic() - began

    def abandon(self):
        """After a failure: ends what is left, as far as it can be found."""
        self.deadline = time.monotonic()
        for client in self.clients + [self.watcher]:
            client.finish()
        if self.daemon.process:
            self.daemon.process.send_signal(signal.SIGCONT)
            self.daemon.kill()
        for pid in processes_with_arguments("jobd", self.daemon.state):         # runners too
            send(signal.SIGCONT, pid)
            send(signal.SIGKILL, pid)
        for pid in leftovers(self.daemon.socket):
            send(signal.SIGKILL, pid)

    def remove(self):
        self.witness.close()
        shutil.rmtree(self.folder, ignore_errors=True)


# ---- processes


def send(sig, pid):
    try:
        os.kill(pid, sig)
    except ProcessLookupError:
        pass


def _read(path):
    try:
        with open(path, "rb") as f:
            return f.read()
    except OSError:
        return b""


def pids():
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def parent_of(pid):
    """None: it has gone."""
    stat = _read("/proc/%d/stat" % pid)
    return int(stat[stat.rindex(b")") + 2:].split()[1]) if stat else None


def processes_with_arguments(program, argument):
    """Pids of the processes of this program (or one whose name goes on: jobd-runner-fp), zombies not counted, that have this argument."""
    found = []
    for pid in pids():
        words = os.fsdecode(_read("/proc/%d/cmdline" % pid)).split("\0")
        if os.path.basename(words[0]).startswith(program) and argument in words:
            found.append(pid)
    return found


def leftovers(socket):
    """Pids of what jobs left: processes that carry the environment of a job of the jobd with this socket."""
    ours = ("JOBD_SOCKET=" + socket).encode()
    found = []
    for pid in pids():
        words = _read("/proc/%d/environ" % pid).split(b"\0")
        if ours in words and any(word.startswith(b"JOBD_ATTEMPT=") for word in words):
            found.append(pid)
    return found


def reaper():
    """The pid that becomes the parent of orphans here: 1, or a subreaper above us."""
    answer, tell = os.pipe()
    alive, life = os.pipe()             # `life` is open as long as the child lives
    child = os.fork()
    if child == 0:
        if os.fork() == 0:
            os.close(life)
            os.read(alive, 1)
            os.write(tell, str(os.getppid()).encode())
        os._exit(0)
    os.close(life)
    os.waitpid(child, 0)
    pid = int(os.read(answer, 20))
    for fd in (answer, tell, alive):
        os.close(fd)
    return pid
