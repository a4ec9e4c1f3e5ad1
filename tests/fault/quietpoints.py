# SPDX-License-Identifier: MIT
"""Places that no load comes to: an old database is copied and migrated, a log is copied when nothing else is to be done."""
import os
import shutil
import signal
import sqlite3
import tempfile

import kit

OF_OLD_DATABASE = {"before_migrate", "before_commit_migration", "after_migrate_step",
                   "before_backup_copy", "after_backup_copy", "before_backup_rename", "after_backup_rename"}
OF_REST = {"before_checkpoint", "after_checkpoint"}
GOLDEN = os.path.join(kit.SOURCE, "tests", "daemon", "data", "schema_1.sql")


def make_old_database(state):
    """Returns how many runs are in it."""
    os.mkdir(state, 0o700)
    path = os.path.join(state, "jobd.db")
    with open(GOLDEN, encoding="utf-8") as f, sqlite3.connect(path) as db:
        db.executescript(f.read())
        runs = db.execute("SELECT count(*) FROM runs WHERE state <> 0").fetchone()[0]
    db.close()
    os.chmod(path, 0o600)
    return runs


def die(daemon, place):
    """The jobd that runs, or is started now, kills itself there."""
    status = daemon.process.wait(kit.PATIENCE)
    daemon.gone()
    assert status == -signal.SIGKILL, "%s: jobd ended with %d" % (place, status)
    del daemon.env["JOBD_FP"]


def while_it_migrates(daemon, place):
    runs = make_old_database(daemon.state)
    daemon.spawn()
    die(daemon, place)
    daemon.start()
    found = len(daemon.listed())
    assert found == runs, "%s: %d runs of %d are left" % (place, found, runs)


def at_rest(daemon, place):
    daemon.start()
    run = daemon.submit("a: 'true'\n")
    die(daemon, place)
    daemon.start()
    rows = daemon.jobs(run)
    assert rows["a"]["state"] == "ready", "%s: %s" % (place, rows)      # there is no runner


def strike(place):
    """A jobd dies at this place, and the next one misses nothing."""
    folder = tempfile.mkdtemp(prefix="jobd-fault-")
    daemon = kit.Daemon(folder=folder, config="log_level = warning\n", env={"JOBD_RUNNER": "none", "JOBD_FP": place + ":kill:n=1"})
    try:
        (while_it_migrates if place in OF_OLD_DATABASE else at_rest)(daemon, place)
        daemon.kill()
    except BaseException:
        print(daemon.said()[-5000:])
        raise
    finally:
        if daemon.process:
            daemon.kill()
        shutil.rmtree(folder, ignore_errors=True)
