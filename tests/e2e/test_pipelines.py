#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The three example pipelines, run for real: the files that they leave, their exit statuses, and what jobctl why says about them."""
import glob
import hashlib
import os
import sqlite3
import subprocess
import unittest

import kit


def pipeline(name):
    return os.path.join(kit.SOURCE, "etc", "pipelines", name)


def contents(folder):
    """{relative path: sha256} of all files below a folder."""
    found = {}
    for here, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(here, name)
            with open(path, "rb") as f:
                found[os.path.relpath(path, folder)] = hashlib.sha256(f.read()).hexdigest()
    return found


class Replicate(unittest.TestCase):
    def setUp(self):
        self.daemon = self.enterContext(kit.Daemon())
        self.base = os.path.join(self.daemon.folder, "replicate")
        self.env = {"REPLICATE_DIR": self.base, "REPLICATE_KEEP": "2", "REPLICATE_SLOW_KBPS": "4000"}

    def submit(self):
        return self.daemon.jobctl("submit", "--wait", pipeline("replicate.yaml"), env=self.env)

    def report(self):
        with open(os.path.join(self.base, "report.txt"), encoding="utf-8") as f:
            return f.read()

    def below(self, folder):
        return sorted(name for name in os.listdir(os.path.join(self.base, folder)) if not name.endswith(".sha256"))

    def test_copies_are_the_source(self):
        done = self.submit()
        self.assertEqual(0, done.returncode, done.stdout + done.stderr + str(self.daemon.listed(1)))
        (snapshot,) = self.below("snapshots")
        for target in ("fast", "flaky", "slow"):
            copy = os.path.join(self.base, "targets", target, snapshot)
            self.assertEqual(contents(os.path.join(self.base, "source")), contents(os.path.join(copy, "files")), target)
            with sqlite3.connect("file:%s/app.db?mode=ro" % copy, uri=True) as db:
                self.assertEqual([(1,)], db.execute("SELECT run FROM visit").fetchall())

    def test_flaky_target_is_tried_again_and_others_are_not(self):
        self.submit()
        jobs = self.daemon.jobs(1)
        self.assertEqual({"ok"}, {row["state"] for row in jobs.values()})
        self.assertEqual({path: 2 if path.endswith("/flaky") else 1 for path in jobs}, {path: row["attempts"] for path, row in jobs.items()})

    def test_only_what_changed_is_stored_again(self):
        self.submit()
        self.submit()
        first, second = self.below("snapshots")
        for folder in ("snapshots", "targets/fast", "targets/slow"):
            old, new = (os.stat(os.path.join(self.base, folder, s, "files/album/1.raw")).st_ino for s in (first, second))
            self.assertEqual(old, new, folder)
            old, new = (os.stat(os.path.join(self.base, folder, s, "files/diary.txt")).st_ino for s in (first, second))
            self.assertNotEqual(old, new, folder)

    def test_oldest_is_pruned_everywhere_once_all_copies_are_verified(self):
        for _ in range(3):
            self.assertEqual(0, self.submit().returncode)
        kept = self.below("snapshots")
        self.assertEqual(2, len(kept))
        for target in ("fast", "flaky", "slow"):
            self.assertEqual(kept, self.below("targets/" + target))

    def test_nothing_is_pruned_while_a_copy_is_missing(self):
        for _ in range(2):
            self.submit()
        # A file stands where the slow target has its folder.
        os.rename(os.path.join(self.base, "targets/slow"), os.path.join(self.base, "away"))
        open(os.path.join(self.base, "targets/slow"), "w").close()
        done = self.submit()
        self.assertEqual(1, done.returncode)
        self.assertEqual(3, len(self.below("snapshots")))
        jobs = self.daemon.jobs(3)
        prune = jobs["snapshot/~/manifest/~/prune"]
        self.assertEqual(("skipped", 0), (prune["state"], prune["attempts"]))
        self.assertEqual("upstream: snapshot/~/manifest/slow", prune["reason"])
        self.assertEqual("ok", jobs["report"]["state"])
        self.assertIn("snapshots: 3 snapshots", self.report())

    def test_report_is_written_by_a_job_that_may_ask_jobd(self):
        self.submit()
        report = self.report()
        self.assertIn("targets/slow: 1 snapshots", report)
        self.assertIn("snapshot/~/manifest/slow/verify", report)


class Fleet(unittest.TestCase):
    HOSTS = ["db1", "db2", "mail", "web1", "web2"]

    def setUp(self):
        self.daemon = self.enterContext(kit.Daemon())
        self.base = os.path.join(self.daemon.folder, "fleet")
        self.env = {"FLEET_DIR": self.base, "FLEET_KEEP": "1"}

    def submit(self, name, *options):
        return self.daemon.jobctl("submit", "--wait", *options, pipeline(name), env=self.env)

    def archives(self, *folder):
        return sorted(map(os.path.basename, glob.glob(os.path.join(self.base, *folder, "*.tar"))))

    def test_every_host_at_both_targets(self):
        done = self.submit("fleet.yaml")
        self.assertEqual(0, done.returncode, done.stdout + done.stderr + self.daemon.said())
        for host in self.HOSTS:
            (archive,) = self.archives("snapshots", host)
            for target in ("nas", "vault"):
                self.assertEqual([archive], self.archives("targets", target, host))
                listed = subprocess.run(["tar", "-tf", os.path.join(self.base, "targets", target, host, archive)], capture_output=True, text=True, check=True)
                self.assertIn("./log", listed.stdout.splitlines())

    def test_breadth_first_with_one_worker(self):
        self.submit("fleet.yaml", "-j", "1")
        started = sorted(self.daemon.jobs(1).values(), key=lambda row: row["started_at"])
        self.assertEqual(self.HOSTS, [row["path"] for row in started[:5]])
        self.assertEqual([host + "/snapshot" for host in self.HOSTS], [row["path"] for row in started[5:10]])

    def test_old_snapshots_go_when_both_copies_are_verified(self):
        self.submit("fleet.yaml")
        self.submit("fleet.yaml")
        for host in self.HOSTS:
            self.assertEqual(1, len(self.archives("snapshots", host)))
            self.assertEqual(2, len(self.archives("targets", "nas", host)))

    def test_one_failing_target_keeps_its_own_host_from_the_prune_and_no_other(self):
        self.submit("fleet.yaml")
        done = self.submit("fleet-failing.yaml")
        self.assertEqual(1, done.returncode, done.stdout + done.stderr)
        self.assertEqual(1, self.daemon.jobctl("wait", "fleet-failing").returncode)
        self.assertEqual({host: 2 if host == "db1" else 1 for host in self.HOSTS}, {host: len(self.archives("snapshots", host)) for host in self.HOSTS})
        for host in self.HOSTS:
            self.assertEqual(2, len(self.archives("targets", "nas", host)), host)
            self.assertEqual(1 if host == "db1" else 2, len(self.archives("targets", "vault", host)), host)
        jobs = self.daemon.jobs("fleet-failing")
        self.assertEqual({"db1/snapshot/vault": "failed", "db1/snapshot/~/prune": "skipped"},
                         {path: row["state"] for path, row in jobs.items() if row["state"] != "ok"})
        self.assertEqual(2, jobs["db1/snapshot/vault"]["attempts"])

    def test_why_names_the_culprit(self):
        self.submit("fleet-failing.yaml")
        skipped = self.daemon.jobctl("why", "fleet-failing/db1/snapshot/~/prune", check=True).stdout
        self.assertIn("db1/snapshot/vault", skipped)
        self.assertNotIn("db2", skipped)
        failed = self.daemon.jobctl("why", "fleet-failing/db1/snapshot/vault", check=True).stdout
        self.assertRegex(failed, r"\b3\b")
        said = self.daemon.jobctl("logs", "--err", "fleet-failing/db1/snapshot/vault", check=True).stdout
        self.assertIn("Not a directory", said)


if __name__ == "__main__":
    unittest.main()
