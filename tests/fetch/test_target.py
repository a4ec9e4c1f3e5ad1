#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Where the bytes go: full and broken disks, names that are taken, locks, streams, files written in place - and what is left behind."""
import errno
import fcntl
import os
import re
import signal
import stat
import struct
import subprocess
import termios
import threading

import kit
from kit import CHANGED, IO, LOCKED, NET, OK, SHORT, SUM, USAGE
from server import Thing, after_the_first, noise

SIZE = 1_000_003
PARTS = ("--min-part", "64K", "-x", "4")
DATA, OTHER = noise(SIZE), noise(SIZE, 2)
KEPT = ("out.part", "out.part.state")


class Names(kit.FetchTest):
    def setUp(self):
        super().setUp()
        self.url = self.server.add("/x", Thing(DATA))

    def refused(self, status, *options, name=None, left=None):
        """Before any request."""
        done = self.fetch(self.url, *PARTS, *options, "-o", name or self.name)
        self.assertEqual(status, done.status, str(done))
        self.assertIn(b"fetch: ", done.err)
        self.assertEqual([], self.server.requests)
        if left is not None:
            self.assertEqual(sorted(left), self.left())
        return done

    def test_an_existing_longer_file_is_replaced(self):
        self.write(noise(3 * SIZE, 5))
        self.right(self.fetch(self.url, *PARTS), DATA)

    def test_a_link_is_replaced_and_not_followed(self):
        self.write(kit.OLD, self.folder + "/elsewhere")
        os.symlink("elsewhere", self.name)
        self.right(self.fetch(self.url, *PARTS), DATA, left=("elsewhere", "out"))
        self.assertEqual(kit.OLD, self.read(self.folder + "/elsewhere"))

    def test_modes_follow_the_umask(self):
        self.right(self.fetch(self.url, before=("sh", "-c", 'umask 027; exec "$@"', "sh")), DATA)
        self.assertEqual(0o640, stat.S_IMODE(os.stat(self.name).st_mode))

    def test_no_clobber(self):
        self.write(kit.OLD)
        self.refused(IO, "--no-clobber", left=("out",))
        self.assertEqual(kit.OLD, self.read())
        os.unlink(self.name)
        os.symlink("nowhere", self.name)
        self.refused(IO, "--no-clobber", left=("out",))
        os.unlink(self.name)
        self.right(self.fetch(self.url, *PARTS, "--no-clobber"), DATA)

    def test_no_clobber_of_a_file_that_came_meanwhile(self):
        def answer(request):
            self.write(kit.OLD)
            Thing(DATA)(request)
        self.server.add("/x", answer)
        self.untouched(self.fetch(self.url, "--no-clobber"), IO, left=KEPT)
        os.unlink(self.name)
        self.server.add("/x", Thing(DATA))
        self.right(self.fetch(self.url, "--no-clobber"), DATA)

    def test_impossible_places(self):
        self.refused(IO, name=self.folder, left=())
        self.refused(IO, name=self.folder + "/no/such/folder", left=())
        self.refused(IO, name=self.folder + "/" + "n" * 254, left=())
        self.refused(IO, name="/proc/version", left=())
        self.refused(IO, name="/proc/out", left=())

    def test_a_part_that_is_no_file_of_ours(self):
        os.symlink("elsewhere", self.name + ".part")
        self.refused(IO, left=("out.part",))
        os.unlink(self.name + ".part")
        os.mkfifo(self.name + ".part")
        self.refused(IO, left=("out.part",))
        os.unlink(self.name + ".part")
        os.mkdir(self.name + ".part")
        self.refused(IO, left=("out.part",))

    def test_two_fetches_to_one_name(self):
        go = threading.Event()

        def answer(request):
            go.wait(kit.PATIENCE)
            Thing(DATA)(request)
        self.server.add("/x", answer)
        first = self.start(self.url, *PARTS)
        while not self.server.requests:
            self.server.over.wait(0.01)
        second = self.fetch(self.url, *PARTS)
        self.assertEqual(LOCKED, second.status, str(second))
        self.assertEqual(["out.part"], self.left())
        go.set()
        first.communicate(timeout=kit.PATIENCE)
        self.assertEqual(OK, first.returncode)
        self.assertEqual(DATA, self.read())
        self.assertEqual(["out"], self.left())

    def test_mtime(self):
        self.server.add("/x", Thing(DATA, age=100_000))
        done = self.fetch(self.url, *PARTS, "--mtime")
        self.right(done, DATA)
        self.assertAlmostEqual(100_000, self.server.paths["/x"].born - os.stat(self.name).st_mtime, delta=2)

    def test_if_changed(self):
        try:
            os.setxattr(self.folder, "user.test", b"1")
        except OSError:
            self.skip("no extended attributes here")
        for thing in (Thing(DATA), Thing(DATA, etag=None, age=100_000)):
            self.server.forget()
            self.server.add("/x", thing if thing.etag else lambda r, t=thing: r.send(304, []) if r.headers.get("if-modified-since") == t.modified() else t(r))
            self.right(self.fetch(self.url, *PARTS, "--if-changed"), DATA)
            before = os.stat(self.name)
            done = self.fetch(self.url, *PARTS, "--if-changed")
            self.right(done, DATA)
            self.assertTrue(done.end["unchanged"])
            self.assertEqual((before.st_ino, before.st_mtime_ns), (os.stat(self.name).st_ino, os.stat(self.name).st_mtime_ns))
            with open(self.name, "ab") as f:
                f.write(b"touched")
            self.assertFalse(self.fetch(self.url, *PARTS, "--if-changed").end["unchanged"])
        self.server.add("/x", Thing(OTHER, '"v2"'))
        self.right(self.fetch(self.url, *PARTS, "--if-changed"), OTHER)

    def test_nothing_secret_is_shown(self):
        go = threading.Event()

        def answer(request):
            if request.number > 1:
                go.wait(kit.PATIENCE)
            Thing(DATA)(request)
        self.server.add("/x", answer)
        reached = self.server.alarm(65536)
        p = self.start(self.url.replace("//", "//me:hunter2@") + "?signature=hunter3", *PARTS, "--save-interval", "0.01", "--json")
        self.assertTrue(reached.wait(kit.PATIENCE))
        while not os.path.exists(self.name + ".part.state"):
            self.server.over.wait(0.01)
        with open("/proc/%d/cmdline" % p.pid, "rb") as f:
            shown = [f.read(), self.read(self.name + ".part.state")]
        self.server.paths["/x"] = lambda r: r.send(410, [])
        p.send_signal(signal.SIGTERM)
        shown += p.communicate(timeout=kit.PATIENCE)
        go.set()
        self.assertIn(b"jobd-fetch", shown[0])
        self.assertIn(self.url.encode(), shown[1])
        failed = self.fetch(self.url.replace("//", "//me:hunter2@") + "?signature=hunter3", *PARTS, "--json", stats=False)
        self.assertEqual(kit.HTTP, failed.status)
        for text in (*shown, failed.out, failed.err):
            self.assertNotIn(b"hunter", text)


class Disks(kit.FetchTest):
    def setUp(self):
        super().setUp()
        self.url = self.server.add("/x", Thing(DATA))

    def broken(self, *calls, options=(), status=IO, left=None):
        self.server.forget()
        self.write(kit.OLD)
        done = self.fetch(self.url, *PARTS, *options, before=self.failing(*calls))
        self.untouched(done, status, left)
        return done

    def resumes(self):
        done = self.fetch(self.url, *PARTS)
        self.right(done, DATA)
        return done

    def test_errors_of_the_disk_keep_what_is_there(self):
        for error in ("EIO", "ENOSPC", "EDQUOT"):
            with self.subTest(error):
                done = self.broken("pwrite64:error=%s:when=4+" % error, options=("--alloc", "none", "--save-bytes", "1G"), left=None)
                self.assertIn(os.strerror(getattr(errno, error)).encode(), done.err)
                self.resumes()

    def test_no_room_is_told_before_the_transfer(self):
        done = self.broken("fallocate:error=ENOSPC:when=2+", left=())
        self.assertLess(done.end["bytes"], SIZE)

    def test_no_room_for_the_state(self):
        self.broken("fallocate:error=ENOSPC:when=1+", left=())

    def test_a_file_system_that_cannot_reserve(self):
        self.write(kit.OLD)
        self.right(self.fetch(self.url, *PARTS, before=self.failing("fallocate:error=EOPNOTSUPP:when=1+")), DATA)

    def test_data_that_cannot_be_synced_is_not_published(self):
        self.broken("fdatasync:error=EIO:when=1+", left=KEPT)
        done = self.resumes()
        self.assertEqual(0, done.end["received"])

    def test_a_name_that_cannot_be_given(self):
        done = self.fetch(self.url, *PARTS, "--no-clobber", before=self.failing("renameat2:error=EACCES:when=1+"))
        self.assertEqual((IO, list(KEPT)), (done.status, self.left()), str(done))
        self.assertEqual(0, self.resumes().end["received"])

    def test_a_state_that_cannot_be_kept(self):
        self.broken("rename:error=EIO:when=1+", options=("--save-interval", "0.001"))
        self.resumes()

    def test_data_that_cannot_be_read_back(self):
        data = noise(16 << 20)                  # the loader of programs reads by the same call, a few times
        self.server.add("/x", Thing(data))
        done = self.fetch(self.url, "--checksum", "md5:" + "0" * 32, before=self.failing("pread64:error=EIO:when=40+"))
        self.assertEqual((IO, list(KEPT)), (done.status, self.left()), str(done))
        self.assertEqual(SUM, self.fetch(self.url, "--checksum", "md5:" + "0" * 32).status)

    def test_short_writes_are_gone_on_with(self):
        self.write(kit.OLD)
        self.right(self.fetch(self.url, *PARTS, before=self.failing("pwrite64:error=EINTR:when=1+2")), DATA)

    def test_alloc(self):
        for how in ("fall", "sparse", "none"):
            self.right(self.fetch(self.url, *PARTS, "--alloc", how), DATA)

    def test_durable(self):
        self.right(self.fetch(self.url, *PARTS, "--durable", "--save-interval", "0.001"), DATA)


class SmallDisk(kit.FetchTest):
    """A file system of 2 MiB, in a mount namespace of its own: nothing is left behind, whatever happens."""

    def on_small_disk(self, script, size="2m"):
        place = self.folder + "/small"
        os.mkdir(place)
        words = ["unshare", "--mount", *(() if os.geteuid() == 0 else ("--user", "--map-root-user")), "sh", "-c",
                 'mount -t tmpfs -o size=%s none "$0" || { echo no mount; exit 77; }; cd "$0"; fetch() { "%s" fetch "$@"; }; %s' % (size, kit.JOBCTL, script), place]
        done = subprocess.run(words, capture_output=True, env=kit.environment(), timeout=kit.PATIENCE, check=False)
        if done.returncode == 77 or b"unshare" in done.stderr:
            self.skip("a small file system can not be mounted")
        return done.stdout.decode().split("\n"), done.stderr

    def test_too_small_is_told_early(self):
        size = 64 << 20         # more than the buffers of sockets hold
        url = self.server.add("/x", Thing(bytes(size)))
        out, err = self.on_small_disk('fetch "%s" -o out --min-part 64K -x 4; echo $?; ls' % url)
        self.assertEqual([str(IO), ""], out, err)
        self.assertIn(b"No space left on device", err)
        self.assertLess(self.server.sent(), size)

    def test_full_in_the_middle_keeps_what_is_there_and_goes_on_when_there_is_room(self):
        data = noise(8 << 20)
        url = self.server.add("/x", Thing(data))
        for how in ("sparse", "none"):
            with self.subTest(how):
                if os.path.exists(self.folder + "/small"):
                    os.rmdir(self.folder + "/small")
                self.server.forget()
                out, err = self.on_small_disk('fetch "%s" -o out --alloc %s --min-part 64K -x 4; echo $?; ls; mount -o remount,size=20m none .; '
                                              'fetch "%s" -o out --min-part 64K --stats -q; sha256sum <out' % (url, how, url))
                self.assertEqual([str(IO), *KEPT], out[:3], err)
                self.assertIn('"resumed_bytes":', out[3])
                self.assertNotIn('"resumed_bytes":0,', out[3])
                self.assertIn(kit.sha256(data), out[4])

    def test_read_only(self):
        url = self.server.add("/x", Thing(DATA))
        out, err = self.on_small_disk('mount -o remount,ro none .; fetch "%s" -o out; echo $?; ls' % url)
        self.assertEqual([str(IO), ""], out, err)
        self.assertEqual([], self.server.requests)


class Streams(kit.FetchTest):
    def out(self, answer, *options, status=OK):
        self.server.add("/x", answer)
        p = self.start(self.server.url("/x"), *PARTS, *options, "-o", "-", "--stats")
        out, err = p.communicate(timeout=kit.PATIENCE)
        self.assertEqual(status, p.returncode, err)
        self.assertEqual([], self.left())
        return out, kit.Done(p, b"\n".join(line for line in err.splitlines() if line.startswith(b"{")), err)

    def test_standard_output(self):
        out, done = self.out(Thing(DATA))
        self.assertTrue(out == DATA)
        self.assertEqual(1, done.end["streams_max"])

    def test_it_is_cut_and_goes_on(self):
        out, done = self.out(lambda r: Thing(DATA).part(r, cut=30000) if r.number in (2, 3) else Thing(DATA)(r))
        self.assertTrue(out == DATA)
        self.assertEqual(SIZE, done.end["received"])

    def test_one_whole_stream_is_cut_and_goes_on(self):
        out, _ = self.out(lambda r: Thing(DATA).whole(r, cut=300_000 if r.number == 1 else None))
        self.assertTrue(out == DATA)

    def test_ranges_are_lost(self):
        out, _ = self.out(lambda r: Thing(DATA)(r) if r.number == 1 else Thing(DATA).whole(r))
        self.assertTrue(out == DATA)

    def test_a_change_cannot_be_mended(self):
        out, _ = self.out(lambda r: Thing(DATA)(r) if r.number == 1 else Thing(OTHER, '"v2"')(r), status=CHANGED)
        self.assertTrue(DATA.startswith(out))

    def test_one_without_validator_cannot_go_on(self):
        out, _ = self.out(lambda r: Thing(DATA, etag=None).whole(r, cut=300_000), "--tries", "3", status=NET)
        self.assertTrue(DATA.startswith(out))

    def test_checksum(self):
        self.out(Thing(DATA), "--checksum", "sha256:" + kit.sha256(DATA))
        self.out(Thing(DATA), "--checksum", "sha256:" + kit.sha256(OTHER), status=SUM)

    def test_range(self):
        out, _ = self.out(Thing(DATA), "--range", "5-70000")
        self.assertTrue(out == DATA[5:70001])

    def test_a_closed_pipe(self):
        self.server.add("/x", Thing(DATA))
        r, w = os.pipe()
        p = self.start(self.server.url("/x"), *PARTS, "-o", "-", stdout=w)
        os.close(w)
        os.close(r)
        err = p.communicate(timeout=kit.PATIENCE)[1]
        self.assertEqual(IO, p.returncode, err)

    def test_a_pipe_that_somebody_else_made_non_blocking(self):
        r, w = os.pipe()
        os.set_blocking(w, False)
        p = self.start(self.server.add("/x", Thing(DATA)), *PARTS, "-o", "-", stdout=w)
        os.close(w)
        with open(r, "rb") as f:
            self.assertTrue(f.read() == DATA)
        self.assertEqual(b"", p.communicate(timeout=kit.PATIENCE)[1])
        self.assertEqual(OK, p.returncode)

    def test_a_full_device(self):
        self.server.add("/x", Thing(DATA))
        done = self.fetch(self.server.url("/x"), *PARTS, "-o", "/dev/full")
        self.assertEqual(IO, done.status)

    def test_a_fifo(self):
        os.mkfifo(self.name)
        self.server.add("/x", Thing(DATA))
        p = self.start(self.server.url("/x"), *PARTS)
        got = self.read()
        p.communicate(timeout=kit.PATIENCE)
        self.assertEqual(OK, p.returncode)
        self.assertTrue(got == DATA)

    def test_a_reader_that_is_slow_is_no_stall(self):
        self.server.add("/x", Thing(noise(4 << 20)))
        reached = self.server.alarm(1)
        p = self.start(self.server.url("/x"), "-o", "-", "--stall-timeout", "0.3")
        self.assertTrue(reached.wait(kit.PATIENCE))
        threading.Event().wait(1)       # the pipe is full meanwhile
        out, err = p.communicate(timeout=kit.PATIENCE)
        self.assertEqual(OK, p.returncode, err)
        self.assertEqual(4 << 20, len(out))

    def test_a_signal_while_the_reader_sleeps(self):
        self.server.add("/x", Thing(noise(4 << 20)))
        reached = self.server.alarm(1 << 20)
        p = self.start(self.server.url("/x"), "-o", "-")
        self.assertTrue(reached.wait(kit.PATIENCE))
        p.terminate()
        self.assertEqual(128 + signal.SIGTERM if p.wait(kit.PROMPT) > 0 else -signal.SIGTERM, p.returncode)
        p.communicate()


class Terminal(kit.FetchTest):
    def seen(self, *options, rows=24, columns=80):
        """What somebody at a terminal sees of a fetch."""
        self.server.add("/x", lambda r: Thing(DATA).part(r, rate=300_000))
        ours, theirs = os.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        p = subprocess.Popen([kit.JOBCTL, "fetch", self.server.url("/x"), "-o", self.name, *PARTS, "--heartbeat", "0.1", *options], stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=theirs, env=kit.environment())
        os.close(theirs)
        text = b""
        try:
            while block := os.read(ours, 65536):
                text += block
        except OSError:
            pass                        # nobody has it open any more
        os.close(ours)
        out = p.communicate(timeout=kit.PATIENCE)[0]
        self.assertEqual((OK, b""), (p.returncode, out), text)
        return text.decode()

    def test_progress_of_the_whole_and_of_each_part(self):
        text = self.seen()
        self.assertRegex(text, r"out  [0-9.]+ K?M?i?B? ?of 976\.6 KiB  [0-9.]+ [KM]?i?B/s")
        self.assertRegex(text, r"  part 2 +228\.0 KiB +[0-9]+ % ")
        self.assertIn("\033[A\033[2K", text)
        self.assertRegex(text.splitlines()[-1], r"out  976\.6 KiB in [0-9.]+ s, ")

    def test_what_is_drawn_over_fits_the_window(self):
        self.name = os.path.join(self.folder, "a-long-näme" * 9)
        drawn = [re.sub("(\033\\[A\033\\[2K)*", "", line) for line in self.seen(rows=4, columns=40).splitlines()[:-1]]
        whole = [line for line in drawn if " of 976.6 KiB  " in line]
        self.assertGreater(len(whole), 1)
        self.assertTrue(all(len(line) < 40 for line in drawn), drawn)
        self.assertTrue(all(self.name.endswith(line.split("  ")[0]) for line in whole), whole)
        self.assertLess(len(drawn), 4 * len(whole))

    def test_quiet(self):
        self.assertEqual("", self.seen("-q"))


class InPlace(kit.FetchTest):
    def setUp(self):
        super().setUp()
        self.url = self.server.add("/x", Thing(DATA))
        self.before = noise(2 * SIZE, 7)
        self.write(self.before)

    def into(self, *options, first=1000, last=700_000, at=500_000):
        return self.fetch(self.url, *PARTS, "--range", "%d-%d" % (first, last), "--into", self.name, "--at", at, *options)

    def test_only_the_range_changes(self):
        done = self.into("--checksum", "sha256:" + kit.sha256(DATA[1000:700_001]))
        self.right(done, self.before[:500_000] + DATA[1000:700_001] + self.before[500_000 + 699_001:])

    def test_a_range_beyond_the_object_writes_nothing(self):
        for answer in (Thing(DATA), Thing(DATA).whole, lambda r: Thing(DATA).whole(r, length=False, cut=SIZE)):
            self.server.add("/x", answer)
            done = self.into(last=SIZE)
            self.assertEqual(kit.RANGE, done.status, str(done))
            self.assertTrue(self.read() == self.before)

    def test_a_failure_leaves_what_is_outside(self):
        self.server.add("/x", after_the_first(Thing(DATA).part, lambda r: Thing(DATA).part(r, cut=0)))
        self.assertEqual(SHORT, self.into("--tries", "2").status)
        now = self.read()
        self.assertTrue(now[:500_000] == self.before[:500_000] and now[500_000 + 699_001:] == self.before[500_000 + 699_001:])
        self.assertEqual(["out"], self.left())

    def test_a_wrong_checksum(self):
        self.assertEqual(SUM, self.into("--checksum", "md5:" + "0" * 32).status)

    def test_it_grows_where_it_must(self):
        self.right(self.into(at=2 * SIZE + 10), self.before + bytes(10) + DATA[1000:700_001])

    def test_what_is_not_there(self):
        os.unlink(self.name)
        self.assertEqual(IO, self.into().status)
        self.assertEqual([], self.left())
        self.assertEqual([], self.server.requests)
        self.assertEqual(USAGE, self.fetch(self.url, "--into", self.name, "--at", "0").status)


if __name__ == "__main__":
    kit.main()
