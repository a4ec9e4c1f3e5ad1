#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Whatever a server does: the right bytes with status 0, or the status that is specified with the name untouched. The table of doc/fetch.md."""
import base64
import gzip
import hashlib
import itertools
import resource
import zlib

import kit
from kit import CHANGED, DEADLINE, HTTP, NET, OK, RANGE, SHORT, SUM
from server import DROP, RESET, Thing, after_the_first, noise

SIZE = 1_000_003
PARTS = ("--min-part", "64K", "-x", "4")
DATA, OTHER = noise(SIZE), noise(SIZE, 2)


def wrong_range(shown):
    """Answers ranges with this Content-Range; without a range it is a good server."""
    def answer(request):
        if not request.range:
            thing.whole(request)
            return
        first, last = thing.bounds(request)
        field, body = shown(first, last)
        request.send(206, thing.headers() + ([("Content-Range", field)] if field else []), body)
    thing = Thing(DATA)
    return answer


def send_chunk(request, data, more=(), end=True):
    """All of it as one chunk; end: and then the end, in order."""
    request.head(200, [("ETag", '"v1"'), ("Transfer-Encoding", "chunked"), *more])
    request.body(b"%x\r\n%s\r\n" % (len(data), data) + (b"0\r\n\r\n" if end else b""))
    request.keep = end


class RightBytes(kit.FetchTest):
    """What the server does is legal, or can be mended."""

    def good(self, answer, *options, data=DATA, fast=PARTS):
        self.server.add("/x", answer)
        self.write(kit.OLD)
        done = self.fetch(self.server.url("/x"), *fast, *options)
        self.right(done, data)
        self.assertEqual(len(data), done.end["bytes"])
        return done

    def asked(self):
        return [r.headers.get("range") for r in self.server.requests]

    def test_parts(self):
        done = self.good(Thing(DATA))
        self.assertEqual("bytes=0-65535", self.asked()[0])
        self.assertGreater(done.end["requests"], 4)
        self.assertEqual(SIZE, sum(p["bytes"] for p in done.end["parts"]))
        self.assertEqual('"v1"', done.end["validator"])
        self.assertTrue(all(r.headers.get("if-range") == '"v1"' for r in self.server.requests[1:]))
        self.assertTrue(all(r.headers["accept-encoding"] == "identity" for r in self.server.requests))

    def test_no_more_requests_are_open_than_allowed(self):
        now, most = itertools.count(), []
        open_now = [0]

        def answer(request):
            with self.server.lock:
                open_now[0] += 1
                most.append(open_now[0])
            try:
                thing.part(request, rate=400_000)
            finally:
                with self.server.lock:
                    open_now[0] -= 1
        thing = Thing(DATA)
        next(now)
        self.good(answer, "--max-per-host", "3", "-x", "8", fast=("--min-part", "64K"))
        self.assertLessEqual(max(most), 3)

    def test_an_object_smaller_than_the_first_part_takes_one_request(self):
        done = self.good(Thing(DATA), fast=())
        self.assertEqual(1, done.end["requests"])

    def test_range_ignored(self):
        done = self.good(lambda r: Thing(DATA).whole(r))
        self.assertEqual(1, done.end["requests"])
        self.assertTrue(done.end["length_verified"])

    def test_empty_by_416(self):
        self.good(Thing(b""), data=b"")

    def test_empty_by_200(self):
        self.good(lambda r: Thing(b"").whole(r), data=b"")

    def test_416_without_a_reason_is_asked_plainly(self):
        self.good(lambda r: r.send(416, []) if r.range else Thing(DATA).whole(r))

    def test_total_unknown(self):
        def answer(request):
            if request.range[0] >= SIZE:
                request.send(416, [])
                return
            first, last = thing.bounds(request)
            request.send(206, thing.headers() + [("Content-Range", "bytes %d-%d/*" % (first, last))], DATA[first:last + 1])
        thing = Thing(DATA)
        done = self.good(answer)
        self.assertEqual(1, done.end["streams_max"])
        self.assertIn("bytes=65536-131071", self.asked())

    def test_total_unknown_and_ranges_that_are_shorter_than_asked_for(self):
        def answer(request):
            first, last = request.range
            last = min(last, first + 19999, SIZE - 1)
            if first >= SIZE:
                request.send(416, [])
            else:
                request.send(206, [("ETag", '"a"'), ("Content-Range", "bytes %d-%d/*" % (first, last))], DATA[first:last + 1])
        self.good(answer)

    def test_ranges_and_the_length_are_lost_together(self):
        """What the first answer told of the length is what the end is measured by, as nothing else tells."""
        self.good(lambda r: Thing(DATA)(r) if r.number == 1 else Thing(DATA).whole(r, length=False, cut=SIZE))

    def test_total_unknown_and_a_multiple_of_the_part(self):
        data = noise(3 * 65536)

        def answer(request):
            first, last = request.range
            if first >= len(data):
                request.send(416, [])
            else:
                request.send(206, [("ETag", '"a"'), ("Content-Range", "bytes %d-%d/*" % (first, last))], data[first:last + 1])
        self.good(answer, data=data)

    def test_multipart_body(self):
        def answer(request):
            if not request.range:
                Thing(DATA).whole(request)
            else:
                request.send(206, [("Content-Type", "multipart/byteranges; boundary=x"), ("ETag", '"v1"')], b"--x\r\n\r\nwrong\r\n--x--\r\n")
        self.good(answer)

    def test_another_unit(self):
        self.good(wrong_range(lambda first, last: ("items %d-%d/%d" % (first, last, SIZE), DATA[first:last + 1])))

    def test_no_content_range(self):
        self.good(wrong_range(lambda first, last: (None, DATA[first:last + 1])))

    def test_every_range_is_shifted(self):
        self.good(wrong_range(lambda first, last: ("bytes %d-%d/%d" % (first + 1, last, SIZE), DATA[first + 1:last + 1])))

    def test_parts_but_the_first_are_shifted(self):
        def shown(first, last):
            move = 512 if first else 0
            return "bytes %d-%d/%d" % (first - move, last - move, SIZE), DATA[first - move:last + 1 - move]
        done = self.good(wrong_range(shown))
        self.assertEqual(0, done.end["restarts"])

    def test_one_shifted_answer_is_asked_for_again(self):
        def answer(request):
            if request.number == 3:
                first, last = thing.bounds(request)
                request.send(206, thing.headers() + [("Content-Range", "bytes %d-%d/%d" % (first - 9, last - 9, SIZE))], DATA[first - 9:last - 8])
            else:
                thing(request)
        thing = Thing(DATA)
        self.good(answer)
        self.assertTrue(all(r.range for r in self.server.requests))

    def test_ranges_longer_than_asked_for(self):
        def shown(first, last):
            more = min(last + 1000, SIZE - 1)
            return "bytes %d-%d/%d" % (first, more, SIZE), DATA[first:more + 1]
        self.good(wrong_range(shown))

    def test_ranges_shorter_than_asked_for(self):
        done = self.good(wrong_range(lambda first, last: ("bytes %d-%d/%d" % (first, min(last, first + 9999), SIZE), DATA[first:min(last, first + 9999) + 1])))
        self.assertEqual(0, done.end["retries"])

    def test_a_body_longer_than_its_range(self):
        def answer(request):
            first, last = thing.bounds(request)
            request.head(206, thing.headers() + [("Content-Range", "bytes %d-%d/%d" % (first, last, SIZE)), ("Connection", "close")])
            request.body(DATA[first:last + 1] + b"too much" * 100)
            return DROP
        thing = Thing(DATA)
        self.good(answer)

    def test_content_length_contradicts_the_range(self):
        def answer(request):
            if not request.range:
                thing.whole(request)
                return
            first, last = thing.bounds(request)
            request.head(206, thing.headers() + [("Content-Range", "bytes %d-%d/%d" % (first, last, SIZE)), ("Content-Length", last - first + 2)])
            request.body(DATA[first:last + 1], cut=last - first + 1)
        thing = Thing(DATA)
        self.good(answer)

    def test_if_range_is_not_liked(self):
        done = self.good(lambda r: thing.whole(r) if "if-range" in r.headers else thing(r)) if (thing := Thing(DATA)) else None
        self.assertEqual(0, done.end["restarts"])
        self.assertTrue(any(r.range and r.range[0] and "if-range" not in r.headers for r in self.server.requests))

    def test_ranges_are_lost_on_the_way(self):
        self.good(lambda r: Thing(DATA)(r) if r.number < 3 else Thing(DATA).whole(r))

    def test_changed_in_the_run(self):
        done = self.good(lambda r: Thing(DATA)(r) if r.number < 3 else Thing(OTHER, '"v2"')(r), data=OTHER)
        self.assertEqual(1, done.end["restarts"])

    def test_changed_in_length_by_a_server_without_if_range(self):
        longer = noise(SIZE + 5, 3)
        self.good(lambda r: Thing(DATA).part(r) if r.number < 3 else Thing(longer, '"v2"').part(r), data=longer)

    def test_changed_in_content_by_a_server_without_if_range(self):
        def answer(request):
            thing = Thing(DATA) if request.number < 3 else Thing(OTHER, '"v2"')
            thing.part(request) if request.range else thing.whole(request)
        self.good(answer, data=OTHER)

    def test_changed_while_it_comes_as_one_stream(self):
        def answer(request):
            if request.number == 1:
                Thing(DATA).whole(request, cut=300_000)
            else:
                Thing(OTHER, '"v2"').whole(request)
        self.good(answer, data=OTHER)

    def test_last_modified_is_a_validator_when_it_is_old(self):
        done = self.good(Thing(DATA, etag=None, age=3600))
        self.assertEqual("last-modified", done.end["validator_kind"])

    def test_last_modified_is_none_when_it_is_young(self):
        done = self.good(Thing(DATA, etag=None, age=5))
        self.assertIsNone(done.end["validator"])
        self.assertTrue(all("if-range" not in r.headers for r in self.server.requests))

    def test_a_weak_etag_is_no_validator(self):
        done = self.good(Thing(DATA, etag='W/"v1"'))
        self.assertIsNone(done.end["validator"])

    def test_no_validator(self):
        self.good(Thing(DATA, etag=None))

    def test_chunked(self):
        def answer(request):
            request.head(200, [("ETag", '"v1"'), ("Transfer-Encoding", "chunked")])
            for at in range(0, SIZE, 5000):
                piece = DATA[at:at + 5000]
                request.body(b"%x\r\n%s\r\n" % (len(piece), piece))
            request.body(b"0\r\n\r\n")
        self.assertTrue(self.good(answer).end["length_verified"])

    def test_chunks_count_more_than_a_length(self):
        self.good(lambda r: send_chunk(r, DATA, [("Content-Length", SIZE // 2)]))

    def test_chunks_are_cut_and_go_on(self):
        for rest in (send_chunk, lambda r, data: Thing(data).whole(r)):
            self.server.forget()
            self.assertTrue(self.good(lambda r, rest=rest: send_chunk(r, DATA[:400_000], end=False) if r.number == 1 else rest(r, DATA)).end["length_verified"])
        self.server.forget()
        done = self.good(lambda r: send_chunk(r, DATA[:400_000], end=False) if r.number == 1 else Thing(DATA).whole(r, length=False, cut=SIZE))
        self.assertFalse(done.end["length_verified"])

    def test_ended_by_the_connection_alone(self):
        done = self.good(lambda r: Thing(DATA).whole(r, length=False, cut=SIZE))
        self.assertFalse(done.end["length_verified"])

    def test_gzip_unasked_is_stored_as_sent(self):
        packed = gzip.compress(DATA[:50000])
        self.good(Thing(packed, extra=[("Content-Encoding", "gzip")]), data=packed, fast=("--min-part", "4K"))
        self.assertIsNone(self.asked()[-1])

    def test_early_hints_before_the_answer(self):
        def answer(request):
            request.head(103, [("Link", "</a>; rel=preload")])
            Thing(DATA)(request)
        self.good(answer)

    def test_bodies_are_cut(self):
        done = self.good(lambda r: Thing(DATA).part(r, cut=20000) if r.number % 2 else Thing(DATA)(r))
        self.assertGreater(done.end["retries"], 0)

    def test_connections_are_reset(self):
        self.good(lambda r: RESET if r.number in (2, 4) else Thing(DATA)(r))

    def test_connections_are_dropped_without_an_answer(self):
        self.good(lambda r: DROP if r.number in (1, 3) else Thing(DATA)(r))

    def test_one_stream_is_cut_and_goes_on(self):
        self.good(lambda r: Thing(DATA).whole(r, cut=400_000 if r.number == 1 else None))

    def test_one_stream_without_validator_is_cut_and_begins_anew(self):
        self.good(lambda r: Thing(DATA, etag=None).whole(r, cut=400_000 if r.number == 1 else None))

    def test_errors_that_pass(self):
        for status in (408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524):
            with self.subTest(status):
                self.server.forget()
                self.good(lambda r, status=status: r.send(status, [("Retry-After", "0")], b"busy") if r.number == 2 else Thing(DATA)(r))

    def test_retry_after_is_heeded(self):
        def answer(request):
            if request.number == 1:
                request.send(503, [("Retry-After", "1")])
            else:
                Thing(DATA)(request)
        self.assertGreaterEqual(self.good(answer).end["elapsed_ms"], 1000)

    def test_retry_after_is_capped(self):
        self.good(lambda r: r.send(503, [("Retry-After", "86400")]) if r.number == 1 else Thing(DATA)(r), "--retry-after-cap", "0.1")

    def test_overload_halves_the_streams(self):
        done = self.good(lambda r: r.send(503, []) if r.number == 3 else Thing(DATA)(r))
        self.assertEqual(2, done.end["streams_final"])

    def test_a_part_that_must_wait_for_a_stream_costs_nothing(self):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = self.good(lambda r: r.send(503, []) if r.number in (3, 4) else Thing(DATA).part(r, rate=150_000))
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent = 1000 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        self.assertLess(spent, done.end["elapsed_ms"] / 8)

    def test_a_stalled_stream_is_tried_again(self):
        def answer(request):
            if request.number == 2:
                first, last = thing.bounds(request)
                request.head(206, thing.headers() + [("Content-Range", "bytes %d-%d/%d" % (first, last, SIZE)), ("Content-Length", last - first + 1)])
                request.body(DATA[first:first + 1000])
                request.stall()
            else:
                thing(request)
        thing = Thing(DATA)
        self.good(answer, "--stall-timeout", "0.5")

    def test_a_server_that_never_answers_one_request(self):
        self.good(lambda r: r.stall() if r.number == 3 else Thing(DATA)(r), "--stall-timeout", "0.5")

    def test_a_trickling_stream_is_taken_over(self):
        data = noise(12 << 20)

        def answer(request):
            thing.part(request, rate=50_000) if request.number == 3 else thing.part(request)
        thing = Thing(data)
        done = self.good(answer, data=data, fast=("-x", "4", "--min-part", "1M"))
        self.assertLess(done.end["elapsed_ms"], 15_000)

    def test_redirects(self):
        self.server.add("/a", lambda r: r.send(302, [("Location", "b?x=1")]))
        self.server.add("/b", lambda r: r.send(307, [("Location", self.server.url("/c d").replace(" ", "%20"))]))
        self.server.add("/c%20d", Thing(DATA))
        self.write(kit.OLD)
        self.right(self.fetch(self.server.url("/a"), *PARTS), DATA)
        self.assertEqual(1, sum(r.path == "/a" for r in self.server.requests), "parts go where the redirect led")

    def test_a_signed_place_that_expires_is_resolved_anew(self):
        signed = itertools.count(1)
        self.server.add("/a", lambda r: r.send(302, [("Location", "/signed?n=%d" % next(signed))]))
        self.server.add("/signed", lambda r: r.send(403, []) if r.query == "n=1" and r.number > 2 else Thing(DATA)(r))
        self.write(kit.OLD)
        self.right(self.fetch(self.server.url("/a"), *PARTS), DATA)

    def test_credentials_stay_at_their_host(self):
        self.server.add("/a", lambda r: r.send(302, [("Location", "http://localhost:%d/b" % self.server.port)]))
        self.server.add("/b", Thing(DATA))
        self.write(b"X-Secret: 1\n", self.folder + "/headers")
        done = self.fetch(self.server.url("/a").replace("//", "//me:p%40ss@"), *PARTS, "--header-file", self.folder + "/headers")
        self.right(done, DATA, left=("out", "headers"))
        at_first = [r for r in self.server.requests if r.path == "/a"]
        self.assertEqual("Basic " + base64.b64encode(b"me:p@ss").decode(), at_first[0].headers["authorization"])
        self.assertEqual("1", at_first[0].headers["x-secret"])
        for r in self.server.requests:
            if r.path == "/b":
                self.assertNotIn("authorization", r.headers)
                self.assertNotIn("x-secret", r.headers)
        self.assertNotIn("ss@", str(done))

    def test_limit_rate(self):
        done = self.good(Thing(DATA), "--limit-rate", "1M")
        self.assertGreater(done.end["elapsed_ms"], 700)

    def test_range_to_a_file_of_its_own(self):
        done = self.good(Thing(DATA), "--range", "1000-700000", data=DATA[1000:700001])
        self.assertEqual(SIZE, done.end["total"])

    def test_range_of_a_server_that_ignores_it(self):
        self.good(lambda r: Thing(DATA).whole(r), "--range", "1000-700000", data=DATA[1000:700001])

    def test_progress_never_falls(self):
        self.server.add("/x", lambda r: Thing(DATA).part(r, rate=300_000))
        done = self.fetch(self.server.url("/x"), *PARTS, "--json", "--heartbeat", "0.1", stats=False)
        self.right(done, DATA)
        seen = [line["bytes"] for line in done.lines if line["event"] == "progress"]
        self.assertGreater(len(seen), 3)
        self.assertEqual(sorted(seen), seen)
        self.assertEqual("end", done.end["event"])


class Checksums(kit.FetchTest):
    SUMS = {alg: hashlib.new(alg, DATA).hexdigest() for alg in ("md5", "sha1", "sha256", "sha512")}

    @staticmethod
    def b64(alg, data=DATA):
        return base64.b64encode(hashlib.new(alg, data).digest()).decode()

    def setUp(self):
        super().setUp()
        self.write(kit.OLD)

    def test_all_that_is_given_is_compared(self):
        self.server.add("/x", Thing(DATA))
        words = itertools.chain.from_iterable(("--checksum", "%s:%s" % pair) for pair in self.SUMS.items())
        self.right(self.fetch(self.server.url("/x"), *PARTS, *words), DATA)

    def test_a_wrong_one_leaves_nothing(self):
        self.server.add("/x", Thing(DATA))
        for alg, right in self.SUMS.items():
            with self.subTest(alg):
                wrong = right[:-1] + ("0" if right[-1] != "0" else "1")
                self.untouched(self.fetch(self.server.url("/x"), *PARTS, "--checksum", "%s:%s" % (alg, wrong)), SUM, left=())

    def test_a_wrong_one_is_kept_aside_when_asked(self):
        self.server.add("/x", Thing(DATA))
        self.untouched(self.fetch(self.server.url("/x"), "--keep-bad", "--checksum", "md5:" + "0" * 32), SUM, left=("out.bad",))
        self.assertEqual(DATA, self.read(self.name + ".bad"))

    def test_checksum_file(self):
        self.server.add("/x", Thing(DATA))
        sums = self.folder + "/SUMS"
        self.write(("%s  other\n%s *some/out\n" % (self.SUMS["sha1"], self.SUMS["sha256"])).encode(), sums)
        self.right(self.fetch(self.server.url("/x"), "--checksum-file", sums), DATA, left=("SUMS", "out"))
        self.write(kit.OLD)
        self.write(("%s  out\n" % ("0" * 64)).encode(), sums)
        self.untouched(self.fetch(self.server.url("/x"), "--checksum-file", sums), SUM)

    def offered(self, field, value, status=None, **how):
        self.write(kit.OLD)
        thing = Thing(DATA, extra=[(field, value)] + how.pop("also", []))
        self.server.add("/x", thing if not how.get("whole") else thing.whole)
        done = self.fetch(self.server.url("/x"), *PARTS)
        self.right(done, DATA) if status is None else self.untouched(done, status, left=())

    def test_those_of_the_server(self):
        crc = base64.b64encode(zlib.crc32(DATA).to_bytes(4, "big")).decode()
        for field, right, wrong in (
                ("Repr-Digest", "sha-256=:%s:" % self.b64("sha256"), "sha-256=:%s:" % self.b64("sha256", OTHER)),
                ("Repr-Digest", "sha-512=:%s:, md5=:%s:" % (self.b64("sha512"), self.b64("md5")),
                 "sha-512=:%s:, md5=:%s:" % (self.b64("sha512"), self.b64("md5", OTHER))),
                ("Digest", "SHA-256=" + self.b64("sha256"), "SHA-256=" + self.b64("sha256", OTHER)),
                ("Digest", "MD5=" + self.b64("md5"), "MD5=" + self.b64("md5", OTHER)),
                ("x-amz-checksum-sha256", self.b64("sha256"), self.b64("sha256", OTHER)),
                ("x-amz-checksum-sha1", self.b64("sha1"), self.b64("sha1", OTHER)),
                ("x-amz-checksum-crc32", crc, "AAAAAA=="),
                ("X-Bz-Content-Sha1", self.SUMS["sha1"], "0" * 40),
                ("X-Bz-Content-Sha1", "unverified:" + self.SUMS["sha1"], "unverified:" + "0" * 40)):
            with self.subTest(field):
                self.offered(field, right)
                self.offered(field, wrong, status=SUM)

    def test_those_that_do_not_count(self):
        for field, value in (("X-Bz-Content-Sha1", "none"), ("Repr-Digest", "unknown=:AAAA:"), ("Digest", "garbage"), ("Content-MD5", self.b64("md5", OTHER)),
                             ("x-amz-checksum-sha256", self.b64("sha256", OTHER) + "-3")):
            with self.subTest(field):
                self.offered(field, value)
        self.offered("x-amz-checksum-sha256", self.b64("sha256", OTHER), also=[("x-amz-checksum-type", "COMPOSITE")])

    def test_content_md5_of_a_whole_body(self):
        self.offered("Content-MD5", self.b64("md5"), whole=True)
        self.offered("Content-MD5", self.b64("md5", OTHER), status=SUM, whole=True)

    def test_a_malformed_one_is_refused_before_any_request(self):
        url = self.server.add("/x", Thing(DATA))
        for bad in ("md5", "md5:", "md5:12", "sha256:" + "g" * 64, "sha3:" + "0" * 64, ":", "sha1:" + "0" * 41):
            with self.subTest(bad):
                self.untouched(self.fetch(url, "--checksum", bad), kit.USAGE, left=())
        self.write(b"no line of sha256sum\n", self.folder + "/SUMS")
        self.untouched(self.fetch(url, "--checksum-file", self.folder + "/SUMS"), kit.USAGE)
        self.assertEqual([], self.server.requests)


class Refused(kit.FetchTest):
    """What cannot be mended ends with its status, and the name shows what it showed before."""

    def bad(self, answer, status, *options, left=None):
        self.server.add("/x", answer)
        self.write(kit.OLD)
        done = self.fetch(self.server.url("/x"), *PARTS, "--tries", "3", *options)
        self.untouched(done, status, left)
        self.assertEqual(status, done.end["status"])
        self.assertEqual("end", done.end["event"])
        return done

    def test_ranges_and_the_length_are_lost_together_and_the_end_comes_too_soon(self):
        self.bad(lambda r: Thing(DATA)(r) if r.number == 1 else Thing(DATA).whole(r, length=False, cut=600_000), SHORT)

    def test_statuses_that_no_repetition_mends(self):
        for status in (400, 401, 403, 404, 405, 410, 451, 204, 305, 418, 501, 304, 412):
            with self.subTest(status):
                self.server.forget()
                self.bad(lambda r, status=status: r.send(status, []), HTTP, left=())
                self.assertEqual(1, len(self.server.requests))

    def test_a_status_in_the_middle(self):
        self.bad(after_the_first(Thing(DATA), lambda r: r.send(404, [])), HTTP, left=())
        self.server.forget()
        self.bad(after_the_first(Thing(DATA), lambda r: r.send(405, [])), HTTP, left=("out.part", "out.part.state"))

    def test_redirect_loop(self):
        self.bad(lambda r: r.send(302, [("Location", "/x")]), HTTP, left=())
        self.assertEqual(11, len(self.server.requests))

    def test_redirects_that_are_refused(self):
        for where in ("ftp://127.0.0.1/x", "file:///etc/passwd", "scp://127.0.0.1/x", "http://", "gopher://127.0.0.1:1/x"):
            with self.subTest(where):
                self.bad(lambda r, where=where: r.send(301, [("Location", where)]), HTTP, left=())
        self.bad(lambda r: r.send(302, []), HTTP, left=())

    def test_errors_that_do_not_pass(self):
        self.bad(lambda r: r.send(503, []), NET, left=())

    def test_nobody_listens(self):
        self.write(kit.OLD)
        self.untouched(self.fetch("http://127.0.0.1:1/x", "--tries", "2"), NET, left=())

    def test_no_such_host(self):
        self.write(kit.OLD)
        self.untouched(self.fetch("http://no-such-host.invalid/x", "--tries", "1"), NET, left=())

    def test_always_reset(self):
        self.bad(lambda r: RESET, NET, left=())

    def test_no_http_at_all(self):
        def answer(request):
            request.sock.sendall(b"220 mail.example.org ready\r\n\r\n")
            return DROP
        self.bad(answer, NET, left=())

    def test_always_cut_at_the_same_place(self):
        done = self.bad(after_the_first(Thing(DATA).part, lambda r: Thing(DATA).part(r, cut=0)), SHORT, left=("out.part", "out.part.state"))
        self.assertEqual(65536, done.end["bytes"])
        self.assertEqual(SIZE, done.end["expected"])
        self.assertEqual(65536, done.end["parts"][0]["bytes"])
        self.assertEqual(0, done.end["parts"][1]["bytes"])
        self.assertIn(b"65536 of 1000003 bytes", done.err)

    def test_shorter_than_its_length(self):
        self.bad(lambda r: r.send(200, [("ETag", '"v1"'), ("Content-Length", SIZE)], DATA, length=False, cut=SIZE - 1), SHORT)

    def test_always_416(self):
        self.bad(lambda r: r.send(416, []), HTTP, left=())

    def test_416_without_a_range_is_no_end(self):
        self.bad(lambda r: send_chunk(r, DATA, end=False) if r.number == 1 else r.send(416, []), HTTP, left=())

    def test_the_rest_of_one_stream_ends_early(self):
        for first in (lambda r: send_chunk(r, DATA[:700_000], end=False), lambda r: Thing(DATA).whole(r, cut=400_000)):
            self.server.forget()
            self.bad(lambda r, first=first: first(r) if r.number == 1 else Thing(DATA).whole(r, length=False, cut=600_000), SHORT, "--alloc", "none")

    def test_chunks_without_their_end(self):
        def answer(request):
            request.head(200, [("ETag", '"v1"'), ("Transfer-Encoding", "chunked")])
            request.body(b"%x\r\n%s\r\n" % (SIZE, DATA))
            return DROP
        self.bad(answer, SHORT, left=())

    def test_always_stalled(self):
        self.bad(lambda r: r.stall(), NET, "--stall-timeout", "0.2", left=())

    def test_never_the_same_object_twice(self):
        done = self.bad(lambda r: Thing(noise(SIZE, r.number), '"v%d"' % r.number)(r), CHANGED, left=())
        self.assertEqual(4, done.end["restarts"])

    def test_no_restart_when_none_is_allowed(self):
        self.bad(lambda r: Thing(DATA)(r) if r.number < 3 else Thing(OTHER, '"v2"')(r), CHANGED, "--restarts", "0", left=())

    def test_a_range_beyond_the_object(self):
        self.bad(Thing(DATA), RANGE, "--range", "%d-%d" % (SIZE - 10, SIZE), left=())
        self.bad(Thing(DATA), RANGE, "--range", "%d-%d" % (SIZE, SIZE + 10), left=())
        self.bad(lambda r: Thing(DATA).whole(r), RANGE, "--range", "0-%d" % SIZE, left=())
        self.bad(lambda r: send_chunk(r, DATA), RANGE, "--range", "%d-%d" % (SIZE, SIZE + 10), left=())

    def test_partial_content_that_nobody_asked_for(self):
        self.bad(lambda r: r.send(206, [("Content-Range", "bytes 0-9/10")], b"0123456789") if not r.range else r.send(416, []), HTTP, left=())

    def test_the_deadline(self):
        done = self.bad(lambda r: Thing(DATA).part(r, rate=20_000), DEADLINE, "--deadline", "0.5", "-x", "1")
        self.assertLess(done.end["elapsed_ms"], 5000)

    def test_the_deadline_while_nothing_comes(self):
        self.bad(lambda r: r.stall(), DEADLINE, "--deadline", "0.3", left=())

    def test_the_deadline_while_a_name_is_looked_up(self):
        self.write(kit.OLD)
        done = self.fetch("http://no-such-host.invalid/x", "--deadline", "0.3", before=self.failing("connect:delay_enter=3000000"))
        self.untouched(done, DEADLINE, left=())
        self.assertLess(done.end["elapsed_ms"], 5000)

    def test_usage(self):
        url = self.server.add("/x", Thing(DATA))
        self.write(kit.OLD)
        for words in (("-x", "65"), ("-x", "0"), ("--min-part", "x"), ("--range", "5-4"), ("--range", "5"), ("--into", self.name), ("--at", "1"),
                      ("--alloc", "posix"), ("--tries", "0"), ("--no-such",), ("-o", self.name, "--into", self.name), ("--stall-timeout", "0"),
                      ("-o", "-", "--no-clobber"), ("--if-changed", "--range", "0-1"), ("--header-file", "/nonexistent"), ("-o", "")):
            with self.subTest(words):
                done = self.fetch(url, *words)
                self.assertEqual(kit.USAGE, done.status, str(done))
        for bad in ("ftp://127.0.0.1/x", "/etc/passwd", "http://", "s3://", "s3://bucket", "x"):
            with self.subTest(bad):
                self.assertEqual(kit.USAGE, self.fetch(bad).status)
        self.assertEqual([], self.server.requests)
        self.assertEqual(OK, self.fetch(url).status)


if __name__ == "__main__":
    kit.main()
