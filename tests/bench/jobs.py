# SPDX-License-Identifier: MIT
"""What a job costs, end to end, next to the peers of the same run. Prints tables; asserts nothing.

    tests/bench/jobs.py [true] [bulk] [chain] [many]         (all of them unless named; JOBD_BUILDDIR says where the programs are)

true   10,000 x /bin/true, flat, durable, outputs on: jobd with 4 slots against a bare posix_spawn loop, make -j4, xargs -P4, and, where they are
       installed, GNU parallel and task-spooler. Rounds are interleaved; ratios are of throughputs, ours over theirs.
bulk   a million jobs through `jobctl submit -`; memory; restart with them; one page of `jobctl ls`
chain  500 jobs, each below the one before
many   5,000 jobs at once
"""
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "e2e"))
import kit
import varlink

FOLDER = os.environ.get("JOBD_BENCH_DIR", "/var/tmp")
SPAWN = os.path.join(kit.BUILD, "tests", "bench", "spawn")


def timed(*words, **more):
    begin = time.monotonic()
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, **more)
    return time.monotonic() - begin


def daemon(slots):
    folder = tempfile.mkdtemp(prefix="jobd-bench-", dir=FOLDER)
    return kit.Daemon(folder, "slots = %d\nlog_level = warning\n" % slots)


def close(d):
    d.__exit__(None)
    shutil.rmtree(d.folder, ignore_errors=True)


def file_system(path):
    return subprocess.run(["stat", "-f", "-c", "%T", path], capture_output=True, text=True, check=True).stdout.strip()


def memory(pid, field, name="status"):
    with open("/proc/%d/%s" % (pid, name), encoding="ascii") as f:
        return int(re.search(r"^%s:\s+(\d+) kB" % field, f.read(), re.M).group(1)) / 1024


# ---- true ---------------------------------------------------------------------------------------------------------------------

def jobd_round(d, n):
    """From the acknowledgement of the submission to the last end."""
    with varlink.Connection(d.socket, 300) as conn:
        before = conn.call("Stats")["totals"]["commits"]
        jobs = [{"path": "j%05d" % i, "argv": ["/bin/true"]} for i in range(n)]
        run = conn.call("Open", run={"workers": 4}, mode="bulk")["run"]
        for i in range(0, n, 1000):
            conn.call("Add", run=run, jobs=jobs[i:i + 1000])
        begin = time.monotonic()
        conn.call("Seal", run=run)
        conn.call("Wait", targets=[{"run": str(run)}])
        took = time.monotonic() - begin
        return took, conn.call("Stats")["totals"]["commits"] - before


def syncs_of_a_round(d, n):
    """How often jobd calls fdatasync and fsync for n jobs: of a round of its own, for tracing slows it down."""
    if not shutil.which("strace"):
        return "strace is not installed"
    report = os.path.join(d.folder, "strace")
    words = ["strace", "-f", "-c", "-U", "calls,name", "-e", "trace=fdatasync,fsync", "-o", report, "-p", str(d.process.pid)]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as tracer:
        tracer.stderr.readline()        # attached
        jobd_round(d, n)
        tracer.terminate()
    with open(report, encoding="ascii") as f:
        return ", ".join("%s %s" % tuple(reversed(line.split())) for line in f if re.match(r"\s+\d+ f\w*sync", line)) or "none"


def makefile(folder, n):
    path = os.path.join(folder, "Makefile")
    with open(path, "w", encoding="ascii") as f:
        f.write(".PHONY: all %s\nall: %s\n%s:\n\t@/bin/true\n" % ((" ".join("j%d" % i for i in range(n)),) * 3))
    return path


def bench_true(rounds=5, n=10000):
    folder = tempfile.mkdtemp(dir=FOLDER)
    numbers = "".join("%d\n" % i for i in range(n))
    make = makefile(folder, n)
    peers = {
        "posix_spawn x4": lambda: float(subprocess.run([SPAWN, str(n), "4"], capture_output=True, text=True, check=True).stdout),
        "make -j4": lambda: timed("make", "-j4", "-s", "-f", make),
        "xargs -P4": lambda: timed("xargs", "-P4", "-n1", "/bin/true", input=numbers, text=True),
    }
    d = daemon(4).start()
    print("\n%d x /bin/true, 4 slots, state on %s, %d interleaved rounds" % (n, file_system(d.folder), rounds))
    ours, theirs, commits = [], {name: [] for name in peers}, []
    jobd_round(d, 500)
    for _ in range(rounds):
        took, commit = jobd_round(d, n)
        ours.append(n / took)
        commits.append(commit)
        for name, run in peers.items():
            theirs[name].append(n / run())
    syncs = syncs_of_a_round(d, n)
    close(d)
    print("%-16s %10s %28s" % ("", "jobs/s", "jobd / peer: median min max"))
    print("%-16s %10.0f   %d commits a round; calls in a traced round: %s"
          % ("jobd", statistics.median(ours), statistics.median(commits), syncs))
    for name, rates in theirs.items():
        ratios = [a / b for a, b in zip(ours, rates)]
        print("%-16s %10.0f %14.2f %6.2f %6.2f" % (name, statistics.median(rates), statistics.median(ratios), min(ratios), max(ratios)))
    if statistics.median(theirs["posix_spawn x4"]) < 2500:
        print("VOID: the bare loop is below 2,500/s: this machine is busy or too slow to tell")
    slow_peers(n // 10)
    shutil.rmtree(folder)


def slow_peers(n):
    if shutil.which("parallel"):
        took = timed("parallel", "-j4", "/bin/true", input="".join("%d\n" % i for i in range(n)), text=True)
        print("%-16s %10.0f" % ("GNU parallel -j4", n / took))
    tsp = shutil.which("tsp")
    if tsp:
        folder = tempfile.mkdtemp()
        env = dict(os.environ, TS_SOCKET=os.path.join(folder, "s"), TMPDIR=folder, TS_MAXFINISHED="10", TS_SLOTS="4")
        begin = time.monotonic()
        for _ in range(n // 4):
            subprocess.run([tsp, "-n", "/bin/true"], env=env, stdout=subprocess.DEVNULL, check=True)
        subprocess.run([tsp, "-w"], env=env, check=True, stdout=subprocess.DEVNULL)
        print("%-16s %10.0f" % ("task-spooler", n / 4 / (time.monotonic() - begin)))
        subprocess.run([tsp, "-K"], env=env, check=True)
        shutil.rmtree(folder)


# ---- bulk ----------------------------------------------------------------------------------------------------------------------

def million(path, n=1000000):
    with open(path, "w", encoding="ascii") as f:
        f.write("first: exec sleep 100000\n")
        for i in range(n - 1):
            f.write("first/d%03d/j%06d: process --item %d\n" % (i % 1000, i * 7919 % n, i))


def bench_bulk():
    d = daemon(4).start()
    lines = os.path.join(d.folder, "million")
    million(lines)
    pid = d.process.pid
    print("\na million jobs through `jobctl submit -`, state on %s" % file_system(d.folder))
    print("memory of jobd before               %8.1f MB" % memory(pid, "VmRSS"))
    begin = time.monotonic()
    with open(lines, encoding="ascii") as f:
        run = int(subprocess.run([kit.JOBCTL, "--socket", d.socket, "submit", "-"], stdin=f, capture_output=True, text=True, check=True).stdout)
    print("until the acknowledgement           %8.2f s" % (time.monotonic() - begin))
    print("VmHWM of jobd with all waiting      %8.1f MB" % memory(pid, "VmHWM"))
    for _ in range(3):
        print("a page of jobctl ls                 %8.1f ms" % (1000 * page(d, run)))
    d.kill()
    begin = time.monotonic()
    d.start()
    d.jobctl("ls", check=True)
    print("restart until jobctl ls answers     %8.2f s" % (time.monotonic() - begin))
    close(d)


def page(d, run):
    with varlink.Connection(d.socket, 60) as conn:
        begin = time.monotonic()
        conn.call("List", run=str(run))
        return time.monotonic() - begin


# ---- chain -----------------------------------------------------------------------------------------------------------------------

def bench_chain(n=500):
    d = daemon(4).start()
    paths = ["/".join(["j"] * (i + 1)) for i in range(n)]
    bare = float(subprocess.run([SPAWN, str(n), "1"], capture_output=True, text=True, check=True).stdout) / n
    with varlink.Connection(d.socket, 300) as conn:
        begin = time.monotonic()
        run = conn.call("Submit", jobs=[{"path": p, "argv": ["/bin/true"]} for p in paths])["run"]
        conn.call("Wait", targets=[{"run": str(run)}])
        link = (time.monotonic() - begin) / n
    close(d)
    print("\nchain of %d: a link %.2f ms, a bare spawn %.2f ms, more than that %.2f ms" % (n, link * 1e3, bare * 1e3, (link - bare) * 1e3))


# ---- many --------------------------------------------------------------------------------------------------------------------------

def pss(pid):
    return memory(pid, "Pss", "smaps_rollup")


def bench_many(n=5000):
    d = daemon(n).start()
    with varlink.Connection(d.socket, 300) as conn:
        run = conn.call("Open", run={"workers": n}, mode="bulk")["run"]
        for i in range(0, n, 500):
            conn.call("Add", run=run, jobs=[{"path": "j%05d" % (i + k), "argv": ["/bin/sleep", "100000"]} for k in range(500)])
        conn.call("Seal", run=run)
        conn.send("org.jobd.Watch", {"run": str(run), "since": 0}, more=True)
        started = 0
        while started < n:
            started += sum(e["kind"] == "started" for e in conn.receive()["parameters"]["events"])
    with varlink.Connection(d.socket, 60) as conn:
        stats = conn.call("Stats")
    a, b = pss(stats["pid"]), pss(stats["runner_pid"])
    print("\n%d jobs at once: PSS of jobd %.1f MB, of jobd-runner %.1f MB, together %.1f MB" % (n, a, b, a + b))
    close(d)


def main():
    benches = {"true": bench_true, "bulk": bench_bulk, "chain": bench_chain, "many": bench_many}
    for name in sys.argv[1:] or benches:
        benches[name]()


if __name__ == "__main__":
    main()
