/* SPDX-License-Identifier: MIT */
/* What is read from headers, and what follows from it: the pure half of jobd-fetch, line by line of the tables in doc/fetch.md. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fetch/check.h"
#include "fetch/s3.h"
#include "fetch/url.h"
#include "../play.h"

static struct answer a;
static struct object object;

/* The lines of a header, each ended by \n. */
static const struct answer *answer(const char *text)
{
	answer_done(&a);
	for (size_t len; *text; text += len) {
		len = strcspn(text, "\n") + 1;
		answer_line(&a, text, len, 1000000000);
	}
	return &a;
}

static void known(const char *text, uint64_t total)
{
	object_learn(&object, answer(text), total);
}

static enum verdict part(uint64_t from, uint64_t to, const char *text)
{
	struct asked asked = { .what = ASK_PART, .from = from, .to = to, .conditional = true };

	return check(&asked, answer(text), &object);
}

static enum verdict first(const char *text)
{
	struct asked asked = { .what = ASK_FIRST, .to = 100 };

	object_done(&object);
	return check(&asked, answer(text), &object);
}

static enum verdict rest(const char *text)
{
	struct asked asked = { .what = ASK_REST, .from = 1000, .to = INT64_MAX, .conditional = true };

	return check(&asked, answer(text), &object);
}

#define V1 "HTTP/1.1 206 x\nETag: \"1\"\n"

START_TEST(a_part_is_taken_only_if_everything_fits)
{
	known(V1, 1000);
	ck_assert_int_eq(part(100, 200, V1 "Content-Range: bytes 100-199/1000\n"), V_PART);
	ck_assert_int_eq(part(100, 200, V1 "Content-Range: bytes 100-199/1000\nContent-Length: 100\n"), V_PART);
	ck_assert_int_eq(part(100, 200, V1 "Content-Range: Bytes  100-150/1000\n"), V_PART);
	ck_assert_int_eq(part(100, 200, "HTTP/2 206\ncontent-range: bytes 100-199/1000\n"), V_PART);
	ck_assert_int_eq(part(100, 200, V1 "Content-Range: bytes 101-199/1000\n"), V_BAD_RANGE);
	ck_assert_int_eq(part(100, 200, V1 "Content-Range: bytes 99-199/1000\n"), V_BAD_RANGE);
	ck_assert_int_eq(part(100, 200, V1 "Content-Range: bytes 100-200/1000\n"), V_BAD_RANGE);
	ck_assert_int_eq(part(900, 1100, V1 "Content-Range: bytes 900-1000/1000\n"), V_BAD_RANGE);
	ck_assert_int_eq(part(100, 200, V1 "Content-Range: bytes 100-199/*\n"), V_BAD_RANGE);
	ck_assert_int_eq(part(100, 200, V1 "Content-Range: bytes 100-199/1001\n"), V_CHANGED);
	ck_assert_int_eq(part(100, 200, V1 "Content-Range: bytes 100-199/1000\nContent-Length: 99\n"), V_BAD_RANGE);
	ck_assert_int_eq(part(100, 200, "HTTP/1.1 206 x\nETag: \"2\"\nContent-Range: bytes 100-199/1000\n"), V_BAD_RANGE);
	ck_assert_int_eq(part(100, 200, V1 "Content-Range: bytes 100-199/1000\nContent-Encoding: gzip\n"), V_BAD_RANGE);
	ck_assert_int_eq(part(100, 200, V1 "Content-Range: bytes 100-199/1000\nContent-Type: multipart/byteranges; boundary=x\n"), V_BAD_RANGE);
	ck_assert_int_eq(part(100, 200, V1), V_BAD_RANGE);
}
END_TEST

START_TEST(a_range_that_is_not_readable_is_none)
{
	static const char *const bad[] = {
		"bytes 100-199", "bytes=100-199/1000", "bytes 100 - 199/1000", "bytes 199-100/1000", "bytes -199/1000", "bytes 100-/1000", "lines 100-199/1000",
		"bytes 100-199/1000 ,", "bytes 0x64-199/1000", "bytes +100-199/1000", "bytes 100-199/99999999999999999999", "bytes 100-199999999999999999999/1000", "",
		"bytes", "bytes 100-199/", "bytes */", "bytes *-*/1000",
	};
	char text[256];

	known(V1, 1000);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		snprintf(text, sizeof(text), V1 "Content-Range: %s\n", bad[i]);
		ck_assert_msg(part(100, 200, text) == V_BAD_RANGE, "taken: %s", bad[i]);
	}
}
END_TEST

START_TEST(a_whole_answer_to_a_range_is_told_apart)
{
	known(V1, 1000);
	ck_assert_int_eq(part(0, 10, "HTTP/1.1 200 OK\nETag: \"1\"\nContent-Length: 1000\n"), V_NO_IF_RANGE);
	ck_assert_int_eq(part(0, 10, "HTTP/1.1 200 OK\nETag: \"1\"\n"), V_NO_IF_RANGE);
	ck_assert_int_eq(part(0, 10, "HTTP/1.1 200 OK\nETag: \"1\"\nContent-Length: 999\n"), V_CHANGED);
	ck_assert_int_eq(part(0, 10, "HTTP/1.1 200 OK\nETag: \"2\"\nContent-Length: 1000\n"), V_CHANGED);
	ck_assert_int_eq(part(0, 10, "HTTP/1.1 200 OK\nContent-Length: 1000\n"), V_CHANGED);
	struct asked bare = { .what = ASK_PART, .to = 10 };
	ck_assert_int_eq(check(&bare, answer("HTTP/1.1 200 OK\nETag: \"1\"\nContent-Length: 1000\n"), &object), V_NO_RANGES);
	ck_assert_int_eq(first("HTTP/1.1 200 OK\n"), V_WHOLE);
}
END_TEST

START_TEST(nothing_more_is_told_by_416)
{
	ck_assert_int_eq(first("HTTP/1.1 416 x\nContent-Range: bytes */0\n"), V_EMPTY);
	ck_assert_int_eq(first("HTTP/1.1 416 x\n"), V_BAD_RANGE);
	known(V1, 1000);
	ck_assert_int_eq(rest("HTTP/1.1 416 x\nContent-Range: bytes */1000\n"), V_COMPLETE);
	ck_assert_int_eq(rest("HTTP/1.1 416 x\nContent-Range: bytes */1001\n"), V_CHANGED);
	ck_assert_int_eq(rest("HTTP/1.1 200 x\nETag: \"1\"\nContent-Length: 1000\n"), V_COMPLETE);
	ck_assert_int_eq(rest("HTTP/1.1 200 x\nETag: \"2\"\nContent-Length: 1000\n"), V_CHANGED);
	ck_assert_int_eq(rest("HTTP/1.1 206 x\nContent-Range: bytes 1000-1001/1002\n"), V_CHANGED);
	known(V1, SIZE_UNKNOWN);
	ck_assert_int_eq(part(1000, 1100, "HTTP/1.1 416 x\n"), V_END);
	ck_assert_int_eq(part(1000, 1100, "HTTP/1.1 416 x\nContent-Range: bytes */1000\n"), V_END);
	ck_assert_int_eq(part(1000, 1100, "HTTP/1.1 416 x\nContent-Range: bytes */1001\n"), V_CHANGED);
	struct asked whole = { .what = ASK_WHOLE };
	ck_assert_int_eq(check(&whole, answer("HTTP/1.1 416 x\n"), &object), V_FATAL);
}
END_TEST

START_TEST(statuses_have_their_meaning)
{
	static const struct { int status; enum verdict v; } all[] = {
		{ 301, V_FATAL }, { 304, V_FATAL }, { 400, V_FATAL }, { 401, V_REFUSED }, { 403, V_REFUSED }, { 404, V_FATAL }, { 408, V_RETRY }, { 410, V_FATAL },
		{ 412, V_CHANGED }, { 425, V_RETRY }, { 429, V_RETRY }, { 451, V_FATAL }, { 500, V_RETRY }, { 501, V_FATAL }, { 503, V_RETRY }, { 520, V_RETRY },
		{ 524, V_RETRY }, { 525, V_FATAL }, { 204, V_FATAL }, { 999, V_FATAL },
	};
	char text[64];

	known(V1, 1000);
	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
		snprintf(text, sizeof(text), "HTTP/1.1 %d x\n", all[i].status);
		ck_assert_msg(part(0, 10, text) == all[i].v, "%d", all[i].status);
	}
	ck_assert_int_eq(part(0, 10, "HTTP/1.1 302 x\nLocation: /y\n"), V_REDIRECT);
}
END_TEST

static enum jt_fetch_validator kind(const char *text)
{
	const char *value;

	return answer_validator(answer(text), &value);
}

START_TEST(a_validator_is_strong_or_old)
{
#define MODIFIED "Last-Modified: Sat, 01 Jan 2000 00:00:00 GMT\n"
	ck_assert_int_eq(kind("HTTP/1.1 200 x\nETag: \"1\"\n"), JT_FETCH_ETAG);
	ck_assert_int_eq(kind("HTTP/1.1 200 x\nETag: W/\"1\"\n"), JT_FETCH_UNVALIDATED);
	ck_assert_int_eq(kind("HTTP/1.1 200 x\n" MODIFIED), JT_FETCH_UNVALIDATED);
	ck_assert_int_eq(kind("HTTP/1.1 200 x\n" MODIFIED "Date: Sat, 01 Jan 2000 00:00:59 GMT\n"), JT_FETCH_UNVALIDATED);
	ck_assert_int_eq(kind("HTTP/1.1 200 x\n" MODIFIED "Date: Sat, 01 Jan 2000 00:01:00 GMT\n"), JT_FETCH_DATE);
	ck_assert_int_eq(kind("HTTP/1.1 200 x\nETag: W/\"1\"\n" MODIFIED "Date: Sat, 01 Jan 2000 00:01:00 GMT\n"), JT_FETCH_DATE);
}
END_TEST

START_TEST(retry_after_is_seconds_or_a_date)
{
	ck_assert_int_eq(answer("HTTP/1.1 503 x\nRetry-After: 7\n")->retry_after_ms, 7000);
	ck_assert_int_eq(answer("HTTP/1.1 503 x\nRetry-After: Sun, 09 Sep 2001 01:46:50 GMT\n")->retry_after_ms, 10000);
	ck_assert_int_eq(answer("HTTP/1.1 503 x\nRetry-After: Sun, 09 Sep 2001 01:46:30 GMT\n")->retry_after_ms, 0);
	ck_assert_int_eq(answer("HTTP/1.1 503 x\nRetry-After: soon\n")->retry_after_ms, -1);
	ck_assert_int_gt(answer("HTTP/1.1 503 x\nRetry-After: 99999999999\n")->retry_after_ms, 0);
}
END_TEST

static char *sums(bool whole, const char *text)
{
	struct digests found;

	answer_sums(answer(text), whole, &found);
	return digests_text(&found);
}

static void expect_sums(bool whole, const char *text, const char *expected)
{
	char *found = sums(whole, text);

	if (expected)
		ck_assert_str_eq(found, expected);
	else
		ck_assert_ptr_null(found);
	free(found);
}

START_TEST(checksums_of_servers_are_read)
{
#define EMPTY_MD5 "md5:d41d8cd98f00b204e9800998ecf8427e"
	expect_sums(true, "HTTP/1.1 200 x\nContent-MD5: 1B2M2Y8AsgTpgAmY7PhCfg==\n", EMPTY_MD5);
	expect_sums(false, "HTTP/1.1 206 x\nContent-MD5: 1B2M2Y8AsgTpgAmY7PhCfg==\n", NULL);
	expect_sums(false, "HTTP/1.1 206 x\nDigest: unknown=x, MD5=1B2M2Y8AsgTpgAmY7PhCfg==\n", EMPTY_MD5);
	expect_sums(false, "HTTP/1.1 206 x\nRepr-Digest: md5=:1B2M2Y8AsgTpgAmY7PhCfg==:\n", EMPTY_MD5);
	expect_sums(false, "HTTP/1.1 206 x\nDigest: MD5=1B2M2Y8AsgTpgAmY7PhCf\n", NULL);
	expect_sums(false, "HTTP/1.1 206 x\nx-amz-checksum-crc32c: AAAAAA==\n", "crc32c:00000000");
	expect_sums(false, "HTTP/1.1 206 x\nx-amz-checksum-crc32c: AAAAAA==-2\n", NULL);
	expect_sums(false, "HTTP/1.1 206 x\nx-amz-checksum-crc32c: AAAAAA==\nx-amz-checksum-type: COMPOSITE\n", NULL);
	expect_sums(false, "HTTP/1.1 206 x\nX-Bz-Content-Sha1: none\n", NULL);
	expect_sums(false, "HTTP/1.1 206 x\nX-Bz-Content-Sha1: unverified:da39a3ee5e6b4b0d3255bfef95601890afd80709\n",
		    "sha1:da39a3ee5e6b4b0d3255bfef95601890afd80709");
}
END_TEST

START_TEST(a_sum_of_s3_is_that_of_the_object_or_none)
{
#define OF_PARTS "ETag: \"d41d8cd98f00b204e9800998ecf8427e-3\"\n"
#define SUM "x-amz-checksum-crc32c: AAAAAA==\n"
#define FULL "x-amz-checksum-type: FULL_OBJECT\n"
	expect_sums(false, "HTTP/1.1 206 x\n" SUM FULL, "crc32c:00000000");
	expect_sums(false, "HTTP/1.1 206 x\nETag: \"6b017520-40000000\"\n" SUM, "crc32c:00000000");
	expect_sums(false, "HTTP/1.1 206 x\n" OF_PARTS SUM FULL, NULL);
	expect_sums(true, "HTTP/1.1 206 x\n" OF_PARTS SUM, NULL);
	expect_sums(true, "HTTP/1.1 206 x\n" OF_PARTS SUM FULL, "crc32c:00000000");
	expect_sums(true, "HTTP/1.1 200 x\n" OF_PARTS SUM, "crc32c:00000000");
	expect_sums(true, "HTTP/1.1 200 x\n" OF_PARTS SUM "X-Amz-Checksum-Type: COMPOSITE\n", NULL);
}
END_TEST

static void shown_as(const char *text, const char *expected)
{
	char *shown = url_shown(text);

	ck_assert_str_eq(shown, expected);
	free(shown);
}

START_TEST(no_secret_of_a_url_is_shown)
{
	shown_as("https://example.org/a/b", "https://example.org/a/b");
	shown_as("https://me:pa@ss@example.org/a?sig=1#x", "https://example.org/a");
	shown_as("https://example.org?u=http://me:pw@x/", "https://example.org");
	shown_as("s3://bucket/a@b", "s3://bucket/a@b");
	shown_as("nonsense?secret", "nonsense");
}
END_TEST

static void leads_to(const char *from, const char *location, const char *expected)
{
	struct url base = { 0 }, to = { 0 };
	const char *why;

	ck_assert_int_eq(url_read(from, &base, &why), 0);
	if (expected) {
		ck_assert_int_eq(url_follow(&base, location, &to, &why), 0);
		ck_assert_str_eq(to.text, expected);
		ck_assert_ptr_null(to.user);
	} else {
		ck_assert_int_eq(url_follow(&base, location, &to, &why), -1);
	}
	url_done(&base);
	url_done(&to);
}

START_TEST(redirects_lead_to_http_and_no_further)
{
	leads_to("http://u:p@h/a/b?c", "d", "http://h/a/d");
	leads_to("http://h/a/b", "/d?e#f", "http://h/d?e");
	leads_to("http://h/a", "//other:8080/x", "http://other:8080/x");
	leads_to("http://h/a", "https://u:p@other/x y", "https://other/x%20y");
	leads_to("http://h/a", "ftp://h/a", NULL);
	leads_to("http://h/a", "file:///etc/passwd", NULL);
}
END_TEST

static void s3_becomes(const char *url, const char *expected)
{
	struct fail fail = { 0 };
	struct s3 s;

	ck_assert_msg(s3_read(url, &s, &fail) == 0, "%s", fail.text);
	ck_assert_str_eq(s.url, expected);
	s3_done(&s);
}

START_TEST(s3_urls_are_encoded_once_and_sorted)
{
	char *text;

	setenv("AWS_REGION", "eu-west-3", 1);
	unsetenv("AWS_ENDPOINT_URL");
	s3_becomes("s3://bucket/a b/c+d", "https://bucket.s3.eu-west-3.amazonaws.com/a%20b/c%2Bd");
	s3_becomes("s3://bucket.dot/k", "https://s3.eu-west-3.amazonaws.com/bucket.dot/k");
	setenv("AWS_ENDPOINT_URL", "http://localhost:9000/", 1);
	s3_becomes("s3://bucket/k?versions&a=%", "http://localhost:9000/bucket/k?a=%25&versions=");
	text = s3_with_version("http://h/k?a=1&z=2", "x/y");
	ck_assert_str_eq(text, "http://h/k?a=1&versionId=x%2Fy&z=2");
	free(text);
	text = s3_with_version("http://h/k?a=1", "x");
	ck_assert_str_eq(text, "http://h/k?a=1&versionId=x");
	free(text);
	text = s3_with_version("http://h/k?z=1", "x");
	ck_assert_str_eq(text, "http://h/k?versionId=x&z=1");
	free(text);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		a_part_is_taken_only_if_everything_fits, a_range_that_is_not_readable_is_none, a_whole_answer_to_a_range_is_told_apart,
		nothing_more_is_told_by_416, statuses_have_their_meaning, a_validator_is_strong_or_old, retry_after_is_seconds_or_a_date,
		checksums_of_servers_are_read, a_sum_of_s3_is_that_of_the_object_or_none, no_secret_of_a_url_is_shown, redirects_lead_to_http_and_no_further, s3_urls_are_encoded_once_and_sorted,
	};
	Suite *suite = suite_create("judge");
	TCase *t = tcase_create("judge");

	for (size_t i = 0; i < sizeof(tests) / sizeof(*tests); i++)
		tcase_add_test(t, tests[i]);
	suite_add_tcase(suite, t);
	int failed = play_suite(suite);
	answer_done(&a);
	object_done(&object);
	return failed;
}
