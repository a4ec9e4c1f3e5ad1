# SPDX-License-Identifier: MIT
"""What the tests of `jobctl fetch` share: a folder, a server that misbehaves, a fetch that is run and looked at."""
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
import zlib

sys.dont_write_bytecode = True
import server  # noqa: E402

BUILD = os.path.abspath(os.environ.get("JOBD_BUILDDIR", "."))
JOBCTL = os.environ.get("JOBCTL") or os.path.join(BUILD, "jobctl")
SANITIZED = os.environ.get("JOBD_SANITIZERS", "no") != "no"
SOAK = os.environ.get("JOBD_SOAK") == "1"
PATIENCE = 600 if SOAK else 180 if SANITIZED else 60
PROMPT = 10     # for what takes a second at most where nothing else runs
OLD = b"what was there before, and longer than nothing\n" * 3

OK, USAGE, HTTP, NET, SHORT, SUM, CHANGED, IO, RANGE, LOCKED, DEADLINE = 0, 2, 10, 11, 12, 13, 14, 15, 16, 17, 18


def environment(**more):
    """No proxy, no credentials and no jobd of whoever runs the tests."""
    drop = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
    env = {k: v for k, v in os.environ.items() if k.lower() not in drop and not k.startswith("AWS_")}
    env.update(JOBD_LIBEXEC=BUILD, **more)
    return env


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def crc32(data):
    return zlib.crc32(data)


class Done:
    """A fetch that is over: status, the final record, what it said."""

    def __init__(self, process, out, err):
        self.status, self.out, self.err = process.returncode, out, err
        lines = out.decode("utf-8", "replace").splitlines()
        self.lines = [json.loads(line) for line in lines if line.startswith("{")]
        self.end = self.lines[-1] if self.lines else None

    def __str__(self):
        return "status %s\n%s\n%s" % (self.status, self.err.decode("utf-8", "replace"), json.dumps({k: v for k, v in (self.end or {}).items() if k != "parts"}))


class FetchTest(unittest.TestCase):
    def setUp(self):
        if not os.path.exists(os.path.join(BUILD, "jobd-fetch")):
            self.skip("jobd-fetch was not built: libcurl is missing")
        self.folder = tempfile.mkdtemp(prefix="fetch-")
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.server = server.Server()
        self.addCleanup(self.server.stop)
        self.name = os.path.join(self.folder, "out")

    def skip(self, reason):
        print("\nSKIP: " + reason, flush=True)
        self.skipTest(reason)

    # -- running

    def start(self, url, *options, env=None, stdout=subprocess.PIPE, before=(), output=True):
        """before: words in front of the command. output: -o out, unless the options say where."""
        words = [*before, JOBCTL, "fetch", url, *map(str, options)]
        if output and not any(str(o).startswith(("-o", "--output", "--into")) for o in options):
            words += ["-o", self.name]
        return subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE, env=environment(**(env or {})),
                                cwd=self.folder)

    def fetch(self, url, *options, env=None, stats=True, before=()):
        if before:                       # who is traced cannot look for leaks
            env = {**(env or {}), "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"}
        p = self.start(url, *options, *(["--stats"] if stats else []), env=env, before=before)
        try:
            out, err = p.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            p.kill()
            out, err = p.communicate()
            self.fail("the fetch did not end within %d s\n%s" % (PATIENCE, err.decode()))
        return Done(p, out, err)

    def failing(self, *calls):
        """Words that make system calls of the fetch fail: "pwrite64:error=EIO:when=2+"."""
        words = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=" + ",".join(c.split(":")[0] for c in calls)]
        for call in calls:
            words += ["-e", "inject=" + call]
        if not shutil.which("strace") or subprocess.run([*words[:5], "true"], capture_output=True, check=False).returncode != 0:
            self.skip("strace may not trace here")
        return words

    # -- looking

    def read(self, path=None):
        with open(path or self.name, "rb") as f:
            return f.read()

    def write(self, data, path=None):
        with open(path or self.name, "wb") as f:
            f.write(data)

    def left(self):
        return sorted(os.listdir(self.folder))

    def right(self, done, data, left=("out",)):
        """Status 0, these bytes, and nothing else in the folder."""
        self.assertEqual(OK, done.status, str(done))
        self.assertEqual(len(data), os.path.getsize(self.name), str(done))
        self.assertTrue(self.read() == data, "the bytes differ\n%s" % done)
        self.assertEqual(sorted(left), self.left(), str(done))

    def untouched(self, done, status, left=None):
        """This status, and the name shows what it showed before. left: what else is in the folder, if that is known."""
        self.assertEqual(status, done.status, str(done))
        self.assertEqual(OLD, self.read(), str(done))
        if left is not None:
            self.assertEqual(sorted(("out", *left)), self.left(), str(done))
        self.assertIn(b"fetch: ", done.err)


def main():
    unittest.main(module="__main__")
