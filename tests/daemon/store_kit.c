/* SPDX-License-Identifier: MIT */
#include "store_kit.h"

#include <ftw.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

char kit_dir[PATH_MAX];
char kit_db[PATH_MAX];
struct store *kit_store;
struct event_base *kit_base;
static size_t n_out;            /* posted, not done */

void kit_setup_folder(void)
{
	const char *tmp = getenv("TMPDIR");

	ck_assert_int_lt(snprintf(kit_dir, sizeof(kit_dir), "%s/store.XXXXXX", tmp ? tmp : "/tmp"), (int)sizeof(kit_dir));
	ck_assert_ptr_nonnull(mkdtemp(kit_dir));
	ck_assert_int_lt(snprintf(kit_db, sizeof(kit_db), "%.4000s/jobd.db", kit_dir), (int)sizeof(kit_db));
}

void kit_open(void)
{
	struct store_error err;

	kit_base = event_base_new();
	kit_store = store_open(kit_dir, &err);
	ck_assert_msg(kit_store != NULL, "%s", err.text);
	ck_assert_msg(store_start(kit_store, kit_base, &err) == 0, "%s", err.text);
}

void kit_close(void)
{
	store_stop(kit_store);
	kit_store = NULL;
	if (kit_base)
		event_base_free(kit_base);
	kit_base = NULL;
	n_out = 0;
}

void kit_reopen(void)
{
	kit_close();
	kit_open();
}

void kit_setup(void)
{
	kit_setup_folder();
	kit_open();
}

static int remove_one(const char *path, const struct stat *sb, int type, struct FTW *ftw)
{
	(void)sb;
	(void)type;
	(void)ftw;
	return remove(path);
}

void kit_teardown(void)
{
	kit_close();
	nftw(kit_dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void on_posted_done(struct store_op *op)
{
	(void)op;
	n_out--;
}

void kit_post(struct store_op *op)
{
	n_out++;
	op->done = on_posted_done;
	store_post(kit_store, op);
}

void kit_wait_all(void)
{
	while (n_out)
		ck_assert_int_eq(event_base_loop(kit_base, EVLOOP_ONCE), 0);
}

/* Takes all that the operation owns before it is freed. */
static void on_done(struct store_op *op)
{
	struct store_op **kept = op->ctx;

	*kept = store_op_new(ST_EVENT);
	**kept = *op;
	*op = (struct store_op){ .kind = ST_EVENT, .sync_fd = -1 };
}

struct store_op *kit_do(struct store_op *op)
{
	struct store_op *kept = NULL;

	op->urgent = true;
	op->ctx = &kept;
	op->done = on_done;
	store_post(kit_store, op);
	while (!kept)
		ck_assert_int_eq(event_base_loop(kit_base, EVLOOP_ONCE), 0);
	return kept;
}

void kit_run(struct store_op *op)
{
	store_op_free(kit_do(op));
}

struct store_op *kit_run_new(uint32_t run, const char *name, const char *key)
{
	struct store_op *op = store_op_new(ST_RUN_NEW);

	op->run.run = run;
	op->run.name = name ? strdup(name) : NULL;
	op->run.key = key ? strdup(key) : NULL;
	op->run.state = RUN_RUNNING;
	op->run.uid = 1000;
	op->run.submitted_at_us = 1700000000000000;
	return op;
}

struct store_op *kit_run_set(uint32_t run, enum run_state state)
{
	struct store_op *op = store_op_new(ST_RUN_SET);

	op->run.run = run;
	op->run.state = (uint8_t)state;
	return op;
}

struct store_op *kit_run_drop(uint32_t run)
{
	struct store_op *op = store_op_new(ST_RUN_DROP);

	op->run.run = run;
	return op;
}

struct store_op *kit_jobs_new(uint32_t run, uint32_t first, size_t n)
{
	static const char spec[] = "{\"argv\":[\"true\"]}";
	struct store_op *op = store_op_new(ST_JOBS_NEW);

	op->id = JOB_ID(run, first);
	op->n_jobs = n;
	op->jobs = arena_alloc(&op->arena, n * sizeof(*op->jobs));
	for (size_t i = 0; i < n; i++) {
		char path[32];
		int len = snprintf(path, sizeof(path), "p%zu", first + i);

		op->jobs[i] = (struct store_new_job){
			.path = arena_strndup(&op->arena, path, (size_t)len), .path_len = (uint32_t)len,
			.spec = spec, .spec_len = sizeof(spec) - 1,
		};
	}
	return op;
}

struct store_op *kit_arm(uint32_t run, uint32_t idx, uint32_t attempt)
{
	struct store_op *op = store_op_new(ST_ARM);

	op->id = JOB_ID(run, idx);
	op->job = (struct store_job_state){ .state = JT_STARTING, .attempts = attempt, .runner = 1, .cause = JT_NONE, .exit_code = -1 };
	return op;
}

struct store_op *kit_end(uint32_t run, uint32_t idx, uint32_t attempt)
{
	struct store_op *op = store_op_new(ST_END);

	op->id = JOB_ID(run, idx);
	op->job = (struct store_job_state){
		.state = JT_SOK, .goes_on = 1, .attempts = attempt, .runner = 1, .cause = JT_NONE, .reason = WHY_EXIT,
		.started_at_us = 5, .ended_at_us = 9,
	};
	op->attempt = (struct store_attempt){
		.attempt = attempt, .reason = WHY_EXIT, .pid = 77, .started_at_us = 5, .ended_at_us = 9, .wall_ns = 4000,
		.cpu_us = 2, .maxrss_kb = 900,
	};
	return op;
}

struct store_op *kit_get_job(uint64_t id)
{
	struct store_op *op = store_op_new(ST_GET_JOB);

	op->id = id;
	return kit_do(op);
}

void kit_event(struct store_op *op, uint64_t seq, uint32_t run, uint32_t idx, enum event_kind kind)
{
	op->event = (struct store_event){
		.seq = seq, .at_us = 1000 + (int64_t)seq, .run = run, .idx = idx, .kind = (uint8_t)kind, .exit_code = -1,
	};
}

int64_t kit_sql(const char *sql)
{
	sqlite3 *db;
	sqlite3_stmt *stmt;
	int64_t value;

	ck_assert_int_eq(sqlite3_open(kit_db, &db), SQLITE_OK);
	ck_assert_msg(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) == SQLITE_OK, "%s", sqlite3_errmsg(db));
	ck_assert_int_eq(sqlite3_step(stmt), SQLITE_ROW);
	value = sqlite3_column_int64(stmt, 0);
	sqlite3_finalize(stmt);
	sqlite3_close(db);
	return value;
}
