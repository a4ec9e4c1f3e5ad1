/* SPDX-License-Identifier: MIT */
/* A worker of a map: one of the N threads that call the function of the user. */
#include "map_threads.h"
#include "tree.h"

/* The place whose item is to run now; JT_NONE: the worker goes home. */
static uint32_t next_place(struct jt_map *m, struct jti_patience *patience)
{
	for (;;) {
		jti_look_up(m);
		if (!jti_course_starts(&m->course))
			return JT_NONE;
		int64_t due = jti_window_due_ns(&m->window);
		uint32_t place = jti_window_start(&m->window, due != JT_NEVER ? jti_now() : 0);
		if (place == JT_NONE) {
			jti_wait(m, &m->items, patience, due);
			continue;
		}
		if (jti_window_due_ns(&m->window) != JT_NEVER)
			jti_call_one(&m->items);        /* another watches the next backoff */
		return place;
	}
}

/* The delay before another attempt, or -1. */
static int64_t again_in(struct jti_worker *w, const struct jti_place *p, int status)
{
	const struct jt_map *m = w->m;
	if (status == 0 || m->opts.retry.max == 0 || jt_map_stopping(m) || (m->work.retry_if && !m->work.retry_if(m->work.arg, status)))
		return -1;
	return jt_retry_delay(&m->opts.retry, p->r.attempts, jti_now() - p->first_ns, jti_random_next(&w->rnd));
}

/* One attempt, without the lock. Returns the delay before the next one, or -1: it has ended with *ret_status. */
static int64_t attempt(struct jti_worker *w, struct jti_place *p, int *ret_status, struct jt_item *ret_output)
{
	const struct jt_map *m = w->m;
	struct jt_call call = { m, p->r.seq, w->slot, p->r.attempts };
	if (p->r.attempts == 1 && m->opts.retry.max > 0)
		p->first_ns = jti_now();
	*ret_status = m->work.run(m->work.arg, &call, &p->r.item, ret_output);
	int64_t delay = again_in(w, p, *ret_status);
	if (delay >= 0)
		jt_item_done(ret_output);
	return delay;
}

void *jti_worker_main(void *arg)
{
	struct jti_worker *w = arg;
	struct jt_map *m = w->m;
	struct jti_patience patience = { JTI_PATIENCE_NS };
	jti_lock(m);
	for (uint32_t place; (place = next_place(m, &patience)) != JT_NONE;) {
		struct jt_item output = { 0 };
		int status;
		jti_unlock(m);
		int64_t delay = attempt(w, &m->window.place[place], &status, &output);
		jti_lock(m);
		if (delay >= 0)
			jti_window_backoff(&m->window, place, jti_after(jti_now(), delay));
		else
			jti_window_finish(&m->window, place, status, output);
	}
	jti_unlock(m);
	return NULL;
}
