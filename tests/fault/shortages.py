# SPDX-License-Identifier: MIT
"""Faults that lack something for a while: room on the disk, descriptors, processes, memory.

A shortage may neither end jobd nor keep it from answering, and when it is over jobd goes on by itself: the same process, well again. Memory
is the exception, for the kernel kills for it.
"""
import contextlib
import functools
import os
import resource
import select
import signal
import subprocess
import time

import disk
import faults
import groups
import varlink

ANSWER_S = 10                   # until no answer is a hang
RECOVERY_S = 30                 # until what is not well again never will be
EPISODES_A_HISTORY = 2          # each history has a disk, and a jobd, of its own


class Shortage(faults.Fault):
    """begin() and end() of what is lacking."""

    def __init__(self):
        self.asking, self.process = None, None

    def begin(self, world, rng):
        raise NotImplementedError

    def end(self, world, rng):
        raise NotImplementedError

    def still(self, world, rng):
        """While it lasts."""

    def strike(self, world, rng):
        self.process = world.daemon.process
        self.asking = varlink.Connection(world.daemon.socket, timeout=ANSWER_S)
        self.stats(world)                       # accepted before descriptors become scarce
        if not self.begin(world, rng):
            self.hang_up()
            return False
        for _ in range(rng.randint(1, 4)):
            self.still(world, rng)
            world.work(rng.choice([0.02, 0.1, 0.4]) * rng.random())
            self.stats(world)
        return True

    def mend(self, world, rng):
        self.end(world, rng)
        patience = time.monotonic() + RECOVERY_S
        while troubles := self.stats(world)["troubles"]:
            assert time.monotonic() < patience, "%s: is not well again after %d s: %s" % (self.name, RECOVERY_S, troubles)
            world.work(0.05)
        self.hang_up()
        assert world.daemon.process is self.process

    def stats(self, world):
        try:
            return self.asking.call("Stats")
        except TimeoutError:
            raise AssertionError("%s: jobd does not answer after %d s" % (self.name, ANSWER_S)) from None
        except (OSError, EOFError) as e:
            raise AssertionError("%s: jobd hung up (%s), and has %s" % (self.name, e, self.process.poll())) from e

    def hang_up(self):
        if self.asking:
            self.asking.close()
        self.asking = None

    def undo(self, world):
        self.hang_up()


@functools.cache
def prepare_disks(kind):
    """Before the first of them is mounted."""
    why = disk.why_not(kind)
    if why:
        raise faults.Skip("a small file system can not be mounted: " + why)
    disk.private_mounts()


class FullTmpfs(Shortage):
    """Another writer takes all that is free, again and again, until it gives up its file."""
    kind, sizes_kib = "tmpfs", [256, 512, 1024, 2048, 8192]
    name = "fill a tmpfs"

    def __init__(self):
        super().__init__()
        self.disk = None

    def prepare(self, world):
        prepare_disks(self.kind)
        self.disk = disk.Disk(world.folder, self.kind, world.rng.choice(self.sizes_kib) / 1024)
        world.daemon.state = os.path.join(self.disk.path, "state")
        if world.rng.random() < 0.5:            # as installed: sockets, and what the runner keeps, are elsewhere
            world.daemon.env["JOBD_RUNNER_SOCKET"] = os.path.join(world.folder, "runner")

    def begin(self, world, rng):
        return True

    def still(self, world, rng):
        """What jobd gave up meanwhile, its ballast, is taken as well."""
        fill(self.filler(), rng.choice([0, 0, 4096, 65536]))

    def filler(self):
        return os.path.join(self.disk.path, "filler")

    def end(self, world, rng):
        """What clients have submitted stays, so a small disk is made larger too."""
        os.unlink(self.filler())
        self.disk.grow(4096)

    def undo(self, world):
        super().undo(world)
        if self.disk:
            self.disk.forsake()


class FullImage(FullTmpfs):
    """Of one size, with room for what is submitted in a history."""
    kind, sizes_kib = "ext4", [6144, 8192, 16384]
    name = "fill an ext4"

    def end(self, world, rng):
        os.unlink(self.filler())


def fill(path, but):
    """Until the file system has so many bytes left."""
    with open(path, "ab", buffering=0) as f:
        room = os.statvfs(path)
        for size in [room.f_bavail * room.f_frsize - but] + [4096] * 16 * (not but):
            try:
                os.posix_fallocate(f.fileno(), f.seek(0, os.SEEK_END), max(size, 1))
            except OSError:
                return                          # others are as fast


class FewDescriptors(Shortage):
    """RLIMIT_NOFILE of a running process becomes what it has open, or little more, and is put back."""
    name = "take jobd's descriptors"

    def __init__(self):
        super().__init__()
        self.limited = []                       # (pid, limits before)

    def pids(self, world):
        return [world.daemon.process.pid]

    def begin(self, world, rng):
        for pid in self.pids(world):
            old = resource.prlimit(pid, resource.RLIMIT_NOFILE)
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (len(os.listdir("/proc/%d/fd" % pid)) + rng.choice([0, 0, 1, 3]), old[1]))
            self.limited.append((pid, old))
        return bool(self.limited)

    def end(self, world, rng):
        for pid, old in self.limited:
            with contextlib.suppress(ProcessLookupError):       # a runner that could not start so, or found another one there
                resource.prlimit(pid, resource.RLIMIT_NOFILE, old)
        self.limited = []


class FewDescriptorsOfRunner(FewDescriptors):
    name = "take the runner's descriptors"

    def pids(self, world):
        return world.runners()


class FewProcesses(Shortage):
    """The runner can make no child, or few."""
    name = "let no process be made"

    def __init__(self):
        super().__init__()
        self.group = None

    def prepare(self, world):
        if why := groups.why_not("pids"):
            raise faults.Skip(why)

    def begin(self, world, rng):
        for pid in world.runners():
            self.group = groups.FewProcesses(pid, rng.choice([0, 0, 1, 2]))
        return bool(self.group)

    def end(self, world, rng):
        self.group.close()
        self.group = None

    def undo(self, world):
        super().undo(world)
        if self.group:
            self.end(world, None)


class OutOfMemory(faults.Fault):
    """A greedy process in the same group of bounded memory, and a victim that the kernel prefers: SIGKILL from where nobody sent one."""
    BYTES = 8 << 20

    def __init__(self):
        self.group = self.greedy = None

    def prepare(self, world):
        if why := groups.why_not("memory"):
            raise faults.Skip(why)

    def victim(self, world):
        """Its pid, once what its death excuses has been said; None: it is not there."""
        raise NotImplementedError

    def strike(self, world, rng):
        pid = self.victim(world)
        if not pid:
            return False
        death = os.pidfd_open(pid)
        try:
            self.press(pid)
            assert gone(death), "%s: the kernel did not kill %d" % (self.name, pid)
        finally:
            os.close(death)
            self.undo(world)
        return True

    def press(self, pid):
        with open("/proc/%d/oom_score_adj" % pid, "w", encoding="ascii") as f:
            f.write("1000")
        self.group = groups.Group("memory")
        self.group.take(pid)
        self.group.write("memory.limit_in_bytes", self.BYTES)
        self.greedy = subprocess.Popen(["sh", "-c", 'echo $$ >"$0" && exec tail /dev/zero', os.path.join(self.group.path, "cgroup.procs")],
                                       stderr=subprocess.DEVNULL)

    def undo(self, world):
        if self.greedy:
            self.greedy.kill()
            self.greedy.wait()
        if self.group:
            self.group.close()
        self.group = self.greedy = None


def gone(pidfd):
    return bool(select.select([pidfd], [], [], ANSWER_S)[0])


class OutOfMemoryJobd(OutOfMemory):
    name = "jobd is out of memory"

    def victim(self, world):
        world.serving.clear()
        return world.daemon.process.pid

    def mend(self, world, rng):
        status = world.daemon.process.wait(ANSWER_S)
        assert status == -signal.SIGKILL, "jobd ended by itself: status %d" % status
        world.kill()
        world.mark("kill9")
        world.start()


class OutOfMemoryRunner(OutOfMemory):
    name = "the runner is out of memory"

    def victim(self, world):
        pids = world.runners()
        if not world.jobs() or not pids:
            return None
        world.mark("runnerkill", pids[0])
        return pids[0]
