# SPDX-License-Identifier: MIT
"""A machine whose power can be cut: jobd, its runner and its jobs in a pid namespace, the state on a file system that forgets.

    power.prepare()
    with power.Machine(folder, "ext4") as m:
        m.start(); ...; m.cut(); m.start()

A cut: jobd is frozen (else a sync that races with the cut may tell success), the file system is cut off, everything is killed at once, and the
file system is mounted again. The next start happens in another boot: another boot_id, other processes, and mostly an empty runtime folder.
What must survive for the judgement (side log, acknowledgements, logs) lies outside of that file system.
"""
import contextlib
import os
import shutil
import signal
import sys
import uuid

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "e2e"))
import disk
import kit

BOOT_ID = "/proc/sys/kernel/random/boot_id"


def why_not(kind):
    return disk.why_not(kind)


def prepare():
    """Once for the test process, before its first machine."""
    disk.private_mounts()


@contextlib.contextmanager
def new_pid_namespace():
    """The first process that is started within is the init of a new pid namespace: all others there die with it."""
    own = os.open("/proc/self/ns/pid", os.O_RDONLY)
    disk.call("unshare", disk.CLONE_NEWPID)
    try:
        yield
    finally:
        disk.call("setns", own, disk.CLONE_NEWPID)
        os.close(own)


class Machine(kit.Daemon):
    """One at a time: a process sees one boot_id."""

    def __init__(self, folder, kind="ext4", mib=64, config="", env=None):
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

    def start(self):
        with new_pid_namespace():
            return super().start()

    def freeze(self):
        """Returns when no thread of jobd runs any more, nor is within a system call."""
        os.kill(self.process.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED)

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

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if self.process:
            self.kill()
        if kind:
            print(self.said()[-20000:])
        disk.call("umount2", BOOT_ID, 0)
        self.disk.unmount()
