/* SPDX-License-Identifier: MIT */
/* The operations that write, each within the transaction of its batch. */
#include "jobtree.h"
#include "store_priv.h"

static void put_progress(struct stmt *s, const struct store_run *run)
{
	put_int(s, run->state);
	put_int(s, run->stream);
	put_int(s, run->sealed);
	put_int(s, run->stopped);
	put_int(s, run->stop_why);
	put_int(s, run->paused);
	put_int(s, run->n_jobs);
	put_int(s, run->submitted_at_us);
	put_int(s, run->started_at_us);
	put_int(s, run->ended_at_us);
	put_blob(s, run->counts, sizeof(run->counts));
}

static int run_new(struct store *st, struct store_op *op)
{
	const struct store_run *run = &op->run;
	struct stmt s = stmt_of(st, SQL_RUN_NEW);

	put_int(&s, run->run);
	put_str(&s, run->name);
	put_str(&s, run->key);
	put_blob(&s, run->hash, sizeof(run->hash));
	put_int(&s, run->uid);
	put_int(&s, run->gid);
	put_str(&s, run->options);
	put_progress(&s, run);
	return stmt_run(&s);
}

static int run_set(struct store *st, struct store_op *op)
{
	const struct store_run *run = &op->run;
	struct stmt s = stmt_of(st, SQL_RUN_SET);

	put_int(&s, run->run);
	put_progress(&s, run);
	put_int(&s, run->state >= RUN_OK);
	put_str(&s, run->key);
	put_blob(&s, run->key ? run->hash : NULL, sizeof(run->hash));
	put_str(&s, run->options);
	return stmt_run(&s);
}

static int run_drop(struct store *st, struct store_op *op)
{
	return store_drop(st, op->run.run);
}

int store_put_job(struct store *st, enum sql q, uint64_t id, const struct store_new_job *job)
{
	struct stmt s = stmt_of(st, q);

	put_int(&s, (int64_t)id);
	put_int(&s, job->priority);
	put_int(&s, job->when);
	put_text(&s, job->path, job->path_len);
	put_blob(&s, job->after, job->after_len);
	put_text(&s, job->spec, job->spec_len);
	return stmt_run(&s);
}

static int jobs_new(struct store *st, struct store_op *op)
{
	for (size_t i = 0; i < op->n_jobs; i++) {
		int rc = store_put_job(st, SQL_JOB_NEW, op->id + i, &op->jobs[i]);

		if (rc)
			return rc;
	}
	return SQLITE_OK;
}

static int sealed_dir(struct store *st, struct store_op *op)
{
	struct stmt s = stmt_of(st, SQL_SEALED_DIR);

	put_int(&s, op->run.run);
	put_str(&s, op->path);
	return stmt_run(&s);
}

static int put_state(struct store *st, uint64_t id, const struct store_job_state *job)
{
	struct stmt s = stmt_of(st, SQL_JOB_STATE);

	put_int(&s, (int64_t)id);
	put_int(&s, job->state);
	put_int(&s, job->reason);
	put_int(&s, job->goes_on);
	put_int(&s, job->fails_run);
	put_int_or_null(&s, job->cause, JT_NONE);
	put_int(&s, job->attempts);
	put_int(&s, job->n_failed);
	put_int(&s, job->n_lost);
	put_int(&s, job->runner);
	put_int(&s, job->due_at_us);
	put_int(&s, job->budget_at_us);
	put_int(&s, job->started_at_us);
	put_int(&s, job->ended_at_us);
	put_int_or_null(&s, job->exit_code, -1);
	put_int_or_null(&s, job->signal, 0);
	return stmt_run(&s);
}

static int job_state(struct store *st, struct store_op *op)
{
	return put_state(st, op->id, &op->job);
}

static int arm(struct store *st, struct store_op *op)
{
	int rc = job_state(st, op);

	return rc ? rc : store_query(st, op);
}

static int attempt(struct store *st, struct store_op *op)
{
	const struct store_attempt *a = &op->attempt;
	struct stmt s = stmt_of(st, SQL_ATTEMPT);

	put_int(&s, (int64_t)op->id);
	put_int(&s, a->attempt);
	put_int(&s, a->reason);
	put_int_or_null(&s, a->exit_code, -1);
	put_int_or_null(&s, a->signal, 0);
	put_int(&s, a->pid);
	put_int(&s, a->started_at_us);
	put_int(&s, a->ended_at_us);
	put_int(&s, a->wall_ns);
	put_int(&s, a->cpu_us);
	put_int(&s, a->maxrss_kb);
	put_int(&s, a->out_bytes);
	put_int(&s, a->err_bytes);
	put_str(&s, a->message);
	put_int(&s, a->out_gap.at);
	put_int(&s, a->out_gap.end);
	put_int(&s, a->err_gap.at);
	put_int(&s, a->err_gap.end);
	put_blob(&s, a->out, a->out ? (size_t)gap_kept(&a->out_gap, a->out_bytes) : 0);
	put_blob(&s, a->err, a->err ? (size_t)gap_kept(&a->err_gap, a->err_bytes) : 0);
	return stmt_run(&s);
}

static int job_end(struct store *st, struct store_op *op)
{
	int rc = job_state(st, op);

	return rc || !op->attempt.attempt ? rc : attempt(st, op);
}

static int runner_find(struct store *st, struct store_op *op)
{
	struct stmt s = stmt_of(st, SQL_RUNNER_FIND);

	op->n = 0;
	put_blob(&s, op->runner_id, sizeof(op->runner_id));
	if (stmt_row(&s) == SQLITE_ROW)
		op->n = (uint64_t)get_int(&s);
	return stmt_end(&s);
}

static int runner_new(struct store *st, struct store_op *op)
{
	struct stmt s = stmt_of(st, SQL_RUNNER_NEW);
	int rc = runner_find(st, op);

	if (rc || op->n)
		return rc;
	put_blob(&s, op->runner_id, sizeof(op->runner_id));
	put_blob(&s, op->boot_id, sizeof(op->boot_id));
	rc = stmt_run(&s);
	op->n = (uint64_t)sqlite3_last_insert_rowid(st->db);
	return rc;
}

static int setting(struct store *st, struct store_op *op)
{
	struct stmt s = stmt_of(st, SQL_SETTING);

	put_str(&s, op->path);
	put_str(&s, op->text);
	return stmt_run(&s);
}

static int nothing(struct store *st, struct store_op *op)
{
	(void)st;
	(void)op;
	return SQLITE_OK;
}

/* Behind the operation: run_new takes the events there are as those before the run. */
static int event(struct store *st, const struct store_event *ev)
{
	struct stmt s = stmt_of(st, SQL_EVENT);
	struct stmt last = stmt_of(st, SQL_RUN_LAST_SEQ);
	int rc;

	put_int(&s, (int64_t)ev->seq);
	put_int(&s, ev->at_us);
	put_int(&s, ev->run);
	put_int_or_null(&s, ev->idx, JT_NONE);
	put_int(&s, ev->kind);
	put_int(&s, ev->state);
	put_int(&s, ev->reason);
	put_int(&s, ev->attempt);
	put_int_or_null(&s, ev->exit_code, -1);
	put_int_or_null(&s, ev->signal, 0);
	rc = stmt_run(&s);
	if (rc || ev->idx != JT_NONE)
		return rc;
	put_int(&last, ev->run);
	put_int(&last, (int64_t)ev->seq);
	return stmt_run(&last);
}

/* Each job has an event of its own: the operation's with the job's state, numbered on from the operation's. */
struct store_event store_event_of_row(const struct store_op *op, size_t i)
{
	const struct store_row *row = &op->rows[i];
	struct store_event ev = op->event;

	ev.seq += i;
	ev.idx = JOB_IDX(row->id);
	ev.kind = row->job.state == JT_CANCELLED ? EV_CANCELLED : EV_SKIPPED;
	ev.state = row->job.state;
	ev.reason = row->job.reason;
	return ev;
}

static int job_states(struct store *st, struct store_op *op)
{
	for (size_t i = 0; i < op->n_ids; i++) {
		struct store_event ev = store_event_of_row(op, i);
		int rc = put_state(st, op->rows[i].id, &op->rows[i].job);

		if (!rc)
			rc = event(st, &ev);
		if (rc)
			return rc;
	}
	return SQLITE_OK;
}

int store_write(struct store *st, struct store_op *op)
{
	static int (*const write[])(struct store *, struct store_op *) = {
		[ST_RUN_NEW] = run_new,
		[ST_RUN_SET] = run_set,
		[ST_RUN_DROP] = run_drop,
		[ST_JOBS_NEW] = jobs_new,
		[ST_SEALED_DIR] = sealed_dir,
		[ST_JOB_STATE] = job_state,
		[ST_JOB_STATES] = job_states,
		[ST_ARM] = arm,
		[ST_END] = job_end,
		[ST_EVENT] = nothing,
		[ST_RUNNER_NEW] = runner_new,
		[ST_SETTING] = setting,
		[ST_ITEM_NEW] = store_item_new,
		[ST_ITEM_TAKEN] = store_item_taken,
		[ST_ITEMS_DELIVERED] = store_items_delivered,
	};
	_Static_assert(sizeof(write) / sizeof(*write) == ST_GET_ROWS, "a kind of write without a row");
	int rc = write[op->kind](st, op);

	return rc || !op->event.seq || op->kind == ST_JOB_STATES ? rc : event(st, &op->event);
}
