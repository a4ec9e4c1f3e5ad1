#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What a fetch costs, beside its peers: medians (and the best) of the same run, from a private nginx on loopback. Prints tables, asserts nothing.

usage: JOBD_BUILDDIR=build tests/bench/fetch.py [--folder DIR]... [--runs N] [--size MIB] [--only loopback|limits]

DIR is where files are served from and written to: /dev/shm, where it is not the disk that is measured, and the folder for temporary files, unless given.

What makes it fair: the cases take turns, each time in another order, so that what else runs on the machine meets all of them; the first turn does not
count; a file of the same size is written and removed before each, for a virtual machine may have given memory that is free back to its host, and whoever
uses it first pays for getting it again (three times what a fetch takes has been seen). Who syncs is compared with who syncs: curl and aria2c
never do, so `sync FILE` follows them there. Who reserves room in advance is said.
"""
import argparse
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "fetch"))
sys.dont_write_bytecode = True
import kit  # noqa: E402
import nginx  # noqa: E402
from delay import Delay  # noqa: E402

MIB = 1 << 20
RATE = 20 * 1000 * 1000
LATENCY = 0.005


# ---- who fetches: words for a URL and a file ---------------------------------------------------------------------------

def ours(*more, streams=8):
    return lambda url, out: [kit.JOBCTL, "fetch", url, "-o", out, "-q", "-x", str(streams), *more]


def curl(url, out):
    return ["curl", "-s", url, "-o", out]


def aria2c(allocation):
    return lambda url, out: ["aria2c", "-q", "-x8", "-s8", "-k1M", "--file-allocation=" + allocation, url, "-d", os.path.dirname(out), "-o", os.path.basename(out)]


def axel(url, out):
    return ["axel", "-q", "-n", "8", "-o", out, url]


def rclone(url, out):
    folder, _, name = url.rpartition("/")
    return ["rclone", "copyto", "--multi-thread-streams", "8", "--multi-thread-cutoff", "1M", "-q", "--http-url", folder, ":http:" + name, out]


def then_sync(words):
    return lambda url, out: ["sh", "-c", 'out=$1; shift; "$@" && sync "$out"', "sh", out, *words(url, out)]


# name -> words, program that it needs. The first of each table is what the others are compared with.
NOBODY_SYNCS = {
    "jobctl fetch, room reserved": (ours("--no-fsync"), None),
    "jobctl fetch, --alloc none": (ours("--no-fsync", "--alloc", "none"), None),
    "curl, one stream": (curl, "curl"),
    "aria2c": (aria2c("none"), "aria2c"),
    "aria2c, room reserved": (aria2c("falloc"), "aria2c"),
    "axel": (axel, "axel"),
    "rclone, room reserved": (rclone, "rclone"),
}
ALL_SYNC = {
    "jobctl fetch, room reserved": (ours(), None),
    "curl, then sync": (then_sync(curl), "curl"),
    "aria2c, then sync": (then_sync(aria2c("none")), "aria2c"),
}


# ---- measuring --------------------------------------------------------------------------------------------------------

class Bench:
    def __init__(self, folder, size):
        self.folder, self.size = folder, size
        self.root = os.path.join(folder, "www")
        os.mkdir(self.root)
        with open(os.path.join(self.root, "object"), "wb") as f:
            for _ in range(size // MIB):
                f.write(os.urandom(MIB))

    def touch_memory(self):
        path = os.path.join(self.folder, "touched")
        with open(path, "wb") as f:
            for _ in range(self.size // MIB):
                f.write(bytes(MIB))
        os.unlink(path)

    def run(self, words, out):
        """Seconds of wall clock, and of CPU."""
        before = time.monotonic()
        p = subprocess.Popen(words, env=kit.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(p.pid, 0)
        p.returncode = os.waitstatus_to_exitcode(status)
        wall = time.monotonic() - before
        if p.returncode or os.path.getsize(out) != self.size:
            raise SystemExit("%s: exit %d" % (words, p.returncode))
        return wall, usage.ru_utime + usage.ru_stime

    def once(self, words, extra="", delay=0):
        out = os.path.join(self.folder, "out")
        self.touch_memory()
        server = nginx.Nginx(self.folder, self.root, workers=2, extra=extra)
        relay = Delay(server.port, delay) if delay else None
        try:
            return self.run(words("http://127.0.0.1:%d/object" % (relay or server).port, out), out)
        finally:
            if relay:
                relay.stop()
            server.stop()
            shutil.rmtree(server.folder)
            os.unlink(out)

    def medians(self, cases, runs, **how):
        """name -> (median wall, median cpu, best wall)"""
        seen = {name: [] for name in cases}
        for turn in range(runs + 1):
            for name in random.sample(list(cases), len(cases)):
                found = self.once(cases[name], **how)
                if turn > 0:
                    seen[name].append(found)
        return {name: (statistics.median(v[0] for v in values), statistics.median(v[1] for v in values), min(v[0] for v in values))
                for name, values in seen.items()}


# ---- tables -----------------------------------------------------------------------------------------------------------

def title(text):
    print("\n%s (load %.1f)" % (text, os.getloadavg()[0]))


def compare(bench, runs, what, table):
    title("%d MiB over loopback to %s, 8 streams, %s, median of %d" % (bench.size // MIB, bench.folder, what, runs))
    found = bench.medians({name: words for name, (words, program) in table.items() if not program or shutil.which(program)}, runs)
    first_wall, _, first_best = next(iter(found.values()))
    for name, (wall, cpu, best) in found.items():
        print("  %-28s %6.2f s wall (best %5.2f)  %5.2f s cpu   the first takes %.2f of it (best of best: %.2f)" % (
            name, wall, best, cpu, first_wall / wall, first_best / best), flush=True)


def throttled(bench, runs, delay):
    title("%d MiB, each connection at 20 MB/s%s; bar: 7 times as fast" % (bench.size // MIB, ", %g ms one way" % (delay * 1000) if delay else ""))
    how = {"extra": "limit_rate %d;" % RATE, "delay": delay}
    one = bench.once(ours("--no-fsync", streams=1), **how)[0]
    found = bench.medians({"8 streams": ours("--no-fsync")}, runs, **how)["8 streams"][0]
    print("  one stream %.2f s, 8 streams %.2f s: %.2f times as fast" % (one, found, one / found), flush=True)


def one_slow(bench, runs):
    """nginx counts connections from 1: the third is the slow one."""
    title("%d MiB, one of 8 connections at 2 MB/s, the others at 20 MB/s; bar: 1.2" % (bench.size // MIB))
    extra = 'set $rate %d; if ($connection = 3) { set $rate %d; } limit_rate $rate;' % (RATE, RATE // 10)
    ideal = bench.size / (7 * RATE + RATE / 10)
    found = bench.medians({"ours": ours("--no-fsync")}, runs, extra=extra)["ours"][0]
    print("  %.2f s; ideal %.2f s: %.2f of it" % (found, ideal, found / ideal), flush=True)


# ---- the whole --------------------------------------------------------------------------------------------------------

def in_folder(parent, act):
    folder = tempfile.mkdtemp(prefix="fetch-bench-", dir=parent)
    try:
        act(folder)
    finally:
        shutil.rmtree(folder)


def loopback(folder, args):
    bench = Bench(folder, args.size * MIB)
    compare(bench, args.runs, "nobody syncs", NOBODY_SYNCS)
    compare(bench, args.runs, "all sync", ALL_SYNC)


def limits(folder, args):
    bench = Bench(folder, min(args.size, 512) * MIB)
    for delay in (0, LATENCY):
        throttled(bench, min(args.runs, 3), delay)
    one_slow(bench, min(args.runs, 3))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", action="append")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--only", choices=("loopback", "limits"))
    args = parser.parse_args()
    if not nginx.PROGRAM:
        raise SystemExit("nginx is not installed")
    folders = args.folder or ["/dev/shm", tempfile.gettempdir()]
    for parent in folders if args.only != "limits" else ():
        in_folder(parent, lambda folder: loopback(folder, args))
    if args.only != "loopback":
        in_folder(folders[0], lambda folder: limits(folder, args))


if __name__ == "__main__":
    main()
