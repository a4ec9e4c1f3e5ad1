/* SPDX-License-Identifier: MIT */
/* JSON to structs by tables: what is taken, and the exact words in which the rest is refused. */
#include <stdlib.h>
#include <string.h>

#include "proto/arena.h"
#include "proto/base64.h"
#include "proto/fields.h"
#include "proto/quote.h"
#include "../play.h"

struct inner {
	int64_t depth;
};
struct all {
	bool flag;
	int64_t big;
	int32_t small;
	uint32_t count;
	double ratio;
	int64_t ms, ns;
	const char *name;
	const char *const *list;
	size_t n_list;
	int choice;
	unsigned flags;
	const json_t *object, *array;
	struct inner inner;
};

static const char *const colours[] = { "red", "green", "blue", NULL };
static const struct field inner_fields[] = { FIELD_INT("depth", struct inner, depth, 0, 9, FIELD_REQUIRED), FIELD_END };
static const struct field fields[] = {
	FIELD_BOOL("flag", struct all, flag, 0),
	FIELD_INT("big", struct all, big, INT64_MIN, INT64_MAX, 0),
	FIELD_INT32("small", struct all, small, -20, 19, 0),
	FIELD_UINT32("count", struct all, count, 0, UINT32_MAX, 0),
	FIELD_NUMBER("ratio", struct all, ratio, 0, 100, 0),
	FIELD_SECONDS_MS("wait_s", struct all, ms, 0, 1000000000, 0),
	FIELD_SECONDS_NS("nap_s", struct all, ns, 0, 1000000000, 0),
	FIELD_STRING("name", struct all, name, 1, 8, 0),
	FIELD_STRINGS("list", struct all, list, n_list, 1, 8, 0),
	FIELD_CHOICE("colour", struct all, choice, colours, 0),
	FIELD_FLAGS("colours", struct all, flags, colours, 0),
	FIELD_OBJECT("object", struct all, object, 0),
	FIELD_ARRAY("array", struct all, array, 0),
	FIELD_STRUCT("in_ner", struct all, inner, inner_fields, 0),
	FIELD_END
};

static struct arena arena;
static struct field_error err;
static struct all got;
static json_t *input;

static void setup(void)
{
	arena_init(&arena);
}

static void teardown(void)
{
	json_decref(input);
	arena_done(&arena);
}

static int read_table(const struct field *table, const char *text)
{
	json_error_t jerr;

	json_decref(input);
	input = json_loads(text, JSON_DECODE_ANY | JSON_ALLOW_NUL, &jerr);
	ck_assert_msg(input != NULL, "%s: %s", text, jerr.text);
	memset(&got, 0, sizeof(got));
	memset(&err, 0, sizeof(err));
	return fields_read(table, input, &got, &arena, &err);
}

static void takes(const char *text)
{
	ck_assert_msg(read_table(fields, text) == 0, "%s: %s", text, err.text);
}

static void refuses(const char *text, const char *field, const char *words)
{
	ck_assert_msg(read_table(fields, text) == -1, "%s was taken", text);
	ck_assert_str_eq(err.text, words);
	ck_assert_str_eq(err.field, field);
}

START_TEST(values_arrive_in_their_places)
{
	takes("{\"flag\":true,\"big\":-9223372036854775808,\"small\":-20,\"count\":4294967295,\"ratio\":0.5,\"name\":\"é\",\"colour\":\"blue\"}");
	ck_assert(got.flag && got.big == INT64_MIN && got.small == -20 && got.count == UINT32_MAX && got.choice == 2);
	ck_assert_double_eq(got.ratio, 0.5);
	ck_assert_str_eq(got.name, "é");
	takes("{\"list\":[\"a\",\"\"],\"colours\":[\"red\",\"blue\",\"red\"],\"object\":{},\"array\":[1],\"in_ner\":{\"depth\":3}}");
	ck_assert(got.n_list == 2 && got.flags == 5 && json_is_object(got.object) && json_array_size(got.array) == 1 && got.inner.depth == 3);
	ck_assert_str_eq(got.list[1], "");
	ck_assert_ptr_null(got.list[2]);
}
END_TEST

START_TEST(absent_and_null_leave_the_struct_as_it_was)
{
	input = json_loads("{\"big\":null,\"in_ner\":null}", 0, NULL);
	got.big = 7;
	got.count = 8;
	ck_assert_int_eq(fields_read(fields, input, &got, &arena, &err), 0);
	ck_assert(got.big == 7 && got.count == 8);
	ck_assert_int_eq(fields_read(fields, NULL, &got, &arena, &err), 0);
	ck_assert_int_eq(fields_read(fields, json_null(), &got, &arena, &err), 0);
}
END_TEST

START_TEST(dashes_stand_for_underscores)
{
	takes("{\"wait-s\":1,\"in-ner\":{\"depth\":1}}");
	ck_assert_int_eq(got.ms, 1000);
	refuses("{\"wait-s\":1,\"wait_s\":1}", "wait_s", "wait_s is given twice, with a dash and with an underscore");
	refuses("{\"wait_s\":null,\"wait-s\":1}", "wait_s", "wait_s is given twice, with a dash and with an underscore");
}
END_TEST

START_TEST(unknown_fields_are_named_with_the_nearest_known)
{
	refuses("{\"cuont\":1}", "cuont", "unknown field \"cuont\"; did you mean \"count\"?");
	refuses("{\"zzzzzz\":1}", "zzzzzz", "unknown field \"zzzzzz\"");
	refuses("{\"\":1}", "", "unknown field \"\"");
	refuses("{\"in_ner\":{\"dept\":1}}", "in_ner.dept", "unknown field \"in_ner.dept\"; did you mean \"depth\"?");
	refuses("{\"cuont\":null}", "cuont", "unknown field \"cuont\"; did you mean \"count\"?");
}
END_TEST

START_TEST(what_is_required_is_asked_for)
{
	refuses("{\"in_ner\":{}}", "in_ner.depth", "in_ner.depth is missing");
	refuses("{\"in_ner\":{\"depth\":null}}", "in_ner.depth", "in_ner.depth is missing");
}
END_TEST

START_TEST(wrong_types_are_told)
{
	refuses("{\"flag\":1}", "flag", "flag must be true or false, got 1");
	refuses("{\"big\":1.0}", "big", "big must be an integer, got 1");
	refuses("{\"big\":\"1\"}", "big", "big must be an integer, got \"1\"");
	refuses("{\"ratio\":true}", "ratio", "ratio must be a number, got true");
	refuses("{\"wait_s\":\"1s\"}", "wait_s", "wait_s must be a number of seconds, got \"1s\"");
	refuses("{\"name\":[]}", "name", "name must be a string, got a list");
	refuses("{\"list\":\"a\"}", "list", "list must be a list of strings, got \"a\"");
	refuses("{\"list\":[\"a\",2]}", "list[1]", "list[1] must be a string, got 2");
	refuses("{\"list\":[]}", "list", "list must not be empty");
	refuses("{\"colour\":\"pink\"}", "colour", "colour must be \"red\", \"green\" or \"blue\", got \"pink\"");
	refuses("{\"colours\":[\"red\",false]}", "colours[1]", "colours[1] must be \"red\", \"green\" or \"blue\", got false");
	refuses("{\"colours\":{}}", "colours", "colours must be a list of names, got an object");
	refuses("{\"object\":[]}", "object", "object must be an object, got a list");
	refuses("{\"array\":{}}", "array", "array must be a list, got an object");
	refuses("{\"in_ner\":3}", "in_ner", "in_ner must be an object, got 3");
	refuses("[]", "", "must be an object, got a list");
}
END_TEST

START_TEST(numbers_never_wrap)
{
	refuses("{\"small\":4294967297}", "small", "small must be -20..19, got 4294967297");
	refuses("{\"small\":-21}", "small", "small must be -20..19, got -21");
	refuses("{\"count\":-1}", "count", "count must be 0..4294967295, got -1");
	refuses("{\"count\":4294967296}", "count", "count must be 0..4294967295, got 4294967296");
	refuses("{\"ratio\":100.5}", "ratio", "ratio must be 0..100, got 100.5");
	refuses("{\"ratio\":9007199254740993}", "ratio", "ratio is too large for a number: 9007199254740993");
	refuses("{\"wait_s\":1e300}", "wait_s", "wait_s must be 0..1000000000 seconds, got 1e+300");
	refuses("{\"nap_s\":-1}", "nap_s", "nap_s must be 0..1000000000 seconds, got -1");
}
END_TEST

START_TEST(seconds_are_rounded_but_never_to_nothing)
{
	takes("{\"wait_s\":0.0001,\"nap_s\":0.1}");
	ck_assert(got.ms == 1 && got.ns == 100000000);
	takes("{\"wait_s\":1.0006,\"nap_s\":1000000000}");
	ck_assert(got.ms == 1001 && got.ns == 1000000000000000000);
	takes("{\"wait_s\":0,\"nap_s\":0.0}");
	ck_assert(got.ms == 0 && got.ns == 0);
}
END_TEST

START_TEST(strings_have_limits)
{
	refuses("{\"name\":\"\"}", "name", "name must not be empty");
	refuses("{\"name\":\"123456789\"}", "name", "name has 9 bytes, the limit is 8");
	refuses("{\"name\":\"a\\u0000b\"}", "name", "name must not hold a NUL byte");
	refuses("{\"list\":[\"123456789\"]}", "list[0]", "list[0] has 9 bytes, the limit is 8");
	refuses("{\"list\":[\"\\u0000\"]}", "list[0]", "list[0] must not hold a NUL byte");
}
END_TEST

START_TEST(long_input_is_shortened_in_messages)
{
	char key[5000], text[6000];

	memset(key, 'k', sizeof(key) - 1);
	key[sizeof(key) - 1] = '\0';
	(void)snprintf(text, sizeof(text), "{\"%s\":1}", key);
	ck_assert_int_eq(read_table(fields, text), -1);
	ck_assert_uint_lt(strlen(err.text), 200);
	ck_assert_uint_lt(strlen(err.field), sizeof(err.field));
	(void)snprintf(text, sizeof(text), "{\"colour\":\"%s\"}", key);
	ck_assert_int_eq(read_table(fields, text), -1);
	ck_assert_uint_lt(strlen(err.text), 200);
}
END_TEST

START_TEST(quotes_stay_whole_characters)
{
	char buf[16];

	ck_assert_str_eq(quote_short(buf, sizeof(buf), "a\nb\x7f", 4), "a?b?");
	ck_assert_str_eq(quote_short(buf, sizeof(buf), "123456789012345", 15), "123456789012345");
	ck_assert_str_eq(quote_short(buf, sizeof(buf), "1234567890123456", 16), "123456...123456");
	ck_assert_str_eq(quote_short(buf, sizeof(buf), "12345é789012345é", 18), "12345...2345é");
}
END_TEST

START_TEST(arenas_give_aligned_cleared_memory_of_any_size)
{
	struct arena a;

	arena_init(&a);
	for (int round = 0; round < 3; round++) {
		for (size_t n = 0; n < 3000; n += 7) {
			unsigned char *p = arena_alloc(&a, n);

			ck_assert_uint_eq((uintptr_t)p % 16, 0);
			for (size_t i = 0; i < n; i++)
				ck_assert_uint_eq(p[i], 0);
			memset(p, 0xff, n);
		}
		memset(arena_alloc(&a, 1000000), 1, 1000000);
		ck_assert_str_eq(arena_strndup(&a, "abcdef", 3), "abc");
		arena_reset(&a);
	}
	arena_done(&a);
}
END_TEST

START_TEST(base64_goes_there_and_back)
{
	unsigned char bytes[256], back[256];
	char text[BASE64_SIZE(256)];

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (unsigned char)(i * 7);
	for (size_t n = 0; n <= sizeof(bytes); n++) {
		size_t len = base64_encode(bytes, n, text), n_back = 999;

		ck_assert_int_eq(base64_decode(text, len, back, &n_back), 0);
		ck_assert_uint_eq(n_back, n);
		ck_assert_mem_eq(bytes, back, n);
	}
}
END_TEST

START_TEST(base64_takes_one_spelling_only)
{
	static const char *const bad[] = { "A", "AA", "AAA", "A===", "====", "AA=A", "AB==", "AAB=", "AA=", "AAAA====", "AA==AAAA", "A-_A",
					   " AAA" };
	unsigned char to[16];
	size_t n;

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		ck_assert_msg(base64_decode(bad[i], strlen(bad[i]), to, &n) == -1, "\"%s\" was taken", bad[i]);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("fields");
	TCase *tc = tcase_create("all");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, values_arrive_in_their_places);
	tcase_add_test(tc, absent_and_null_leave_the_struct_as_it_was);
	tcase_add_test(tc, dashes_stand_for_underscores);
	tcase_add_test(tc, unknown_fields_are_named_with_the_nearest_known);
	tcase_add_test(tc, what_is_required_is_asked_for);
	tcase_add_test(tc, wrong_types_are_told);
	tcase_add_test(tc, numbers_never_wrap);
	tcase_add_test(tc, seconds_are_rounded_but_never_to_nothing);
	tcase_add_test(tc, strings_have_limits);
	tcase_add_test(tc, long_input_is_shortened_in_messages);
	tcase_add_test(tc, quotes_stay_whole_characters);
	tcase_add_test(tc, arenas_give_aligned_cleared_memory_of_any_size);
	tcase_add_test(tc, base64_goes_there_and_back);
	tcase_add_test(tc, base64_takes_one_spelling_only);
	suite_add_tcase(suite, tc);
	return play_suite(suite);
}
