#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""jobctl map through the daemon: the cases of all maps, and what only a daemon has."""
import json
import os
import re
import resource
import signal
import subprocess
import unittest

import kit
import map_cases as cases


def rss(pid):
    with open("/proc/%d/statm" % pid, encoding="ascii") as f:
        return int(f.read().split()[1]) * resource.getpagesize()


class Through:
    """One daemon for the tests of a class; each test has a name of its own for its map."""

    refused = 6
    one_exec = 50000

    @classmethod
    def setUpClass(cls):
        cls.d = kit.Daemon(config="slots = 8\nlog_level = warning\n").start()
        cls.addClassCleanup(cls.d.__exit__, None)
        cls.env = dict(cases.ENV, JOBD_SOCKET=cls.d.socket)

    @property
    def keeps(self):
        return ("--name", self.id().rpartition(".")[2])


class Results(Through, cases.Results, unittest.TestCase):
    def test_large_outputs_wait_in_the_daemon_and_stay_whole(self):
        out = self.run_map("-j4", "--buffer-bytes", "64K", "--stats", "--shell", "head -c 1000000 /dev/zero | tr '\\0' $1", text="a\nb\nc\nd\n")
        self.assertLessEqual(self.numbers(out)["memory_max"], 65536 + 2 * 131072)
        self.assertEqual(b"".join(c * 1000000 for c in (b"a", b"b", b"c", b"d")), out.stdout)
        self.assertEqual(0, out.returncode)


    def test_an_endless_input_takes_no_more_of_client_daemon_and_database(self):
        if kit.SANITIZED:
            print("\nSKIP: the memory of a sanitizer is not ours", flush=True)
            self.skipTest("the memory of a sanitizer is not ours")
        with subprocess.Popen(["yes"], stdout=subprocess.PIPE) as source:
            p = subprocess.Popen([kit.JOBCTL, "map", "-j4", "echo"], stdin=source.stdout, stdout=subprocess.PIPE, env=self.env, bufsize=0)
            self.addCleanup(p.wait)
            self.addCleanup(p.kill)
            source.stdout.close()
            taken = []
            for _ in range(2):
                got = 0
                while got < 2 * 1500:
                    got += len(p.stdout.read(2 * 1500 - got))
                taken.append((rss(p.pid), rss(self.d.process.pid), self.database()))
            p.stdout.close()
            self.assertEqual(-signal.SIGPIPE, p.wait())
            self.assertEqual(-signal.SIGPIPE, source.wait())
        for before, after in zip(*taken):
            self.assertLess(after - before, 2 << 20, taken)

    def database(self):
        """Without the log of it, which is as large as it ever was."""
        return os.path.getsize(os.path.join(self.d.state, "jobd.db"))

    def test_standard_error_comes_with_its_item(self):
        """The second has written it long before, and the first is still to end."""
        begun, release = self.fifo("begun"), self.fifo("release")
        p = self.start_map("-j2", "--shell", 'echo $1 >&2; echo >begun; test $1 != 1 || read x <release')
        p.stdin.write(b"1\n2\n")
        p.stdin.close()
        begun.line()
        begun.line()
        release.give("go\n")
        self.assertEqual(b"1\n2\n", p.stderr.read())


class Forms(Through, cases.Forms, unittest.TestCase):
    pass


class Input(Through, cases.Input, unittest.TestCase):
    pass


class LargeItems(Through, cases.LargeItems, unittest.TestCase):
    pass


class Batches(Through, cases.Batches, unittest.TestCase):
    def test_a_batch_that_is_too_long_for_the_runner_runs_in_parts(self):
        """Its limit of the stack is smaller than ours, and so what one exec takes."""
        self.lines("echo", text="1\n")
        runner = json.loads(self.d.jobctl("stats", "--json", check=True).stdout)["runner_pid"]
        was = resource.prlimit(runner, resource.RLIMIT_STACK)
        resource.prlimit(runner, resource.RLIMIT_STACK, (512 << 10, was[1]))
        self.addCleanup(resource.prlimit, runner, resource.RLIMIT_STACK, was)
        text = "".join("%0100d\n" % i for i in range(9000))
        command = ("-s", "300K", "--shell", 'echo + $#; for i; do echo $i; done')
        for more in ((), self.keeps):
            out = self.lines(*more, *command, text=text)
            sizes = [int(line[2:]) for line in out if line.startswith("+")]
            self.assertEqual(9000, sum(sizes))
            self.assertLess(max(sizes), 1300)
            self.assertEqual(text.split(), [line for line in out if not line.startswith("+")])
        self.assertEqual([], self.lines(*self.keeps, "--resume", *command, text=text))

    def test_an_item_on_standard_input_has_no_limit_of_a_call(self):
        rows = [json.loads(line) for line in self.lines("--out", "jsonl", "--stdin", "item", "wc", "-c", text="x" * 1900000 + "\ny\n")]
        self.assertEqual(["1900000\n", "1\n"], [row["stdout"] for row in rows])


class Ends(Through, cases.Ends, unittest.TestCase):
    pass


class Endings(Through, cases.Endings, unittest.TestCase):
    pass


class Stages(Through, cases.Stages, unittest.TestCase):
    def test_jobd_is_killed_under_both_stages(self):
        release = self.fifo("release")
        p = self.start_map("-j2", "--shell", 'test $1 != 2 || read x <release; echo $1', "--then", "-j1", "expr", "2", "*")
        p.stdin.write(cases.seq(20).encode())
        p.stdin.close()
        self.assertEqual(b"2\n", p.stdout.readline())
        self.d.kill()
        self.d.start()
        release.give("go\n")
        self.assertEqual("".join("%d\n" % (2 * i) for i in range(2, 21)).encode(), p.stdout.read())
        self.assertEqual(0, p.wait())


class Progress(Through, cases.Progress, unittest.TestCase):
    pass


class Resume(Through, cases.Resume, unittest.TestCase):
    def limit_arguments(self):
        was = resource.getrlimit(resource.RLIMIT_STACK)
        resource.setrlimit(resource.RLIMIT_STACK, (1 << 20, was[1]))            # a quarter of it is for arguments: one of ours
        try:
            d = kit.Daemon(config="slots = 8\nlog_level = warning\n").start()
        finally:
            resource.setrlimit(resource.RLIMIT_STACK, was)
        self.addCleanup(d.__exit__, None)
        self.env = dict(self.env, JOBD_SOCKET=d.socket)

    def expect(self, n):
        return ["got %d" % i for i in range(1, n + 1)]

    def test_what_was_put_runs_on_without_its_client_and_is_printed_by_the_next(self):
        p, never = self.map_with_a_blocked_head()
        p.kill()
        p.wait()
        never.give("go\n")
        self.assertEqual(self.expect(4), self.lines(*self.keeps, "--resume", "--shell", self.script, text=cases.seq(4)))
        self.assertEqual(["1", "2", "3", "4"], sorted(self.ran()))

    def test_jobd_is_killed_and_the_map_goes_on(self):
        p, never = self.map_with_a_blocked_head()
        self.d.kill()
        self.d.start()
        never.give("go\n")
        self.assertEqual("".join(x + "\n" for x in self.expect(4)).encode(), p.stdout.read())
        self.assertEqual(0, p.wait())
        self.assertEqual(["1", "2", "3", "4"], sorted(self.ran()))

    def test_a_jobd_that_stays_away_ends_the_map(self):
        p, never = self.map_with_a_blocked_head()
        self.d.kill()
        said = p.stderr.read()
        self.assertEqual(22, p.wait())
        self.assertIn(b"--resume", said)
        self.d.start()
        never.give("go\n")
        self.assertEqual(self.expect(4), self.lines(*self.keeps, "--resume", "--shell", self.script, text=cases.seq(4)))
        self.assertEqual(["1", "2", "3", "4"], sorted(self.ran()))

    def test_after_a_kill_only_new_lines_run(self):
        p, never = self.map_with_a_blocked_head()
        p.kill()
        p.wait()
        never.give("go\n")
        out = self.lines(*self.keeps, "--resume", "--shell", self.script, text="9\n3\n1\n3\n2\n")
        self.assertEqual(["got 9", "got 3", "got 1", "got 3", "got 2"], out)
        self.assertEqual(["1", "2", "3", "3", "4", "9"], sorted(self.ran()))

    def test_lines_may_be_inserted_removed_moved_and_repeated(self):
        self.lines(*self.keeps, "--shell", self.COUNT, text="1\n2\n3\n")
        self.ran()
        self.assertEqual(["got 4", "got 3", "got 5"], self.lines(*self.keeps, "--resume", "--shell", self.COUNT, text="4\n3\n1\n3\n5\n"))
        self.assertEqual(["3", "4", "5"], sorted(self.ran()))

    def test_what_a_signal_cut_off_runs_again(self):
        p, _ = self.map_with_a_blocked_head()
        p.terminate()
        self.assertEqual(-signal.SIGTERM, p.wait())
        self.ran()
        with open(os.path.join(self.folder, "go"), "w", encoding="ascii"):
            pass
        self.assertEqual(self.expect(4), self.lines(*self.keeps, "--resume", "--shell", self.script, text=cases.seq(4)))
        self.assertEqual(["1"], self.ran())


class Control(Through, cases.Map, unittest.TestCase):
    def start_blocked(self, *words):
        begun = self.fifo("begun")
        self.never = self.fifo("never")
        p = self.start_map(*words, "--shell", "echo >begun; read x <never; echo $1")
        p.stdin.write(b"1\n")
        begun.line()
        return p

    def jobctl(self, *words):
        return self.d.jobctl("map", *words)

    def test_list(self):
        p = self.start_blocked("-j2", "-w3", "--name", "listed")
        row = json.loads(self.jobctl("list", "--json").stdout)
        self.assertEqual(("listed", "attached", 2, 3, 1, 1), tuple(row[k] for k in ("name", "state", "slots", "window", "in_hand", "running")))
        self.assertIn("listed", self.jobctl("list").stdout)
        p.kill()
        p.wait()

    def test_stop_ends_the_map(self):
        p = self.start_blocked("--name", "stopped")
        self.assertEqual(0, self.jobctl("stop", "stopped").returncode)
        self.assertEqual(b"", p.stdout.read())
        self.assertEqual(-signal.SIGTERM, p.wait())
        self.assertIn(b"jobctl map stop", p.stderr.read())

    def test_stop_of_the_first_stage_ends_all(self):
        begun, _ = self.fifo("begun"), self.fifo("never")
        p = self.start_map("--name", "staged", "echo", "--then", "-j1", "--shell", "echo >begun; read x <never")
        p.stdin.write(b"1\n")
        begun.line()
        rows = json.loads(self.jobctl("list", "--json").stdout.replace("}\n{", "},{").join("[]"))
        self.assertEqual(["staged", "staged.2"], sorted(row["name"] for row in rows if row["name"].startswith("staged")))
        self.assertEqual(0, self.jobctl("stop", "staged").returncode)
        self.assertEqual((b"", -signal.SIGTERM), (p.stdout.read(), p.wait()))

    def test_stop_without_a_client_ends_all_stages_and_nothing_else(self):
        begun, never = self.fifo("begun"), self.fifo("never")
        others = [self.start_map("--name", name, "cat") for name in ("left.3", "left2")]
        p = self.start_map("--name", "left", "echo", "--then", "-j1", "--shell", "trap '' TERM; echo >begun; read x <never")
        p.stdin.write(b"1\n")
        begun.line()
        for one in (p, *others):
            one.stdin.write(b"1\n")
            one.kill()
            one.wait()
        rows = {row["name"]: row for row in map(json.loads, self.jobctl("list", "--json").stdout.splitlines())}
        self.assertEqual((1, 2, None), tuple(rows[name].get("stage") for name in ("left", "left.2", "left.3")))
        self.assertEqual(0, self.jobctl("stop", "left").returncode)
        never.give("go\n")
        self.d.jobctl("wait", "left", "left.2")
        left = {row["name"] for row in map(json.loads, self.jobctl("list", "--json").stdout.splitlines())}
        self.assertEqual({"left.3", "left2"}, left & {"left", "left.2", "left.3", "left2"})
        self.jobctl("stop", "left.3", "left2")

    def test_drain_lets_what_was_admitted_end(self):
        p = self.start_blocked("--name", "drained")
        self.assertEqual(0, self.jobctl("stop", "--drain", "drained").returncode)
        self.never.give("go\n")
        self.assertEqual(b"1\n", p.stdout.read())
        self.assertEqual(0, p.wait())

    def test_there_is_no_such_map(self):
        self.assertEqual(3, self.jobctl("stop", "nothing").returncode)
        self.assertEqual(2, self.jobctl("stop").returncode)


class Limits(Through, cases.Map, unittest.TestCase):
    def test_an_output_that_is_lost_is_told(self):
        go = self.fifo("go")
        p = self.start_map("-j2", "--name", "lost", "--shell", "case $1 in 1) read x <go; echo $1;; *) head -c 200000 /dev/zero; esac")
        p.stdin.write(b"1\n2\n3\n")
        p.stdin.close()
        row = {}
        while row.get("ended", 0) < 2:
            rows = map(json.loads, self.d.jobctl("map", "list", "--json").stdout.splitlines())
            row = next((row for row in rows if row["name"] == "lost"), {})          # none: it has not begun
        folder = os.path.join(self.d.state, "out", str(row["run"]))
        for name in os.listdir(folder):
            if os.stat(os.path.join(folder, name)).st_size == 200000:
                os.unlink(os.path.join(folder, name))
                break
        go.give("go\n")
        out, err = p.stdout.read(), p.stderr.read().decode()
        self.assertEqual((b"1\n" + b"\0" * 200000, 23), (out, p.wait()))
        self.assertRegex(err, r"^jobctl: item [12] \([23]\) ended, but 200000 bytes of what it wrote are lost: jobd does not have them any more\n$")

    def test_an_output_beyond_the_maximum_fails_its_item(self):
        rows = [json.loads(line) for line in self.lines("--output-max", "1000", "--out", "jsonl", "--shell", "head -c $1 /dev/zero", text="999\n100000\n", rc=1)]
        self.assertEqual([0, "output"], [row["status"] for row in rows])

    def test_without_a_daemon_it_says_so(self):
        self.env = dict(self.env, JOBD_SOCKET=os.path.join(self.folder, "nobody"))
        self.assertEqual(4, self.run_map("echo", text="1\n").returncode)

    def own(self, *words):
        """jobctl of a user whose daemon is where it is by default."""
        return subprocess.run([kit.JOBCTL, *words], env=self.env, capture_output=True, text=True, timeout=kit.PATIENCE)

    def use_own_daemon(self):
        self.env = cases.ENV | {k: self.folder for k in ("HOME", "XDG_RUNTIME_DIR", "XDG_STATE_HOME")} | {"JOBD_RUNNER": kit.RUNNER}
        self.addCleanup(self.own, "shutdown", "--kill")

    def test_a_daemon_is_started_for_its_user(self):
        self.use_own_daemon()
        self.assertEqual(["1"], self.lines("echo", text="1\n"))

    def test_the_user_s_own_daemon_is_started_again(self):
        self.use_own_daemon()
        begun, release = self.fifo("begun"), self.fifo("release")
        p = self.start_map("-j2", "--shell", "echo >begun; read x <release; echo $1")
        p.stdin.write(cases.seq(2).encode())
        begun.line()
        begun.line()
        pid = json.loads(self.own("stats", "--json").stdout)["pid"]
        os.kill(pid, signal.SIGKILL)
        release.give("go\ngo\n")
        p.stdin.write(b"3\n")
        p.stdin.close()
        begun.line()
        release.give("go\n")
        self.assertEqual(cases.seq(3).encode(), p.stdout.read())
        self.assertEqual(0, p.wait(), p.stderr.read())
        self.assertNotEqual(pid, json.loads(self.own("stats", "--json").stdout)["pid"])

    def test_mistakes(self):
        for words in (("-a", "/dev/null", "-a", "/dev/null", "--stdin", "item", "wc"), ("--resume", "echo"), ("--log", "l", "echo"), ("--local", "--output-max", "1K", "echo")):
            self.assertEqual(2, self.run_map(*words).returncode, words)


class Manual(Through, cases.Map, unittest.TestCase):
    def test_examples_of_the_manual_work(self):
        with open(os.path.join(kit.SOURCE, "doc", "jobctl-map.1"), encoding="utf-8") as f:
            blocks = re.findall(r"^\.Bd -literal\n(.*?)^\.Ed$", f.read(), re.M | re.S)
        self.assertGreater(len(blocks), 3)
        env = dict(self.env, PATH=os.path.dirname(kit.JOBCTL) + ":" + cases.ENV["PATH"])
        for block in blocks:
            self.assertNotRegex(block, r"\\[^e]", "a backslash is \\e in a manual, or nobody sees it")
            block = block.replace("\\e", "\\")
            with self.subTest(block):
                done = subprocess.run(["bash", "-eu", "-c", block], cwd=self.folder, env=env, capture_output=True, text=True, timeout=kit.PATIENCE)
                self.assertEqual((0, ""), (done.returncode, done.stderr))


if __name__ == "__main__":
    unittest.main()
