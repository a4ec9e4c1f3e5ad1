# SPDX-License-Identifier: MIT
"""Judges a drained history: copies the database with its log, looks for what jobs left running, asks check_history.py."""
import json
import os
import shutil
import subprocess
import sys

import kit
import world as worlds

CHECKER = os.path.join(kit.SOURCE, "tests", "check_history.py")


def copy_of_database(daemon, folder):
    """Opening a database after a kill changes the evidence: it is the copy that is opened."""
    copy = os.path.join(folder, "copy")
    shutil.rmtree(copy, ignore_errors=True)
    os.mkdir(copy)
    for name in os.listdir(daemon.state):
        if name.startswith("jobd.db"):
            shutil.copy(os.path.join(daemon.state, name), copy)
    return os.path.join(copy, "jobd.db")


def check(witness, database, max_parallel):
    """The checker's report, as it prints it with --json. database: None, what the jobs and the clients say is judged alone."""
    record = ["--db", database, "--events", witness.events.path] if database else []
    done = subprocess.run([sys.executable, CHECKER, "check", "--json", "--side", witness.side.path, "--acks", witness.acks.path, *record,
                           "--max-parallel", str(max_parallel)], capture_output=True, text=True)
    if done.returncode not in (0, 1, 3):
        raise AssertionError("check_history.py: exit %d: %s%s" % (done.returncode, done.stdout, done.stderr))
    return json.loads(done.stdout)


def until_now(world):
    """The violations in a history that did not come to its end, "" for none."""
    report = check(world.witness, None, world.slots)
    return json.dumps(report["violations"]) if report["violations"] else ""


def judge(world):
    """The checker's figures; AssertionError with the violations."""
    for pid in worlds.leftovers(world.daemon.socket):
        world.mark("orphan", pid)
    report = check(world.witness, copy_of_database(world.daemon, world.folder), world.slots)
    if report["verdict"] != "valid":
        raise AssertionError("%s %s\n%s" % (report["verdict"], json.dumps(report["violations"]),
                                            "\n".join("%(code)-13s %(key)s: %(text)s" % item for item in report["items"])))
    return report["stats"]
