/* SPDX-License-Identifier: MIT */
/* What holds at every instant of a map: window, order, promptness, errors as results, retries, maps in a row. */
#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "map_kit.h"

static struct feed f;

static int take_one(void *arg, const struct jt_map_result *r)
{
	uint64_t *last = arg;
	if (last)
		ck_assert_uint_eq(r->seq, ++*last);
	ck_assert_uint_eq(number_of(&r->item), r->seq);
	ck_assert_uint_eq(number_of(&r->output), 2 * r->seq);
	atomic_fetch_add(&f.taken, 1);
	return 0;
}

START_TEST(results_come_in_the_order_of_the_source)
{
	struct jt_map_opts o = { .threads = 4, .window = 7 };
	struct jt_work work = { .run = twice, .arg = &f };
	uint64_t last = 0;
	feed_init(&f, 5000);
	f.bound = 7;
	struct jt_map *m = start(&o, &f, &work);
	ck_assert(jt_map_run(m, take_one, &last) == JT_MAP_END);
	ck_assert_uint_eq(last, 5000);
	expect_for_ever(m, JT_MAP_END);
	jt_map_free(m);
	feed_done(&f);
}
END_TEST

START_TEST(unordered_gives_each_result_once)
{
	struct jt_map_opts o = { .threads = 3, .window = 5, .order = JT_MAP_UNORDERED };
	struct jt_work work = { .run = twice, .arg = &f };
	struct jt_map_counters c;
	feed_init(&f, 5000);
	f.bound = 5;
	struct jt_map *m = start(&o, &f, &work);
	ck_assert(jt_map_run(m, take_one, NULL) == JT_MAP_END);
	jt_map_stats(m, &c);
	ck_assert_uint_eq(f.taken, 5000);
	ck_assert_uint_eq(c.delivered, 5000);
	ck_assert_uint_eq(c.output_bytes, 0);
	expect_for_ever(m, JT_MAP_END);
	jt_map_free(m);
	feed_done(&f);
}
END_TEST

/* The first result is not accepted before the source has given as many as there is room for. */
static int take_when_full(void *arg, const struct jt_map_result *r)
{
	(void)arg;
	if (r->seq == 1)
		while (sem_wait(&f.told) != 0)
			continue;
	atomic_fetch_add(&f.taken, 1);
	return 0;
}

START_TEST(the_window_is_used_up_and_never_exceeded)
{
	static const uint32_t window[] = { 1, 2, 5, 64 };
	for (size_t i = 0; i < sizeof(window) / sizeof(*window); i++) {
		struct jt_map_opts o = { .threads = window[i] < 3 ? 1 : 3, .window = window[i] };
		struct jt_work work = { .run = twice, .arg = &f };
		struct jt_map_counters c;
		feed_init(&f, 3000);
		f.bound = f.tell_at = window[i];
		struct jt_map *m = start(&o, &f, &work);
		ck_assert(jt_map_run(m, take_when_full, NULL) == JT_MAP_END);
		jt_map_stats(m, &c);
		ck_assert_uint_eq(c.held_max, window[i]);
		ck_assert_uint_eq(f.held_max, window[i]);
		ck_assert_uint_eq(c.pulled, 3000);
		jt_map_free(m);
		feed_done(&f);
	}
}
END_TEST

START_TEST(nothing_taken_means_the_source_is_asked_for_a_window_and_no_more)
{
	struct jt_map_opts o = { .threads = 2, .window = 6 };
	struct jt_work work = { .run = twice, .arg = &f };
	feed_init(&f, UINT64_MAX - 1);
	f.bound = f.tell_at = 6;
	struct jt_map *m = start(&o, &f, &work);
	ck_assert_int_eq(sem_wait(&f.told), 0);
	jt_map_free(m);
	ck_assert_uint_eq(f.given, 6);
	feed_done(&f);
}
END_TEST

START_TEST(a_source_blocked_in_next_delays_no_result)
{
	struct jt_map_opts o = { .threads = 2, .window = 8 };
	struct jt_work work = { .run = twice, .arg = &f };
	feed_init(&f, 3);
	f.block_at = 3;
	struct jt_map *m = start(&o, &f, &work);
	ck_assert_int_eq(sem_wait(&f.blocked), 0);
	expect_result(m, 1);
	expect_result(m, 2);
	sem_post(&f.go);
	expect_result(m, 3);
	expect_for_ever(m, JT_MAP_END);
	jt_map_free(m);
	feed_done(&f);
}
END_TEST

START_TEST(a_source_that_says_again_is_asked_when_its_descriptor_is_readable)
{
	struct jt_map_opts o = { .threads = 1, .window = 8 };
	struct jt_work work = { .run = twice, .arg = &f };
	uint64_t one = 1;
	feed_init(&f, 2);
	f.again_at = 2;
	f.fd = eventfd(0, EFD_CLOEXEC);
	struct jt_map *m = start(&o, &f, &work);
	expect_result(m, 1);
	ck_assert_int_eq(sem_wait(&f.blocked), 0);
	ck_assert_int_eq(write(f.fd, &one, sizeof(one)), sizeof(one));
	expect_result(m, 2);
	expect_for_ever(m, JT_MAP_END);
	jt_map_free(m);
	close(f.fd);
	feed_done(&f);
}
END_TEST

START_TEST(a_source_without_a_descriptor_is_asked_at_each_heartbeat)
{
	struct jt_map_opts o = { .threads = 1, .window = 8, .heartbeat_ns = 1000000 };
	struct jt_work work = { .run = twice, .arg = &f };
	feed_init(&f, 2);
	f.again_at = 2;
	struct jt_map *m = start(&o, &f, &work);
	expect_result(m, 1);
	expect_result(m, 2);
	expect_for_ever(m, JT_MAP_END);
	jt_map_free(m);
	feed_done(&f);
}
END_TEST

/* Item 1 goes on when it is told to; the others at once. */
static sem_t first_may_end, others_ended;
static int first_waits(void *arg, const struct jt_call *call, const struct jt_item *item, struct jt_item *ret)
{
	if (call->seq == 1)
		while (sem_wait(&first_may_end) != 0)
			continue;
	else
		sem_post(&others_ended);
	return twice(arg, call, item, ret);
}

START_TEST(a_slow_head_is_waited_for_in_order_only)
{
	for (int order = JT_MAP_ORDERED; order <= JT_MAP_UNORDERED; order++) {
		struct jt_map_opts o = { .threads = 2, .window = 4, .order = (enum jt_map_order)order };
		struct jt_work work = { .run = first_waits, .arg = &f };
		struct jt_map_result r;
		feed_init(&f, 4);
		sem_init(&first_may_end, 0, 0);
		sem_init(&others_ended, 0, 0);
		struct jt_map *m = start(&o, &f, &work);
		for (int i = 0; i < 3; i++)
			ck_assert_int_eq(sem_wait(&others_ended), 0);
		if (order == JT_MAP_ORDERED)
			ck_assert(jt_map_next(m, &r, 0) == JT_MAP_AGAIN);
		for (uint64_t seq = 2; order == JT_MAP_UNORDERED && seq <= 4; seq++)
			expect_result(m, seq);
		sem_post(&first_may_end);
		expect_result(m, 1);
		for (uint64_t seq = 2; order == JT_MAP_ORDERED && seq <= 4; seq++)
			expect_result(m, seq);
		expect_for_ever(m, JT_MAP_END);
		jt_map_free(m);
		feed_done(&f);
	}
}
END_TEST

START_TEST(a_source_that_fails_after_k_items_delivers_k_results)
{
	for (uint64_t k = 0; k < 20; k++) {
		struct jt_map_opts o = { .threads = 2, .window = 4 };
		struct jt_work work = { .run = twice, .arg = &f };
		feed_init(&f, k);
		f.end = -EIO;
		struct jt_map *m = start(&o, &f, &work);
		for (uint64_t seq = 1; seq <= k; seq++)
			expect_result(m, seq);
		expect_for_ever(m, JT_MAP_SOURCE_ERROR);
		ck_assert_int_eq(jt_map_source_error(m), EIO);
		jt_map_free(m);
		feed_done(&f);
	}
}
END_TEST

/* Item 2 fails at its first two attempts, item 3 always, and with 7 that is final. */
static int unlucky(void *arg, const struct jt_call *call, const struct jt_item *item, struct jt_item *ret)
{
	twice(arg, call, item, ret);
	if (call->seq == 2)
		return call->attempt < 3 ? 1 : 0;
	return call->seq == 3 ? 1 : call->seq == 4 ? 7 : 0;
}

static bool not_seven(void *arg, int status)
{
	(void)arg;
	return status != 7;
}

START_TEST(failures_are_tried_again_and_keep_their_place)
{
	static const struct { int status; uint32_t attempts; } want[] = { { 0, 1 }, { 0, 3 }, { 1, 4 }, { 7, 1 }, { 0, 1 } };
	struct jt_map_opts o = { .threads = 2, .window = 3, .retry = { .max = 3, .cap_ns = 100000, .max_ns = 1000000, .base = 2 } };
	struct jt_work work = { .run = unlucky, .retry_if = not_seven, .arg = &f };
	struct jt_map_counters c;
	struct jt_map_result r;
	feed_init(&f, 5);
	struct jt_map *m = start(&o, &f, &work);
	for (uint64_t seq = 1; seq <= 5; seq++) {
		ck_assert(jt_map_next(m, &r, -1) == JT_MAP_RESULT);
		ck_assert_uint_eq(r.seq, seq);
		ck_assert_int_eq(r.status, want[seq - 1].status);
		ck_assert_uint_eq(r.attempts, want[seq - 1].attempts);
		ck_assert_uint_eq(number_of(&r.output), 2 * seq);
		jt_map_result_done(&r);
	}
	expect_for_ever(m, JT_MAP_END);
	jt_map_stats(m, &c);
	ck_assert_uint_eq(c.retried, 5);
	ck_assert_uint_eq(c.failed, 2);
	ck_assert_uint_eq(c.running, 0);
	jt_map_free(m);
	feed_done(&f);
}
END_TEST

/* Each odd item fails at once, and the even one behind it keeps its thread until the other thread has tried that again. */
static int waits_for_the_one_before(void *arg, const struct jt_call *call, const struct jt_item *item, struct jt_item *ret)
{
	twice(arg, call, item, ret);
	if (call->seq % 2 == 1 && call->attempt == 1)
		return 1;
	if (call->seq % 2 == 1)
		sem_post(&f.go);
	while (call->seq % 2 == 0 && sem_wait(&f.go) != 0)
		continue;
	return 0;
}

START_TEST(a_backoff_that_is_over_is_noticed_while_other_threads_work)
{
	struct jt_map_opts o = { .threads = 2, .window = 2, .retry = { .max = 1, .cap_ns = 1000, .max_ns = 1000, .base = 1 } };
	struct jt_work work = { .run = waits_for_the_one_before, .arg = &f };
	feed_init(&f, 1000);
	struct jt_map *m = start(&o, &f, &work);
	for (uint64_t seq = 1; seq <= 1000; seq++)
		expect_result(m, seq);
	expect_for_ever(m, JT_MAP_END);
	jt_map_free(m);
	feed_done(&f);
}
END_TEST

static int readable(int fd, int timeout_ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	return poll(&p, 1, timeout_ms);
}

START_TEST(the_descriptor_is_readable_while_next_would_not_wait)
{
	struct jt_map_opts o = { .threads = 1, .window = 2 };
	struct jt_work work = { .run = twice, .arg = &f };
	struct jt_map_result r;
	feed_init(&f, 2);
	f.block_at = 1;
	struct jt_map *m = start(&o, &f, &work);
	int fd = jt_map_fd(m);
	ck_assert_int_eq(readable(fd, 0), 0);
	ck_assert(jt_map_next(m, &r, 0) == JT_MAP_AGAIN);
	sem_post(&f.go);
	for (uint64_t seq = 1; seq <= 2; seq++) {
		ck_assert_int_eq(readable(fd, -1), 1);
		ck_assert(jt_map_next(m, &r, 0) == JT_MAP_RESULT);
		ck_assert_uint_eq(r.seq, seq);
		jt_map_result_done(&r);
	}
	ck_assert_int_eq(readable(fd, -1), 1);
	expect_for_ever(m, JT_MAP_END);
	ck_assert_int_eq(readable(fd, 0), 1);
	jt_map_free(m);
	feed_done(&f);
}
END_TEST

/* Items of a later stage are the results of the stage before. */
static int thrice_of_result(void *arg, const struct jt_call *call, const struct jt_item *item, struct jt_item *ret)
{
	const struct jt_map_result *r = item->data;
	(void)call;
	*ret = counted_item(arg, number_of(&r->output) * 3 / 2);
	return 0;
}

static int take_chained(void *arg, const struct jt_map_result *r)
{
	uint64_t *last = arg;
	if (r->seq == 1)
		while (sem_wait(&f.told) != 0)
			continue;
	ck_assert_uint_eq(r->seq, ++*last);
	ck_assert_uint_eq(number_of(&r->output), 3 * r->seq);
	atomic_fetch_add(&f.taken, 1);
	return 0;
}

START_TEST(maps_in_a_row_hold_the_sum_of_their_windows)
{
	struct jt_map_opts o1 = { .threads = 2, .window = 3 }, o2 = { .threads = 2, .window = 5 };
	struct jt_work w1 = { .run = twice, .arg = &f }, w2 = { .run = thrice_of_result, .arg = &f };
	uint64_t last = 0;
	feed_init(&f, 3000);
	f.bound = f.tell_at = 8;
	struct jt_map *first = start(&o1, &f, &w1);
	struct jt_source s = jt_map_as_source(first);
	struct jt_map *second = jt_map_start(&o2, &s, &w2, NULL);
	ck_assert(jt_map_run(second, take_chained, &last) == JT_MAP_END);
	ck_assert_uint_eq(last, 3000);
	ck_assert_uint_eq(f.held_max, 8);
	jt_map_free(second);
	jt_map_free(first);
	feed_done(&f);
}
END_TEST

START_TEST(an_error_goes_down_the_row_and_a_stop_goes_up)
{
	struct jt_map_opts o = { .threads = 1, .window = 2 };
	struct jt_work w1 = { .run = twice, .arg = &f }, w2 = { .run = thrice_of_result, .arg = &f };
	struct jt_map_result r;
	for (int stops = 0; stops < 2; stops++) {
		feed_init(&f, stops ? UINT64_MAX - 1 : 4);
		f.end = -EILSEQ;
		struct jt_map *first = start(&o, &f, &w1);
		struct jt_source s = jt_map_as_source(first);
		struct jt_map *second = jt_map_start(&o, &s, &w2, NULL);
		for (uint64_t n = 0; n < 4; n++) {
			ck_assert(jt_map_next(second, &r, -1) == JT_MAP_RESULT);
			jt_map_result_done(&r);
		}
		if (!stops) {
			expect_for_ever(second, JT_MAP_SOURCE_ERROR);
			ck_assert_int_eq(jt_map_source_error(second), EILSEQ);
		}
		jt_map_free(second);
		ck_assert(jt_map_stopping(first));
		jt_map_free(first);
		feed_done(&f);
	}
}
END_TEST

START_TEST(wrong_options_are_refused_and_the_source_is_closed)
{
	static const struct jt_map_opts wrong[] = {
		{ .threads = 4, .window = 3 },       { .threads = 1, .window = JT_MAP_WINDOW_MAX + 1 }, { .threads = 1, .deadline_ns = -1 },
		{ .threads = 1, .heartbeat_ns = -1 }, { .threads = 1, .retry = { .max = 1, .base = 0.5 } },
	};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		struct jt_error err;
		struct jt_work work = { .run = twice, .arg = &f };
		feed_init(&f, 1);
		struct jt_source s = feed_source(&f);
		ck_assert(jt_map_start(&wrong[i], &s, &work, &err) == NULL);
		ck_assert_int_eq(err.code, JT_EINVAL);
		if (i == 0)
			ck_assert_str_eq(err.text, "map: window must be at least threads (4), got 3");
		feed_done(&f);
	}
}
END_TEST

static sem_t here, there;
static int meets(void *arg)
{
	sem_t *const *mine = arg;
	sem_post(mine[0]);
	while (sem_wait(mine[1]) != 0)
		continue;
	return mine[0] == &here ? 5 : 6;
}

static int succeeds(void *arg)
{
	(void)arg;
	return 0;
}

START_TEST(both_run_at_once_and_the_first_error_wins)
{
	sem_t *a[] = { &here, &there }, *b[] = { &there, &here };
	sem_init(&here, 0, 0);
	sem_init(&there, 0, 0);
	ck_assert_int_eq(jt_both(meets, a, meets, b), 5);
	sem_post(&here);
	ck_assert_int_eq(jt_both(succeeds, NULL, meets, b), 6);
	ck_assert_int_eq(jt_both(succeeds, NULL, succeeds, NULL), 0);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		results_come_in_the_order_of_the_source,
		unordered_gives_each_result_once,
		the_window_is_used_up_and_never_exceeded,
		nothing_taken_means_the_source_is_asked_for_a_window_and_no_more,
		a_source_blocked_in_next_delays_no_result,
		a_source_that_says_again_is_asked_when_its_descriptor_is_readable,
		a_source_without_a_descriptor_is_asked_at_each_heartbeat,
		a_slow_head_is_waited_for_in_order_only,
		a_source_that_fails_after_k_items_delivers_k_results,
		failures_are_tried_again_and_keep_their_place,
		a_backoff_that_is_over_is_noticed_while_other_threads_work,
		the_descriptor_is_readable_while_next_would_not_wait,
		maps_in_a_row_hold_the_sum_of_their_windows,
		an_error_goes_down_the_row_and_a_stop_goes_up,
		wrong_options_are_refused_and_the_source_is_closed,
		both_run_at_once_and_the_first_error_wins,
	};
	return run_suite("map", tests, sizeof(tests) / sizeof(*tests));
}
