#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What jobctl map --local costs beside xargs -P and GNU parallel: N trivial commands, wall and CPU time of the medians, and their ratios to xargs.

    tests/bench/map_local.py [N] [ROUNDS] [JOBCTL]
"""
import os
import resource
import shutil
import statistics
import subprocess
import sys
import time


def measure(words, items):
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(words, input=items, stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.monotonic() - began, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def first_result(words):
    """Seconds until the first result, while the input stays open."""
    began = time.monotonic()
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as p:
        p.stdin.write(b"1\n")
        p.stdout.read(1)
        took = time.monotonic() - began
        p.stdin.close()
    return took


def main():
    count, rounds = (int(a) for a in (sys.argv[1:3] + ["10000", "5"][len(sys.argv[1:3]):]))
    jobctl = sys.argv[3] if len(sys.argv) > 3 else os.path.join(os.environ.get("JOBD_BUILDDIR", "build"), "jobctl")
    items = b"".join(b"%d\n" % i for i in range(count))
    print("%-6s %-28s %9s %9s %7s %7s" % ("slots", "program", "wall s", "cpu s", "wall/x", "cpu/x"))
    for slots in (2, 4):
        programs = {"xargs": ["xargs", "-P%d" % slots, "-n1", "/bin/true"],
                    "jobctl map": [jobctl, "map", "--local", "-j%d" % slots, "/bin/true"],
                    "jobctl map --unordered": [jobctl, "map", "--local", "-u", "-j%d" % slots, "/bin/true"]}
        if shutil.which("parallel"):
            programs["parallel -k"] = ["parallel", "-k", "-j%d" % slots, "/bin/true"]
        taken = {name: [] for name in programs}
        for _ in range(rounds):                 # in turns: what else the machine does hits all of them
            for name, words in programs.items():
                if name != "parallel -k" or len(taken[name]) < 1:       # five times as slow, and it does not matter how much exactly
                    taken[name].append(measure(words, items))
        median = {name: [statistics.median(v) for v in zip(*t)] for name, t in taken.items()}
        for name, (wall, cpu) in median.items():
            print("%-6d %-28s %9.2f %9.2f %7.2f %7.2f" % (slots, name, wall, cpu, wall / median["xargs"][0], cpu / median["xargs"][1]))
    print("first result: %.1f ms" % (1000 * statistics.median(first_result([jobctl, "map", "--local", "-j2", "echo"]) for _ in range(rounds))))


if __name__ == "__main__":
    main()
