#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The judge of the fault tests finds every planted violation and raises no false alarm.

Its own self-test plants faults in generated histories; here stand small ones, each beside a neighbour that is valid.
"""
import json
import os
import shutil
import sqlite3
import sys
import tempfile
import unittest

import tree

sys.path.insert(0, os.path.join(tree.ROOT, "tests"))
import check_history

TABLES = """CREATE TABLE runs (run, name);
CREATE TABLE jobs (id INTEGER PRIMARY KEY, path);
CREATE TABLE attempts (id, attempt, reason, exit_code);
CREATE TABLE events (seq, run, idx, kind, attempt, exit_code);
CREATE TABLE rows (key, id, state, exit_code, attempts);
CREATE VIEW check_view AS SELECT * FROM rows;"""
JOB = 1 << 32                   # job 0 of run 1
EXIT, SIGNAL, LOST = 1, 2, 6    # reasons, as in the database
STARTED, ENDED = 2, 3           # kinds of events


class Story:
    """One job k that ran once and well; a test changes what it needs."""

    def __init__(self):
        self.spec = {"ev": "invoke", "op": "submit", "key": "k", "max_attempts": 1, "on_lost": "retry"}
        self.side = ["M reaper 1", "B k att=1 pid=10 by=5", "E k att=1 pid=10 rc=0", "T k att=1 state=ok"]
        self.acks = [{"ev": "ok", "op": "submit", "key": "k"}]
        self.row = ("k", JOB, "ok", 0, 1)
        self.attempts = [(JOB, 1, EXIT, 0)]
        self.recorded = [(1, 1, 0, STARTED, 1, None), (2, 1, 0, ENDED, 1, 0)]
        self.told = [{"seq": 1, "run": 1, "path": "a", "kind": "started", "attempt": 1},
                     {"seq": 2, "run": 1, "path": "a", "kind": "ended", "attempt": 1, "exit_code": 0}]

    def judge(self):
        folder = tempfile.mkdtemp()
        try:
            return self._judge(folder)
        finally:
            shutil.rmtree(folder)

    def _judge(self, folder):
        side, acks, events, db = (os.path.join(folder, name) for name in ("side", "acks", "events", "db"))
        write(side, self.side + ["M drain"])
        write(acks, map(json.dumps, [self.spec] + self.acks))
        write(events, map(json.dumps, self.told))
        con = sqlite3.connect(db)
        con.executescript(TABLES)
        con.execute("INSERT INTO jobs VALUES (?, 'a')", (JOB,))
        con.executemany("INSERT INTO rows VALUES (?, ?, ?, ?, ?)", [self.row] if self.row else [])
        con.executemany("INSERT INTO attempts VALUES (?, ?, ?, ?)", self.attempts)
        con.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?)", self.recorded)
        con.commit()
        con.close()
        return check_history.check(side, acks, db=db, events=events)

    def lost_then_run_again(self, marker):
        """The first attempt has no end: its runner (5) was killed, and another one (6) ran the job again."""
        self.side = ["M reaper 1", "B k att=1 pid=10 by=5", marker, "B k att=2 pid=11 by=6", "E k att=2 pid=11 rc=0", "T k att=2 state=ok"]
        self.row = ("k", JOB, "ok", 0, 2)
        self.attempts = [(JOB, 1, LOST, None), (JOB, 2, EXIT, 0)]


def write(path, lines):
    with open(path, "w", encoding="utf-8") as f:
        f.writelines(line + "\n" for line in lines)


class History(unittest.TestCase):
    def setUp(self):
        self.story = Story()

    def valid(self):
        report = self.story.judge()
        self.assertEqual(report.verdict, "valid", report.items)

    def violates(self, *codes):
        report = self.story.judge()
        self.assertEqual(set(report.count), set(codes), report.items)

    def test_one_job_that_ran_once_is_valid(self):
        self.valid()

    # ---- the death of a runner

    def test_the_death_of_its_runner_excuses_an_attempt(self):
        self.story.lost_then_run_again("M runnerkill 5")
        self.valid()

    def test_the_death_of_another_runner_excuses_nothing(self):
        self.story.lost_then_run_again("M runnerkill 4")
        self.violates("CONCURRENT", "LIE", "ATTEMPTS")

    def test_a_job_that_began_after_the_death_of_its_runner_is_excused(self):
        self.story.lost_then_run_again("M runnerkill 5")
        self.story.side[1:3] = ["M runnerkill 5", "B k att=1 pid=10 by=1"]
        self.valid()

    def test_an_attempt_ended_with_its_runner_may_be_repeated_unless_its_end_was_told(self):
        self.story.lost_then_run_again("M runnerkill 5")
        self.story.side.insert(2, "E k att=1 pid=10 rc=0")
        self.valid()
        self.story.side[-1:] = []
        self.story.side.insert(3, "T k att=1 state=ok")
        self.story.row = ("k", JOB, "ok", 0, 2)
        self.violates("RERUN", "TOLD")

    def test_a_start_may_be_lost_with_its_runner(self):
        self.story.side, self.story.row, self.story.attempts = ["M runnerkill 5"], ("k", JOB, "lost", None, 1), [(JOB, 1, LOST, None)]
        self.valid()
        self.story.side = []
        self.violates("LOST_RUN", "STATE")

    # ---- what is on record of attempts

    def test_an_exit_status_that_nobody_can_have_seen_is_a_lie(self):
        self.story.lost_then_run_again("M runnerkill 5")
        self.story.attempts[0] = (JOB, 1, EXIT, 0)
        self.violates("LIE")

    def test_a_recorded_exit_status_is_that_of_the_job(self):
        self.story.attempts = [(JOB, 1, EXIT, 4)]
        self.violates("LIE")

    def test_an_attempt_that_never_began_has_no_exit_status(self):
        self.story.attempts.append((JOB, 2, EXIT, 0))
        self.violates("LIE")

    def test_lost_needs_a_reason(self):
        self.story.attempts = [(JOB, 1, LOST, None)]
        self.violates("LIE")

    def test_an_attempt_that_began_is_counted_whatever_happened(self):
        self.story.lost_then_run_again("M powerloss")
        self.story.side[-1:] = []
        self.story.row = ("k", JOB, "ok", 0, 1)
        self.violates("STATE")

    # ---- what a client was told

    def test_an_end_that_was_told_is_on_record(self):
        self.story.row = ("k", JOB, "cancelled", None, 1)
        self.story.acks.append({"ev": "invoke", "op": "cancel", "key": "k"})
        self.violates("TOLD")

    def test_the_number_of_attempts_that_was_told_is_on_record(self):
        self.story.row = ("k", JOB, "ok", 0, 2)
        self.violates("TOLD")

    def test_a_job_begins_only_after_its_release(self):
        self.story.side[1:1] = ["H k", "R k"]
        self.valid()
        self.story.side.remove("R k")
        self.violates("HELD")
        self.story.side[2:2] = ["A k att=0"]
        self.valid()

    def cancel(self, ev, **more):
        self.story.acks += [{"ev": "invoke", "op": "cancel", "key": "k"}, dict(more, ev=ev, op="cancel", key="k")]

    def terminated(self):
        self.story.side = ["B k att=1 pid=10 by=5", "T k att=1 state=cancelled"]
        self.story.row = ("k", JOB, "cancelled", None, 1)
        self.story.attempts = [(JOB, 1, SIGNAL, None)]

    def test_a_parent_that_is_not_there_is_waited_for_unless_it_was_added_apart(self):
        self.story.spec["deps"] = ["p"]
        self.story.acks += [{"ev": "invoke", "op": "submit", "key": "p"}, {"ev": "info", "op": "submit", "key": "p"}]
        self.violates("ORDER")
        self.story.spec["apart"] = True
        self.valid()
        self.story.acks += [{"ev": "ok", "op": "submit", "key": "p"}]
        self.violates("ORDER", "LOST_SUBMIT", "LOST_RUN")

    def test_a_cancelled_job_needs_no_end(self):
        self.terminated()
        self.cancel("ok", sure=True)
        self.valid()

    def test_a_cancel_that_was_not_answered_may_have_taken_effect(self):
        self.terminated()
        self.cancel("info")
        self.valid()
        self.story.side, self.story.row, self.story.attempts = [], ("k", JOB, "cancelled", None, 0), []
        self.valid()

    def test_a_job_whose_cancel_was_refused_has_to_run(self):
        self.story.side, self.story.row, self.story.attempts = [], ("k", JOB, "cancelled", None, 0), []
        self.cancel("fail")
        self.violates("LOST_RUN")

    def test_an_acknowledged_cancel_holds(self):
        self.cancel("ok", sure=True)
        self.violates("CANCEL")

    def test_a_terminated_job_does_not_begin_again(self):
        self.terminated()
        self.cancel("info")
        self.story.side.insert(1, "B k att=2 pid=11 by=5")
        self.story.side[-1] = "T k att=2 state=cancelled"
        self.story.row = ("k", JOB, "cancelled", None, 2)
        self.violates("CONCURRENT", "ATTEMPTS")

    # ---- retries of what has ended

    def failed_and_again(self, ask="A k att=1"):
        self.story.side[2:] = ["E k att=1 pid=10 rc=3", "T k att=1 state=failed", ask, "B k att=2 pid=11 by=5", "E k att=2 pid=11 rc=0",
                               "T k att=2 state=ok"]
        self.story.row = ("k", JOB, "ok", 0, 2)
        self.story.attempts = [(JOB, 1, EXIT, 3), (JOB, 2, EXIT, 0)]
        self.story.recorded, self.story.told = [], []

    def test_a_job_that_is_asked_for_again_begins_again(self):
        self.failed_and_again()
        self.valid()

    def test_a_watcher_may_tell_the_earlier_end_late(self):
        self.failed_and_again()
        self.story.side[3:5] = [self.story.side[4], self.story.side[3]]
        self.valid()

    def test_a_job_that_nobody_asked_for_again_does_not_begin_again(self):
        self.failed_and_again("R k")
        self.violates("RERUN", "ATTEMPTS", "TOLD")

    def test_being_asked_for_again_excuses_no_second_success(self):
        self.failed_and_again()
        self.story.side[2] = "E k att=1 pid=10 rc=0"
        self.story.attempts[0] = (JOB, 1, EXIT, 0)
        self.violates("RERUN")

    def test_a_cancel_may_be_on_record_for_what_ended_well_and_be_taken_back(self):
        self.failed_and_again()
        self.story.side[2:4] = ["E k att=1 pid=10 rc=0", "T k att=1 state=cancelled"]
        self.story.attempts[0] = (JOB, 1, SIGNAL, None)
        self.cancel("ok", sure=True)
        self.valid()

    def test_being_asked_for_again_once_allows_no_third_attempt(self):
        self.failed_and_again()
        self.story.side[6:7] = ["E k att=2 pid=11 rc=3", "B k att=3 pid=12 by=5", "E k att=3 pid=12 rc=0"]
        self.story.side[-1] = "T k att=3 state=ok"
        self.story.row = ("k", JOB, "ok", 0, 3)
        self.story.attempts[1:] = [(JOB, 2, EXIT, 3), (JOB, 3, EXIT, 0)]
        self.violates("ATTEMPTS")

    # ---- removals

    def remove(self, *answers):
        self.story.acks += [{"ev": ev, "op": "remove", "key": "k", "run": 1} for ev in ("invoke",) + answers]

    def gone(self):
        self.story.row, self.story.attempts, self.story.recorded = None, [], []

    def test_a_removed_job_is_gone_with_its_events(self):
        self.remove("ok")
        self.gone()
        self.valid()

    def test_a_removal_that_was_not_answered_may_have_taken_effect(self):
        self.remove()
        self.valid()
        self.gone()
        self.valid()

    def test_a_job_whose_removal_was_refused_is_there(self):
        self.remove("fail")
        self.valid()
        self.gone()
        self.violates("LOST_SUBMIT", "EVENTS")

    def test_an_acknowledged_removal_holds(self):
        self.remove("ok")
        self.violates("REMOVED")

    # ---- events, processes

    def test_an_event_that_nobody_was_told(self):
        del self.story.told[0]
        self.violates("EVENTS")

    def test_an_event_that_was_told_twice(self):
        self.story.told.insert(1, self.story.told[0])
        self.violates("EVENTS")

    def test_an_event_that_is_not_on_record(self):
        del self.story.recorded[1]
        self.violates("EVENTS")

    def test_an_event_that_was_told_otherwise(self):
        self.story.told[1]["exit_code"] = 1
        self.violates("EVENTS")

    def test_a_process_that_was_left(self):
        self.story.side.append("M orphan 10")
        self.violates("ORPHAN")

    def test_planted_in_generated_histories(self):
        self.assertEqual(check_history.selftest(300 if os.environ.get("JOBD_SOAK") else 30, "1"), 0)


if __name__ == "__main__":
    unittest.main()
