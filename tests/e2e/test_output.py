# SPDX-License-Identifier: MIT
"""What is kept of what a job writes: byte for byte, head and tail of too much, and never more than configured on the disk."""
import base64
import fcntl
import json
import math
import os
import pty
import resource
import select
import signal
import subprocess
import sys
import time
import unittest

import kit
import varlink
from case import Case

MAX = 1 << 20
HEAD = MAX // 2
# a job's output: the pattern again and again, so that the byte at any offset is known; its length has no factor in common with any block
WRITE = "import os,sys; b=open(sys.argv[1],'rb').read(); f=open(1,'wb',0,closefd=False)\nfor _ in range(int(sys.argv[2])): f.write(b)"


def expected(pattern, offset, n):
    offset %= len(pattern)
    return (pattern * (2 + n // len(pattern)))[offset:offset + n]


class Pieces:
    """Logs, piece by piece: what came, and what was said to be missing."""

    def __init__(self):
        self.data, self.gaps, self.offset = [], [], 0

    def take(self, reply):
        bytes_ = base64.b64decode(reply["data_b64"])
        if reply.get("dropped"):
            self.gaps.append((self.offset, reply["dropped"]))
        begin = self.offset + reply.get("dropped", 0)
        assert reply["offset"] == begin + len(bytes_), reply["offset"]
        if bytes_:
            self.data.append((begin, bytes_))
        self.offset = reply["offset"]

    def all(self):
        return b"".join(b for _, b in self.data)


class Folder:
    """Wakes us when a name in it goes: SIGIO, which is blocked and taken by hand."""

    def __init__(self, path):
        self.path = path

    def __enter__(self):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGIO})
        self.fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.fcntl(self.fd, fcntl.F_NOTIFY, fcntl.DN_RENAME | fcntl.DN_DELETE | fcntl.DN_MULTISHOT)
        return self

    def wait_until_gone(self, name):
        while os.path.lexists(os.path.join(self.path, name)):
            assert signal.sigtimedwait({signal.SIGIO}, kit.PATIENCE), "%s stays" % name

    def __exit__(self, *_):
        os.close(self.fd)


class Writer(Case):
    config = "slots = 4\nlog_level = warning\noutput_max = %d\n" % MAX

    def setUp(self):
        super().setUp()
        self.pattern = os.urandom((1 << 20) + 7)
        self.pattern_file = os.path.join(self.d.folder, "pattern")
        with open(self.pattern_file, "wb") as f:
            f.write(self.pattern)

    def writer(self, times):
        return {"argv": [sys.executable, "-c", WRITE, self.pattern_file, str(times)]}

    def read(self, run, path, stream="out"):
        got, eof = Pieces(), False
        while not eof:
            reply = self.call("Logs", run=run, path=path, stream=stream, offset=got.offset)
            got.take(reply)
            eof = reply["eof"]
        return got

    def follow(self, run, path):
        follow = varlink.Connection(self.d.socket, kit.PATIENCE)
        follow.send("org.jobd.Logs", {"run": run, "path": path, "stream": "out", "follow": True}, more=True)
        got, eof = Pieces(), False
        while not eof:
            reply = follow.receive()["parameters"]
            got.take(reply)
            eof = reply["eof"]
        follow.close()
        return got

    def ran(self, job, path="j"):
        run = self.submit({path: job})
        self.wait(run)
        return run, self.call("Get", run=run, path=path)["attempts"][-1]

    def on_disk(self):
        total = 0
        for folder, _, files in os.walk(os.path.join(self.d.state, "out")):
            for name in files:
                try:
                    total += os.lstat(os.path.join(folder, name)).st_blocks * 512
                except FileNotFoundError:
                    pass
        return total

    def allocated_ahead(self):
        """XFS and others keep room behind the end of what grew fast, for a while."""
        kind = subprocess.run(["stat", "-f", "-c", "%T", self.d.folder], stdout=subprocess.PIPE, text=True, check=True).stdout
        return 0 if kind.startswith(("ext", "tmpfs")) else 64 << 20

    def files(self):
        return [name for folder, _, files in os.walk(os.path.join(self.d.state, "out")) for name in files if os.path.basename(folder) != ".spare"]

    def assert_pieces_are_what_was_written(self, got):
        for offset, data in got.data:
            self.assertEqual(data, expected(self.pattern, offset, len(data)), "at %d" % offset)


class Output(Writer):
    # ---- sizes ----

    def test_every_byte_of_what_is_not_too_much(self):
        for size in (1, 4095, 4096, 4097, MAX - 1, MAX):
            run, attempt = self.ran("head -c %d %s; head -c %d %s >&2" % (size, self.pattern_file, size, self.pattern_file))
            self.assertEqual((attempt["out_bytes"], attempt["out_dropped"], attempt["err_dropped"]), (size, None, None))
            for stream in ("out", "err"):
                got = self.read(run, "j", stream)
                self.assertEqual((got.all(), got.gaps), (self.pattern[:size], []))

    def test_a_byte_too_much_is_one_byte_dropped(self):
        run, attempt = self.ran("head -c %d %s" % (MAX + 1, self.pattern_file))
        self.assertEqual((attempt["out_bytes"], attempt["out_dropped"], attempt["out_dropped_at"]), (MAX + 1, 1, HEAD))
        got = self.read(run, "j")
        self.assertEqual(got.gaps, [(HEAD, 1)])
        self.assertEqual(got.all(), self.pattern[:HEAD] + self.pattern[HEAD + 1:MAX + 1])

    def test_a_job_that_makes_up_its_own_gap_is_held_to_the_cap_all_the_same(self):
        """Where what is left out is written down the job can write, too."""
        for made_up in ("x", "0 1", "0 1 settled"):
            script = ("import os,sys; os.setxattr(1, 'user.jobd.gap', sys.argv[2].encode()); b=open(sys.argv[1],'rb').read()\n"
                      "f=open(1,'wb',0,closefd=False)\nfor _ in range(2000): f.write(b)")
            run = self.submit({"j": {"argv": [sys.executable, "-c", script, self.pattern_file, made_up]}})
            self.wait(run)
            attempt = self.call("Get", run=run, path="j")["attempts"][-1]
            self.assertLessEqual(attempt["out_bytes"] - (attempt["out_dropped"] or 0), MAX + 4096, made_up)
            self.assertLessEqual(len(self.read(run, "j").all()), MAX + 4096, made_up)
            self.call("Remove", run=run)

    def test_nothing_written_leaves_nothing(self):
        run, attempt = self.ran("true")
        self.assertEqual((attempt["out_bytes"], attempt["out_dropped"], self.files()), (0, None, []))
        self.assertEqual(self.read(run, "j").all(), b"")

    # ---- shapes ----

    def test_holes_that_a_job_leaves_itself_are_its_zeros(self):
        run, attempt = self.ran("printf a; truncate -s 300000 /dev/stdout; printf 'z\\0'")
        self.assertEqual((attempt["out_bytes"], attempt["out_dropped"]), (300002, None))
        got = self.read(run, "j")
        self.assertEqual((got.all(), got.gaps), (b"a" + bytes(299999) + b"z\0", []))

    def test_a_sparse_output_of_terabytes_is_cut_like_any_other(self):
        size = 1 << 40
        run, attempt = self.ran("printf a; truncate -s %d /dev/stdout; printf z" % size)
        self.assertEqual(attempt["out_bytes"], size + 1)
        got = self.read(run, "j")
        self.assertEqual((len(got.all()), got.gaps), (MAX, [(HEAD, size + 1 - MAX)]))
        self.assertEqual((got.all()[:2], got.all()[-2:]), (b"a\0", b"\0z"))

    def test_a_job_that_cuts_its_own_output_short_and_begins_anew(self):
        run, attempt = self.ran("head -c %d %s; truncate -s 0 /dev/stdout; printf anew" % (MAX, self.pattern_file))
        self.assertEqual((attempt["out_bytes"], self.read(run, "j").all()), (4, b"anew"))
        for _ in range(20):             # now before, now after the runner has looked at what is cut away
            run, attempt = self.ran("cat %s %s; truncate -s 0 /dev/stdout; head -c 9000 %s" % ((self.pattern_file,) * 3))
            self.assertEqual((attempt["out_bytes"], attempt["out_dropped"]), (9000, None))
            self.assertEqual(self.read(run, "j").all(), self.pattern[:9000])

    def test_two_writers_to_one_output_keep_their_lines_whole(self):
        lines = "import os,sys\nfor _ in range(3000): os.write(1, b'line-of-writer-%s\\n' * 100)"
        run, attempt = self.ran("for w in 1 2; do %s -c \"%s\" & done; wait" % (sys.executable, lines % "$w"))
        self.assertEqual(attempt["out_bytes"], 2 * 300000 * 17)
        got = self.read(run, "j")
        self.assertEqual(sum(n for _, n in got.gaps) + len(got.all()), 2 * 300000 * 17)
        head, tail = got.all()[:HEAD], got.all()[HEAD:]
        lines = set(head.split(b"\n")[:-1] + tail.split(b"\n")[1:-1])
        self.assertLessEqual(lines, {b"line-of-writer-1", b"line-of-writer-2"})

    # ---- much ----

    def test_much_is_held_to_its_bound_while_jobd_answers(self):
        times = 30000 if kit.SOAK else 2000
        run = self.submit({"a": self.writer(times), "b": self.writer(times)})
        waiter = varlink.Connection(self.d.socket, kit.PATIENCE * 10)
        self.addCleanup(waiter.close)
        begin = time.monotonic()
        waiter.send("org.jobd.Wait", {"targets": [{"run": run}]})
        answers, most = [], 0
        while self.call("List")["runs"][0]["state"] == "running":
            answers.append(self.answered_s("Stats"))
            most = max(most, self.on_disk())
        waiter.receive()
        written = 2 * times * len(self.pattern)
        rate = written / (time.monotonic() - begin)
        took, computed = zip(*answers)
        p99 = sorted(took)[math.ceil(len(took) * 0.99) - 1]
        print("%.1f GB at %.1f GB/s; at most %.1f MB on the disk; %d answers, p99 %.1f ms, longest %.1f ms" %
              (written / 1e9, rate / 1e9, most / 1e6, len(answers), p99 * 1e3, max(took) * 1e3))
        self.assertLess(max(computed), 0.25)
        self.assertLess(most, 2 * MAX + max(rate * 0.25, written / 10), "the runner lags by more than 250 ms")
        self.assertLessEqual(self.on_disk(), 2 * (MAX + 3 * 4096) + self.allocated_ahead())
        for path in ("a", "b"):
            got = self.read(run, path)
            self.assertEqual(got.gaps, [(HEAD, times * len(self.pattern) - MAX)])
            self.assert_pieces_are_what_was_written(got)
            attempt = self.call("Get", run=run, path=path)["attempts"][0]
            self.assertEqual((attempt["reason"], attempt["out_bytes"], attempt["out_dropped"]), ("exit", times * len(self.pattern), got.gaps[0][1]))

    def test_it_is_followed_across_the_gap(self):
        run = self.submit({"j": self.writer(1000)})
        got = self.follow(run, "j")
        self.assertEqual(got.offset, 1000 * len(self.pattern))
        self.assertLessEqual(got.offset - sum(n for _, n in got.gaps), 1000 * len(self.pattern))
        self.assert_pieces_are_what_was_written(got)

    def test_what_cannot_be_opened_now_is_not_said_to_be_gone(self):
        run = str(self.submit({"a": "seq 100000"}))
        self.wait(run)
        pid, n = self.d.process.pid, resource.RLIMIT_NOFILE
        before = resource.prlimit(pid, n)
        resource.prlimit(pid, n, (3, before[1]))
        with self.assertRaises(varlink.Error) as caught:
            self.call("Logs", run=run, path="a", stream="out")
        self.assertEqual(("org.jobd.Busy", "what the job wrote cannot be read: Too many open files; it is there: try again later"),
                         (caught.exception.name, caught.exception.parameters["message"]))
        resource.prlimit(pid, n, before)
        self.assertEqual(100000, self.d.jobctl("logs", run + "/a", check=True).stdout.count("\n"))

    def test_to_copy_what_there_is_does_not_mean_to_follow(self):
        run = self.submit({"j": "yes"})
        follow = varlink.Connection(self.d.socket, kit.PATIENCE)
        self.addCleanup(follow.close)
        follow.send("org.jobd.Logs", {"run": run, "path": "j", "stream": "out", "follow": True}, more=True)
        follow.receive()
        self.assertEqual(set(self.d.jobctl("logs", "%s/j" % run, check=True).stdout), {"y", "\n"})
        self.call("Cancel", run=run, now=True)
        self.wait(run)

    def test_a_quiet_output_is_looked_at_again_when_it_grows(self):
        """By then the runner has long ceased to look: a write wakes it."""
        fifo = os.path.join(self.d.folder, "fifo")
        os.mkfifo(fifo)
        run = self.submit({"j": "echo; read x < %s; exec %s -c \"%s\" %s 600" % (fifo, sys.executable, WRITE, self.pattern_file)})
        follow = varlink.Connection(self.d.socket, kit.PATIENCE)
        self.addCleanup(follow.close)
        follow.send("org.jobd.Logs", {"run": run, "path": "j", "stream": "out", "follow": True}, more=True)
        follow.receive()
        with open(fifo, "w", encoding="ascii") as f:
            f.write("go\n")
        self.wait(run)
        got = self.read(run, "j")
        self.assertEqual(len(got.all()), MAX)

    def test_outputs_of_very_many_jobs_are_in_no_files(self):
        n = 100000 if kit.SOAK else 2000 if kit.SANITIZED else 10000
        run = int(self.d.jobctl("submit", "-", text="".join("j%d: echo line %d\n" % (i, i) for i in range(n)), check=True).stdout)
        with varlink.Connection(self.d.socket, kit.PATIENCE * 10) as conn:
            self.assertTrue(conn.call("Wait", targets=[{"run": str(run)}])["done"])
        self.assertEqual(self.files(), [])
        for i in range(0, n, n // 100):
            self.assertEqual(self.output(str(run), "j%d" % i), b"line %d\n" % i)

    # ---- when a process dies meanwhile ----

    def held_writer(self, fifo):
        """Writes much, says so, and goes on when it is told."""
        os.mkfifo(fifo)
        part = "%s -c \"%s\" %s 40" % (sys.executable, WRITE, self.pattern_file)
        return "%s; echo >%s; read x <%s; %s" % (part, fifo, fifo, part)

    def test_jobd_dies_and_the_runner_goes_on_cutting(self):
        fifo = os.path.join(self.d.folder, "fifo")
        run = self.submit({"j": self.held_writer(fifo)})
        with open(fifo, encoding="ascii") as f:
            f.read()
        self.d.kill()
        with open(fifo, "w", encoding="ascii") as f:
            f.write("go\n")
        self.d.start()
        self.connect()
        self.wait(run)
        got = self.read(run, "j")
        size = 80 * len(self.pattern)
        self.assertEqual((len(got.all()), got.gaps), (MAX, [(HEAD, size - MAX)]))
        self.assert_pieces_are_what_was_written(got)
        self.assertEqual(self.call("Get", run=run, path="j")["attempts"][0]["out_dropped"], size - MAX)

    def test_the_runner_dies_and_what_it_left_out_is_known(self):
        fifo = os.path.join(self.d.folder, "fifo")
        run = self.submit({"j": dict(shell=self.held_writer(fifo), on_lost="fail")})
        with open(fifo, encoding="ascii") as f:
            f.read()
        os.kill(self.call("Stats")["runner_pid"], signal.SIGKILL)
        self.wait(run)
        self.assertEqual(self.jobs(run)["j"]["reason"], "lost")
        got = self.read(run, "j")
        self.assertEqual(got.offset, 40 * len(self.pattern))
        self.assertEqual(len(got.gaps), 1)
        self.assert_pieces_are_what_was_written(got)

    # ---- what people see ----

    def test_people_are_told_where_something_is_missing(self):
        run, attempt = self.ran("yes | head -c %d" % (MAX + 5000))
        self.assertEqual(attempt["out_dropped"], 5000)
        done = self.d.jobctl("logs", "%s/j" % run)
        self.assertEqual((len(done.stdout), done.returncode), (MAX, 0))
        self.assertIn("5000 bytes of its stdout were not kept", done.stderr)
        self.assertIn("%d (5000 dropped)" % (MAX + 5000), self.d.jobctl("show", "%s/j" % run).stdout)
        self.assertEqual(json.loads(self.d.jobctl("show", "--json", "%s/j" % run).stdout)["attempts"][0]["out_dropped_at"], HEAD)
        self.assertIn(b"y\r\n[... 5000 bytes were not kept ...]\r\ny\r\n", self.on_a_terminal("logs", "%s/j" % run))

    def on_a_terminal(self, *words):
        master, slave = pty.openpty()
        process = subprocess.Popen([kit.JOBCTL, "--socket", self.d.socket, *words], stdout=slave, stderr=slave, stdin=subprocess.DEVNULL)
        os.close(slave)
        got = b""
        while True:
            try:
                piece = os.read(master, 65536)
            except OSError:             # EIO: nobody has the other end any more
                break
            got += piece
        os.close(master)
        process.wait(kit.PATIENCE)
        return got



class Followers(Case):
    """Who follows a large output, and the others."""
    PIECES = 256            # of 64 KiB

    def follow(self, run):
        conn = varlink.Connection(self.d.socket, kit.PATIENCE)
        self.addCleanup(conn.close)
        conn.send("org.jobd.Logs", {"run": run, "path": "j", "stream": "out", "follow": True}, more=True)
        return conn

    def test_one_that_reads_as_fast_as_it_can_holds_up_nobody(self):
        size = self.PIECES << 18
        run = self.submit({"j": {"argv": [sys.executable, "-c", "import os; os.ftruncate(1, %d)" % size]}})
        self.wait(run)
        follow, came, buffer = self.follow(run), 0, bytearray(1 << 20)
        came += follow.sock.recv_into(buffer)
        self.conn.send("org.jobd.Stats")
        while self.conn.sock not in select.select([self.conn.sock, follow.sock], [], [], kit.PATIENCE)[0]:
            came += follow.sock.recv_into(buffer)
        self.conn.receive()
        self.assertLess(came, size // 4, "the answer came behind the output")

    def test_one_that_does_not_read_for_a_while_misses_nothing(self):
        write = "import os\nfor _ in range(%d): os.write(1, b'x' * 65536), os.fdatasync(1)" % self.PIECES
        run = self.submit(dict(self.puppet_jobs("go"), j={"argv": [sys.executable, "-c", write], "after": ["go"]}))
        follow = self.follow(run)
        self.pup.accept()
        self.pup.end("go")
        self.wait(run)
        got, eof = Pieces(), False
        while not eof:
            reply = follow.receive()["parameters"]
            got.take(reply)
            eof = reply["eof"]
        self.assertEqual(len(got.all()), self.PIECES << 16)


class Budget(Writer):
    """The outputs of a run are 200,000 bytes here: there is room for those of five."""
    config = Writer.config + "output_total = 1000000\n"
    full = "output_total"

    def write(self, name=None, shell="head -c 200000 %s", **more):
        run = self.submit({"j": shell % self.pattern_file}, **dict({"name": name} if name else {}, **more))
        self.wait(run)
        self.call("List")               # after the records of all that: a run's end has been dealt with
        return run

    def has(self, run):
        got = self.read(run, "j")
        if got.gaps:
            self.assertEqual((got.all(), got.gaps), (b"", [(0, 200000)]))
            return False
        self.assertEqual(got.all(), self.pattern[:200000])
        return True

    def test_the_oldest_outputs_go_and_the_records_stay(self):
        runs = [self.write() for _ in range(8)]
        self.assertEqual([self.has(r) for r in runs], [False] * 4 + [True] * 4)
        self.assertLess(self.on_disk(), 1000000)
        self.assertEqual(self.call("Get", run=runs[0], path="j")["attempts"][0]["out_bytes"], 200000)
        self.assertIn("200000 bytes of its stdout were not kept", self.d.jobctl("logs", runs[0] + "/j").stderr)

    def test_the_last_success_and_the_latest_run_of_a_name_keep_theirs(self):
        ok = self.write("nightly")
        bad = [self.write("nightly", "head -c 200000 %s; false") for _ in range(2)]
        runs = [self.write() for _ in range(5)]
        self.assertEqual([self.has(r) for r in [ok] + bad], [True, False, True])
        self.assertEqual([self.has(r) for r in runs], [False] * 3 + [True] * 2)

    def test_when_nothing_can_go_jobs_run_on_and_little_of_theirs_is_kept(self):
        for i in range(5):
            self.write("name-%d" % i)
        self.assertIn(self.full, self.call("Stats")["message"])
        self.assertIn("%s (jobd.conf), and none may go" % self.full, self.d.jobctl("status").stdout)
        run = self.write("one-more")
        attempt = self.call("Get", run=run, path="j")["attempts"][0]
        self.assertEqual((attempt["reason"], attempt["exit_code"], attempt["out_dropped"]), ("exit", 0, 200000 - 8192))
        got = self.read(run, "j")
        self.assertEqual(got.all(), self.pattern[:4096] + self.pattern[200000 - 4096:200000])
        self.assertEqual(self.follow(run, "j").all(), got.all())
        self.assertFalse(os.path.exists(os.path.join(self.d.state, "out", run)))
        self.call("Remove", run="name-0")
        self.call("Remove", run="one-more")
        self.write("small", "echo %s")
        self.assertIsNone(self.call("Stats").get("message"))
        self.assertTrue(self.has(self.write("another")))

    def test_what_an_earlier_jobd_left_is_counted_and_what_belongs_to_nothing_goes(self):
        runs = [self.write() for _ in range(4)]
        out = os.path.join(self.d.state, "out")
        os.mkdir(os.path.join(out, "999"))
        os.mkdir(os.path.join(out, ".gone-998.1"))
        for orphan in ("999/0.1.out", ".gone-998.1/0.1.out"):
            with open(os.path.join(out, orphan), "w", encoding="ascii") as f:
                f.write("x")
        self.d.kill()
        with Folder(out) as folder:
            self.d.start()
            folder.wait_until_gone("999")
            folder.wait_until_gone(".gone-998.1")
        self.connect()
        runs += [self.write() for _ in range(3)]
        self.assertEqual([self.has(r) for r in runs], [False] * 3 + [True] * 4)

    def test_a_run_of_very_many_files_is_removed_behind_the_scenes(self):
        n = 20000
        run = self.write()
        folder = os.path.join(self.d.state, "out", run)
        for i in range(n):
            os.close(os.open(os.path.join(folder, "%d.1.out" % (i + 1)), os.O_CREAT | os.O_WRONLY, 0o600))
        before = time.monotonic()
        self.call("Remove", run=run)
        self.call("Stats")
        took = time.monotonic() - before
        self.assertFalse(os.path.exists(folder))
        print("removed after %.1f ms; %d files left then" % (took * 1e3, len(self.files())))
        self.assertEqual(self.d.stop(), 0)
        self.d.start()
        self.connect()


class PerUser(Budget):
    config = Writer.config + "output_per_user = 1000000\n"
    full = "output_per_user"


if __name__ == "__main__":
    unittest.main()
