/* SPDX-License-Identifier: MIT */
/* Stories of time: pacing, backoff, and the delays of retries. */
#include "story_kit.h"

static int64_t next_at(int64_t now_ns)
{
	int64_t at_ns;
	ck_assert_uint_eq(jt_sched_next(tree, now_ns, &at_ns), JT_NONE);
	return at_ns;
}

START_TEST(pacing_lets_one_start_an_interval)
{
	opts.interval_ns = 100;
	jobs("a", "b", "c");
	at(1000);       expect("start a");
	ck_assert_int_eq(next_at(1000), 1100);
	at(1099);       expect(NOTHING);
	at(1100);       expect("start b");
	at(1200);       expect("start c");
}
END_TEST

START_TEST(pacing_catches_up)
{
	opts.interval_ns = 100;
	jobs("a", "b", "c", "d", "e");
	at(0);          expect("start a");
	at(310);        expect("start b", "start c", "start d");
	at(400);        expect("start e");
}
END_TEST

START_TEST(after_a_pacing_wait_the_smallest_is_chosen_again)
{
	opts.interval_ns = 100;
	jobs("b", "b/urgent priority -1", "c");
	expect("start b");
	finish("b", OK);
	at(100);        expect("start b/urgent");
}
END_TEST

START_TEST(jitter_lengthens_each_interval_within_its_bound)
{
	static const char *const want[][2] = { { "start b" }, { "start c" }, { "start d" } };
	int64_t last = 0, seen = 0;
	opts.interval_ns = 100;
	opts.jitter_ns = 50;
	opts.seed = 7;
	jobs("a", "b", "c", "d");
	expect("start a");
	for (size_t i = 0; i < 3; i++) {
		int64_t next = next_at(last);
		ck_assert(next - last >= 100 && next - last <= 150);
		seen += next - last - 100;
		at(next);
		SAY(story_expect(want[i]));
		last = next;
	}
	ck_assert_msg(seen > 0, "three starts without any jitter");
}
END_TEST

START_TEST(backoff_gives_the_slot_back_and_comes_again)
{
	opts.slots = 1;
	jobs("a", "a/x", "b");
	expect("start a");
	backoff("a", 100);      expect("start b");
	finish("b", OK);        expect(NOTHING);
	ck_assert_int_eq(next_at(50), 100);
	at(100);                expect("start a");
	finish("a", OK);        expect("start a/x");
}
END_TEST

START_TEST(who_backs_off_keeps_the_barrier_shut_meanwhile)
{
	jobs("p/a", "p/b", "p/~/end");
	expect("start p/a", "start p/b");
	backoff("p/a", 100);
	finish("p/b", OK);      expect(NOTHING);
	at(100);                expect("start p/a");
	finish("p/a", OK);      expect("start p/~/end");
}
END_TEST

START_TEST(two_that_are_due_start_in_the_order_of_the_queue)
{
	jobs("a", "b", "c priority -1");
	expect("start c", "start a", "start b");
	backoff("b", 10);
	backoff("a", 20);
	backoff("c", 30);
	at(9);                  expect(NOTHING);
	at(30);                 expect("start c", "start a", "start b");
}
END_TEST

START_TEST(a_due_time_in_the_past_is_at_once)
{
	jobs("a");
	at(100);                expect("start a");
	backoff("a", 50);       expect("start a");
}
END_TEST

START_TEST(who_is_due_keeps_its_place_in_fifo)
{
	opts.order = JT_BY_FIFO;
	opts.slots = 1;
	jobs("a", "b", "c");
	expect("start a");
	backoff("a", 0);        expect("start a");
}
END_TEST

START_TEST(the_cap_grows_by_the_base_up_to_the_highest)
{
	struct jt_retry_policy p = { .max = 5, .min_ns = 100, .cap_ns = 1000, .max_ns = 3500, .base = 2.0 };
	ck_assert_int_eq(jt_retry_delay(&p, 1, 0, 0), 100);
	ck_assert_int_eq(jt_retry_delay(&p, 1, 0, UINT64_MAX), 1000);
	ck_assert_int_eq(jt_retry_delay(&p, 2, 0, UINT64_MAX), 2000);
	ck_assert_int_eq(jt_retry_delay(&p, 3, 0, UINT64_MAX), 3500);
	ck_assert_int_eq(jt_retry_delay(&p, 3, 0, UINT64_MAX / 2), 100 + 3400 / 2);
	ck_assert_int_eq(jt_retry_delay(&p, 5, 0, 0), 100);
	ck_assert_int_eq(jt_retry_delay(&p, 6, 0, 0), -1);
}
END_TEST

START_TEST(no_retry_unless_it_is_asked_for)
{
	struct jt_retry_policy p = JT_RETRY_DEFAULT;
	ck_assert_int_eq(jt_retry_check(&p, &err), 0);
	ck_assert_int_eq(jt_retry_delay(&p, 1, 0, 0), -1);
	p.max = 1;
	ck_assert_int_eq(jt_retry_delay(&p, 1, 0, UINT64_MAX), 125000000);
}
END_TEST

START_TEST(the_budget_of_time_ends_the_retries)
{
	struct jt_retry_policy p = { .max = 100, .cap_ns = 10, .max_ns = 10, .base = 1.0, .elapsed_ns = 1000 };
	ck_assert_int_eq(jt_retry_delay(&p, 1, 999, 0), 0);
	ck_assert_int_eq(jt_retry_delay(&p, 1, 1000, 0), -1);
}
END_TEST

START_TEST(a_cap_of_nothing_stays_nothing)
{
	struct jt_retry_policy p = { .max = UINT32_MAX, .max_ns = 1000, .base = 10.0 };
	ck_assert_int_eq(jt_retry_delay(&p, 1, 0, UINT64_MAX), 0);
	ck_assert_int_eq(jt_retry_delay(&p, 100000, 0, UINT64_MAX), 0);
	p.cap_ns = 1;
	ck_assert_int_eq(jt_retry_delay(&p, 100000, 0, UINT64_MAX), 1000);
}
END_TEST

START_TEST(bounds_are_put_in_order_or_refused)
{
	struct jt_retry_policy p = { .min_ns = 50, .cap_ns = 10, .max_ns = 20, .base = 2.0 };
	ck_assert_int_eq(jt_retry_check(&p, &err), 0);
	ck_assert(p.min_ns <= p.cap_ns && p.cap_ns <= p.max_ns);
	p.base = 0.5;
	ck_assert_int_eq(jt_retry_check(&p, &err), -1);
	expect_text("base");
	p = (struct jt_retry_policy){ .min_ns = -1, .base = 2.0 };
	ck_assert_int_eq(jt_retry_check(&p, &err), -1);
	expect_text("negative");
}
END_TEST

CHAPTER(stories_of_pacing, "pacing and backoff", pacing_lets_one_start_an_interval, pacing_catches_up,
	after_a_pacing_wait_the_smallest_is_chosen_again, jitter_lengthens_each_interval_within_its_bound,
	backoff_gives_the_slot_back_and_comes_again, who_backs_off_keeps_the_barrier_shut_meanwhile,
	two_that_are_due_start_in_the_order_of_the_queue, a_due_time_in_the_past_is_at_once, who_is_due_keeps_its_place_in_fifo,
	the_cap_grows_by_the_base_up_to_the_highest, no_retry_unless_it_is_asked_for, the_budget_of_time_ends_the_retries,
	a_cap_of_nothing_stays_nothing, bounds_are_put_in_order_or_refused)
