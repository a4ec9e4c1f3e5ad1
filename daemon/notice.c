/* SPDX-License-Identifier: MIT */
/*
 * Notice - who is told what: watchers of events, waiters for ends. Everything that comes here is durable already.
 *
 * A watcher reads the event log by sequence number. While it keeps up, events are handed to it as they become durable; when its
 * connection is full it is left behind and later reads what it missed from the log: nothing is buffered for it.
 */
#include <stdlib.h>
#include <string.h>

#include "engine.h"
#include "proto/fields.h"
#include "log.h"
#include "rpc.h"

#define PAGE 500
#define EVENT_BYTES 256                 /* of an event beside its path, roughly */

struct watcher {
	struct engine *e;
	struct call *call;
	uint32_t run;                   /* 0: all */
	uint64_t last;                  /* the newest it has */
	bool reading;                   /* a query is on its way */
	bool behind;                    /* must read the log before it can be handed events */
	bool progress;                  /* is told how far fetches are */
	bool ends;                      /* its run has ended: reply when it is up to date */
	bool gone;
	json_t *gathered;
	size_t bytes;                   /* of paths in it, and as much again a path */
	LIST_ENTRY(watcher) entry;
};

/* ---- events ----------------------------------------------------------------------------------------------------------- */

/* path: NULL if it is not known any more. */
static json_t *event_json(const struct store_event *ev, const char *path)
{
	json_t *o = json_pack("{s:I, s:o, s:I, s:s}", "seq", (json_int_t)ev->seq, "at", json_time(ev->at_us), "run", (json_int_t)ev->run, "kind",
			      event_name((enum event_kind)ev->kind));

	if (ev->idx == JT_NONE) {
		json_object_set_new(o, "state", json_string(state_name_run((enum run_state)ev->state)));
		return o;
	}
	if (path)
		json_object_set_new(o, "path", json_string(path));
	json_object_set_new(o, "state", json_string(jt_state_name((enum jt_state)ev->state)));
	if (ev->attempt)
		json_object_set_new(o, "attempt", json_integer(ev->attempt));
	if (ev->reason)
		json_object_set_new(o, "reason", json_string(reason_name((enum job_reason)ev->reason)));
	if (ev->exit_code >= 0)
		json_object_set_new(o, "exit_code", json_integer(ev->exit_code));
	if (ev->signal)
		json_object_set_new(o, "signal", json_integer(ev->signal));
	return o;
}

/* Whose path is it? NULL: its jobs are not in memory, or it is of a run. */
static const char *path_of(struct engine *e, const struct store_event *ev)
{
	struct run *r = ev->idx == JT_NONE ? NULL : engine_run(e, ev->run);

	return r && r->sched && ev->idx < r->n_jobs ? jt_job_path(r->sched, ev->idx, NULL) : NULL;
}

static void watcher_free(struct watcher *w)
{
	json_decref(w->gathered);
	free(w);
}

static json_t *watch_reply(struct watcher *w)
{
	json_t *events = w->gathered ? w->gathered : json_array();

	w->gathered = NULL;
	w->bytes = 0;
	return json_pack("{s:o, s:I}", "events", events, "last", (json_int_t)w->last);
}

static json_t *heartbeat(void *arg)
{
	return watch_reply(arg);
}

static void finish(struct watcher *w)
{
	LIST_REMOVE(w, entry);
	call_reply(w->call, watch_reply(w));
	w->gone = true;
	if (!w->reading)
		watcher_free(w);
}

static void gather_json(struct watcher *w, json_t *event, const char *path)
{
	if (!w->gathered)
		w->gathered = json_array();
	json_array_append_new(w->gathered, event);
	w->bytes += EVENT_BYTES + (path ? strlen(path) : 0);
}

static void gather(struct watcher *w, const struct store_event *ev, const char *path)
{
	gather_json(w, event_json(ev, path), path);
	w->last = ev->seq;
}

static void read_log(struct watcher *w);

static void drained(void *arg, struct call *call)
{
	(void)call;
	read_log(arg);
}

static void send_gathered(struct watcher *w)
{
	if (w->gathered && json_array_size(w->gathered))
		call_continue(w->call, watch_reply(w));
}

/* It lags: what it misses is read from the log when there is room again. */
static void leave_behind(struct watcher *w)
{
	w->behind = true;
	call_on_drain(w->call, drained, w);
}

/* What has gathered goes; in pieces, so that no reply is larger than a client takes. */
static void flush_watcher(struct watcher *w)
{
	if (!call_wants_more(w->call))
		return;
	send_gathered(w);
	if (!w->behind && call_is_full(w->call))
		leave_behind(w);
}

static void watch_aborted(void *arg, struct call *call)
{
	struct watcher *w = arg;

	(void)call;
	LIST_REMOVE(w, entry);
	w->gone = true;
	if (!w->reading)
		watcher_free(w);
}

/* A page of the log. The paths of an ended run's events are needed: its jobs are brought into memory, one run after the other, and
 * what is found is copied, since the next one may push them out again. */
struct page {
	struct watcher *w;
	struct store_event *v;
	char **paths;
	bool *looked;                   /* there is no more to be found than what is in paths */
	size_t n, next;
	bool waited;                    /* for jobs: there may be newer events than the page has */
};

static void page_free(struct page *p)
{
	for (size_t i = 0; i < p->n; i++)
		free(p->paths[i]);
	free(p->paths);
	free(p->looked);
	free(p->v);
	free(p);
}

/* All of the page has been handed over: on with the log, with what happens, or the end. */
static void page_done(struct watcher *w, bool more)
{
	bool full = call_is_full(w->call);

	if (!call_wants_more(w->call) || (!more && w->ends)) {
		finish(w);
		return;
	}
	send_gathered(w);
	if (full || call_is_full(w->call)) {
		leave_behind(w);
	} else if (more) {
		read_log(w);
	} else {
		w->behind = false;
	}
}

static void page_ready(struct page *p)
{
	struct watcher *w = p->w;
	size_t i;

	w->reading = false;
	if (w->gone) {
		watcher_free(w);
		page_free(p);
		return;
	}
	for (i = 0; i < p->n && w->bytes < RPC_PAGE_BYTES; i++)
		gather(w, &p->v[i], p->paths[i]);
	page_done(w, i < p->n || p->n == PAGE || (p->waited && p->n > 0));
	page_free(p);
}

static void copy_paths(struct page *p, const struct run *of)
{
	struct engine *e = p->w->e;

	for (size_t i = p->next; i < p->n; i++) {
		const char *path;

		if (p->looked[i] || (of && p->v[i].run != of->id))
			continue;
		path = path_of(e, &p->v[i]);
		p->paths[i] = xstrdup(path);
		p->looked[i] = path || of || !engine_run(e, p->v[i].run) || p->v[i].idx == JT_NONE;
	}
}

static void load_paths(void *arg, struct run *r)
{
	struct page *p = arg;

	copy_paths(p, r);
	while (p->next < p->n && (p->looked[p->next] || !engine_run(p->w->e, p->v[p->next].run)))
		p->next++;
	if (p->next == p->n) {
		page_ready(p);
		return;
	}
	p->waited = true;
	run_with_sched(engine_run(p->w->e, p->v[p->next].run), load_paths, p);
}

static void page_read(struct store_op *op)
{
	struct page *p = xcalloc(1, sizeof(*p));

	p->w = op->arg;
	p->n = op->n_events;
	p->v = xcalloc(p->n + 1, sizeof(*p->v));
	p->paths = xcalloc(p->n + 1, sizeof(*p->paths));
	p->looked = xcalloc(p->n + 1, sizeof(*p->looked));
	if (p->n)
		memcpy(p->v, op->events, p->n * sizeof(*p->v));
	load_paths(p, NULL);
}

static void read_log(struct watcher *w)
{
	struct store_op *op;

	if (w->reading)
		return;
	w->reading = true;
	w->behind = true;
	op = engine_op(w->e, ST_GET_EVENTS, NULL);
	op->run.run = w->run;
	op->since = w->last;
	op->limit = PAGE;
	op->urgent = true;
	op->done = page_read;
	op->arg = w;
	engine_post(w->e, op);
}

void notice_event(struct engine *e, const struct store_event *ev)
{
	struct watcher *w, *next;

	if (!ev->seq)
		return;
	if (ev->kind == EV_STARTED && notice_wants_progress(e))
		progress_wake(e);
	for (w = LIST_FIRST(&e->watchers); w; w = next) {
		next = LIST_NEXT(w, entry);
		if (w->run && w->run != ev->run)
			continue;
		if (w->run && ev->kind == EV_RUN_ENDED)
			w->ends = true;
		if (w->behind || ev->seq <= w->last)
			continue;
		gather(w, ev, path_of(e, ev));
		if (w->bytes >= RPC_PAGE_BYTES)
			flush_watcher(w);
	}
	if (!LIST_EMPTY(&e->watchers))
		engine_turn(e);
}

/* ---- progress: not in the log; its number is that of the event before it ------------------------------------------------- */

bool notice_wants_progress(const struct engine *e)
{
	const struct watcher *w;

	LIST_FOREACH(w, &e->watchers, entry)
		if (w->progress)
			return true;
	return false;
}

static json_t *progress_event(const struct watcher *w, const struct active *a, const char *path, json_t *progress)
{
	return json_pack("{s:I, s:o, s:I, s:s, s:s, s:s, s:I, s:O}", "seq", (json_int_t)w->last, "at", json_time(now_us()), "run",
			 (json_int_t)a->run->id, "kind", "progress", "path", path, "state", jt_state_name(JT_RUNNING), "attempt",
			 (json_int_t)a->attempt, "progress", progress);
}

void notice_progress(const struct active *a, json_t *progress)
{
	struct engine *e = a->run->e;
	const char *path = jt_job_path(a->run->sched, a->idx, NULL);
	struct watcher *w;

	LIST_FOREACH(w, &e->watchers, entry)
		if (w->progress && !w->behind && (!w->run || w->run == a->run->id))
			gather_json(w, progress_event(w, a, path, progress), path);
	json_decref(progress);
	engine_turn(e);
}

void notice_op(struct store_op *op)
{
	notice_event(op->ctx, &op->event);
}

void notice_turn(struct engine *e)
{
	struct watcher *w, *next;

	for (w = LIST_FIRST(&e->watchers); w; w = next) {
		next = LIST_NEXT(w, entry);
		if (w->behind)
			continue;
		if (w->ends)
			finish(w);
		else
			flush_watcher(w);
	}
}

struct watch_params {
	const char *run;
	int64_t since;
	bool progress;
};
static const struct field watch_fields[] = {
	FIELD_STRING("run", struct watch_params, run, 1, 255, 0),
	FIELD_INT("since", struct watch_params, since, 0, INT64_MAX, 0),
	FIELD_BOOL("progress", struct watch_params, progress, 0),
	FIELD_END
};

void rpc_watch(void *ctx, struct call *call, const json_t *params)
{
	struct engine *e = ctx;
	struct watch_params p = { .since = -1 };
	struct run *r = NULL;
	struct watcher *w;

	if (!rpc_read(call, params, watch_fields, &p))
		return;
	if (p.run && !(r = rpc_run(e, call, p.run, MAY_SEE)))
		return;
	w = xcalloc(1, sizeof(*w));
	w->e = e;
	w->call = call;
	w->run = r ? r->id : 0;
	w->last = p.since < 0 ? e->last_seq : (uint64_t)p.since;
	w->ends = r && run_is_final(r);
	w->progress = p.progress;
	if (p.progress)
		progress_wake(e);
	LIST_INSERT_HEAD(&e->watchers, w, entry);
	call_on_abort(call, watch_aborted, w);
	call_set_heartbeat(call, heartbeat, w);
	read_log(w);
}

/* ---- waiters ------------------------------------------------------------------------------------------------------------- */

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
