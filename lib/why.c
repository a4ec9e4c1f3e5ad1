/* SPDX-License-Identifier: MIT */
/* Why a job does not run yet. */
#include <stdio.h>

#include "tree.h"

static void name_dir(struct jt_why *w, const struct jt_sched *s, uint32_t n, const char *end)
{
	size_t len = s->node[n].len < JT_PATH_MAX ? s->node[n].len : JT_PATH_MAX;
	memcpy(w->dir, node_path(s, n), len);
	snprintf(w->dir + len, sizeof(w->dir) - len, "%s", end);
}

/* Counts the jobs at or below top that have not ended or keep what waits for them shut. */
static void open_below(struct jt_why *w, const struct jt_sched *s, uint32_t top)
{
	for (uint32_t n = top; n != JT_NONE; n = jti_walk_next(s, top, n, true)) {
		const struct node *x = &s->node[n];
		bool gone_on = is_final(x) && (x->end & END_GOES_ON);
		if (!(x->flags & N_JOB) || gone_on)
			continue;
		w->n_open += !is_final(x);
		if (w->n_jobs < JT_WHY_JOBS)
			w->jobs[w->n_jobs++] = x->job;
	}
}

/* A job that runs in any case does not wait for a barrier whose members have all ended, shut or not. */
static bool barrier_waits(struct jt_why *w, const struct jt_sched *s, uint32_t barrier, enum jt_when when)
{
	uint32_t p = s->node[barrier].parent;
	if (s->node[barrier].flags & N_PASSED)
		return false;
	for (uint32_t c = s->node[p].child; c != JT_NONE; c = s->node[c].next)
		if (c != barrier)
			open_below(w, s, c);
	bool unsealed = !(s->node[p].flags & N_SEALED);
	if (when != JT_ON_SUCCESS && w->n_open == 0)
		w->n_jobs = 0;
	if (w->n_jobs == 0 && !unsealed)
		return false;
	w->what = w->n_jobs == 0 ? JT_WAITS_SEAL : JT_WAITS_BARRIER;
	w->shut = s->node[barrier].flags & N_DEAD;
	name_dir(w, s, barrier, "");
	return true;
}

/* The nearest thing above n that it waits for. */
static bool tree_waits(struct jt_why *w, const struct jt_sched *s, uint32_t n)
{
	for (uint32_t k = s->node[n].parent; k != JT_NONE && k != s->root; k = s->node[k].parent) {
		const struct node *x = &s->node[k];
		if ((x->flags & N_BARRIER) && barrier_waits(w, s, k, s->node[n].when))
			return true;
		if (!(x->flags & N_JOB) || (is_final(x) && ((x->end & END_GOES_ON) || s->node[n].when != JT_ON_SUCCESS)))
			continue;
		w->what = JT_WAITS_PARENT;
		w->jobs[w->n_jobs++] = x->job;
		return true;
	}
	return false;
}

static bool after_waits(struct jt_why *w, const struct jt_sched *s, uint32_t n)
{
	for (uint32_t e = s->has_side ? s->side[n].out : JT_NONE; e != JT_NONE; e = s->edges[e].next_out) {
		uint32_t to = s->edges[e].to;
		if (s->edges[e].subtree ? s->side[to].live == 0 : is_final(&s->node[to]))
			continue;
		if (s->edges[e].subtree) {
			open_below(w, s, to);
		} else {
			w->n_jobs = w->n_open = 1;
			w->jobs[0] = s->node[to].job;
		}
		w->what = w->n_jobs ? JT_WAITS_AFTER : JT_WAITS_SEAL;
		name_dir(w, s, to, s->edges[e].subtree ? "/" : "");
		return true;
	}
	return false;
}

static void ready_waits(struct jt_why *w, const struct jt_sched *s)
{
	if (s->paused)
		w->what = JT_WAITS_PAUSED;
	else if (s->counts.n[JT_STARTING] + s->counts.n[JT_RUNNING] >= s->opts.slots)
		w->what = JT_WAITS_SLOT;
	else if (s->pacing)
		w->what = JT_WAITS_PACE;
	w->at_ns = w->what == JT_WAITS_PACE ? s->next_ns : 0;
}

void jt_sched_why(struct jt_sched *s, jt_job j, struct jt_why *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (jti_begun(s, j, NULL) < 0)
		return;
	uint32_t n = s->node_of[j];
	switch (s->node[n].state) {
	case JT_HELD:
		ret->what = JT_WAITS_HELD;
		break;
	case JT_BACKOFF:
		ret->what = JT_WAITS_BACKOFF;
		ret->at_ns = s->due_at[n];
		break;
	case JT_READY:
		ready_waits(ret, s);
		break;
	case JT_WAITING:
		if (!tree_waits(ret, s, n) && !after_waits(ret, s, n))
			ret->what = JT_WAITS_WHEN;
		break;
	}
}
