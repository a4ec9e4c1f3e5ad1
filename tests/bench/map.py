#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What jobctl map costs, in its own process and through the daemon, beside xargs -P and GNU parallel: N trivial commands, the medians of wall and
CPU time (through the daemon with the CPU time of jobd and its runner), their ratios to xargs, and how many times as fast as GNU parallel they are. Then
callbacks of the library, and the ratio of items a second to what they have to do at least.

    tests/bench/map.py [N] [ROUNDS] [FOLDER WITH THE PROGRAMS]
"""
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

CALLBACKS_LEAST = 500000                # items a second
TICKS = os.sysconf("SC_CLK_TCK")


class Daemon:
    """A jobd with a state of its own, and what it and its runner have used."""

    def __init__(self, programs):
        self.folder = tempfile.mkdtemp(prefix="jobd-")
        self.socket = os.path.join(self.folder, "socket")
        env = dict(os.environ, JOBD_RUNNER=os.path.join(programs, "jobd-runner"))
        self.process = subprocess.Popen([os.path.join(programs, "jobd"), "--state", os.path.join(self.folder, "state"), "--socket", self.socket, "--ready"],
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=env)
        self.process.stdout.readline()
        children = subprocess.run(["ps", "-o", "pid=", "--ppid", str(self.process.pid)], capture_output=True, text=True)
        self.pids = [self.process.pid] + [int(pid) for pid in children.stdout.split()]

    def cpu(self):
        """With the children that were waited for: the commands are the runner's."""
        total = 0
        for pid in self.pids:
            with open("/proc/%d/stat" % pid, encoding="ascii") as f:
                total += sum(int(n) for n in f.read().rpartition(")")[2].split()[11:15])
        return total / TICKS

    def close(self, jobctl):
        subprocess.run([jobctl, "--socket", self.socket, "shutdown", "--kill"], check=False)
        self.process.wait()
        self.process.stdout.close()
        shutil.rmtree(self.folder, ignore_errors=True)  # its runner ends a moment later


def measure(words, items, daemon):
    before, began, theirs = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic(), daemon.cpu()
    subprocess.run(words, input=items, stdout=subprocess.DEVNULL, check=True)
    wall, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime + daemon.cpu() - theirs


def first_result(words):
    """Seconds until the first result, while the input stays open."""
    began = time.monotonic()
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as p:
        p.stdin.write(b"1\n")
        p.stdout.read(1)
        took = time.monotonic() - began
        p.stdin.close()
    return took


def programs_of(jobctl, daemon, slots):
    through = [jobctl, "--socket", daemon.socket, "map"]
    found = {"xargs": ["xargs", "-P%d" % slots, "-n1", "/bin/true"],
             "jobctl map --local": [jobctl, "map", "--local", "-j%d" % slots, "/bin/true"],
             "jobctl map --local -u": [jobctl, "map", "--local", "-u", "-j%d" % slots, "/bin/true"],
             "jobctl map": through + ["-j%d" % slots, "/bin/true"],
             "jobctl map -u": through + ["-u", "-j%d" % slots, "/bin/true"],
             "jobctl map -w 64": through + ["-w64", "-j%d" % slots, "/bin/true"]}
    if shutil.which("parallel"):
        found["parallel -k"] = ["parallel", "-k", "-j%d" % slots, "/bin/true"]
    return found


def compare(slots, rounds, items, jobctl, daemon):
    programs = programs_of(jobctl, daemon, slots)
    taken = {name: [] for name in programs}
    for _ in range(rounds):                 # in turns: what else the machine does hits all of them
        for name, words in programs.items():
            taken[name].append(measure(words, items, daemon))
    median = {name: [statistics.median(v) for v in zip(*t)] for name, t in taken.items()}
    parallel = median.get("parallel -k", [float("nan")])[0]
    for name, (wall, cpu) in median.items():
        print("%-6d %-24s %9.2f %9.2f %7.2f %7.2f %9.2f %10.2f" % (slots, name, wall, cpu, wall / median["xargs"][0], cpu / median["xargs"][1],
                                                                   1000 * cpu / items.count(b"\n"), parallel / wall), flush=True)


def callbacks(folder):
    """The lines of tests/bench/map, which says what it measures, at the default window (0) and at 128."""
    lines = subprocess.run([os.path.join(folder, "tests/bench/map"), "1000000", "0", "128"], capture_output=True, text=True, check=True).stdout.splitlines()
    print(lines[0] + "   of %d/s" % CALLBACKS_LEAST)
    for line in lines[1:]:
        words = line.split()
        print(line + ("%12.2f" % (float(words[3]) / CALLBACKS_LEAST) if words[0] in ("ordered", "unordered") else ""))


def main():
    count, rounds = (int(a) for a in (sys.argv[1:3] + ["10000", "5"][len(sys.argv[1:3]):]))
    folder = os.path.abspath(sys.argv[3] if len(sys.argv) > 3 else os.environ.get("JOBD_BUILDDIR", "build"))
    jobctl, daemon = os.path.join(folder, "jobctl"), Daemon(folder)
    items = b"".join(b"%d\n" % i for i in range(count))
    print("load %s" % os.getloadavg()[0])
    print("%-6s %-24s %9s %9s %7s %7s %9s %10s" % ("slots", "program", "wall s", "cpu s", "wall/x", "cpu/x", "cpu ms/n", "parallel/x"))
    for slots in (2, 4):
        compare(slots, rounds, items, jobctl, daemon)
    for name, words in (("--local", [jobctl, "map", "--local"]), ("through the daemon", [jobctl, "--socket", daemon.socket, "map"])):
        print("first result %s: %.1f ms" % (name, 1000 * statistics.median(first_result(words + ["-j2", "echo"]) for _ in range(2 * rounds + 1))))
    callbacks(folder)
    print("load %s" % os.getloadavg()[0])
    daemon.close(jobctl)


if __name__ == "__main__":
    main()
