/* SPDX-License-Identifier: MIT */
/* Notice, ends - who waits for those of jobs and runs. Everything that comes here is durable already. */
#include <stdlib.h>
#include <string.h>

#include "engine.h"
#include "proto/fields.h"
#include "rpc.h"

struct wait_target {
	struct waiter *waiter;
	struct run *run;
	jt_job job;                     /* JT_NONE: the run */
	bool done, gone;
	json_t *result;
	LIST_ENTRY(wait_target) entry;  /* in run->waiters until done */
};

struct waiter {
	struct engine *e;
	struct call *call;
	struct event *timeout;
	struct waiter **late;           /* its time is over: a look at what has ended is on the way; NULL: it is not */
	size_t n, left;
	int worst;
	struct wait_target targets[];
};

static void waiter_free(struct waiter *w)
{
	for (size_t i = 0; i < w->n; i++) {
		if (!w->targets[i].done)
			LIST_REMOVE(&w->targets[i], entry);
		json_decref(w->targets[i].result);
	}
	if (w->timeout)
		event_free(w->timeout);
	if (w->late)
		*w->late = NULL;
	free(w);
}

static void wait_reply(struct waiter *w, bool done)
{
	json_t *results = json_array();

	for (size_t i = 0; i < w->n; i++)
		if (w->targets[i].result)
			json_array_append(results, w->targets[i].result);
	call_reply(w->call, json_pack("{s:b, s:i, s:o}", "done", done, "exit", w->worst, "results", results));
	waiter_free(w);
}

/* Queries that were posted before have been answered by now. */
static void last_look(struct store_op *op)
{
	struct waiter **late = op->arg, *w = *late;

	free(late);
	if (!w)
		return;         /* all have ended, or nobody waits any more */
	w->late = NULL;
	wait_reply(w, false);
}

/* What has ended is told, also to who waits for no time at all: its results are still being read. */
static void wait_timed_out(evutil_socket_t fd, short what, void *arg)
{
	struct waiter *w = arg;
	struct store_op *op = engine_op(w->e, ST_GET_ROWS, NULL);

	(void)fd, (void)what;
	w->late = xcalloc(1, sizeof(*w->late));
	*w->late = w;
	op->done = last_look;
	op->arg = w->late;
	engine_post(w->e, op);
}

static void wait_aborted(void *arg, struct call *call)
{
	(void)call;
	waiter_free(arg);
}

static void settle(struct wait_target *t, json_t *result, bool failed)
{
	struct waiter *w = t->waiter;

	t->done = true;
	t->result = result;
	LIST_REMOVE(t, entry);
	if (failed)
		w->worst = 1;
	if (--w->left == 0)
		wait_reply(w, true);
}

static bool job_failed(const struct run *r, jt_job j)
{
	struct jt_end end;
	enum jt_reason why;
	jt_job cause;
	struct jt_end root;

	jt_job_end(r->sched, j, &end, &why, &cause);
	if (end.state != JT_SKIPPED)
		return end.state == JT_FAILED || end.state == JT_CANCELLED || end.state == JT_LOST;
	if (why == JT_STOPPED)
		return true;
	if (why != JT_UPSTREAM || cause == JT_NONE)
		return false;
	jt_job_end(r->sched, cause, &root, &why, &cause);
	return root.fails_run;
}

static void job_result(struct store_op *op)
{
	struct engine *e = op->ctx;
	struct run *r = engine_run(e, op->run.run);
	jt_job j = JOB_IDX(op->id);
	struct wait_target *t, *next;

	if (!r || !r->sched || !op->rows || !jt_state_is_final((enum jt_state)op->rows[0].job.state))
		return;         /* retried meanwhile, or its end is not durable yet: that asks again */
	for (t = LIST_FIRST(&r->waiters); t; t = next) {
		next = LIST_NEXT(t, entry);
		if (t->job == j && jt_state_is_final(jt_job_state(r->sched, j)))
			settle(t, rpc_result(r, j, &op->rows[0]), job_failed(r, j));
	}
}

/* The result tells exit status and signal: they are read back from the record. */
static void ask_result(struct run *r, jt_job j)
{
	struct store_op *op = engine_op(r->e, ST_GET_ROWS, r);

	op->id = JOB_ID(r->id, j);
	op->ids = xcalloc(1, sizeof(*op->ids));
	op->ids[0] = op->id;
	op->n_ids = 1;
	op->urgent = true;
	op->done = job_result;
	engine_post(r->e, op);
}

bool notice_is_awaited(const struct run *r, jt_job j)
{
	struct wait_target *t;

	LIST_FOREACH(t, &r->waiters, entry)
		if (t->job == j)
			return true;
	return false;
}

void notice_job_ended(struct run *r, jt_job j)
{
	if (notice_is_awaited(r, j))
		ask_result(r, j);
}

void notice_run_ended(struct run *r)
{
	struct wait_target *t, *next;

	for (t = LIST_FIRST(&r->waiters); t; t = next) {
		next = LIST_NEXT(t, entry);
		if (t->job == JT_NONE)
			settle(t, rpc_result(r, JT_NONE, NULL), r->state != RUN_OK);
	}
	run_retire(r);
}

void notice_run_gone(struct run *r)
{
	struct wait_target *t, *next;

	for (t = LIST_FIRST(&r->waiters); t; t = next) {
		next = LIST_NEXT(t, entry);
		settle(t, NULL, true);
	}
}

struct wait_params {
	const json_t *targets;
	double timeout_s;
};
static const struct field wait_fields[] = {
	FIELD_ARRAY("targets", struct wait_params, targets, FIELD_REQUIRED),
	FIELD_NUMBER("timeout_s", struct wait_params, timeout_s, 0, 1000000000, 0),
	FIELD_END
};
struct target_params {
	const char *run, *path;
};
static const struct field target_fields[] = {
	FIELD_STRING("run", struct target_params, run, 1, 255, FIELD_REQUIRED),
	FIELD_STRING("path", struct target_params, path, 1, JT_PATH_MAX, 0),
	FIELD_END
};

/* The runs of all targets are brought into memory one after the other, then the paths are looked up. */
struct wait_start {
	struct engine *e;
	struct call *call;
	json_t *targets;
	double timeout_s;
	bool aborted;
	uint32_t *used;                 /* runs that are in memory for it */
	size_t n_used;
};

static void start_free(struct wait_start *ws)
{
	for (size_t i = 0; i < ws->n_used; i++)
		run_unuse(ws->e, ws->used[i]);
	free(ws->used);
	json_decref(ws->targets);
	free(ws);
}

static void start_aborted(void *arg, struct call *call)
{
	(void)call;
	((struct wait_start *)arg)->aborted = true;
}

static void set_timeout(struct waiter *w, double s)
{
	struct timeval tv = { (time_t)s, (suseconds_t)((s - (double)(time_t)s) * 1e6) };

	w->timeout = xtimer(w->e->base, wait_timed_out, w);
	event_add(w->timeout, &tv);
}

/* What has ended already is settled once everything posted so far is durable, as all else that is told. */
static void settle_ended(struct store_op *op)
{
	struct run *r = engine_run(op->ctx, (uint32_t)op->id);

	if (r && run_is_final(r))
		notice_run_ended(r);
}

static void check_now(struct waiter *w)
{
	for (size_t i = 0; i < w->n; i++) {
		struct wait_target *t = &w->targets[i];
		struct store_op *op;

		if (t->job != JT_NONE && jt_state_is_final(jt_job_state(t->run->sched, t->job))) {
			ask_result(t->run, t->job);
		} else if (t->job == JT_NONE && run_is_final(t->run)) {
			op = engine_op(w->e, ST_EVENT, NULL);
			op->id = t->run->id;
			op->urgent = true;
			op->done = settle_ended;
			engine_post(w->e, op);
		}
	}
}

static bool take_target(struct waiter *w, const json_t *obj, struct arena *a)
{
	struct wait_target *t = &w->targets[w->n];
	struct target_params p = { 0 };
	struct field_error fe;
	struct run *r;

	if (fields_read(target_fields, obj, &p, a, &fe) < 0) {
		call_invalid(w->call, "targets");
		return false;
	}
	r = rpc_run(w->e, w->call, p.run, MAY_SEE);
	if (!r)
		return false;
	t->job = JT_NONE;
	if (p.path && !rpc_job(w->call, r, p.path, &t->job))
		return false;
	t->waiter = w;
	t->run = r;
	LIST_INSERT_HEAD(&r->waiters, t, entry);
	w->n++;
	w->left++;
	return true;
}

static void begin_wait(struct wait_start *ws)
{
	struct waiter *w = xcalloc(1, sizeof(*w) + json_array_size(ws->targets) * sizeof(w->targets[0]));
	struct arena a;
	json_t *obj;
	size_t i;
	bool ok = true;

	w->e = ws->e;
	w->call = ws->call;
	arena_init(&a);
	json_array_foreach(ws->targets, i, obj)
		if (!(ok = take_target(w, obj, &a)))
			break;
	arena_done(&a);
	if (!ok) {
		waiter_free(w);
		return;
	}
	call_on_abort(w->call, wait_aborted, w);
	if (ws->timeout_s >= 0)
		set_timeout(w, ws->timeout_s);
	check_now(w);
}

static struct run *target_to_load(struct wait_start *ws)
{
	size_t i;
	json_t *obj;

	json_array_foreach(ws->targets, i, obj) {
		const char *name = json_string_value(json_object_get(obj, "run"));
		struct run *r = name && json_object_get(obj, "path") ? engine_find(ws->e, name) : NULL;

		if (r && !r->sched && !r->removing)
			return r;
	}
	return NULL;
}

static void load_targets(void *arg, struct run *r)
{
	struct wait_start *ws = arg;
	struct run *next = ws->aborted ? NULL : target_to_load(ws);

	if (r && r->sched) {
		run_use(r);
		ws->used[ws->n_used++] = r->id;
	}
	if (next && next != r) {
		run_with_sched(next, load_targets, ws);
		return;
	}
	if (!ws->aborted)
		begin_wait(ws);
	start_free(ws);
}

void rpc_wait(void *ctx, struct call *call, const json_t *params)
{
	struct wait_params p = { .timeout_s = -1 };
	struct wait_start *ws;

	if (!rpc_read(call, params, wait_fields, &p))
		return;
	if (json_array_size(p.targets) == 0) {
		call_invalid(call, "targets");
		return;
	}
	ws = xcalloc(1, sizeof(*ws));
	*ws = (struct wait_start){ .e = ctx, .call = call, .targets = json_incref((json_t *)p.targets), .timeout_s = p.timeout_s };
	ws->used = xcalloc(json_array_size(p.targets), sizeof(*ws->used));
	call_on_abort(call, start_aborted, ws);
	load_targets(ws, NULL);
}
