/* SPDX-License-Identifier: MIT */
/*
 * Notice, events - who watches them. Everything that comes here is durable already.
 *
 * A watcher reads the event log by sequence number. While it keeps up, events are handed to it as they become durable; when its
 * connection is full it is left behind and later reads what it missed from the log: nothing is buffered for it.
 */
#include <stdlib.h>
#include <string.h>

#include "engine.h"
#include "proto/fields.h"
#include "rpc.h"

#define PAGE 500
#define EVENT_BYTES 256                 /* of an event beside its path, roughly */

struct watcher {
	struct engine *e;
	struct call *call;
	uint32_t run;                   /* 0: all */
	uint64_t last;                  /* the newest it has */
	bool reading;                   /* a query is on its way, or what is waited for before it */
	bool behind;                    /* must read the log before it can be handed events */
	bool progress;                  /* is told how far fetches are */
	bool ends;                      /* its run has ended: reply when it is up to date */
	bool gone;
	json_t *gathered;
	size_t bytes;                   /* of paths in it, and as much again a path */
	LIST_ENTRY(watcher) entry;
};

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

static void begin(struct watcher *w)
{
	call_set_heartbeat(w->call, heartbeat, w);
	read_log(w);
}

static void settled(struct store_op *op)
{
	struct watcher *w = op->arg;

	w->reading = false;
	if (w->gone)
		watcher_free(w);
	else
		begin(w);
}

/* What was counted or has ended may not be on record yet; and on a full disk the log is read past what waits to be written. */
static void begin_when_settled(struct watcher *w)
{
	w->reading = true;
	w->behind = true;
	engine_settled(w->e, settled, w);
}

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
	if (p.since < 0 || w->ends)
		begin_when_settled(w);
	else
		begin(w);
}
