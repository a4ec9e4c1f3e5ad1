#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What a test leaves behind goes with it, also when it is killed: a process of its own, without the test's environment and session, waits for the
test's end and then ends all processes of a control group, and removes the group and a folder.

    with afterwards.Gone(group, folder): ...        # both exist; what they held is gone after it
"""
import os
import select
import shutil
import subprocess
import sys


class Gone:
    def __init__(self, group, folder):
        self.words = [sys.executable, os.path.abspath(__file__), group, folder]

    def __enter__(self):
        self.guard = subprocess.Popen(self.words, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True, env={"PATH": os.defpath})
        return self

    def __exit__(self, *_):
        self.guard.stdin.close()
        if self.guard.wait() != 0:
            raise RuntimeError("something is left: " + " ".join(self.words[2:]))


def wait_until_empty(group):
    with open(os.path.join(group, "cgroup.events"), encoding="ascii") as f:
        poll = select.poll()
        poll.register(f, select.POLLPRI)
        while "populated 1" in f.read():
            poll.poll()
            f.seek(0)


def remove_group(group):
    with open(os.path.join(group, "cgroup.kill"), "w", encoding="ascii") as f:
        f.write("1")
    wait_until_empty(group)
    for folder, _, _ in os.walk(group, topdown=False):
        os.rmdir(folder)


if __name__ == "__main__":
    sys.stdin.buffer.read()
    remove_group(sys.argv[1])
    shutil.rmtree(sys.argv[2])
