/* SPDX-License-Identifier: MIT */
/* The store's thread: order, group commit, what queries see, what a stop leaves. */
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "store_kit.h"
#include "../play.h"

/* ---- a thread that is busy until told ----------------------------------------------------------------------------- */

static sem_t busy, go;

static void block(struct store_op *op, const struct store_load_row *row)
{
	(void)op;
	(void)row;
	sem_post(&busy);
	sem_wait(&go);
}

/* From here to let_go everything posted stays in the mailbox. */
static void hold_thread(void)
{
	struct store_op *op = store_op_new(ST_LOAD_JOBS);

	sem_init(&busy, 0, 0);
	sem_init(&go, 0, 0);
	kit_run(kit_jobs_new(99, 0, 1));
	op->run.run = 99;
	op->row = block;
	kit_post(op);
	sem_wait(&busy);
}

static void let_go(void)
{
	sem_post(&go);
}

static struct store_stats stats(void)
{
	struct store_stats ret;

	store_stats(kit_store, &ret);
	return ret;
}

static struct store_op *event_op(uint64_t seq)
{
	struct store_op *op = store_op_new(ST_EVENT);

	kit_event(op, seq, 1, 0, EV_STARTED);
	return op;
}

/* ---- order ------------------------------------------------------------------------------------------------------ */

static uint64_t next_done;

static void assert_in_order(struct store_op *op)
{
	ck_assert_uint_eq((uint64_t)(uintptr_t)op->ctx, next_done);
	next_done++;
}

static struct store_op *some_op(uint64_t i)
{
	struct store_op *op;

	switch (i % 4) {
	case 0:
		return kit_jobs_new(1, (uint32_t)i, 3);
	case 1:
		op = store_op_new(ST_GET_JOB);
		op->id = JOB_ID(1, i);
		return op;
	case 2:
		return kit_end(1, (uint32_t)i, 1);
	default:
		return event_op(i);
	}
}

START_TEST(operations_are_done_in_the_order_of_posting)
{
	for (uint64_t i = 0; i < 5000; i++) {
		struct store_op *op = some_op(i);

		op->urgent = i % 97 == 0;
		op->ctx = (void *)(uintptr_t)i;
		op->done = assert_in_order;
		store_post(kit_store, op);
	}
	while (next_done < 5000)
		event_base_loop(kit_base, EVLOOP_ONCE);
	ck_assert_uint_eq(stats().queued, 0);
}
END_TEST

START_TEST(a_query_sees_what_was_posted_before_it_and_not_what_came_later)
{
	struct store_op *op = store_op_new(ST_GET_EVENTS);

	hold_thread();
	kit_post(event_op(1));
	op->limit = 10;
	op->done = NULL;
	let_go();
	op = kit_do(op);
	kit_post(event_op(2));
	ck_assert_uint_eq(op->n_events, 1);
	ck_assert_uint_eq(op->events[0].seq, 1);
	store_op_free(op);
	kit_wait_all();
}
END_TEST

/* ---- groups ----------------------------------------------------------------------------------------------------- */

static uint64_t commits_for(size_t n)
{
	uint64_t before;

	hold_thread();
	before = stats().commits;
	for (size_t i = 1; i <= n; i++)
		kit_post(event_op(i));
	let_go();
	kit_wait_all();
	return stats().commits - before - 1;    /* one is that of the load */
}

START_TEST(what_has_queued_up_shares_one_commit)
{
	uint64_t operations = stats().operations;

	ck_assert_uint_eq(commits_for(100), 1);
	ck_assert_uint_eq(stats().operations, operations + 102);
}
END_TEST

static int64_t us_of(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static int64_t now_us(void)
{
	return us_of(CLOCK_MONOTONIC);
}

/* So long nothing was computed, from some time on: a build that is slow does not look as if it lingered. */
static int64_t idle_us(void)
{
	return now_us() - us_of(CLOCK_PROCESS_CPUTIME_ID);
}

/* Of up to 200 that are posted one by one, from this number on; until one was idle for less than 10 ms. */
static int64_t least_idle_of_one(uint64_t seq)
{
	int64_t least = INT64_MAX;

	for (uint64_t i = 0; i < 200 && least >= 10000; i++) {
		int64_t idle = idle_us();

		kit_post(event_op(seq + i));
		kit_wait_all();
		idle = idle_us() - idle;
		least = idle < least ? idle : least;
	}
	return least;
}

START_TEST(an_operation_nobody_waits_for_lingers)
{
	int64_t before = now_us();

	kit_post(event_op(1));
	kit_wait_all();
	ck_assert_int_ge(now_us() - before, 5000);
	ck_assert_uint_eq(stats().waits, 0);
}
END_TEST

/* Many would share the commit that is saved; after a batch of few nobody would. */
START_TEST(it_lingers_longer_where_they_come_densely)
{
	int64_t before;

	for (uint64_t i = 1; i <= 32; i++)
		kit_post(event_op(i));
	kit_wait_all();
	before = now_us();
	kit_post(event_op(33));
	kit_wait_all();
	ck_assert_int_ge(now_us() - before, 10000);
	ck_assert_int_lt(least_idle_of_one(34), 10000);
}
END_TEST

START_TEST(an_urgent_one_does_not)
{
	int64_t least = INT64_MAX;

	for (uint64_t i = 1; i <= 200 && least >= 5000; i++) {
		int64_t idle = idle_us();

		kit_run(event_op(i));
		idle = idle_us() - idle;
		least = idle < least ? idle : least;
	}
	ck_assert_int_lt(least, 5000);
	ck_assert_uint_ge(stats().waits, 1);
}
END_TEST

START_TEST(enough_of_them_do_not_linger_either)
{
	int64_t least = INT64_MAX;

	for (uint64_t i = 0; i < 200 && least >= 5000; i++) {
		int64_t idle = idle_us();

		for (uint64_t k = 1; k <= 256; k++)
			kit_post(event_op(i * 256 + k));
		kit_wait_all();
		idle = idle_us() - idle;
		least = idle < least ? idle : least;
	}
	ck_assert_int_lt(least, 5000);
	ck_assert_uint_eq(stats().waits, 0);
}
END_TEST

/* ---- the end ---------------------------------------------------------------------------------------------------- */

static size_t n_done;

static void count_done(struct store_op *op)
{
	(void)op;
	n_done++;
}

/* The third generation is posted by the second one's done. */
static void post_one_more(struct store_op *op)
{
	struct store_op *more = event_op(op->event.seq + 1);

	n_done++;
	more->done = op->event.seq < 1002 ? post_one_more : count_done;
	store_post(kit_store, more);
}

START_TEST(a_stop_commits_everything_and_calls_every_done)
{
	for (uint64_t i = 1; i <= 1000; i++) {
		struct store_op *op = event_op(i);

		op->done = i == 1000 ? post_one_more : count_done;
		store_post(kit_store, op);
	}
	kit_close();
	ck_assert_uint_eq(n_done, 1003);
	ck_assert_int_eq(kit_sql("SELECT count(*) FROM events"), 1003);
}
END_TEST

START_TEST(a_clean_end_leaves_no_log_behind)
{
	char wal[PATH_MAX + 8];

	kit_run(event_op(1));
	kit_close();
	snprintf(wal, sizeof(wal), "%s-wal", kit_db);
	ck_assert_ptr_null(fopen(wal, "r"));
}
END_TEST

static TCase *all(void)
{
	TCase *tc = tcase_create("thread");

	tcase_add_checked_fixture(tc, kit_setup, kit_teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, operations_are_done_in_the_order_of_posting);
	tcase_add_test(tc, a_query_sees_what_was_posted_before_it_and_not_what_came_later);
	tcase_add_test(tc, what_has_queued_up_shares_one_commit);
	tcase_add_test(tc, an_operation_nobody_waits_for_lingers);
	tcase_add_test(tc, it_lingers_longer_where_they_come_densely);
	tcase_add_test(tc, an_urgent_one_does_not);
	tcase_add_test(tc, enough_of_them_do_not_linger_either);
	tcase_add_test(tc, a_stop_commits_everything_and_calls_every_done);
	tcase_add_test(tc, a_clean_end_leaves_no_log_behind);
	return tc;
}

int main(void)
{
	Suite *suite = suite_create("store_thread");

	suite_add_tcase(suite, all());
	return play_suite(suite);
}
