# SPDX-License-Identifier: MIT
"""File systems that a test may fill, cut off and mount again, in a mount namespace of its own.

    disk.private_mounts()                       # once, before anything is mounted: nobody else sees them
    d = disk.Disk(folder, "ext4", 64)           # folder/disk is a file system of 64 MiB in folder/ext4.img
    d.shut_down(); d.unmount(); d.mount()       # what was not synced has gone; the journal is replayed

Nothing is left behind, also when the test is killed: mounts go with the namespace, and the loop device clears itself with its last user.
"""
import ctypes
import errno
import fcntl
import os
import shutil
import struct
import subprocess
import threading

MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE, MNT_DETACH = 32, 4096, 16384, 1 << 18, 2
CLONE_NEWNS, CLONE_NEWPID = 0x20000, 0x20000000
LOOP_CTL_GET_FREE, LOOP_CONFIGURE, LO_FLAGS_AUTOCLEAR = 0x4C82, 0x4C0A, 4
FS_IOC_SHUTDOWN, NO_LOG_FLUSH = 0x8004587D, 2
MKFS = {"ext4": ["mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=1"], "xfs": ["mkfs.xfs", "-q", "-f"]}
SMALLEST_MIB = {"ext4": 2, "xfs": 300}         # mkfs.xfs refuses less

libc = ctypes.CDLL(None, use_errno=True)


def call(name, *args):
    """A function of libc that says errors by -1."""
    if getattr(libc, name)(*[a.encode() if isinstance(a, str) else a for a in args]) < 0:
        number = ctypes.get_errno()
        raise OSError(number, "%s: %s" % (name, os.strerror(number)))


def mount(source, target, kind=None, flags=0, data=None):
    call("mount", source, target, kind, ctypes.c_ulong(flags), data)


def private_mounts():
    call("unshare", CLONE_NEWNS)
    mount("none", "/", None, MS_REC | MS_PRIVATE)


def why_not(kind="tmpfs"):
    """None, or why there can be no file system of this kind here."""
    if os.geteuid() != 0:
        return "mounting needs root"
    if kind in MKFS and not shutil.which(MKFS[kind][0]):
        return "%s is not installed" % MKFS[kind][0]
    if kind in MKFS and not os.path.exists("/dev/loop-control"):
        return "there are no loop devices"
    pid = os.fork()
    if pid == 0:
        try:
            private_mounts()
        except OSError:
            os._exit(1)
        os._exit(0)
    return "there can be no mount namespace" if os.waitpid(pid, 0)[1] else None


def attach(image):
    """An open loop device, and its path. It is cleared when nobody has it open or mounted any more."""
    with open("/dev/loop-control", "rb") as control, open(image, "r+b") as backing:
        for _ in range(100):                    # another process may be faster
            path = "/dev/loop%d" % fcntl.ioctl(control, LOOP_CTL_GET_FREE)
            device = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            info = struct.pack("=QQQQQIIII64s64s32sQQ", 0, 0, 0, 0, 0, 0, 0, 0, LO_FLAGS_AUTOCLEAR, image.encode()[-63:], b"", b"", 0, 0)
            try:
                fcntl.ioctl(device, LOOP_CONFIGURE, struct.pack("=II", backing.fileno(), 0) + info + bytes(64))
                return device, path
            except OSError:
                os.close(device)
    raise OSError("no loop device can be had")


class Disk:
    """folder/disk, a file system of `mib` MiB (a tmpfs, ext4 or xfs)."""

    def __init__(self, folder, kind, mib):
        self.kind, self.path = kind, os.path.join(folder, "disk")
        self.options = "size=%dk" % int(mib * 1024) if kind == "tmpfs" else None
        self.image = None if kind == "tmpfs" else os.path.join(folder, kind + ".img")
        os.makedirs(self.path)
        if self.image:
            with open(self.image, "wb") as f:
                f.truncate(int(max(mib, SMALLEST_MIB[kind]) * (1 << 20)))
            subprocess.run([*MKFS[kind], self.image], check=True)
        self.mount()

    def mount(self):
        """The loop device is a new one each time: what the kernel still knew of the old one's blocks goes with that."""
        if not self.image:
            mount("tmpfs", self.path, "tmpfs", 0, self.options)
            return
        device, path = attach(self.image)
        try:
            mount(path, self.path, self.kind)
        finally:
            os.close(device)

    def unmount(self):
        """Descriptors that were on their way in a socket when all died are closed by the kernel a moment later."""
        for patience in range(500, -1, -1):
            try:
                call("umount2", self.path, 0)
                return
            except OSError as e:
                if e.errno != errno.EBUSY or not patience:
                    raise
            threading.Event().wait(0.01)

    def grow(self, kib):
        """A tmpfs: at least so much is free afterwards."""
        room = os.statvfs(self.path)
        lacking = kib - room.f_bavail * room.f_frsize // 1024
        if lacking > 0:
            mount("tmpfs", self.path, "tmpfs", MS_REMOUNT, "size=%dk" % (room.f_blocks * room.f_frsize // 1024 + lacking))

    def forsake(self):
        """Whoever still uses it keeps it, nobody else finds it."""
        call("umount2", self.path, MNT_DETACH)

    def shut_down(self):
        """From now on nothing reaches the disk, neither data nor journal: what a power cut leaves is what there is."""
        fd = os.open(self.path, os.O_RDONLY)
        fcntl.ioctl(fd, FS_IOC_SHUTDOWN, struct.pack("=I", NO_LOG_FLUSH))
        os.close(fd)
