#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""submit, add, seal: what is printed, what is refused and where, what is the same run."""
import json
import os
import signal
import subprocess
import unittest

import kit


class Submit(unittest.TestCase):
    def setUp(self):
        self.daemon = self.enterContext(kit.Daemon())

    def jobctl(self, *words, **more):
        return self.daemon.jobctl(*words, **more)

    def write(self, name, text):
        path = os.path.join(self.daemon.folder, name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        return path

    def test_prints_exactly_the_number(self):
        done = self.jobctl("submit", "-", text="a: true\n")
        self.assertEqual((0, "1\n", ""), (done.returncode, done.stdout, done.stderr))
        done = self.jobctl("submit", "-", text="a: true\n")
        self.assertEqual((0, "2\n", ""), (done.returncode, done.stdout, done.stderr))

    def test_all_formats_mean_the_same(self):
        runs = [
            self.daemon.submit("# lines\na: exit 0\na/b: exit 3\nc < a/b: true\n"),
            self.daemon.submit('{"path":"a","shell":"exit 0"}\n{"path":"a/b","shell":"exit 3"}\n{"path":"c","after":["a/b"],"shell":"true"}\n'),
            self.daemon.submit('{"jobs":{"a":"exit 0","a/b":"exit 3","c":{"after":["a/b"],"shell":"true"}}}'),
            self.daemon.submit("jobs:\n  a: exit 0\n  a/b: exit 3\n  c: {after: [a/b], shell: 'true'}\n"),
            int(self.jobctl("submit", self.write("x.yaml", "jobs:\n- {path: a/b, shell: exit 3}\n- {path: a, shell: exit 0}\n"
                                                 "- {path: c, after: [a/b], shell: 'true'}\n"), check=True).stdout),
        ]
        for run in runs:
            self.assertEqual(1, self.jobctl("wait", run).returncode)
            jobs = self.daemon.jobs(run)
            self.assertEqual(("ok", "failed", "skipped"), tuple(jobs[p]["state"] for p in ("a", "a/b", "c")))
            self.assertEqual(3, jobs["a/b"]["exit_code"])
            self.assertEqual("upstream: a/b", jobs["c"]["reason"])

    def test_key_makes_it_idempotent(self):
        first = self.daemon.submit("a: true\nb: true\n", "--key", "k")
        self.assertEqual(first, self.daemon.submit("b: true\n\na:   true\n", "--key", "k"))
        done = self.jobctl("submit", "--key", "k", "-", text="a: false\nb: true\n")
        self.assertEqual((6, ""), (done.returncode, done.stdout))
        self.assertEqual(1, len(self.daemon.listed()))
        done = self.jobctl("submit", "--key", "k", "--name", "other", "-", text="a: true\nb: true\n")
        self.assertEqual(6, done.returncode)

    def test_key_makes_bulk_idempotent(self):
        text = "".join("job-%05d: true # %s\n" % (i, "x" * 80) for i in range(3000))
        first = self.daemon.submit(text, "--key", "bulk")
        self.assertEqual(first, self.daemon.submit(text, "--key", "bulk"))
        self.assertEqual(1, len(self.daemon.listed()))

    def test_options_of_the_command_line_win(self):
        run = self.daemon.submit("name: file\nworkers: 3\njobs: {a: 'true'}\n", "--name", "line", "-j", "2")
        (row,) = self.daemon.listed()
        self.assertEqual((run, "line", 2), (row["run"], row["name"], row["workers"]))

    def test_refused_with_its_place(self):
        for text, status, expected in (
                ("a: true\nb//c: true\n", 6, "standard input:2: "),
                ("a: true\na: false\n", 6, "\"a\""),
                ("a < nowhere: true\n", 6, "nowhere"),
                ("a < b: true\nb < a: true\n", 6, "a"),
                ("jobs:\n  a: 'true'\n  x/~: 'true'\n", 6, "standard input:3:"),
                ("jobs:\n  a: {shell: x, timeout_s: soon}\n", 6, "standard input:2:17: "),
                ('{"path":"a","shell":"x"}\n{"path":"b","shell":"x","prioriti":1}\n', 6, "standard input:2: "),
                ('{"path":"a","shell":"x"}\n{"path":"b",\n', 6, "standard input:2:")):
            with self.subTest(text):
                done = self.jobctl("submit", "-", text=text)
                self.assertEqual((status, ""), (done.returncode, done.stdout), done.stderr)
                self.assertIn(expected, done.stderr)
        self.assertEqual([], self.daemon.listed())

    def test_a_refusal_in_bulk_has_its_line(self):
        lines = ["job-%05d: true # %s" % (i, "x" * 80) for i in range(5000)]
        lines[4321] = "job//bad: true"
        done = self.jobctl("submit", "-", text="\n".join(lines))
        self.assertEqual((6, ""), (done.returncode, done.stdout))
        self.assertIn("standard input:4322: ", done.stderr)
        self.assertEqual([], self.daemon.listed())

    def test_a_duplicate_found_at_the_seal_has_its_line_in_a_file(self):
        lines = ["job-%05d: true # %s" % (i, "x" * 80) for i in range(5000)] + ["job-00002: true"]
        done = self.jobctl("submit", self.write("many", "\n".join(lines)))
        self.assertEqual((6, ""), (done.returncode, done.stdout))
        self.assertIn("many:3: ", done.stderr)

    def test_many_jobs_in_a_bulk(self):
        run = self.daemon.submit("".join("d%02d/job-%05d: : %s\n" % (i % 50, i, "x" * 40) for i in range(6000)))
        self.assertEqual(0, self.jobctl("wait", run).returncode)
        self.assertEqual(6000, len(self.daemon.listed(run)))

    def test_cwd_is_that_of_jobctl(self):
        folder = os.path.join(self.daemon.folder, "here")
        os.mkdir(folder)
        run = int(self.jobctl("submit", "--wait", "-", text="a: pwd\n", cwd=folder, check=True).stdout)
        self.assertEqual(os.path.realpath(folder) + "\n", self.jobctl("logs", "%d/a" % run, check=True).stdout)

    def test_environment_is_from_empty_but_what_is_inherited(self):
        env = {"INHERITED": "one", "NOT_INHERITED": "two"}
        text = "jobs:\n  a: {env_inherit: [INHERITED], env: {OWN: '3'}, shell: 'echo $INHERITED-$NOT_INHERITED-$OWN-$JOBD_PATH'}\n"
        run = int(self.jobctl("submit", "--wait", "-", text=text, env=env, check=True).stdout)
        self.assertEqual("one--3-a\n", self.jobctl("logs", "%d/a" % run).stdout)

    def test_wait_and_follow_give_the_status(self):
        self.assertEqual(0, self.jobctl("submit", "--wait", "-", text="a: true\n").returncode)
        self.assertEqual(1, self.jobctl("submit", "--wait", "-", text="a: false\n").returncode)
        done = self.jobctl("submit", "--follow", "-", text="a: false\n")
        self.assertEqual((1, "3\n"), (done.returncode, done.stdout))
        self.assertIn("failed", done.stderr)

    def test_an_interrupted_wait_says_how_to_come_back(self):
        fifo = os.path.join(self.daemon.folder, "fifo")
        os.mkfifo(fifo)
        waiter = subprocess.Popen([kit.JOBCTL, "--socket", self.daemon.socket, "submit", "--wait", "-"], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        waiter.stdin.write("a: echo up >%s; read x <%s\n" % (fifo, fifo))
        waiter.stdin.close()
        run = waiter.stdout.readline().strip()
        with open(fifo, encoding="utf-8") as f:
            self.assertEqual("up\n", f.readline())
        waiter.send_signal(signal.SIGINT)
        self.assertEqual(130, waiter.wait(kit.PATIENCE))
        self.assertIn("`jobctl wait %s` comes back" % run, waiter.stderr.read())
        waiter.stdout.close()
        waiter.stderr.close()
        self.assertEqual("running", self.daemon.listed()[0]["state"])
        self.jobctl("cancel", run, check=True)

    def test_open_add_seal(self):
        run = int(self.jobctl("submit", "--open", "--name", "stream", "-", text="a: true\n", check=True).stdout)
        self.assertEqual(0, self.jobctl("wait", "%d/a" % run).returncode)
        self.jobctl("add", "stream", "-", text="a/b: true\nc: true\n", check=True)
        self.assertEqual(5, self.jobctl("wait", "--timeout", "0.01", run).returncode)
        done = self.jobctl("add", run, "-", text="c: true\n")
        self.assertEqual(6, done.returncode)
        self.jobctl("seal", run, check=True)
        self.assertEqual(0, self.jobctl("wait", run).returncode)
        self.assertEqual({"a", "a/b", "c"}, set(self.daemon.jobs(run)))
        self.assertEqual(6, self.jobctl("add", run, "-", text="d: true\n").returncode)
        self.assertEqual(3, self.jobctl("add", "nobody", "-", text="d: true\n").returncode)

    def test_a_stream_whose_first_jobs_are_refused_leaves_nothing(self):
        done = self.jobctl("submit", "--open", "--key", "k", "-", text="a//b: true\n")
        self.assertEqual((6, ""), (done.returncode, done.stdout))
        self.assertEqual([], self.daemon.listed())

    def test_the_number_of_a_stream_comes_before_its_pipe_is_closed(self):
        words = [kit.JOBCTL, "--socket", self.daemon.socket, "submit", "--open", "-"]
        feeder = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        feeder.stdin.write("a: true\n")
        run = int(feeder.stdout.readline())
        self.assertEqual(0, self.jobctl("wait", "%d/a" % run).returncode)
        feeder.stdin.write("b: true\n")
        feeder.stdin.close()
        self.assertEqual(0, feeder.wait(kit.PATIENCE))
        feeder.stdout.close()
        self.jobctl("seal", run, check=True)
        self.assertEqual(0, self.jobctl("wait", run).returncode)
        self.assertEqual({"a", "b"}, set(self.daemon.jobs(run)))

    def test_a_file_that_comes_in_pieces_is_what_it_is_as_a_whole(self):
        words = [kit.JOBCTL, "--socket", self.daemon.socket, "submit", "--wait", "-"]
        for text in ("name: x\n" + 1000 * "# a comment\n" + "jobs:\n  a: true\n", json.dumps({"path": "a", "shell": "true # " + "x" * 20000}) + "\n"):
            done = subprocess.run(words, input=text, pipesize=4096, capture_output=True, text=True, timeout=kit.PATIENCE)
            self.assertEqual((0, ""), (done.returncode, done.stderr))

    def test_options_in_an_added_file_are_refused(self):
        run = int(self.jobctl("submit", "--open", "-", text="a: true\n", check=True).stdout)
        done = self.jobctl("add", run, "-", text='{"name":"x"}\n{"path":"b","shell":"true"}\n')
        self.assertEqual(6, done.returncode)
        self.jobctl("seal", run, check=True)

    def test_usage(self):
        for words in (("submit",), ("submit", "a", "b"), ("submit", "--nonsense", "-"), ("submit", "-j", "0", "-"), ("submit", "/nonexistent"), ("submit", self.daemon.folder),
                      ("submit", "--format", "toml", "-"), ("add", "1"), ("nonsense",), ("wait", "--timeout", "soon", "1")):
            with self.subTest(words):
                self.assertEqual(2, self.jobctl(*words).returncode)

    def test_ls_row_of_a_run(self):
        run = self.daemon.submit("a: true\n", "--name", "n", "--key", "k")
        self.jobctl("wait", run)
        row = json.loads(self.jobctl("ls", "--json", check=True).stdout)
        self.assertEqual(["run", "name", "key", "state", "workers", "submitted_at", "started_at", "ended_at"], list(row))
        self.assertEqual((run, "n", "k", "ok"), (row["run"], row["name"], row["key"], row["state"]))


if __name__ == "__main__":
    unittest.main()
