#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""ls, tree, show, why, events, follow, wait, logs: what they say about runs and jobs in every state."""
import json
import os
import signal
import pty
import subprocess
import unittest

import kit


class Look(unittest.TestCase):
    def setUp(self):
        self.daemon = self.enterContext(kit.Daemon())

    def jobctl(self, *words, **more):
        return self.daemon.jobctl(*words, **more)

    def fifo(self):
        """A job that waits: `read x < FIFO`; it goes on when it is opened for writing."""
        path = os.path.join(self.daemon.folder, "fifo")
        os.mkfifo(path)
        return path

    def ended(self, text, *options):
        run = self.daemon.submit(text, *options)
        self.jobctl("wait", run)
        return run

    def test_ls_lists_jobs_with_all_fields(self):
        run = self.ended("a: true\na/b: kill -9 $$\na/b/c: true\n", "--name", "n")
        rows = self.daemon.listed("n")
        self.assertEqual(["a", "a/b", "a/b/c"], [r["path"] for r in rows])
        for row in rows:
            self.assertEqual(["path", "state", "reason", "exit_code", "signal", "attempts", "started_at", "ended_at"], list(row))
        a, b, c = rows
        self.assertEqual(("ok", 0, None, 1), (a["state"], a["exit_code"], a["signal"], a["attempts"]))
        self.assertEqual(("failed", None, 9, "signal"), (b["state"], b["exit_code"], b["signal"], b["reason"]))
        self.assertEqual(("skipped", "upstream: a/b", 0, None), (c["state"], c["reason"], c["attempts"], c["started_at"]))
        self.assertEqual(["a/b", "a/b/c"], [r["path"] for r in self.daemon.listed("%d/a/b" % run)])
        self.assertEqual(["a/b"], [r["path"] for r in self.daemon.listed("--state", "failed", run)])
        self.assertEqual(["a"], [r["path"] for r in self.daemon.listed("-n", "1", run)])

    def test_unknown_addresses_exit_3(self):
        run = self.ended("a: true\n")
        for words in (("ls", "nobody"), ("ls", "99"), ("show", "99"), ("show", "%d/b" % run), ("why", "%d/b" % run), ("logs", "%d/b" % run),
                      ("wait", "99"), ("wait", "%d/b" % run), ("tree", "99"), ("follow", "99"), ("events", "99"), ("cancel", "99"),
                      ("hold", "99/b"), ("retry", "99"), ("rm", "99"), ("pause", "99"), ("seal", "99")):
            with self.subTest(words):
                done = self.jobctl(*words)
                self.assertEqual((3, ""), (done.returncode, done.stdout), done.stderr)
                self.assertTrue(done.stderr.startswith("jobctl: "))

    def test_a_misspelt_path_is_told_the_one_that_was_meant(self):
        run = self.ended("db1/dump: true\ndb1/dump/copy: true\ndb2/dump: true\n")
        for typed, meant in (("db1/dmup", "db1/dump"), ("db1/dump/cpoy", "db1/dump/copy"), ("bd2/dump", "db2/dump"), ("db1/dumb/copy", "db1/dump/copy")):
            for verb in ("show", "why", "wait", "retry"):
                with self.subTest(typed, verb=verb):
                    done = self.jobctl(verb, "%d/%s" % (run, typed))
                    self.assertEqual(3, done.returncode)
                    self.assertIn('has no job "%s"; did you mean "%s"?' % (typed, meant), done.stderr)
        done = self.jobctl("show", "%d/nothing/like/it" % run)
        self.assertIn("`jobctl ls %d` lists its jobs" % run, done.stderr)

    def test_addresses_of_the_wrong_kind_exit_2(self):
        for words in (("logs", "1"), ("hold", "1"), ("follow", "1/a"), ("pause", "1/a"), ("rm", "1/a"), ("show", "/a"), ("show", "1/")):
            with self.subTest(words):
                self.assertEqual(2, self.jobctl(*words).returncode)

    def test_tree_draws_gaps_and_states(self):
        run = self.ended("a: true\na/x/b: exit 2\na/x/c: true\na/~/p: true\na-b: true\n")
        lines = self.jobctl("tree", run, check=True).stdout.splitlines()
        self.assertEqual(["├─ a", "│  ├─ x/", "│  │  ├─ b", "│  │  └─ c", "│  └─ ~/", "│     └─ p", "└─ a-b"],
                         [line.split("  ok")[0].split("  failed")[0].split("  skipped")[0] for line in lines])
        self.assertIn("failed (exit 2)", lines[2])
        self.assertIn("skipped (upstream: a/x/b)", lines[5])

    def test_show_tells_attempts(self):
        run = self.ended("jobs:\n  a: {shell: exit 4, retry: {max: 1, cap_s: 0.001}, labels: {team: blue}}\n")
        shown = json.loads(self.jobctl("show", "--json", "%d/a" % run, check=True).stdout)
        self.assertEqual([1, 2], [a["attempt"] for a in shown["attempts"]])
        self.assertEqual("exit 4", shown["spec"]["shell"])
        text = self.jobctl("show", "%d/a" % run, check=True).stdout
        self.assertIn("failed (exit 4)", text)
        self.assertIn("ATTEMPT", text)
        self.assertIn("1 failed", self.jobctl("show", run, check=True).stdout)

    def test_why_walks_to_the_root_cause(self):
        run = self.ended("a: exit 7\na/b: true\na/b/~/c: true\n")
        text = self.jobctl("why", "%d/a/b/~/c" % run, check=True).stdout
        self.assertTrue(text.startswith("a/b/~/c: skipped\n"), text)
        self.assertIn("exit status 7", text)
        rows = [json.loads(line) for line in self.jobctl("why", "--json", "%d/a/b/~/c" % run, check=True).stdout.splitlines()]
        self.assertEqual(("a/b/~/c", "a"), (rows[0]["path"], rows[-1]["path"]))

    def test_why_shows_what_a_failure_left_and_what_to_do(self):
        run = self.ended("jobs:\n  a: {argv: [no-such-program]}\n  b: 'seq 9 >&2; exit 3'\n  b/c: 'true'\n")
        text = self.jobctl("why", "%d/a" % run, check=True).stdout
        self.assertIn("      cannot execute no-such-program: No such file or directory\n", text)
        text = self.jobctl("why", "%d/b/c" % run, check=True).stdout
        self.assertIn("failed: exit status 3\n      5\n      6\n      7\n      8\n      9\nall it wrote: jobctl logs %d/b\n" % run, text)
        self.assertIn("jobctl retry %d " % run, text)
        text = self.jobctl("why", run, check=True).stdout
        self.assertIn("no-such-program", text)
        self.assertIn("      9\n", text)

    def test_why_of_a_run_tells_failures_first(self):
        fifo = self.fifo()
        run = self.daemon.submit("a: read x < %s\nz: exit 1\n" % fifo)
        self.jobctl("wait", "%d/z" % run)
        steps = self.jobctl("why", run, check=True).stdout.splitlines()
        self.assertIn('"z" failed', steps[2])
        self.assertIn('"a" is running', steps[3])
        self.jobctl("cancel", run, check=True)

    def test_why_of_what_waits(self):
        fifo = self.fifo()
        run = self.daemon.submit("a: read x < %s\na/b: true\nz/~/end < a/b: true\n" % fifo)
        text = self.jobctl("why", "%d/z/~/end" % run, check=True).stdout
        self.assertIn("a/b", text)
        self.assertRegex(text, '"a" (is running|could start)')
        with open(fifo, "w", encoding="utf-8") as f:
            f.write("go\n")
        self.assertEqual(0, self.jobctl("wait", run).returncode)

    def test_why_names_what_is_to_be_sealed(self):
        run = self.daemon.submit("p/a: true\np/~/z: true\n~/e: true\n", "--open")
        self.jobctl("wait", "%d/p/a" % run, check=True)
        self.assertIn("`jobctl seal %d/p` ends that" % run, self.jobctl("why", "%d/p/~/z" % run, check=True).stdout)
        self.assertIn("until it is sealed", self.jobctl("why", run, check=True).stdout)
        self.jobctl("seal", "%d/p" % run, check=True)
        self.jobctl("wait", "%d/p/~/z" % run, check=True)
        self.assertIn("`jobctl seal %d` ends that" % run, self.jobctl("why", "%d/~/e" % run, check=True).stdout)
        self.jobctl("seal", run, check=True)
        self.jobctl("wait", run, check=True)

    def test_events_are_in_order(self):
        run = self.ended("a: true\na/b: exit 3\n")
        events = [json.loads(line) for line in self.jobctl("events", "--json", run, check=True).stdout.splitlines()]
        self.assertEqual(sorted(e["seq"] for e in events), [e["seq"] for e in events])
        ends = [(e["path"], e.get("exit_code")) for e in events if e["kind"] == "ended"]
        self.assertEqual([("a", 0), ("a/b", 3)], ends)
        since = events[2]["seq"]
        later = [json.loads(line)["seq"] for line in self.jobctl("events", "--json", "--since", since, run).stdout.splitlines()]
        self.assertEqual([e["seq"] for e in events if e["seq"] > since], later)
        followed = [json.loads(line)["seq"] for line in self.jobctl("events", "--json", "-f", run).stdout.splitlines()]
        self.assertEqual([e["seq"] for e in events], followed)
        self.assertIn("ended a/b: failed, exit 3", self.jobctl("events", run).stdout)

    def test_wait_gives_the_worst(self):
        good, bad = self.ended("a: true\n"), self.ended("a: true\nb: exit 9\nb/c: true\n")
        fifo = self.fifo()
        running = self.daemon.submit("a: read x < %s\n" % fifo)
        self.assertEqual(0, self.jobctl("wait", good).returncode)
        self.assertEqual(0, self.jobctl("wait", "%d/a" % bad).returncode)
        self.assertEqual(1, self.jobctl("wait", good, bad).returncode)
        self.assertEqual(1, self.jobctl("wait", "%d/b/c" % bad).returncode)
        self.assertEqual(5, self.jobctl("wait", "--timeout", "0.05", bad, running).returncode)
        self.assertEqual(3, self.jobctl("wait", "--timeout", "0.05", bad, running, "99").returncode)
        self.assertEqual(9, self.jobctl("wait", "--exit-code", "%d/b" % bad).returncode)
        self.assertEqual(2, self.jobctl("wait", "--exit-code", good, bad).returncode)
        with open(fifo, "w", encoding="utf-8") as f:
            f.write("go\n")
        self.assertEqual(0, self.jobctl("wait", running).returncode)

    def test_wait_exit_code_of_a_signal(self):
        run = self.ended("a: kill -9 $$\n")
        self.assertEqual(137, self.jobctl("wait", "--exit-code", "%d/a" % run).returncode)

    def test_logs_are_byte_exact_and_apart(self):
        run = self.ended(r"a: printf 'out\001\377\n'; printf 'err\n' >&2" + "\n")
        words = [kit.JOBCTL, "--socket", self.daemon.socket, "logs", "%d/a" % run]
        done = subprocess.run(words, capture_output=True, check=True, timeout=kit.PATIENCE)
        self.assertEqual((b"out\x01\xff\n", b"err\n"), (done.stdout, done.stderr))
        done = subprocess.run(words + ["--err"], capture_output=True, check=True, timeout=kit.PATIENCE)
        self.assertEqual((b"err\n", b""), (done.stdout, done.stderr))
        done = subprocess.run(words + ["--out", "-f"], capture_output=True, check=True, timeout=kit.PATIENCE)
        self.assertEqual((b"out\x01\xff\n", b""), (done.stdout, done.stderr))

    def test_logs_of_an_attempt(self):
        run = self.ended("jobs:\n  a: {shell: 'echo $JOBD_ATTEMPT; exit 1', retry: {max: 2, cap_s: 0.001}}\n")
        self.assertEqual("3\n", self.jobctl("logs", "%d/a" % run, check=True).stdout)
        self.assertEqual("1\n", self.jobctl("logs", "--attempt", "1", "%d/a" % run, check=True).stdout)

    def test_logs_end_in_silence_when_their_reader_has_enough(self):
        run = self.ended("a: yes | head -c 1000000\n")
        with subprocess.Popen([kit.JOBCTL, "--socket", self.daemon.socket, "logs", "%d/a" % run], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE) as logs:
            self.assertEqual(b"y\n", logs.stdout.readline())
            logs.stdout.close()
            self.assertEqual(b"", logs.stderr.read())
            self.assertEqual(-signal.SIGPIPE, logs.wait(kit.PATIENCE))

    def test_logs_of_what_never_ran_say_so(self):
        run = self.ended("jobs:\n  a: {argv: [no-such-program]}\n  a/b: 'true'\n")
        self.assertIn("jobctl why %d/a/b" % run, self.jobctl("logs", "%d/a/b" % run, check=True).stderr)
        self.assertIn("cannot execute no-such-program", self.jobctl("logs", "%d/a" % run, check=True).stderr)

    def test_a_misspelt_state_is_no_empty_list(self):
        run = self.ended("a: exit 1\n")
        for words, meant in (((run, "-s", "faild"), '"failed"'), (("-s", "waiting,lost"), "run is never"), ((run, "-s", ""), "job is never")):
            with self.subTest(words):
                done = self.jobctl("ls", *words)
                self.assertEqual((2, ""), (done.returncode, done.stdout))
                self.assertIn(meant, done.stderr)

    def test_logs_of_an_attempt_that_never_was(self):
        run = self.ended("a: exit 1\n")
        done = self.jobctl("logs", "--attempt", "2", "%d/a" % run)
        self.assertEqual((3, 'jobctl: job "a" has no attempt 2: it has been started 1 time\n'), (done.returncode, done.stderr))

    def test_logs_follow_a_running_job(self):
        fifo = self.fifo()
        run = self.daemon.submit("a: echo first; read x < %s; echo $x\n" % fifo)
        follower = subprocess.Popen([kit.JOBCTL, "--socket", self.daemon.socket, "logs", "-f", "%d/a" % run], stdout=subprocess.PIPE, text=True)
        self.assertEqual("first\n", follower.stdout.readline())
        with open(fifo, "w", encoding="utf-8") as f:
            f.write("second\n")
        self.assertEqual("second\n", follower.stdout.read())
        self.assertEqual(0, follower.wait(kit.PATIENCE))
        follower.stdout.close()

    def test_follow_writes_lines_into_a_pipe(self):
        run = self.daemon.submit("a: true\na/b: exit 3\n")
        done = self.jobctl("follow", run)
        self.assertEqual(1, done.returncode)
        self.assertIn("a/b: failed, exit 3", done.stdout)
        self.assertRegex(done.stdout, r"run %d: failed.*2/2 done, 0 running, 1 failed" % run)
        self.assertIn("`jobctl why %d` tells more" % run, done.stderr)
        self.assertNotIn("\033", done.stdout + done.stderr)

    def test_follow_ends_when_nobody_reads(self):
        fifo = self.fifo()
        run = self.daemon.submit("a: true\nb: read x < %s\n" % fifo)
        self.jobctl("wait", "%d/a" % run, check=True)
        reader, writer = os.pipe()
        os.close(reader)
        follower = subprocess.Popen([kit.JOBCTL, "--socket", self.daemon.socket, "follow", str(run)], stdout=writer, stderr=subprocess.DEVNULL)
        os.close(writer)
        self.assertEqual(130, follower.wait(kit.PATIENCE))
        self.jobctl("cancel", run, check=True)

    def test_follow_says_that_it_cannot_write(self):
        run = self.daemon.submit("a: true\n")
        with open("/dev/full", "w", encoding="utf-8") as full:
            done = subprocess.run([kit.JOBCTL, "--socket", self.daemon.socket, "follow", str(run)], stdout=full, stderr=subprocess.PIPE, text=True,
                                  timeout=kit.PATIENCE)
        self.assertEqual((1, "jobctl: cannot write what happens: No space left on device\n"), (done.returncode, done.stderr))

    def test_follow_draws_one_line_on_a_terminal_and_detaches(self):
        fifo = self.fifo()
        run = self.daemon.submit("a: read x < %s\n" % fifo, "--name", "night")
        master, slave = pty.openpty()
        keep_output_at_interrupt(slave)
        follower = subprocess.Popen([kit.JOBCTL, "--socket", self.daemon.socket, "follow", "night"], stdin=slave, stdout=slave, stderr=slave,
                                    start_new_session=True, preexec_fn=lambda: kit_take_terminal(slave), env=dict(os.environ, TERM="xterm"))
        os.close(slave)
        seen = read_until(master, b"0/1 done")
        self.assertIn(b"\r\033[K", seen)
        os.write(master, b"\x03")
        seen = read_until(master, b"comes back")
        self.assertIn(b"jobctl follow night", seen)
        self.assertEqual(130, follower.wait(kit.PATIENCE))
        os.close(master)
        with open(fifo, "w", encoding="utf-8") as f:
            f.write("go\n")
        self.assertEqual(0, self.jobctl("wait", run).returncode)

    def test_paths_cannot_move_the_cursor(self):
        run = self.ended('{"path":"a\\u202eb\\u009b","shell":"true"}\n') if self.accepts_c1() else None
        if run:
            for words in (("ls", run), ("tree", run), ("events", run)):
                text = self.jobctl(*words, check=True).stdout
                self.assertNotIn("\u202e", text)
                self.assertNotIn("\u009b", text)

    def accepts_c1(self):
        return self.jobctl("submit", "--wait", "-", text='{"path":"x\\u202e\\u009b","shell":"true"}\n').returncode == 0


def keep_output_at_interrupt(fd):
    """What is written in answer to ^C: the kernel drops the terminal's output after it has sent the signal, sometimes late enough to meet the answer."""
    import termios
    attributes = termios.tcgetattr(fd)
    attributes[3] |= termios.NOFLSH
    termios.tcsetattr(fd, termios.TCSANOW, attributes)


def kit_take_terminal(fd):
    import fcntl
    import termios
    fcntl.ioctl(fd, termios.TIOCSCTTY, 0)


def read_until(fd, text):
    seen = b""
    while text not in seen:
        try:
            more = os.read(fd, 4096)
        except OSError:                         # nobody has the other end any more
            more = b""
        if not more:
            raise AssertionError("the terminal was closed after %r" % seen)
        seen += more
    return seen


if __name__ == "__main__":
    unittest.main()
