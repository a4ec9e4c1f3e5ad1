# SPDX-License-Identifier: MIT
# timeout: 200
"""jobd and its runner with a connection between them that breaks: at any message, with what was in it lost on the way."""
import array
import os
import random
import select
import socket
import subprocess
import threading
import unittest

import kit
import puppets
from case import Case

PACKET = 1 << 17


class Wire(threading.Thread):
    """Between jobd, which connects to `front`, and the runner at `back`. cut_when(n, to_runner) says whether the n-th packet is lost
    and both ends are closed; the next connection is a new one."""

    def __init__(self, front, back, cut_when):
        super().__init__(daemon=True)
        self.back, self.cut_when = back, cut_when
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(front)
        self.listener.listen(8)
        self.cuts = self.n = 0
        self.broken = threading.Event()         # set by a test: cut now
        self.wake_read, self.wake_write = os.pipe()

    def cut(self):
        self.broken.set()
        os.write(self.wake_write, b"x")

    def carry(self, source, target):
        """False: the connection has ended."""
        data, ancillary, _, _ = source.recvmsg(PACKET, socket.CMSG_SPACE(16 * 4))
        fds = array.array("i")
        for _, _, raw in ancillary:
            fds.frombytes(raw[:len(raw) - len(raw) % fds.itemsize])
        try:
            self.n += 1
            if not data or self.cut_when(self.n, self.to_runner(target)):
                return False
            target.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)] if fds else [])
            return True
        except OSError:
            return False
        finally:
            for fd in fds:
                os.close(fd)

    def to_runner(self, target):
        return target is self.runner

    def connection(self):
        jobd, _ = self.listener.accept()
        self.runner = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.runner.connect(self.back)
        with jobd, self.runner:
            while True:
                readable, _, _ = select.select([jobd, self.runner, self.wake_read], [], [])
                if self.wake_read in readable:
                    os.read(self.wake_read, 1)
                    self.broken.clear()
                    return
                for source in readable:
                    if not self.carry(source, self.runner if source is jobd else jobd):
                        return

    def run(self):
        while True:
            self.connection()
            self.cuts += 1


class Link(Case):
    config = "slots = 4\nlog_level = error\n"

    def setUp(self):
        self.rng = random.Random(7)
        self.cut_when = lambda n, to_runner: False
        self.d = kit.Daemon(config=self.config, env={"JOBD_RUNNER": "none"})
        front, back = (os.path.join(self.d.folder, name) for name in ("front", "back"))
        self.d.env["JOBD_RUNNER_SOCKET"] = front
        self.runner = subprocess.Popen([kit.RUNNER, "--socket", back, "--state", self.d.folder], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.addCleanup(self.runner.stderr.close)
        self.addCleanup(self.runner.wait)
        self.addCleanup(self.runner.terminate)
        said = iter(self.runner.stderr.readline, b"")
        self.assertTrue(any(b"serving" in line for line in said), "the runner does not serve")
        threading.Thread(target=self.runner.stderr.read, daemon=True).start()
        self.wire = Wire(front, back, lambda n, to_runner: self.cut_when(n, to_runner))
        self.wire.start()
        self.d.start()
        self.addCleanup(self.d.__exit__, None)
        self.pup = puppets.Puppets(self.d.folder)
        self.addCleanup(self.pup.close)
        self.connect()

    def each_ran_once(self, run, log, n):
        self.assertEqual(self.wait(run)["exit"], 0)
        with open(log, encoding="ascii") as f:
            ran = sorted(f.read().split())
        self.assertEqual(ran, sorted(set(ran)))
        self.assertEqual(len(ran), n)
        self.assertEqual({j["attempts"] for j in self.jobs(run).values()}, {1})

    def test_each_job_runs_once_however_often_the_connection_breaks(self):
        log = os.path.join(self.d.folder, "ran")
        self.cut_when = lambda n, to_runner: self.rng.random() < 0.1
        run = self.submit({"j%03d" % i: "echo $JOBD_PATH >> %s" % log for i in range(300)}, workers=4)
        self.each_ran_once(run, log, 300)
        self.assertGreater(self.wire.cuts, 10)

    def test_a_break_while_starts_are_being_recorded_leaves_none_behind(self):
        log = os.path.join(self.d.folder, "ran")
        for i in range(40):
            self.conn.send("org.jobd.Submit", {"run": {"workers": 4}, "jobs": [{"path": "r%d-%d" % (i, k), "shell": "echo $JOBD_PATH >> %s" % log}
                                                                               for k in range(6)]})
            self.wire.cut()
            self.each_ran_once(str(self.conn.receive()["parameters"]["run"]), log, 6)
            os.unlink(log)

    def test_a_kill_that_was_lost_is_sent_again(self):
        run = self.submit(self.puppet_jobs("a", "a/b"))
        self.pup.accept()
        view = puppets.View(self.d, run)
        view.until("started", "a")
        view.close()
        lost = []

        def lose_the_next(_, to_runner):
            if to_runner and not lost:
                lost.append(True)
                return True
            return False

        self.cut_when = lose_the_next
        self.call("Cancel", run=run, path="a")
        self.assertEqual(self.wait(run)["exit"], 1)
        self.assertEqual((self.states(run), lost), ({"a": "cancelled", "a/b": "skipped"}, [True]))


if __name__ == "__main__":
    unittest.main()
