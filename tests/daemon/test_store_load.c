/* SPDX-License-Identifier: MIT */
/* Reading big runs back, forgetting them, and texts of any bytes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/store_priv.h"
#include "store_kit.h"
#include "../play.h"

/* ---- loads ------------------------------------------------------------------------------------------------------ */

#define MANY 20000

static uint32_t next_idx;

static void assert_row(struct store_op *op, const struct store_load_row *row)
{
	char path[32];
	int len = snprintf(path, sizeof(path), "p%u", next_idx);

	ck_assert_ptr_nonnull(op);
	ck_assert_uint_eq(row->idx, next_idx);
	ck_assert_uint_eq(row->path_len, (size_t)len);
	ck_assert_mem_eq(row->path, path, (size_t)len);
	ck_assert_ptr_null(row->after);
	ck_assert_int_eq(row->job.state, next_idx % 3 == 1 ? JT_SOK : JT_WAITING);
	ck_assert_int_eq(row->job.exit_code, next_idx % 3 == 1 ? 0 : -1);
	ck_assert_uint_eq(row->job.cause, JT_NONE);
	next_idx++;
}

static void many_jobs(uint32_t run)
{
	for (uint32_t i = 0; i < MANY; i += 1000)
		kit_post(kit_jobs_new(run, i, 1000));
	for (uint32_t i = 1; i < MANY; i += 3)
		kit_post(kit_end(run, i, 1));
	kit_wait_all();
}

START_TEST(a_big_run_is_loaded_in_order_with_its_states)
{
	struct store_op *op = store_op_new(ST_LOAD_JOBS);

	many_jobs(1);
	many_jobs(2);
	many_jobs(3);
	op->run.run = 2;
	op->row = assert_row;
	kit_run(op);
	ck_assert_uint_eq(next_idx, MANY);
}
END_TEST

static char dirs[64];

static void keep_dir(struct store_op *op, const char *path)
{
	ck_assert_ptr_nonnull(op);
	snprintf(dirs + strlen(dirs), sizeof(dirs) - strlen(dirs), "%s;", path);
}

static void seal(uint32_t run, const char *path)
{
	struct store_op *op = store_op_new(ST_SEALED_DIR);

	op->run.run = run;
	op->path = strdup(path);
	kit_run(op);
}

static void keep_first(struct store_op *op, const struct store_load_row *row)
{
	ck_assert_int_eq(row->priority, INT32_MIN);
	ck_assert_int_eq(row->when, JT_ON_FINISHED);
	ck_assert_uint_eq(row->after_len, 6);
	ck_assert_mem_eq(row->after, "a\0b/c", 6);
	op->n++;
}

START_TEST(what_orders_a_job_is_loaded_too)
{
	struct store_error err;
	struct store_op *op = kit_jobs_new(1, 0, 1);

	op->jobs[0].priority = INT32_MIN;
	op->jobs[0].when = JT_ON_FINISHED;
	op->jobs[0].after = "a\0b/c";
	op->jobs[0].after_len = 6;
	kit_run(op);
	seal(1, "x");
	seal(1, "");
	seal(2, "other");
	seal(1, "x");
	kit_close();
	kit_store = store_open(kit_dir, &err);
	op = store_op_new(ST_LOAD_JOBS);
	op->run.run = 1;
	op->row = keep_first;
	op->dir = keep_dir;
	ck_assert_int_eq(store_load_jobs(kit_store, op, &err), 0);
	ck_assert_uint_eq(op->n, 1);
	ck_assert_str_eq(dirs, ";x;");
	store_op_free(op);
	store_close(kit_store);
	kit_store = NULL;
}
END_TEST

/* ---- forgetting ------------------------------------------------------------------------------------------------- */

/* Deletes what is left, as the thread does between batches. */
static int drop_slices(struct store *st, int most)
{
	int n = 0;

	while (st->drops && n < most) {
		ck_assert_int_eq(store_begin(st), SQLITE_OK);
		ck_assert_int_eq(store_drop_slice(st), SQLITE_OK);
		ck_assert_int_eq(store_commit(st), SQLITE_OK);
		n++;
	}
	return n;
}

static void event_of(uint64_t seq, uint32_t run)
{
	struct store_op *op = store_op_new(ST_EVENT);

	kit_event(op, seq, run, 0, EV_STARTED);
	kit_post(op);
}

static void two_runs(void)
{
	kit_run(kit_run_new(1, NULL, "k"));
	kit_run(kit_run_new(2, NULL, NULL));
	many_jobs(1);
	many_jobs(2);
	for (uint64_t i = 1; i <= 30000; i++)
		event_of(i, (uint32_t)(i % 2) + 1);
	kit_wait_all();
	seal(1, "d");
	seal(2, "d");
}

static int64_t n_rows_of(const char *run)
{
	char sql[256];

	snprintf(sql, sizeof(sql),
		 "SELECT (SELECT count(*) FROM jobs WHERE id >> 32 = %1$s) + (SELECT count(*) FROM states WHERE id >> 32 = %1$s)"
		 " + (SELECT count(*) FROM attempts WHERE id >> 32 = %1$s) + (SELECT count(*) FROM events WHERE run = %1$s)"
		 " + (SELECT count(*) FROM sealed WHERE run = %1$s)", run);
	return kit_sql(sql);
}

START_TEST(a_dropped_run_is_gone_at_once_and_its_rows_later)
{
	struct store_error err;
	int64_t before;

	two_runs();
	kit_close();
	before = n_rows_of("2");
	kit_open();
	kit_run(kit_run_drop(1));
	kit_run(kit_run_new(3, NULL, "k"));     /* its key is free */
	kit_close();
	ck_assert_int_eq(kit_sql("SELECT count(*) FROM check_view WHERE id >> 32 = 1"), 0);
	kit_store = store_open(kit_dir, &err);
	drop_slices(kit_store, INT32_MAX);
	store_close(kit_store);
	kit_store = NULL;
	ck_assert_int_eq(n_rows_of("1"), 0);
	ck_assert_int_eq(n_rows_of("2"), before);
	ck_assert_int_eq(kit_sql("SELECT count(*) FROM dropped"), 0);
}
END_TEST

START_TEST(a_restart_finishes_the_deletion_wherever_it_was)
{
	struct store_error err;
	int n = 0, some;

	two_runs();
	kit_run(kit_run_drop(1));
	kit_close();
	do {
		kit_store = store_open(kit_dir, &err);
		some = drop_slices(kit_store, 2);
		n += some;
		store_close(kit_store);
		kit_store = NULL;
	} while (some == 2);
	ck_assert_int_ge(n, 5);
	ck_assert_int_eq(n_rows_of("1"), 0);
}
END_TEST

START_TEST(unfinished_submissions_are_forgotten)
{
	struct store_error err;
	struct store_op *op;

	for (uint32_t run = 1; run <= 4; run++) {
		op = kit_run_new(run, NULL, NULL);
		op->run.state = run % 2 ? RUN_BULK : RUN_RUNNING;
		kit_run(op);
		kit_run(kit_jobs_new(run, 0, 10));
	}
	kit_close();
	kit_store = store_open(kit_dir, &err);
	ck_assert_int_eq(store_forget_bulks(kit_store, &err), 0);
	drop_slices(kit_store, INT32_MAX);
	store_close(kit_store);
	kit_store = NULL;
	ck_assert_int_eq(kit_sql("SELECT count(*) FROM jobs"), 20);
	ck_assert_int_eq(kit_sql("SELECT sum(run) FROM runs"), 6);
}
END_TEST

/* ---- any bytes -------------------------------------------------------------------------------------------------- */

#define TEXTS 2000
static char text[400];          /* no NUL within: these are C strings */
static size_t text_len;

static void next_text(void)
{
	static const char *const hostile[] = {
		"'); DROP TABLE jobs;--", "\" OR 1=1", "?1", "%s%n", "\xff\xfe\xc0\x80", "\xed\xa0\x80", "\xef\xbf\xbe", " ", "\\", "\x01\x1f\x7f",
	};
	long n = random();

	text_len = 0;
	if (n % 10 == 0) {
		text_len = strlen(hostile[n / 10 % 10]);
		memcpy(text, hostile[n / 10 % 10], text_len);
	}
	for (long i = n % 300; i > 0 && text_len < sizeof(text) - 1; i--)
		text[text_len++] = (char)(1 + random() % 255);
	text[text_len] = 0;
}

static void job_of_bytes(uint32_t idx)
{
	struct store_op *op = kit_jobs_new(1, idx, 1);

	op->jobs[0].path = op->jobs[0].spec = op->jobs[0].after = text;
	op->jobs[0].path_len = op->jobs[0].spec_len = (uint32_t)text_len;
	op->jobs[0].after_len = (uint32_t)text_len + 1;
	kit_run(op);
	op = kit_end(1, idx, 1);
	op->attempt.message = strdup(text);
	op->attempt.out = malloc(text_len + 1);
	memcpy(op->attempt.out, text, text_len + 1);
	op->attempt.out_bytes = (int64_t)text_len + 1;
	kit_run(op);
}

static void assert_spec_and_message(uint32_t idx)
{
	struct store_op *op = kit_get_job(JOB_ID(1, idx));

	ck_assert_uint_eq(op->text_len, text_len);
	ck_assert_mem_eq(op->text, text, text_len + 1);
	ck_assert_str_eq(op->attempts[0].message, text);
	store_op_free(op);
	op = store_op_new(ST_GET_OUTPUT);
	op->id = JOB_ID(1, idx);
	op->attempt.attempt = 1;
	op = kit_do(op);
	ck_assert_mem_eq(op->attempts[0].out, text, text_len + 1);
	store_op_free(op);
}

static void assert_bytes(struct store_op *op, const struct store_load_row *row)
{
	(void)op;
	next_text();
	ck_assert_uint_eq(row->path_len, text_len);
	ck_assert_mem_eq(row->path, text, text_len);
	ck_assert_uint_eq(row->after_len, text_len + 1);
	ck_assert_mem_eq(row->after, text, text_len + 1);
}

START_TEST(any_bytes_of_a_job_come_back)
{
	struct store_op *op;

	srandom(4);
	for (uint32_t i = 0; i < TEXTS; i++) {
		next_text();
		job_of_bytes(i);
		assert_spec_and_message(i);
	}
	srandom(4);
	op = store_op_new(ST_LOAD_JOBS);
	op->run.run = 1;
	op->row = assert_bytes;
	kit_run(op);
}
END_TEST

static void assert_texts(void *arg, struct store_run *run)
{
	(void)arg;
	next_text();
	ck_assert_str_eq(run->name, text);
	ck_assert_str_eq(run->options, text);
	store_run_done(run);
}

START_TEST(any_bytes_of_a_run_come_back)
{
	struct store_error err;

	srandom(5);
	for (uint32_t i = 1; i <= TEXTS; i++) {
		struct store_op *op = store_op_new(ST_RUN_NEW);

		next_text();
		op->run = (struct store_run){
			.run = i, .name = strdup(text), .options = strdup(text),
			.key = text_len > 200 ? strdup(text) : NULL,
		};
		kit_post(op);
	}
	kit_wait_all();
	kit_close();
	srandom(5);
	kit_store = store_open(kit_dir, &err);
	ck_assert_int_eq(store_load_runs(kit_store, assert_texts, NULL, &err), 0);
	store_close(kit_store);
	kit_store = NULL;
}
END_TEST

static TCase *all(void)
{
	TCase *tc = tcase_create("load");

	tcase_add_checked_fixture(tc, kit_setup, kit_teardown);
	tcase_set_timeout(tc, 90);
	tcase_add_test(tc, a_big_run_is_loaded_in_order_with_its_states);
	tcase_add_test(tc, what_orders_a_job_is_loaded_too);
	tcase_add_test(tc, a_dropped_run_is_gone_at_once_and_its_rows_later);
	tcase_add_test(tc, a_restart_finishes_the_deletion_wherever_it_was);
	tcase_add_test(tc, unfinished_submissions_are_forgotten);
	tcase_add_test(tc, any_bytes_of_a_job_come_back);
	tcase_add_test(tc, any_bytes_of_a_run_come_back);
	return tc;
}

int main(void)
{
	Suite *suite = suite_create("store_load");

	suite_add_tcase(suite, all());
	return play_suite(suite);
}
