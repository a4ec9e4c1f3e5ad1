/* SPDX-License-Identifier: MIT */
/* Specifications of fetches. */
#include <stdio.h>
#include <string.h>

#include "spec_kit.h"

static void add_word(void *arg, const char *name, const char *value)
{
	char *words = arg;

	strcat(strcat(words, " "), name);
	if (value)
		strcat(strcat(words, "="), value);
}

static const char *fetch_options(void)
{
	static char words[2048];

	words[0] = '\0';
	ck_assert(job.kind == SPEC_FETCH);
	spec_fetch_options(job.fetch, add_word, words);
	return words;
}

START_TEST(a_fetch_has_its_options)
{
	given_job(fetch_with(GOOD));
	ck_assert(job.kind == SPEC_FETCH && !job.argv && job.argc == 0 && !job.shell);
	ck_assert_str_eq(job.fetch->url, "https://user:secret@example.org/o?sig=secret");
	ck_assert_str_eq(job.fetch->output, "o");
	ck_assert(job.fetch->streams == 8 && job.fetch->min_part == 8 << 20 && job.fetch->tries == 15 && job.fetch->at == -1);
	given_job(fetch_with(URL ",\"into\":\"disk\",\"range\":\"0-99\",\"at\":\"1M\",\"streams\":64,\"stall-timeout-s\":0.5"));
	ck_assert(job.fetch->at == 1 << 20 && job.fetch->streams == 64 && job.fetch->stall_timeout == 500);
	given_job(fetch_with("\"url\":\"HTTP://[::1]:8080/\",\"output\":\"o\""));
	given_job(fetch_with("\"url\":\"s3://bucket/a key with blanks\",\"output\":\"o\""));
}
END_TEST

START_TEST(a_fetch_hands_over_what_is_not_so_by_itself)
{
	given_job(fetch_with(GOOD ",\"streams\":8,\"min_part\":\"8M\",\"tries\":15,\"alloc\":\"fall\",\"durable\":false,\"stall_timeout_s\":30"));
	ck_assert_str_eq(fetch_options(), " output=o");
	given_job(fetch_with(GOOD ",\"streams\":4,\"deadline_s\":1.5,\"min_part\":\"64K\",\"no_clobber\":true,\"alloc\":\"none\","
			     "\"checksum\":\"md5:d41d8cd98f00b204e9800998ecf8427e\""));
	ck_assert_str_eq(fetch_options(), " output=o streams=4 min-part=65536 deadline=1.500 no-clobber alloc=none"
			 " checksum=md5:d41d8cd98f00b204e9800998ecf8427e");
}
END_TEST

static void refused_fetch(const char *members, const char *field, const char *words)
{
	char due[1024];

	ck_assert_int_lt(snprintf(due, sizeof(due), "job \"a\": %s", words), (int)sizeof(due));
	refused_job(fetch_with(members), field, due);
}

START_TEST(bad_fetches_are_refused_by_name)
{
	refused_fetch("", "fetch.url", "fetch needs a url");
	refused_fetch(URL, "fetch.output", "fetch needs one target: output, or into with range and at");
	refused_fetch(URL ",\"output\":\"-\"", "fetch.output", "fetch.output must be a file: the standard output of a fetch is its record");
	refused_fetch(URL ",\"into\":\"x\"", "fetch.into", "fetch.into needs range, what to fetch, and at, where to write it");
	refused_fetch(GOOD ",\"at\":0", "fetch.at", "fetch.at belongs to into");
	refused_fetch(GOOD ",\"if_changed\":true,\"range\":\"0-1\"", "fetch.if_changed",
		      "fetch.if_changed compares whole objects; it cannot go with range");
	refused_fetch(GOOD ",\"range\":\"9-1\"", "fetch.range",
		      "fetch.range must be \"FIRST-LAST\", two offsets of bytes, the last included, got \"9-1\"");
	refused_fetch(GOOD ",\"streams\":65", "fetch.streams", "fetch.streams must be 1..64, got 65");
	refused_fetch(GOOD ",\"min_part\":1", "fetch.min_part", "fetch.min_part must be at least 4096, got 1");
	refused_fetch(GOOD ",\"limit_rate\":\"5T\"", "fetch.limit_rate",
		      "fetch.limit_rate must be a number of bytes, or one with K, M or G in a string, got \"5T\"");
	refused_fetch(GOOD ",\"heartbeat_s\":0", "fetch.heartbeat_s", "fetch.heartbeat_s must be more than 0 seconds");
	refused_fetch(GOOD ",\"checksum\":[\"md5:12\"]", "fetch.checksum",
		      "fetch.checksum must be ALGORITHM:HEX, with all digits of an md5, sha1, sha256 or sha512, or a list of such");
	refused_fetch(GOOD ",\"alloc\":\"x\"", "fetch.alloc", "fetch.alloc must be \"fall\", \"sparse\" or \"none\", got \"x\"");
	refused_fetch(GOOD ",\"stream\":1", "fetch.stream", "unknown field \"fetch.stream\"; did you mean \"streams\"?");
	refused_job("{\"path\":\"a\",\"stdin\":{\"text\":\"x\"},\"fetch\":{" GOOD "}}", "stdin",
		    "job \"a\": stdin is not for a fetch, which reads nothing from it");
}
END_TEST

START_TEST(no_refusal_quotes_a_url)
{
	static const char *const urls[] = {
		"\"ftp://u:secret@host/\"", "\"http://\"", "\"https:///secret\"", "\"s3://\"", "\"http://host/a secret\"", "\"http://host/\\nsecret\"",
		"\"http://host/\\u0000secret\"", "[\"secret\"]", "7", "\"\"",
	};

	for (size_t i = 0; i < sizeof(urls) / sizeof(*urls); i++) {
		char members[256];

		snprintf(members, sizeof(members), "\"url\":%s,\"output\":\"o\"", urls[i]);
		ck_assert_msg(read_job(fetch_with(members)) == -1, "%s was taken", urls[i]);
		ck_assert_str_eq(err.field, "fetch.url");
		ck_assert_ptr_null(strstr(err.text, "secret"));
	}
	ck_assert_int_eq(read_job("{\"path\":\"a\",\"fetch\":\"http://u:secret@host/\"}"), -1);
	ck_assert_str_eq(err.text, "job \"a\": fetch must be an object: {url: ..., output: ...}");
}
END_TEST

START_TEST(a_fetch_is_laid_over_that_of_the_defaults)
{
	given_run("{\"defaults\":{\"fetch\":{\"streams\":4,\"header_file\":\"h\"}}}");
	given_job(fetch_with(GOOD ",\"header_file\":\"mine\""));
	ck_assert_str_eq(fetch_options(), " output=o header-file=mine streams=4");
	given_job("{\"path\":\"a\",\"argv\":[\"x\"]}");
	ck_assert(job.kind == SPEC_ARGV);
	refused_job("{\"path\":\"a\"}", "fetch.url", "job \"a\": fetch needs a url");
	given_run("{\"defaults\":{\"shell\":\"true\"}}");
	given_job(fetch_with(GOOD));
	ck_assert(job.kind == SPEC_FETCH && !job.shell);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		a_fetch_has_its_options, a_fetch_hands_over_what_is_not_so_by_itself, bad_fetches_are_refused_by_name, no_refusal_quotes_a_url,
		a_fetch_is_laid_over_that_of_the_defaults,
	};

	return spec_suite("spec: fetch", tests, sizeof(tests) / sizeof(*tests));
}
