/* SPDX-License-Identifier: MIT */
/* Specifications: every option, good and bad, with the words in which it is refused; what merges and what replaces; content hashes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/arena.h"
#include "proto/spec.h"
#include "../play.h"

static struct arena arena;
static struct spec_run run;
static struct spec_job job;
static struct spec_error err;

static json_t *parse(const char *text)
{
	json_error_t jerr;
	json_t *v = json_loads(text, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_ANY, &jerr);

	ck_assert_msg(v != NULL, "%s: %s", text, jerr.text);
	return v;
}

static int read_run(const char *text)
{
	json_t *obj = text ? parse(text) : NULL;
	int rc = spec_run_read(obj, &arena, &run, &err);

	json_decref(obj);
	return rc;
}

static int read_job(const char *text)
{
	json_t *obj = parse(text);
	int rc = spec_job_read(obj, &run, &arena, &job, &err);

	json_decref(obj);
	return rc;
}

static void given_run(const char *text)
{
	ck_assert_msg(read_run(text) == 0, "%s", err.text);
}

static void given_job(const char *text)
{
	ck_assert_msg(read_job(text) == 0, "%s: %s", text, err.text);
}

static void refused_job(const char *text, const char *field, const char *words)
{
	memset(&err, 0, sizeof(err));
	ck_assert_msg(read_job(text) == -1, "%s was taken", text);
	ck_assert_str_eq(err.text, words);
	ck_assert_str_eq(err.field, field);
	ck_assert_int_ne(err.code, JT_OK);
}

/* The job "a" with a command and these members. */
static void with(const char *members)
{
	char text[1024];

	ck_assert_int_lt(snprintf(text, sizeof(text), "{\"path\":\"a\",\"shell\":\"true\",%s}", members), (int)sizeof(text));
	given_job(text);
}

static void refused_with(const char *members, const char *field, const char *words)
{
	char text[1024], due[1024];

	ck_assert_int_lt(snprintf(text, sizeof(text), "{\"path\":\"a\",\"shell\":\"true\",%s}", members), (int)sizeof(text));
	ck_assert_int_lt(snprintf(due, sizeof(due), "job \"a\": %s", words), (int)sizeof(due));
	refused_job(text, field, due);
}

static void refused_run(const char *text, const char *field, const char *words)
{
	memset(&err, 0, sizeof(err));
	ck_assert_msg(read_run(text) == -1, "%s was taken", text);
	ck_assert_str_eq(err.text, words);
	ck_assert_str_eq(err.field, field);
}

static void setup(void)
{
	arena_init(&arena);
	given_run(NULL);
}

static void teardown(void)
{
	arena_done(&arena);
}

/* ---- a job ------------------------------------------------------------------------------------------------------------ */

START_TEST(a_job_starts_from_the_defaults_of_the_book)
{
	given_job("{\"path\":\"a/b\",\"argv\":[\"prog\",\"a b\",\"\"]}");
	ck_assert_str_eq(job.path, "a/b");
	ck_assert(job.kind == SPEC_ARGV && job.argc == 3 && !job.argv[3] && !job.shell);
	ck_assert_str_eq(job.argv[1], "a b");
	ck_assert(!job.cwd && !job.n_env && !job.n_env_inherit && !job.stdin_file && !job.stdin_text && !job.user && !job.group);
	ck_assert(job.umask == -1 && job.nice == 0 && job.timeout_ms == 0 && job.grace_ms == 10000);
	ck_assert(job.retry.max == 0 && job.retry.min_ns == 0 && job.retry.cap_ns == 125000000 && job.retry.max_ns == 10000000000);
	ck_assert(job.retry.elapsed_ns == 0 && job.retry_on == 15 && !job.has_retry_on_exit);
	ck_assert_double_eq(job.retry.base, 2.0);
	for (unsigned i = 0; i < 300; i++)
		ck_assert(spec_set_has(&job.success_exit, i) == (i == 0) && !spec_set_has(&job.skip_exit, i));
	ck_assert(job.on_error == SPEC_FAIL && job.on_lost == SPEC_LOST_RETRY && job.lost_max == 3);
	ck_assert(!job.n_after && job.when == JT_ON_SUCCESS && job.priority == 0 && job.duration_ns == -1 && !job.n_labels);
}
END_TEST

START_TEST(every_option_arrives)
{
	with("\"cwd\":\"/tmp\",\"env\":{\"B\":\"2\",\"A\":\"1=x\"},\"env_inherit\":[\"HOME\"],"
	     "\"stdin\":{\"text\":\"hello\"},\"user\":\"u\",\"group\":\"g\"");
	ck_assert_str_eq(job.cwd, "/tmp");
	ck_assert(job.n_env == 2 && job.env_bytes == 10 && job.n_env_inherit == 1);
	ck_assert_str_eq(job.env[0].name, "A");
	ck_assert_str_eq(job.env[0].value, "1=x");
	ck_assert_str_eq(job.stdin_text, "hello");
	ck_assert_str_eq(job.user, "u");
	ck_assert_str_eq(job.group, "g");
	with("\"umask\":\"027\",\"nice\":-5,\"timeout_s\":1.5,\"grace_s\":0,\"stdin\":{\"file\":\"in\"},\"labels\":{\"x\":\"y\"}");
	ck_assert(job.umask == 027 && job.nice == -5 && job.timeout_ms == 1500 && job.grace_ms == 0 && job.n_labels == 1);
	ck_assert_str_eq(job.stdin_file, "in");
	with("\"retry\":{\"max\":3,\"min_s\":0.5,\"cap_s\":1,\"max_s\":60,\"base\":3,\"elapsed_s\":100,\"on\":[\"exit\",\"timeout\"],"
	     "\"on_exit\":[1,255],\"not_on_exit\":[2]}");
	ck_assert(job.retry.max == 3 && job.retry.min_ns == 500000000 && job.retry.cap_ns == 1000000000 && job.retry.max_ns == 60000000000);
	ck_assert(job.retry.elapsed_ns == 100000000000 && job.retry_on == (SPEC_ON_EXIT | SPEC_ON_TIMEOUT) && job.has_retry_on_exit);
	ck_assert(spec_set_has(&job.retry_on_exit, 255) && spec_set_has(&job.retry_not_on_exit, 2));
	with("\"success_exit\":[0,3],\"skip_exit\":[75],\"on_error\":\"stop\",\"on_lost\":\"hold\",\"lost_max\":1");
	ck_assert(spec_set_has(&job.success_exit, 3) && spec_set_has(&job.skip_exit, 75));
	ck_assert(job.on_error == SPEC_STOP && job.on_lost == SPEC_LOST_HOLD && job.lost_max == 1);
	with("\"after\":[\"b\",\"c/\"],\"when\":\"finished\",\"priority\":-7,\"duration_s\":0.25");
	ck_assert(job.n_after == 2 && job.when == JT_ON_FINISHED && job.priority == -7 && job.duration_ns == 250000000);
	ck_assert_str_eq(job.after[1], "c/");
}
END_TEST

START_TEST(names_of_choices_are_those_of_the_book)
{
	static const char *const on_error[] = { "fail", "warn", "ignore", "skip", "stop" };
	static const char *const on_lost[] = { "retry", "fail", "hold" };
	static const char *const when[] = { "success", "failure", "finished" };
	static const char *const on[] = { "exit", "signal", "timeout", "spawn" };
	char text[100];

	for (unsigned i = 0; i < 5; i++) {
		(void)snprintf(text, sizeof(text), "\"on_error\":\"%s\"", on_error[i]);
		with(text);
		ck_assert_int_eq(job.on_error, i);
	}
	for (unsigned i = 0; i < 3; i++) {
		(void)snprintf(text, sizeof(text), "\"on-lost\":\"%s\",\"when\":\"%s\"", on_lost[i], when[i]);
		with(text);
		ck_assert(job.on_lost == i && job.when == i);
	}
	for (unsigned i = 0; i < 4; i++) {
		(void)snprintf(text, sizeof(text), "\"retry\":{\"on\":[\"%s\"]}", on[i]);
		with(text);
		ck_assert_uint_eq(job.retry_on, 1u << i);
	}
}
END_TEST

START_TEST(a_command_is_one_of_four)
{
	given_job("{\"path\":\"a\",\"shell\":\"echo $HOME\"}");
	ck_assert(job.kind == SPEC_SHELL && !job.argv && job.argc == 0);
	given_job("{\"path\":\"a\",\"argv_b64\":[\"L2Jpbi9scw==\",\"/w==\",\"\"]}");
	ck_assert(job.kind == SPEC_ARGV && job.argc == 3);
	ck_assert_str_eq(job.argv[0], "/bin/ls");
	ck_assert_str_eq(job.argv[1], "\xff");
	refused_job("{\"path\":\"a\"}", "argv", "job \"a\": has nothing to run; give argv, argv_b64, shell or fetch");
	refused_job("{\"path\":\"a\",\"argv\":[\"x\"],\"shell\":\"x\"}", "shell",
		    "job \"a\": argv, argv_b64, shell and fetch exclude each other; give exactly one");
	refused_job("{\"path\":\"a\",\"argv\":[\"x\"],\"argv_b64\":[\"eA==\"]}", "argv_b64",
		    "job \"a\": argv, argv_b64, shell and fetch exclude each other; give exactly one");
	refused_job("{\"path\":\"a\",\"shell\":\"x\",\"fetch\":{\"url\":\"https://example.org/\"}}", "fetch",
		    "job \"a\": argv, argv_b64, shell and fetch exclude each other; give exactly one");
	refused_job("{\"path\":\"a\",\"argv\":[]}", "argv", "job \"a\": argv must not be empty");
	refused_job("{\"path\":\"a\",\"argv\":[\"\"]}", "argv[0]", "job \"a\": argv[0] must not be empty");
	refused_job("{\"path\":\"a\",\"argv\":\"ls -l\"}", "argv", "job \"a\": argv must be a list of strings, got \"ls -l\"");
	refused_job("{\"path\":\"a\",\"shell\":\"\"}", "shell", "job \"a\": shell must not be empty");
	refused_job("{\"path\":\"a\",\"argv_b64\":[]}", "argv_b64", "job \"a\": argv_b64 must be a list of at least one string of base64");
	refused_job("{\"path\":\"a\",\"argv_b64\":[\"eA\"]}", "argv_b64[0]", "job \"a\": argv_b64[0] must be a string of base64, got \"eA\"");
	refused_job("{\"path\":\"a\",\"argv_b64\":[\"eAB4\"]}", "argv_b64[0]", "job \"a\": argv_b64[0] must not hold a NUL byte");
}
END_TEST

/* ---- fetch ------------------------------------------------------------------------------------------------------------- */

#define URL "\"url\":\"https://user:secret@example.org/o?sig=secret\""
#define GOOD URL ",\"output\":\"o\""

static const char *fetch_with(const char *members)
{
	static char text[2048];

	ck_assert_int_lt(snprintf(text, sizeof(text), "{\"path\":\"a\",\"fetch\":{%s}}", members), (int)sizeof(text));
	return text;
}

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

START_TEST(bad_options_are_refused_by_name)
{
	refused_with("\"cwd\":\"tmp\"", "cwd", "cwd must be an absolute path, got \"tmp\"");
	refused_with("\"cwd\":\"/a\\u0000b\"", "cwd", "cwd must not hold a NUL byte");
	refused_with("\"env\":[]", "env", "env must be an object of names and strings");
	refused_with("\"env\":{\"1A\":\"x\"}", "env.1A", "env.1A is not a name of letters, digits and underscores");
	refused_with("\"env\":{\"A-B\":\"x\"}", "env.A-B", "env.A-B is not a name of letters, digits and underscores");
	refused_with("\"env\":{\"JOBD_RUN\":\"1\"}", "env.JOBD_RUN", "env.JOBD_RUN is set by jobd and cannot be given");
	refused_with("\"env\":{\"A\":1}", "env.A", "env.A must be a string, got 1");
	refused_with("\"env\":{\"A\":\"\\u0000\"}", "env.A", "env.A must not hold a NUL byte");
	refused_with("\"stdin\":{}", "stdin", "stdin must have either file or text");
	refused_with("\"stdin\":{\"file\":\"a\",\"text\":\"b\"}", "stdin", "stdin must have either file or text");
	refused_with("\"stdin\":{\"fiel\":\"a\"}", "stdin.fiel", "unknown field \"stdin.fiel\"; did you mean \"file\"?");
	refused_with("\"user\":\"\"", "user", "user must not be empty");
	refused_with("\"umask\":\"08\"", "umask", "umask must be a string of octal digits \"000\"..\"777\", got \"08\"");
	refused_with("\"umask\":\"1777\"", "umask", "umask must be a string of octal digits \"000\"..\"777\", got \"1777\"");
	refused_with("\"umask\":22", "umask", "umask must be a string of octal digits \"000\"..\"777\", got 22");
	refused_with("\"nice\":20", "nice", "nice must be -20..19, got 20");
	refused_with("\"timeout_s\":-1", "timeout_s", "timeout_s must be 0..1000000000 seconds, got -1");
	refused_with("\"timeout_s\":\"1m\"", "timeout_s", "timeout_s must be a number of seconds, got \"1m\"");
	refused_with("\"grace_s\":1e10", "grace_s", "grace_s must be 0..1000000000 seconds, got 1e+10");
	refused_with("\"retry\":3", "retry", "retry must be an object, got 3");
	refused_with("\"retry\":{\"max\":-1}", "retry.max", "retry.max must be 0..1000000, got -1");
	refused_with("\"retry\":{\"base\":0.5}", "retry.base", "retry.base must be 1..1000, got 0.5");
	refused_with("\"retry\":{\"on\":[\"never\"]}", "retry.on[0]",
		     "retry.on[0] must be \"exit\", \"signal\", \"timeout\" or \"spawn\", got \"never\"");
	refused_with("\"retry\":{\"on_exit\":[256]}", "retry.on_exit[0]", "retry.on_exit[0] must be an exit status 0..255, got 256");
	refused_with("\"success_exit\":0", "success_exit", "success_exit must be a list of exit statuses, got 0");
	refused_with("\"skip_exit\":[75,-1]", "skip_exit[1]", "skip_exit[1] must be an exit status 0..255, got -1");
	refused_with("\"skip_exit\":[0]", "skip_exit", "exit status 0 is in success_exit and in skip_exit");
	refused_with("\"on_error\":\"fial\"", "on_error", "on_error must be \"fail\", \"warn\", \"ignore\", \"skip\" or \"stop\", got \"fial\"");
	refused_with("\"on_lost\":null,\"lost_max\":-1", "lost_max", "lost_max must be 0..1000000, got -1");
	refused_with("\"after\":\"b\"", "after", "after must be a list of strings, got \"b\"");
	refused_with("\"when\":\"always\"", "when", "when must be \"success\", \"failure\" or \"finished\", got \"always\"");
	refused_with("\"priority\":2147483648", "priority", "priority must be -2147483648..2147483647, got 2147483648");
	refused_with("\"priority\":1.5", "priority", "priority must be an integer, got 1.5");
	refused_with("\"labels\":{\"\":\"x\"}", "labels", "labels must have names of 1..255 bytes");
	refused_with("\"timout_s\":1", "timout_s", "unknown field \"timout_s\"; did you mean \"timeout_s\"?");
	refused_with("\"timeout-s\":1,\"timeout_s\":1", "timeout_s", "timeout_s is given twice, with a dash and with an underscore");
	refused_with("\"workers\":1", "workers", "unknown field \"workers\"");
}
END_TEST

START_TEST(paths_follow_the_rules_of_the_tree)
{
	memset(&err, 0, sizeof(err));
	ck_assert_int_eq(read_job("{\"shell\":\"true\"}"), -1);
	ck_assert_str_eq(err.text, "a job has no path");
	ck_assert_str_eq(err.field, "path");
	ck_assert_int_eq(read_job("{\"path\":\"a//b\",\"shell\":\"true\"}"), -1);
	ck_assert_str_eq(err.field, "path");
	ck_assert_str_eq(err.job, "a//b");
	ck_assert_ptr_nonnull(strstr(err.text, "a//b"));
	ck_assert_int_eq(read_job("{\"path\":\"a/~\",\"shell\":\"true\"}"), -1);
	given_run("{\"barrier\":\"sync\"}");
	given_job("{\"path\":\"a/~\",\"shell\":\"true\"}");
	ck_assert_int_eq(read_job("{\"path\":\"a/sync\",\"shell\":\"true\"}"), -1);
	refused_job("[]", "", "a job must be an object, got a list");
	refused_job("\"true\"", "", "a job must be an object, got \"true\"");
}
END_TEST

static char *big_job(const char *field_head, size_t n, const char *tail)
{
	char *text = malloc(strlen(field_head) + n + strlen(tail) + 1), *to = stpcpy(text, field_head);

	memset(to, 'x', n);
	memcpy(to + n, tail, strlen(tail) + 1);
	return text;
}

START_TEST(what_exec_would_refuse_is_refused_before)
{
	char *text = big_job("{\"path\":\"a\",\"argv\":[\"x\",\"", SPEC_STRING_MAX, "\"]}");

	given_job(text);
	free(text);
	text = big_job("{\"path\":\"a\",\"argv\":[\"x\",\"", SPEC_STRING_MAX + 1, "\"]}");
	refused_job(text, "argv[1]", "job \"a\": argv[1] has 131072 bytes, the limit is 131071");
	free(text);
	text = big_job("{\"path\":\"a\",\"shell\":\"", SPEC_STRING_MAX + 1, "\"}");
	refused_job(text, "shell", "job \"a\": shell has 131072 bytes, the limit is 131071");
	free(text);
	text = big_job("{\"path\":\"a\",\"shell\":\"x\",\"env\":{\"NAME\":\"", SPEC_STRING_MAX - 4, "\"}}");
	refused_job(text, "env.NAME", "job \"a\": env.NAME has 131072 bytes with its name, the limit is 131071");
	free(text);
}
END_TEST

START_TEST(argv_and_env_together_are_bounded)
{
	json_t *obj = json_pack("{s:s, s:{}, s:[s]}", "path", "a", "env", "argv", "x"), *env = json_object_get(obj, "env");
	char *value = big_job("", 100000, ""), name[16];

	for (int i = 0; i < 5; i++) {
		(void)snprintf(name, sizeof(name), "V%d", i);
		json_object_set_new(env, name, json_string(value));
	}
	ck_assert_int_eq(spec_job_read(obj, &run, &arena, &job, &err), 0);
	json_object_set_new(env, "V5", json_string(value));
	ck_assert_int_eq(spec_job_read(obj, &run, &arena, &job, &err), -1);
	ck_assert_str_eq(err.text, "job \"a\": argv (2 bytes) and env (600024 bytes) together exceed the limit of 524288 bytes");
	ck_assert_str_eq(err.field, "env");
	ck_assert_int_eq(err.code, JT_ELIMIT);
	free(value);
	json_decref(obj);
}
END_TEST

START_TEST(labels_are_bounded_with_those_of_the_defaults)
{
	json_t *obj = json_pack("{s:s, s:s, s:{}}", "path", "a", "shell", "x", "labels"), *labels = json_object_get(obj, "labels");
	char name[16];

	given_run("{\"defaults\":{\"labels\":{\"base\":\"1\"}}}");
	for (int i = 0; i < SPEC_LABELS_MAX - 1; i++) {
		(void)snprintf(name, sizeof(name), "l%d", i);
		json_object_set_new(labels, name, json_string("v"));
	}
	ck_assert_int_eq(spec_job_read(obj, &run, &arena, &job, &err), 0);
	ck_assert_uint_eq(job.n_labels, SPEC_LABELS_MAX);
	json_object_set_new(labels, "last", json_string("v"));
	ck_assert_int_eq(spec_job_read(obj, &run, &arena, &job, &err), -1);
	ck_assert_str_eq(err.text, "job \"a\": labels has 65 entries with the defaults, the limit is 64");
	json_object_set_new(labels, "one more", json_string("v"));
	ck_assert_int_eq(spec_job_read(obj, &run, &arena, &job, &err), -1);
	ck_assert_str_eq(err.text, "job \"a\": labels has 65 entries, the limit is 64");
	json_decref(obj);
}
END_TEST

/* ---- a run ------------------------------------------------------------------------------------------------------------ */

START_TEST(a_run_has_its_options)
{
	ck_assert(!run.name && !run.key && run.workers == 0 && run.order == JT_BY_PATH && !run.n_labels);
	ck_assert(!run.interval_ms && !run.period_ms && !run.jitter_ms && !run.deadline_ms);
	ck_assert_str_eq(run.barrier, "~");
	given_run("{\"name\":\"nightly\",\"key\":\"k/1\",\"workers\":4,\"barrier\":\"@\",\"order\":\"fifo\",\"interval_s\":0.5,\"jitter_s\":1,"
		  "\"deadline-s\":3600,\"labels\":{\"a\":\"b\"}}");
	ck_assert_str_eq(run.name, "nightly");
	ck_assert_str_eq(run.key, "k/1");
	ck_assert_str_eq(run.barrier, "@");
	ck_assert(run.workers == 4 && run.order == JT_BY_FIFO && run.n_labels == 1);
	ck_assert(run.interval_ms == 500 && run.jitter_ms == 1000 && run.deadline_ms == 3600000);
	given_run("{\"period_s\":60,\"order\":\"depth\"}");
	ck_assert(run.period_ms == 60000 && run.order == JT_BY_DEPTH);
}
END_TEST

START_TEST(bad_options_of_a_run_are_refused_by_name)
{
	refused_run("{\"name\":\"a/b\"}", "name", "name must have no \"/\", no \"-\" at its start and not only digits, got \"a/b\"");
	refused_run("{\"name\":\"-a\"}", "name", "name must have no \"/\", no \"-\" at its start and not only digits, got \"-a\"");
	refused_run("{\"name\":\"17\"}", "name", "name must have no \"/\", no \"-\" at its start and not only digits, got \"17\"");
	refused_run("{\"name\":\"\"}", "name", "name must be a string of 1..255 bytes, got \"\"");
	refused_run("{\"name\":\"a\\nb\"}", "name", "name must not hold control characters");
	refused_run("{\"key\":7}", "key", "key must be a string of 1..255 bytes, got 7");
	refused_run("{\"workers\":0}", "workers", "workers must be 1..100000, got 0");
	refused_run("{\"barrier\":\"a/b\"}", "barrier", "barrier must be one component, without \"/\"");
	refused_run("{\"order\":\"size\"}", "order", "order must be \"path\", \"depth\" or \"fifo\", got \"size\"");
	refused_run("{\"interval_s\":1,\"period_s\":1}", "period_s", "interval_s and period_s exclude each other; give one");
	refused_run("{\"wokers\":1}", "wokers", "unknown field \"wokers\"; did you mean \"workers\"?");
	refused_run("{\"jobs\":[]}", "jobs", "unknown field \"jobs\"");
	refused_run("{\"defaults\":{\"retry\":{\"max\":-1}}}", "defaults.retry.max", "defaults.retry.max must be 0..1000000, got -1");
	refused_run("{\"defaults\":{\"retyr\":{}}}", "defaults.retyr", "unknown field \"defaults.retyr\"; did you mean \"retry\"?");
	refused_run("{\"defaults\":{\"path\":\"a\"}}", "defaults.path", "defaults.path cannot be given: each job has a path of its own");
	refused_run("{\"defaults\":[]}", "defaults", "defaults must be an object, got a list");
	refused_run("[]", "", "the options of a run must be an object, got a list");
}
END_TEST

/* ---- what merges and what replaces --------------------------------------------------------------------------------- */

START_TEST(env_labels_and_retry_merge_key_by_key)
{
	given_run("{\"env\":{\"A\":\"run\",\"B\":\"run\"},\"defaults\":{\"env\":{\"B\":\"default\",\"C\":\"default\"},"
		  "\"labels\":{\"x\":\"1\",\"y\":\"1\"},\"retry\":{\"max\":2,\"on\":[\"exit\"]}}}");
	with("\"env\":{\"C\":\"job\",\"D\":\"job\"},\"labels\":{\"y\":\"2\"},\"retry\":{\"max_s\":60}");
	ck_assert_uint_eq(job.n_env, 4);
	ck_assert_str_eq(job.env[0].value, "run");
	ck_assert_str_eq(job.env[1].value, "default");
	ck_assert_str_eq(job.env[2].value, "job");
	ck_assert_str_eq(job.env[3].name, "D");
	ck_assert(job.n_labels == 2 && !strcmp(job.labels[0].value, "1") && !strcmp(job.labels[1].value, "2"));
	ck_assert(job.retry.max == 2 && job.retry.max_ns == 60000000000 && job.retry_on == SPEC_ON_EXIT);
	ck_assert_uint_eq(run.base.n_env, 3);
}
END_TEST

START_TEST(bounds_of_retries_are_put_in_order_last)
{
	given_run("{\"defaults\":{\"retry\":{\"cap_s\":20}}}");
	with("\"nice\":1");
	ck_assert(job.retry.cap_ns == 10000000000 && job.retry.max_ns == 10000000000);
	with("\"retry\":{\"max_s\":60}");
	ck_assert(job.retry.cap_ns == 20000000000 && job.retry.max_ns == 60000000000);
}
END_TEST

START_TEST(everything_else_is_replaced)
{
	given_run("{\"cwd\":\"/run\",\"on_error\":\"warn\",\"defaults\":{\"argv\":[\"default\",\"x\"],\"stdin\":{\"text\":\"default\"},"
		  "\"success_exit\":[0,1],\"after\":[\"z\"],\"timeout_s\":5,\"umask\":\"077\"}}");
	given_job("{\"path\":\"a\"}");
	ck_assert(job.kind == SPEC_ARGV && job.argc == 2 && job.on_error == SPEC_WARN && job.timeout_ms == 5000 && job.umask == 077);
	ck_assert_str_eq(job.cwd, "/run");
	given_job("{\"path\":\"a\",\"shell\":\"true\",\"stdin\":{\"file\":\"f\"},\"success_exit\":[2],"
		  "\"after\":[],\"timeout_s\":0,\"on_error\":\"fail\",\"cwd\":\"/\"}");
	ck_assert(job.kind == SPEC_SHELL && !job.argv && !job.stdin_text && job.on_error == SPEC_FAIL);
	ck_assert(!spec_set_has(&job.success_exit, 0) && spec_set_has(&job.success_exit, 2) && !job.n_after && !job.timeout_ms);
	ck_assert_str_eq(job.cwd, "/");
}
END_TEST

START_TEST(defaults_overrule_what_the_run_says_for_its_jobs)
{
	given_run("{\"cwd\":\"/run\",\"on_error\":\"warn\",\"defaults\":{\"cwd\":\"/default\",\"on_error\":\"skip\"}}");
	with("\"nice\":1");
	ck_assert_str_eq(job.cwd, "/default");
	ck_assert_int_eq(job.on_error, SPEC_SKIP);
}
END_TEST

/* ---- the stored form --------------------------------------------------------------------------------------------------- */

static char *text_of(const char *job_text, size_t *len)
{
	json_t *obj = parse(job_text);
	char *text = spec_job_text(obj, len);

	ck_assert_ptr_nonnull(text);
	ck_assert_uint_eq(strlen(text), *len);
	json_decref(obj);
	return text;
}

START_TEST(a_stored_job_is_the_job_without_its_path)
{
	static const char full[] = "{ \"path\" : \"a\", \"argv\" : [ \"x\", \"q\\\"\\n\\u00e9\" ], \"cwd\":null, \"retry\":{\"max\": 2},"
				   " \"timeout-s\": 1.5, \"after\": [], \"env\": {} }";
	size_t len;
	char *text = text_of(full, &len);

	ck_assert_str_eq(text, "{\"argv\":[\"x\",\"q\\\"\\n\u00e9\"],\"retry\":{\"max\":2},\"timeout-s\":1.5,\"after\":[],\"env\":{}}");
	ck_assert_int_eq(spec_job_parse(text, len, &run, &arena, &job, &err), 0);
	ck_assert(!job.path && job.argc == 2 && job.retry.max == 2 && job.timeout_ms == 1500);
	ck_assert_str_eq(job.argv[1], "q\"\n\u00e9");
	free(text);
	text = text_of("{\"path\":\"a\"}", &len);
	ck_assert_str_eq(text, "{}");
	ck_assert_int_eq(spec_job_parse(text, len, &run, &arena, &job, &err), -1);
	free(text);
	ck_assert_int_eq(spec_job_parse("{", 1, &run, &arena, &job, &err), -1);
}
END_TEST

START_TEST(large_stored_jobs_come_back)
{
	char *full = big_job("{\"path\":\"a\",\"argv\":[\"x\",\"\\n", SPEC_STRING_MAX - 1, "\"],\"env\":{\"A\":\"\\t\"}}"), *text;
	size_t len;

	text = text_of(full, &len);
	ck_assert_int_eq(spec_job_parse(text, len, &run, &arena, &job, &err), 0);
	ck_assert_uint_eq(strlen(job.argv[1]), SPEC_STRING_MAX);
	free(text);
	free(full);
}
END_TEST

/* ---- content ----------------------------------------------------------------------------------------------------------- */

/* Of a run and up to three jobs. */
static struct spec_hash content(const char *options, const char *a, const char *b, const char *c)
{
	const char *jobs[] = { a, b, c };
	struct spec_hash h = { 0 };

	given_run(options);
	spec_hash_run(&run, &h);
	for (int i = 0; i < 3 && jobs[i]; i++) {
		given_job(jobs[i]);
		spec_hash_job(&run, &job, &h);
	}
	return h;
}

#define FETCH(members) "{\"path\":\"a\",\"fetch\":{" GOOD members "}}"
#define SAME(x, y) do { struct spec_hash p = x, q = y; ck_assert(p.lo == q.lo && p.hi == q.hi); } while (0)
#define DIFFER(x, y) do { struct spec_hash p = x, q = y; ck_assert(p.lo != q.lo || p.hi != q.hi); } while (0)
#define A "{\"path\":\"a\",\"shell\":\"x\"}"
#define B "{\"path\":\"b\",\"argv\":[\"x\",\"y\"],\"env\":{\"P\":\"1\",\"Q\":\"2\"},\"timeout_s\":1}"
#define C "{\"path\":\"c\",\"shell\":\"x\",\"after\":[\"a\",\"b\"]}"

START_TEST(order_and_spelling_are_no_content)
{
	SAME(content(NULL, A, B, C), content("{}", C, A, B));
	SAME(content(NULL, B, NULL, NULL),
	     content(NULL, "{\"timeout-s\":1.0, \"env\":{\"Q\":\"2\",\"P\":\"1\"}, \"argv\":[\"x\",\"y\"],\"path\":\"b\",\"cwd\":null}",
		     NULL, NULL));
	SAME(content(NULL, C, NULL, NULL), content(NULL, "{\"after\":[\"b\",\"a\"],\"path\":\"c\",\"shell\":\"x\"}", NULL, NULL));
	SAME(content("{\"labels\":{\"a\":\"1\",\"b\":\"2\"}}", A, NULL, NULL),
	     content("{\"labels\":{\"b\":\"2\",\"a\":\"1\"}}", A, NULL, NULL));
	SAME(content(NULL, "{\"path\":\"a\",\"argv\":[\"x\"]}", NULL, NULL), content(NULL, "{\"path\":\"a\",\"argv_b64\":[\"eA==\"]}",
		     NULL, NULL));
}
END_TEST

START_TEST(content_is_taken_after_defaults)
{
	SAME(content("{\"defaults\":{\"timeout_s\":1,\"env\":{\"P\":\"1\"}}}",
		     "{\"path\":\"b\",\"argv\":[\"x\",\"y\"],\"env\":{\"Q\":\"2\"}}", NULL, NULL),
	     content(NULL, B, NULL, NULL));
	SAME(content("{\"env\":{\"P\":\"1\",\"Q\":\"2\"},\"on_error\":\"warn\"}", A, NULL, NULL),
	     content(NULL, "{\"path\":\"a\",\"shell\":\"x\",\"env\":{\"Q\":\"2\",\"P\":\"1\"},\"on_error\":\"warn\"}", NULL, NULL));
	SAME(content("{\"barrier\":\"~\",\"order\":\"path\",\"interval_s\":0}", A, NULL, NULL), content(NULL, A, NULL, NULL));
	SAME(content(NULL, "{\"path\":\"a\",\"shell\":\"x\",\"grace_s\":10,\"success_exit\":[0],\"retry\":{\"max\":0}}", NULL, NULL),
	     content(NULL, A, NULL, NULL));
	SAME(content("{\"defaults\":{\"fetch\":{\"streams\":4}}}", FETCH(""), NULL, NULL), content(NULL, FETCH(",\"streams\":4"), NULL, NULL));
	SAME(content("{\"defaults\":{\"fetch\":{\"streams\":4}}}", A, NULL, NULL), content(NULL, A, NULL, NULL));
	SAME(content(NULL, FETCH(",\"min_part\":\"8M\",\"tries\":15"), NULL, NULL), content(NULL, FETCH(""), NULL, NULL));
	DIFFER(content(NULL, FETCH(",\"tries\":16"), NULL, NULL), content(NULL, FETCH(""), NULL, NULL));
	DIFFER(content(NULL, "{\"path\":\"a\",\"fetch\":{\"url\":\"https://example.org/o\",\"output\":\"o\"}}", NULL, NULL), content(NULL, FETCH(""), NULL, NULL));
	SAME(content("{\"key\":\"one\"}", A, NULL, NULL), content("{\"key\":\"two\"}", A, NULL, NULL));
}
END_TEST

START_TEST(every_option_is_content)
{
	static const char *const members[] = {
		"\"cwd\":\"/\"", "\"env\":{\"A\":\"B\"}", "\"env\":{\"B\":\"A\"}", "\"env\":{\"AB\":\"\"}", "\"stdin\":{\"file\":\"f\"}",
		"\"stdin\":{\"text\":\"f\"}", "\"user\":\"f\"", "\"group\":\"f\"", "\"umask\":\"022\"", "\"nice\":1", "\"timeout_s\":1",
		"\"grace_s\":1", "\"retry\":{\"max\":1}", "\"retry\":{\"min_s\":0.1}", "\"retry\":{\"cap_s\":1}", "\"retry\":{\"max_s\":1}",
		"\"retry\":{\"base\":1}", "\"retry\":{\"elapsed_s\":1}", "\"retry\":{\"on\":[\"exit\"]}", "\"retry\":{\"on_exit\":[1]}",
		"\"retry\":{\"not_on_exit\":[1]}", "\"success_exit\":[1]", "\"skip_exit\":[1]", "\"on_error\":\"warn\"", "\"on_lost\":\"fail\"",
		"\"lost_max\":1", "\"after\":[\"z\"]", "\"when\":\"failure\"", "\"priority\":1", "\"duration_s\":1", "\"labels\":{\"A\":\"B\"}",
		"\"priority\":2", "\"env_inherit\":[\"A\"]",
	};
	enum { N = sizeof(members) / sizeof(*members) };
	struct spec_hash h[N + 1];
	char text[200];

	for (size_t i = 0; i <= N; i++) {
		(void)snprintf(text, sizeof(text), "{\"path\":\"a\",\"shell\":\"x\"%s%s}", i < N ? "," : "", i < N ? members[i] : "");
		h[i] = content(NULL, text, NULL, NULL);
		for (size_t k = 0; k < i; k++)
			ck_assert_msg(memcmp(&h[i], &h[k], sizeof(h[i])), "%s", text);
	}
	DIFFER(content("{\"name\":\"n\"}", A, NULL, NULL), content(NULL, A, NULL, NULL));
	DIFFER(content("{\"workers\":1}", A, NULL, NULL), content("{\"workers\":2}", A, NULL, NULL));
	DIFFER(content("{\"interval_s\":1}", A, NULL, NULL), content("{\"period_s\":1}", A, NULL, NULL));
	DIFFER(content(NULL, A, NULL, NULL), content(NULL, "{\"path\":\"b\",\"shell\":\"x\"}", NULL, NULL));
	DIFFER(content(NULL, A, B, NULL), content(NULL, A, NULL, NULL));
	DIFFER(content(NULL, A, A, NULL), content(NULL, B, B, NULL));
	DIFFER(content(NULL, "{\"path\":\"a\",\"argv\":[\"x\",\"y\"]}", NULL, NULL),
	       content(NULL, "{\"path\":\"a\",\"argv\":[\"xy\"]}", NULL, NULL));
	DIFFER(content(NULL, "{\"path\":\"a\",\"argv\":[\"x\"]}", NULL, NULL), content(NULL, A, NULL, NULL));
}
END_TEST

/* ---- whatever comes ---------------------------------------------------------------------------------------------------- */

/* Bytes of a good job changed at random: taken or refused with a text, and nothing else. */
START_TEST(mangled_jobs_harm_nobody)
{
	static const char full[] =
		"{\"path\":\"a/b\",\"argv\":[\"x\",\"y\"],\"env\":{\"A\":\"1\"},\"stdin\":{\"text\":\"t\"},\"umask\":\"022\",\"timeout_s\":1.5,"
		"\"retry\":{\"max\":2,\"on\":[\"exit\"],\"on_exit\":[1,2]},\"skip_exit\":[75],\"after\":[\"c/\"],\"labels\":{\"l\":\"v\"}}";
	unsigned seed = 4711;
	int n_read = 0;

	for (int round = 0; round < 20000; round++) {
		char text[sizeof(full)];
		json_error_t jerr;
		json_t *obj;

		memcpy(text, full, sizeof(full));
		for (int k = 0; k < 2; k++)
			text[(unsigned)rand_r(&seed) % (sizeof(full) - 1)] = (char)(' ' + rand_r(&seed) % 95);
		obj = json_loadb(text, sizeof(full) - 1, JSON_ALLOW_NUL, &jerr);
		memset(&err, 0, sizeof(err));
		if (obj && spec_job_read(obj, &run, &arena, &job, &err) < 0)
			ck_assert_msg(err.text[0] && err.code != JT_OK, "%s", text);
		n_read += obj != NULL;
		json_decref(obj);
	}
	ck_assert_int_gt(n_read, 1000);
}
END_TEST

static void add_job_tests(TCase *tc)
{
	tcase_add_test(tc, a_job_starts_from_the_defaults_of_the_book);
	tcase_add_test(tc, every_option_arrives);
	tcase_add_test(tc, names_of_choices_are_those_of_the_book);
	tcase_add_test(tc, a_command_is_one_of_four);
	tcase_add_test(tc, a_fetch_has_its_options);
	tcase_add_test(tc, a_fetch_hands_over_what_is_not_so_by_itself);
	tcase_add_test(tc, bad_fetches_are_refused_by_name);
	tcase_add_test(tc, no_refusal_quotes_a_url);
	tcase_add_test(tc, a_fetch_is_laid_over_that_of_the_defaults);
	tcase_add_test(tc, bad_options_are_refused_by_name);
	tcase_add_test(tc, paths_follow_the_rules_of_the_tree);
	tcase_add_test(tc, what_exec_would_refuse_is_refused_before);
	tcase_add_test(tc, argv_and_env_together_are_bounded);
	tcase_add_test(tc, labels_are_bounded_with_those_of_the_defaults);
}

static void add_run_tests(TCase *tc)
{
	tcase_add_test(tc, a_run_has_its_options);
	tcase_add_test(tc, bad_options_of_a_run_are_refused_by_name);
	tcase_add_test(tc, env_labels_and_retry_merge_key_by_key);
	tcase_add_test(tc, bounds_of_retries_are_put_in_order_last);
	tcase_add_test(tc, everything_else_is_replaced);
	tcase_add_test(tc, defaults_overrule_what_the_run_says_for_its_jobs);
	tcase_add_test(tc, a_stored_job_is_the_job_without_its_path);
	tcase_add_test(tc, large_stored_jobs_come_back);
	tcase_add_test(tc, order_and_spelling_are_no_content);
	tcase_add_test(tc, content_is_taken_after_defaults);
	tcase_add_test(tc, every_option_is_content);
	tcase_add_test(tc, mangled_jobs_harm_nobody);
}

int main(void)
{
	Suite *suite = suite_create("spec");
	TCase *tc = tcase_create("all");

	tcase_add_checked_fixture(tc, setup, teardown);
	add_job_tests(tc);
	add_run_tests(tc);
	suite_add_tcase(suite, tc);
	return play_suite(suite);
}
