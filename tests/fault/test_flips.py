#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
# timeout: 300
"""Bytes of the database or its log are flipped, or their ends cut off: jobd refuses to start and leaves the files as they are, or it
serves what reads as a consistent history. It never crashes.

A database page has no checksum: a flip inside a row that leaves a well-formed row is not seen, here or by SQLite.

    JOBD_FLIPS=500 JOBD_SEED=... tests/fault/test_flips.py
"""
import os
import random
import shutil
import subprocess
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "e2e"))
import kit
import varlink

FLIPS = kit.size("JOBD_FLIPS", 500, 10000)
SEED = os.environ.get("JOBD_SEED") or str(random.SystemRandom().randrange(1 << 32))


def read(path):
    with open(path, "rb") as f:
        return f.read()


def write(path, content):
    with open(path, "wb") as f:
        f.write(content)


class Flips(unittest.TestCase):
    def setUp(self):
        self.folder = self.enterContext(kit.temporary_folder())
        self.state = os.path.join(self.folder, "state")
        self.names = [os.path.join(self.state, name) for name in ("jobd.db", "jobd.db-wal")]
        self.rng = random.Random(SEED)

    def a_killed_life(self):
        """Runs that have ended, half of them in the database and half in the log; the bytes of both."""
        d = kit.Daemon(self.folder, config="slots = 2\nlog_level = error\n")
        for life in range(2):
            d.start()
            for n in range(20):
                run = d.submit("a: echo %d\na/b: 'true'\n" % n, "--key", "k-%d-%d" % (life, n))
            d.jobctl("wait", run, check=True)
            d.kill()
        d.start()
        d.jobctl("shutdown", "--kill", check=True)
        d.gone()
        d.env["JOBD_RUNNER"] = "none"
        d.start()
        for n in range(10):
            d.submit("c: 'true'\nc/d: 'true'\n", "--key", "k-2-%d" % n)
        d.kill()
        return [read(name) for name in self.names]

    def damaged(self, content):
        """One in four is cut off; else up to four bits or bytes change."""
        rng = self.rng
        if not content:
            return content
        if rng.random() < 0.25:
            return content[:rng.randrange(len(content))]
        changed = bytearray(content)
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(changed)) if rng.random() < 0.7 else rng.randrange(min(200, len(changed)))
            changed[at] = changed[at] ^ 1 << rng.randrange(8) if rng.random() < 0.5 else rng.randrange(256)
        return bytes(changed)

    def start(self):
        """jobd with the damaged files: its process when it is ready, else its exit status and words."""
        words = [kit.JOBD, "--state", self.state, "--socket", os.path.join(self.folder, "socket"), "--config", os.devnull, "--ready"]
        p = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace",
                             env=dict(os.environ, JOBD_RUNNER="none"))
        ready = p.stdout.readline() == "ready\n"
        if not ready:
            p.wait(kit.PATIENCE)
        return p, ready

    def is_consistent(self):
        """All runs and jobs can be listed, or a page that turns out to be damaged is told as such."""
        try:
            with varlink.Connection(os.path.join(self.folder, "socket"), kit.PATIENCE) as conn:
                runs = conn.call("List", limit=1000)["runs"]
                for row in runs:
                    try:
                        jobs = conn.call("List", run=str(row["run"]))["jobs"]
                    except varlink.Error as e:
                        self.assertEqual("org.jobd.Failed", e.name)
                    else:
                        self.assertEqual(row["counts"]["total"], len(jobs), row)
        except EOFError:
            return False
        return True

    def judge(self, files):
        p, ready = self.start()
        try:
            if not ready:
                said = p.stderr.read()
                self.assertEqual(1, p.returncode, said)
                self.assertIn("jobd: error: ", said)
                self.assertIn(self.state, said)
                for name, content in zip(self.names, files):
                    self.assertEqual(content, read(name) if os.path.exists(name) else b"", said)
            elif not self.is_consistent():
                self.assertEqual(1, p.wait(kit.PATIENCE))       # a damaged page was met: said, and ended
                self.assertIn("jobd: error: ", p.stderr.read())
        finally:
            p.kill()
            p.wait()
            p.stdout.close()
            p.stderr.close()
        return ready

    def test_a_damaged_start_is_refused_or_consistent(self):
        whole = self.a_killed_life()
        self.assertTrue(all(whole), "there is a database and a log")
        served = 0
        for n in range(FLIPS):
            files = [self.damaged(whole[0]) if n % 3 != 1 else whole[0], self.damaged(whole[1]) if n % 3 != 0 else whole[1]]
            for name, content in zip(self.names, files):
                write(name, content)
            shutil.rmtree(os.path.join(self.state, "backups"), ignore_errors=True)
            try:
                served += self.judge(files)
            except BaseException:
                print("seed %s, damage %d" % (SEED, n))
                raise
        print("%d damages, seed %s: %d refused, %d served" % (FLIPS, SEED, FLIPS - served, served))
        self.assertGreater(FLIPS - served, FLIPS // 10)


if __name__ == "__main__":
    unittest.main()
