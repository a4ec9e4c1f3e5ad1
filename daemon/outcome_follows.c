/* SPDX-License-Identifier: MIT */
/*
 * What follows from an end, or from a request: jobs that will not run any more, and the end of the run.
 */
#include <string.h>

#include "engine.h"
#include "map.h"

#define CHANGES_MAX 512

static void changes_durable(struct store_op *op)
{
	struct engine *e = op->ctx;
	struct run *r = op->arg;

	for (size_t i = 0; i < op->n_ids; i++) {
		struct store_event ev = store_event_of_row(op, i);

		notice_event(e, &ev);
		notice_job_ended(r, JOB_IDX(op->rows[i].id));
	}
}

static enum job_reason reason_of_change(enum jt_reason why)
{
	switch (why) {
	case JT_UPSTREAM: return WHY_UPSTREAM;
	case JT_NOT_NEEDED: return WHY_NOT_NEEDED;
	case JT_STOPPED: return WHY_STOPPED;
	default: return WHY_CANCELLED;
	}
}

static void fill_change(struct run *r, const struct jt_change *c, struct store_row *row)
{
	struct active *a = active_find(r->e, JOB_ID(r->id, c->job));
	struct job_mem *m = run_mem(r, c->job);
	enum jt_reason why;
	struct jt_end end;
	jt_job cause;

	if (a && !a->picked)
		disarm(a);
	jt_job_end(r->sched, c->job, &end, &why, &cause);
	row->id = JOB_ID(r->id, c->job);
	row->job = (struct store_job_state){ .state = c->state, .reason = (uint8_t)reason_of_change((enum jt_reason)c->reason), .cause = c->cause,
					     .goes_on = end.goes_on, .fails_run = end.fails_run, .attempts = m->attempts, .n_failed = m->n_failed,
					     .n_lost = m->n_lost, .ended_at_us = now_us(), .exit_code = -1 };
}

static void post_changes(struct run *r, const struct jt_change *v, size_t n)
{
	struct store_op *op = engine_op(r->e, ST_JOB_STATES, r);

	op->rows = xcalloc(n, sizeof(*op->rows));
	op->n_ids = n;
	for (size_t i = 0; i < n; i++)
		fill_change(r, &v[i], &op->rows[i]);
	engine_event(op, r, JT_NONE, EV_SKIPPED);
	r->e->last_seq += n - 1;
	op->done = changes_durable;
	op->arg = r;
	engine_post(r->e, op);
}

/* A failure may take a million jobs along: they go to the store by the hundred. */
void outcome_changes(struct run *r, struct jt_changes *ch)
{
	for (size_t i = 0; i < ch->n; i += CHANGES_MAX)
		post_changes(r, ch->v + i, ch->n - i < CHANGES_MAX ? ch->n - i : CHANGES_MAX);
	ch->n = 0;
}

static void run_end_durable(struct store_op *op)
{
	struct engine *e = op->ctx;
	struct run *r = op->arg;

	notice_event(e, &op->event);
	output_run_ended(r);
	map_run_ended(r);
	if (run_is_final(r) && r->ended_at_us == op->run.ended_at_us)   /* not retried meanwhile */
		notice_run_ended(r);
}

static enum run_state result_of(struct jt_result res)
{
	if (res.stopped && res.why == JT_STOP_CANCEL)
		return RUN_CANCELLED;
	return res.failed || res.stopped ? RUN_FAILED : RUN_OK;
}

void run_check_end(struct run *r)
{
	struct jt_result res = jt_sched_result(r->sched);

	if (res.done && !r->ended_noted)
		run_end(r, result_of(res));
}

void run_end(struct run *r, enum run_state state)
{
	struct store_op *op;

	r->ended_noted = true;
	r->state = state;
	r->ended_at_us = now_us();
	memcpy(r->counts, jt_sched_counts(r->sched)->n, sizeof(r->counts));
	run_unwant(r);
	quota_release(r);
	if (r->deadline)
		event_del(r->deadline);
	if (r->timer)
		event_del(r->timer);
	op = engine_op(r->e, ST_RUN_SET, r);
	run_record(r, op);
	engine_event(op, r, JT_NONE, EV_RUN_ENDED);
	op->event.state = (uint8_t)r->state;
	op->urgent = true;
	op->done = run_end_durable;
	op->arg = r;
	engine_post(r->e, op);
}
