/* SPDX-License-Identifier: MIT */
/*
 * Outcome - what the end of an attempt means: ok, a retry, a failure, or that it was lost. What it takes along: outcome_follows.c.
 *
 * The scheduler is stepped at once, in memory; the records are posted; acknowledgements to the runner, events and answers leave
 * from the `done` of the record. Ends that came together are handled in path order, and nothing starts in between.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine.h"
#include "failpoint.h"
#include "log.h"
#include "map.h"
#include "rpc.h"
#include "verdict.h"

void fill_state(struct active *a, struct store_job_state *st, enum jt_state state)
{
	const struct job_mem *m = run_mem(a->run, a->idx);

	*st = (struct store_job_state){ .state = (uint8_t)state, .cause = JT_NONE, .attempts = m->attempts, .n_failed = m->n_failed,
					.n_lost = m->n_lost, .runner = a->runner, .reason = a->end_reason,
					.exit_code = -1, .budget_at_us = m->budget_ms ? a->run->submitted_at_us + m->budget_ms * INT64_C(1000) : 0 };
}

bool active_parse(struct active *a, const char *text, size_t len)
{
	struct spec_error err = { .text = "no specification" };
	struct spec_job *spec = arena_alloc(&a->arena, sizeof(*spec));

	if (!text || (a->run->is_map ? spec_item_parse : spec_job_parse)(text, len, a->run->spec, &a->arena, spec, &err) < 0) {
		log_error("job %u/%s: stored specification is unreadable: %s", a->run->id,
			  jt_job_path(a->run->sched, a->idx, NULL), err.text);
		a->unreadable = true;
		return false;
	}
	a->spec = spec;
	return true;
}

/* ---- an attempt that was seen to end -------------------------------------------------------------------------------- */

static void fill_attempt(struct active *a, const struct rm_end *end, struct store_attempt *at)
{
	*at = (struct store_attempt){
		.attempt = a->attempt, .reason = a->end_reason ? a->end_reason : (uint8_t)verdict_reason(end),
		.exit_code = end->how == RM_EXIT ? end->code : -1, .signal = end->how == RM_SIGNAL ? end->code : 0,
		.pid = end->pid, .started_at_us = end->started_at_us, .ended_at_us = end->ended_at_us, .wall_ns = end->wall_ns,
		.cpu_us = end->cpu_us, .maxrss_kb = end->maxrss_kb,
	};
	if (end->how == RM_SPAWN)
		at->message = verdict_message(a, end);
	output_collect(a, at);
	if (end->how == RM_EXIT && end->code && a->spec && a->spec->kind == SPEC_FETCH)
		at->message = progress_last_words(a, end->code);
}

/* What an attempt wrote that is followed by another one is nobody's. */
static void attempt_at_item_ended(struct run *r, struct store_op *op)
{
	if (jt_state_is_final((enum jt_state)op->job.state))
		map_item_ended(r, op);
	else
		output_remove(r, op->id, op->attempt.attempt);
}

/* handover.pml: commit_end is done; send_ack. */
static void end_durable(struct store_op *op)
{
	struct engine *e = op->ctx;
	struct active *a = op->arg;
	struct run *r = a->run;
	jt_job j = a->idx;

	output_settled(a, &op->attempt);
	FAILPOINT("before_acknowledge_runner");
	if (op->attempt.pid != -1)
		runner_link_ack(e->link, op->id, a->attempt);
	FAILPOINT("after_acknowledge_runner");
	active_free(a);
	r->n_ending--;
	notice_event(e, &op->event);
	logs_attempt_changed(e, op->id);
	if (r->map)
		attempt_at_item_ended(r, op);
	if (jt_state_is_final((enum jt_state)op->job.state))
		notice_job_ended(r, j);
	engine_turn(e);
}

/* Posts the record of an end; the active lives on, as A_ENDING, until it is durable. */
static void post_end(struct active *a, const struct jt_end *end, enum job_reason why, const struct store_attempt *at, enum event_kind kind,
		     int64_t due_ns)
{
	struct run *r = a->run;
	struct store_op *op = engine_op(r->e, ST_END, r);

	op->id = JOB_ID(r->id, a->idx);
	op->attempt = *at;
	fill_state(a, &op->job, end->state);
	op->job.reason = (uint8_t)why;
	op->job.goes_on = end->goes_on;
	op->job.fails_run = end->fails_run;
	op->job.started_at_us = at->started_at_us;
	op->job.ended_at_us = at->ended_at_us ? at->ended_at_us : now_us();
	op->job.exit_code = at->exit_code;
	op->job.signal = at->signal;
	op->job.due_at_us = due_ns ? now_us() + (due_ns - now_ns()) / 1000 : 0;
	engine_event(op, r, a->idx, kind);
	op->event.attempt = a->attempt;
	op->event.state = (uint8_t)end->state;
	op->event.reason = (uint8_t)why;
	op->event.exit_code = at->exit_code;
	op->event.signal = at->signal;
	op->urgent = r->map ? map_hurries(r->map) : notice_is_awaited(r, a->idx);
	op->done = end_durable;
	op->arg = a;
	if (r->map && jt_state_is_final(end->state))
		map_item_ending(a, at);
	a->state = A_ENDING;
	r->n_ending++;
	r->e->n_ends++;
	if (MUTANT("ack_end_before_commit"))
		runner_link_ack(r->e->link, op->id, a->attempt);
	engine_post(r->e, op);
}

/* A move that the scheduler does not know is a mistake of ours. */
static void must(const struct active *a, int rc, const struct jt_error *err)
{
	if (rc < 0)
		log_die("run %u: %s", a->run->id, err->text);
}

static void step_end(struct active *a, const struct jt_end *end, struct jt_changes *ch)
{
	struct jt_error err;

	must(a, jt_sched_end(a->run->sched, a->idx, end, ch, &err), &err);
	slot_freed(a);
}

static void end_for_good(struct active *a, enum jt_outcome outcome, enum job_reason why, const struct store_attempt *at)
{
	struct run *r = a->run;
	struct jt_end end = jt_end_of(outcome);
	struct jt_changes ch = { 0 };

	step_end(a, &end, &ch);
	post_end(a, &end, why, at, EV_ENDED, 0);
	outcome_changes(r, &ch);
	jt_changes_done(&ch);
	if (end.stops_run)
		control_stop_run(r, JT_STOP, JT_STOP_FAIL);
	run_check_end(r);
}

static void end_for_now(struct active *a, int64_t delay_ns, enum job_reason why, const struct store_attempt *at)
{
	struct jt_end end = { .state = JT_BACKOFF };
	struct jt_error err;
	int64_t due = now_ns() + delay_ns;

	must(a, jt_sched_backoff(a->run->sched, a->idx, due, &err), &err);
	slot_freed(a);
	post_end(a, &end, why, at, EV_RETRYING, due);
}

/* There was no process to be had: for nobody, or, once it had become the user, for that user. */
static void hold_up(struct run *r, const struct rm_end *end)
{
	if (end->stage == RM_AT_FORK) {
		health_cannot_fork(r->e, end->code);
	} else if (r->refused.until_ns <= now_ns()) {
		if (!r->refused.n)
			log_warn("run %u: user %u can have no more processes: %s; its jobs wait until one is free", r->id, (unsigned)r->uid, strerror(end->code));
		backoff_more(&r->refused, now_ns());
	}
}

/* Could not be forked: no attempt was made. Back to available, in its place; asked for again, under the same number, when there may be
 * room. */
static void put_back(struct active *a, const struct rm_end *end)
{
	struct run *r = a->run;
	struct store_op *op = engine_op(r->e, ST_JOB_STATE, r);
	struct jt_error err;
	uint64_t id = JOB_ID(r->id, a->idx);

	hold_up(r, end);
	run_mem(r, a->idx)->attempts--;
	must(a, jt_sched_unstart(r->sched, a->idx, &err), &err);
	op->id = id;
	fill_state(a, &op->job, JT_WAITING);
	engine_post(r->e, op);
	runner_link_ack(r->e->link, id, a->attempt);
	runner_link_flush(r->e->link);
	slot_freed(a);
	active_free(a);
}

static void it_forks(struct run *r)
{
	r->refused = (struct backoff){ .until_ns = 0 };
	health_forks(r->e);
}

/* The first start since the submission, or since a retry that was asked for. */
static void begin_budget(const struct active *a, int64_t started_at_us)
{
	struct job_mem *m = run_mem(a->run, a->idx);
	int64_t ms = (started_at_us - a->run->submitted_at_us) / 1000;

	if (!m->budget_ms)
		m->budget_ms = ms < 1 ? 1 : ms > UINT32_MAX ? UINT32_MAX : (uint32_t)ms;
}

static void note_start(struct active *a, int32_t pid, int64_t started_at_us)
{
	struct run *r = a->run;
	struct store_op *op;

	a->pid = pid;
	a->started_at_us = started_at_us;
	begin_budget(a, started_at_us);
	if (!r->started_at_us)
		r->started_at_us = started_at_us;
	if (r->is_map)
		return;
	op = engine_op(r->e, ST_EVENT, r);
	engine_event(op, r, a->idx, EV_STARTED);
	op->event.at_us = started_at_us;
	op->event.attempt = a->attempt;
	op->event.state = JT_RUNNING;
	op->done = notice_op;
	engine_post(r->e, op);
}

static void lost_for_now(struct active *a, const struct store_attempt *at, bool hold)
{
	struct jt_end end = { .state = hold ? JT_HELD : JT_WAITING };
	struct jt_error err;

	must(a, hold ? jt_sched_hold_lost(a->run->sched, a->idx, &err) : jt_sched_unstart(a->run->sched, a->idx, &err), &err);
	slot_freed(a);
	post_end(a, &end, WHY_LOST, at, EV_LOST, 0);
}

/* Bytes of it have been given away: what another attempt wrote would be other ones. */
static bool was_read_live(const struct active *a)
{
	const struct map_item *it = a->run->map ? map_item_at(a->run->map, a->idx) : NULL;

	return it && it->read_live;
}

/* What is lost again and again is held for somebody to look at; but for an item a client waits, who can go on without it. */
static bool is_lost_for_good(const struct active *a)
{
	return !a->spec || a->spec->on_lost == SPEC_LOST_FAIL || was_read_live(a) ||
	       (a->run->is_map && run_mem(a->run, a->idx)->n_lost >= a->spec->lost_max);
}

/* handover.pml: commit_lost. pid: of an end that the runner told and is to be acknowledged; -1: there is none. */
static void lose(struct active *a, int32_t pid)
{
	struct job_mem *m = run_mem(a->run, a->idx);
	struct store_attempt at = { .attempt = a->attempt, .reason = WHY_LOST, .exit_code = -1, .pid = pid, .started_at_us = a->started_at_us,
				    .ended_at_us = now_us() };

	m->n_lost++;
	if (MUTANT("attempt_reused"))
		m->attempts--;
	output_collect(a, &at);
	if (a->end_reason)
		end_for_good(a, JT_END_CANCEL, (enum job_reason)a->end_reason, &at);
	else if (is_lost_for_good(a))
		end_for_good(a, JT_END_LOST, WHY_LOST, &at);
	else
		lost_for_now(a, &at, a->spec->on_lost == SPEC_LOST_HOLD || m->n_lost >= a->spec->lost_max);
}

/* handover.pml: receive_end. */
static void one_end(struct active *a, const struct rm_end *end)
{
	struct store_attempt at;
	struct rm_end judged;
	int64_t delay;

	if (!a->spec && !a->unreadable && !a->end_reason) {     /* adopted; its specification is on the way */
		a->todo = TODO_END;
		a->end = *end;
		return;
	}
	if (end->how == RM_AGAIN && !a->end_reason) {
		put_back(a, end);
		return;
	}
	if (end->how == RM_EXIT || end->how == RM_SIGNAL)
		it_forks(a->run);
	if (a->state != A_RUNNING && end->started_at_us)
		note_start(a, end->pid, end->started_at_us);
	else if (end->started_at_us)
		begin_budget(a, end->started_at_us);    /* an earlier jobd saw it start, and that is on no record */
	if (end->cause == RM_BY_KILL && !a->end_reason) {
		log_warn("job %u/%s: attempt %u was terminated by the runner, which was told to go", a->run->id,
			 jt_job_path(a->run->sched, a->idx, NULL), a->attempt);
		lose(a, end->pid);
		return;
	}
	fill_attempt(a, end, &at);
	if (verdict_is_too_large(a, &at)) {
		judged = *end;
		judged.cause = RM_BY_OUTPUT;
		at.reason = WHY_OUTPUT;
		end = &judged;
	}
	if (verdict_is_failure(a, end)) {
		run_mem(a->run, a->idx)->n_failed++;
		delay = verdict_delay(a, end);
		if (delay >= 0) {
			end_for_now(a, delay, verdict_reason(end), &at);
			return;
		}
	}
	end_for_good(a, verdict_outcome(a, end), (enum job_reason)at.reason, &at);
}

/* ---- a batch ------------------------------------------------------------------------------------------------------ */

/* An end of an attempt that is not active: recorded before (acknowledge it) or not ours (keep it, and say so). */
static void unknown_end(struct engine *e, const struct rm_end *end)
{
	struct active *a = active_find_attempt(e, end->job, end->attempt);
	struct run *r = engine_run(e, JOB_RUN(end->job));

	if (a)
		return;         /* ENDING: acknowledged once it is durable */
	if (r && JOB_IDX(end->job) < r->n_jobs && (!r->mem || run_mem(r, JOB_IDX(end->job))->attempts >= end->attempt)) {
		runner_link_ack(e->link, end->job, end->attempt);
		return;
	}
	log_warn("runner: end of an unknown attempt: run %u, job %u, attempt %u; the runner keeps it", JOB_RUN(end->job),
		 JOB_IDX(end->job), end->attempt);
}

struct ended {
	struct active *a;
	const struct rm_end *end;
};

static int by_path(const void *x, const void *y)
{
	const struct active *a = ((const struct ended *)x)->a, *b = ((const struct ended *)y)->a;

	if (a->run != b->run)
		return a->run->id < b->run->id ? -1 : 1;
	return jt_sched_cmp(a->run->sched, a->idx, b->idx);
}

void outcome_batch(struct engine *e, struct rm_end *ends, size_t n)
{
	struct ended few[64], *v = n <= 64 ? few : xcalloc(n, sizeof(*v));
	size_t k = 0;

	for (size_t i = 0; i < n; i++) {
		struct active *a = active_find(e, ends[i].job);

		if (a && a->attempt == ends[i].attempt && a->state >= A_SENT)
			v[k++] = (struct ended){ a, &ends[i] };
		else
			unknown_end(e, &ends[i]);
	}
	if (k > 1)
		qsort(v, k, sizeof(*v), by_path);
	for (size_t i = 0; i < k; i++)
		one_end(v[i].a, v[i].end);
	if (v != few)
		free(v);
	engine_turn(e);
}

/* An earlier jobd sent it, and the inventory was made before the runner saw it start. */
static void started_before_us(struct active *a, const struct rm_started *st)
{
	a->pid = st->pid;
	a->started_at_us = st->started_at_us;
	if (a->slot == SLOT_UNKNOWN)
		map_slot_adopt(a, a->pid);
}

void outcome_started(struct engine *e, const struct rm_started *st)
{
	struct active *a = active_find(e, st->job);
	struct jt_error err;

	if (a && a->attempt == st->attempt && (a->state == A_RECOVERED || (a->state == A_RUNNING && !a->pid)))
		started_before_us(a, st);
	if (!a || a->attempt != st->attempt || a->state != A_SENT)
		return;
	it_forks(a->run);
	note_start(a, st->pid, st->started_at_us);
	a->state = A_RUNNING;
	a->is_short = false;
	jt_sched_running(a->run->sched, a->idx, &err);
	if (a->run->map)
		map_item_started(a);
	if (!LIST_EMPTY(&e->followers))
		logs_attempt_changed(e, st->job);
}

/* ---- attempts without an end ---------------------------------------------------------------------------------------- */

void outcome_todo(struct active *a)
{
	enum active_todo todo = (enum active_todo)a->todo;
	struct engine *e = a->run->e;
	struct rm_end end = a->end;     /* a may be gone after it */

	a->todo = TODO_NOTHING;
	if (todo == TODO_END)
		one_end(a, &end);
	else if (todo == TODO_LOST)
		outcome_lost(a);
	engine_turn(e);
}

void outcome_unstarted(struct active *a)
{
	struct run *r = a->run;
	struct jt_error err;

	if (a->end_reason) {
		outcome_cancelled(a);
		return;
	}
	must(a, jt_sched_unstart(r->sched, a->idx, &err), &err);
	run_mem(r, a->idx)->attempts--;
	slot_freed(a);
	active_free(a);
}

void outcome_cancelled(struct active *a)
{
	struct store_attempt none = { .attempt = 0, .exit_code = -1, .pid = -1 };

	run_mem(a->run, a->idx)->attempts--;
	a->attempt--;
	end_for_good(a, JT_END_CANCEL, (enum job_reason)a->end_reason, &none);
}

void outcome_lost(struct active *a)
{
	log_warn("job %u/%s: attempt %u was lost: nobody saw how it ended", a->run->id, jt_job_path(a->run->sched, a->idx, NULL), a->attempt);
	lose(a, -1);
}
