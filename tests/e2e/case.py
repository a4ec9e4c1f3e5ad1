# SPDX-License-Identifier: MIT
"""A test case with a jobd of its own, a connection to it, and jobs that end when they are told."""
import base64
import time
import unittest

import kit
import puppets
import varlink


class Case(unittest.TestCase):
    config = "slots = 4\nlog_level = warning\n"
    env = None

    def setUp(self):
        self.d = kit.Daemon(config=self.config, env=self.env).start()
        self.addCleanup(self.d.__exit__, None)
        self.pup = puppets.Puppets(self.d.folder)
        self.addCleanup(self.pup.close)
        self.connect()
        self.addCleanup(self.show_log_of_a_failure)

    def show_log_of_a_failure(self):
        result = self._outcome.result           # its `success` speaks of the cleanup that is under way
        if any(test is self for test, _ in result.failures + result.errors):
            print(self.d.said())

    def connect(self):
        self.conn = varlink.Connection(self.d.socket, kit.PATIENCE)
        self.addCleanup(self.conn.close)

    def call(self, method, **parameters):
        return self.conn.call(method, **parameters)

    def loop_s(self):
        """What the loop of jobd has computed so far, in seconds: what else the machine does does not count."""
        with open("/proc/%d/schedstat" % self.d.process.pid, encoding="ascii") as f:
            return int(f.read().split()[0]) / 1e9

    def answered_s(self, method):
        """Until the answer: seconds by the clock, and of these what the loop computes."""
        clock, loop = time.monotonic(), self.loop_s()
        self.call(method)
        return time.monotonic() - clock, self.loop_s() - loop

    def submit(self, jobs, **run):
        """jobs: path -> shell command, or fields. Returns the run's number as text."""
        listed = [dict({"shell": v} if isinstance(v, str) else v, path=k) for k, v in jobs.items()]
        return str(self.call("Submit", run=run, jobs=listed)["run"])

    def puppet_jobs(self, *paths, **fields):
        return {p: dict(fields, argv=self.pup.argv(p)) for p in paths}

    def wait(self, run, path=None):
        target = {"run": run} if path is None else {"run": run, "path": path}
        reply = self.call("Wait", targets=[target], timeout_s=kit.PATIENCE)
        self.assertTrue(reply["done"], "run %s does not end" % run)
        return reply

    def jobs(self, run):
        return {j["path"]: j for j in self.call("List", run=run)["jobs"]}

    def states(self, run):
        return {p: j["state"] for p, j in self.jobs(run).items()}

    def output(self, run, path, stream="out", **more):
        reply = self.call("Logs", run=run, path=path, stream=stream, **more)
        return base64.b64decode(reply["data_b64"])

    def refusal(self, method, **parameters):
        with self.assertRaises(varlink.Error) as caught:
            self.call(method, **parameters)
        return caught.exception

    def why(self, run, path=None):
        return self.call("Explain", run=run, path=path)["reasons"]
