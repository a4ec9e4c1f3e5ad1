#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# timeout: 300
"""The units under a real systemd, booted in namespaces of its own: jobs survive whatever happens to jobd, and their statuses are kept.

The world is systemd_world.sh, what is tried in it systemd_scenario.sh. It needs root, cgroup v2 and overlay mounts, and says so where
they can not be had. The machine is not touched: the root is an overlay in memory, /proc/sys is read-only, all processes die with the first.
"""
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "e2e"))
import afterwards
import kit

SYSTEMD = "/lib/systemd/systemd"
LIMIT_S = kit.PATIENCE * 2
LAST = "ok a backup is restored as jobd(8) says"


def skip(reason):
    print("SKIP: a systemd of one's own can not be had: " + reason)
    sys.exit(77)


def cgroup_mount():
    with open("/proc/self/mountinfo", encoding="utf-8") as f:
        for line in f:
            if " - cgroup2 " in line:
                return line.split()[4]
    return None


def own_group():
    """A group for the world, below ours; the first process goes into it before it gets a cgroup namespace."""
    mount = cgroup_mount()
    if os.geteuid() != 0 or not mount or not os.path.exists(SYSTEMD):
        skip("that takes root, cgroup v2 and " + SYSTEMD)
    with open("/proc/self/cgroup", encoding="utf-8") as f:
        ours = [line.rstrip("\n")[3:] for line in f if line.startswith("0::")][0]
    path = os.path.join(mount + ours.rstrip("/"), "jobd-systemd-%d" % os.getpid())
    try:
        os.mkdir(path)
    except OSError as e:
        skip(str(e))
    return path


def install(shared):
    """As `make install` does, and the scenario beside it."""
    installed = os.path.join(shared, "installed")
    os.mkdir(installed)
    environment = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "DESTDIR")}
    words = ["make", "-s", "-C", kit.BUILD, "install-binPROGRAMS", "install-pkglibexecPROGRAMS", "install-data", "DESTDIR=" + installed]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    shutil.copy(os.path.join(HERE, "systemd_scenario.sh"), os.path.join(shared, "scenario"))
    os.chmod(os.path.join(shared, "scenario"), 0o755)


def boot(group, scratch, shared):
    """Until the scenario is over. How it ended, and what was said on the console before systemd had one of its own."""
    enter = 'echo $$ >"$1/cgroup.procs"; shift; exec "$@"'
    words = ["sh", "-c", enter, "sh", group, "unshare", "--mount", "--pid", "--fork", "--kill-child", "--cgroup", "--ipc", "--uts", "--net",
             "--propagation", "private", "sh", os.path.join(HERE, "systemd_world.sh"), scratch, shared]
    try:
        done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=LIMIT_S)
    except subprocess.TimeoutExpired as e:
        return None, (e.stdout or b"").decode(errors="replace") + "(no end within %d s)\n" % LIMIT_S
    return done.returncode, done.stdout.decode(errors="replace")


def read(path):
    if not os.path.exists(path):
        return ""
    with open(path, encoding="utf-8", errors="replace") as f:
        return f.read()


def tried(group, folder):
    os.chmod(folder, 0o755)
    shared, scratch = os.path.join(folder, "shared"), os.path.join(folder, "scratch")
    os.mkdir(shared)
    os.mkdir(scratch)
    install(shared)
    status, console = boot(group, scratch, shared)
    return status, console, *(read(os.path.join(shared, name)) for name in ("console", "out", "log"))


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    group, folder = own_group(), tempfile.mkdtemp(prefix="jobd-systemd-")
    with afterwards.Gone(group, folder):
        status, before, console, said, log = tried(group, folder)
    print(said, end="")
    refused = re.search(r"^(unshare|mount|pivot_root): .*(denied|permitted|unknown filesystem|wrong fs type|Invalid argument).*", before, re.M)
    if refused:
        skip(refused.group())
    if status == 0 and LAST in said:
        return 0
    print("status %s" % status, before, console, log, sep="\n")
    return 1


sys.exit(main())
