# SPDX-License-Identifier: MIT
"""The programs with failpoints, their places, and what the places tell while a test goes on. The rules stand in daemon/failpoint.h."""
import collections
import os
import select
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "e2e"))
import kit

NORMAL = kit.JOBD, kit.RUNNER
JOBD = os.path.join(kit.BUILD, "tests", "fault", "jobd-fp")
RUNNER = os.path.join(kit.BUILD, "tests", "fault", "jobd-runner-fp")

Pass = collections.namedtuple("Pass", "program pid place action number")


def use():
    """Every jobd that the kit starts from now on, and its runner, has failpoints."""
    kit.JOBD, kit.RUNNER = JOBD, RUNNER


def listed(program, what="failpoints"):
    """The names of the program's places, or of its `mutants`."""
    out = subprocess.run([program, "--list-" + what], capture_output=True, text=True, check=True).stdout
    return [line.split()[0] for line in out.splitlines()]


class Passes:
    """The FIFO to which the places tell what they do, before they do it: what was told by a process survives its death."""

    def __init__(self, folder):
        self.path = os.path.join(folder, "passes")
        os.mkfifo(self.path)
        self.fd = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)  # its writers never wait for a reader, nor find none
        self.rest = b""

    def read(self, seconds, *others):
        """(passes, whether one of the other files has something to say); both empty after so many seconds."""
        ready = select.select([self.fd, *others], [], [], seconds)[0]
        lines = []
        if self.fd in ready:
            *lines, self.rest = (self.rest + os.read(self.fd, 1 << 16)).split(b"\n")
        return [self.parse(line) for line in lines], any(f in ready for f in others)

    @staticmethod
    def parse(line):
        program, pid, place, action, number = line.decode().split()
        return Pass(program, int(pid), place, action, int(number))

    def close(self):
        os.close(self.fd)
