# SPDX-License-Identifier: MIT
# timeout: 120
"""Jobs of the kind fetch: the real jobd, the real jobd-fetch, and a server that misbehaves as it is told."""
import contextlib
import glob
import hashlib
import os
import signal
import subprocess
import sys
import threading
import unittest

import kit
import people
import varlink
from case import Case

sys.path.append(os.path.join(kit.SOURCE, "tests", "fetch"))
import server  # noqa: E402

MIB = 1 << 20
CANARY = "canary-7d21b04e"


class Gated(server.Thing):
    """Says the first bytes of an answer, and the rest when the gate is open."""

    def __init__(self, data, first=MIB, **more):
        super().__init__(data, **more)
        self.first, self.gate = first, threading.Event()

    def part(self, request, **how):
        first, last = self.bounds(request)
        request.head(206, self.headers() + [("Content-Range", "bytes %d-%d/%d" % (first, last, len(self.data))), ("Content-Length", last - first + 1)])
        request.body(self.data[first:min(first + self.first, last + 1)])
        self.gate.wait(kit.PATIENCE)
        request.body(self.data[first + self.first:last + 1])


def until(terminal, text=None):
    """What is read up to this text, or until nobody has the terminal open any more."""
    seen = b""
    with contextlib.suppress(OSError):
        while (text is None or text not in seen) and (more := os.read(terminal, 4096)):
            seen += more
    return seen


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

    def gated(self, path="/o", **more):
        thing = Gated(server.noise(3 * MIB), **more)
        self.addCleanup(thing.gate.set)
        return thing, self.server.add(path, thing)

    def begin(self, url, fetch=None, **fields):
        """Submits a fetch of a gated thing and returns once some of it is known to be in the file."""
        run = self.submit({"get": self.fetching(url, {"heartbeat_s": 0.05, "save_interval_s": 0.05, **(fetch or {})}, **fields)})
        self.progress(run)
        return run

    def progress(self, run):
        """What is told who follows the run: the first that says that bytes are there."""
        with varlink.Connection(self.d.socket, kit.PATIENCE) as conn:
            conn.send("org.jobd.Watch", {"run": run, "since": 0, "progress": True}, more=True)
            while True:
                for event in conn.receive()["parameters"]["events"]:
                    self.assertNotIn(event["kind"], ("ended", "run-ended"), event)
                    if event["kind"] == "progress" and event["progress"]["bytes"] >= MIB // 2:
                        return event

    def attempts(self, run):
        return self.call("Get", run=run, path="get")["attempts"]

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


    def test_how_it_ended_is_said_in_words(self):
        url = self.server.add("/o", server.Thing(b"some bytes"))
        for at, fetch, status, words in ((self.server.url("/none"), {}, 10, "fetch: refused by the server: "),
                                         (url, {"checksum": "md5:" + 32 * "0"}, 13, "fetch: checksum: "),
                                         (url, {"range": "100-200"}, 16, "fetch: range: ")):
            with self.subTest(status=status):
                run, job = self.fetch(at, fetch)
                self.assertEqual(("failed", status), (job["state"], job["exit_code"]))
                message = self.attempts(run)[0]["message"]
                self.assertTrue(message.startswith(words) and len(message) > len(words), message)
                self.assertIn(words, self.d.jobctl("why", run + "/get").stdout)
                self.assertFalse(os.path.exists(self.name))

    def test_a_snapshot_is_fetched_and_then_pruned(self):
        data = server.noise(MIB)
        url = self.server.add("/o", server.Thing(data))
        run = self.submit({"snap": "true", "snap/get": self.fetching(url), "snap/get/check": "test -s out", "snap/~/prune": "test -s out && : >pruned"},
                          cwd=self.d.folder)
        self.wait(run)
        self.assertEqual({"ok"}, set(self.states(run).values()))
        self.assertTrue(self.read() == data and os.path.exists(os.path.join(self.d.folder, "pruned")))

    def test_s3_takes_its_credentials_from_the_environment_of_the_job(self):
        data = server.noise(MIB)
        self.server.add("/bucket/key", server.Thing(data))
        env = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": CANARY, "AWS_REGION": "eu-west-1", "AWS_ENDPOINT_URL": self.server.url("")}
        run, job = self.fetch("s3://bucket/key", env=env)
        self.assertEqual("ok", job["state"], self.output(run, "get", "err"))
        self.assertTrue(self.read() == data)
        self.assertIn("Credential=id/", self.server.requests[0].headers["authorization"])


    def test_every_field_is_an_option_that_jobd_fetch_has(self):
        data = server.noise(MIB)
        url = self.server.add("/o", server.Thing(data, age=600))
        header = os.path.join(self.d.folder, "headers")
        with open(header, "w", encoding="ascii") as f:
            f.write("X-Mine: 1\n")
        every = {"alloc": "sparse", "streams": 3, "max_per_host": 2, "min_part": "64K", "limit_rate": "1G", "tries": 3, "restarts": 1, "stall_timeout_s": 9,
                 "retry_after_cap_s": 9, "deadline_s": 60, "heartbeat_s": 0.5, "save_interval_s": 0.5, "save_bytes": "1M", "durable": True, "no_fsync": True,
                 "http2": True, "trust_size": True, "mtime": True, "no_clobber": True, "keep_bad": True, "header_file": header,
                 "checksum": ["sha256:" + hashlib.sha256(data).hexdigest(), "md5:" + hashlib.md5(data).hexdigest()]}
        run, job = self.fetch(url, every)
        self.assertEqual("ok", job["state"], self.output(run, "get", "err"))
        self.assertTrue(self.read() == data)
        self.assertEqual("1", self.server.requests[0].headers["x-mine"])
        run, job = self.fetch(url, {"if_changed": True, "cacert": "/etc/ssl/certs/ca-certificates.crt"})
        self.assertEqual("ok", job["state"], self.output(run, "get", "err"))

    def test_a_range_goes_into_a_file_in_place(self):
        data = server.noise(MIB)
        with open(self.name, "wb") as f:
            f.write(b"." * 100)
        url = self.server.add("/o", server.Thing(data))
        run = self.submit({"get": {"fetch": {"url": url, "into": self.name, "range": "1000-1009", "at": 50}}})
        self.wait(run)
        self.assertEqual("ok", self.states(run)["get"], self.output(run, "get", "err"))
        self.assertEqual(b"." * 50 + data[1000:1010] + b"." * 40, self.read())


class Course(FetchCase):
    def test_who_follows_is_told_how_far_it_is(self):
        thing, url = self.gated()
        run = self.begin(url)
        row = self.jobs(run)["get"]
        self.assertEqual(3 * MIB, row["progress"]["expected"])
        self.assertGreaterEqual(row["progress"]["bytes"], MIB // 2)
        self.assertIn(" % of 3.0 MiB, ", self.d.jobctl("tree", run, check=True).stdout)
        self.assertIn(" % of 3.0 MiB, ", self.d.jobctl("show", run + "/get", check=True).stdout)
        thing.gate.set()
        self.wait(run)
        self.assertNotIn("progress", self.jobs(run)["get"])
        self.assertNotIn("progress", {e["kind"] for e in self.call("Watch", run=run, since=0)["events"]})

    def test_follow_has_a_line_for_each_tenth(self):
        thing, url = self.gated()
        run = self.submit({"get": self.fetching(url, {"heartbeat_s": 0.05})})
        follow = subprocess.Popen([kit.JOBCTL, "--socket", self.d.socket, "follow", run], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.DEVNULL, text=True)
        line = next(line for line in follow.stdout if " progress get" in line)
        self.assertRegex(line, r"progress get: running, \d+ % of 3\.0 MiB, [0-9.]+ .?i?B/s$")
        thing.gate.set()
        self.assertIn("run %s: ok" % run, follow.communicate(timeout=kit.PATIENCE)[0])
        self.assertEqual(0, follow.returncode)

    def on_a_terminal(self, *words):
        """Our side of a terminal, and who runs on the other."""
        ours, theirs = os.openpty()
        self.addCleanup(os.close, ours)
        p = subprocess.Popen([kit.JOBCTL, "--socket", self.d.socket, *words], stdin=theirs, stdout=theirs, stderr=theirs, env=dict(os.environ, TERM="xterm"))
        os.close(theirs)
        return ours, p

    def test_follow_and_tree_show_it_on_a_terminal(self):
        thing, url = self.gated()
        run = self.submit({"get": self.fetching(url, {"heartbeat_s": 0.05})})
        ours, follow = self.on_a_terminal("follow", run)
        seen = until(ours, b" % of 3.0 MiB, ")
        self.assertRegex(seen, rb"\r\033\[K0/1 done, 1 running, 0 failed, get \d+ % of 3\.0 MiB, ")
        theirs, tree = self.on_a_terminal("tree", run)
        self.assertRegex(until(theirs), rb"get.* \d+ % of 3\.0 MiB, [0-9.]+ .?i?B/s")
        thing.gate.set()
        self.assertRegex(until(ours), rb"run \d+: .*ok.*, 1/1 done, 0 running, 0 failed")
        self.assertEqual((0, 0), (follow.wait(kit.PATIENCE), tree.wait(kit.PATIENCE)))

    def test_a_retry_goes_on_where_the_last_attempt_stopped(self):
        data, thing = server.noise(3 * MIB), None

        def answer(request):
            if request.number == 1:
                return thing.part(request, cut=MIB)
            return request.send(405, []) if request.number == 2 else thing(request)

        thing = server.Thing(data)
        run, job = self.fetch(self.server.add("/o", answer), {"streams": 1}, retry={"max": 1, "cap_s": 0})
        self.assertEqual(("ok", 2), (job["state"], job["attempts"]), self.output(run, "get", "err"))
        self.assertTrue(self.read() == data)
        self.assertEqual([10, 0], [a["exit_code"] for a in self.attempts(run)])
        self.assertGreaterEqual(self.server.requests[2].range[0], MIB // 2)

    def test_a_cancelled_fetch_is_resumed_by_the_next(self):
        thing, url = self.gated()
        run = self.begin(url)
        self.call("Cancel", run=run)
        self.wait(run)
        job = self.jobs(run)["get"]
        self.assertEqual(("cancelled", signal.SIGTERM), (job["state"], job["signal"]))         # it heeded TERM: nobody had to kill it
        self.assertFalse(os.path.exists(self.name))
        self.assertTrue(os.path.exists(self.name + ".part.state"))
        thing.gate.set()
        n = len(self.server.requests)
        run, job = self.fetch(url)
        self.assertEqual("ok", job["state"])
        self.assertTrue(self.read() == thing.data)
        self.assertGreaterEqual(self.server.requests[n].range[0], MIB // 2)

    def test_a_timeout_ends_it_as_any_job(self):
        _, url = self.gated()
        _, job = self.fetch(url, timeout_s=0.3)
        self.assertEqual(("failed", "timeout"), (job["state"], job["reason"]))

    def test_it_outlives_jobd_and_the_next_one_shows_it(self):
        thing, url = self.gated()
        run = self.begin(url)
        self.d.kill()
        self.d.start()
        self.connect()
        self.progress(run)
        self.assertGreaterEqual(self.jobs(run)["get"]["progress"]["bytes"], MIB // 2)
        thing.gate.set()
        self.wait(run)
        job = self.jobs(run)["get"]
        self.assertEqual(("ok", 1), (job["state"], job["attempts"]))
        self.assertTrue(self.read() == thing.data)


class Example(FetchCase):
    """etc/pipelines/mirror.yaml, with URLs of ours."""

    def setUp(self):
        super().setUp()
        with open(os.path.join(kit.SOURCE, "etc", "pipelines", "mirror.yaml"), encoding="utf-8") as f:
            self.text = f.read().replace("https://example.org", self.server.url(""))

    def mirror(self, image, sums=None):
        self.server.add("/image", server.Thing(image))
        self.server.add("/index", server.Thing(b"index"))
        with open(os.path.join(self.d.folder, "SHA256SUMS"), "w", encoding="ascii") as f:
            f.write("%s  image\n" % hashlib.sha256(sums or image).hexdigest())
        return self.d.jobctl("submit", "--wait", "-", text=self.text, cwd=self.d.folder, env={"MIRROR_KEEP": "1"})

    def current(self):
        with open(os.path.join(self.d.folder, "current", "image"), "rb") as f:
            return f.read()

    def test_what_is_there_is_replaced_and_old_snapshots_go(self):
        for seed in (1, 2, 3):
            image = server.noise(MIB, seed)
            done = self.mirror(image)
            self.assertEqual(0, done.returncode, done.stderr)
            self.assertTrue(self.current() == image)
        self.assertEqual(1, len(os.listdir(os.path.join(self.d.folder, "snapshots"))))

    def test_nothing_is_replaced_or_pruned_by_what_is_wrong(self):
        good = server.noise(MIB)
        self.mirror(good)
        self.assertEqual(1, self.mirror(server.noise(MIB, 2), sums=good).returncode)
        self.assertTrue(self.current() == good)
        self.assertEqual(2, len(os.listdir(os.path.join(self.d.folder, "snapshots"))))
        jobs = self.jobs("mirror")
        self.assertEqual((13, 1), (jobs["snapshot/image"]["exit_code"], jobs["snapshot/image"]["attempts"]))
        self.assertEqual("skipped", jobs["snapshot/~/publish"]["state"])


class Secrets(FetchCase):
    config = "slots = 4\nlog_level = debug\nsocket_mode = 0666\n"

    def secret_url(self, path):
        return self.server.url(path).replace("//", "//user:%s@" % CANARY) + "?signature=" + CANARY

    def test_the_url_is_for_its_owner(self):
        thing, _ = self.gated("/o")
        run = self.begin(self.secret_url("/o"))
        pid = self.attempt_pid()
        with open("/proc/%d/cmdline" % pid, "rb") as f:
            self.assertNotIn(CANARY.encode(), f.read())
        with open("/proc/%d/environ" % pid, "rb") as f:
            self.assertNotIn(CANARY.encode(), f.read())
        thing.gate.set()
        self.wait(run)
        failed, _ = self.fetch(self.secret_url("/none"))
        self.assertIn("authorization", self.server.requests[0].headers)
        told = [self.d.said()] + [self.output(r, "get", stream).decode() for r in (run, failed) for stream in ("out", "err")]
        told += [str(self.attempts(failed)), str(self.why(failed, "get")), str(self.call("Watch", since=0))]
        for text in told:
            self.assertNotIn(CANARY, text)
        self.assertIn(CANARY, str(self.call("Get", run=run, path="get")["spec"]))
        if os.geteuid() == 0:
            self.assert_hidden_from_others(run)

    def attempt_pid(self):
        for name in glob.glob("/proc/[0-9]*/cmdline"):
            with contextlib.suppress(OSError), open(name, "rb") as f:
                if ("--output=" + self.name).encode() in f.read().split(b"\0"):
                    return int(name.split("/")[2])
        self.fail("there is no process of the fetch")

    def assert_hidden_from_others(self, run):
        os.chmod(self.d.folder, 0o755)
        with people.connect_as(self.d.socket, people.OTHER.pw_uid, people.OTHER.pw_gid) as other:
            for method, parameters in (("List", {"run": run}), ("Get", {"run": run, "path": "get"}), ("Explain", {"run": run, "path": "get"}), ("Watch", {"since": 0})):
                self.assertNotIn(CANARY, str(other.call(method, **parameters)), method)

    def test_a_refusal_does_not_repeat_it(self):
        e = self.refusal("Submit", run={}, jobs=[{"path": "get", "fetch": {"url": "ftp://user:%s@host/" % CANARY, "output": "o"}}])
        self.assertNotIn(CANARY, str(e) + str(e.parameters) + self.d.said())


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


class Record(Case):
    """The record is written by a process of the job's user: what it says is input."""
    GOOD = '{"event":"progress","bytes":50,"expected":200,"avg_bps":7,"streams":2,"retries":1,"restarts":0}\\n'

    def setUp(self):
        super().setUp()
        self.fifo = os.path.join(self.d.folder, "fifo")
        os.mkfifo(self.fifo)
        self.folder = os.path.join(self.d.folder, "libexec")
        os.mkdir(self.folder)

    def says(self, out, err="", status=0):
        """What is shown of a fetch whose program writes this, while it runs; and how it ended."""
        program = os.path.join(self.folder, "jobd-fetch")
        with open(program, "w", encoding="utf-8") as f:
            f.write("#!/bin/sh\nprintf '%s'\nprintf '%s' >&2\nread word <%s\nexit %d\n" % (out, err, self.fifo, status))
        os.chmod(program, 0o755)
        with kit.Daemon(env={"JOBD_LIBEXEC": self.folder}) as d, varlink.Connection(d.socket, kit.PATIENCE) as conn:
            run = str(conn.call("Submit", jobs=[{"path": "get", "fetch": {"url": "http://host/o", "output": "o"}}])["run"])
            with open(self.fifo, "w", encoding="ascii"):        # it has written all, and reads
                row = conn.call("List", run=run)["jobs"][0]
            conn.call("Wait", targets=[{"run": run}])
            return row.get("progress"), conn.call("Get", run=run, path="get")["attempts"][0]["message"]

    def test_only_a_line_of_progress_is_progress(self):
        shown = {"bytes": 50, "expected": 200, "bps": 7, "streams": 2, "retries": 1, "restarts": 0}
        self.assertEqual((shown, None), self.says(self.GOOD))
        self.assertEqual((shown, None), self.says(self.GOOD + '{"event":"note","text":"x"}\\nnothing\\n{"event":"progress","bytes":-1}\\n{"event":"prog'))
        for junk in ("", "\\n\\n\\n", "[" * 3000, '{"event":"progress"}\\n', '{"event":"progress","bytes":1,"mine":2}\\n', "x" * 9000 + "\\n",
                     '{"event":"end","bytes":1}\\n', '\\377\\001\\n'):
            with self.subTest(junk=junk[:40]):
                self.assertEqual((None, None), self.says(junk))

    def test_the_last_words_are_a_line(self):
        self.assertEqual("fetch: checksum: it differs", self.says("", "fetch: one\\nfetch: it differs\\n", 13)[1])
        self.assertEqual("fetch: truncated", self.says("", "not a line", 12)[1])
        self.assertEqual("fetch: failed: ", self.says("", "\\n", 99)[1])


class Absent(Case):
    def test_without_jobd_fetch_a_fetch_is_refused_with_words(self):
        with kit.Daemon(env={"JOBD_LIBEXEC": self.d.folder}) as d:
            done = d.jobctl("submit", "-", text='{"path": "a", "fetch": {"url": "http://host/o", "output": "o"}}')
            self.assertEqual(6, done.returncode, done.stderr)
            self.assertIn("without libcurl", done.stderr)
            self.assertEqual([], d.listed())


if __name__ == "__main__":
    unittest.main()
