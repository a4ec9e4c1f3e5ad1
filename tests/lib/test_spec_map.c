/* SPDX-License-Identifier: MIT */
/* Specifications of maps and items: what they may say, the words in which they are refused, the stored form of an item. */
#include <string.h>

#include "spec_kit.h"

#define WORDS "\"command\":{\"words_b64\":[\"ZWNobw==\",\"e30=\"]}"
#define SIZES "\"slots\":2,\"window\":8,"

static int read_map(const char *text)
{
	json_t *obj = parse(text);
	int rc = spec_map_read(obj, &arena, &run, &err);

	json_decref(obj);
	return rc;
}

static void given_map(const char *text)
{
	if (read_map(text) < 0)
		ck_abort_msg("refused: %s", err.text);
}

static void refused_map(const char *text, const char *field, const char *words)
{
	ck_assert_int_eq(read_map(text), -1);
	ck_assert_str_eq(err.field, field);
	ck_assert_str_eq(err.text, words);
}

START_TEST(a_map_has_little_of_its_own)
{
	given_map("{" SIZES WORDS "}");
	ck_assert(run.workers == 2 && run.order == JT_BY_FIFO && !run.name && !run.key && !run.interval_ms);
	ck_assert(run.base.on_error == SPEC_IGNORE && run.base.timeout_ms == 0 && run.base.grace_ms == 10000 && run.base.retry.max == 0);
	ck_assert(run.map->window == 8 && run.map->threads == 1 && !run.map->shell && !run.map->item_on_stdin);
	ck_assert(run.map->stderr_to == SPEC_STDERR_APART && run.map->output_max == 0 && run.map->undelivered_max == -1);
	ck_assert_uint_eq(run.map->words.n, 2);
	ck_assert_str_eq(run.map->words.v[1], "{}");
}
END_TEST

START_TEST(every_option_arrives)
{
	given_map("{" SIZES "\"name\":\"m\",\"stage\":2,\"command\":{\"words_b64\":[\"ZWNobw==\"],\"shell\":true,\"stdin\":true,\"threads\":3,\"columns\":2},\"timeout_s\":1.5,"
		  "\"grace_s\":0,\"retry\":{\"max\":2,\"on\":[\"exit\"],\"on_exit\":[7]},\"interval_s\":0.25,\"cwd\":\"/tmp\",\"env\":{\"A\":\"b\"},"
		  "\"stderr\":\"drop\",\"output_max\":7,\"undelivered_max\":0}");
	ck_assert_str_eq(run.name, "m");
	ck_assert(run.map->shell && run.map->item_on_stdin && run.map->threads == 3 && run.map->columns == 2 && run.map->stage == 2 && run.map->stderr_to == SPEC_STDERR_DROP);
	ck_assert(run.map->output_max == 7 && run.map->undelivered_max == 0 && run.interval_ms == 250);
	ck_assert(run.base.timeout_ms == 1500 && run.base.grace_ms == 0 && run.base.n_env == 1 && run.base.retry.max == 2);
	ck_assert(run.base.retry_on == SPEC_ON_EXIT && run.base.has_retry_on_exit && spec_set_has(&run.base.retry_on_exit, 7));
	ck_assert_str_eq(run.base.cwd, "/tmp");
}
END_TEST

START_TEST(bad_options_are_refused_by_name)
{
	refused_map("{\"window\":8," WORDS "}", "slots", "slots is missing");
	refused_map("{\"slots\":2," WORDS "}", "window", "window is missing");
	refused_map("{" SIZES "\"name\":\"m\"}", "command", "command is missing");
	refused_map("{\"slots\":0,\"window\":8," WORDS "}", "slots", "slots must be 1..100000, got 0");
	refused_map("{\"slots\":9,\"window\":8," WORDS "}", "window", "window must be at least slots (9), got 8: a smaller one would leave slots idle");
	refused_map("{" SIZES WORDS ",\"name\":\"7\"}", "name", "name must have no \"/\", no \"-\" at its start and not only digits, got \"7\"");
	refused_map("{" SIZES WORDS ",\"stderr\":\"up\"}", "stderr", "stderr must be \"apart\", \"merge\" or \"drop\", got \"up\"");
	refused_map("{" SIZES WORDS ",\"retry\":{\"max\":-1}}", "retry.max", "retry.max must be 0..1000000, got -1");
	refused_map("{" SIZES WORDS ",\"workers\":3}", "workers", "unknown field \"workers\"");
	refused_map("{" SIZES WORDS ",\"output_max\":0}", "output_max", "output_max must be 1..1125899906842624, got 0");
	refused_map("{" SIZES "\"command\":{\"words_b64\":[]}}", "command.words_b64", "command.words_b64 must be a list of at least one string of base64");
	refused_map("{" SIZES "\"command\":{\"words_b64\":[\"\"]}}", "command.words_b64[0]", "command.words_b64[0] must not be empty");
	refused_map("{" SIZES "\"command\":{\"words_b64\":[\"AA==\"]}}", "command.words_b64[0]", "command.words_b64[0] must not hold a NUL byte");
	refused_map("{" SIZES "\"command\":{\"words_b64\":[\"YQ==\",\"YQ==\"],\"shell\":true}}", "command.words_b64",
		    "command.words_b64 must be one text for a shell, got 2");
}
END_TEST

static struct spec_put put;

static int read_put(const char *text)
{
	json_t *obj = parse(text);
	int rc = spec_put_read(obj, &arena, &put, &err);

	json_decref(obj);
	return rc;
}

static void refused_put(const char *text, const char *words)
{
	ck_assert_int_eq(read_put(text), -1);
	ck_assert_str_eq(err.text, words);
}

START_TEST(an_item_is_any_bytes_and_is_stored_as_it_came)
{
	ck_assert_int_eq(read_put("{\"tag\":7,\"seq\":9,\"items_b64\":[\"YQA=\",\"\"],\"key\":\"000102030405060708090a0b0c0d0eff\"}"), 0);
	ck_assert(put.tag == 7 && put.seq == 9 && put.key.given && put.key.bytes[1] == 1 && put.key.bytes[15] == 0xff);
	ck_assert_str_eq(put.spec.text, "{\"items_b64\":[\"YQA=\",\"\"]}");
	ck_assert_uint_eq(put.spec.len, strlen(put.spec.text));
	given_map("{" SIZES WORDS ",\"timeout_s\":3}");
	ck_assert_int_eq(spec_item_parse(put.spec.text, put.spec.len, &run, &arena, &job, &err), 0);
	ck_assert(job.kind == SPEC_ITEM && job.timeout_ms == 3000 && job.item->n == 2 && job.item->v[0].len == 2 && job.item->v[1].len == 0);
	ck_assert_int_eq(memcmp(job.item->v[0].data, "a", 2), 0);
}
END_TEST

START_TEST(an_item_on_standard_input_may_be_somewhere_else)
{
	ck_assert_int_eq(read_put("{\"tag\":7,\"seq\":9,\"input_bytes\":5000000000}"), 0);
	ck_assert_int_eq(put.input_bytes, INT64_C(5000000000));
	ck_assert_str_eq(put.spec.text, "{\"input_bytes\":5000000000}");
	ck_assert_uint_eq(put.spec.len, strlen(put.spec.text));
	given_map("{" SIZES WORDS "}");
	ck_assert_int_eq(spec_item_parse(put.spec.text, put.spec.len, &run, &arena, &job, &err), 0);
	ck_assert(job.kind == SPEC_ITEM && job.item->n == 0 && job.item->input_bytes == INT64_C(5000000000));
	refused_put("{\"tag\":1,\"seq\":1}", "an item has either items_b64 or input_bytes");
	refused_put("{\"tag\":1,\"seq\":1,\"items_b64\":[\"\"],\"input_bytes\":1}", "an item has either items_b64 or input_bytes");
	refused_put("{\"tag\":1,\"seq\":1,\"input_bytes\":0}", "input_bytes must be 1..1125899906842624, got 0");
}
END_TEST

START_TEST(bad_items_are_refused)
{
	refused_put("{\"seq\":1,\"items_b64\":[\"\"]}", "tag is missing");
	refused_put("{\"tag\":0,\"seq\":1,\"items_b64\":[\"\"]}", "tag must be 1..9223372036854775806, got 0");
	refused_put("{\"tag\":1,\"seq\":1,\"items_b64\":[]}", "items_b64 must be a list of at least one string of base64");
	refused_put("{\"tag\":1,\"seq\":1,\"items_b64\":[\"YQ==\",7]}", "items_b64[1] must be a string of base64, got 7");
	refused_put("{\"tag\":1,\"seq\":1,\"items_b64\":[\"Y\"]}", "items_b64[0] must be a string of base64, got \"Y\"");
	refused_put("{\"tag\":1,\"seq\":1,\"items_b64\":[\"\"],\"key\":\"00\"}", "key must be 32 hexadecimal digits in small letters, got \"00\"");
	refused_put("{\"tag\":1,\"seq\":1,\"items_b64\":[\"\"],\"key\":7}", "key must be 32 hexadecimal digits in small letters, got 7");
	refused_put("{\"tag\":1,\"seq\":1,\"items_b64\":[\"\"],\"key\":\"00000000000000000000000000000G00\"}",
		    "key must be 32 hexadecimal digits in small letters, got \"00000000000000000000000000000G00\"");
}
END_TEST

START_TEST(a_stored_item_that_is_none_is_refused)
{
	static const char *const bad[] = { "", "{}", "[]", "{\"items_b64\":[]}", "{\"items_b64\":[\"%\"]}", "{\"argv\":[\"a\"]}" };

	given_map("{" SIZES WORDS "}");
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		ck_assert_int_eq(spec_item_parse(bad[i], strlen(bad[i]), &run, &arena, &job, &err), -1);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		a_map_has_little_of_its_own, every_option_arrives, bad_options_are_refused_by_name, an_item_is_any_bytes_and_is_stored_as_it_came,
		an_item_on_standard_input_may_be_somewhere_else, bad_items_are_refused, a_stored_item_that_is_none_is_refused,
	};

	return spec_suite("spec: map", tests, sizeof(tests) / sizeof(*tests));
}
