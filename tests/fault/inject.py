# SPDX-License-Identifier: MIT
"""Calls of libc that fail: in jobd or in the runner, the n-th of one kind, once or a few times, while it runs or from its start on.

faulty.c is preloaded into both and reads its order from a file. Each strike is one order, which is taken back after a moment. jobd may end
because of it - that is how it answers an error of its disk - but of its own will, and its next start serves. The runner may not end while
it has jobs: nothing excuses what they would lose.
"""
import errno
import mmap
import os
import select
import struct

import faults
import kit
import varlink

LIBRARY = os.path.join(kit.BUILD, "tests", "fault", ".libs", "faulty.so")
JOBD, RUNNER = 1, 2
SHORT = 0x7fff
N_MAX = 60
PATIENCE_S = 10                 # until a hang is a hang

DISK = "EIO ENOSPC EDQUOT EROFS"
TABLE = "EMFILE ENFILE ENOMEM"
# The calls in the order of faulty.c, with what they may say.
CALLS = [
    ("open", "EIO ENOSPC EACCES EINTR " + TABLE), ("openat", "EIO ENOSPC EACCES EINTR " + TABLE), ("read", "EIO EINTR EAGAIN"), ("pread", "EIO EINTR"),
    ("write", "EIO ENOSPC EINTR EAGAIN EPIPE SHORT"), ("pwrite", "EIO ENOSPC EDQUOT EINTR EFBIG SHORT"), ("fsync", DISK), ("fdatasync", DISK),
    ("ftruncate", "EIO ENOSPC EINTR"), ("fallocate", "EIO ENOSPC EOPNOTSUPP EINTR"), ("fstat", "EIO ENOMEM"), ("unlink", "EIO EACCES ENOENT EROFS"),
    ("rename", DISK), ("mkdir", "EACCES " + DISK), ("mmap", "ENOMEM EAGAIN"), ("socket", "ENOBUFS " + TABLE),
    ("accept", "EAGAIN ECONNABORTED EINTR EPROTO ENOBUFS EPERM " + TABLE), ("connect", "EAGAIN ECONNREFUSED EINTR ENOENT"),
    ("bind", "EACCES ENOMEM EIO"), ("recv", "EAGAIN EINTR ECONNRESET ENOMEM"), ("recvmsg", "EAGAIN EINTR ECONNRESET ENOMEM"),
    ("send", "EAGAIN EINTR EPIPE ECONNRESET ENOBUFS ENOMEM"), ("sendmsg", "EAGAIN EINTR EPIPE ECONNRESET ENOBUFS ENOMEM"),
    ("epoll_ctl", "ENOMEM ENOSPC"), ("epoll_wait", "EINTR"), ("memfd_create", TABLE), ("getrandom", "EINTR EAGAIN"),
    ("posix_spawn", "EAGAIN ENOMEM ENOENT"), ("clone", "EAGAIN ENOMEM"), ("waitid", "EINTR"), ("kill", "EPERM"),
]


def number(name):
    return SHORT if name == "SHORT" else getattr(errno, name)


class Order:
    """The file that faulty.c reads."""

    def __init__(self, path):
        self.path = path
        with open(path, "w+b") as f:
            f.truncate(mmap.PAGESIZE)
            self.map = mmap.mmap(f.fileno(), mmap.PAGESIZE)

    def give(self, program, call, error, n, times):
        self.map[4:24] = struct.pack("=5i", call, error, n, times, 0)
        self.map[0:4] = struct.pack("=i", program)

    def take_back(self):
        """How many calls have failed."""
        self.map[0:4] = struct.pack("=i", 0)
        return struct.unpack("=i", self.map[20:24])[0]


class Inject(faults.Fault):
    name = "fail a call"

    def __init__(self):
        self.order, self.said = None, ""

    def prepare(self, world):
        if kit.SANITIZED:
            raise faults.Skip("nothing can be preloaded before a sanitizer")
        self.order = Order(os.path.join(world.folder, "order"))
        world.daemon.env.update(JOBD_FAULTY=self.order.path, LD_PRELOAD=LIBRARY)

    def strike(self, world, rng):
        program, call = rng.choice([JOBD, JOBD, RUNNER]), rng.randrange(len(CALLS))
        error = rng.choice(CALLS[call][1].split())
        n, times, fresh = rng.choice([0, rng.randint(1, N_MAX)]), rng.choice([1, 1, 2, 5, 1000]), rng.random() < 0.4
        self.said = "%s: %s fails with %s after %d calls, %d times, %s" % (
            "jobd" if program == JOBD else "runner", CALLS[call][0], error, n, times, "from its start on" if fresh else "while it runs")
        if program == RUNNER and not world.runners():
            return False
        self.note(world)
        if fresh and program == RUNNER:
            faults.kill_runners(world)
        elif fresh:
            world.kill()
            world.mark("kill9")
        self.order.give(program, call, number(error), n, times)
        if fresh and program == JOBD:
            self.start(world)
        world.work(rng.choice([0.01, 0.05, 0.1]))
        self.said += ", %d did" % self.order.take_back()
        self.check(world)
        return True

    def note(self, world):
        """Into jobd's log, beside what it says to it."""
        with open(world.daemon.log, "a", encoding="utf-8") as log:
            log.write("test: %s\n" % self.said)

    def start(self, world):
        """It may refuse to start; it may not do neither."""
        daemon = world.daemon
        daemon.spawn()
        readable, _, _ = select.select([daemon.process.stdout], [], [], PATIENCE_S)
        assert readable, "jobd neither serves nor ends after %d s: %s" % (PATIENCE_S, self.said)
        if daemon.process.stdout.readline() == "ready\n":
            world.serving.set()

    def check(self, world):
        """jobd ended by itself, or it answers."""
        process = world.daemon.process
        if not world.serving.is_set():
            process.wait(PATIENCE_S)
        if process.poll() is None:
            self.answers(world)
        elif process.returncode < 0:
            raise AssertionError("jobd was ended by signal %d: %s" % (-process.returncode, self.said))

    def answers(self, world):
        try:
            with varlink.Connection(world.daemon.socket, timeout=PATIENCE_S) as conn:
                conn.call("Stats")
        except TimeoutError:
            raise AssertionError("jobd does not answer after %d s: %s" % (PATIENCE_S, self.said)) from None
        except (OSError, EOFError):
            world.daemon.process.wait(PATIENCE_S)

    def mend(self, world, rng):
        process = world.daemon.process
        if process.poll() is None:
            return
        assert process.returncode >= 0, "jobd was ended by signal %d: %s" % (-process.returncode, self.said)
        world.kill()
        world.mark("kill9")
        world.start()
