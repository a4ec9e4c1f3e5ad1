/* SPDX-License-Identifier: MIT */
/*
 * Retry of what has ended: the jobs asked for go back to waiting, then what needs them, and then everything is derived anew.
 * While the jobs are gathered the flags say: DEAD everything below was looked at, SHUT the barriers above were.
 */
#include "tree.h"

struct again {
	struct jt_sched *s;
	uint32_t *v;                    /* jobs that go back */
	size_t n, done;
};

static void put_back(struct again *a, uint32_t n)
{
	static const enum jt_state waiting = JT_WAITING;
	struct node *x = &a->s->node[n];
	if (x->state == JT_BACKOFF)
		jti_due_remove(a->s, n);
	jti_set_state(a->s, n, waiting);
	x->end = x->reason = 0;
	x->cause = JT_NONE;
	if (a->s->seq_of)
		a->s->seq_of[n] = 0;
	a->v[a->n++] = n;
	jti_change(a->s, n);
}

/* n needs a job that went back. */
static void consider(struct again *a, uint32_t n)
{
	const struct node *x = &a->s->node[n];
	bool over = is_final(x) || x->state == JT_BACKOFF;
	bool good = x->state == JT_SOK || x->state == JT_WARNED;
	if ((x->flags & N_JOB) && over && (!good || x->when != JT_ON_SUCCESS))
		put_back(a, n);
}

static void consider_below(struct again *a, uint32_t top)
{
	struct jt_sched *s = a->s;
	for (uint32_t n = top; n != JT_NONE;) {
		bool fresh = !(s->node[n].flags & N_DEAD);
		s->node[n].flags |= N_DEAD;
		if (n != top)
			consider(a, n);
		n = jti_walk_next(s, top, n, fresh);
	}
}

static void consider_in(struct again *a, uint32_t n, bool subtree)
{
	struct jt_sched *s = a->s;
	for (uint32_t e = s->has_side ? s->side[n].in : JT_NONE; e != JT_NONE; e = s->edges[e].next_in)
		if (!!s->edges[e].subtree == subtree)
			consider(a, s->edges[e].from);
}

static void consider_needing(struct again *a, uint32_t n)
{
	struct jt_sched *s = a->s;
	if (!(s->node[n].flags & N_DEAD))
		consider_below(a, n);
	consider_in(a, n, false);
	for (; !(s->node[n].flags & N_SHUT); n = s->node[n].parent) {
		s->node[n].flags |= N_SHUT;
		consider_in(a, n, true);
		if (n == s->root)
			return;
		uint32_t b = s->node[n].flags & N_BARRIER ? JT_NONE : jti_barrier_of(s, s->node[n].parent);
		if (b != JT_NONE && !(s->node[b].flags & N_DEAD))
			consider_below(a, b);
	}
}

static bool asked_for(const struct node *x, bool all)
{
	bool good = x->state == JT_SOK || x->state == JT_WARNED;
	return (x->flags & N_JOB) && is_final(x) && (all || !good);
}

int jt_sched_retry(struct jt_sched *s, const char *path, size_t len, bool all, struct jt_changes *out, struct jt_error *err)
{
	char buf[SHOWN];
	if (!s->begun)
		return jti_fail(err, JT_ESTATE, JT_NONE, "the tree has not begun");
	uint32_t top = jti_node_find(s, path, len);
	if (top == JT_NONE)
		return jti_fail(err, JT_ENOENT, JT_NONE, "\"%s\" names no job and no directory", jti_shown(buf, path, len));
	struct again a = { s, malloc((s->n_jobs + 1u) * sizeof(uint32_t)), 0, 0 };
	if (!a.v || (out && jti_changes_reserve(out, 2 * (size_t)s->n_jobs) < 0)) {
		free(a.v);
		return jti_fail(err, JT_ENOMEM, JT_NONE, "out of memory to retry in a tree of %u jobs", s->n_jobs);
	}
	s->out = out;
	for (uint32_t n = 0; n < s->n_nodes; n++)
		s->node[n].flags &= (uint16_t)~(N_DEAD | N_SHUT);
	for (uint32_t n = top; n != JT_NONE; n = jti_walk_next(s, top, n, true))
		if (asked_for(&s->node[n], all))
			put_back(&a, n);
	while (a.done < a.n)
		consider_needing(&a, a.v[a.done++]);
	free(a.v);
	if (a.n > 0)
		s->stopped = s->stop_now = false;
	jti_flow_derive(s);
	return 0;
}
