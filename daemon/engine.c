/* SPDX-License-Identifier: MIT */
/* Engine - the tables of runs and active jobs, time, and the turn of the loop. See engine.h. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine.h"
#include "failpoint.h"
#include "index.h"
#include "log.h"
#include "map.h"

static int64_t clock_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec;
}

int64_t now_ns(void)
{
	return clock_ns(CLOCK_BOOTTIME);
}

int64_t now_us(void)
{
	return clock_ns(CLOCK_REALTIME) / 1000;
}

static void *checked(void *p)
{
	if (!p) {
		log_error("out of memory");
		abort();
	}
	return p;
}

void *xcalloc(size_t n, size_t size)
{
	return checked(calloc(n, size));
}

void *xrealloc(void *p, size_t n)
{
	return checked(realloc(p, n));
}

char *xstrdup(const char *s)
{
	return s ? checked(strdup(s)) : NULL;
}

struct event *xevent(struct event_base *base, int fd, short what, event_callback_fn fn, void *arg)
{
	return checked(event_new(base, fd, what, fn, arg));
}

struct event *xtimer(struct event_base *base, event_callback_fn fn, void *arg)
{
	return checked(evtimer_new(base, fn, arg));
}

/* ---- runs --------------------------------------------------------------------------------------------------------- */

struct run *engine_run(struct engine *e, uint32_t id)
{
	struct run *r = id < e->n_runs_cap ? e->runs[id] : NULL;

	return r && r->state != RUN_BULK ? r : NULL;
}

static bool all_digits(const char *s)
{
	return *s && s[strspn(s, "0123456789")] == '\0';
}

struct run *engine_find(struct engine *e, const char *run)
{
	if (all_digits(run)) {
		unsigned long long id = strtoull(run, NULL, 10);

		return id < UINT32_MAX ? engine_run(e, (uint32_t)id) : NULL;
	}
	return index_get(e->names, 0, run);
}

struct run *engine_find_key(struct engine *e, uid_t uid, const char *key)
{
	return index_get(e->keys, uid, key);
}

struct run *run_new(struct engine *e, uint32_t id)
{
	struct run *r = xcalloc(1, sizeof(*r));

	if (id >= e->n_runs_cap) {
		size_t cap = e->n_runs_cap ? (size_t)e->n_runs_cap * 2 : 256;

		while (cap <= id)
			cap *= 2;
		e->runs = xrealloc(e->runs, cap * sizeof(*e->runs));
		memset(e->runs + e->n_runs_cap, 0, (cap - e->n_runs_cap) * sizeof(*e->runs));
		e->n_runs_cap = (uint32_t)cap;
	}
	r->e = e;
	r->id = id;
	r->heap_pos = SIZE_MAX;
	TAILQ_INIT(&r->picks);
	TAILQ_INIT(&r->loaders);
	LIST_INIT(&r->waiters);
	arena_init(&r->arena);
	e->runs[id] = r;
	return r;
}

void run_index(struct run *r)
{
	if (r->name) {
		r->by_name = index_get(r->e->names, 0, r->name);
		index_put(r->e->names, 0, r->name, r);
	}
	if (r->key)
		index_put(r->e->keys, r->uid, r->key, r);
}

bool run_is_needed(const struct run *r)
{
	const struct run *latest = r->name ? index_get(r->e->names, 0, r->name) : NULL, *ok = latest;

	while (ok && ok->state != RUN_OK)
		ok = ok->by_name;
	return !run_is_final(r) || r == latest || r == ok;
}

/* A name leads to the latest run of that name; the ones before are chained behind it. */
static void unindex_name(struct run *r)
{
	struct run *head = index_get(r->e->names, 0, r->name);

	if (head == r) {
		index_del(r->e->names, 0, r->name);
		if (r->by_name)
			index_put(r->e->names, 0, r->by_name->name, r->by_name);
		return;
	}
	while (head && head->by_name != r)
		head = head->by_name;
	if (head)
		head->by_name = r->by_name;
}

void run_unload(struct run *r)
{
	map_free(r->map);
	run_unwant(r);
	run_unretire(r);
	jt_sched_free(r->sched);
	r->sched = NULL;
	free(r->mem);
	r->mem = NULL;
	r->mem_cap = 0;
	r->spec = NULL;
	r->env = (struct run_env){ .n = 0 };
	arena_done(&r->arena);
	arena_init(&r->arena);
	if (r->timer)
		event_free(r->timer);
	if (r->deadline)
		event_free(r->deadline);
	r->timer = r->deadline = NULL;
}

void run_forget(struct run *r)
{
	struct engine *e = r->e;

	quota_release(r);
	run_unload(r);
	if (r->name && r->state != RUN_BULK)
		unindex_name(r);
	if (r->key && engine_find_key(e, r->uid, r->key) == r)
		index_del(e->keys, r->uid, r->key);
	e->runs[r->id] = NULL;
	free(r->name);
	free(r->key);
	free(r->options);
	free(r);
}

struct job_mem *run_mem(struct run *r, jt_job j)
{
	if (j >= r->mem_cap) {
		size_t cap = r->mem_cap ? r->mem_cap + r->mem_cap / 2 : 16;

		if (cap <= j)
			cap = (size_t)j + 1;
		r->mem = xrealloc(r->mem, cap * sizeof(*r->mem));
		memset(r->mem + r->mem_cap, 0, (cap - r->mem_cap) * sizeof(*r->mem));
		r->mem_cap = cap;
	}
	return &r->mem[j];
}

int run_read_options(struct run *r, struct spec_error *err)
{
	json_auto_t *obj = json_loads(r->options ? r->options : "{}", 0, NULL);
	struct spec_run *spec = arena_alloc(&r->arena, sizeof(*spec));

	if (!obj || (r->is_map ? spec_map_read(json_object_get(obj, "map"), &r->arena, spec, err) : spec_run_read(obj, &r->arena, spec, err)) < 0)
		return -1;
	r->spec = spec;
	return 0;
}

void run_record(const struct run *r, struct store_op *op)
{
	op->run.state = (uint8_t)r->state;
	op->run.stream = r->stream;
	op->run.sealed = r->sealed;
	op->run.stopped = r->stopped;
	op->run.stop_why = (uint8_t)r->stop_why;
	op->run.paused = r->paused;
	op->run.n_jobs = r->n_jobs;
	op->run.submitted_at_us = r->submitted_at_us;
	op->run.started_at_us = r->started_at_us;
	op->run.ended_at_us = r->ended_at_us;
	memcpy(op->run.counts, r->counts, sizeof(op->run.counts));
}

bool run_is_final(const struct run *r)
{
	return r->state >= RUN_OK;
}

enum run_state run_shown_state(const struct run *r)
{
	if (run_is_final(r) || r->state == RUN_BULK)
		return r->state;
	if (r->paused)
		return RUN_PAUSED;
	return r->stream && !r->sealed && !r->is_map ? RUN_OPEN : RUN_RUNNING;
}

/* ---- active jobs -------------------------------------------------------------------------------------------------- */

static uint64_t mix(uint64_t x)
{
	x *= UINT64_C(0x9e3779b97f4a7c15);
	return x ^ x >> 29;
}

static void grow_active(struct engine *e)
{
	size_t cap = e->active ? (e->active_mask + 1) * 2 : 256;
	struct active **v = xcalloc(cap, sizeof(*v));

	for (size_t i = 0; e->active && i <= e->active_mask; i++)
		for (struct active *a = e->active[i], *next; a; a = next) {
			size_t h = mix(JOB_ID(a->run->id, a->idx)) & (cap - 1);

			next = a->next;
			a->next = v[h];
			v[h] = a;
		}
	free(e->active);
	e->active = v;
	e->active_mask = cap - 1;
}

struct active *active_find(struct engine *e, uint64_t id)
{
	struct active *a = e->active ? e->active[mix(id) & e->active_mask] : NULL;

	while (a && (JOB_ID(a->run->id, a->idx) != id || a->state == A_ENDING))
		a = a->next;
	return a;
}

struct active *active_find_attempt(struct engine *e, uint64_t id, uint32_t attempt)
{
	struct active *a = e->active ? e->active[mix(id) & e->active_mask] : NULL;

	while (a && (JOB_ID(a->run->id, a->idx) != id || a->attempt != attempt))
		a = a->next;
	return a;
}

struct active *active_new(struct run *r, jt_job j, uint32_t attempt, enum active_state st)
{
	struct engine *e = r->e;
	struct active *a = xcalloc(1, sizeof(*a));
	size_t h;

	if (!e->active || e->n_active > e->active_mask)
		grow_active(e);
	a->run = r;
	a->idx = j;
	a->attempt = attempt;
	a->state = st;
	arena_init(&a->arena);
	h = mix(JOB_ID(r->id, j)) & e->active_mask;
	a->next = e->active[h];
	e->active[h] = a;
	e->n_active++;
	return a;
}

void active_free(struct active *a)
{
	struct engine *e = a->run->e;
	struct active **p = &e->active[mix(JOB_ID(a->run->id, a->idx)) & e->active_mask];

	while (*p != a)
		p = &(*p)->next;
	*p = a->next;
	e->n_active--;
	arena_done(&a->arena);
	free(a);
}

/* ---- operations --------------------------------------------------------------------------------------------------- */

struct store_op *engine_op(struct engine *e, enum store_kind kind, struct run *r)
{
	struct store_op *op = store_op_new(kind);

	op->ctx = e;
	if (r)
		op->run.run = r->id;
	return op;
}

/* Items of maps come by the million, and their client is told of each: they leave no trace in the log. */
void engine_event(struct store_op *op, struct run *r, uint32_t idx, enum event_kind kind)
{
	if (r->is_map && idx != JT_NONE)
		return;
	op->event.seq = ++r->e->last_seq;
	op->event.at_us = now_us();
	op->event.run = r->id;
	op->event.idx = idx;
	op->event.kind = (uint8_t)kind;
	op->event.exit_code = -1;
}

void engine_post(struct engine *e, struct store_op *op)
{
	store_post(e->store, op);
}

void engine_settled(struct engine *e, void (*fn)(struct store_op *op), void *arg)
{
	struct store_op *op = engine_op(e, ST_EVENT, NULL);

	op->urgent = true;
	op->done = fn;
	op->arg = arg;
	engine_post(e, op);
}

struct pending {
	struct call *call;              /* NULL: aborted */
	json_t *params;
};

static void pending_aborted(void *arg, struct call *call)
{
	struct pending *p = arg;

	(void)call;
	p->call = NULL;
}

static void pending_done(struct store_op *op)
{
	struct pending *p = op->arg;

	FAILPOINT("before_acknowledge_client");
	if (p->call)
		call_reply(p->call, p->params);
	else
		json_decref(p->params);
	FAILPOINT("after_acknowledge_client");
	free(p);
}

static void reply_after(struct engine *e, struct call *call, json_t *params, bool urgent)
{
	struct pending *p = xcalloc(1, sizeof(*p));
	struct store_op *op = engine_op(e, ST_EVENT, NULL);     /* of no event: it only takes its place in the order */
	*p = (struct pending){ call, params };
	call_on_abort(call, pending_aborted, p);
	op->urgent = urgent;
	op->done = pending_done;
	op->arg = p;
	engine_post(e, op);
}

void reply_settled(struct engine *e, struct call *call, json_t *params)
{
	reply_after(e, call, params, true);
}

void reply_lazily(struct engine *e, struct call *call, json_t *params)
{
	reply_after(e, call, params, false);
}

/* ---- the turn ----------------------------------------------------------------------------------------------------- */

/* What a turn of the loop has caused leaves together: starts first, since slots are waiting. */
void engine_turn(struct engine *e)
{
	event_active(e->turn, EV_TIMEOUT, 0);
}
