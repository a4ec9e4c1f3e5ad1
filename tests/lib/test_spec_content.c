/* SPDX-License-Identifier: MIT */
/* What a specification becomes: its stored form, and the hash of its content. */
#include <stdlib.h>
#include <string.h>

#include "spec_kit.h"

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

int main(void)
{
	const TTest *const tests[] = {
		a_stored_job_is_the_job_without_its_path, large_stored_jobs_come_back, order_and_spelling_are_no_content,
		content_is_taken_after_defaults, every_option_is_content,
	};

	return spec_suite("spec: content", tests, sizeof(tests) / sizeof(*tests));
}
