# SPDX-License-Identifier: MIT
"""Output files that are used again: nothing of an earlier job is ever in the output of a later one."""
import os
import sys
import unittest

from case import Case

TRIES = 200             # on a busy machine hardly any job is over before its start is told


class Spares(Case):
    def setUp(self):
        super().setUp()
        self.folder = os.path.join(self.d.state, "out", ".spare")
        self.gate = os.path.join(self.d.folder, "gate")
        os.mkfifo(self.gate)

    def spares(self):
        return sorted(os.listdir(self.folder), key=int)

    def make_spare(self, shell="true"):
        """The path of the one that is taken next."""
        for _ in range(TRIES):
            self.wait(self.submit({"j": shell}))
            if self.spares():
                return os.path.join(self.folder, self.spares()[-1])
        self.fail("no output file is kept to be used again")

    def begin(self):
        """A job that has begun, and writes the rest when its gate is closed."""
        run = self.submit({"j": "echo begin; echo error >&2; cat %s; echo end" % self.gate})
        return run, os.open(self.gate, os.O_WRONLY)

    def check_output(self, run):
        self.wait(run)
        self.assertEqual((self.output(run, "j"), self.output(run, "j", "err")), (b"begin\nend\n", b"error\n"))

    def check_next_job(self):
        run, gate = self.begin()
        os.close(gate)
        self.check_output(run)

    def files(self, run):
        folder = os.path.join(self.d.state, "out", run)
        return [os.path.join(folder, name) for name in os.listdir(folder)]

    def inodes(self, run):
        return {os.stat(file).st_ino for file in self.files(run)}

    def test_a_file_is_used_again(self):
        spare = os.stat(self.make_spare()).st_ino
        run, gate = self.begin()
        found = self.inodes(run)
        os.close(gate)
        self.check_output(run)
        self.assertIn(spare, found)

    def test_who_still_has_it_open_does_not_write_into_the_output_of_another_job(self):
        self.make_spare()
        held = [os.open(os.path.join(self.folder, name), os.O_WRONLY | os.O_APPEND) for name in self.spares()]
        run, gate = self.begin()
        for fd in held:
            os.write(fd, b"what an earlier job left behind writes late\n")
        os.close(gate)
        self.check_output(run)
        for fd in held:
            os.close(fd)
        self.check_next_job()

    def test_who_still_has_it_open_does_not_read_the_output_of_another_job(self):
        self.make_spare()
        held = [os.open(os.path.join(self.folder, name), os.O_RDONLY) for name in self.spares()]
        self.check_next_job()
        self.assertEqual([os.read(fd, 1000) for fd in held], [b""] * len(held))
        for fd in held:
            os.close(fd)

    def begin_after_others(self):
        """A run that is held up by a job of its own, and the empty files that are still called as those of jobs that have ended."""
        jobs = {"a%d" % i: "true" for i in range(20)}
        for _ in range(TRIES):
            run = self.submit({**jobs, "m": "cat %s" % self.gate, **{"n%d" % i: "echo $JOBD_PATH" for i in range(20)}}, workers=1)
            gate = os.open(self.gate, os.O_WRONLY)
            self.call("Stats")                  # answered when all ends until now are on the disk
            kept = [f for f in self.files(run) if not os.path.basename(f).startswith("20.")]
            if kept:
                return run, gate, kept
            os.close(gate)
            self.wait(run)
        self.fail("no output file keeps its name until it is used again")

    def check_after_others(self, run):
        self.wait(run)
        for i in range(20):
            self.assertEqual((self.output(run, "a%d" % i), self.output(run, "n%d" % i)), (b"", b"n%d\n" % i))
        self.assertFalse(os.path.exists(os.path.join(self.d.state, "out", run)))

    def test_in_its_run_a_file_keeps_its_name_until_it_is_used_again(self):
        run, gate, kept = self.begin_after_others()
        self.assertEqual({os.path.getsize(f) for f in kept}, {0})
        os.close(gate)
        self.check_after_others(run)

    def test_who_has_it_open_under_its_old_name_shares_nothing_with_a_later_job(self):
        run, gate, kept = self.begin_after_others()
        held = [os.open(f, os.O_RDWR | os.O_APPEND) for f in kept]
        os.close(gate)
        self.check_after_others(run)
        self.assertEqual([os.read(fd, 1000) for fd in held], [b""] * len(held))
        for fd in held:
            os.write(fd, b"late")
            os.close(fd)
        self.check_next_job()

    def test_after_a_kill_nothing_of_an_earlier_life_is_used_again(self):
        run, gate, _ = self.begin_after_others()
        self.d.kill()
        os.close(gate)
        self.d.start()
        self.connect()
        self.wait(run)
        self.assertEqual([self.output(run, "n%d" % i) for i in range(20)], [b"n%d\n" % i for i in range(20)])
        self.call("Remove", run=run)
        self.check_next_job()

    def test_what_was_written_before_it_is_used_again_is_gone(self):
        path = self.make_spare()
        for name in self.spares():
            with open(os.path.join(self.folder, name), "w", encoding="ascii") as f:
                f.write("late" * 5000)
        self.assertTrue(os.path.getsize(path))
        for _ in range(3):
            self.check_next_job()

    def test_attributes_modes_and_other_names_of_a_file_do_not_pass_on(self):
        def attribute(path):
            os.setxattr(path, "user.jobd.gap", b"0123456789abcdef")

        def link(path):
            os.link(path, os.path.join(self.d.folder, "kept-%d" % os.stat(path).st_ino))

        def mode(path):
            os.chmod(path, 0o666)

        for spoil in (attribute, link, mode):
            self.make_spare()
            for name in self.spares():
                spoil(os.path.join(self.folder, name))
            run, gate = self.begin()
            for file in self.files(run):
                st = os.stat(file)
                self.assertEqual((st.st_mode & 0o777, st.st_nlink, "user.jobd.gap" in os.listxattr(file)), (0o600, 1, False))
            os.close(gate)
            self.check_output(run)

    def test_the_text_of_a_job_does_not_wait_for_the_next_one(self):
        self.make_spare("echo secret")
        self.assertEqual({os.path.getsize(os.path.join(self.folder, name)) for name in self.spares()}, {0})

    def test_a_job_that_was_told_to_run_keeps_its_files_to_itself(self):
        run, gate = self.begin()
        self.conn.send("org.jobd.Logs", {"run": run, "path": "j", "stream": "out", "follow": True}, more=True)
        while not self.conn.receive()["parameters"]["data_b64"]:
            pass
        mine = self.inodes(run)
        os.close(gate)
        while not self.conn.receive()["parameters"]["eof"]:
            pass
        self.assertFalse(mine & {os.stat(os.path.join(self.folder, name)).st_ino for name in self.spares()})

    def test_a_killed_jobd_leaves_none_to_the_next_one(self):
        self.make_spare()
        self.d.kill()
        with open(os.path.join(self.folder, "77"), "w", encoding="ascii") as f:
            f.write("left")
        self.d.start()
        self.connect()
        self.assertEqual(self.spares(), [])
        self.check_next_job()

    def test_a_jobd_that_ends_removes_them(self):
        self.make_spare()
        self.d.stop()
        self.assertFalse(os.path.exists(self.folder))

    def test_many_jobs_write_what_they_write(self):
        """Long and short, with output and without: each its own."""
        jobs = {"%03d" % i: ("true", "echo $JOBD_PATH", "echo $JOBD_PATH >&2", "%s -c 'print(\"x\" * 9000)'" % sys.executable)[i % 8 if i % 8 < 3 else 0 if i % 8 < 7 else 3]
                for i in range(240)}
        run = self.submit(jobs)
        self.wait(run)
        for path, shell in jobs.items():
            text = path.encode() + b"\n" if "echo" in shell else b"x" * 9000 + b"\n" if "python" in shell else b""
            wanted = (b"", text) if ">&2" in shell else (text, b"")
            self.assertEqual((self.output(run, path), self.output(run, path, "err")), wanted, path)


if __name__ == "__main__":
    unittest.main(verbosity=1)
