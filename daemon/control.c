/* SPDX-License-Identifier: MIT */
/*
 * Control - cancel, hold, pause, retry, remove. Each changes the scheduler in memory and posts the records; the caller answers
 * once they are durable. A path that names a job means that job (for cancel: and what is below it); a directory, the jobs below.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine.h"
#include "log.h"
#include "map.h"
#include "rpc.h"

static void post_run(struct run *r, enum event_kind kind)
{
	struct store_op *op = engine_op(r->e, ST_RUN_SET, r);

	run_record(r, op);
	engine_event(op, r, JT_NONE, kind);
	op->event.state = (uint8_t)run_shown_state(r);
	op->done = notice_op;
	engine_post(r->e, op);
}

/* When it may run again; 0: it does not back off. */
static int64_t due_at_us(struct run *r, jt_job j)
{
	struct jt_why why;

	if (jt_job_state(r->sched, j) != JT_BACKOFF)
		return 0;
	jt_sched_why(r->sched, j, &why);
	return now_us() + (why.at_ns - now_ns()) / 1000;
}

static void post_job_then(struct run *r, jt_job j, enum jt_state state, enum job_reason why, enum event_kind kind, int64_t due_us,
			  void (*done)(struct store_op *op))
{
	struct store_op *op = engine_op(r->e, ST_JOB_STATE, r);
	struct active *a = active_find(r->e, JOB_ID(r->id, j)), none = { .run = r, .idx = j };

	op->id = JOB_ID(r->id, j);
	fill_state(a ? a : &none, &op->job, state);
	op->job.reason = (uint8_t)why;
	op->job.due_at_us = due_us;
	if (state == JT_CANCELLED) {
		op->job.fails_run = true;
		op->job.ended_at_us = now_us();
	}
	engine_event(op, r, j, kind);
	op->event.state = (uint8_t)state;
	op->event.reason = (uint8_t)why;
	op->done = done;
	engine_post(r->e, op);
}

static void post_job(struct run *r, jt_job j, enum jt_state state, enum job_reason why, enum event_kind kind)
{
	post_job_then(r, j, state, why, kind, 0, notice_op);
}

static int must_live(const struct run *r, struct req_error *err)
{
	if (!run_is_final(r))
		return 0;
	return req_fail(err, "org.jobd.WrongState", "run %u has ended (%s)", r->id, state_name_run(r->state));
}

/* The jobs at or below path, in path order. Caller frees. */
static jt_job *jobs_below(struct run *r, const char *path, size_t *ret_n)
{
	jt_job *v = xcalloc((size_t)r->n_jobs + 1, sizeof(*v));

	*ret_n = jt_sched_list(r->sched, path, strlen(path), NULL, 0, v, r->n_jobs);
	return v;
}

static int must_exist(struct run *r, const char *path, struct req_error *err)
{
	size_t len = strlen(path);

	if (jt_sched_find(r->sched, path, len) == JT_NONE && !jt_sched_is_dir(r->sched, path, len))
		return missing_job(r, path, err);
	return 0;
}

/* ---- cancel --------------------------------------------------------------------------------------------------------- */

static void send_kill(const struct active *a)
{
	struct engine *e = a->run->e;
	uint32_t grace_ms = a->spec ? (uint32_t)a->spec->grace_ms : 10000;

	runner_link_kill(e->link, JOB_ID(a->run->id, a->idx), a->attempt, a->at_once ? 0 : grace_ms);
	engine_turn(e);
}

static bool is_sent(const struct active *a)
{
	return a->state == A_SENT || a->state == A_RUNNING;
}

/* The intent is on record: TERM now, KILL after its grace. */
static void kill_recorded(struct store_op *op)
{
	struct engine *e = op->ctx;
	struct active *a = active_find(e, op->id);

	if (a && a->end_reason)
		a->killed = true;
	if (a && a->killed && is_sent(a))
		send_kill(a);
	notice_op(op);
}

/* A job with a slot: it ends as cancelled whatever it does. Nothing is sent before the intent is durable: a restart in between would find
 * a job that was terminated and not know why, and take it for lost. */
static void terminate(struct active *a, enum job_reason why)
{
	struct run *r = a->run;

	if (a->end_reason)
		return;
	a->end_reason = (uint8_t)why;
	post_job_then(r, a->idx, JT_STARTING, why, EV_CANCELLED, 0, kill_recorded);
	if (!is_sent(a))
		send_picks(r);
	engine_turn(r->e);
}

static void unbegun_recorded(struct store_op *op)
{
	struct run *r = engine_run(op->ctx, op->run.run);

	notice_op(op);
	if (r && r->map)
		map_item_ended(r, op);
}

static void end_unbegun(struct run *r, jt_job j, struct jt_changes *ch)
{
	struct jt_end end = jt_end_of(JT_END_CANCEL);
	struct active *a = active_find(r->e, JOB_ID(r->id, j));
	struct jt_error je;

	if (a)
		disarm(a);
	if (jt_sched_end(r->sched, j, &end, ch, &je) < 0) {
		log_error("run %u: %s", r->id, je.text);
		return;
	}
	post_job_then(r, j, JT_CANCELLED, WHY_CANCELLED, EV_CANCELLED, 0, unbegun_recorded);
}

static bool cancel_one(struct run *r, jt_job j, struct jt_changes *ch)
{
	enum jt_state st = jt_job_state(r->sched, j);
	struct active *a;

	if (jt_state_is_final(st))
		return false;
	a = active_find(r->e, JOB_ID(r->id, j));
	if (a && a->picked)
		terminate(a, WHY_CANCELLED);
	else
		end_unbegun(r, j, ch);
	return true;
}

void control_cancel_job(struct run *r, jt_job j, bool now)
{
	struct active *a = active_find(r->e, JOB_ID(r->id, j));
	struct jt_changes ch = { 0 };

	if (a && a->picked && now && !a->at_once) {
		a->at_once = true;
		if (a->killed && is_sent(a))
			send_kill(a);
	}
	cancel_one(r, j, &ch);
	jt_changes_done(&ch);
}

/* What waits for a job that is being cancelled is skipped because of it, when it has ended. */
static bool is_below_cancelled(const struct run *r, jt_job j)
{
	size_t len;
	const char *path = jt_job_path(r->sched, j, &len);

	for (const char *p = path + len; p-- > path;) {
		jt_job up = *p == '/' ? jt_sched_find(r->sched, path, (size_t)(p - path)) : JT_NONE;
		struct active *a = up == JT_NONE ? NULL : active_find(r->e, JOB_ID(r->id, up));

		if (a && a->end_reason)
			return true;
	}
	return false;
}

static int cancel_path(struct run *r, const char *path, uint32_t *ret_n, struct req_error *err)
{
	struct jt_changes ch = { 0 };
	uint32_t n = 0;
	size_t total;
	jt_job *v;

	if (must_exist(r, path, err) < 0)
		return -1;
	v = jobs_below(r, path, &total);
	for (size_t i = 0; i < total; i++)
		if (!is_below_cancelled(r, v[i]))
			n += cancel_one(r, v[i], &ch);
	free(v);
	outcome_changes(r, &ch);
	jt_changes_done(&ch);
	run_check_end(r);
	*ret_n = n;
	if (n)
		return 0;
	return req_fail(err, "org.jobd.WrongState", "job \"%.500s\" of run %u has already ended", path, r->id);
}

static bool is_spared(const struct active *a, enum jt_stop how)
{
	return how != JT_STOP_NOW && run_mem(a->run, a->idx)->flags & JOB_FINISHED;
}

/* terminate() may send picks, which changes the table: gather first. */
void control_terminate(struct run *r, enum jt_stop how, enum job_reason why)
{
	struct engine *e = r->e;
	struct active **v = xcalloc(e->n_active + 1, sizeof(*v));
	size_t n = 0;

	for (size_t i = 0; e->active && i <= e->active_mask; i++)
		for (struct active *a = e->active[i]; a; a = a->next)
			if (a->run == r && a->picked && a->state != A_ENDING && !is_spared(a, how))
				v[n++] = a;
	for (size_t i = 0; i < n; i++)
		terminate(v[i], why);
	free(v);
}

void control_stop_run(struct run *r, enum jt_stop how, enum jt_stop_why why)
{
	struct jt_changes ch = { 0 };
	struct jt_error je;
	uint8_t stopped = (uint8_t)(1 + how);

	if (jt_sched_stop(r->sched, how, why, &ch, &je) < 0) {
		log_error("run %u: %s", r->id, je.text);
		return;
	}
	r->sealed = r->sealed || !r->is_map;    /* nothing is added to a stopped stream */
	if (stopped > r->stopped) {
		r->stop_why = r->stopped ? r->stop_why : why;
		r->stopped = stopped;
		post_run(r, EV_CANCELLED);
	}
	outcome_changes(r, &ch);
	jt_changes_done(&ch);
	control_terminate(r, how, why == JT_STOP_CANCEL ? WHY_CANCELLED : WHY_STOPPED);
	run_wants(r);
}

int control_cancel(struct run *r, const char *path, bool now, uint32_t *ret_n, struct req_error *err)
{
	if (must_live(r, err) < 0)
		return -1;
	if (path)
		return cancel_path(r, path, ret_n, err);
	*ret_n = 1;
	if (r->map)
		return map_control(r->map, false, err);
	control_stop_run(r, now ? JT_STOP_NOW : JT_STOP, JT_STOP_CANCEL);
	run_check_end(r);
	return 0;
}

/* ---- hold and release -------------------------------------------------------------------------------------------------- */

static bool hold_one(struct run *r, jt_job j, struct jt_error *je)
{
	int64_t due_us = due_at_us(r, j);
	struct active *a;

	if (jt_job_state(r->sched, j) == JT_HELD || jt_sched_hold(r->sched, j, je) < 0)
		return false;
	a = active_find(r->e, JOB_ID(r->id, j));
	if (a)
		disarm(a);
	post_job_then(r, j, JT_HELD, WHY_NONE, EV_HELD, due_us, notice_op);
	return true;
}

static bool release_one(struct run *r, jt_job j, struct jt_error *je)
{
	int64_t due_us;

	if (jt_job_state(r->sched, j) != JT_HELD || jt_sched_release(r->sched, j, je) < 0)
		return false;
	run_mem(r, j)->n_lost = 0;
	due_us = due_at_us(r, j);
	post_job_then(r, j, due_us ? JT_BACKOFF : JT_WAITING, WHY_NONE, EV_RELEASED, due_us, notice_op);
	return true;
}

int control_hold(struct run *r, const char *path, bool hold, uint32_t *ret_n, struct req_error *err)
{
	struct jt_error je = { .text = "" };
	jt_job j, *v = &j;
	size_t n = 1;

	if (must_live(r, err) < 0 || must_exist(r, path, err) < 0)
		return -1;
	j = jt_sched_find(r->sched, path, strlen(path));
	if (j == JT_NONE)
		v = jobs_below(r, path, &n);
	*ret_n = 0;
	for (size_t i = 0; i < n; i++)
		*ret_n += hold ? hold_one(r, v[i], &je) : release_one(r, v[i], &je);
	if (v != &j)
		free(v);
	run_wants(r);
	if (*ret_n || (hold && j != JT_NONE && jt_job_state(r->sched, j) == JT_HELD))
		return 0;
	if (hold)
		return req_fail(err, "org.jobd.WrongState", "\"%.500s\" of run %u has begun or ended: only what has not begun can be held", path, r->id);
	return req_fail(err, "org.jobd.WrongState", "\"%.500s\" of run %u is not held", path, r->id);
}

int control_pause(struct run *r, bool pause, struct req_error *err)
{
	if (must_live(r, err) < 0)
		return -1;
	if (r->paused == pause)
		return 0;
	r->paused = pause;
	jt_sched_pause(r->sched, pause);
	post_run(r, pause ? EV_PAUSED : EV_RESUMED);
	run_wants(r);
	return 0;
}

/* ---- retry of what has ended --------------------------------------------------------------------------------------------- */

static void forget_end(struct run *r, jt_job j)
{
	struct job_mem *m = run_mem(r, j);
	struct active *a = active_find(r->e, JOB_ID(r->id, j));

	if (a && !a->picked)
		disarm(a);
	m->n_failed = 0;
	m->n_lost = 0;
	m->budget_ms = 0;
	post_job(r, j, JT_WAITING, WHY_NONE, EV_RETRIED);
}

int control_retry(struct run *r, const char *path, bool all, uint32_t *ret_n, struct req_error *err)
{
	struct jt_changes ch = { 0 };
	struct jt_error je;

	if (r->is_map)
		return req_fail(err, "org.jobd.WrongState", "run %u is a map: its items are put again by `jobctl map --resume`", r->id);
	if (path && must_exist(r, path, err) < 0)
		return -1;
	if (jt_sched_retry(r->sched, path, path ? strlen(path) : 0, all, &ch, &je) < 0) {
		jt_changes_done(&ch);
		return req_fail(err, "org.jobd.WrongState", "%s", je.text);
	}
	*ret_n = (uint32_t)ch.n;
	if (ch.n == 0)
		jt_changes_done(&ch);
	if (*ret_n == 0)
		return req_fail(err, "org.jobd.WrongState", "run %u: nothing there has failed or been skipped; --all retries what is ok too", r->id);
	if (run_is_final(r)) {          /* it may have been paused when its last job ended: that is over, and would only keep this from starting */
		r->paused = false;
		jt_sched_pause(r->sched, false);
	}
	r->stopped = 0;
	r->ended_noted = false;
	r->ended_at_us = 0;
	r->state = RUN_RUNNING;
	run_unretire(r);
	quota_recharge(r);
	post_run(r, EV_RETRIED);        /* first: of an ended run no start would look at the jobs, should there be no later commit */
	for (size_t i = 0; i < ch.n; i++)
		if (ch.v[i].state == JT_WAITING)
			forget_end(r, ch.v[i].job);
	jt_changes_done(&ch);
	run_wants(r);
	return 0;
}

/* ---- remove ---------------------------------------------------------------------------------------------------------------- */

static void gone(struct store_op *op)
{
	struct run *r = op->arg;

	output_drop(r);
	notice_run_gone(r);
	run_forget(r);
}

int control_remove(struct run *r, struct req_error *err)
{
	struct store_op *op;

	if (!run_is_final(r))
		return req_fail(err, "org.jobd.WrongState", "run %u has not ended: cancel it first (`jobctl cancel %u`)", r->id, r->id);
	if (r->removing)
		return 0;
	r->removing = true;
	op = engine_op(r->e, ST_RUN_DROP, r);
	op->urgent = true;
	op->done = gone;
	op->arg = r;
	engine_post(r->e, op);
	return 0;
}

/* Retention: the oldest ended runs beyond the configured number, and those ended longer ago than the configured days. */
void control_retain(struct engine *e)
{
	int64_t oldest = e->conf.retain_days ? now_us() - e->conf.retain_days * INT64_C(86400000000) : 0;
	uint32_t n = 0;
	struct req_error err;

	for (uint32_t i = e->n_runs_cap; i-- > 0;) {
		struct run *r = e->runs[i];

		if (!r || !run_is_final(r))
			continue;
		n++;
		if ((r->ended_at_us < oldest || (e->conf.retain_runs && n > e->conf.retain_runs)) && !run_is_needed(r))
			control_remove(r, &err);
	}
}
