/* SPDX-License-Identifier: MIT */
/* The window and the course of a map as plain calculations: places, reorder, backoffs, and which status follows. */
#include <errno.h>

#include "map.h"
#include "../play.h"

static struct jti_window w;
static struct jti_course course;

static void open_window(uint32_t size, enum jt_map_order order)
{
	ck_assert_int_eq(jti_window_init(&w, size, order), 0);
	course = (struct jti_course){ 0 };
}

static void admit(unsigned n)
{
	for (; n > 0; n--) {
		ck_assert(jti_window_has_room(&w));
		jti_window_admit(&w, (struct jt_item){ 0 });
	}
}

static uint32_t started(uint64_t seq)
{
	uint32_t place = jti_window_start(&w, 0);
	ck_assert_uint_ne(place, JT_NONE);
	ck_assert_uint_eq(w.place[place].r.seq, seq);
	return place;
}

static void taken(uint64_t seq)
{
	struct jt_map_result r;
	ck_assert(jti_window_can_take(&w));
	jti_window_take(&w, &r);
	ck_assert_uint_eq(r.seq, seq);
}

static const struct jt_item none;

START_TEST(an_item_that_is_taken_but_not_delivered_is_still_held)
{
	open_window(2, JT_MAP_ORDERED);
	admit(2);
	ck_assert(!jti_window_has_room(&w));
	jti_window_finish(&w, started(1), 0, none);
	taken(1);
	ck_assert(!jti_window_has_room(&w));
	jti_window_delivered(&w);
	admit(1);
	ck_assert(!jti_window_has_room(&w));
	ck_assert_uint_eq(w.c.held_max, 2);
	jti_window_done(&w);
}
END_TEST

START_TEST(ordered_waits_for_the_head_and_unordered_does_not)
{
	for (int order = JT_MAP_ORDERED; order <= JT_MAP_UNORDERED; order++) {
		open_window(3, (enum jt_map_order)order);
		admit(3);
		uint32_t a = started(1), b = started(2), c = started(3);
		jti_window_finish(&w, c, 0, none);
		jti_window_finish(&w, b, 0, none);
		ck_assert(jti_window_can_take(&w) == (order == JT_MAP_UNORDERED));
		jti_window_finish(&w, a, 0, none);
		taken(order == JT_MAP_ORDERED ? 1 : 3);
		taken(2);
		taken(order == JT_MAP_ORDERED ? 3 : 1);
		ck_assert(!jti_window_can_take(&w));
		jti_window_done(&w);
	}
}
END_TEST

START_TEST(a_backoff_that_is_over_goes_before_what_waits_and_keeps_its_place)
{
	open_window(3, JT_MAP_ORDERED);
	admit(3);
	jti_window_backoff(&w, started(1), 100);
	jti_window_backoff(&w, started(2), 50);
	ck_assert_int_eq(jti_window_due_ns(&w), 50);
	uint32_t two = jti_window_start(&w, 50);
	ck_assert_uint_eq(w.place[two].r.seq, 2);
	ck_assert_uint_eq(w.place[two].r.attempts, 2);
	jti_window_finish(&w, two, 9, none);
	ck_assert(!jti_window_can_take(&w));
	jti_window_finish(&w, started(3), 0, none);
	ck_assert_uint_eq(jti_window_start(&w, 99), JT_NONE);
	jti_window_finish(&w, jti_window_start(&w, 100), 0, none);
	ck_assert_int_eq(jti_window_due_ns(&w), JT_NEVER);
	taken(1);
	taken(2);
	taken(3);
	ck_assert_uint_eq(w.c.failed, 1);
	ck_assert_uint_eq(w.c.retried, 2);
	jti_window_done(&w);
}
END_TEST

START_TEST(the_status_follows_from_what_is_held)
{
	open_window(2, JT_MAP_ORDERED);
	ck_assert(jti_course_status(&course, &w) == JT_MAP_AGAIN);
	admit(1);
	jti_course_source_ended(&course, -EIO);
	ck_assert(!jti_course_pulls(&course));
	ck_assert(jti_course_status(&course, &w) == JT_MAP_AGAIN);
	jti_window_finish(&w, started(1), 0, none);
	ck_assert(jti_course_status(&course, &w) == JT_MAP_RESULT);
	taken(1);
	ck_assert(jti_course_status(&course, &w) == JT_MAP_SOURCE_ERROR);
	course.source = JTI_SOURCE_ENDED;
	ck_assert(jti_course_status(&course, &w) == JT_MAP_END);
	jti_course_stop(&course, JTI_STOPPED);
	ck_assert(jti_course_status(&course, &w) == JT_MAP_END);
	course.last = JT_MAP_DEADLINE;
	ck_assert(jti_course_status(&course, &w) == JT_MAP_DEADLINE);
	jti_window_done(&w);
}
END_TEST

START_TEST(a_drain_may_become_a_stop_and_a_stop_stays_what_it_is)
{
	open_window(2, JT_MAP_ORDERED);
	admit(1);
	jti_course_stop(&course, JTI_DRAINS);
	ck_assert(!jti_course_pulls(&course) && jti_course_starts(&course));
	ck_assert(jti_course_status(&course, &w) == JT_MAP_AGAIN);
	jti_course_stop(&course, JTI_STOPPED);
	ck_assert(!jti_course_starts(&course));
	jti_course_stop(&course, JTI_DEADLINE);
	jti_course_stop(&course, JTI_DRAINS);
	ck_assert(jti_course_status(&course, &w) == JT_MAP_STOPPED);
	jti_window_done(&w);
}
END_TEST

START_TEST(zero_means_what_most_want)
{
	struct jt_map_opts o = { 0 };
	ck_assert_int_eq(jti_map_opts_check(&o, 6, NULL), 0);
	ck_assert_uint_eq(o.threads, 6);
	ck_assert_uint_eq(o.window, 64);
	ck_assert_int_eq(o.heartbeat_ns, 100000000);
	o = (struct jt_map_opts){ 0 };
	ck_assert_int_eq(jti_map_opts_check(&o, 20, NULL), 0);
	ck_assert_uint_eq(o.window, 80);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("window");
	TCase *t = tcase_create("window");
	tcase_add_test(t, an_item_that_is_taken_but_not_delivered_is_still_held);
	tcase_add_test(t, ordered_waits_for_the_head_and_unordered_does_not);
	tcase_add_test(t, a_backoff_that_is_over_goes_before_what_waits_and_keeps_its_place);
	tcase_add_test(t, the_status_follows_from_what_is_held);
	tcase_add_test(t, a_drain_may_become_a_stop_and_a_stop_stays_what_it_is);
	tcase_add_test(t, zero_means_what_most_want);
	suite_add_tcase(suite, t);
	return play_suite(suite);
}
