# SPDX-License-Identifier: MIT
"""What one user may have at once: connections, queued jobs, bytes of them. Who is at the cap is told so; others are served."""
import os
import subprocess
import sys
import unittest

import kit
import maps
import people
import varlink
from case import Case


class Quota(Case):
    config = "slots = 4\nlog_level = warning\nsocket_mode = 0666\nmax_sessions_per_uid = 8\nmax_sessions = 20\nmax_jobs_per_uid = 10\nmax_bytes_per_uid = 4096\n"

    def setUp(self):
        super().setUp()
        os.chmod(self.d.folder, 0o755)
        self.owner, self.other = (self.connect_as(who) for who in (people.OWNER, people.OTHER))

    def connect_as(self, who):
        conn = people.connect_as(self.d.socket, who.pw_uid, who.pw_gid)
        self.addCleanup(conn.close)
        return conn

    def restart(self):
        self.d.kill()
        self.d.start()
        self.connect()
        self.owner, self.other = (self.connect_as(who) for who in (people.OWNER, people.OTHER))

    def submit_as(self, conn, n, shell="true", **run):
        return conn.call("Submit", run=run, jobs=[{"path": "j%d" % i, "shell": shell} for i in range(n)])["run"]

    def queued(self, conn, n):
        """n jobs that stay queued: behind a barrier that does not open before the stream is sealed."""
        run = conn.call("Open", mode="stream")["run"]
        conn.call("Add", run=run, jobs=[{"path": "d/~/j%d" % i, "shell": "true"} for i in range(n)])
        return run

    def error_of(self, conn, method, **parameters):
        with self.assertRaises(varlink.Error) as caught:
            conn.call(method, **parameters)
        return caught.exception

    def refused(self, conn, n, **more):
        return self.error_of(conn, "Submit", jobs=[dict({"path": "j%d" % i, "shell": "true"}, **more) for i in range(n)])

    def test_a_map_counts_what_it_has_in_hand(self):
        m = maps.MapClient(None, ["true"], slots=2, window=8, wire=self.connect_as(people.OWNER))
        m.put(*[b"%d" % i for i in range(8)])
        for i in range(8, 60):
            m.delivered(m.next_ended()["tag"])
            m.put(b"%d" % i)
        m.all_ended(8)
        self.submit_as(self.owner, 10)

    def test_an_item_too_many_ends_its_map(self):
        self.queued(self.owner, 9)
        m = maps.MapClient(None, ["sleep", "1000"], slots=1, window=8, wire=self.connect_as(people.OWNER))
        m.put(b"a")
        m.put(b"b")
        with self.assertRaisesRegex(varlink.Error, "Busy: the queue of user %d is full" % people.OWNER.pw_uid):
            while True:
                m.hear()

    def test_connections_of_one_user(self):
        conns = [self.connect_as(people.OWNER) for _ in range(7)]
        conns[-1].call("Stats")
        late = self.connect_as(people.OWNER)
        with self.assertRaises(varlink.Error) as caught:
            late.receive()
        self.assertEqual(caught.exception.name, "org.jobd.Busy")
        self.assertIn("has 8 connections already", str(caught.exception))
        self.other.call("Stats")
        conns[0].close()
        self.owner.call("Stats")
        said = subprocess.run(["setpriv", "--reuid=%d" % people.OWNER.pw_uid, "--clear-groups", kit.JOBCTL, "--socket", self.d.socket, "status"],
                              capture_output=True, text=True, check=False)
        self.assertEqual((said.returncode, said.stderr), (0, ""))

    def test_jobctl_says_that_there_are_too_many_connections(self):
        for _ in range(7):
            self.connect_as(people.OWNER).call("Stats")
        said = subprocess.run(["setpriv", "--reuid=%d" % people.OWNER.pw_uid, "--clear-groups", kit.JOBCTL, "--socket", self.d.socket, "ls"],
                              capture_output=True, text=True, check=False)
        self.assertEqual(said.returncode, 7)
        self.assertIn("has 8 connections already (max_sessions_per_uid)", said.stderr)

    def test_connections_of_all(self):
        users = [self.connect_as(who) for who in (people.OWNER, people.OTHER) for _ in range(7)] + [self.connect_as(people.ADMIN) for _ in range(3)]
        users[-1].call("Stats")
        late = self.connect_as(people.ADMIN)
        with self.assertRaises(varlink.Error) as caught:
            late.receive()
        self.assertIn("there are 20 connections already", str(caught.exception))
        with varlink.Connection(self.d.socket, kit.PATIENCE) as root:
            root.call("Stats")

    def test_queued_jobs_of_one_user(self):
        first = self.queued(self.owner, 7)
        error = self.refused(self.owner, 4)
        self.assertEqual(error.name, "org.jobd.Busy")
        self.assertIn("7 jobs that have not ended, at most 10 (max_jobs_per_uid in jobd.conf)", str(error))
        self.submit_as(self.other, 4)
        self.queued(self.owner, 3)
        self.assertEqual(self.refused(self.owner, 1).name, "org.jobd.Busy")
        self.assertEqual(self.error_of(self.owner, "Add", run=first, jobs=[{"path": "x", "shell": "true"}]).name, "org.jobd.Busy")
        self.owner.call("Cancel", run=str(first))
        self.wait(str(first))
        self.wait(str(self.submit_as(self.owner, 7)))

    def test_more_at_once_than_ever_fit_is_refused_for_good(self):
        error = self.refused(self.owner, 11)
        self.assertEqual((error.name, error.parameters["field"]), ("org.jobd.Refused", "jobs"))
        self.assertIn("11 jobs at once", str(error))
        self.submit_as(self.conn, 11)           # root

    def test_bytes_of_one_user(self):
        self.assertEqual(self.refused(self.owner, 1, env={"A": "x" * 5000}).name, "org.jobd.Refused")
        self.owner.call("Add", run=self.owner.call("Open", mode="stream")["run"], jobs=[{"path": "a/~/b", "shell": "true", "env": {"A": "x" * 3000}}])
        error = self.refused(self.owner, 1, env={"A": "x" * 1500})
        self.assertEqual(error.name, "org.jobd.Busy")
        self.assertIn("(max_bytes_per_uid in jobd.conf)", str(error))
        self.submit_as(self.owner, 1)

    def test_bulks_count_and_stop_counting_when_they_are_left(self):
        half = self.connect_as(people.OWNER)
        run = half.call("Open", mode="bulk")["run"]
        half.call("Add", run=run, jobs=[{"path": "j%d" % i, "shell": "true"} for i in range(9)])
        self.assertEqual(self.refused(self.owner, 2).name, "org.jobd.Busy")
        half.close()
        self.wait(str(self.submit_as(self.owner, 10)))

    def test_what_has_ended_within_a_stream_does_not_count(self):
        run = self.owner.call("Open", mode="stream")["run"]
        for k in range(5):
            self.owner.call("Add", run=run, jobs=[{"path": "k%d/j%d" % (k, i), "shell": "true"} for i in range(10)])
            for i in range(10):
                self.owner.call("Wait", targets=[{"run": str(run), "path": "k%d/j%d" % (k, i)}])

    def test_a_restart_and_a_retry_count_again(self):
        self.queued(self.owner, 8)
        failed = self.submit_as(self.owner, 2, "exit 1")
        self.wait(str(failed))
        self.restart()
        self.assertEqual(self.refused(self.owner, 3).name, "org.jobd.Busy")
        self.wait(str(self.submit_as(self.owner, 2)))
        self.owner.call("Retry", run=str(failed))
        self.wait(str(failed))
        self.wait(str(self.submit_as(self.owner, 2)))


if __name__ == "__main__":
    if os.geteuid() != 0:
        print("SKIP: needs root")
        sys.exit(77)
    unittest.main()
