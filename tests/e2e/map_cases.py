# SPDX-License-Identifier: MIT
"""What every map owes, with --local and through the daemon: order, window, promptness, abandonment and ends, with children that wait on FIFOs.

test_map_local.py and test_map.py say where these run.
"""
import base64
import fcntl
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile

import kit

ENV = {k: v for k, v in os.environ.items() if not k.startswith("JOBD_")}


class Fifo:
    """Opened for reading and writing by us, so that nobody waits for a peer."""

    def __init__(self, folder, name):
        self.path = os.path.join(folder, name)
        os.mkfifo(self.path)
        self.fd = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        self.file = os.fdopen(self.fd, "r+b", buffering=0)

    def line(self):
        got = b""
        while not got.endswith(b"\n"):
            got += os.read(self.fd, 1)
        return got.decode().strip()

    def give(self, text):
        os.write(self.fd, text.encode())


class Map:
    """mode: what says where the map runs. keeps: what says that its results are kept, for a --resume."""

    mode = keeps = ()
    one_exec = 150000               # so many arguments of a byte fit into one command, at least
    refused = 2                     # exit status where another map has the results, or has left some
    env = ENV

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="map-")
        self.addCleanup(shutil.rmtree, self.folder, True)
        self.alarm = signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(kit.PATIENCE * 2)
        self.addCleanup(signal.alarm, 0)

    def fifo(self, name):
        f = Fifo(self.folder, name)
        self.addCleanup(f.file.close)
        return f

    def run_map(self, *words, text=b"", **more):
        text = text.encode() if isinstance(text, str) else text
        return subprocess.run([kit.JOBCTL, "map", *self.mode, *words], input=text, capture_output=True, env=self.env, timeout=kit.PATIENCE,
                              cwd=self.folder, **more)

    def start_map(self, *words, **more):
        p = subprocess.Popen([kit.JOBCTL, "map", *self.mode, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             env=self.env, cwd=self.folder, bufsize=0, **more)
        self.addCleanup(self.end, p)
        return p

    @staticmethod
    def end(p):
        if p.poll() is None:
            p.kill()
        p.wait()
        for f in (p.stdin, p.stdout, p.stderr):
            if f and not f.closed:
                f.close()

    def lines(self, *words, text, rc=0):
        done = self.run_map(*words, text=text)
        self.assertEqual(rc, done.returncode, done.stderr)
        return done.stdout.decode().splitlines()

    def numbers(self, done):
        return json.loads(done.stderr.decode().splitlines()[-1])


def seq(n):
    return "".join("%d\n" % i for i in range(1, n + 1))


class Results(Map):
    def closed(self, redirection):
        """A map that was started with one of the standard descriptors closed."""
        return subprocess.run(["sh", "-c", 'exec "$0" "$@" ' + redirection, kit.JOBCTL, "map", *self.mode, "echo"], input=b"a\n",
                              capture_output=True, env=self.env, cwd=self.folder, timeout=kit.PATIENCE)

    def test_no_descriptor_of_ours_passes_for_a_closed_one(self):
        for redirection, rc, what in (("<&-", 20, b"the input cannot be read"), (">&-", 23, b"standard output cannot be used")):
            with self.subTest(redirection):
                done = self.closed(redirection)
                self.assertEqual((rc, b""), (done.returncode, done.stdout), done.stderr)
                self.assertEqual(b"jobctl: " + what + b": Bad file descriptor\n", done.stderr)
        done = self.closed("2>&-")
        self.assertEqual((0, b"a\n", b""), (done.returncode, done.stdout, done.stderr))

    def test_results_come_in_the_order_of_the_items(self):
        release = self.fifo("release")
        p = self.start_map("-j2", "-w4", "--shell", 'test $1 != 1 || read x <release; echo $1')
        p.stdin.write(seq(4).encode())
        p.stdin.close()
        release.give("go\n")
        self.assertEqual(b"1\n2\n3\n4\n", p.stdout.read())
        self.assertEqual(0, p.wait())

    def test_unordered_results_come_as_they_end(self):
        release = self.fifo("release")
        p = self.start_map("-u", "-j2", "--shell", 'test $1 != 1 || read x <release; echo $1')
        p.stdin.write(b"1\n2\n")
        self.assertEqual(b"2\n", p.stdout.readline())
        release.give("go\n")
        self.assertEqual(b"1\n", p.stdout.readline())

    def test_a_blocked_source_delays_neither_start_nor_result(self):
        p = self.start_map("-j4", "echo")
        for word in (b"first\n", b"second\n"):
            p.stdin.write(word)
            self.assertEqual(word, p.stdout.readline())

    def test_the_head_streams_while_it_runs(self):
        release = self.fifo("release")
        p = self.start_map("-j2", "--shell", 'echo begun; read x <release; echo done')
        p.stdin.write(b"1\n")
        p.stdin.close()
        self.assertEqual(b"begun\n", p.stdout.readline())
        release.give("go\n")
        self.assertEqual(b"done\n", p.stdout.readline())

    def test_what_one_command_writes_stays_together(self):
        out = self.lines("-u", "-j4", "--shell", 'for i in 1 2 3 4 5; do echo $1; done', text=seq(20))
        self.assertEqual(100, len(out))
        for at in range(0, 100, 5):
            self.assertEqual(1, len(set(out[at:at + 5])))

    def test_the_window_holds_while_the_head_is_blocked(self):
        """G1, G2: no child beyond the window begins, and never more than the slots run."""
        release, begun = self.fifo("release"), self.fifo("begun")
        p = self.start_map("-j2", "-w3", "--stats", "--shell", 'echo $1 >begun; test $1 != 1 || read x <release; echo $1')
        p.stdin.write(seq(10).encode())
        p.stdin.close()
        self.assertEqual({"1", "2", "3"}, {begun.line() for _ in range(3)})
        os.set_blocking(begun.fd, False)
        self.assertRaises(BlockingIOError, os.read, begun.fd, 1)
        release.give("go\n")
        self.assertEqual(seq(10).encode(), p.stdout.read())
        self.assertEqual(3, json.loads(p.stderr.read())["held_max"])

    def test_the_input_is_read_no_further_than_a_block_beyond_the_window(self):
        release, begun = self.fifo("release"), self.fifo("begun")
        path = os.path.join(self.folder, "in")
        with open(path, "w", encoding="ascii") as f:
            f.write("x" * 99 + "\n")
            f.write(("y" * 99 + "\n") * 20000)
        with open(path, "rb") as f:
            p = subprocess.Popen([kit.JOBCTL, "map", *self.mode, "-j1", "-w1", "--shell", 'echo >begun; read x <release'], stdin=f,
                                 stdout=subprocess.DEVNULL, cwd=self.folder, env=self.env)
            self.addCleanup(self.end, p)
            begun.line()
            self.assertLessEqual(os.lseek(f.fileno(), 0, os.SEEK_CUR), 65536)
            p.send_signal(signal.SIGTERM)
            self.assertEqual(-signal.SIGTERM, p.wait())
        del release

    def test_the_head_passes_when_memory_and_spool_are_full(self):
        for order in ("-k", "-u"):
            for more in ([], ["--retries", "1"], ["--out", "jsonl"]):
                done = self.run_map("-j4", order, *more, "--buffer-bytes", "64K", "--spool-bytes", "0", "--shell",
                                    "head -c 300000 /dev/zero | tr '\\0' $1", text="a\nb\nc\nd\n")
                self.assertEqual(0, done.returncode)
                sizes = [len(json.loads(line)["stdout"]) for line in done.stdout.splitlines()] if "jsonl" in more else \
                    [done.stdout.count(c) for c in (b"a", b"b", b"c", b"d")]
                self.assertEqual([300000] * 4, sizes)

    def test_errors_are_whole_where_standard_error_does_not_block(self):
        mine, its = os.pipe()
        fcntl.fcntl(its, fcntl.F_SETPIPE_SZ, 4096)
        os.set_blocking(its, False)
        p = subprocess.Popen([kit.JOBCTL, "map", *self.mode, "--results", "r", "--shell", "head -c 300000 /dev/zero >&2"], stdin=subprocess.PIPE,
                             stderr=its, env=self.env, cwd=self.folder)
        self.addCleanup(self.end, p)
        os.close(its)
        p.stdin.write(b"1\n")
        p.stdin.close()
        with os.fdopen(mine, "rb") as f:
            self.assertEqual(300000, len(f.read()))
        self.assertEqual(0, p.wait())

    def test_the_head_is_tried_again_when_memory_and_spool_are_full(self):
        """Its slot has gone to others, which cannot end: what they have written is not read."""
        self.fifo("go")
        for order in ("-k", "-u"):
            out = self.lines("-j2", order, "--retries", "1", "--buffer-bytes", "64K", "--spool-bytes", "0", "--shell",
                             "case $1-$JOBD_ATTEMPT in 1-1) read x <go; exit 1;; 2-*) echo >go; esac; echo $1", text=seq(6))
            self.assertEqual(list("123456"), out if order == "-k" else sorted(out))

    def test_memory_does_not_grow_with_an_endless_input(self):
        done = subprocess.run(["bash", "-c", 'yes | (ulimit -v 200000; exec "$@" -j2 echo) | head -300 | wc -l', "sh", kit.JOBCTL, "map", *self.mode],
                              capture_output=True, text=True, env=self.env, timeout=kit.PATIENCE) if not kit.SANITIZED else None
        if done:
            self.assertEqual("300\n", done.stdout)

    def test_line_buffer_keeps_lines_whole(self):
        out = self.lines("-u", "-j4", "--line-buffer", "--shell", "for i in 1 2 3; do printf %s $1; echo $1; done", text=seq(9))
        self.assertEqual(sorted(str(i) * 2 for i in range(1, 10) for _ in range(3)), sorted(out))

    def test_ungroup_lets_the_commands_write(self):
        self.assertEqual(["1", "2"], sorted(self.lines("--ungroup", "echo", text=seq(2))))


class Forms(Map):
    def test_tag_nul_and_jsonl(self):
        self.assertEqual(["a\tx a", "b\tx b"], self.lines("--out", "tag", "echo", "x", text="a\nb\n"))
        self.assertEqual(b"a\n\0b\n\0", self.run_map("--out", "nul", "echo", text="a\nb\n").stdout)
        rows = [json.loads(line) for line in self.lines("--out", "jsonl", "--stderr", "field", "--shell", 'echo $1; echo e >&2; exit $1', text="0\n7\n", rc=1)]
        self.assertEqual([(1, "0", 0, "0\n", "e\n"), (2, "7", 7, "7\n", "e\n")],
                         [(r["seq"], r["item"], r["status"], r["stdout"], r["stderr"]) for r in rows])
        self.assertLessEqual(rows[0]["start"], rows[0]["end"])

    def test_bytes_that_are_no_text_are_base64(self):
        row = json.loads(self.run_map("--out", "jsonl", "printf", "%s", text=b"\xff\n").stdout)
        self.assertEqual(("/w==", "/w=="), (row["item_base64"], row["stdout_base64"]))

    def test_a_signal_is_told(self):
        row = json.loads(self.run_map("--out", "jsonl", "--shell", "kill -9 $$", text="1\n").stdout)
        self.assertEqual((None, 9), (row["status"], row["signal"]))

    def test_results_folder(self):
        self.run_map("--results", "r", "--shell", "echo $1; exit 3", text="a\nb\n")
        with open(os.path.join(self.folder, "r", "2", "stdout"), encoding="ascii") as f:
            self.assertEqual("b\n", f.read())
        with open(os.path.join(self.folder, "r", "2", "status"), encoding="ascii") as f:
            self.assertEqual({"status": 3}, json.load(f))

    def kept(self, seq, name):
        with open(os.path.join(self.folder, "r", str(seq), name), encoding="utf-8") as f:
            return f.read()

    def test_results_folder_has_standard_error_too(self):
        script = "echo o$1; echo e$1 >&2"
        done = self.run_map("--results", "r", "--shell", script, text=seq(3))
        self.assertEqual(["e1", "e2", "e3"], sorted(done.stderr.decode().split()))
        self.assertEqual([("o%d\n" % i, "e%d\n" % i) for i in (1, 2, 3)], [(self.kept(i, "stdout"), self.kept(i, "stderr")) for i in (1, 2, 3)])
        self.lines("--results", "r", "--out", "jsonl", "--stderr", "field", "--shell", script, text="x\n")
        self.assertEqual(("ox\n", "ex\n"), (self.kept(1, "stdout"), self.kept(1, "stderr")))
        shutil.rmtree(os.path.join(self.folder, "r"))
        self.lines("--results", "r", "--stderr", "merge", "--shell", script, text="1\n")
        self.assertEqual(("o1\ne1\n", ["status", "stdout"]), (self.kept(1, "stdout"), sorted(os.listdir(os.path.join(self.folder, "r", "1")))))

    def test_results_of_commands_whose_lines_alternate_are_whole(self):
        turn = {i: self.fifo("turn%d" % i) for i in (1, 2)}
        p = self.start_map("-u", "-j2", "--line-buffer", "--results", "r", "--shell", "for i in a b; do read x <turn$1; echo $1$i; done")
        p.stdin.write(seq(2).encode())
        p.stdin.close()
        for i, line in ((1, b"1a\n"), (2, b"2a\n"), (1, b"1b\n"), (2, b"2b\n")):
            turn[i].give("go\n")
            self.assertEqual(line, p.stdout.readline())
        self.assertEqual(0, p.wait())
        self.assertEqual(["1a\n1b\n", "2a\n2b\n"], [self.kept(i, "stdout") for i in (1, 2)])

    def test_jsonl_of_long_outputs(self):
        """Pieces of 64 KiB cut characters, and groups of base64; one bad byte at the end decides on all of it."""
        text = ("a\u20ac\U0001f600\\\"\n" * 20000).encode()
        for name, data in (("text", text), ("bytes", text + b"\xff"), ("cut", text + b"\xe2\x82")):
            with open(os.path.join(self.folder, name), "wb") as f:
                f.write(data)
        done = self.run_map("-j3", "--buffer-bytes", "64K", "--out", "jsonl", "--stderr", "field", "--shell", "cat $1; cat $1 >&2", text="text\nbytes\ncut\n")
        rows = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual([text.decode()] * 2, [rows[0]["stdout"], rows[0]["stderr"]])
        self.assertEqual([text + b"\xff"] * 2, [base64.b64decode(rows[1][name + "_base64"]) for name in ("stdout", "stderr")])
        self.assertEqual(text + b"\xe2\x82", base64.b64decode(rows[2]["stdout_base64"]))

    def test_jsonl_of_an_output_that_is_larger_than_the_memory(self):
        if kit.SANITIZED:
            return
        size = 192 << 20
        done = subprocess.run(["bash", "-c", '(ulimit -v 150000; exec "$@" --buffer-bytes 1M --out jsonl --shell "head -c $0 /dev/zero | tr \'\\0\' x") | wc -c',
                               str(size), kit.JOBCTL, "map", *self.mode], input=b"1\n", capture_output=True, env=self.env, timeout=kit.PATIENCE)
        self.assertGreater(int(done.stdout), size, done.stderr)

    def test_standard_error_is_merged_or_dropped(self):
        self.assertEqual(["o", "e"], self.lines("--stderr", "merge", "--shell", "echo o; echo e >&2", text="1\n"))
        self.assertEqual(b"", self.run_map("--stderr", "drop", "--shell", "echo e >&2", text="1\n").stderr)


class Input(Map):
    def test_records(self):
        self.assertEqual(b"a b\n\nc\r\nlast\n", self.run_map("printf", "%s\\n", text="a b\n\nc\r\nlast").stdout)
        self.assertEqual(["a", "b"], self.lines("--skip-empty", "echo", text="\na\n\nb\n"))
        self.assertEqual(["3", "4"], self.lines("--skip", "2", "--max-items", "2", "echo", text=seq(9)))
        self.assertEqual(["a\nb", "c"], self.run_map("-0", "printf", "%s\\0", text=b"a\nb\0c").stdout.decode().split("\0")[:2])
        for text, given in ((",", ","), ("\t", "\\t"), ("\n", "\\n"), ("\0", "\\0"), (";", "\\x3b"), ("!", "\\041"), ("\\", "\\\\"), ("\\", "\\")):
            self.assertEqual(["a", "b"], self.lines("-d", given, "echo", text="a%sb" % text), given)
        for mistake in ("", "ab", "\\q", "\\x", "\\777", "\\n "):
            self.assertEqual(2, self.run_map("-d", mistake, "echo").returncode, mistake)
        self.assertEqual(2, self.run_map("-a", "-", "-a", "-", "echo", text="1\n2\n").returncode)

    def test_a_command_that_is_not_there_is_named(self):
        self.assertIn(b'"/nonexistent/x": No such file', self.run_map("/nonexistent/x", text="1\n").stderr)
        self.assertIn(b"needs --shell", self.run_map("echo {} | wc", text="1\n").stderr)

    def test_an_item_may_hold_anything_but_nul(self):
        row = json.loads(self.run_map("--out", "jsonl", "echo", text=b"a\0b\n").stdout)
        self.assertEqual("NUL", row["status"])

    def test_zip(self):
        for name, n in (("a", 2), ("b", 3)):
            with open(os.path.join(self.folder, name), "w", encoding="ascii") as f:
                f.write(seq(n))
        ab = ("-a", "a", "-a", "b")
        self.assertEqual(["1-1", "2-2"], self.lines(*ab, "echo", "{2}-{1}", text=""))
        self.assertEqual(["1-1", "2-2", "3-"], self.lines(*ab, "--zip", "fill", "--fill", "", "echo", "{2}-{1}", text=""))
        done = self.run_map(*ab, "--zip", "strict", "echo")
        self.assertEqual((20, b"1 1\n2 2\n"), (done.returncode, done.stdout))

    def test_item_and_blocks_on_standard_input(self):
        self.assertEqual(["5"], self.lines("--stdin", "item", "wc", "-c", text="abcde\n"))
        out = self.lines("--block", "100", "wc", "-c", text=seq(100))
        self.assertEqual(len(seq(100)), sum(map(int, out)))
        self.assertLessEqual(max(map(int, out)), 100)

    def test_shell_gets_items_as_parameters(self):
        self.assertEqual(["$(exit 9); x", "'"], self.lines("--shell", 'printf "%s\\n" {}', text="$(exit 9); x\n'\n"))

    def test_placeholders_and_environment(self):
        self.assertEqual(["1 1 a 1 1 m"], self.lines("--name", "m", "-j1", "sh", "-c", 'echo {#} {%} {1} $JOBD_SEQ $JOBD_SLOT $JOBD_MAP', text="a\n"))


class LargeItems(Map):
    def test_records_around_large_ones_stay_whole(self):
        items = [c * n for c, n in (("a", 1), ("b", 700001), ("c", 1), ("d", 262144), ("e", 262145), ("f", 500000), ("g", 2), ("h", 300000))]
        for end in ("\n", ""):
            out = self.lines("--stdin", "item", "--shell", "tr -d '\\n' | tee copy$JOBD_SEQ | wc -c; head -c 1 copy$JOBD_SEQ; echo", text="\n".join(items) + end)
            self.assertEqual([w for i in items for w in (str(len(i)), i[0])], out)


class Batches(Map):
    def test_batches_by_number_and_size(self):
        self.assertEqual(["1 2 3", "4 5 6", "7"], self.lines("-n", "3", "echo", text=seq(7)))
        self.assertEqual(["1,2,3"], self.lines("-n", "3", "--join", ",", "echo", text=seq(3)))
        self.assertEqual(["2", "2"], self.lines("-n", "9", "--spread", "-j2", "--shell", "echo $#", text=seq(4))[-2:])

    def test_the_limit_counts_the_pointers(self):
        out = self.lines("-s", "max", "--shell", "echo $#", text="x\n" * 300000)
        self.assertEqual(300000, sum(map(int, out)))
        self.assertGreater(int(out[0]), self.one_exec)

    def test_a_batch_that_exec_refuses_is_halved_in_order(self):
        big = "".join("%0131000d\n" % i for i in range(40))
        out = self.lines("-n", "40", "-s", "100M", "--shell", 'for i; do echo ${#i}; done', text=big)
        self.assertEqual(["131000"] * 40, out)

    def test_an_item_too_long_fails_alone(self):
        rows = [json.loads(line) for line in self.lines("--out", "jsonl", "echo", text="a\n" + "x" * 200000 + "\nb\n", rc=1)]
        self.assertEqual([0, "E2BIG", 0], [r["status"] for r in rows])

    def test_linger_hands_on_what_there_is(self):
        p = self.start_map("-n", "100", "--linger", "10", "echo")
        p.stdin.write(b"1\n2\n")
        self.assertEqual(b"1 2\n", p.stdout.readline())

    def test_linger_hands_on_what_the_stage_before_gave(self):
        p = self.start_map("echo", "--then", "-n", "100", "--linger", "10", "echo")
        p.stdin.write(b"1\n")
        self.assertEqual(b"1\n", p.stdout.readline())

    def test_batches_of_tuples(self):
        for name, text in (("a", "1\n2\n3\n"), ("b", "x\ny\nz\n")):
            with open(os.path.join(self.folder, name), "w", encoding="ascii") as f:
                f.write(text)
        ab = ("-a", "a", "-a", "b")
        self.assertEqual(["1 x 2 y", "3 z"], self.lines(*ab, "-n", "2", "echo", text=""))
        self.assertEqual(["x y : 1 2 <1 2>", "z : 3 <3>"], self.lines(*ab, "-n", "2", "echo", "{2}", ":", "{1}", "<{1}>", text=""))
        self.assertEqual(["1,2,3 x,y,z"], self.lines(*ab, "--join", ",", "echo", text=""))
        row = json.loads(self.run_map(*ab, "-n", "3", "--out", "jsonl", "true").stdout)
        self.assertEqual([["1", "x"], ["2", "y"], ["3", "z"]], row["item"])

    def test_a_batch_of_tuples_is_halved_between_them(self):
        for name in "ab":
            with open(os.path.join(self.folder, name), "w", encoding="ascii") as f:
                f.write("".join("%d%s%s\n" % (i, name, "-" * 131000) for i in range(20)))
        show = "import sys; print(*(word.rstrip('-') for word in sys.argv[1:]))"
        out = self.lines("-a", "a", "-a", "b", "-n", "20", "-s", "100M", sys.executable, "-c", show, text="")
        self.assertGreater(len(out), 1)
        self.assertEqual({"a"}, {line.split()[0][-1] for line in out})
        self.assertEqual(" ".join("%da %db" % (i, i) for i in range(20)), " ".join(out))

    def test_a_tuple_too_long_is_never_cut(self):
        for name, text in (("a", "x" * 140000 + "\n1\n"), ("b", "y\n2\n")):
            with open(os.path.join(self.folder, name), "w", encoding="ascii") as f:
                f.write(text)
        rows = [json.loads(line) for line in self.lines("-a", "a", "-a", "b", "--out", "jsonl", "echo", text="", rc=1)]
        self.assertEqual([("E2BIG", ""), (0, "1 2\n")], [(row["status"], row["stdout"]) for row in rows])

# A command that says when it is there, and when it got SIGTERM: blocked and waited for, as a shell may take it just before it sleeps.
WAITER = """
import signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
open("begun", "w").write("begun\\n")
signal.sigwait({signal.SIGTERM})
open("termed", "w").write("term\\n")
if sys.argv[1] == "stay":
    signal.pause()
"""


class Ends(Map):
    def test_statuses(self):
        for rc, words in ((0, ("true",)), (1, ("false",)), (127, ("/nonexistent/x",)), (126, ("/etc/passwd",)), (5, ("--deadline", "0.01", "sleep", "9999")),
                          (21, ("--halt", "now,fail=1", "false")), (0, ("--halt", "soon,success=1", "true")), (2, ("-j4", "-w3", "true"))):
            self.assertEqual(rc, self.run_map(*words, text="1\n2\n").returncode, words)

    def test_a_deadline_during_the_grace_of_a_halt_changes_nothing(self):
        """Where the machine is so slow that it comes before the halt: once more, later."""
        self.fifo("go")
        for seconds in (0.3, 2, 15):
            done = self.run_map("-j2", "--halt", "now,success=1", "--deadline", str(seconds), "--grace", str(2 * seconds), "--shell",
                                "test $1 = 2 || { read x <go; exit 0; }; trap '' TERM; echo >go; while :; do sleep 9999; done", text=seq(2))
            if done.returncode == 0:
                break
        self.assertEqual((0, b""), (done.returncode, done.stderr))

    def test_who_started_it_may_ignore_the_ends_of_children(self):
        done = self.run_map("--shell", "exit $(($1 - 1))", text=seq(2), preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN))
        self.assertEqual((1, b""), (done.returncode, done.stderr))

    def test_the_writer_notices_that_no_more_is_read(self):
        done = subprocess.run(["bash", "-c", 'yes 2>/dev/null | "$@" --max-items 2 echo; echo ${PIPESTATUS[@]}', "sh", kit.JOBCTL, "map",
                               *self.mode], capture_output=True, text=True, env=self.env, timeout=kit.PATIENCE)
        self.assertEqual("y\ny\n141 0\n", done.stdout)

    def test_halt_soon_lets_what_was_admitted_through_all_stages(self):
        out = self.lines("-j1", "-w1", "--halt", "soon,done=2", "echo", "--then", "-j1", "-w1", "echo", text=seq(100))
        self.assertIn("1", out)
        self.assertLess(len(out), 5)

    def test_a_failed_source_is_told_after_the_results(self):
        """A folder can be opened and not read."""
        done = self.run_map("-a", self.folder, "echo")
        self.assertEqual(20, done.returncode)

    def test_the_reader_goes_while_the_source_is_blocked_and_nothing_is_written(self):
        ended, begun = self.fifo("termed"), self.fifo("begun")
        p = self.start_map("-j1", sys.executable, "-c", WAITER)
        p.stdin.write(b"go\n")
        begun.line()
        p.stdout.close()
        self.assertEqual("term", ended.line())
        self.assertEqual(-signal.SIGPIPE, p.wait())

    def test_a_stop_delivers_the_finished_prefix_and_terminates_the_rest(self):
        begun = self.fifo("begun")
        self.fifo("never")
        p = self.start_map("-j3", "--shell", 'echo $1; test $1 = 1 || { echo >begun; read x <never; }')
        p.stdin.write(b"1\n2\n3\n")
        self.assertEqual(b"1\n", p.stdout.readline())
        begun.line()
        begun.line()
        p.send_signal(signal.SIGTERM)
        self.assertNotIn(b"3", p.stdout.read())
        self.assertEqual(-signal.SIGTERM, p.wait())

    def test_a_second_signal_kills(self):
        begun, termed = self.fifo("begun"), self.fifo("termed")
        p = self.start_map("-j1", "--grace", "1000", sys.executable, "-c", WAITER)
        p.stdin.write(b"stay\n")
        begun.line()
        p.send_signal(signal.SIGINT)
        termed.line()
        p.send_signal(signal.SIGINT)
        self.assertEqual(-signal.SIGINT, p.wait())

    def test_killed_it_takes_its_commands_along(self):
        begun, termed = self.fifo("begun"), self.fifo("termed")
        p = self.start_map("-j1", sys.executable, "-c", WAITER)
        p.stdin.write(b"go\n")
        begun.line()
        p.kill()
        self.assertEqual("term", termed.line())

    def test_retries_keep_the_place_and_drop_what_was_written(self):
        out = self.lines("--retries", "2", "--retry-delay", "0.01", "--shell", 'echo $1 try $JOBD_ATTEMPT; test $1 != 1 -o $JOBD_ATTEMPT = 3', text=seq(3))
        self.assertEqual(["1 try 3", "2 try 1", "3 try 1"], out)
        out = self.lines("--retries", "2", "--retry-on", "7", "--shell", "echo $JOBD_ATTEMPT; exit 1", text="1\n", rc=1)
        self.assertEqual(["1"], out)

    def test_timeout(self):
        row = json.loads(self.run_map("--out", "jsonl", "--timeout", "0.05", "sleep", text="9999\n").stdout)
        self.assertEqual("timeout", row["status"])


class Stages(Map):
    def test_results_are_the_items_of_the_next_stage(self):
        self.assertEqual(["<1>", "<2>"], self.lines("echo", "--then", "printf", "<%s>\\n", text=seq(2)))
        self.assertEqual(["1", "3"], self.lines("--shell", "test $1 != 2 && echo $1", "--then", "-j1", "echo", text=seq(3), rc=1))

    def test_the_first_stage_is_ahead_by_the_sum_of_the_windows_at_most(self):
        release, begun = self.fifo("release"), self.fifo("begun")
        p = self.start_map("-j1", "-w2", "--shell", "echo $1 >begun; echo $1", "--then", "-j1", "-w2", "--shell", "read x <release; echo $1")
        p.stdin.write(seq(20).encode())
        p.stdin.close()
        self.assertEqual(["1", "2", "3", "4"], [begun.line() for _ in range(4)])
        for n in range(1, 17):
            release.give("go\n")
            self.assertEqual(n, int(p.stdout.readline()))
            self.assertEqual(n + 4, int(begun.line()))
        release.give("go\n" * 4)
        p.stdout.read()

    def test_progress_and_stats(self):
        done = self.run_map("--progress", "json", "--stats", "true", text=seq(5))
        rows = [json.loads(line) for line in done.stderr.splitlines()]
        self.assertEqual((5, 5, 5), tuple(rows[-1][k] for k in ("read", "finished", "delivered")))


class Endings(Map):
    """What a command cannot say itself of its end, jobctl says; what it can, and what the results tell, it does not."""

    def said(self, *words, text):
        done = self.run_map(*words, text=text)
        self.assertEqual(1, done.returncode, done.stderr)
        return done.stderr.decode().replace("jobctl: ", "").splitlines()

    def test_of_each_kind(self):
        self.assertEqual(["item 2 (two) was ended by signal 9 (Killed)"], self.said("--shell", "test $1 != two || kill -9 $$", text="one\ntwo\n"))
        self.assertEqual(["item 1 (x) took longer than --timeout allows"], self.said("-t", "0.1", "--shell", "sleep 1000", text="x\n"))
        self.assertEqual(["item 1 (a...) has a NUL, which no argument can hold; --stdin item takes it"], self.said("echo", text="a\0b\n"))
        long = "\u00e9" * 100000
        self.assertEqual(["item 1 (%s...) is too long for a command line; --stdin item takes it" % long[:20]], self.said("echo", text=long.encode()))

    def test_a_batch_and_a_stage(self):
        self.assertEqual(["item 1 (a...) was ended by signal 9 (Killed)"], self.said("-n2", "--shell", "kill -9 $$", text="a\nb\n"))
        self.assertEqual(["stage 1, item 1 (a) was ended by signal 9 (Killed)"], self.said("--shell", "kill -9 $$", "--then", "cat", text="a\n"))

    def test_an_item_cannot_move_the_cursor(self):
        self.assertEqual(["item 1 (\\x1b[2J) was ended by signal 9 (Killed)"], self.said("--shell", "kill -9 $$", text="\x1b[2J\n"))

    def test_nothing_where_it_is_told_already(self):
        self.assertEqual(["why"], self.said("--shell", "echo why >&2; exit 3", text="a\n"))
        self.assertEqual([], self.said("--stderr", "drop", "--shell", "kill -9 $$", text="a\n"))
        self.assertEqual([], self.said("--out", "jsonl", "--shell", "kill -9 $$", text="a\n"))

    def test_the_first_ones_alone(self):
        said = self.said("--shell", "kill -9 $$", text=seq(50))
        self.assertEqual((21, "and more items; --out jsonl tells of each"), (len(said), said[-1]))


class Progress(Map):
    def write(self, name, text):
        with open(os.path.join(self.folder, name), "w", encoding="ascii") as f:
            f.write(text)

    def start_held(self, *words, **more):
        """A map whose first command waits for self.release, once it says what the total is; and the line that said it."""
        if not hasattr(self, "release"):
            self.release = self.fifo("release")
        p = self.start_map("-j1", "-w1", "--progress", "json", "--heartbeat", "0.01", *words, **more)
        row = {}
        while "total" not in row:
            row = json.loads(p.stderr.readline())
        return p, row

    def total(self, *words):
        p, row = self.start_held(*words, "--shell", "read x <release")
        p.terminate()
        self.assertEqual(-signal.SIGTERM, p.wait())
        return row["total"]

    def test_the_items_of_files_are_counted_as_they_are_read(self):
        self.write("a", "\n".join(["x" * (i % 30) for i in range(1000)]))
        self.write("b", seq(900))
        self.write("c", "1,2,,3")
        for expected, words in ((1000, ("-a", "a")), (966, ("-a", "a", "--skip-empty")), (7, ("-a", "a", "--skip", "3", "--max-items", "7")),
                                (4, ("-a", "c", "-d", ",")), (3, ("-a", "c", "-d", ",", "--skip-empty")), (1, ("-a", "a", "-0")),
                                (143, ("-a", "a", "-n", "7")), (900, ("-a", "a", "-a", "b")), (1000, ("-a", "a", "-a", "b", "--zip", "fill", "--fill", "")),
                                (900, ("-a", "a", "-a", "b", "--zip", "strict"))):
            self.assertEqual(expected, self.total(*words), words)
        for words in (("-a", "a", "--block", "100"), ("-a", "b", "-s", "400"), ("-a", "b", "-n", "9", "--join", ", "), ("-a", "b", "-s", "2K", "--spread", "-j3", "-w3")):
            p = self.run_map(*words, "--stats", "true")
            self.assertEqual(self.numbers(p)["admitted"], self.total(*words), words)

    def test_counting_leaves_the_input_where_it_is(self):
        """Standard input, of which somebody else has read a line, and whose offset the map shares with us."""
        self.fifo("never")
        self.write("a", "".join("%099d\n" % i for i in range(5000)))
        with open(os.path.join(self.folder, "a"), "rb", buffering=0) as f:
            f.read(100)
            p = subprocess.Popen([kit.JOBCTL, "map", *self.mode, "-j1", "-w1", "--progress", "json", "--heartbeat", "0.01", "--shell", "read x <never"], stdin=f,
                                 stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=self.folder, env=self.env)
            self.addCleanup(self.end, p)
            row = {}
            while "total" not in row:
                row = json.loads(p.stderr.readline())
            self.assertEqual((4999, 1), (row["total"], row["admitted"]))
            self.assertLessEqual(os.lseek(f.fileno(), 0, os.SEEK_CUR), 65636)

    def test_a_file_that_has_grown_has_no_total(self):
        self.write("a", seq(2))
        p, row = self.start_held("-a", "a", "--shell", "test $1 -gt 2 || read x <release")
        self.assertEqual((2, 0), (row["total"], row["percent"]))
        with open(os.path.join(self.folder, "a"), "a", encoding="ascii") as f:
            f.write("3\n4\n")
        self.release.give("go\ngo\n")
        last = json.loads(p.stderr.read().splitlines()[-1])
        self.assertEqual((0, 4, False), (p.wait(), last["delivered"], "total" in last))

    def test_what_is_left_is_told(self):
        p, _ = self.start_held("--total", "4", "--shell", "read x <release", "--then", "-j1", "true")
        p.stdin.write(seq(3).encode())
        self.release.give("go\n" * 2)
        row = {"delivered": 0}
        while row["delivered"] < 2 or row["running"] < 1:
            row = json.loads(p.stderr.readline())
        self.assertEqual(50, row["percent"])
        self.assertGreater(row["eta_s"], 0)
        self.release.give("go\n")
        p.stdin.close()
        self.assertEqual(75, json.loads(p.stderr.read().splitlines()[-1])["percent"])

    def test_bar_and_plain(self):
        self.write("a", seq(4))
        for how, expected in (("plain", "4 of 4 delivered (100%), 0 running, 1 failed\n"), ("bar", "[" + "#" * 30 + "] 4 of 4 delivered (100%), 0 running, 1 failed\n")):
            done = self.run_map("-a", "a", "--total", "4", "--progress", how, "--shell", "test $1 != 3")
            self.assertTrue(done.stderr.decode().endswith(expected), done.stderr)


class Resume(Map):
    COUNT = 'echo $1 >>ran; test $1 != bad && echo got $1'

    def ran(self):
        path = os.path.join(self.folder, "ran")
        if not os.path.exists(path):
            return []
        with open(path, encoding="ascii") as f:
            lines = f.read().split()
        os.unlink(path)
        return lines

    def test_a_second_map_runs_nothing_twice_and_prints_nothing_twice(self):
        self.assertEqual(["got 1", "got 2"], self.lines(*self.keeps, "--shell", self.COUNT, text="1\n2\n"))
        self.assertEqual(["1", "2"], sorted(self.ran()))
        self.assertEqual(["got 3", "got 1"], self.lines(*self.keeps, "--resume", "--shell", self.COUNT, text="3\n1\n1\n2\n"))
        self.assertEqual(["1", "3"], sorted(self.ran()))
        self.assertEqual(["got 3", "got 2"], self.lines(*self.keeps, "--resume=all", "--shell", self.COUNT, text="3\n2\n"))
        self.assertEqual([], self.ran())

    def test_failures_run_again_when_asked(self):
        self.lines(*self.keeps, "--shell", self.COUNT, text="1\nbad\n", rc=1)
        self.lines(*self.keeps, "--resume", "--shell", self.COUNT, text="1\nbad\n", rc=1)
        self.assertEqual(["1", "bad"], sorted(self.ran()))
        self.lines(*self.keeps, "--durable", "--resume-failed", "--shell", self.COUNT, text="1\nbad\n", rc=1)
        self.assertEqual(["bad"], self.ran())

    def limit_arguments(self):
        """To less than jobctl knows of, where that can be: then batches are found too long, and run in parts."""

    # The one with item N fails as long as there is a file "badN".
    PARTS = ("-n", "3", "-s", "max", "--shell", '''
        echo $# >>ran; echo error >&2
        for i; do n=${i%%x*}; echo got $n; test ! -e bad$n || bad=1; done
        exit ${bad-0}''')

    def parts(self, *words, rc=0):
        done = self.run_map(*self.keeps, *words, *self.PARTS, text="".join("%d%s\n" % (i, "x" * 131000) for i in range(9)))
        self.assertEqual(rc, done.returncode, done.stderr)
        return done.stdout.decode().split("got ")[1:], done.stderr

    def test_a_batch_that_was_done_in_parts_is_not_printed_again(self):
        self.limit_arguments()
        out = self.parts()[0]
        self.assertEqual(["%d\n" % i for i in range(9)], out)
        self.ran()
        for how in (("--resume",), ("--resume-failed",), ("--resume-failed", "--line-buffer")):
            self.assertEqual(([], b""), self.parts(*how))
        self.assertEqual(out, self.parts("--resume=all")[0])
        self.assertEqual([], self.ran())

    def test_a_batch_of_which_a_part_failed_is_printed_as_a_whole(self):
        self.limit_arguments()
        bad = [os.path.join(self.folder, "bad%d" % i) for i in (3, 5)]
        for name in bad:
            open(name, "w", encoding="ascii").close()
        self.parts(rc=1)
        self.assertEqual(([], b""), self.parts("--resume", rc=1))
        for name in reversed(bad):              # at last only the first part of the batch runs again
            self.assertEqual(["3\n", "4\n", "5\n"], self.parts("--resume-failed", rc=1)[0])
            os.unlink(name)
        self.assertEqual(["3\n", "4\n", "5\n"], self.parts("--resume-failed")[0])
        self.assertEqual(([], b""), self.parts("--resume-failed"))

    def map_with_a_blocked_head(self):
        """Started over 4 items; returns when the last three have ended, and the first has begun. `never` releases it, and `go` keeps it from waiting."""
        begun, never = self.fifo("begun"), self.fifo("never")
        self.script = 'echo $1 >>ran; test $1 != 1 -o -e go || { echo >begun; read x <never; }; echo got $1'
        p = self.start_map("-j2", "-w4", *self.keeps, "--progress", "json", "--heartbeat", "0.01", "--shell", self.script)
        p.stdin.write(seq(4).encode())
        begun.line()
        p.stdin.close()
        while json.loads(p.stderr.readline())["finished"] < 3:
            pass
        return p, never

    def test_after_the_reader_went_away_the_rest_is_printed(self):
        p = self.start_map("-j1", *self.keeps, "--shell", self.COUNT)
        p.stdin.write(b"1\n")
        p.stdout.readline()
        p.stdout.close()
        self.assertEqual(-signal.SIGPIPE, p.wait())
        self.ran()
        out = self.lines(*self.keeps, "--resume", "--shell", self.COUNT, text=seq(2))
        self.assertEqual(["got 2"], out[-1:])

    def test_mistakes_are_named(self):
        self.lines(*self.keeps, "echo", text="1\n")
        self.assertEqual(self.refused, self.run_map(*self.keeps, "echo", text="1\n").returncode)
        self.assertIn(b"another command", self.run_map(*self.keeps, "--resume", "echo", "x", text="1\n").stderr)
        self.assertEqual(2, self.run_map("--resume", "echo").returncode)

    STAGES = ("-j2", "--shell", "echo $1 >>ran; echo $1; test $1 != bad", "--then", "-j2", "--shell", "echo two$1 >>ran; test $1 != 3 && echo got $1")

    def test_stages_have_results_of_their_own(self):
        """The same items and the same command in both: what one stage has done does not count in the other."""
        double = (*self.keeps, "expr", "2", "*", "--then", "expr", "2", "*")
        self.assertEqual(["4", "8"], self.lines(*double, text="1\n2\n"))
        double = (*self.keeps, "--resume", *double[len(self.keeps):])
        self.assertEqual(["16"], self.lines(*double, text="2\n1\n4\n"))

    def test_no_stage_runs_anything_twice(self):
        self.assertEqual(["got 1", "got 2"], self.lines(*self.keeps, *self.STAGES, text="1\nbad\n2\n3\n", rc=1))
        self.assertEqual(sorted(["1", "2", "3", "bad", "two1", "two2", "two3"]), sorted(self.ran()))
        self.assertEqual(["got 4"], self.lines(*self.keeps, "--resume", *self.STAGES, text="1\n4\nbad\n2\n3\n", rc=1))
        self.assertEqual(["4", "two4"], self.ran())
        self.assertEqual(["got 1", "got 2", "got 4"], self.lines(*self.keeps, "--resume=all", *self.STAGES, text="1\nbad\n2\n3\n4\n", rc=1))
        self.assertEqual([], self.ran())
        self.assertEqual([], self.lines(*self.keeps, "--resume-failed", *self.STAGES, text="1\nbad\n2\n3\n4\n", rc=1))
        self.assertEqual(["bad", "two3"], sorted(self.ran()))

    def test_of_a_changed_stage_all_runs_and_of_those_before_nothing(self):
        self.lines(*self.keeps, *self.STAGES, text="1\n2\n")
        self.ran()
        done = self.run_map(*self.keeps, "--resume", *self.STAGES[:-1], "echo now $1", text="1\n2\n")
        self.assertEqual((b"now 1\nnow 2\n", []), (done.stdout, self.ran()))
        self.assertRegex(done.stderr, b"stage 2|.2 has results of another")

    def test_a_kill_between_the_stages_loses_nothing(self):
        begun, never = self.fifo("begun"), self.fifo("never")
        stages = ("-j2", "--shell", "echo $1 >>ran; echo $1", "--then", "-j1", "--shell",
                  "echo two$1 >>ran; test $1 != 2 -o -e go || { echo >begun; read x <never; }; echo got $1")
        p = self.start_map(*self.keeps, *stages)
        p.stdin.write(seq(3).encode())
        p.stdin.close()
        self.assertEqual(b"got 1\n", p.stdout.readline())
        begun.line()
        p.kill()
        p.wait()
        self.write_go()
        never.give("go\n")
        self.assertEqual(["got 2", "got 3"], self.lines(*self.keeps, "--resume", *stages, text=seq(3))[-2:])
        ran = self.ran()
        self.assertEqual(["1", "two1"], sorted(word for word in ran if word.endswith("1")))
        self.assertEqual(1, ran.count("2"))

    def resume_until_the_end(self, dice, words, text):
        """What is printed by maps that are killed after some lines of it, five times, and by one that is not."""
        out, kills = [], 0
        while True:
            p = self.start_map(*words, *(("--resume",) if out or kills else ()), *self.PAIR)
            p.stdin.write(text)
            p.stdin.close()
            for _ in range(dice.randrange(12) if kills < 5 else 0):
                out.append(p.stdout.readline())
            if kills < 5:
                p.kill()
            kills += 1
            out += p.stdout.readlines()
            rc = p.wait()
            if rc == 0:
                return [line.decode() for line in out if line]
            self.assertIn(rc, (-signal.SIGKILL, 6), p.stderr.read())        # 6: the daemon has not yet seen that the last one has died

    PAIR = ("-j3", "--shell", "echo $1 >>ran; echo a$1", "--then", "-j2", "--shell", "echo b$1")

    def test_kills_lose_nothing_in_any_stage(self):
        for seed in range(3):
            dice = random.Random(seed)
            items = [dice.randrange(30) for _ in range(60)]
            keeps = (*self.keeps[:-1], self.keeps[-1] + str(seed))
            out = self.resume_until_the_end(dice, keeps, "".join("%d\n" % i for i in items).encode())
            expected = ["ba%d\n" % i for i in items]
            at = 0
            for line in out:        # in order, and of each kill one item at most is printed again
                if at < len(expected) and line == expected[at]:
                    at += 1
                else:
                    self.assertEqual(expected[at - 1], line, "seed %d" % seed)
            self.assertEqual(len(expected), at, "seed %d" % seed)
            self.assertLessEqual(len(self.ran()), 60 + 5 * (3 + 1), "seed %d" % seed)

    def write_go(self):
        with open(os.path.join(self.folder, "go"), "w", encoding="ascii"):
            pass

    def test_what_leaves_while_it_runs_is_kept_as_well(self):
        """--ungroup and --line-buffer: printed as it comes; what did not end is printed again when it runs again."""
        script = "echo $1 >>ran; echo begun $1; test $1 != 2 -o -e go || read x <never; echo done $1"
        never = self.fifo("never")
        for more in (("--ungroup",), ("--line-buffer",), ("--line-buffer", "-u")):
            keeps = (*self.keeps[:-1], self.keeps[-1] + "".join(more), "-j1", *more)
            p = self.start_map(*keeps, "--shell", script)
            p.stdin.write(b"1\n2\n")
            printed = [p.stdout.readline() for _ in range(3)]
            if more != ("--line-buffer",):              # of two items the lines may come in any order
                printed.sort(key=lambda line: (line.split()[1], line))
            self.assertEqual([b"begun 1\n", b"done 1\n", b"begun 2\n"], printed)
            p.terminate()
            self.assertEqual(-signal.SIGTERM, p.wait())
            self.write_go()
            self.assertEqual(["begun 2", "done 2"], self.lines(*keeps, "--resume", "--shell", script, text=seq(2)))
            self.assertEqual(["1", "2", "2"], self.ran())
            self.assertEqual([], self.lines(*keeps, "--resume", "--shell", script, text=seq(2)))
            self.assertEqual(["begun 1", "done 1", "begun 2", "done 2"], self.lines(*keeps, "--resume=all", "--shell", script, text=seq(2)))
            self.assertEqual([], self.ran())
            os.unlink(os.path.join(self.folder, "go"))
        del never

    def test_what_was_printed_of_a_long_output_is_in_the_record_too(self):
        script = "head -c 300000 /dev/zero | tr '\\0' $1; echo"
        keeps = (*self.keeps, "--line-buffer", "--buffer-bytes", "64K")
        expected = [c * 300000 for c in "ab"]
        self.assertEqual(expected, self.lines(*keeps, "--shell", script, text="a\nb\n"))
        self.assertEqual(expected, self.lines(*keeps, "--resume=all", "--shell", script, text="a\nb\n"))
        self.assertEqual([], self.lines(*keeps, "--resume", "--shell", script, text="a\nb\n"))

    def test_one_map_has_the_results_at_a_time(self):
        begun = self.fifo("begun")
        self.fifo("never")
        p = self.start_map(*self.keeps, "--shell", "echo >begun; read x <never")
        p.stdin.write(b"1\n")
        begun.line()
        self.assertEqual(self.refused, self.run_map(*self.keeps, "--resume", "echo").returncode)
        p.terminate()
        p.wait()
