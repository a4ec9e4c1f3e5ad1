# SPDX-License-Identifier: MIT
# timeout: 120
"""Jobs of the kind fetch: the real jobd, the real jobd-fetch, and a server that misbehaves as it is told."""
import os
import sys
import unittest

import kit
from case import Case

sys.path.append(os.path.join(kit.SOURCE, "tests", "fetch"))
import server  # noqa: E402

MIB = 1 << 20


class FetchCase(Case):
    def setUp(self):
        if not os.path.exists(os.path.join(kit.BUILD, "jobd-fetch")):
            print("SKIP: jobd-fetch was not built: libcurl is missing")
            self.skipTest("jobd-fetch was not built")
        super().setUp()
        self.server = server.Server()
        self.addCleanup(self.server.stop)
        self.name = os.path.join(self.d.folder, "out")

    def fetching(self, url, fetch=None, **fields):
        return dict(fields, fetch={"url": url, "output": self.name, **(fetch or {})})

    def fetch(self, url, fetch=None, **fields):
        run = self.submit({"get": self.fetching(url, fetch, **fields)})
        self.wait(run)
        return run, self.jobs(run)["get"]

    def read(self):
        with open(self.name, "rb") as f:
            return f.read()


class Kind(FetchCase):
    def test_an_object_is_fetched_as_a_job(self):
        data = server.noise(3 * MIB)
        _, job = self.fetch(self.server.add("/o", server.Thing(data)), {"min_part": "64K", "streams": 4})
        self.assertEqual(("ok", 0, 1), (job["state"], job["exit_code"], job["attempts"]))
        self.assertTrue(self.read() == data)
        self.assertFalse(os.path.exists(self.name + ".part"))

    def test_relative_names_are_below_the_working_directory(self):
        url = self.server.add("/o", server.Thing(b"some bytes"))
        run = self.submit({"get": {"fetch": {"url": url, "output": "out"}, "cwd": self.d.folder}})
        self.wait(run)
        self.assertEqual(b"some bytes", self.read())

    def test_defaults_are_merged(self):
        url = self.server.add("/o", server.Thing(b"some bytes"))
        run = self.submit({"get": {"fetch": {"url": url}}, "say": "true"}, defaults={"fetch": {"output": self.name, "streams": 1}})
        self.wait(run)
        self.assertEqual({"get": "ok", "say": "ok"}, self.states(run))
        self.assertEqual({"shell": "true"}, self.call("Get", run=run, path="say")["spec"])
        spec = self.call("Get", run=run, path="get")["spec"]
        self.assertEqual({"output": self.name, "streams": 1, "url": url}, spec["fetch"])


class Refusals(FetchCase):
    def refused(self, fetch, field, **fields):
        e = self.refusal("Submit", run={}, jobs=[dict(fields, path="get", fetch=fetch)])
        self.assertEqual(("org.jobd.Refused", field, "get"), (e.name, e.parameters["field"], e.parameters["path"]))
        return e.parameters["message"]

    def test_what_cannot_be_fetched_is_refused_at_submission(self):
        self.refused({"url": "ftp://host/o", "output": "o"}, "fetch.url")
        self.refused({"url": "http://host/o"}, "fetch.output")
        self.refused({"url": "http://host/o", "output": "-"}, "fetch.output")
        self.refused({"url": "http://host/o", "output": "o", "streams": 1000}, "fetch.streams")
        self.refused({"url": "http://host/o", "output": "o", "stream": 2}, "fetch.stream")
        self.refused({"url": "http://host/o", "output": "o"}, "stdin", stdin={"text": "x"})


class Absent(Case):
    def test_without_jobd_fetch_a_fetch_is_refused_with_words(self):
        with kit.Daemon(env={"JOBD_LIBEXEC": self.d.folder}) as d:
            done = d.jobctl("submit", "-", text='{"path": "a", "fetch": {"url": "http://host/o", "output": "o"}}')
            self.assertEqual(6, done.returncode, done.stderr)
            self.assertIn("without libcurl", done.stderr)
            self.assertEqual([], d.listed())


if __name__ == "__main__":
    unittest.main()
