#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Prints the database of a real jobd as SQL: what later versions have to be able to migrate.

    JOBD_BUILDDIR=build python3 tests/daemon/golden.py > tests/daemon/data/schema_N.sql

To be run once, with the jobd of a release that has a new schema. In it are runs of every kind: ended well and not, going on with a job
that runs while jobd is killed, paused, a stream with a sealed directory, outputs, labels, retries, holds.
"""
import os
import shutil
import sqlite3
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
from kit import Daemon      # noqa: E402

RUNS = """\
jobs:
  a: echo out; echo err >&2
  a/b: exit 3
  a/b/c: "true"
  a/~/after: "true"
"""


def fill(d):
    ok = d.submit("jobs: {one: {shell: echo well, labels: {key: k-1}}}\n", "--format", "yaml", "--key", "first", "--name", "nightly")
    failed = d.submit(RUNS, "--format", "yaml")
    retried = d.submit("jobs: {again: {shell: exit 4, retry: {max: 2, min_s: 0.01, cap_s: 0.01}}}\n", "--format", "yaml")
    d.jobctl("wait", ok, failed, retried)
    open_run = int(d.jobctl("submit", "--open", "--format", "yaml", "-", text="jobs: {x/1: 'true'}\n", check=True).stdout)
    d.jobctl("seal", "%d/x" % open_run, check=True)
    d.jobctl("wait", "%d/x/1" % open_run)
    went = os.path.join(d.folder, "went")
    os.mkfifo(went)
    long_run = d.submit("jobs:\n  long: echo > %s; exec cat %s\n  long/next: 'true'\n  long/held: 'true'\n" % (went, went), "--format", "yaml")
    with open(went, encoding="ascii") as f:     # it runs now
        f.read()
    d.jobctl("hold", "%d/long/held" % long_run, check=True)
    d.jobctl("pause", long_run, check=True)


def dump(state):
    db = sqlite3.connect(os.path.join(state, "jobd.db"))
    print("-- SPDX-License-Identifier: MIT\n-- Printed by tests/daemon/golden.py; never changed.")
    for name in ("application_id", "user_version"):
        print("PRAGMA %s = %d;" % (name, db.execute("PRAGMA " + name).fetchone()[0]))
    print("\n".join(db.iterdump()))


def main():
    d = Daemon(config="slots = 2\n").start()
    os.chdir(d.folder)
    try:
        fill(d)
        d.kill()
        copy = os.path.join(d.folder, "copy")
        os.mkdir(copy)
        for name in ("jobd.db", "jobd.db-wal"):
            shutil.copy(os.path.join(d.state, name), copy)
        dump(copy)
        d.start()
    finally:
        d.jobctl("shutdown", "--kill")
        d.gone()
        shutil.rmtree(d.folder)


main()
