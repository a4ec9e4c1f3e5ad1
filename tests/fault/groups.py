# SPDX-License-Identifier: MIT
"""Control groups of version 1, that a test makes below its own and takes away again: they bound processes and memory."""
import os

ROOT = "/sys/fs/cgroup"


def own(controller):
    """Where we are ourselves. None: this machine has no such hierarchy."""
    with open("/proc/self/cgroup", encoding="ascii") as f:
        for line in f:
            _, controllers, path = line.strip().split(":", 2)
            if controller in controllers.split(","):
                return os.path.join(ROOT, controller, path.lstrip("/"))
    return None


def why_not(controller):
    """None, or why no group can be made."""
    above = own(controller)
    if not above or not os.access(os.path.join(above, "cgroup.procs"), os.W_OK):
        return "there is no %s control group to write to" % controller
    return None


class Group:
    """One that this process made; its name says for which test."""
    made = 0

    def __init__(self, controller):
        Group.made += 1
        self.above = own(controller)
        self.path = os.path.join(self.above, "scarce-%s-%d-%d" % (os.environ.get("JOBD_TEST_ID", ""), os.getpid(), Group.made))
        os.mkdir(self.path)

    def write(self, name, value, path=None):
        with open(os.path.join(path or self.path, name), "w", encoding="ascii") as f:
            f.write(str(value))

    def read(self, name):
        with open(os.path.join(self.path, name), encoding="ascii") as f:
            return f.read()

    def take(self, pid):
        self.write("cgroup.procs", pid)

    def close(self):
        """Who is in it goes back where we are."""
        while pids := self.read("cgroup.procs").split():
            for pid in pids:
                try:
                    self.write("cgroup.procs", pid, self.above)
                except ProcessLookupError:
                    pass
        os.rmdir(self.path)


class FewProcesses(Group):
    """A process, and so many more than it has threads now."""

    def __init__(self, pid, more):
        super().__init__("pids")
        self.take(pid)
        self.write("pids.max", int(self.read("pids.current")) + more)
