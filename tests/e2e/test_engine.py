# SPDX-License-Identifier: MIT
# timeout: 200
"""jobd itself, over its socket: options of jobs and runs, fairness, holds, cancels, retries, open runs, keys, restarts."""
import base64
import contextlib
import os
import signal
import socket
import sqlite3
import struct
import time
import unittest

import kit
import puppets
import varlink
from case import Case


class Options(Case):
    def run_one(self, shell, **fields):
        run = self.submit({"j": dict(fields, shell=shell)})
        self.wait(run)
        return run, self.jobs(run)["j"]

    def test_environment_is_built_from_empty(self):
        run, _ = self.run_one("env", env={"A": "1", "HOME": "/elsewhere"})
        env = dict(line.split("=", 1) for line in self.output(run, "j").decode().splitlines())
        self.assertEqual((env["A"], env["HOME"]), ("1", "/elsewhere"))
        self.assertEqual((env["JOBD_RUN"], env["JOBD_PATH"], env["JOBD_ATTEMPT"], env["JOBD_JOB"]), (run, "j", "1", run + "/j"))
        self.assertEqual(env["JOBD_SOCKET"], self.d.socket)
        self.assertEqual(set(env) - {"A", "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "PWD", "SHLVL", "_", "OLDPWD", "JOBD_TOKEN"},
                         {"JOBD_RUN", "JOBD_PATH", "JOBD_ATTEMPT", "JOBD_JOB", "JOBD_SOCKET"})

    def test_cwd_umask_nice_and_stdin(self):
        run, job = self.run_one("pwd; umask; nice; cat", cwd=self.d.folder, umask="027", nice=3, stdin={"text": "from the text\n"})
        self.assertEqual(job["state"], "ok")
        self.assertEqual(self.output(run, "j").decode(), "%s\n0027\n%d\nfrom the text\n" % (os.path.realpath(self.d.folder), os.nice(0) + 3))
        with open(os.path.join(self.d.folder, "input"), "w", encoding="ascii") as f:
            f.write("from the file")
        run, _ = self.run_one("cat >&2", stdin={"file": f.name})
        self.assertEqual(self.output(run, "j", "err"), b"from the file")

    def test_statuses(self):
        for fields, state, reason, code in ((dict(), "failed", "exit", 3), (dict(success_exit=[0, 3]), "ok", "exit", 3),
                                            (dict(skip_exit=[3]), "skipped", "exit", 3), (dict(on_error="warn"), "warned", "exit", 3),
                                            (dict(on_error="ignore"), "warned", "exit", 3), (dict(on_error="skip"), "skipped", "exit", 3)):
            with self.subTest(**fields):
                _, job = self.run_one("exit 3", **fields)
                self.assertEqual((job["state"], job["reason"], job["exit_code"], job["attempts"]), (state, reason, code, 1))

    def test_signal_timeout_and_spawn_error(self):
        _, job = self.run_one("kill -USR1 $$")
        self.assertEqual((job["state"], job["reason"], job["signal"], job["exit_code"]), ("failed", "signal", signal.SIGUSR1, None))
        _, job = self.run_one("trap '' TERM; exec sleep 100", timeout_s=0.05, grace_s=0.05)
        self.assertEqual((job["state"], job["reason"]), ("failed", "timeout"))
        run = self.submit({"j": {"argv": ["/no/such/program"]}})
        self.wait(run)
        job = self.jobs(run)["j"]
        self.assertEqual((job["state"], job["reason"], job["exit_code"], job["signal"], job["attempts"]), ("failed", "spawn", None, None, 1))
        self.assertIn("/no/such/program", self.call("Get", run=run, path="j")["attempts"][0]["message"])

    def test_retry_until_it_succeeds(self):
        run, job = self.run_one("test $JOBD_ATTEMPT = 3", retry={"max": 5, "cap_s": 0.01})
        self.assertEqual((job["state"], job["attempts"]), ("ok", 3))
        self.assertEqual([a["exit_code"] for a in self.call("Get", run=run, path="j")["attempts"]], [1, 1, 0])

    def test_retry_only_what_is_asked_for(self):
        _, job = self.run_one("exit 4", retry={"max": 5, "cap_s": 0.01, "not_on_exit": [4]})
        self.assertEqual(job["attempts"], 1)
        _, job = self.run_one("exit 5", retry={"max": 2, "cap_s": 0.01, "on_exit": [5]})
        self.assertEqual(job["attempts"], 3)
        _, job = self.run_one("kill -9 $$", retry={"max": 2, "on": ["exit"]})
        self.assertEqual(job["attempts"], 1)

    def test_outputs_of_all_sizes_are_byte_exact(self):
        for size in (0, 1, 4096, 4097, 200000):
            run, _ = self.run_one("head -c %d /dev/zero | tr '\\0' x; printf '\\377\\000e' >&2" % size)
            got, offset = b"", 0
            while True:
                reply = self.call("Logs", run=run, path="j", stream="out", offset=offset)
                got += base64.b64decode(reply["data_b64"])
                offset = reply["offset"]
                if reply["eof"]:
                    break
            self.assertEqual(got, b"x" * size)
            self.assertEqual(self.output(run, "j", "err"), b"\xff\0e")

    def test_output_is_followed_while_it_grows(self):
        fifo = os.path.join(self.d.folder, "fifo")
        os.mkfifo(fifo)
        run = self.submit({"j": "echo one; read x < %s; echo two" % fifo})
        follow = varlink.Connection(self.d.socket, kit.PATIENCE)
        follow.send("org.jobd.Logs", {"run": run, "path": "j", "stream": "out", "follow": True}, more=True)
        got = b""
        while got != b"one\n":
            got += base64.b64decode(follow.receive()["parameters"]["data_b64"])
        with open(fifo, "w", encoding="ascii") as f:
            f.write("go\n")
        reply = {"parameters": {"eof": False}}
        while not reply["parameters"]["eof"]:
            reply = follow.receive()
            got += base64.b64decode(reply["parameters"]["data_b64"])
        follow.close()
        self.assertEqual(got, b"one\ntwo\n")


class Trees(Case):
    def test_a_failure_is_the_reason_of_what_it_takes_along(self):
        run = self.submit({"a": "exit 3", "a/b": "true", "a/b/c": "true", "z": "true", "~/end": "true"})
        self.assertEqual(self.wait(run)["exit"], 1)
        jobs = self.jobs(run)
        self.assertEqual({p: (j["state"], j["reason"]) for p, j in jobs.items()},
                         {"a": ("failed", "exit"), "a/b": ("skipped", "upstream: a"), "a/b/c": ("skipped", "upstream: a"), "z": ("ok", "exit"),
                          "~/end": ("skipped", "upstream: a")})
        self.assertIn("exit status 3", self.why(run, "a/b/c")[-1]["text"])

    def test_finished_and_failure_jobs_are_judged_at_the_end(self):
        run = self.submit({"a": "exit 1", "report": {"shell": "true", "after": ["a"], "when": "finished"},
                           "alarm": {"shell": "true", "after": ["a"], "when": "failure"},
                           "party": {"shell": "true", "after": ["a"]}})
        self.wait(run)
        self.assertEqual(self.states(run), {"a": "failed", "report": "ok", "alarm": "ok", "party": "skipped"})
        run = self.submit({"a": "true", "alarm": {"shell": "true", "after": ["a"], "when": "failure"}})
        self.assertEqual(self.wait(run)["exit"], 0)
        self.assertEqual(self.jobs(run)["alarm"]["reason"], "not-needed")

    def test_on_error_stop_ends_the_run_at_once(self):
        jobs = self.puppet_jobs("a", "b", "b/c")
        jobs["a"]["on_error"] = "stop"
        run = self.submit(jobs, workers=2)
        self.assertEqual({self.pup.accept(), self.pup.accept()}, {"a", "b"})
        self.pup.end("a", 1)
        self.wait(run)
        self.assertEqual(self.states(run), {"a": "failed", "b": "cancelled", "b/c": "skipped"})
        self.assertEqual(self.call("Get", run=run)["run"]["state"], "failed")

    def test_refusals_name_the_thing_and_store_nothing(self):
        before = self.call("List")["runs"]
        for jobs, words in (({"a//b": "true"}, "a//b"), ({"a": {"shell": "true", "after": ["nowhere"]}}, "nowhere"),
                            ({"a": {"shell": "true", "after": ["b"]}, "b": {"shell": "true", "after": ["a"]}}, "b"),
                            ({"a/~": "true"}, "~"), ({"a": {"shell": "true", "argv": ["x"]}}, "argv"), ({"a": {"shell": "true", "nicc": 1}}, "nice")):
            with self.subTest(words):
                error = self.refusal("Submit", jobs=[dict({"shell": v} if isinstance(v, str) else v, path=k) for k, v in jobs.items()])
                self.assertEqual(error.name, "org.jobd.Refused")
                self.assertIn(words, error.parameters["message"])
        self.assertEqual(self.call("List")["runs"], before)


class Control(Case):
    def test_a_newcomer_starts_after_at_most_slots_further_ends(self):
        first = self.submit(self.puppet_jobs(*["j%03d" % i for i in range(40)]), workers=10)
        for _ in range(4):
            self.pup.accept()
        second = self.submit(self.puppet_jobs("new"))
        ends = 0
        while "new" not in self.pup.order:
            self.pup.end(next(iter(self.pup.waiting)))
            ends += 1
            self.pup.accept()
        self.assertLessEqual(ends, 4)
        self.call("Cancel", run=first, now=True)
        self.call("Cancel", run=second, now=True)
        self.wait(first)

    def test_slots_of_a_run(self):
        run = self.submit(self.puppet_jobs("a", "b", "c"), workers=2)
        self.assertEqual({self.pup.accept(), self.pup.accept()}, {"a", "b"})
        self.assertEqual(self.why(run, "c")[0]["what"], "slot")
        self.pup.end("a")
        self.assertEqual(self.pup.accept(), "c")
        self.pup.end("b")
        self.pup.end("c")
        self.assertEqual(self.wait(run)["exit"], 0)

    def test_hold_and_release(self):
        run = self.submit(self.puppet_jobs("a", "a/b", "a/c"))
        self.pup.accept()
        self.call("Hold", run=run, path="a/b")
        self.pup.end("a")
        self.assertEqual(self.pup.accept(), "a/c")
        self.assertEqual(self.why(run, "a/b")[0]["what"], "held")
        self.pup.end("a/c")
        self.call("Release", run=run, path="a/b")
        self.assertEqual(self.pup.accept(), "a/b")
        self.pup.end("a/b")
        self.wait(run)

    def test_pause_and_resume(self):
        run = self.submit(self.puppet_jobs("a", "b"), workers=1)
        self.pup.accept()
        self.call("Pause", run=run)
        self.pup.end("a")
        self.wait(run, "a")
        self.assertEqual(self.why(run, "b")[0]["what"], "paused")
        self.assertEqual(self.call("Get", run=run)["run"]["state"], "paused")
        self.call("Resume", run=run)
        self.assertEqual(self.pup.accept(), "b")
        self.pup.end("b")
        self.wait(run)

    def test_a_pause_is_over_with_its_run_and_holds_up_no_retry(self):
        run = self.submit(self.puppet_jobs("a"))
        self.pup.accept()
        self.call("Pause", run=run)
        self.pup.end("a", 1)
        self.wait(run)
        self.assertEqual(self.call("Retry", run=run)["n"], 1)
        self.assertEqual(self.pup.accept(), "a")
        self.pup.end("a")
        self.assertEqual(self.wait(run)["exit"], 0)

    def test_cancel_of_a_job_is_final(self):
        run = self.submit({"a": {"argv": self.pup.argv("a"), "retry": {"max": 5}}, "a/b": "true", "c": "true",
                           "end": {"shell": "true", "after": ["a"], "when": "finished"}})
        self.pup.accept()
        self.call("Cancel", run=run, path="a")
        self.assertEqual(self.wait(run)["exit"], 1)
        self.assertEqual(self.states(run), {"a": "cancelled", "a/b": "skipped", "c": "ok", "end": "ok"})

    def test_cancel_of_a_run_spares_finished_jobs_unless_now(self):
        jobs = self.puppet_jobs("a", "a/b")
        jobs["end"] = {"shell": "true", "after": ["a/"], "when": "finished"}
        run = self.submit(jobs)
        self.pup.accept()
        self.call("Cancel", run=run)
        self.wait(run)
        self.assertEqual(self.states(run), {"a": "cancelled", "a/b": "skipped", "end": "ok"})
        self.assertEqual(self.call("Get", run=run)["run"]["state"], "cancelled")
        run = self.submit(jobs)
        self.pup.accept()
        self.call("Cancel", run=run, now=True)
        self.wait(run)
        self.assertNotEqual(self.states(run)["end"], "ok")

    def test_deadline_ends_the_run_as_failed(self):
        for deadline_s in (0.2, 2, 20):         # that a starts before it may take a slow machine long
            run = self.submit({"a": "exec sleep 100", "a/b": "true"}, deadline_s=deadline_s)
            self.wait(run)
            if self.jobs(run)["a"]["attempts"]:
                break
        self.assertEqual(self.call("Get", run=run)["run"]["state"], "failed")
        self.assertEqual(self.states(run), {"a": "cancelled", "a/b": "skipped"})

    def test_retry_of_what_has_failed(self):
        flag = os.path.join(self.d.folder, "flag")
        run = self.submit({"a": "true", "a/b": "test -e %s" % flag, "a/b/c": "true", "a/~/d": "true"})
        self.assertEqual(self.wait(run)["exit"], 1)
        open(flag, "w", encoding="ascii").close()
        self.assertEqual(self.call("Retry", run=run)["n"], 3)
        self.assertEqual(self.wait(run)["exit"], 0)
        self.assertEqual({p: j["attempts"] for p, j in self.jobs(run).items()}, {"a": 1, "a/b": 2, "a/b/c": 1, "a/~/d": 1})

    def test_pacing(self):
        """However late a start is, the third one comes no earlier than two intervals after the run was submitted."""
        before = time.monotonic()
        run = self.submit({"a": "true", "b": "true", "c": "true"}, interval_s=0.15)
        self.wait(run)
        self.assertGreaterEqual(time.monotonic() - before, 0.3)

    def test_remove(self):
        run = self.submit({"a": "true"})
        self.wait(run)
        self.call("Remove", run=run)
        self.assertEqual(self.refusal("Get", run=run).name, "org.jobd.NoSuchRun")
        self.assertFalse(os.path.exists(os.path.join(self.d.state, "out", run)))


class Open(Case):
    def test_stream_starts_at_once_and_ends_with_the_seal(self):
        run = self.call("Open", mode="stream")["run"]
        self.call("Add", run=run, jobs=[{"path": "a", "argv": self.pup.argv("a")}, {"path": "a/~/z", "shell": "true"}])
        self.assertEqual(self.pup.accept(), "a")
        self.pup.end("a")
        self.wait(str(run), "a")
        self.call("Add", run=run, jobs=[{"path": "a/b", "shell": "true"}])
        self.wait(str(run), "a/b")
        self.assertEqual(self.why(str(run), "a/~/z")[0]["what"], "unsealed")
        self.assertEqual(self.refusal("Add", run=run, jobs=[{"path": "a", "shell": "true"}]).name, "org.jobd.Refused")
        self.call("Seal", run=run)
        self.assertEqual(self.wait(str(run))["exit"], 0)
        self.assertEqual(self.states(str(run)), {"a": "ok", "a/b": "ok", "a/~/z": "ok"})

    def test_bulk_is_invisible_until_sealed_and_goes_with_its_connection(self):
        other = varlink.Connection(self.d.socket, kit.PATIENCE)
        run = other.call("Open", mode="bulk")["run"]
        other.call("Add", run=run, jobs=[{"path": "a", "shell": "true"}])
        self.assertEqual(self.call("List")["runs"], [])
        other.close()
        run = self.call("Open", mode="bulk")["run"]
        self.call("Add", run=run, jobs=[{"path": "b/c", "shell": "true"}, {"path": "b", "shell": "true"}])
        self.call("Seal", run=run)
        self.wait(str(run))
        self.assertEqual([r["run"] for r in self.call("List")["runs"]], [run])

    def test_a_key_makes_a_submission_idempotent(self):
        jobs = [{"path": "a", "shell": "true"}, {"path": "b", "shell": "true"}]
        first = self.call("Submit", run={"key": "k", "workers": 2}, jobs=jobs)
        again = self.call("Submit", run={"workers": 2, "key": "k"}, jobs=jobs[::-1])
        self.assertEqual((again["run"], again["existing"]), (first["run"], True))
        bulk = self.call("Open", run={"key": "k", "workers": 2}, mode="bulk")["run"]
        self.call("Add", run=bulk, jobs=jobs)
        self.assertEqual(self.call("Seal", run=bulk), {"run": first["run"], "existing": True})
        self.assertEqual(self.refusal("Submit", run={"key": "k"}, jobs=jobs).name, "org.jobd.KeyConflict")
        self.d.kill()
        self.d.start()
        self.connect()
        self.assertTrue(self.call("Submit", run={"key": "k", "workers": 2}, jobs=jobs)["existing"])


class Waiting(Case):
    def test_a_wait_of_no_time_tells_what_has_ended(self):
        run = self.submit({"a": "exit 3", "b": {"argv": self.pup.argv("b")}}, workers=2)
        self.pup.accept()
        self.call("Wait", targets=[{"run": run, "path": "a"}])
        reply = self.call("Wait", targets=[{"run": run, "path": "a"}, {"run": run, "path": "b"}], timeout_s=0)
        self.assertEqual((False, ["a"], [3]), (reply["done"], [r["path"] for r in reply["results"]], [r["exit_code"] for r in reply["results"]]))
        self.assertTrue(self.call("Wait", targets=[{"run": run, "path": "a"}], timeout_s=0)["done"])
        self.pup.end("b")
        self.wait(run)
        reply = self.call("Wait", targets=[{"run": run}], timeout_s=0)
        self.assertEqual((True, "failed"), (reply["done"], reply["results"][0]["state"]))


class Restart(Case):
    def restart(self):
        self.d.kill()
        self.d.start()
        self.connect()

    def test_a_hold_while_it_backs_off_keeps_the_due_time(self):
        run = self.submit({"a": {"shell": "exit 1", "retry": {"max": 1, "min_s": 1000}}})
        view = puppets.View(self.d, run)
        self.addCleanup(view.close)
        view.until("retrying", "a")
        due = self.why(run, "a")[0]["due_at"]
        self.call("Hold", run=run, path="a")
        self.restart()
        self.call("Release", run=run, path="a")
        self.assertEqual("backoff", self.states(run)["a"])
        self.restart()
        why = self.why(run, "a")[0]
        self.assertEqual(("backoff", due[:16]), (why["what"], why["due_at"][:16]))

    def states_after_restart(self, run):
        """What may have begun is starting until the runner has told what it has; before that nothing of another run starts."""
        self.wait(self.submit({"first": "true"}))
        return self.states(run)

    def test_running_jobs_are_adopted_and_waiting_ones_wait(self):
        run = self.submit(self.puppet_jobs("a", "a/b", "c"), workers=1)
        self.pup.accept()
        self.restart()
        self.assertEqual(self.states_after_restart(run), {"a": "running", "a/b": "waiting", "c": "ready"})
        self.pup.end("a")
        self.assertEqual(self.pup.accept(), "a/b")
        self.restart()
        self.pup.end("a/b")
        self.assertEqual(self.pup.accept(), "c")
        self.pup.end("c")
        self.assertEqual(self.wait(run)["exit"], 0)
        self.assertEqual({j["attempts"] for j in self.jobs(run).values()}, {1})

    def test_an_end_while_jobd_is_away_is_not_lost(self):
        run = self.submit(self.puppet_jobs("a"))
        self.pup.accept()
        self.d.kill()
        self.pup.end("a", 7)
        self.d.start()
        self.connect()
        self.wait(run)
        self.assertEqual((self.jobs(run)["a"]["exit_code"], self.jobs(run)["a"]["attempts"]), (7, 1))

    def test_the_time_for_retries_begins_with_the_first_start_though_jobd_died_since(self):
        job = self.puppet_jobs("j", after=["first"], retry={"max": 1, "elapsed_s": 3600, "cap_s": 0, "max_s": 0})
        run = self.submit(dict(job, first="true"))
        self.pup.accept()
        self.d.kill()
        with contextlib.closing(sqlite3.connect(os.path.join(self.d.state, "jobd.db"))) as db, db:
            db.execute("UPDATE runs SET submitted_at = submitted_at - 7200000000")       # it waited for long before it began
        self.d.start()
        self.connect()
        self.pup.end("j", 1)
        self.assertEqual(self.pup.accept(), "j")
        self.pup.end("j")
        self.wait(run)
        self.assertEqual((self.jobs(run)["j"]["state"], self.jobs(run)["j"]["attempts"]), ("ok", 2))

    def test_a_stopped_stream_is_sealed_also_for_a_retry_after_a_restart(self):
        run = self.call("Open", mode="stream")["run"]
        self.call("Add", run=run, jobs=[dict(self.puppet_jobs("a")["a"], path="a", on_error="stop")])
        self.pup.accept()
        self.pup.end("a", 1)
        self.wait(str(run))
        self.restart()
        self.call("Retry", run=str(run))
        self.pup.accept()
        self.assertEqual(self.call("List")["runs"][0]["state"], "running")
        self.assertEqual(self.refusal("Add", run=run, jobs=[{"path": "b", "shell": "true"}]).name, "org.jobd.Refused")
        self.pup.end("a")
        self.assertEqual(self.wait(str(run))["exit"], 0)

    def test_an_end_whose_consequences_were_not_recorded_has_them_after_a_restart(self):
        run = self.submit({"a": "exit 3", "a/b": "true", "end": {"shell": "true", "after": ["a/"], "when": "finished"}})
        self.wait(run)
        self.d.stop()
        with contextlib.closing(sqlite3.connect(os.path.join(self.d.state, "jobd.db"))) as db:
            db.execute("DELETE FROM states WHERE id IN (SELECT id FROM jobs WHERE path IN ('a/b', 'end'))")
            db.execute("UPDATE runs SET state = 2, ended_at = 0")
            db.commit()
        self.d.start()
        self.connect()
        self.wait(run)
        self.assertEqual(self.states(run), {"a": "failed", "a/b": "skipped", "end": "ok"})

    def test_a_cancel_is_not_forgotten(self):
        run = self.submit({"a": {"argv": ["/bin/sh", "-c", "trap '' TERM; echo up; while :; do sleep 1000; done"], "grace_s": 1,
                                 "retry": {"max": 3}}})
        follow = varlink.Connection(self.d.socket, kit.PATIENCE)
        follow.send("org.jobd.Logs", {"run": run, "path": "a", "stream": "out", "follow": True}, more=True)
        while not follow.receive()["parameters"]["data_b64"]:
            pass
        follow.close()
        self.call("Cancel", run=run, path="a")
        self.restart()
        self.wait(run)
        self.assertEqual(self.jobs(run)["a"]["state"], "cancelled")

    def test_what_a_cancel_spares_is_spared_after_a_restart_too(self):
        run = self.submit(dict(self.puppet_jobs("a", "a/b"), end=dict(self.puppet_jobs("end")["end"], after=["a/"], when="finished")))
        self.pup.accept()
        self.call("Cancel", run=run)
        self.assertEqual(self.pup.accept(), "end")
        self.restart()
        self.pup.end("end")
        self.wait(run)
        self.assertEqual(self.states(run), {"a": "cancelled", "a/b": "skipped", "end": "ok"})
        self.assertEqual(self.call("Get", run=run)["run"]["state"], "cancelled")

    def test_a_deadline_passes_while_jobd_is_away(self):
        run = self.submit(self.puppet_jobs("a", "a/b"), deadline_s=3)
        self.pup.accept()
        self.d.kill()
        with self.assertRaises(ConnectionRefusedError):
            varlink.Connection(self.d.socket)
        self.d.start()
        self.connect()
        self.wait(run)
        self.assertEqual(self.states(run), {"a": "cancelled", "a/b": "skipped"})
        self.assertEqual(self.call("Get", run=run)["run"]["state"], "failed")

    def test_a_shutdown_that_is_asked_for_twice_answers_both(self):
        self.submit(self.puppet_jobs("a"))
        self.pup.accept()
        first, second = (varlink.Connection(self.d.socket, kit.PATIENCE) for _ in range(2))
        first.send("org.jobd.Shutdown", {"mode": "drain"})
        second.send("org.jobd.Shutdown", {"mode": "kill"})
        self.assertEqual([conn.receive()["parameters"]["running"] for conn in (first, second)], [0, 0])
        first.close()
        second.close()
        self.d.gone()
        self.d.start()
        self.connect()

    def test_holds_pauses_and_retry_times_survive(self):
        run = self.submit({"a": {"shell": "exit 1", "retry": {"max": 1, "min_s": 3600, "cap_s": 3600, "max_s": 3600}},
                           "h": self.puppet_jobs("h")["h"], "h/x": "true"})
        view = puppets.View(self.d, run)
        view.until("retrying", "a")
        view.close()
        self.pup.accept()
        self.call("Hold", run=run, path="h/x")
        self.call("Pause", run=run)
        self.restart()
        self.assertEqual(self.states_after_restart(run), {"a": "backoff", "h": "running", "h/x": "held"})
        due = self.why(run, "a")[0]
        self.assertEqual(due["what"], "backoff")
        self.assertGreater(due["due_at"], time.strftime("%Y-%m-%dT%H:%M", time.gmtime(time.time() + 3000)))
        self.pup.end("h")
        self.call("Cancel", run=run, now=True)
        self.wait(run)

    def test_a_lost_runner_makes_attempts_lost_and_they_are_tried_again(self):
        run = self.submit(dict(self.puppet_jobs("a"), **{"f": dict(self.puppet_jobs("f")["f"], on_lost="fail"),
                                                         "g": dict(self.puppet_jobs("g")["g"], on_lost="hold")}), workers=3)
        self.assertEqual({self.pup.accept() for _ in range(3)}, {"a", "f", "g"})
        view = puppets.View(self.d, run)
        for _ in range(3):
            view.until("started")
        view.close()
        os.kill(self.call("Stats")["runner_pid"], signal.SIGKILL)
        self.assertEqual(self.pup.accept(), "a")
        self.pup.end("a")
        self.wait(run, "a")
        self.wait(run, "f")
        self.assertEqual({p: (j["state"], j["reason"], j["attempts"]) for p, j in self.jobs(run).items()},
                         {"a": ("ok", "exit", 2), "f": ("lost", "lost", 1), "g": ("held", "lost", 1)})
        self.call("Release", run=run, path="g")
        self.assertEqual(self.pup.accept(), "g")
        self.pup.end("g")
        self.wait(run)

    def test_show_says_what_holds_the_processes_of_a_job(self):
        run = self.submit({"j": "true"})
        self.wait(run)
        caged = os.path.exists(os.path.join(self.d.state, "runner.sock.cgroup"))
        self.assertEqual(self.call("Get", run=run, path="j")["containment"], "control group" if caged else "subreaper and session")

    def test_nothing_of_a_lost_attempt_runs_when_the_next_one_begins(self):
        lock, fifo = os.path.join(self.d.folder, "lock"), os.path.join(self.d.folder, "holds")
        os.mkfifo(fifo)
        run = self.submit({"a": "exec 9>%s; flock -n 9 || exit 5; [ $JOBD_ATTEMPT = 1 ] || exit 0; "
                                "setsid -f sleep 1000; echo >%s; sleep 1000" % (lock, fifo)})
        with open(fifo, encoding="utf-8") as f:
            f.read()
        os.kill(self.call("Stats")["runner_pid"], signal.SIGKILL)
        self.wait(run)
        job = self.jobs(run)["a"]
        self.assertEqual((job["state"], job["attempts"]), ("ok", 2))

    def end_unacknowledged(self, jobd_pid, name, status):
        """The runner has told an end, to us; the stopped jobd has not heard of it."""
        os.kill(jobd_pid, signal.SIGSTOP)
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as runner:
            runner.settimeout(kit.PATIENCE)
            runner.connect(os.path.join(self.d.state, "runner.sock"))
            runner.send(struct.pack("<BBHIIIQ", 1, 0, 0, 16, 1, 0, 0))      # HELLO
            self.pup.end(name, status)
            ended = 0
            while not ended:
                packet = runner.recv(65536)
                self.assertTrue(packet, "the runner hangs up: the stopped jobd has it")
                while packet:
                    kind, length = struct.unpack_from("<BxxxI", packet)
                    ended += kind == 7
                    packet = packet[8 + length:]

    def test_an_end_that_a_dead_runner_had_seen_is_recorded_and_not_lost(self):
        for how in ("jobd lives", "jobd dies as well"):
            with self.subTest(how):
                run = self.submit(self.puppet_jobs("a", on_lost="fail"))
                self.pup.accept()
                view = puppets.View(self.d, run)
                view.until("started")
                view.close()
                runner = self.call("Stats")["runner_pid"]
                self.end_unacknowledged(self.d.process.pid, "a", 7)
                os.kill(runner, signal.SIGKILL)
                if how == "jobd lives":
                    os.kill(self.d.process.pid, signal.SIGCONT)
                else:
                    self.d.kill()
                    self.d.start()
                    self.connect()
                self.wait(run)
                job = self.jobs(run)["a"]
                self.assertEqual((job["state"], job["reason"], job["exit_code"], job["attempts"]), ("failed", "exit", 7, 1))
                self.assertNotEqual(self.call("Stats")["runner_pid"], runner)

    def test_shutdown_leaves_running_jobs_and_drain_waits_for_them(self):
        run = self.submit(self.puppet_jobs("a", "a/b"))
        self.pup.accept()
        self.assertEqual(self.d.stop(), 0)
        self.d.start()
        self.connect()
        self.conn.send("org.jobd.Shutdown", {"mode": "drain"})
        with varlink.Connection(self.d.socket, kit.PATIENCE) as other:
            while other.call("Stats")["state"] != "stopping":
                pass
        self.pup.end("a")
        self.assertEqual(self.conn.receive()["parameters"]["running"], 0)
        self.d.gone()
        self.d.start()
        self.connect()
        self.assertEqual(self.pup.accept(), "a/b")
        self.pup.end("a/b")
        self.assertEqual(self.wait(run)["exit"], 0)


if __name__ == "__main__":
    unittest.main()
