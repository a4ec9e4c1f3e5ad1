#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Failpoints and mutants: their grammar, each action, and that a normal build has none of them."""
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "e2e"))
import kit
import varlink

NORMAL = kit.JOBD, kit.RUNNER
JOBD = os.path.join(kit.BUILD, "tests", "fault", "jobd-fp")
RUNNER = os.path.join(kit.BUILD, "tests", "fault", "jobd-runner-fp")
PLACE = re.compile(r'\b(?:FAILPOINT|FAILS|MUTANT)\("(\w+)"\)')


def listed(program, what):
    out = subprocess.run([program, "--list-" + what], capture_output=True, text=True, check=True).stdout
    return [line.split()[0] for line in out.splitlines()]


def in_the_code():
    found = set()
    for folder in ("daemon", "daemon/runner"):
        for name in os.listdir(os.path.join(kit.SOURCE, folder)):
            if name.endswith(".c"):
                with open(os.path.join(kit.SOURCE, folder, name), encoding="utf-8") as f:
                    found.update(PLACE.findall(f.read()))
    return found


def contents(path):
    """The program itself: libtool may have put a script in its place."""
    hidden = os.path.join(os.path.dirname(path), ".libs", os.path.basename(path))
    with open(hidden if os.path.exists(hidden) else path, "rb") as f:
        return f.read()


THE_NINE = {"ack_before_commit", "start_before_commit", "ack_end_before_commit", "ignore_inventory", "no_fence_no_dedup",
            "no_kill_of_dead_runners_jobs", "synchronous_normal", "attempt_reused", "barrier_apart"}


class Places(unittest.TestCase):
    def test_the_list_is_what_stands_in_the_code(self):
        lists = [listed(p, what) for p in (JOBD, RUNNER) for what in ("failpoints", "mutants")]
        self.assertEqual(in_the_code(), set().union(*lists))
        for one in lists:
            self.assertEqual(len(one), len(set(one)))

    def test_the_core_mistakes_are_there_as_mutants(self):
        self.assertEqual(THE_NINE, set(listed(JOBD, "mutants")) | set(listed(RUNNER, "mutants")))

    def test_a_place_belongs_to_one_program(self):
        self.assertEqual(set(), set(listed(JOBD, "failpoints")) & set(listed(RUNNER, "failpoints")))

    def test_a_normal_build_has_none(self):
        if os.environ.get("JOBD_FAILPOINTS") == "yes":
            self.skipTest("configured with --enable-failpoints")
        names = sorted(in_the_code()) + ["JOBD_FP", "JOBD_MUTANT", "failpoint_pass", "--list-failpoints"]
        for path in NORMAL:
            data = contents(path)
            self.assertEqual([], [n for n in names if n.encode() in data], path)
            symbols = subprocess.run(["nm", "-a", path], capture_output=True, text=True, check=True).stdout
            self.assertNotIn("failpoint", symbols)

    def test_a_failpoint_build_has_all(self):
        data = contents(JOBD) + contents(RUNNER)
        self.assertEqual([], [n for n in in_the_code() if n.encode() not in data])


class Grammar(unittest.TestCase):
    def said(self, rules):
        done = subprocess.run([JOBD, "--version"], env=dict(os.environ, JOBD_FP=rules), capture_output=True, text=True)
        return done.returncode, done.stderr

    def test_accepted(self):
        for rules in ("", ";", "before_commit:kill", "before_commit:kill:0.004;after_commit:delay=50ms:n=3;", "before_*:log", "*:stop:0",
                      "before_commit:error", "before_commit:error=ENOSPC:1", "a_place_of_the_other_program:kill", "*:error=EMFILE:0.5",
                      "before_commit:delay=2s"):
            self.assertEqual((0, ""), self.said(rules), rules)

    def test_refused(self):
        for rules, why in (("before_commit", "NAME:ACTION"), ("before_commit:kill:1:2", "NAME:ACTION"), (":kill", "NAME:ACTION"),
                           ("before_commit:die", "the action must be"), ("before_commit:kill=1", "takes no value"),
                           ("before_commit:delay", "50ms"), ("before_commit:delay=5", "50ms"), ("before_commit:delay=5000s", "50ms"),
                           ("before_commit:error=EWHAT", "errno"), ("after_commit:error", "nothing can fail there"),
                           ("before_commit:kill:1.5", "probability"), ("before_commit:kill:-1", "probability"),
                           ("before_commit:kill:nan", "probability"), ("before_commit:kill:x", "probability"), ("before_commit:kill:n=0", "n must"),
                           ("before_commit:kill:n=3x", "n must"), ("after_commit:log;before_commit:kill:", "probability")):
            status, text = self.said(rules)
            self.assertEqual(2, status, rules)
            self.assertIn(why, text)


class Actions(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="jobd-")
        self.addCleanup(shutil.rmtree, self.folder, True)
        self.log = os.path.join(self.folder, "passes")

    def start(self, rules, **env):
        return subprocess.Popen([JOBD, "--state", os.path.join(self.folder, "state"), "--socket", os.path.join(self.folder, "socket"), "--ready"],
                                env=dict(os.environ, JOBD_RUNNER="none", JOBD_FP=rules, JOBD_FP_LOG=self.log, **env),
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def end(self, process):
        out, err = process.communicate(timeout=kit.PATIENCE)
        return process.returncode, out, err

    def passes(self):
        with open(self.log, encoding="ascii") as f:
            return [line.split() for line in f]

    def test_kill(self):
        p = self.start("before_recover:kill")
        self.assertEqual((-signal.SIGKILL, "", ""), self.end(p))
        self.assertEqual([["jobd-fp", str(p.pid), "before_recover", "kill", "1"]], self.passes())

    def test_stop(self):
        p = self.start("before_recover:stop")
        self.assertTrue(os.WIFSTOPPED(os.waitpid(p.pid, os.WUNTRACED)[1]))
        p.send_signal(signal.SIGCONT)
        self.assertEqual("ready\n", p.stdout.readline())
        p.terminate()
        self.assertEqual(0, self.end(p)[0])

    def test_delay(self):
        began = time.monotonic()
        p = self.start("before_recover:delay=300ms")
        self.assertEqual("ready\n", p.stdout.readline())
        self.assertGreaterEqual(time.monotonic() - began, 0.3)
        p.terminate()
        self.assertEqual(0, self.end(p)[0])

    def test_error(self):
        p = self.start("before_commit:error")
        status, out, err = self.end(p)
        self.assertEqual((1, ""), (status, out))
        self.assertIn("can not delete unfinished submissions", err)

    def test_log_alone_changes_nothing(self):
        p = self.start("*:log")
        self.assertEqual("ready\n", p.stdout.readline())
        p.terminate()
        self.assertEqual(0, self.end(p)[0])
        names = [line[2] for line in self.passes()]
        self.assertLess(names.index("before_migrate"), names.index("before_recover"))
        self.assertLess(names.index("before_commit"), names.index("after_commit"))

    def test_the_nth_pass_alone(self):
        p = self.start("before_commit:kill:n=3")
        self.assertEqual("ready\n", p.stdout.readline())        # the first was within recovery, the second looked for rows of dropped runs
        subprocess.run([kit.JOBCTL, "--socket", os.path.join(self.folder, "socket"), "submit", "-"], input="a: true\n", capture_output=True, text=True)
        self.assertEqual(-signal.SIGKILL, self.end(p)[0])
        self.assertEqual("3", self.passes()[-1][4])

    def seen(self, seed):
        """Which of 64 passes acted."""
        if os.path.exists(self.log):
            os.unlink(self.log)
        p = self.start("after_receive_client:log:0.5", JOBD_FP_SEED=str(seed))
        self.assertEqual("ready\n", p.stdout.readline())
        with varlink.Connection(os.path.join(self.folder, "socket")) as conn:
            for _ in range(64):
                conn.call("Stats")
        p.terminate()
        self.end(p)
        return [int(line[4]) for line in self.passes() if int(line[4]) <= 64]

    def test_chance_is_repeatable_by_its_seed(self):
        first = self.seen(7)
        self.assertEqual(first, self.seen(7))
        self.assertNotEqual(first, self.seen(8))
        self.assertTrue(16 <= len(first) <= 48, first)

    def test_the_runner_has_its_own_places_in_the_same_rules(self):
        kit.JOBD, kit.RUNNER = JOBD, RUNNER
        self.addCleanup(setattr, kit, "JOBD", NORMAL[0])
        self.addCleanup(setattr, kit, "RUNNER", NORMAL[1])
        with kit.Daemon(env={"JOBD_FP": "before_spawn:error=EAGAIN:n=1;before_send_start:log", "JOBD_FP_LOG": self.log}) as d:
            run = d.submit("a: true\n")
            self.assertEqual(0, d.jobctl("wait", run).returncode)
            self.assertIn("the runner cannot start processes", d.said())
        self.assertEqual([["jobd-fp", "before_send_start"], ["jobd-runner-fp", "before_spawn"], ["jobd-fp", "before_send_start"]],
                         [[line[0], line[2]] for line in self.passes()])


if __name__ == "__main__":
    unittest.main()
