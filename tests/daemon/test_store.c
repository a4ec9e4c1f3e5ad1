/* SPDX-License-Identifier: MIT */
/* Each operation of the store: what goes in comes back, at once and after a restart. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "store_kit.h"
#include "../play.h"

static const struct store_job_state odd_state = {
	.state = JT_SKIPPED, .reason = WHY_UPSTREAM, .goes_on = 1, .fails_run = 1, .cause = 7, .attempts = 3, .n_failed = 2, .n_lost = 1,
	.runner = 9, .due_at_us = 11, .budget_at_us = 12, .started_at_us = 13, .ended_at_us = 14, .exit_code = 255, .signal = 15,
};

static void assert_state_eq(const struct store_job_state *a, const struct store_job_state *b)
{
	ck_assert_int_eq(a->state, b->state);
	ck_assert_int_eq(a->reason, b->reason);
	ck_assert_int_eq(a->goes_on, b->goes_on);
	ck_assert_int_eq(a->fails_run, b->fails_run);
	ck_assert_uint_eq(a->cause, b->cause);
	ck_assert_uint_eq(a->attempts, b->attempts);
	ck_assert_uint_eq(a->n_failed, b->n_failed);
	ck_assert_uint_eq(a->n_lost, b->n_lost);
	ck_assert_uint_eq(a->runner, b->runner);
	ck_assert_int_eq(a->due_at_us, b->due_at_us);
	ck_assert_int_eq(a->budget_at_us, b->budget_at_us);
	ck_assert_int_eq(a->started_at_us, b->started_at_us);
	ck_assert_int_eq(a->ended_at_us, b->ended_at_us);
	ck_assert_int_eq(a->exit_code, b->exit_code);
	ck_assert_int_eq(a->signal, b->signal);
}

/* ---- runs ------------------------------------------------------------------------------------------------------- */

static struct store_run loaded[16];
static size_t n_loaded;

static void keep_run(void *arg, struct store_run *run)
{
	(void)arg;
	ck_assert_uint_lt(n_loaded, 16);
	loaded[n_loaded++] = *run;
}

/* Leaves the store open, not started. */
static struct store *load_runs(void)
{
	struct store_error err;
	struct store *st;

	kit_close();
	st = store_open(kit_dir, &err);
	ck_assert_msg(st != NULL, "%s", err.text);
	n_loaded = 0;
	ck_assert_int_eq(store_load_runs(st, keep_run, NULL, &err), 0);
	return st;
}

static void free_runs(struct store *st)
{
	for (size_t i = 0; i < n_loaded; i++)
		store_run_done(&loaded[i]);
	store_close(st);
}

static struct store_op *odd_run(void)
{
	struct store_op *op = kit_run_new(3, "nightly", "k1");

	op->run.hash[0] = UINT64_MAX;
	op->run.hash[1] = 2;
	op->run.gid = 4294967294;
	op->run.options = strdup("{\"workers\":4}");
	op->run.stream = 1;
	return op;
}

START_TEST(a_run_comes_back_as_it_was_given)
{
	struct store *st;

	kit_run(odd_run());
	kit_run(kit_run_new(4, NULL, NULL));
	st = load_runs();
	ck_assert_uint_eq(n_loaded, 2);
	ck_assert_uint_eq(loaded[0].run, 3);
	ck_assert_str_eq(loaded[0].name, "nightly");
	ck_assert_str_eq(loaded[0].key, "k1");
	ck_assert(loaded[0].hash[0] == UINT64_MAX && loaded[0].hash[1] == 2);
	ck_assert_uint_eq(loaded[0].uid, 1000);
	ck_assert_uint_eq(loaded[0].gid, 4294967294);
	ck_assert_str_eq(loaded[0].options, "{\"workers\":4}");
	ck_assert_int_eq(loaded[0].state, RUN_RUNNING);
	ck_assert_int_eq(loaded[0].stream, 1);
	ck_assert_int_eq(loaded[0].submitted_at_us, 1700000000000000);
	ck_assert_ptr_null(loaded[1].name);
	ck_assert_ptr_null(loaded[1].key);
	ck_assert_ptr_null(loaded[1].options);
	free_runs(st);
}
END_TEST

static struct store_op *odd_progress(void)
{
	struct store_op *op = kit_run_set(3, RUN_FAILED);

	op->run.stream = op->run.sealed = op->run.paused = op->run.stop_why = 1;
	op->run.stopped = 2;
	op->run.n_jobs = 1000000;
	op->run.submitted_at_us = 1;
	op->run.started_at_us = 2;
	op->run.ended_at_us = 3;
	for (uint32_t i = 0; i < 12; i++)
		op->run.counts[i] = i ? UINT32_MAX - i : 0;
	return op;
}

START_TEST(setting_a_run_changes_its_progress_and_nothing_else)
{
	struct store *st;

	kit_run(odd_run());
	kit_run(odd_progress());
	st = load_runs();
	ck_assert_uint_eq(n_loaded, 1);
	ck_assert_str_eq(loaded[0].name, "nightly");
	ck_assert_str_eq(loaded[0].key, "k1");
	ck_assert_str_eq(loaded[0].options, "{\"workers\":4}");
	ck_assert_int_eq(loaded[0].state, RUN_FAILED);
	ck_assert_int_eq(loaded[0].sealed, 1);
	ck_assert_int_eq(loaded[0].stopped, 2);
	ck_assert_int_eq(loaded[0].stop_why, 1);
	ck_assert_int_eq(loaded[0].paused, 1);
	ck_assert_uint_eq(loaded[0].n_jobs, 1000000);
	ck_assert_int_eq(loaded[0].submitted_at_us, 1);
	ck_assert_int_eq(loaded[0].started_at_us, 2);
	ck_assert_int_eq(loaded[0].ended_at_us, 3);
	for (uint32_t i = 0; i < 12; i++)
		ck_assert_uint_eq(loaded[0].counts[i], i ? UINT32_MAX - i : 0);
	free_runs(st);
}
END_TEST

static struct store_heads heads(void)
{
	struct store_heads ret;
	struct store_error err;
	struct store *st;

	kit_close();
	st = store_open(kit_dir, &err);
	ck_assert_msg(st != NULL, "%s", err.text);
	ck_assert_int_eq(store_load_heads(st, &ret, &err), 0);
	store_close(st);
	kit_open();
	return ret;
}

START_TEST(numbers_are_never_used_again)
{
	struct store_op *op;

	ck_assert_uint_eq(heads().next_run, 1);
	ck_assert_uint_eq(heads().last_seq, 0);
	kit_run(kit_run_new(1, NULL, NULL));
	op = kit_run_new(2, NULL, NULL);
	kit_event(op, 41, 2, JT_NONE, EV_SUBMITTED);
	kit_run(op);
	ck_assert_uint_eq(heads().next_run, 3);
	ck_assert_uint_eq(heads().last_seq, 41);
	kit_run(kit_run_drop(2));
	ck_assert_uint_eq(heads().next_run, 3);
	ck_assert_uint_eq(heads().last_seq, 41);
}
END_TEST

/* ---- jobs ------------------------------------------------------------------------------------------------------- */

START_TEST(a_new_job_waits_as_it_was_submitted)
{
	struct store_op *job;

	kit_run(kit_run_new(1, NULL, NULL));
	kit_run(kit_jobs_new(1, 0, 3));
	job = kit_get_job(JOB_ID(1, 2));
	ck_assert_str_eq(job->text, "{\"argv\":[\"true\"]}");
	ck_assert_uint_eq(job->text_len, strlen(job->text));
	ck_assert_uint_eq(job->rows[0].id, JOB_ID(1, 2));
	ck_assert_int_eq(job->rows[0].job.state, JT_WAITING);
	ck_assert_uint_eq(job->rows[0].job.cause, JT_NONE);
	ck_assert_int_eq(job->rows[0].job.exit_code, -1);
	ck_assert_uint_eq(job->n_attempts, 0);
	store_op_free(job);
}
END_TEST

START_TEST(a_job_that_is_not_there_has_no_row)
{
	struct store_op *job = kit_get_job(JOB_ID(1, 2));

	ck_assert_ptr_null(job->rows);
	ck_assert_ptr_null(job->text);
	ck_assert_str_eq(job->error, "");
	store_op_free(job);
}
END_TEST

START_TEST(every_field_of_a_state_comes_back)
{
	struct store_op *op = store_op_new(ST_JOB_STATE);
	struct store_op *job;

	kit_run(kit_jobs_new(1, 0, 1));
	op->id = JOB_ID(1, 0);
	op->job = odd_state;
	kit_run(op);
	job = kit_get_job(JOB_ID(1, 0));
	assert_state_eq(&job->rows[0].job, &odd_state);
	store_op_free(job);
}
END_TEST

START_TEST(a_start_of_zero_keeps_the_first_one)
{
	struct store_op *op;

	kit_run(kit_jobs_new(1, 0, 1));
	kit_run(kit_end(1, 0, 1));
	op = kit_end(1, 0, 2);
	op->job.started_at_us = 0;
	op->job.ended_at_us = 99;
	kit_run(op);
	op = kit_get_job(JOB_ID(1, 0));
	ck_assert_int_eq(op->rows[0].job.started_at_us, 5);
	ck_assert_int_eq(op->rows[0].job.ended_at_us, 99);
	store_op_free(op);
}
END_TEST

START_TEST(arming_records_the_intent_and_gives_the_specification)
{
	struct store_op *op;

	kit_run(kit_jobs_new(1, 0, 2));
	op = kit_do(kit_arm(1, 1, 4));
	ck_assert_str_eq(op->text, "{\"argv\":[\"true\"]}");
	store_op_free(op);
	op = kit_get_job(JOB_ID(1, 1));
	ck_assert_int_eq(op->rows[0].job.state, JT_STARTING);
	ck_assert_uint_eq(op->rows[0].job.attempts, 4);
	ck_assert_uint_eq(op->rows[0].job.runner, 1);
	store_op_free(op);
}
END_TEST

START_TEST(rows_come_in_the_order_of_the_ids)
{
	struct store_op *op = store_op_new(ST_GET_ROWS);

	kit_run(kit_jobs_new(1, 0, 3));
	kit_run(kit_end(1, 1, 1));
	op->n_ids = 3;
	op->ids = calloc(3, sizeof(*op->ids));
	op->ids[0] = JOB_ID(1, 2);
	op->ids[1] = JOB_ID(1, 1);
	op->ids[2] = JOB_ID(1, 0);
	op = kit_do(op);
	ck_assert_uint_eq(op->rows[0].id, JOB_ID(1, 2));
	ck_assert_int_eq(op->rows[0].job.state, JT_WAITING);
	ck_assert_uint_eq(op->rows[1].id, JOB_ID(1, 1));
	ck_assert_int_eq(op->rows[1].job.state, JT_SOK);
	ck_assert_int_eq(op->rows[2].job.state, JT_WAITING);
	store_op_free(op);
}
END_TEST

/* ---- attempts --------------------------------------------------------------------------------------------------- */

static struct store_op *end_with_output(uint32_t attempt, const char *out, size_t n)
{
	struct store_op *op = kit_end(1, 0, attempt);

	op->attempt.out = malloc(n);
	memcpy(op->attempt.out, out, n);
	op->attempt.out_bytes = (int64_t)n;
	op->attempt.err_bytes = -1;
	op->attempt.message = strdup("no such file");
	return op;
}

START_TEST(attempts_come_in_order_without_their_outputs)
{
	struct store_op *op;

	kit_run(kit_jobs_new(1, 0, 1));
	kit_run(end_with_output(2, "b", 1));
	kit_run(kit_end(1, 0, 1));
	op = kit_get_job(JOB_ID(1, 0));
	ck_assert_uint_eq(op->n_attempts, 2);
	ck_assert_uint_eq(op->attempts[0].attempt, 1);
	ck_assert_ptr_null(op->attempts[0].message);
	ck_assert_int_eq(op->attempts[0].exit_code, 0);
	ck_assert_int_eq(op->attempts[0].pid, 77);
	ck_assert_int_eq(op->attempts[0].wall_ns, 4000);
	ck_assert_int_eq(op->attempts[0].cpu_us, 2);
	ck_assert_int_eq(op->attempts[0].maxrss_kb, 900);
	ck_assert_uint_eq(op->attempts[1].attempt, 2);
	ck_assert_str_eq(op->attempts[1].message, "no such file");
	ck_assert_int_eq(op->attempts[1].out_bytes, 1);
	ck_assert_int_eq(op->attempts[1].err_bytes, -1);
	ck_assert_ptr_null(op->attempts[1].out);
	store_op_free(op);
}
END_TEST

static struct store_op *get_output(uint32_t attempt)
{
	struct store_op *op = store_op_new(ST_GET_OUTPUT);

	op->id = JOB_ID(1, 0);
	op->attempt.attempt = attempt;
	return kit_do(op);
}

START_TEST(an_output_comes_back_byte_for_byte)
{
	char bytes[9000];
	struct store_op *op;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (char)(i * 7 + i / 256);
	kit_run(kit_jobs_new(1, 0, 1));
	kit_run(end_with_output(1, bytes, sizeof(bytes)));
	op = get_output(1);
	ck_assert_uint_eq(op->n_attempts, 1);
	ck_assert_mem_eq(op->attempts[0].out, bytes, sizeof(bytes));
	ck_assert_ptr_null(op->attempts[0].err);
	store_op_free(op);
	op = get_output(2);
	ck_assert_uint_eq(op->n_attempts, 0);
	store_op_free(op);
}
END_TEST

/* ---- events ----------------------------------------------------------------------------------------------------- */

static struct store_op *get_events(uint64_t since, uint32_t run, size_t limit)
{
	struct store_op *op = store_op_new(ST_GET_EVENTS);

	op->since = since;
	op->run.run = run;
	op->limit = limit;
	return kit_do(op);
}

static void assert_events(uint64_t since, uint32_t run, size_t limit, size_t n, const uint64_t *seqs)
{
	struct store_op *op = get_events(since, run, limit);

	ck_assert_uint_eq(op->n_events, n);
	for (size_t i = 0; i < n; i++)
		ck_assert_uint_eq(op->events[i].seq, seqs[i]);
	store_op_free(op);
}
#define EVENTS(since, run, limit, ...) \
	assert_events(since, run, limit, sizeof((uint64_t[]){ __VA_ARGS__ }) / sizeof(uint64_t), (uint64_t[]){ __VA_ARGS__ })

static void event_alone(uint64_t seq, uint32_t run, uint32_t idx, enum event_kind kind)
{
	struct store_op *op = store_op_new(ST_EVENT);

	kit_event(op, seq, run, idx, kind);
	kit_run(op);
}

static void end_run(uint32_t run, uint64_t seq)
{
	struct store_op *op = kit_run_set(run, RUN_OK);

	kit_event(op, seq, run, JT_NONE, EV_RUN_ENDED);
	kit_run(op);
}

START_TEST(events_of_all_and_of_one_run)
{
	struct store_op *op = kit_run_new(1, NULL, NULL);

	kit_event(op, 1, 1, JT_NONE, EV_SUBMITTED);
	kit_run(op);
	op = kit_run_new(2, NULL, NULL);
	kit_event(op, 2, 2, JT_NONE, EV_SUBMITTED);
	kit_run(op);
	event_alone(3, 1, 0, EV_STARTED);
	event_alone(4, 2, 0, EV_STARTED);
	end_run(1, 5);
	event_alone(6, 2, 0, EV_ENDED);
	EVENTS(0, 0, 100, 1, 2, 3, 4, 5, 6);
	EVENTS(2, 0, 3, 3, 4, 5);
	EVENTS(0, 1, 100, 1, 3, 5);
	EVENTS(3, 1, 100, 5);
	EVENTS(0, 2, 100, 2, 4, 6);
	assert_events(6, 0, 100, 0, NULL);
	assert_events(0, 3, 100, 0, NULL);
}
END_TEST

START_TEST(a_run_that_goes_on_after_its_end_shows_its_new_events)
{
	struct store_op *op = kit_run_new(1, NULL, NULL);

	kit_event(op, 1, 1, JT_NONE, EV_SUBMITTED);
	kit_run(op);
	end_run(1, 2);
	event_alone(3, 1, JT_NONE, EV_RETRIED);         /* before it is set to running again */
	EVENTS(0, 1, 100, 1, 2, 3);
	kit_run(kit_run_set(1, RUN_RUNNING));
	event_alone(4, 1, 0, EV_STARTED);
	end_run(1, 5);
	EVENTS(0, 1, 100, 1, 2, 3, 4, 5);
}
END_TEST

START_TEST(an_event_keeps_what_it_says)
{
	struct store_op *op = store_op_new(ST_EVENT);
	const struct store_event ev = {
		.seq = 1, .at_us = 2, .run = 3, .idx = 4, .kind = EV_ENDED, .state = JT_FAILED, .reason = WHY_SIGNAL, .attempt = 5,
		.exit_code = -1, .signal = 9,
	};

	op->event = ev;
	kit_run(op);
	op = get_events(0, 0, 1);
	ck_assert_int_eq(op->events[0].at_us, 2);
	ck_assert_uint_eq(op->events[0].run, 3);
	ck_assert_uint_eq(op->events[0].idx, 4);
	ck_assert_int_eq(op->events[0].kind, EV_ENDED);
	ck_assert_int_eq(op->events[0].state, JT_FAILED);
	ck_assert_int_eq(op->events[0].reason, WHY_SIGNAL);
	ck_assert_uint_eq(op->events[0].attempt, 5);
	ck_assert_int_eq(op->events[0].exit_code, -1);
	ck_assert_int_eq(op->events[0].signal, 9);
	store_op_free(op);
}
END_TEST

/* ---- the rest --------------------------------------------------------------------------------------------------- */

static uint64_t runner_new(uint8_t id)
{
	struct store_op *op = store_op_new(ST_RUNNER_NEW);
	uint64_t n;

	memset(op->runner_id, id, sizeof(op->runner_id));
	op = kit_do(op);
	n = op->n;
	store_op_free(op);
	return n;
}

START_TEST(a_runner_is_known_again)
{
	uint64_t a = runner_new(1);
	uint64_t b = runner_new(2);

	ck_assert_uint_eq(a, 1);
	ck_assert_uint_eq(b, 2);
	kit_reopen();
	ck_assert_uint_eq(runner_new(1), a);
	ck_assert_uint_eq(runner_new(3), 3);
}
END_TEST

static void keep_setting(void *arg, const char *name, const char *value)
{
	char (*text)[64] = arg;

	snprintf(*text + strlen(*text), sizeof(*text) - strlen(*text), "%s=%s;", name, value ? value : "NULL");
}

static void set(const char *name, const char *value)
{
	struct store_op *op = store_op_new(ST_SETTING);

	op->path = strdup(name);
	op->text = value ? strdup(value) : NULL;
	kit_run(op);
}

START_TEST(the_last_value_of_a_setting_stays)
{
	char text[64] = "";
	struct store_error err;
	struct store *st;

	set("b", "1");
	set("a", "2");
	set("b", "3");
	set("c", NULL);
	kit_close();
	st = store_open(kit_dir, &err);
	ck_assert_int_eq(store_load_settings(st, keep_setting, &text, &err), 0);
	ck_assert_str_eq(text, "a=2;b=3;c=NULL;");
	store_close(st);
}
END_TEST

START_TEST(the_files_are_for_the_owner_only)
{
	static const char *const names[] = { "jobd.db", "jobd.db-wal" };

	kit_run(kit_run_new(1, NULL, NULL));
	for (size_t i = 0; i < 2; i++) {
		char path[PATH_MAX + 16];
		struct stat sb;

		snprintf(path, sizeof(path), "%s/%s", kit_dir, names[i]);
		ck_assert_int_eq(stat(path, &sb), 0);
		ck_assert_uint_eq(sb.st_mode & 07777, 0600);
	}
}
END_TEST

START_TEST(the_view_for_checkers_names_jobs_by_the_clients_keys)
{
	static const char labelled[] = "{\"argv\":[\"true\"],\"labels\":{\"key\":\"mine\"}}";
	struct store_op *op;

	kit_run(kit_run_new(1, NULL, NULL));
	op = kit_jobs_new(1, 0, 2);
	op->jobs[1].spec = labelled;
	op->jobs[1].spec_len = sizeof(labelled) - 1;
	kit_run(op);
	op = kit_run_new(2, NULL, "single");
	op->run.n_jobs = 1;
	kit_run(op);
	kit_run(kit_jobs_new(2, 0, 1));
	kit_run(kit_end(2, 0, 1));
	op = kit_run_new(3, NULL, NULL);
	op->run.state = RUN_BULK;
	kit_run(op);
	kit_run(kit_jobs_new(3, 0, 1));
	kit_close();
	ck_assert_int_eq(kit_sql("SELECT count(*) FROM check_view"), 3);
	ck_assert_int_eq(kit_sql("SELECT key = '1/p0' AND state = 'waiting' AND exit_code IS NULL AND attempts = 0"
				 " FROM check_view WHERE id = 1 << 32"), 1);
	ck_assert_int_eq(kit_sql("SELECT key = 'mine' FROM check_view WHERE id = (1 << 32) + 1"), 1);
	ck_assert_int_eq(kit_sql("SELECT key = 'single' AND state = 'ok' AND exit_code = 0 AND attempts = 1"
				 " FROM check_view WHERE id = 2 << 32"), 1);
}
END_TEST

START_TEST(a_backup_is_a_whole_database)
{
	struct store_op *op = store_op_new(ST_BACKUP);
	char path[PATH_MAX + 16];
	struct stat sb;

	kit_run(kit_run_new(1, NULL, NULL));
	kit_post(kit_jobs_new(1, 0, 1000));
	snprintf(path, sizeof(path), "%s/copy", kit_dir);
	op->path = strdup(path);
	op = kit_do(op);
	ck_assert_str_eq(op->error, "");
	store_op_free(op);
	ck_assert_int_eq(stat(path, &sb), 0);
	ck_assert_uint_eq(sb.st_mode & 07777, 0600);
	kit_close();
	ck_assert_int_eq(rename(path, kit_db), 0);
	ck_assert_int_eq(kit_sql("SELECT count(*) FROM jobs"), 1000);
	kit_open();
	kit_run(kit_jobs_new(1, 1000, 1));
}
END_TEST

START_TEST(a_backup_to_nowhere_says_so)
{
	struct store_op *op = store_op_new(ST_BACKUP);

	op->path = strdup("/nonexistent/folder/copy");
	op = kit_do(op);
	ck_assert_str_eq(op->error, "backup to /nonexistent/folder/copy: can not create it: No such file or directory");
	store_op_free(op);
}
END_TEST

static TCase *tcase(const char *name)
{
	TCase *tc = tcase_create(name);

	tcase_add_checked_fixture(tc, kit_setup, kit_teardown);
	return tc;
}

static TCase *runs(void)
{
	TCase *tc = tcase("runs");

	tcase_add_test(tc, a_run_comes_back_as_it_was_given);
	tcase_add_test(tc, setting_a_run_changes_its_progress_and_nothing_else);
	tcase_add_test(tc, numbers_are_never_used_again);
	return tc;
}

static TCase *jobs(void)
{
	TCase *tc = tcase("jobs");

	tcase_add_test(tc, a_new_job_waits_as_it_was_submitted);
	tcase_add_test(tc, a_job_that_is_not_there_has_no_row);
	tcase_add_test(tc, every_field_of_a_state_comes_back);
	tcase_add_test(tc, a_start_of_zero_keeps_the_first_one);
	tcase_add_test(tc, arming_records_the_intent_and_gives_the_specification);
	tcase_add_test(tc, rows_come_in_the_order_of_the_ids);
	tcase_add_test(tc, attempts_come_in_order_without_their_outputs);
	tcase_add_test(tc, an_output_comes_back_byte_for_byte);
	return tc;
}

static TCase *others(void)
{
	TCase *tc = tcase("others");

	tcase_add_test(tc, events_of_all_and_of_one_run);
	tcase_add_test(tc, a_run_that_goes_on_after_its_end_shows_its_new_events);
	tcase_add_test(tc, an_event_keeps_what_it_says);
	tcase_add_test(tc, a_runner_is_known_again);
	tcase_add_test(tc, the_last_value_of_a_setting_stays);
	tcase_add_test(tc, the_files_are_for_the_owner_only);
	tcase_add_test(tc, the_view_for_checkers_names_jobs_by_the_clients_keys);
	tcase_add_test(tc, a_backup_is_a_whole_database);
	tcase_add_test(tc, a_backup_to_nowhere_says_so);
	return tc;
}

int main(void)
{
	Suite *suite = suite_create("store");

	suite_add_tcase(suite, runs());
	suite_add_tcase(suite, jobs());
	suite_add_tcase(suite, others());
	return play_suite(suite);
}
