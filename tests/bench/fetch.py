#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What a fetch costs, beside its peers: medians (and the best) of the same run, from a private nginx on loopback. Prints tables, asserts nothing.

usage: JOBD_BUILDDIR=build tests/bench/fetch.py [--folder DIR] [--runs N] [--size MIB]

DIR is where files are served from and written to: /dev/shm unless given, so that it is not the disk that is measured.
"""
import argparse
import os
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

MIB = 1 << 20
RATE = 20 * 1000 * 1000


def ours(url, out, streams=8, *more):
    return [kit.JOBCTL, "fetch", url, "-o", out, "-q", "-x", str(streams), *more]


PEERS = {
    "curl": lambda url, out: ["curl", "-s", url, "-o", out],
    "aria2c": lambda url, out: ["aria2c", "-q", "-x8", "-s8", "-k1M", "--file-allocation=none", url, "-d", os.path.dirname(out), "-o", os.path.basename(out)],
    "axel": lambda url, out: ["axel", "-q", "-n", "8", "-o", out, url],
    "rclone": lambda url, out: ["rclone", "copyto", "--multi-thread-streams", "8", "--multi-thread-cutoff", "1M", "-q", "--http-url", url.rpartition("/")[0],
                                ":http:" + url.rpartition("/")[2], out],
}


class Bench:
    def __init__(self, folder, size):
        self.folder, self.size = folder, size
        self.root = os.path.join(folder, "www")
        os.mkdir(self.root)
        with open(os.path.join(self.root, "object"), "wb") as f:
            for _ in range(size // MIB):
                f.write(os.urandom(MIB))

    def once(self, words, extra="", workers=2):
        """Seconds of wall clock, of CPU, and MiB at the peak (of whoever was the largest)."""
        out = os.path.join(self.folder, "out")
        server = nginx.Nginx(self.folder, self.root, workers=workers, extra=extra)
        try:
            before = time.monotonic()
            p = subprocess.Popen(words(server.url("object"), out), env=kit.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
            _, status, usage = os.wait4(p.pid, 0)
            p.returncode = os.waitstatus_to_exitcode(status)
            wall = time.monotonic() - before
        finally:
            server.stop()
            shutil.rmtree(server.folder)
        if p.returncode or os.path.getsize(out) != self.size:
            raise SystemExit("%s: exit %d" % (words("URL", "OUT"), p.returncode))
        os.unlink(out)
        return wall, usage.ru_utime + usage.ru_stime

    def medians(self, cases, runs, **how):
        """name -> (median wall, median cpu, best wall); the cases take turns, so that what else runs on the machine meets all of them."""
        seen = {name: [] for name in cases}
        for _ in range(runs):
            for name, words in cases.items():
                seen[name].append(self.once(words, **how))
        return {name: (statistics.median(v[0] for v in values), statistics.median(v[1] for v in values), min(v[0] for v in values))
                for name, values in seen.items()}


def title(text):
    print("\n" + text)


def loopback(bench, runs):
    title("%d MiB over loopback, 8 streams, median of %d (nobody syncs, unless said)" % (bench.size // MIB, runs))
    cases = {"jobctl fetch": lambda u, o: ours(u, o, 8, "--no-fsync"), "jobctl fetch, synced": ours}
    cases.update({name: words for name, words in PEERS.items() if shutil.which(name)})
    found = bench.medians(cases, runs)
    ours_wall, _, ours_best = found["jobctl fetch"]
    for name, (wall, cpu, best) in found.items():
        print("  %-22s %6.2f s wall (best %5.2f)  %5.2f s cpu   jobctl fetch takes %.2f of it (best of best: %.2f)" % (
            name, wall, best, cpu, ours_wall / wall, ours_best / best))


def throttled(bench, runs):
    title("each connection throttled to 20 MB/s by the server")
    one = bench.once(lambda u, o: ours(u, o, 1, "--no-fsync"), extra="limit_rate %d;" % RATE)[0]
    found = bench.medians({"8 streams": lambda u, o: ours(u, o, 8, "--no-fsync")}, runs, extra="limit_rate %d;" % RATE)["8 streams"][0]
    print("  one stream %.2f s, 8 streams %.2f s: %.2f times as fast" % (one, found, one / found))


def one_slow(bench, runs):
    """nginx counts connections from 1: the third is the slow one."""
    title("one of 8 connections at 2 MB/s, the others at 20 MB/s")
    extra = 'set $rate %d; if ($connection = 3) { set $rate %d; } limit_rate $rate;' % (RATE, RATE // 10)
    ideal = bench.size / (7 * RATE + RATE / 10)
    found = bench.medians({"ours": lambda u, o: ours(u, o, 8, "--no-fsync")}, runs, extra=extra)["ours"][0]
    print("  %.2f s; ideal %.2f s: %.2f of it" % (found, ideal, found / ideal))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", default="/dev/shm")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--size", type=int, default=1024)
    args = parser.parse_args()
    if not nginx.PROGRAM:
        raise SystemExit("nginx is not installed")
    folder = tempfile.mkdtemp(prefix="fetch-bench-", dir=args.folder)
    try:
        bench = Bench(folder, args.size * MIB)
        loopback(bench, args.runs)
        bench.size = min(bench.size, 512 * MIB)
        os.truncate(os.path.join(bench.root, "object"), bench.size)
        throttled(bench, min(args.runs, 3))
        one_slow(bench, min(args.runs, 3))
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
