# SPDX-License-Identifier: MIT
# timeout: 200
"""Many at once: submissions of one key, watchers that lag, replies too large for one, runs that are not in memory any more."""
import signal
import unittest

import kit
import varlink
from case import Case

PIECE = 2 << 20         # more than any reply of a page is


class Crowd(Case):
    def another(self):
        conn = varlink.Connection(self.d.socket, kit.PATIENCE)
        self.addCleanup(conn.close)
        return conn

    def events(self, conn):
        """All that a watcher of one run is told; replies that are too large fail."""
        events, more = [], True
        while more:
            while b"\0" not in conn.buffer:
                self.assertLess(len(conn.buffer), PIECE)
                conn.buffer += conn.sock.recv(1 << 20)
            reply = conn.receive()
            events += reply["parameters"]["events"]
            more = reply.get("continues")
        self.assertEqual([e["seq"] for e in events], sorted({e["seq"] for e in events}))
        return events

    def bulk(self, paths, shell="true"):
        run = self.call("Open", mode="bulk")["run"]
        n = 500000 // (len(paths[-1]) + 50)
        for i in range(0, len(paths), n):
            self.call("Add", run=run, jobs=[{"path": p, "shell": shell} for p in paths[i:i + n]])
        self.assertEqual(self.call("Seal", run=run)["run"], run)
        return str(run)

    def test_a_thousand_submissions_of_one_key_are_one_run(self):
        conns = [self.another() for _ in range(20)]
        jobs = [{"path": "a", "shell": "true"}]
        for _ in range(50):
            for conn in conns:
                conn.send("org.jobd.Submit", {"run": {"key": "k"}, "jobs": jobs})
        replies = [conn.receive()["parameters"] for conn in conns for _ in range(50)]
        self.assertEqual(len({r["run"] for r in replies}), 1)
        self.assertEqual(sum(not r["existing"] for r in replies), 1)
        self.assertEqual(len(self.call("List")["runs"]), 1)

    def test_bulks_of_one_key_that_are_sealed_at_once_are_one_run(self):
        conns = [self.another() for _ in range(8)]
        for conn in conns:
            run = conn.call("Open", mode="bulk", run={"key": "k"})["run"]
            conn.call("Add", run=run, jobs=[{"path": "a", "shell": "true"}])
            conn.send("org.jobd.Seal", {"run": run})
        replies = [conn.receive()["parameters"] for conn in conns]
        self.assertEqual((len({r["run"] for r in replies}), sum(not r["existing"] for r in replies)), (1, 1))

    def test_opening_a_stream_again_finds_it_whatever_was_added(self):
        first = self.call("Open", mode="stream", run={"key": "k"})["run"]
        again = {"run": first, "existing": True}
        self.call("Add", run=first, jobs=[{"path": "a", "shell": "true"}])
        self.assertEqual(self.call("Open", mode="stream", run={"key": "k"}), again)
        self.call("Seal", run=first)
        self.wait(str(first))
        self.d.kill()
        self.d.start()
        self.connect()
        self.assertEqual(self.call("Open", mode="stream", run={"key": "k"}), again)
        self.assertEqual(self.refusal("Open", mode="stream", run={"key": "k", "workers": 7}).name, "org.jobd.KeyConflict")

    def test_a_key_is_free_when_its_run_is_being_removed(self):
        jobs = [{"path": "a", "shell": "true"}]
        old = self.call("Submit", run={"key": "k"}, jobs=jobs)["run"]
        self.wait(str(old))
        self.conn.send("org.jobd.Remove", {"run": str(old)})
        self.conn.send("org.jobd.Submit", {"run": {"key": "k"}, "jobs": jobs})
        self.assertEqual(self.conn.receive()["parameters"]["run"], old)
        new = self.conn.receive()["parameters"]
        self.assertFalse(new["existing"])
        self.assertEqual(self.wait(str(new["run"]))["exit"], 0)

    def test_a_slow_watcher_catches_up_with_a_failure_that_takes_200000_jobs_along(self):
        slow = self.another()
        children = ["a/%06d" % i for i in range(200000)]
        run = self.bulk(["a"] + children, "exit 3")
        slow.send("org.jobd.Watch", {"run": run, "since": 0}, more=True)
        self.assertEqual(self.wait(run)["exit"], 1)
        counts = self.call("Get", run=run)["run"]["counts"]
        self.assertEqual((counts["failed"], counts["skipped"], counts["total"]), (1, 200000, 200001))
        events = self.events(slow)
        self.assertEqual(sorted(e["path"] for e in events if e["kind"] == "skipped"), children)
        self.assertEqual([e["kind"] for e in events if e["kind"] != "skipped"], ["submitted", "started", "ended", "run-ended"])

    def test_pages_of_long_paths_are_small_and_complete(self):
        paths = ["%s/%04d" % ("x" * 4000, i) for i in range(1500)]
        run = self.bulk(["x" * 4000] + paths, "exit 3")
        self.wait(run)
        seen, cursor = [], None
        while True:
            self.conn.send("org.jobd.List", {"run": run, "limit": 5000, "cursor": cursor} if cursor else {"run": run, "limit": 5000})
            while b"\0" not in self.conn.buffer:
                self.assertLess(len(self.conn.buffer), PIECE)
                self.conn.buffer += self.conn.sock.recv(1 << 20)
            page = self.conn.receive()["parameters"]
            seen += [j["path"] for j in page["jobs"]]
            cursor = page["next"]
            if cursor is None:
                break
        self.assertEqual(seen, ["x" * 4000] + paths)
        conn = self.another()
        conn.send("org.jobd.Watch", {"run": run, "since": 0}, more=True)
        self.assertEqual(sum(e["kind"] == "skipped" for e in self.events(conn)), 1500)

    def test_a_message_about_a_long_name_is_whole(self):
        run = self.submit({"a": "true"})
        error = self.refusal("Cancel", run=run, path="\u00e4" * 2000)
        self.assertEqual(error.name, "org.jobd.NoSuchJob" if "NoSuchJob" in error.name else "org.jobd.WrongState")
        self.wait(run)
        error = self.refusal("Get", run=run, path="x" + "\u00e4" * 2000)
        self.assertIn("\u00e4\u00e4", error.parameters["message"])
        self.assertIn("\u00e4\u00e4", error.parameters["path"])

    def test_calls_about_a_run_that_is_being_removed_are_answered(self):
        run = self.submit({"a": "true"})
        self.wait(run)
        self.d.kill()           # then its jobs are not in memory
        self.d.start()
        self.connect()
        calls = ("List", {"run": run}), ("Get", {"run": run, "path": "a"}), ("Retry", {"run": run}), ("Remove", {"run": run}), \
                ("Watch", {"since": 0}), ("Explain", {"run": run, "path": "a"}), ("Wait", {"targets": [{"run": run, "path": "a"}]})
        for method, parameters in calls:
            self.conn.send("org.jobd." + method, parameters)
        answers = []
        for _ in calls:
            try:
                self.conn.receive()
                answers.append("")
            except varlink.Error as e:
                answers.append(e.name)
        self.assertEqual(answers[3:5], ["", ""])
        self.assertEqual(answers[5:], ["org.jobd.NoSuchRun"] * 2)

    def test_a_watcher_of_more_runs_than_are_in_memory_is_told_every_path(self):
        blocker = self.submit(self.puppet_jobs(*"abcd"), workers=4)
        for _ in range(4):
            self.pup.accept()
        runs = [self.submit(self.puppet_jobs("j%03d" % i)) for i in range(300)]
        with open(self.d.config, "w", encoding="utf-8") as f:
            f.write("slots = 310\nlog_level = warning\n")
        self.d.process.send_signal(signal.SIGHUP)
        for _ in runs:
            self.pup.accept()   # all at once: their events stand side by side
        for name in list(self.pup.waiting):
            self.pup.end(name)
        for run in [blocker] + runs:
            self.wait(run)
        since, events = 0, []
        while True:
            page = self.call("Watch", since=since)
            if not page["events"]:
                break
            events += page["events"]
            since = page["last"]
        self.assertEqual([e for e in events if e["kind"] in ("started", "ended") and not e.get("path")], [])
        self.assertEqual(sum(e["kind"] == "ended" for e in events), 304)

    def test_a_client_that_does_not_read_keeps_nobody_from_ending(self):
        run = self.bulk(["a"] + ["a/%05d" % i for i in range(50000)], "exit 3")
        self.wait(run)
        lazy = self.another()
        lazy.send("org.jobd.Watch", {"run": run, "since": 0}, more=True)
        lazy.sock.recv(1, 0)    # it has begun
        for _ in range(20):
            self.conn.send("org.jobd.List", {"run": run})
        self.assertEqual(self.d.stop(), 0)
        self.d.start()
        self.connect()


if __name__ == "__main__":
    unittest.main()
