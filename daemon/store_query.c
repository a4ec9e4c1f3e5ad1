/* SPDX-License-Identifier: MIT */
/* The operations that read. A query run twice (after a rollback) is answered anew. */
#include <stdlib.h>
#include <string.h>

#include "jobtree.h"
#include "store_priv.h"

static void *allocate(size_t n, size_t size)
{
	void *p = calloc(n ? n : 1, size);

	if (!p)
		abort();
	return p;
}

void *store_grow(void *array, size_t n, size_t size)
{
	if (n && (n & (n - 1)))
		return array;
	array = reallocarray(array, n ? n * 2 : 1, size);
	if (!array)
		abort();
	return array;
}

void get_state(struct stmt *s, struct store_job_state *ret)
{
	ret->state = (uint8_t)get_int(s);
	ret->reason = (uint8_t)get_int(s);
	ret->goes_on = (uint8_t)get_int(s);
	ret->fails_run = (uint8_t)get_int(s);
	ret->cause = (uint32_t)get_int_or(s, JT_NONE);
	ret->attempts = (uint32_t)get_int(s);
	ret->n_failed = (uint32_t)get_int(s);
	ret->n_lost = (uint32_t)get_int(s);
	ret->runner = (uint32_t)get_int(s);
	ret->due_at_us = get_int(s);
	ret->budget_at_us = get_int(s);
	ret->started_at_us = get_int(s);
	ret->ended_at_us = get_int(s);
	ret->exit_code = (int32_t)get_int_or(s, -1);
	ret->signal = (int32_t)get_int_or(s, 0);
}

/* No row: it is waiting, as it was submitted. */
static int state_of(struct store *st, uint64_t id, struct store_row *ret)
{
	struct stmt s = stmt_of(st, SQL_STATE);

	*ret = (struct store_row){ .id = id, .job = { .state = JT_WAITING, .cause = JT_NONE, .exit_code = -1 } };
	put_int(&s, (int64_t)id);
	if (stmt_row(&s) == SQLITE_ROW) {
		get_int(&s);
		get_state(&s, &ret->job);
	}
	return stmt_end(&s);
}

static int get_rows(struct store *st, struct store_op *op)
{
	free(op->rows);
	op->rows = allocate(op->n_ids, sizeof(*op->rows));
	for (size_t i = 0; i < op->n_ids; i++) {
		int rc = state_of(st, op->ids[i], &op->rows[i]);

		if (rc)
			return rc;
	}
	return SQLITE_OK;
}

/* op->text: the specification, or NULL if there is no such job. */
static int spec_of(struct store *st, struct store_op *op)
{
	struct stmt s = stmt_of(st, SQL_SPEC);

	free(op->text);
	op->text = NULL;
	op->text_len = 0;
	put_int(&s, (int64_t)op->id);
	if (stmt_row(&s) == SQLITE_ROW) {
		op->text = get_dup(&s);
		op->text_len = (size_t)sqlite3_column_bytes(s.s, 0);
	}
	return stmt_end(&s);
}

static void get_attempt(struct stmt *s, struct store_attempt *ret)
{
	*ret = (struct store_attempt){ .attempt = (uint32_t)get_int(s) };
	ret->reason = (uint8_t)get_int(s);
	ret->exit_code = (int32_t)get_int_or(s, -1);
	ret->signal = (int32_t)get_int_or(s, 0);
	ret->pid = (int32_t)get_int(s);
	ret->started_at_us = get_int(s);
	ret->ended_at_us = get_int(s);
	ret->wall_ns = get_int(s);
	ret->cpu_us = get_int(s);
	ret->maxrss_kb = get_int(s);
	ret->out_bytes = get_int(s);
	ret->err_bytes = get_int(s);
	ret->message = get_dup(s);
	ret->out_gap.at = get_int(s);
	ret->out_gap.end = get_int(s);
	ret->err_gap.at = get_int(s);
	ret->err_gap.end = get_int(s);
}

static void attempts_clear(struct store_op *op)
{
	for (size_t i = 0; i < op->n_attempts; i++) {
		free(op->attempts[i].out);
		free(op->attempts[i].err);
		free(op->attempts[i].message);
	}
	free(op->attempts);
	op->attempts = NULL;
	op->n_attempts = 0;
}

static int attempts_of(struct store *st, struct store_op *op)
{
	struct stmt s = stmt_of(st, SQL_ATTEMPTS);

	attempts_clear(op);
	put_int(&s, (int64_t)op->id);
	while (stmt_row(&s) == SQLITE_ROW) {
		op->attempts = store_grow(op->attempts, op->n_attempts, sizeof(*op->attempts));
		get_attempt(&s, &op->attempts[op->n_attempts++]);
	}
	return stmt_end(&s);
}

static int get_job(struct store *st, struct store_op *op)
{
	int rc = spec_of(st, op);

	free(op->rows);
	op->rows = NULL;
	if (rc || !op->text)
		return rc;
	op->rows = allocate(1, sizeof(*op->rows));
	rc = state_of(st, op->id, op->rows);
	return rc ? rc : attempts_of(st, op);
}

static int get_output(struct store *st, struct store_op *op)
{
	struct stmt s = stmt_of(st, SQL_OUTPUT);

	attempts_clear(op);
	put_int(&s, (int64_t)op->id);
	put_int(&s, op->attempt.attempt);
	if (stmt_row(&s) == SQLITE_ROW) {
		op->attempts = allocate(1, sizeof(*op->attempts));
		op->n_attempts = 1;
		get_attempt(&s, op->attempts);
		op->attempts->out = get_dup(&s);
		op->attempts->err = get_dup(&s);
	}
	return stmt_end(&s);
}

static void get_event(struct stmt *s, struct store_event *ret)
{
	ret->seq = (uint64_t)get_int(s);
	ret->at_us = get_int(s);
	ret->run = (uint32_t)get_int(s);
	ret->idx = (uint32_t)get_int_or(s, JT_NONE);
	ret->kind = (uint8_t)get_int(s);
	ret->state = (uint8_t)get_int(s);
	ret->reason = (uint8_t)get_int(s);
	ret->attempt = (uint32_t)get_int(s);
	ret->exit_code = (int32_t)get_int_or(s, -1);
	ret->signal = (int32_t)get_int_or(s, 0);
}

static int get_events(struct store *st, struct store_op *op)
{
	struct stmt s = stmt_of(st, op->run.run ? SQL_EVENTS_OF_RUN : SQL_EVENTS);

	free(op->events);
	op->events = NULL;
	op->n_events = 0;
	put_int(&s, (int64_t)op->since);
	put_int(&s, (int64_t)op->limit);
	if (op->run.run)
		put_int(&s, op->run.run);
	while (stmt_row(&s) == SQLITE_ROW) {
		op->events = store_grow(op->events, op->n_events, sizeof(*op->events));
		get_event(&s, &op->events[op->n_events++]);
	}
	return stmt_end(&s);
}

int store_query(struct store *st, struct store_op *op)
{
	switch (op->kind) {
	case ST_ARM:
		return spec_of(st, op);
	case ST_GET_ROWS:
		return get_rows(st, op);
	case ST_GET_JOB:
		return get_job(st, op);
	case ST_GET_OUTPUT:
		return get_output(st, op);
	case ST_GET_EVENTS:
		return get_events(st, op);
	case ST_LOAD_JOBS:
		return store_load(st, op);
	case ST_FIND_ITEMS:
		return store_find_items(st, op);
	case ST_LOAD_ITEMS:
		return store_items_in_hand(st, op);
	default:
		return SQLITE_MISUSE;
	}
}
