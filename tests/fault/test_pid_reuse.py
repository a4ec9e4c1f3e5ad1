#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# timeout: 200
"""Where numbers of processes are used again within a fraction of a second, no signal reaches a process that is not a job's.

A pid namespace with pid_max 400: the kernel gives out 300 to 400, again and again. Jobs live shortly, time out, ignore TERM, leave children and are
cancelled; bystanders come and go beside them and tell what they were sent. Once with control groups, once without.

    JOBD_SEED=N JOBD_STRIKES=N (jobs) tests/fault/test_pid_reuse.py
"""
import os
import random
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "e2e")]
import kit
import varlink

BYSTANDERS = os.path.join(kit.BUILD, "tests", "fault", "bystanders")
PID_MAX, SLOTS, JOBS_A_RUN, N_BYSTANDERS = 400, 6, 40, 20
NAMESPACE = ["unshare", "--pid", "--mount", "--fork", "--kill-child", "--mount-proc"]
SHARED_PID_MAX = 6, 14          # kernels before had one pid_max for all namespaces, which is not ours to change
SLEEP = ["/bin/sleep", "20"]

# kind -> (fields of the job, state, reason)
KINDS = {
    "short": ({"argv": ["/bin/true"]}, "ok", "exit"),
    "timeout": ({"argv": SLEEP, "timeout_s": 0.02}, "failed", "timeout"),
    "stubborn": ({"shell": "trap '' TERM; sleep 20 & while :; do wait; done", "timeout_s": 0.02, "grace_s": 0.02}, "failed", "timeout"),
    "parent": ({"shell": "sleep 20 & exit 0"}, "ok", "exit"),
    "cancelled": ({"argv": SLEEP}, "cancelled", "cancelled"),
}


def why_not():
    if os.geteuid() != 0:
        return "a pid namespace needs root"
    if tuple(int(n) for n in os.uname().release.split("-")[0].split(".")[:2]) < SHARED_PID_MAX:
        return "pid_max is not a namespace's own before Linux %d.%d" % SHARED_PID_MAX
    if subprocess.run([*NAMESPACE, "true"], stderr=subprocess.DEVNULL).returncode != 0:
        return "there can be no pid namespace"
    return None


def submit(conn, rng):
    kinds = [rng.choice(list(KINDS)) for _ in range(JOBS_A_RUN)]
    jobs = [dict(KINDS[kind][0], path="%s%d" % (kind, i)) for i, kind in enumerate(kinds)]
    run = str(conn.call("Submit", run={"workers": SLOTS, "on_error": "ignore"}, jobs=jobs)["run"])
    for job in jobs:
        if job["path"].startswith("cancelled"):
            conn.call("Cancel", run=run, path=job["path"])
    return run


def judge(conn, run):
    assert conn.call("Wait", targets=[{"run": run}], timeout_s=kit.PATIENCE)["done"], "run %s does not end" % run
    for row in conn.call("List", run=run, limit=1000)["jobs"]:
        kind = row["path"].rstrip("0123456789")
        _, state, reason = KINDS[kind]
        assert row["reason"] == reason and row["state"] in (state, "warned"), "%s: ended as %s, %s" % (row["path"], row["state"], row["reason"])


def live(rng, jobs, env):
    with kit.Daemon(config="slots = %d\n" % SLOTS, env=env) as d, varlink.Connection(d.socket) as conn:
        for _ in range(-(-jobs // JOBS_A_RUN)):
            judge(conn, submit(conn, rng))


def among_bystanders(rng, jobs, env):
    """How many there were."""
    with subprocess.Popen([BYSTANDERS, str(N_BYSTANDERS)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as crowd:
        try:
            live(rng, jobs, env)
        finally:
            crowd.stdin.close()
            said = crowd.stdout.read()
    assert crowd.returncode == 0, "signals for processes that are nobody's business:\n" + said
    return int(said.split()[0])


def runner_without_control_groups(folder):
    path = os.path.join(folder, "runner-without-groups")
    with open(path, "w", encoding="ascii") as f:
        f.write('#!/bin/sh\nexec "%s" --no-cgroups "$@"\n' % kit.RUNNER)
    os.chmod(path, 0o755)
    return path


def inside(seed, jobs):
    with open("/proc/sys/kernel/pid_max", "w", encoding="ascii") as f:
        f.write(str(PID_MAX))
    rng = random.Random(seed)
    with kit.temporary_folder() as folder:
        seen = among_bystanders(rng, jobs // 2, {})
        seen += among_bystanders(rng, jobs - jobs // 2, {"JOBD_RUNNER": runner_without_control_groups(folder)})
    assert seen > jobs, "only %d bystanders" % seen
    print("%d jobs, %d bystanders, none was signalled; pid_max %d" % (jobs, seen, PID_MAX))


def be_init():
    """What has lost its parent becomes ours, and keeps its number until somebody has waited for it. Returns in a child."""
    child = os.fork()
    while child:
        pid, status = os.wait()
        if pid == child:
            sys.exit(os.waitstatus_to_exitcode(status))


def main():
    why = why_not()
    if why:
        print("SKIP: " + why)
        return 77
    seed, jobs = os.environ.get("JOBD_SEED") or str(random.SystemRandom().randrange(1 << 32)), kit.size("JOBD_STRIKES", 2000, 100000)
    print("JOBD_SEED=%s, %d jobs" % (seed, jobs), flush=True)
    with open("/proc/sys/kernel/pid_max", encoding="ascii") as f:
        before = f.read()
        status = subprocess.run([*NAMESPACE, sys.executable, os.path.abspath(__file__), "inside", seed, str(jobs)]).returncode
        f.seek(0)
        assert f.read() == before, "pid_max of this machine was changed"
    return status


if __name__ == "__main__":
    if sys.argv[1:2] == ["inside"]:
        be_init()
        inside(sys.argv[2], int(sys.argv[3]))
    else:
        sys.exit(main())
