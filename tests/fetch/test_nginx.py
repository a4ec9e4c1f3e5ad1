#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A server as it should be: ranges, TLS, HTTP/2, conditions. And what a fetch weighs: its peak of memory does not depend on the object."""
import hashlib
import os
import subprocess

import kit
import nginx
from kit import NET
from server import noise

DATA = noise(20_000_003)
PARTS = ("--min-part", "1M", "-x", "8")
STREAMS, BUFFER, MIB = 8, 256 << 10, 1 << 20


class NginxTest(kit.FetchTest):
    extra = ""

    def setUp(self):
        super().setUp()
        if not nginx.PROGRAM:
            self.skip("nginx is not installed")
        self.side = self.folder + ".side"
        os.mkdir(self.side)
        self.addCleanup(subprocess.run, ["rm", "-rf", self.side], check=True)
        self.root = self.side + "/www"
        os.mkdir(self.root)
        self.nginx = nginx.Nginx(self.side, self.root, certificate=True, extra=self.extra)
        self.addCleanup(self.nginx.stop)


class Good(NginxTest):
    def setUp(self):
        super().setUp()
        self.write(DATA, self.root + "/x")
        self.sum = ("--checksum", "sha256:" + kit.sha256(DATA))

    def test_parts(self):
        done = self.fetch(self.nginx.url("x"), *PARTS, *self.sum)
        self.right(done, DATA)
        self.assertEqual("etag", done.end["validator_kind"])
        self.assertEqual(8, done.end["streams_max"])

    def test_tls(self):
        done = self.fetch(self.nginx.tls_url("x"), *PARTS, *self.sum, "--cacert", self.nginx.cert)
        self.right(done, DATA)
        self.assertEqual("1.1", done.end["http_version"])

    def test_http2(self):
        done = self.fetch(self.nginx.tls_url("x"), *PARTS, *self.sum, "--cacert", self.nginx.cert, "--http2")
        self.right(done, DATA)
        self.assertEqual("2", done.end["http_version"])

    def test_a_certificate_that_is_not_trusted(self):
        self.write(kit.OLD)
        done = self.fetch(self.nginx.tls_url("x"))
        self.untouched(done, NET, left=())
        self.assertIn(b"not trusted", done.err)
        self.assertEqual(0, done.end["retries"])

    def test_a_certificate_for_another_name(self):
        self.write(kit.OLD)
        self.untouched(self.fetch(self.nginx.tls_url("x", host="127.0.0.1"), "--cacert", self.nginx.cert), NET, left=())

    def test_empty_and_tiny(self):
        for data in (b"", b"x", noise(4096)):
            self.write(data, self.root + "/y")
            self.right(self.fetch(self.nginx.url("y"), *PARTS), data)

    def test_if_changed(self):
        self.fetch(self.nginx.url("x"), *PARTS, "--if-changed")
        if not os.listxattr(self.name):
            self.skip("no extended attributes here")
        self.assertTrue(self.fetch(self.nginx.url("x"), *PARTS, "--if-changed").end["unchanged"])

    def test_a_file_that_is_replaced_under_the_server(self):
        """The names of versions are the server's own; whatever moment it is, all bytes are of one version."""
        other = noise(len(DATA) + 1, 2)
        p = self.start(self.nginx.url("x"), *PARTS, "--limit-rate", "20M", "--stats")
        self.write(other, self.root + "/new")
        while not os.path.exists(self.name + ".part") or os.path.getsize(self.name + ".part") == 0:
            self.server.over.wait(0.005)
        os.rename(self.root + "/new", self.root + "/x")
        p.communicate(timeout=kit.PATIENCE)
        self.assertEqual(0, p.returncode)
        self.assertIn(self.read(), (DATA, other))


class Memory(NginxTest):
    """At most 3 x streams x 256 KiB + streams x 256 KiB + 10 MiB, 14 with TLS, whatever the size. The object is sparse."""

    SIZE = 20 << 30 if kit.SOAK else 1 << 30

    def setUp(self):
        super().setUp()
        if kit.SANITIZED:
            self.skip("the memory of a sanitizer is not ours")

    def weigh(self, what, rest, size, url, *options):
        with open(self.root + "/big", "wb") as f:
            f.truncate(size)
        done = self.fetch(url, "-x", STREAMS, "--no-fsync", *options)
        self.assertEqual(0, done.status, str(done))
        peak, bound = done.end["peak_rss_kib"] << 10, 3 * STREAMS * BUFFER + STREAMS * BUFFER + rest
        print("%s: peak %.1f MiB of %.1f for %.1f GiB" % (what, peak / MIB, bound / MIB, size / 2 ** 30))
        self.assertLessEqual(peak, bound)

    def to_nowhere(self):
        return "--range", "0-%d" % (self.SIZE - 1), "--into", "/dev/null", "--at", "0"

    def test_http(self):
        self.weigh("http", 10 * MIB, self.SIZE, self.nginx.url("big"), *self.to_nowhere())

    def test_tls(self):
        self.weigh("https", 14 * MIB, self.SIZE, self.nginx.tls_url("big"), *self.to_nowhere(), "--cacert", self.nginx.cert)

    def test_to_a_file_with_a_checksum(self):
        size = 300 * MIB
        zeros = hashlib.sha1()
        for _ in range(300):
            zeros.update(bytes(MIB))
        self.weigh("http, file, sha1", 10 * MIB, size, self.nginx.url("big"), "--checksum", "sha1:" + zeros.hexdigest())
        self.assertEqual(size, os.path.getsize(self.name))


if __name__ == "__main__":
    kit.main()
