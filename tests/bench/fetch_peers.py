#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What jobctl fetch and its peers make of a server that misbehaves: the table of doc/fetch.md. Prints it, asserts nothing; takes minutes.

usage: JOBD_BUILDDIR=build tests/bench/fetch_peers.py [TOOL...]
"""
import gzip
import os
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "fetch"))
sys.dont_write_bytecode = True
import kit  # noqa: E402
from server import DROP, Server, Thing, noise  # noqa: E402

PATIENCE = 25
SIZE = 8_000_003
DATA, OTHER = noise(SIZE), noise(SIZE, 2)
OLD, NEW = Thing(DATA), Thing(OTHER, '"v2"')

# As a careful user would call them: four streams where there are streams, three attempts, no long waits, resuming what is there.
TOOLS = {
    "jobctl fetch": lambda url: [kit.JOBCTL, "fetch", url, "-o", "out", "-q", "-x", "4", "--min-part", "1M", "--tries", "4", "--stall-timeout", "5"],
    "curl": lambda url: ["curl", "-sf", "--retry", "3", "-C", "-", "-o", "out", url],
    "aria2c": lambda url: ["aria2c", "-q", "-c", "-x4", "-s4", "-k1M", "-m4", "--retry-wait=1", "-o", "out", url],
    "axel": lambda url: ["axel", "-q", "-n", "4", "-o", "out", url],
    "rclone": lambda url: ["rclone", "copyto", "-q", "--multi-thread-streams", "4", "--multi-thread-cutoff", "1M", "--retries", "3", "--low-level-retries", "3",
                           "--http-url", url.rpartition("/")[0], ":http:" + url.rpartition("/")[2], "out"],
    "wget": lambda url: ["wget", "-q", "-c", "-t", "4", "-w", "1", "-O", "out", url],
}


class Counted:
    """Answers differently from the n-th GET on: what a HEAD finds out does not count."""

    def __init__(self, before, after, n=2):
        self.before, self.after, self.n, self.seen = before, after, n, 0

    def __call__(self, request):
        if request.method == "HEAD":
            return head(request, OLD)
        self.seen += 1
        return (self.before if self.seen < self.n else self.after)(request)


def head(request, thing):
    request.head(200, thing.headers() + [("Content-Length", len(thing.data))])


def without_head(answer):
    return lambda r: head(r, OLD) if r.method == "HEAD" else answer(r)


def shifted(request):
    if not request.range or request.range[0] == 0:
        return OLD(request)
    first, last = OLD.bounds(request)
    return request.send(206, OLD.headers() + [("Content-Range", "bytes %d-%d/%d" % (first - 512, last - 512, SIZE))], DATA[first - 512:last - 511])


def unconditional(thing):
    return lambda r: thing.part(r) if r.range else thing.whole(r)


def unterminated(request):
    request.head(200, [("Transfer-Encoding", "chunked")])
    request.body(b"%x\r\n%s\r\n" % (SIZE // 2, DATA[:SIZE // 2]))
    return DROP


def stalled_once():
    def stall(request):
        first, last = OLD.bounds(request) if request.range else (0, SIZE - 1)
        request.head(206 if request.range else 200, OLD.headers() + [("Content-Length", last - first + 1), *(
            [("Content-Range", "bytes %d-%d/%d" % (first, last, SIZE))] if request.range else [])])
        request.body(DATA[first:first + 1000])
        request.stall()
    counted = Counted(OLD, OLD)
    return without_head(lambda r: stall(r) if (setattr(counted, "seen", counted.seen + 1) or counted.seen == 2) else OLD(r))


PACKED = Thing(gzip.compress(DATA[:100_000]), extra=[("Content-Encoding", "gzip")])

# name, answer (made anew for each tool), the bytes that are right (or either of two), what answers a second run
FAULTS = [
    ("a good server", lambda: without_head(OLD), DATA, None),
    ("Range is ignored", lambda: without_head(lambda r: OLD.whole(r)), DATA, None),
    ("ranges are shifted by 512, and say so", lambda: without_head(shifted), DATA, None),
    ("If-Range is answered with 200", lambda: without_head(lambda r: OLD.whole(r) if "if-range" in r.headers else OLD(r)), DATA, None),
    ("the object changes after the second request", lambda: Counted(OLD, NEW, 3), (DATA, OTHER), None),
    ("the same, by a server that ignores If-Range", lambda: Counted(unconditional(OLD), unconditional(NEW), 3), (DATA, OTHER), None),
    ("killed, then resumed", lambda: without_head(lambda r: slow(OLD)(r)), DATA, lambda: without_head(OLD)),
    ("killed, the object replaced, then resumed", lambda: without_head(lambda r: slow(OLD)(r)), OTHER,
     lambda: lambda r: head(r, NEW) if r.method == "HEAD" else NEW(r)),
    ("a body is cut once", lambda: Counted(OLD, lambda r: (OLD.part if r.range else OLD.whole)(r, cut=100_000) if r.number < 4 else OLD(r), 1), DATA, None),
    ("every body is cut after 1000 bytes", lambda: without_head(lambda r: (OLD.part if r.range else OLD.whole)(r, cut=1000)), DATA, None),
    ("chunks without their end", lambda: without_head(unterminated), DATA, None),
    ("one 503 with Retry-After: 1", lambda: Counted(lambda r: r.send(503, [("Retry-After", "1")]), OLD), DATA, None),
    ("one connection says nothing more", stalled_once, DATA, None),
    ("gzip that nobody asked for", lambda: lambda r: head(r, PACKED) if r.method == "HEAD" else PACKED(r), PACKED.data, None),
    ("an empty object", lambda: lambda r: head(r, Thing(b"")) if r.method == "HEAD" else Thing(b"")(r), b"", None),
]


def slow(thing):
    return lambda r: (thing.part if r.range else thing.whole)(r, rate=2_000_000)


def run(words, folder, server, kill):
    p = subprocess.Popen(words, cwd=folder, env=kit.environment(HOME=folder), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    if kill:
        server.reached.wait(PATIENCE)
        p.kill()
    try:
        return p.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        p.kill()
        p.wait()
        return None


def verdict(status, folder, right):
    path = os.path.join(folder, "out")
    data, right = None, right if isinstance(right, tuple) else (right,)
    if os.path.exists(path):
        with open(path, "rb") as f:
            data = f.read()
    if status == 0:
        return "right" if data in right else "**WRONG, status 0**"
    shown = "" if data is None else ", right" if data in right else ", a wrong `out` is there"
    return ("hangs" if status is None else "status %d" % status) + shown


def measure(tool, fault):
    _, answer, right, second = fault
    folder = tempfile.mkdtemp(prefix="fetch-peers-")
    try:
        with Server() as server:
            url = server.add("/object", answer())
            if second:
                server.alarm(2_500_000)
                run(TOOLS[tool](url), folder, server, kill=True)
                server.add("/object", second())
            return verdict(run(TOOLS[tool](url), folder, server, kill=False), folder, right)
    finally:
        shutil.rmtree(folder)


def main():
    tools = sys.argv[1:] or [name for name in TOOLS if name == "jobctl fetch" or shutil.which(name)]
    print("| fault | %s |" % " | ".join(tools))
    print("| --- |%s" % (" --- |" * len(tools)))
    for fault in FAULTS:
        print("| %s | %s |" % (fault[0], " | ".join(measure(tool, fault) for tool in tools)), flush=True)


if __name__ == "__main__":
    main()
