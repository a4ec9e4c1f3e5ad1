# SPDX-License-Identifier: MIT
"""A request whose operations are committed one by one, with a kill before each of the commits: what was not answered is repeated, and nothing is
missing. Under load the store may cut its batches anywhere."""
import os
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "e2e"))
import failpoints
import kit
import varlink

ONE_BY_ONE = "after_execute:delay=25ms"         # longer than a batch may last
OPTIONS = {"name": "n", "key": "k"}
JOBS = [{"path": path, "argv": ["true"]} for path in ("a", "a/b", "c", "c/~/d")]
PARTS = [JOBS[:2], JOBS[2:]]


def patiently(conn, method, **params):
    """What was done before its answer was lost is not there to be done again."""
    try:
        conn.call(method, **params)
    except varlink.Error as error:
        if not error.name.endswith((".WrongState", ".Refused")):
            raise


def whole(conn):
    conn.call("Submit", run=OPTIONS, jobs=JOBS)


def bulk(conn):
    run = conn.call("Open", run=OPTIONS, mode="bulk")["run"]
    for part in PARTS:
        conn.call("Add", run=run, jobs=part)
    conn.call("Seal", run=run)


def stream(conn):
    run = conn.call("Open", run=OPTIONS, mode="stream")["run"]
    for part in PARTS:
        patiently(conn, "Add", run=run, jobs=part)
    conn.call("Seal", run=run)


def retry(conn):
    patiently(conn, "Retry", run="n", all=True)


def cancelled(conn):
    whole(conn)
    conn.call("Cancel", run="n")


def directory(conn):
    conn.call("Submit", run=OPTIONS, jobs=[{"path": "dir/%d" % i, "argv": ["true"]} for i in range(4)])


def held(conn):
    directory(conn)
    conn.call("Hold", run="n", path="dir")


def of_directory(method):
    return lambda conn: patiently(conn, method, run="n", path="dir")


class CutBatches(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        failpoints.use()

    def dies(self, daemon, deed, commit):
        """The deed, with a kill before a commit, the n-th since the start. False: it was done before."""
        daemon.env["JOBD_FP"] = "%s;before_commit:kill:n=%d" % (ONE_BY_ONE, commit)
        daemon.start()
        del daemon.env["JOBD_FP"]
        try:
            with varlink.Connection(daemon.socket) as conn:
                deed(conn)
            died = False
        except (OSError, EOFError):
            died = True
        daemon.kill()
        return died

    def check(self, conn):
        """All jobs wait in one run that is told to begin once."""
        rows = conn.call("List", run="n")["jobs"]
        self.assertEqual([job["path"] for job in JOBS], sorted(row["path"] for row in rows))
        self.assertLessEqual({row["state"] for row in rows}, {"waiting", "ready"})
        self.assertEqual(["running"], [run["state"] for run in conn.call("List")["runs"]])
        self.assertEqual(1, sum(event["kind"] == "submitted" for event in conn.call("Watch", since=0)["events"]))

    def check_all(self, *states):
        """What was cut has been done to some; its repetition did it to the rest."""
        return lambda conn: self.assertEqual([True] * 4, [row["state"] in states for row in conn.call("List", run="n")["jobs"]])

    def cut_everywhere(self, deed, before=None, check=None):
        died, commit = True, 3                  # two belong to the start
        while died:
            with self.subTest(commit=commit), kit.Daemon(env={"JOBD_RUNNER": "none"}) as daemon:
                if before:
                    with varlink.Connection(daemon.socket) as conn:
                        before(conn)
                daemon.kill()
                died = self.dies(daemon, deed, commit)
                daemon.start()
                with varlink.Connection(daemon.socket) as conn:
                    deed(conn)
                    (check or self.check)(conn)
            commit += 1
        self.assertGreater(commit, 5, "nothing was cut")

    def test_submit(self):
        self.cut_everywhere(whole)

    def test_open_add_seal_of_a_bulk(self):
        self.cut_everywhere(bulk)

    def test_open_add_seal_of_a_stream(self):
        self.cut_everywhere(stream)

    def test_retry(self):
        self.cut_everywhere(retry, cancelled)

    def test_hold_of_a_directory(self):
        self.cut_everywhere(of_directory("Hold"), directory, self.check_all("held"))

    def test_release_of_a_directory(self):
        self.cut_everywhere(of_directory("Release"), held, self.check_all("waiting", "ready"))

    def test_cancel_of_a_directory(self):
        self.cut_everywhere(of_directory("Cancel"), directory, self.check_all("cancelled"))


if __name__ == "__main__":
    unittest.main()
