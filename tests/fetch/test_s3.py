#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""s3://: every request is signed so that an independent reading of Signature Version 4 agrees; credentials are shown nowhere."""
import base64
import hashlib
import hmac
import os
import urllib.parse

import kit
from kit import CHANGED, HTTP, OK, SUM, USAGE
from server import Thing, after_the_first, noise

DATA, OTHER = noise(1_000_003), noise(1_000_003, 2)
PARTS = ("--min-part", "64K", "-x", "4")
KEY_ID, SECRET, TOKEN = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "token/of+a=session"


def encoded(text, safe=""):
    return urllib.parse.quote(text, safe=safe + "-._~")


def signature(request, region="eu-central-1"):
    """What the Authorization of this request has to be, from the definition: docs.aws.amazon.com, "Create a signed AWS API request"."""
    fields = dict(part.strip().split("=", 1) for part in request.headers["authorization"].split(" ", 1)[1].split(","))
    names = fields["SignedHeaders"].split(";")
    path = encoded(urllib.parse.unquote(request.path, errors="surrogateescape").encode("utf-8", "surrogateescape"), "/")
    query = sorted(urllib.parse.parse_qsl(request.query, keep_blank_values=True))
    canonical = "\n".join([request.method, path, "&".join("%s=%s" % (encoded(k), encoded(v)) for k, v in query),
                           "".join("%s:%s\n" % (n, " ".join(request.headers[n].split())) for n in names), ";".join(names),
                           request.headers["x-amz-content-sha256"]])
    when = request.headers["x-amz-date"]
    scope = "/".join((when[:8], region, "s3", "aws4_request"))
    text = "\n".join(("AWS4-HMAC-SHA256", when, scope, hashlib.sha256(canonical.encode()).hexdigest()))
    key = ("AWS4" + SECRET).encode()
    for word in (when[:8], region, "s3", "aws4_request", text):
        key = hmac.new(key, word.encode(), hashlib.sha256).digest()
    return "AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%s" % (KEY_ID, scope, ";".join(names), key.hex()), names


class Bucket(Thing):
    """Refuses what is not signed as it has to be; knows If-Match, as S3 does."""

    def __call__(self, request):
        if "authorization" not in request.headers:
            request.send(403, [])
            return
        wanted, names = signature(request)
        if "".join(request.headers["authorization"].split()) != "".join(wanted.split()) or "host" not in names or "x-amz-date" not in names:
            request.send(403, [])
        elif request.headers.get("if-match") not in (None, self.etag):
            request.send(412, [])
        else:
            super().__call__(request)


class Summed(Bucket):
    """One that knows a checksum, and tells it only who asks for it."""

    def __init__(self, of, type_, etag='"v1"', ranged=True):
        super().__init__(DATA, etag)
        self.sums = [("x-amz-checksum-sha256", base64.b64encode(hashlib.sha256(of).digest()).decode()), ("x-amz-checksum-type", type_)]
        self.ranged = ranged

    def __call__(self, request):
        asked = request.headers.get("x-amz-checksum-mode") == "ENABLED" and "x-amz-checksum-mode" in signature(request)[1]
        self.extra = self.sums if asked else []
        super().__call__(request) if self.ranged else self.whole(request)


class S3(kit.FetchTest):
    def setUp(self):
        super().setUp()
        self.env = {"AWS_ACCESS_KEY_ID": KEY_ID, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_REGION": "eu-central-1", "AWS_ENDPOINT_URL": self.server.url("")}

    def good(self, key, thing=None, query="", env=None, path=None, options=()):
        self.server.forget()
        self.server.add(path or "/bucket/" + encoded(key, "/"), thing or Bucket(DATA))
        done = self.fetch("s3://bucket/" + key + query, *PARTS, *options, env={**self.env, **(env or {})})
        self.right(done, DATA)
        return done

    def test_keys(self):
        for key in ("plain", "a/b/c.tar", "with blank", "a+b=c,d(e)!'*;:@&$", "k~x-y_z.w", "100%", "a%20b", "über/straße", "//double", "a/./b/../c", "[x]{y}|^`\"<>\\#"):
            with self.subTest(key):
                self.good(key)

    def test_parts_are_of_the_version_and_the_etag_of_the_first(self):
        self.good("k", Bucket(DATA, extra=[("x-amz-version-id", "3/L4kqtJl+x=")]))
        first, *others = self.server.requests
        self.assertEqual("", first.query)
        self.assertGreater(len(others), 3)
        for r in others:
            self.assertEqual("versionId=3%2FL4kqtJl%2Bx%3D", r.query)
            self.assertEqual('"v1"', r.headers["if-match"])
            self.assertNotIn("if-range", r.headers)

    def test_queries_are_sorted_and_complete(self):
        self.good("k", query="?versions")
        self.assertTrue(all(r.query == "versions=" for r in self.server.requests))
        self.good("k", query="?z=1&a=b c&response-content-type=text/plain&m")
        self.assertEqual("a=b%20c&m=&response-content-type=text%2Fplain&z=1", self.server.requests[-1].query)
        self.good("k", Bucket(DATA, extra=[("x-amz-version-id", "7")]), query="?z=1&a=2")
        self.assertEqual("a=2&versionId=7&z=1", self.server.requests[-1].query)
        self.good("k", Bucket(DATA, extra=[("x-amz-version-id", "7")]), query="?versionId=6")
        self.assertEqual("versionId=6", self.server.requests[-1].query)

    def test_a_session_token_is_signed(self):
        self.good("k", env={"AWS_SESSION_TOKEN": TOKEN})
        for r in self.server.requests:
            self.assertEqual(TOKEN, r.headers["x-amz-security-token"])
            self.assertIn("x-amz-security-token", signature(r)[1])
            self.assertEqual("UNSIGNED-PAYLOAD", r.headers["x-amz-content-sha256"])
            self.assertIn("x-amz-content-sha256", signature(r)[1])

    def test_credentials_from_a_file(self):
        path = self.folder + ".credentials"
        self.addCleanup(os.unlink, path)
        self.write(("[default]\naws_access_key_id = X\naws_secret_access_key = Y\n\n[work]\naws_access_key_id=%s\naws_secret_access_key = %s\n"
                    "aws_session_token = %s\n[other]\naws_access_key_id = Z\n" % (KEY_ID, SECRET, TOKEN)).encode(), path)
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            del self.env[name]
        self.good("k", env={"AWS_SHARED_CREDENTIALS_FILE": path, "AWS_PROFILE": "work"})
        self.assertEqual(TOKEN, self.server.requests[0].headers["x-amz-security-token"])

    def test_without_credentials_nothing_is_signed(self):
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            del self.env[name]
        self.good("k", Thing(DATA), env={"HOME": self.folder})
        self.assertTrue(all("authorization" not in r.headers for r in self.server.requests))

    def test_the_checksum_is_asked_for_and_compared(self):
        for ranged in (True, False):
            with self.subTest(ranged=ranged):
                self.assertGreater(self.good("k", Summed(DATA, "FULL_OBJECT", ranged=ranged)).end["hash_ms"], 0)
                self.server.forget()
                self.write(kit.OLD)
                self.server.add("/bucket/k", Summed(OTHER, "FULL_OBJECT", ranged=ranged))
                self.untouched(self.fetch("s3://bucket/k", *PARTS, env=self.env), SUM, left=())

    def test_the_checksum_of_something_else_is_not(self):
        parts = '"%s-16"' % hashlib.md5(DATA).hexdigest()
        self.good("k", Summed(OTHER, "COMPOSITE"))
        self.good("k", Summed(DATA[:65536], "FULL_OBJECT", parts))
        self.good("k", Summed(OTHER, "COMPOSITE", parts, ranged=False))

    def test_only_s3_is_asked_for_a_checksum(self):
        self.server.add("/x", Thing(DATA))
        self.right(self.fetch(self.server.url("/x"), *PARTS), DATA)
        self.assertTrue(all("x-amz-checksum-mode" not in r.headers for r in self.server.requests))

    def test_wrong_credentials(self):
        self.server.add("/bucket/k", Bucket(DATA))
        self.write(kit.OLD)
        self.untouched(self.fetch("s3://bucket/k", env={**self.env, "AWS_SECRET_ACCESS_KEY": "wrong"}), HTTP, left=())
        del self.env["AWS_SECRET_ACCESS_KEY"]
        self.untouched(self.fetch("s3://bucket/k", env=self.env), USAGE, left=())

    def test_changed_in_the_run(self):
        new = Bucket(OTHER, '"v2"')
        self.server.add("/bucket/k", lambda r: Bucket(DATA)(r) if r.number < 3 else new(r))
        done = self.fetch("s3://bucket/k", *PARTS, env=self.env)
        self.right(done, OTHER)
        self.assertEqual(1, done.end["restarts"])
        self.server.forget()
        self.write(kit.OLD)
        self.server.add("/bucket/k", lambda r: Bucket(noise(1_000_003, r.number), '"v%d"' % r.number)(r))
        self.untouched(self.fetch("s3://bucket/k", *PARTS, env=self.env), CHANGED, left=())

    def test_ranges_are_lost_on_the_way(self):
        self.good("k", lambda r: Bucket(DATA)(r) if r.number == 1 else Bucket(DATA).whole(r), options=("--deadline", "20"))

    def test_a_redirect_is_told_and_not_signed_for_somebody_else(self):
        self.write(kit.OLD)
        self.server.add("/bucket/k", lambda r: r.send(307, [("Location", self.server.url("/elsewhere"))]))
        done = self.fetch("s3://bucket/k", env=self.env)
        self.untouched(done, HTTP, left=())
        self.assertIn(b"AWS_REGION", done.err)
        self.assertEqual(1, len(self.server.requests))

    def test_nothing_secret_is_shown(self):
        self.server.add("/bucket/k", after_the_first(Bucket(DATA), lambda r: Bucket(DATA).part(r, cut=0)))
        done = self.fetch("s3://bucket/k", *PARTS, "--tries", "1", env={**self.env, "AWS_SESSION_TOKEN": TOKEN})
        self.assertEqual(kit.SHORT, done.status)
        for text in (done.out, done.err, self.read(self.name + ".part.state")):
            for secret in (SECRET, TOKEN, KEY_ID):
                self.assertNotIn(secret.encode(), text)
        self.server.add("/bucket/k", Bucket(DATA))
        again = self.fetch("s3://bucket/k", *PARTS, env=self.env)
        self.right(again, DATA)
        self.assertGreater(again.end["resumed_bytes"], 0)

    def test_places(self):
        for bad in ("s3://", "s3://bucket", "s3://bucket/", "s3:///key", "s3://bu cket/key", "s3://b/?versionId=1"):
            with self.subTest(bad):
                self.assertEqual(USAGE, self.fetch(bad, env=self.env).status)
        self.assertEqual([], self.server.requests)
        self.assertEqual(OK, self.good("k", env={"AWS_ENDPOINT_URL": self.server.url("") + "//"}).status)


if __name__ == "__main__":
    kit.main()
