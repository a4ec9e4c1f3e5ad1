/* SPDX-License-Identifier: MIT */
/* How many streams there may be: halved by a server that has too much to do, one more after each quiet minute. Time is a number here. */
#include <check.h>

#include "fetch/fetch.h"

#define SECOND 1000
#define MINUTE (60 * SECOND)
#define START (1000 * MINUTE)

static struct fetch f;

static void given(uint32_t streams)
{
	f = (struct fetch){ .n_slots = streams, .allowed = streams };
}

/* The loop looks again and again. */
static void passes(int64_t from, int64_t to)
{
	for (int64_t now = from; now <= to; now += SECOND)
		course_more(&f, now);
}

START_TEST(a_quiet_minute_adds_a_stream)
{
	given(8);
	course_fewer(&f, START);
	ck_assert_uint_eq(f.allowed, 4);
	passes(START, START + MINUTE - 1);
	ck_assert_uint_eq(f.allowed, 4);
	passes(START + MINUTE, START + MINUTE);
	ck_assert_uint_eq(f.allowed, 5);
}
END_TEST

START_TEST(each_further_minute_adds_one_and_there_are_no_more_than_before)
{
	given(8);
	course_fewer(&f, START);
	passes(START, START + 2 * MINUTE);
	ck_assert_uint_eq(f.allowed, 6);
	passes(START + 2 * MINUTE, START + 100 * MINUTE);
	ck_assert_uint_eq(f.allowed, 8);
}
END_TEST

START_TEST(trouble_begins_the_minute_anew)
{
	given(8);
	course_fewer(&f, START);
	course_fewer(&f, START + MINUTE - 1);
	ck_assert_uint_eq(f.allowed, 2);
	passes(START + MINUTE, START + 2 * MINUTE - 2);
	ck_assert_uint_eq(f.allowed, 2);
	passes(START + 2 * MINUTE - 1, START + 2 * MINUTE - 1);
	ck_assert_uint_eq(f.allowed, 3);
}
END_TEST

START_TEST(streams_that_are_refused_at_once_are_one_sign)
{
	given(8);
	for (int64_t ms = 0; ms < 999; ms++)
		course_fewer(&f, START + ms);
	ck_assert_uint_eq(f.allowed, 4);
	course_fewer(&f, START + 1000);
	ck_assert_uint_eq(f.allowed, 2);
	passes(START + MINUTE, START + MINUTE + 999);
	ck_assert_uint_eq(f.allowed, 2);
}
END_TEST

START_TEST(the_last_stream_stays)
{
	given(3);
	for (int64_t i = 0; i < 5; i++)
		course_fewer(&f, START + i * MINUTE);
	ck_assert_uint_eq(f.allowed, 1);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		a_quiet_minute_adds_a_stream, each_further_minute_adds_one_and_there_are_no_more_than_before, trouble_begins_the_minute_anew,
		streams_that_are_refused_at_once_are_one_sign, the_last_stream_stays,
	};
	Suite *suite = suite_create("crowd");
	TCase *t = tcase_create("crowd");

	for (size_t i = 0; i < sizeof(tests) / sizeof(*tests); i++)
		tcase_add_test(t, tests[i]);
	suite_add_tcase(suite, t);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
