/* SPDX-License-Identifier: MIT */
/* How maps come to an early end: stop, drain, signal, deadline, and a map that is freed in the middle leaves nothing. */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "map_kit.h"

static struct feed f;
static struct jt_map *the_map;
static sem_t may_end, ended, begun;
static uint64_t waits;                   /* the item whose work waits for may_end */

static int work_with_a_wait(void *arg, const struct jt_call *call, const struct jt_item *item, struct jt_item *ret)
{
	sem_post(&begun);
	if (call->seq == waits)
		while (sem_wait(&may_end) != 0)
			continue;
	int r = twice(arg, call, item, ret);
	sem_post(&ended);
	return r;
}

static const struct jt_work waiting_work = { .run = work_with_a_wait, .arg = &f };

static void begin(uint64_t n, uint64_t which_waits)
{
	feed_init(&f, n);
	sem_init(&may_end, 0, 0);
	sem_init(&ended, 0, 0);
	sem_init(&begun, 0, 0);
	waits = which_waits;
}

static void wait_for(sem_t *s, unsigned times)
{
	while (times > 0)
		times -= sem_wait(s) == 0;
}

START_TEST(a_stop_delivers_what_is_finished_without_a_gap)
{
	for (int order = JT_MAP_ORDERED; order <= JT_MAP_UNORDERED; order++) {
		struct jt_map_opts o = { .threads = 2, .window = 4, .order = (enum jt_map_order)order };
		struct jt_map_result r;
		begin(UINT64_MAX - 1, 3);
		struct jt_map *m = start(&o, &f, &waiting_work);
		int fd = jt_map_fd(m);
		wait_for(&ended, 3);
		for (;;) {              /* until the fourth, which was the last to end, is in the window */
			struct jt_map_counters c;
			jt_map_stats(m, &c);
			if (c.finished == 3)
				break;
			sched_yield();
		}
		jt_map_stop(m, JT_MAP_NOW);
		unsigned seen = 0;
		for (; jt_map_next(m, &r, -1) == JT_MAP_RESULT; jt_map_result_done(&r))
			seen |= 1u << r.seq;
		ck_assert_uint_eq(seen, order == JT_MAP_ORDERED ? 1u << 1 | 1u << 2 : 1u << 1 | 1u << 2 | 1u << 4);
		expect_for_ever(m, JT_MAP_STOPPED);
		ck_assert_int_eq(poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, 0), 1);
		sem_post(&may_end);
		wait_for(&ended, 1);
		ck_assert(jt_map_next(m, &r, -1) == JT_MAP_STOPPED);
		jt_map_free(m);
		feed_done(&f);
	}
}
END_TEST

START_TEST(a_drain_delivers_all_that_was_admitted_though_the_source_is_blocked)
{
	struct jt_map_opts o = { .threads = 2, .window = 8 };
	struct jt_map_counters c;
	begin(9, 2);
	f.block_at = 4;
	struct jt_map *m = start(&o, &f, &waiting_work);
	wait_for(&f.blocked, 1);
	jt_map_stop(m, JT_MAP_DRAIN);
	sem_post(&may_end);
	for (uint64_t seq = 1; seq <= 3; seq++)
		expect_result(m, seq);
	expect_for_ever(m, JT_MAP_END);
	sem_post(&f.go);
	jt_map_free(m);
	ck_assert_uint_eq(f.given, 4);         /* the one it was blocked for: released, not admitted */
	feed_done(&f);

	begin(2, 0);
	m = start(&o, &f, &waiting_work);
	expect_result(m, 1);
	expect_result(m, 2);
	expect_for_ever(m, JT_MAP_END);
	jt_map_stats(m, &c);
	ck_assert_uint_eq(c.admitted, 2);
	jt_map_free(m);
	feed_done(&f);
}
END_TEST

START_TEST(work_under_way_sees_that_the_map_stops)
{
	struct jt_map_opts o = { .threads = 1, .window = 1 };
	begin(1, 1);
	struct jt_map *m = start(&o, &f, &waiting_work);
	wait_for(&begun, 1);
	ck_assert(!jt_map_stopping(m));
	jt_map_stop(m, JT_MAP_DRAIN);
	ck_assert(!jt_map_stopping(m));
	jt_map_stop(m, JT_MAP_NOW);
	ck_assert(jt_map_stopping(m));
	expect_for_ever(m, JT_MAP_STOPPED);
	sem_post(&may_end);
	jt_map_free(m);
	feed_done(&f);
}
END_TEST

static void on_signal(int sig)
{
	(void)sig;
	jt_map_stop_async(the_map);
}

/* The signal goes to the one thread that does not block it: the consumer's, which waits. */
static int signals(void *arg, const struct jt_call *call, const struct jt_item *item, struct jt_item *ret)
{
	kill(getpid(), SIGUSR1);
	return work_with_a_wait(arg, call, item, ret);
}

START_TEST(a_signal_handler_may_stop_it)
{
	struct jt_map_opts o = { .threads = 1, .window = 4 };
	struct jt_work work = { .run = signals, .arg = &f };
	struct sigaction act = { .sa_handler = on_signal };
	sigaction(SIGUSR1, &act, NULL);
	begin(4, 1);
	f.block_at = 1;
	the_map = start(&o, &f, &work);
	int fd = jt_map_fd(the_map);
	sem_post(&f.go);
	expect_for_ever(the_map, JT_MAP_STOPPED);
	ck_assert_int_eq(poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, 0), 1);
	sem_post(&may_end);
	jt_map_free(the_map);
	feed_done(&f);
}
END_TEST

START_TEST(the_deadline_ends_the_wait_and_makes_the_descriptor_readable)
{
	for (int by_fd = 0; by_fd < 2; by_fd++) {
		struct jt_map_opts o = { .threads = 2, .deadline_ns = 20000000 };
		begin(1, 0);
		f.block_at = 1;
		struct jt_map *m = start(&o, &f, &waiting_work);
		if (by_fd)
			ck_assert_int_eq(poll(&(struct pollfd){ .fd = jt_map_fd(m), .events = POLLIN }, 1, -1), 1);
		expect_for_ever(m, JT_MAP_DEADLINE);
		ck_assert(jt_map_stopping(m));
		sem_post(&f.go);
		jt_map_free(m);
		feed_done(&f);
	}
}
END_TEST

START_TEST(a_timeout_is_not_an_end)
{
	struct jt_map_opts o = { .threads = 1 };
	struct jt_map_result r;
	begin(1, 0);
	f.block_at = 1;
	struct jt_map *m = start(&o, &f, &waiting_work);
	ck_assert(jt_map_next(m, &r, 1) == JT_MAP_AGAIN);
	sem_post(&f.go);
	expect_result(m, 1);
	expect_for_ever(m, JT_MAP_END);
	jt_map_free(m);
	feed_done(&f);
}
END_TEST

/* A joined thread may stand in /proc for a moment longer: this ends when it has gone, or with the test's time. */
static void expect_threads(unsigned n)
{
	while (count_of("/proc/self/task") != n)
		sched_yield();
}

START_TEST(a_freed_map_leaves_no_thread_descriptor_or_item)
{
	struct jt_map_opts o = { .threads = 4, .window = 16 };
	jt_map_free(NULL);
	begin(1, 0);
	jt_map_free(start(&o, &f, &waiting_work));       /* what the first thread of a process leaves is not a map's */
	feed_done(&f);
	unsigned threads = count_of("/proc/self/task"), fds = count_of("/proc/self/fd");
	for (uint64_t n = 0; n < 60; n++) {
		begin(n % 3 ? n : UINT64_MAX - 1, n % 4 == 3 ? 0 : 5);
		f.fd = eventfd(0, EFD_CLOEXEC);
		f.again_at = n % 2 ? n / 2 : 0;
		struct jt_map *m = start(&o, &f, &waiting_work);
		if (f.again_at > 0 && f.again_at < 5 && n > 3)
			wait_for(&f.blocked, 1);
		if (n % 5 == 0)
			ck_assert_int_ge(jt_map_fd(m), 0);
		for (uint64_t seq = 1; seq < f.again_at && seq < 3 && seq <= n; seq++)
			expect_result(m, seq);
		sem_post(&may_end);
		jt_map_free(m);
		close(f.fd);
		feed_done(&f);
		expect_threads(threads);
		ck_assert_uint_eq(count_of("/proc/self/fd"), fds);
	}
}
END_TEST

/* Nothing wakes these but the free itself: the source waits for a descriptor that never becomes readable, a retry for an hour. */
static int fails(void *arg, const struct jt_call *call, const struct jt_item *item, struct jt_item *ret)
{
	twice(arg, call, item, ret);
	sem_post(&begun);
	return 1;
}

START_TEST(free_waits_neither_for_a_blocked_source_nor_for_a_backoff)
{
	const int64_t hour = INT64_C(3600000000000);
	struct jt_map_opts o = { .threads = 2, .window = 8, .retry = { .max = 1, .min_ns = hour, .cap_ns = hour, .max_ns = hour, .base = 1 } };
	struct jt_work work = { .run = fails, .arg = &f };
	begin(9, 0);
	f.again_at = 3;
	f.fd = eventfd(0, EFD_CLOEXEC);
	struct jt_map *m = start(&o, &f, &work);
	wait_for(&begun, 2);
	wait_for(&f.blocked, 1);
	jt_map_free(m);
	close(f.fd);
	feed_done(&f);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		a_stop_delivers_what_is_finished_without_a_gap,
		a_drain_delivers_all_that_was_admitted_though_the_source_is_blocked,
		work_under_way_sees_that_the_map_stops,
		a_signal_handler_may_stop_it,
		the_deadline_ends_the_wait_and_makes_the_descriptor_readable,
		a_timeout_is_not_an_end,
		a_freed_map_leaves_no_thread_descriptor_or_item,
		free_waits_neither_for_a_blocked_source_nor_for_a_backoff,
	};
	return run_suite("end of a map", tests, sizeof(tests) / sizeof(*tests));
}
