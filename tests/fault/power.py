# SPDX-License-Identifier: MIT
"""A machine whose power can be cut: jobd, its runner and its jobs in a pid namespace, the state on a file system that forgets.

    power.prepare("ext4")
    with power.Machine(folder, "ext4") as m:
        m.start(); ...; m.cut(); m.start()

A cut: jobd is frozen (else a sync that races with the cut may tell success), the file system is cut off, everything is killed at once, and the
file system is mounted again. The next start happens in another boot: another boot_id, other processes, and mostly an empty runtime folder.
What must survive for the judgement (side log, acknowledgements, logs) lies outside of that file system.
"""
import contextlib
import functools
import os
import shutil
import signal
import sqlite3
import uuid

import disk
import faults
import judge
import kit

BOOT_ID = "/proc/sys/kernel/random/boot_id"


@functools.cache
def prepare(kind):
    """Before the test's first machine, and before its first thread. Skip when this can not be done here."""
    why = disk.why_not(kind)
    if why:
        raise faults.Skip("no power cuts on %s: %s" % (kind, why))
    disk.private_mounts()


@contextlib.contextmanager
def new_pid_namespace():
    """The first process that this thread starts within is the init of a new pid namespace: all others there die with it."""
    own = os.open("/proc/thread-self/ns/pid", os.O_RDONLY)
    disk.call("unshare", disk.CLONE_NEWPID)
    try:
        yield
    finally:
        disk.call("setns", own, disk.CLONE_NEWPID)
        os.close(own)


class Machine(kit.Daemon):
    """One at a time: a process sees one boot_id."""

    def __init__(self, folder, kind, mib=64, config="", env=None):
        self.runtime = os.path.join(folder, "run")
        os.mkdir(self.runtime)
        super().__init__(folder=folder, config=config, env=env)
        self.disk = disk.Disk(folder, kind, mib)
        self.state = os.path.join(self.disk.path, "state")
        self.socket = os.path.join(self.runtime, "socket")
        self.env.update(JOBD_SOCKET=self.socket, JOBD_RUNNER_SOCKET=os.path.join(self.runtime, "runner"))
        self.boot_id = os.path.join(folder, "boot_id")
        self.new_boot()
        disk.mount(self.boot_id, BOOT_ID, None, disk.MS_BIND)

    def new_boot(self):
        with open(self.boot_id, "w", encoding="ascii") as f:
            f.write("%s\n" % uuid.uuid4())

    def spawn(self):
        with new_pid_namespace():
            super().spawn()

    def freeze(self):
        """Returns when no thread of jobd runs any more, nor is within a system call."""
        os.kill(self.process.pid, signal.SIGSTOP)
        seen = os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        assert seen.si_code == os.CLD_STOPPED, "jobd ended by itself: exit status %d" % self.process.wait()

    def cut(self, forget_runtime=True):
        """jobd runs; afterwards nothing of it does. forget_runtime: the folder of the sockets was a tmpfs, as it should be."""
        self.freeze()
        self.disk.shut_down()
        self.kill()                             # jobd is the init of its namespace: the runner and all jobs are dead when it is reaped
        self.disk.unmount()
        self.disk.mount()
        if forget_runtime:
            shutil.rmtree(self.runtime)
            os.mkdir(self.runtime)
        self.new_boot()

    def close(self):
        if self.process:
            self.kill()
        disk.call("umount2", BOOT_ID, 0)
        self.disk.unmount()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind:
            print(self.said()[-20000:])
        self.close()


def sound(database):
    """What SQLite says of a copy of database and log."""
    with contextlib.closing(sqlite3.connect(database)) as db:
        return db.execute("PRAGMA integrity_check").fetchone()[0]


class CutExt4(faults.Fault):
    """What was not synced is gone, all processes are dead, and the next start is in another boot."""
    name = "cut the power, ext4"
    kind = "ext4"
    machine = None

    def prepare(self, world):
        prepare(self.kind)
        with open(world.daemon.config, encoding="utf-8") as f:
            self.machine = world.daemon = Machine(world.folder, self.kind, config=f.read())

    def strike(self, world, rng):
        world.serving.clear()
        self.machine.cut(forget_runtime=rng.random() < 0.8)
        world.mark("powerloss")
        said = sound(judge.copy_of_database(self.machine, world.folder))
        assert said == "ok", "the database is damaged: %s" % said
        return True

    def mend(self, world, rng):
        world.start()

    def undo(self, world):
        if self.machine:
            self.machine.close()


class CutXfs(CutExt4):
    name = "cut the power, xfs"
    kind = "xfs"
