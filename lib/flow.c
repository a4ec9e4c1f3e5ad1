/* SPDX-License-Identifier: MIT */
/* What an end means for the rest of the tree. The facts that flow, and in which direction, are drawn in tree.h. */
#include "tree.h"

void jti_set_state(struct jt_sched *s, uint32_t n, enum jt_state st)
{
	s->counts.n[s->node[n].state]--;
	s->counts.n[st]++;
	s->node[n].state = (uint8_t)st;
}

void jti_set_final(struct jt_sched *s, uint32_t n, const struct jt_end *e, enum jt_reason why, uint32_t cause)
{
	struct node *x = &s->node[n];
	if (x->state == JT_READY)
		jti_queue_remove(s, n);
	if (x->state == JT_BACKOFF)
		jti_due_remove(s, n);
	jti_set_state(s, n, e->state);
	x->end = (uint8_t)((e->goes_on ? END_GOES_ON : 0) | (e->fails_run ? END_FAILS : 0) | (e->stops_run ? END_STOPS : 0));
	x->reason = (uint8_t)why;
	x->cause = cause;
	x->flags &= (uint16_t)~(N_AVAILABLE | N_DUE);
	s->n_fails += e->fails_run;
}

static bool goes_on(const struct node *x)
{
	return is_final(x) && (x->end & END_GOES_ON);
}

/* Whether a job failed, was lost or cancelled, or was skipped because of such a one. */
bool jti_failed_for_real(const struct jt_sched *s, uint32_t n)
{
	const struct node *x = &s->node[n];
	if (!is_final(x) || (x->end & END_GOES_ON))
		return false;
	if (x->state == JT_SKIPPED && x->reason == JT_UPSTREAM && x->cause != JT_NONE)
		return s->node[s->node_of[x->cause]].state != JT_SKIPPED;
	return x->state != JT_SKIPPED || x->reason == JT_STOPPED;
}

/* ---- work that is put off until the walk under way is over ---- */

/* A ring with room for each node twice: once to be judged, once to be killed below. */
static void work_put(struct jt_sched *s, uint32_t what)
{
	size_t cap = 2 * (size_t)s->nodes_cap;
	s->work[(s->work_head + s->work_n++) % cap] = what;
}

static uint32_t work_take(struct jt_sched *s)
{
	uint32_t what = s->work[s->work_head];
	s->work_n--;
	s->work_head = s->work_n ? (s->work_head + 1) % (2 * (size_t)s->nodes_cap) : 0;
	return what;
}

void jti_judge_later(struct jt_sched *s, uint32_t n)
{
	if (s->node[n].flags & N_QUEUED)
		return;
	s->node[n].flags |= N_QUEUED;
	work_put(s, n);
}

#define KILL_BIT (UINT32_C(1) << 31)

void jti_kill_later(struct jt_sched *s, uint32_t n, uint32_t cause)
{
	struct node *x = &s->node[n];
	if (x->flags & (N_KILL | N_PASSED))
		return;
	x->flags |= N_KILL | N_DEAD;
	if (!(x->flags & N_JOB))
		x->cause = cause;
	work_put(s, n | KILL_BIT);
}

/* ---- down: what goes on ---- */

static void make_available(struct jt_sched *s, uint32_t n)
{
	struct node *x = &s->node[n];
	if (x->flags & N_AVAILABLE)
		return;
	x->flags |= N_AVAILABLE;
	if (s->seq_of && s->seq_of[n] == 0)
		s->seq_of[n] = ++s->seq;
	if (x->state != JT_WAITING)
		return;
	jti_set_state(s, n, JT_READY);
	jti_queue_push(s, n);
}

void jti_flow_release(struct jt_sched *s, uint32_t n)
{
	struct node *x = &s->node[n];
	if (x->when != JT_ON_SUCCESS)
		return;                       /* waits for FINAL */
	if (s->has_side && s->side[n].out != JT_NONE) {
		x->flags |= N_RELEASED;
		jti_judge_later(s, n);
	} else {
		make_available(s, n);
	}
}

/* Enters child c of a node that has been passed. Returns whether it is passed as well, so that the walk goes on below it. */
static bool enter(struct jt_sched *s, uint32_t c)
{
	struct node *x = &s->node[c];
	if (x->flags & N_BARRIER)
		return false;
	if ((x->flags & N_JOB) && !is_final(x))
		jti_flow_release(s, c);
	if ((x->flags & N_JOB) && !goes_on(x))
		return false;
	x->flags |= N_PASSED;
	return true;
}

/* All children of n are complete: its barrier opens (and is the next to be walked), or n itself is complete. */
static uint32_t arrived(struct jt_sched *s, uint32_t n)
{
	struct node *x = &s->node[n];
	uint32_t b = jti_barrier_of(s, n);
	if (b != JT_NONE && !(s->node[b].flags & N_PASSED)) {
		x->pend = 1;
		s->node[b].flags |= N_PASSED;
		return b;
	}
	x->flags |= N_COMPLETE;
	if (n != s->root)
		s->node[x->parent].pend--;
	return JT_NONE;
}

/* Walks what has been passed, from child c of `top` on: releases jobs, opens barriers, completes nodes, also above top. Iterative:
 * down by child, up by parent. */
static void walk_passed(struct jt_sched *s, uint32_t top, uint32_t c)
{
	for (uint32_t cur = top;;) {
		while (c != JT_NONE && !enter(s, c))
			c = s->node[c].next;
		if (c != JT_NONE) {
			cur = c;
			c = s->node[cur].child;
			continue;
		}
		if (s->node[cur].pend == 0 && (c = arrived(s, cur)) != JT_NONE) {
			cur = c;
			c = s->node[cur].child;
			continue;
		}
		if (cur == s->root || (cur == top && s->node[cur].pend > 0))
			return;
		if (cur == top) {                       /* what stands beside it was walked before */
			top = s->node[cur].parent;
			if (s->node[top].pend > 0)
				return;
		} else if (!(s->node[cur].flags & N_BARRIER)) {
			c = s->node[cur].next;
		}
		cur = s->node[cur].parent;
	}
}

void jti_flow_pass(struct jt_sched *s, uint32_t n)
{
	s->node[n].flags |= N_PASSED;
	walk_passed(s, n, s->node[n].child);
}

/* ---- up: what does not go on ---- */

static void tell_in(struct jt_sched *s, uint32_t n, bool subtree)
{
	for (uint32_t e = s->side[n].in; e != JT_NONE; e = s->edges[e].next_in)
		if (!!s->edges[e].subtree == subtree)
			jti_judge_later(s, s->edges[e].from);
}

static void mark_shut(struct jt_sched *s, uint32_t n, unsigned mark)
{
	struct node *x = &s->node[n];
	unsigned fresh = mark & ~(unsigned)x->flags;
	x->flags |= (uint16_t)mark;
	if (x->parent == s->root) {
		s->n_shut += !!(fresh & N_SHUT);
		s->n_bad += !!(fresh & N_BAD);
	}
}

void jti_flow_shut(struct jt_sched *s, uint32_t n)
{
	uint32_t cause = s->node[n].reason == JT_UPSTREAM && s->node[n].cause != JT_NONE ? s->node[n].cause : s->node[n].job;
	unsigned mark = N_SHUT | (jti_failed_for_real(s, n) ? N_BAD : 0);
	if (s->has_side)
		tell_in(s, n, false);
	while ((s->node[n].flags & mark) != mark) {
		const struct node *x = &s->node[n];
		mark_shut(s, n, mark);
		if (s->has_side)
			tell_in(s, n, true);
		if (n == s->root)
			return;
		if (!(x->flags & N_BARRIER)) {
			uint32_t b = jti_barrier_of(s, x->parent);
			if (mark & N_BAD)
				s->node[x->parent].flags |= N_BAD_MEMBER;
			if (b != JT_NONE)
				jti_kill_later(s, b, cause);
		}
		n = x->parent;
	}
}

static const struct jt_end skipped = { .state = JT_SKIPPED };
static const struct jt_end not_needed = { .state = JT_SKIPPED, .goes_on = true };

static bool under_way(const struct node *x)
{
	return x->state == JT_STARTING || x->state == JT_RUNNING;
}

void jti_flow_skip(struct jt_sched *s, uint32_t n, enum jt_reason why, uint32_t cause)
{
	jti_set_final(s, n, why == JT_NOT_NEEDED ? &not_needed : &skipped, why, cause);
	jti_change(s, n);
	jti_flow_settle(s, n);
	if (why != JT_NOT_NEEDED)
		jti_flow_shut(s, n);
}

/* Everything below top can never start. Where a subtree is DEAD already, it was told before. */
static void kill_below(struct jt_sched *s, uint32_t top)
{
	uint32_t cause = s->node[top].cause;
	if (s->node[top].flags & N_JOB)
		cause = s->node[top].reason == JT_UPSTREAM && cause != JT_NONE ? cause : s->node[top].job;
	s->node[top].flags |= N_DEAD;
	for (uint32_t n = jti_walk_next(s, top, top, true); n != JT_NONE;) {
		struct node *x = &s->node[n];
		bool fresh = !(x->flags & N_DEAD);
		x->flags |= N_DEAD;
		if (fresh && (x->flags & N_JOB) && !is_final(x) && !under_way(x) && x->when == JT_ON_SUCCESS)
			jti_flow_skip(s, n, JT_UPSTREAM, cause);
		n = jti_walk_next(s, top, n, fresh);
	}
}

/* ---- finality ---- */

/* The members of n's barrier: everything below n but what stands below the barrier itself. */
static bool members_final(const struct jt_sched *s, uint32_t n, uint32_t barrier)
{
	const struct node *x = &s->node[n];
	uint32_t own = (x->flags & N_JOB) && !is_final(x);
	return s->side[n].live == own + (s->side[barrier].live > 0);
}

static bool final_enter(struct jt_sched *s, uint32_t c)
{
	struct node *x = &s->node[c], *p = &s->node[x->parent];
	if (x->flags & N_FINAL)
		return false;
	if (x->flags & N_JOB)
		jti_judge_later(s, c);
	if (((x->flags & N_JOB) && !is_final(x)) || ((x->flags & N_BARRIER) && !members_final(s, x->parent, c)))
		return false;
	bool bad = (p->flags & N_BAD_NEED) || jti_failed_for_real(s, c) || ((x->flags & N_BARRIER) && (p->flags & N_BAD_MEMBER));
	x->flags |= (uint16_t)(N_FINAL | (bad ? N_BAD_NEED : 0));
	return true;
}

static void final_below(struct jt_sched *s, uint32_t top)
{
	for (uint32_t n = jti_walk_next(s, top, top, true); n != JT_NONE;)
		n = jti_walk_next(s, top, n, final_enter(s, n));
}

static void count_down(struct jt_sched *s, uint32_t n)
{
	while (--s->side[n].live == 0) {
		for (uint32_t e = s->side[n].in; e != JT_NONE; e = s->edges[e].next_in)
			if (s->edges[e].subtree) {
				s->side[s->edges[e].from].open--;
				jti_judge_later(s, s->edges[e].from);
			}
		if (n == s->root)
			return;
		n = s->node[n].parent;
	}
}

/* A count went down at n or above: barriers above may now be FINAL. Stops where a subtree is still alive beside this one. */
static void barriers_final(struct jt_sched *s, uint32_t n)
{
	for (;; n = s->node[n].parent) {
		uint32_t b = jti_barrier_of(s, n);
		if (b != JT_NONE && (s->node[n].flags & N_FINAL) && final_enter(s, b))
			final_below(s, b);
		if (n == s->root || s->side[n].live > 0)
			return;
	}
}

/* BAD flags of n must have been set before: FINAL takes a copy of them. */
void jti_flow_settle(struct jt_sched *s, uint32_t n)
{
	if (!s->has_side)
		return;
	if (!(s->node[n].end & END_GOES_ON))
		jti_flow_shut(s, n);
	for (uint32_t e = s->side[n].in; e != JT_NONE; e = s->edges[e].next_in)
		if (!s->edges[e].subtree) {
			s->side[s->edges[e].from].open--;
			jti_judge_later(s, s->edges[e].from);
		}
	count_down(s, n);
	if ((s->node[s->node[n].parent].flags & N_FINAL) && final_enter(s, n))
		final_below(s, n);
	barriers_final(s, n);
}

void jti_flow_closed(struct jt_sched *s, uint32_t n)
{
	if (s->has_side) {
		count_down(s, n);
		barriers_final(s, n);
	}
	if (--s->node[n].pend == 0 && (s->node[n].flags & N_PASSED))
		walk_passed(s, n, JT_NONE);
}

static uint32_t shut_by(const struct jt_sched *s, uint32_t top)
{
	for (uint32_t n = top; n != JT_NONE; n = jti_walk_next(s, top, n, s->node[n].flags & N_SHUT)) {
		const struct node *x = &s->node[n];
		if ((x->flags & N_JOB) && is_final(x) && !(x->end & END_GOES_ON))
			return x->reason == JT_UPSTREAM && x->cause != JT_NONE ? x->cause : x->job;
	}
	return JT_NONE;
}

/* The job because of which everything below the dead node n is skipped. */
static uint32_t dead_because(const struct jt_sched *s, uint32_t n)
{
	while (n != s->root && s->node[n].cause == JT_NONE && (s->node[s->node[n].parent].flags & N_DEAD))
		n = s->node[n].parent;
	const struct node *x = &s->node[n];
	return x->cause != JT_NONE || !(x->flags & N_JOB) ? x->cause : x->job;
}

/* The parent's facts reach the new node; nodes are told in the order in which they were added, parents first. */
void jti_flow_grown(struct jt_sched *s, uint32_t n)
{
	struct node *x = &s->node[n];
	unsigned above = s->node[x->parent].flags;
	if (above & N_DEAD) {
		x->flags |= N_DEAD;
		if ((x->flags & N_JOB) && x->when == JT_ON_SUCCESS)
			jti_flow_skip(s, n, JT_UPSTREAM, dead_because(s, x->parent));
	} else if ((x->flags & N_BARRIER) && (above & N_SHUT)) {
		jti_kill_later(s, n, shut_by(s, x->parent));
	} else if (above & N_PASSED) {
		enter(s, n);
	}
	if (!s->has_side)
		return;
	if ((above & N_FINAL) && final_enter(s, n))
		final_below(s, n);
	if (x->flags & N_JOB)
		jti_judge_later(s, n);
}

/* ---- jobs that have `after` or `when` ---- */

/* The job that keeps the `after` of n from ever being met, or JT_NONE. */
static uint32_t spoiled_by(const struct jt_sched *s, uint32_t n)
{
	for (uint32_t e = s->side[n].out; e != JT_NONE; e = s->edges[e].next_out) {
		const struct node *t = &s->node[s->edges[e].to];
		if (s->edges[e].subtree ? t->flags & N_SHUT : is_final(t) && !(t->end & END_GOES_ON)) {
			uint32_t by = s->edges[e].subtree ? shut_by(s, s->edges[e].to) : JT_NONE;
			return by != JT_NONE ? by : t->reason == JT_UPSTREAM && t->cause != JT_NONE ? t->cause : t->job;
		}
	}
	return JT_NONE;
}

static bool something_failed(const struct jt_sched *s, uint32_t n)
{
	if (s->node[s->node[n].parent].flags & N_BAD_NEED)
		return true;
	for (uint32_t e = s->side[n].out; e != JT_NONE; e = s->edges[e].next_out)
		if (s->edges[e].subtree ? s->node[s->edges[e].to].flags & N_BAD : jti_failed_for_real(s, s->edges[e].to))
			return true;
	return false;
}

static void skip_not_needed(struct jt_sched *s, uint32_t top)
{
	for (uint32_t n = top; n != JT_NONE; n = jti_walk_next(s, top, n, true)) {
		const struct node *x = &s->node[n];
		if ((x->flags & N_JOB) && !is_final(x) && !under_way(x))
			jti_flow_skip(s, n, JT_NOT_NEEDED, JT_NONE);
	}
	if (!(s->node[top].flags & N_DEAD) && (s->node[s->node[top].parent].flags & N_PASSED))
		jti_flow_pass(s, top);
}

static void judge_success(struct jt_sched *s, uint32_t n)
{
	uint32_t by = spoiled_by(s, n);
	if (by != JT_NONE) {
		jti_flow_skip(s, n, JT_UPSTREAM, by);
		s->node[n].flags |= N_DEAD;
		kill_below(s, n);
	} else if (s->side[n].open == 0 && (s->node[n].flags & N_RELEASED)) {
		make_available(s, n);
	}
}

static void judge(struct jt_sched *s, uint32_t n)
{
	struct node *x = &s->node[n];
	if (!(x->flags & N_JOB) || is_final(x) || under_way(x) || (x->flags & N_AVAILABLE))
		return;
	if (x->when == JT_ON_SUCCESS) {
		if (s->side[n].out != JT_NONE)
			judge_success(s, n);
	} else if ((s->node[x->parent].flags & N_FINAL) && s->side[n].open == 0) {
		if (x->when == JT_ON_FINISHED || something_failed(s, n))
			make_available(s, n);
		else
			skip_not_needed(s, n);
	}
}

void jti_flow_run(struct jt_sched *s)
{
	while (s->work_n > 0) {
		uint32_t n = work_take(s);
		if (n & KILL_BIT) {
			kill_below(s, n & ~KILL_BIT);
		} else {
			s->node[n].flags &= (uint16_t)~N_QUEUED;
			judge(s, n);
		}
	}
	s->out = NULL;
}

void jti_flow_end(struct jt_sched *s, uint32_t n)
{
	const struct node *x = &s->node[n];
	jti_flow_settle(s, n);
	if (x->end & END_GOES_ON) {
		if (!(x->flags & (N_DEAD | N_PASSED)) && (s->node[x->parent].flags & N_PASSED))
			jti_flow_pass(s, n);
		return;
	}
	jti_flow_shut(s, n);
	if (x->child != JT_NONE)
		kill_below(s, n);
	else
		s->node[n].flags |= N_DEAD;
}

/* ---- everything anew ---- */

static void reset(struct jt_sched *s)
{
	jti_queue_clear(s);
	s->work_head = s->work_n = 0;
	s->n_fails = s->n_shut = s->n_bad = 0;
	for (uint32_t n = 0; n < s->n_nodes; n++) {
		struct node *x = &s->node[n];
		x->flags &= N_KEPT;
		x->pend = s->opts.mode == JT_STREAM && !(x->flags & N_SEALED);
		if (s->has_side)
			s->side[n].live = x->pend + ((x->flags & N_JOB) != 0);
		if (x->state == JT_READY && (x->flags & N_JOB))
			jti_set_state(s, n, JT_WAITING);
		if ((x->flags & N_JOB) && is_final(x))
			s->n_fails += !!(x->end & END_FAILS);
	}
	for (uint32_t n = 0; n < s->n_nodes; n++) {
		if (n == s->root)
			continue;
		uint32_t p = s->node[n].parent;
		s->node[p].pend += !(s->node[n].flags & N_BARRIER);
		if (s->has_side) {
			s->side[p].live++;
			s->side[n].open = 0;
		}
	}
	for (uint32_t e = 0; s->has_side && e < s->n_edges; e++)
		s->side[s->edges[e].from].open++;
}

/* A gap added to a stream may have no job below it at first: its count must not start at 1 for nothing. It never has: the
 * job follows in the same call. So every child node is alive at reset, and settling all final jobs brings the counts down. */
void jti_flow_derive(struct jt_sched *s)
{
	reset(s);
	for (uint32_t n = 0; s->has_side && n < s->n_nodes; n++)
		if ((s->node[n].flags & N_JOB) && is_final(&s->node[n]))
			jti_flow_settle(s, n);
	jti_flow_pass(s, s->root);
	for (uint32_t n = 0; n < s->n_nodes; n++) {
		const struct node *x = &s->node[n];
		if (!(x->flags & N_JOB) || !is_final(x) || (x->end & END_GOES_ON))
			continue;
		jti_flow_shut(s, n);
		kill_below(s, n);
	}
	if (s->has_side) {
		s->node[s->root].flags |= N_FINAL;
		final_below(s, s->root);
		for (uint32_t n = 0; n < s->n_nodes; n++)
			if ((s->node[n].flags & N_JOB) && (s->node[n].when || s->side[n].out != JT_NONE))
				jti_judge_later(s, n);
	}
	jti_flow_run(s);
	for (uint32_t n = 0; s->seq_of && n < s->n_nodes; n++)
		if (!(s->node[n].flags & N_AVAILABLE))
			s->seq_of[n] = 0;       /* has lost its place; the others kept theirs */
}
