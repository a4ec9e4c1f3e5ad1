/* SPDX-License-Identifier: MIT */
/* Reading back at the start, and the jobs of one run whenever its tree is needed again. */
#include <stdio.h>

#include "jobtree.h"
#include "store_priv.h"

static int fail(struct store *st, const char *what, struct store_error *err)
{
	snprintf(err->text, sizeof(err->text), "%s: can not read %s: %s", st->path, what, sqlite3_errmsg(st->db));
	return -1;
}

int store_load_heads(struct store *st, struct store_heads *ret, struct store_error *err)
{
	struct stmt s = stmt_of(st, SQL_HEADS);
	struct store_heads heads = { 0 };

	if (stmt_row(&s) == SQLITE_ROW) {
		heads.next_run = (uint32_t)get_int(&s);
		heads.last_seq = (uint64_t)get_int(&s);
	}
	if (stmt_end(&s))
		return fail(st, "the numbers used", err);
	*ret = heads;
	return 0;
}

static void get_run(struct stmt *s, struct store_run *ret)
{
	*ret = (struct store_run){ .run = (uint32_t)get_int(s) };
	ret->name = get_dup(s);
	ret->key = get_dup(s);
	get_blob(s, ret->hash, sizeof(ret->hash));
	ret->uid = (uid_t)get_int(s);
	ret->gid = (gid_t)get_int(s);
	ret->options = get_dup(s);
	ret->state = (uint8_t)get_int(s);
	ret->stream = (uint8_t)get_int(s);
	ret->sealed = (uint8_t)get_int(s);
	ret->stopped = (uint8_t)get_int(s);
	ret->stop_why = (uint8_t)get_int(s);
	ret->paused = (uint8_t)get_int(s);
	ret->n_jobs = (uint32_t)get_int(s);
	ret->submitted_at_us = get_int(s);
	ret->started_at_us = get_int(s);
	ret->ended_at_us = get_int(s);
	get_blob(s, ret->counts, sizeof(ret->counts));
}

int store_load_runs(struct store *st, void (*fn)(void *arg, struct store_run *run), void *arg, struct store_error *err)
{
	struct stmt s = stmt_of(st, SQL_LOAD_RUNS);

	while (stmt_row(&s) == SQLITE_ROW) {
		struct store_run run;

		get_run(&s, &run);
		fn(arg, &run);
	}
	return stmt_end(&s) ? fail(st, "the runs", err) : 0;
}

int store_load_settings(struct store *st, void (*fn)(void *arg, const char *name, const char *value), void *arg,
			struct store_error *err)
{
	struct stmt s = stmt_of(st, SQL_LOAD_SETTINGS);

	while (stmt_row(&s) == SQLITE_ROW) {
		size_t len;
		const char *name = get_text(&s, &len);
		const char *value = get_text(&s, &len);

		fn(arg, name, value);
	}
	return stmt_end(&s) ? fail(st, "the settings", err) : 0;
}

/* The next row of states, which walks along with the jobs. */
struct states {
	struct stmt s;
	uint64_t id;                    /* UINT64_MAX: no more */
	struct store_job_state job;
};

static void states_next(struct states *states)
{
	if (stmt_row(&states->s) != SQLITE_ROW) {
		states->id = UINT64_MAX;
		return;
	}
	states->id = (uint64_t)get_int(&states->s);
	get_state(&states->s, &states->job);
}

static const struct store_job_state as_submitted = { .state = JT_WAITING, .cause = JT_NONE, .exit_code = -1 };

static void load_row(struct store_op *op, struct stmt *s, struct states *states)
{
	struct store_load_row row = { 0 };
	uint64_t id = (uint64_t)get_int(s);

	row.idx = JOB_IDX(id);
	row.priority = (int32_t)get_int(s);
	row.when = (uint8_t)get_int(s);
	row.path = get_text(s, &row.path_len);
	row.after = get_text(s, &row.after_len);
	row.spec_len = (size_t)get_int(s);
	while (states->id < id)
		states_next(states);
	row.job = states->id == id ? states->job : as_submitted;
	op->row(op, &row);
}

static int load_jobs(struct store *st, struct store_op *op)
{
	struct stmt s = stmt_of(st, SQL_LOAD_JOBS);
	struct states states = { .s = stmt_of(st, SQL_LOAD_STATES) };
	int rc, rc_states;

	put_int(&s, (int64_t)JOB_ID(op->run.run, 0));
	put_int(&s, (int64_t)JOB_ID(op->run.run + 1, 0));
	put_int(&states.s, (int64_t)JOB_ID(op->run.run, 0));
	put_int(&states.s, (int64_t)JOB_ID(op->run.run + 1, 0));
	states_next(&states);
	while (stmt_row(&s) == SQLITE_ROW)
		load_row(op, &s, &states);
	rc = stmt_end(&s);
	rc_states = stmt_end(&states.s);
	return rc ? rc : rc_states;
}

static int load_sealed(struct store *st, struct store_op *op)
{
	struct stmt s = stmt_of(st, SQL_LOAD_SEALED);

	put_int(&s, op->run.run);
	while (stmt_row(&s) == SQLITE_ROW) {
		size_t len;

		op->dir(op, get_text(&s, &len));
	}
	return stmt_end(&s);
}

int store_load(struct store *st, struct store_op *op)
{
	int rc = op->row ? load_jobs(st, op) : SQLITE_OK;

	return rc || !op->dir ? rc : load_sealed(st, op);
}

int store_load_jobs(struct store *st, struct store_op *op, struct store_error *err)
{
	return store_load(st, op) ? fail(st, "the jobs of a run", err) : 0;
}

/* 0: there is none */
static int next_bulk(struct store *st, uint32_t *ret)
{
	struct stmt s = stmt_of(st, SQL_NEXT_BULK);

	*ret = 0;
	put_int(&s, RUN_BULK);
	if (stmt_row(&s) == SQLITE_ROW)
		*ret = (uint32_t)get_int(&s);
	return stmt_end(&s);
}

static int drop_bulks(struct store *st)
{
	uint32_t run;
	int rc;

	while ((rc = next_bulk(st, &run)) == SQLITE_OK && run) {
		rc = store_drop(st, run);
		if (rc)
			return rc;
	}
	return rc;
}

int store_forget_bulks(struct store *st, struct store_error *err)
{
	int rc = store_begin(st);

	if (!rc)
		rc = drop_bulks(st);
	if (!rc)
		rc = store_commit(st);
	if (!rc)
		return 0;
	snprintf(err->text, sizeof(err->text), "%s: can not delete unfinished submissions: %s", st->path, sqlite3_errmsg(st->db));
	store_rollback(st);
	return -1;
}
