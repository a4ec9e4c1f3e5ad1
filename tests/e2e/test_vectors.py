# SPDX-License-Identifier: MIT
# timeout: 300
"""The vectors through the real daemon: what is started, and in which order, by jobs that end when they are told.

Virtual time is played from outside: the jobs that end at one tick are ended, in path order, while the run is paused, so that nothing starts
in between; then the run goes on until its slots are full or nothing is left to start. Termination is a cancel at its tick. Records that
pace their starts need a clock and are left to tests/vectors, which plays them under virtual time.

Which of two jobs that start at one tick was first is read from their times of start; the runner has one worker here, so these are in the
order in which jobd sent the starts.
"""
import json
import os
import shutil
import tempfile
import unittest

import kit
import puppets
import varlink

FILE = os.path.join(kit.SOURCE, "tests", "vectors.d", "tasktree.jsonl")
STATUS = {"ok": 0, "warn": 1, "skip": 75, "fail": 1, "abort": 1, "crash": 1}
ON_ERROR = {"warn": "warn", "abort": "stop", "crash": "stop"}
# names that only the library takes as they are (JT_NAMES_LOOSE)
LOOSE_NAMES = {"h015-inner-empty-component"}


def request(case, pup):
    order = case.get("priority", "lex")
    jobs = []
    for path in case["jobs"]:
        outcome = case.get("outcome", {}).get(path, "ok")
        job = {"path": path, "argv": pup.argv(path), "skip_exit": [75], "grace_s": 0.05}
        if outcome in ON_ERROR:
            job["on_error"] = ON_ERROR[outcome]
        if isinstance(order, dict):
            job["priority"] = order.get(path, 0)
        jobs.append(job)
    run = {"workers": case["workers"], "barrier": case.get("barrier", "~")}
    if order in ("depth", "fifo"):
        run["order"] = order
    return {"run": run, "jobs": jobs}


def ends_of(case):
    """path -> ticks that it takes"""
    return lambda path: case.get("duration", {}).get(path, case.get("default_duration", 1))


class Play:
    def __init__(self, daemon, case, pup):
        self.case, self.pup = case, pup
        with varlink.Connection(daemon.socket) as conn:
            run = conn.call("Submit", **request(case, pup))["run"]
        self.view = puppets.View(daemon, run)
        self.duration = ends_of(case)
        self.ends = {}          # path -> tick
        self.over = False

    def fill(self, tick):
        """Until the slots are full or nothing can start; every job that has started has said so."""
        while True:
            n = self.view.counts()
            if n["starting"] + n["running"] == len(self.ends) and (n["ready"] == 0 or len(self.ends) == self.case["workers"]):
                return
            while len(self.ends) < n["starting"] + n["running"]:
                path = self.pup.accept()
                self.ends[path] = tick + self.duration(path)
            if n["ready"] and n["starting"] + n["running"] < self.case["workers"]:
                self.view.event()

    def end_tick(self, tick):
        self.view.call("Pause")
        for path in sorted((p for p, t in self.ends.items() if t == tick), key=lambda p: p.encode()):
            outcome = self.case.get("outcome", {}).get(path, "ok")
            del self.ends[path]
            self.pup.end(path, STATUS[outcome])
            self.view.until("ended", path)
            if outcome in ("abort", "crash"):
                self.over = True
                return
        if self.view.counts()["waiting"] + self.view.counts()["ready"]:
            self.view.call("Resume")

    def run(self):
        stop_at = self.case.get("terminate_at")
        tick = 0
        while not self.over:
            self.fill(tick)
            if not self.ends:
                break
            tick = min(self.ends.values())
            if stop_at is not None and tick >= stop_at:
                self.view.call("Cancel", now=True)
                break
            try:
                self.end_tick(tick)
            except varlink.Error as e:
                if e.name != "org.jobd.WrongState":     # the run has ended
                    raise
        self.view.control.call("Wait", targets=[{"run": self.view.run}])
        rows = self.view.call("List")["jobs"]
        self.view.close()
        return [r["path"] for r in sorted(rows, key=lambda r: r["started_at"] or "") if r["attempts"]]


def plays(record):
    case = record["in"]
    return record.get("start_order_exact") and not case.get("interval") and case.get("terminate_at") != 0 and "hazard" not in record["tags"]


class Vectors(unittest.TestCase):
    def setUp(self):
        folder = tempfile.mkdtemp(prefix="jobd-")
        self.addCleanup(shutil.rmtree, folder, True)
        runner = os.path.join(folder, "runner")
        with open(runner, "w", encoding="utf-8") as f:
            f.write("#!/bin/sh\nexec '%s' \"$@\" --workers 1\n" % kit.RUNNER)
        os.chmod(runner, 0o755)
        self.daemon = kit.Daemon(folder, "slots = 64\nlog_level = warning\n", env={"JOBD_RUNNER": runner}).start()
        with open(FILE, encoding="utf-8") as f:
            self.records = [json.loads(line) for line in f]

    def tearDown(self):
        self.daemon.__exit__(None)

    def refused(self, record):
        with varlink.Connection(self.daemon.socket) as conn, self.assertRaises(varlink.Error) as caught:
            conn.call("Submit", **request(record["in"], self.puppets(record)))
        self.assertIn(caught.exception.name, ("org.jobd.Refused", "org.varlink.service.InvalidParameter"))

    def puppets(self, record):
        folder = os.path.join(self.daemon.folder, record["id"][:8])
        os.makedirs(folder, exist_ok=True)
        pup = puppets.Puppets(folder)
        self.addCleanup(pup.close)
        return pup

    def test_every_record_starts_in_its_order(self):
        played = 0
        for record in self.records:
            with self.subTest(record["id"]):
                if "error" in record["out"] or {"degenerate", "defect"} & set(record["tags"]) or record["id"] in LOOSE_NAMES:
                    self.refused(record)
                elif plays(record):
                    starts = [path for _, what, path in record["out"]["events"] if what == "S"]
                    self.assertEqual(Play(self.daemon, record["in"], self.puppets(record)).run(), starts)
                    played += 1
        self.assertGreater(played, 80)


if __name__ == "__main__":
    unittest.main()
