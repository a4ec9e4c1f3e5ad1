#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A full disk is back-pressure: submissions are refused by name, nothing is started, what runs goes on and its end is recorded, and it is over when
there is room, without a restart. On small file systems in a mount namespace of the test's own."""
import os
import select
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "e2e")]
import disk
import kit
import puppets
import smallfs
import told
import varlink


class DiskFull(unittest.TestCase):
    def setUp(self):
        self.folder = self.enterContext(kit.temporary_folder())
        self.told = told.Told(self.folder)
        self.addCleanup(self.told.close)
        self.pup = puppets.Puppets(self.folder)
        self.addCleanup(self.pup.close)

    def start(self, size, slots=2, out=None):
        self.disk = self.enterContext(smallfs.Small(size))
        if out:
            os.makedirs(os.path.join(self.disk.path, "state", "out"), 0o700)
            disk.mount("none", os.path.join(self.disk.path, "state", "out"), "tmpfs", 0, out)
            self.addCleanup(disk.call, "umount2", os.path.join(self.disk.path, "state", "out"), smallfs.MNT_DETACH)
        self.d = kit.Daemon(folder=self.disk.path, config="slots = %d\n" % slots, env=self.told.env).start()
        self.addCleanup(self.d.__exit__, None)
        self.addCleanup(lambda: self._outcome.success or print(self.d.said()))
        self.connect()

    def connect(self):
        self.conn = varlink.Connection(self.d.socket, kit.PATIENCE)
        self.addCleanup(self.conn.close)

    def submit(self, jobs, **run):
        listed = [dict({"shell": v} if isinstance(v, str) else v, path=k) for k, v in jobs.items()]
        return str(self.conn.call("Submit", run=run, jobs=listed)["run"])

    def refused(self, jobs):
        with self.assertRaises(varlink.Error) as caught:
            self.submit(jobs)
        self.assertEqual("org.jobd.DiskFull", caught.exception.name)
        self.assertIn("disk full", caught.exception.parameters["message"])

    def wait(self, run, path=None):
        target = {"run": run} if path is None else {"run": run, "path": path}
        reply = self.conn.call("Wait", targets=[target], timeout_s=kit.PATIENCE - 5)
        self.assertTrue(reply["done"], "run %s does not end" % run)
        return reply["results"][0]

    def stats(self):
        return self.conn.call("Stats")

    def test_full_disk_is_back_pressure(self):
        self.start("8m")
        run = self.submit({p: {"argv": self.pup.argv(p)} for p in ("a", "b", "c")})
        self.assertEqual({"a", "b"}, {self.pup.accept(), self.pup.accept()})
        self.disk.fill()
        self.refused({"x": "true"})
        self.pup.end("a", 7)
        self.told.degraded("disk full")
        self.assertEqual(7, self.wait(run, "a")["exit_code"], "the ballast makes room for the end of what runs")
        stats = self.stats()
        self.assertEqual("degraded", stats["state"])
        self.assertEqual("disk-full", stats["troubles"][0]["what"])
        shown = self.d.jobctl("status", check=True).stdout
        self.assertIn("degraded", shown)
        self.assertIn("disk full", shown)
        done = self.d.jobctl("submit", "-", text="x: true\n")
        self.assertEqual(7, done.returncode)
        self.assertIn("disk full", done.stderr)
        self.disk.free()
        self.told.well()
        self.assertEqual("c", self.pup.accept(), "it goes on by itself")
        self.pup.end("b")
        self.pup.end("c")
        self.assertEqual("failed", self.wait(run)["state"])
        self.assertEqual("ok", self.wait(self.submit({"x": "true"}))["state"])
        self.assertEqual(1, self.d.said().count("error: degraded"), "told once")

    def test_a_full_disk_that_nothing_was_written_to_is_told(self):
        self.start("8m")
        self.assertEqual("ok", self.wait(self.submit({"x": "true"}))["state"], "the runner is there, and on record")
        self.assertEqual([], self.stats()["troubles"])
        self.disk.fill()
        self.assertEqual(["low-disk"], [t["what"] for t in self.stats()["troubles"]], "before anybody submits")
        self.assertIn("submissions are refused", self.d.jobctl("status", check=True).stdout)
        self.assertIn("hardly any room", self.told.degraded())
        self.refused({"x": "true"})
        self.disk.free()
        self.told.well()
        self.assertEqual([], self.stats()["troubles"])
        self.assertEqual("ok", self.wait(self.submit({"x": "true"}))["state"])
        self.assertEqual(1, self.d.said().count("degraded: "), "told once")

    def test_little_room_holds_no_start_up(self):
        self.start("8m", slots=1)
        run = self.submit({p: {"argv": self.pup.argv(p)} for p in ("a", "b")})
        self.pup.accept()
        self.disk.fill(but=96 << 10)
        self.assertEqual(["low-disk"], [t["what"] for t in self.stats()["troubles"]])
        self.pup.end("a")
        self.assertEqual("b", self.pup.accept())
        self.pup.end("b")
        self.assertEqual("ok", self.wait(run)["state"])

    def test_a_tiny_disk_is_filled_by_what_is_submitted_and_goes_on_when_it_grows(self):
        self.start("1m")
        hold = self.submit({"hold": {"argv": self.pup.argv("hold")}, "hold/after": "true"})
        self.pup.accept()
        runs = [hold]
        with self.assertRaises(varlink.Error) as caught:
            while True:
                runs.append(self.submit({"j%d" % i: "true" for i in range(20)}))
        self.assertEqual("org.jobd.DiskFull", caught.exception.name)
        self.assertGreater(len(runs), 5)
        self.pup.end("hold")
        self.assertIn("state", self.stats())
        self.disk.resize("64m")
        for run in runs:
            self.assertEqual("ok", self.wait(run)["state"])
        self.assertEqual(0, self.d.stop())
        self.d.start()
        self.assertEqual({"ok"}, {row["state"] for row in self.d.listed()})

    def test_it_stops_although_nothing_can_be_recorded(self):
        self.start("2m")
        run = self.submit({p: {"argv": self.pup.argv(p)} for p in ("a", "b")})
        self.pup.accept(), self.pup.accept()
        self.disk.fill()
        os.unlink(os.path.join(self.d.state, "ballast"))
        self.disk.fill()
        self.pup.end("a", 3)
        self.told.degraded("disk full")
        self.assertEqual(0, self.d.stop())
        self.disk.free()
        self.d.start()
        self.connect()
        self.assertEqual(3, self.wait(run, "a")["exit_code"], "the runner has kept it")
        self.pup.end("b")
        self.assertEqual("failed", self.wait(run)["state"])

    def test_a_watch_tells_nothing_that_is_not_on_record(self):
        self.start("8m")
        jobs = {"a/%d" % i: "true" for i in range(2000)}        # what becomes of them when a fails has no room anywhere
        run = self.submit({"a": {"argv": self.pup.argv("a")}, **jobs})
        self.pup.accept()
        self.assertEqual(0, self.d.stop())
        self.d.start()                                          # with a log that has no room of its own
        self.connect()
        self.disk.fill()
        os.unlink(os.path.join(self.d.state, "ballast"))
        self.disk.fill()
        self.pup.end("a", 1)
        self.told.degraded("disk full")
        fresh, of_run, other = (self.enterContext(varlink.Connection(self.d.socket, kit.PATIENCE)) for _ in range(3))
        fresh.send("org.jobd.Watch")
        of_run.send("org.jobd.Watch", {"run": run, "since": 0}, more=True)
        self.stats(), self.stats()                              # both have been read by now
        recorded = other.call("Watch", since=0)
        self.assertNotIn("ended", [event["kind"] for event in recorded["events"]], "this is answered, behind them")
        self.assertEqual([], select.select([fresh.sock, of_run.sock], [], [], 0)[0])
        self.disk.free()
        last = fresh.receive()["parameters"]["last"]
        seen = of_run.receive()["parameters"]
        while seen["events"][-1]["kind"] != "run-ended":
            seen = of_run.receive()["parameters"]
        self.assertEqual(last, seen["last"], "what was counted is on record")
        self.assertGreater(last, recorded["last"])

    def test_outputs_that_can_not_be_made_hold_jobs_up(self):
        self.start("8m", out="size=1m,nr_inodes=5")       # the root, that of spare files, a run's, two files
        run = self.submit({"a": {"argv": self.pup.argv("a")}, "b": {"argv": self.pup.argv("b")}})
        self.assertEqual("a", self.pup.accept())
        self.assertIn("files for outputs cannot be made", self.told.degraded())
        self.assertEqual("outputs", self.stats()["troubles"][0]["what"])
        self.assertEqual("trouble", self.conn.call("Explain", run=run, path="b")["reasons"][0]["what"])
        self.pup.end("a")
        self.told.well()
        self.assertEqual("b", self.pup.accept())
        self.pup.end("b")
        self.assertEqual("ok", self.wait(run)["state"])
        job = self.conn.call("Get", run=run, path="b")
        self.assertEqual(1, job["job"]["attempts"], "no attempt was spent on it")

    def submit_when_well(self, jobs, **run):
        """There is room, but jobd may not have found it yet: it says so when it has."""
        while True:
            try:
                return self.submit(jobs, **run)
            except varlink.Error as refused:
                self.assertIn("DiskFull", str(refused))
                self.told.well()

    def test_episodes(self):
        self.start("6m", slots=4)
        for i in range(10):
            run = self.submit_when_well({"j%02d" % j: "exit %d" % (j % 2) for j in range(30)}, on_error="ignore")
            self.disk.fill(but=i * 8192)
            self.disk.free()
            self.wait(run)
            rows = self.conn.call("List", run=run)["jobs"]
            self.assertEqual([j % 2 for j in range(30)], [row["exit_code"] for row in rows])
            self.assertEqual([1] * 30, [row["attempts"] for row in rows])


if __name__ == "__main__":
    smallfs.own_mounts()
    unittest.main()
