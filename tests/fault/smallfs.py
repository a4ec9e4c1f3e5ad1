# SPDX-License-Identifier: MIT
"""A small file system that goes with its test.

    smallfs.own_mounts()                        # once, at the start of the program
    with smallfs.Small("8m") as small: ...      # small.path; small.fill(), small.free(), small.resize("16m")
"""
import errno
import os
import shutil
import sys
import tempfile

import disk

MNT_DETACH = 2


def own_mounts():
    """Where none can be had, this says so and the program is skipped."""
    try:
        disk.private_mounts()
        with Small("1m"):
            pass
    except OSError as e:
        print("SKIP: a small file system can not be mounted: %s" % e)
        sys.exit(77)


class Small:
    def __init__(self, size):
        self.path = tempfile.mkdtemp(prefix="jobd-small-")
        self.filler = os.path.join(self.path, "filler")
        disk.mount("none", self.path, "tmpfs", 0, "size=" + size)

    def left(self):
        room = os.statvfs(self.path)
        return room.f_bavail * room.f_frsize

    def fill(self, but=0):
        """Leaves so many bytes."""
        with open(self.filler, "ab", buffering=0) as f:
            while self.left() > but:
                try:
                    f.write(b"x" * min(4096, self.left() - but))
                except OSError as e:
                    if e.errno != errno.ENOSPC:
                        raise
                    return

    def free(self):
        os.unlink(self.filler)

    def resize(self, size):
        disk.mount("none", self.path, "tmpfs", disk.MS_REMOUNT, "size=" + size)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        disk.call("umount2", self.path, MNT_DETACH)
        shutil.rmtree(self.path, ignore_errors=True)
