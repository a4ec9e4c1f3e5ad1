/* SPDX-License-Identifier: MIT */
/* Chains of needs over tree, barriers and `after`: the search for jobs that wait for each other, and the longest chain to each job. */
#include <stdio.h>

#include "tree.h"

/*
 * Four points in the life of a node, and what must come first (Kahn 1962):
 *
 *	START   of n: END of its parent; for a barrier directory also MEMBERS of its parent
 *	END     of n: START of n, and what its `after` names: END of a job, ALL of a subtree
 *	MEMBERS of n: ALL of each child but the barrier
 *	ALL     of n: END and MEMBERS of n, ALL of its barrier
 *
 * A point has a level: the most jobs that any way to it passes.
 */
enum { START, END, MEMBERS, ALL };

struct kahn {
	const struct jt_sched *s;
	uint32_t *missing, *queue;      /* by point: what it still waits for; the points reached, in order */
	uint32_t *level;                /* by point; NULL: nobody asks */
	uint32_t here;                  /* level of the point that is being left */
	size_t n;
};

static uint32_t first_out(const struct jt_sched *s, uint32_t n)
{
	return s->has_side ? s->side[n].out : JT_NONE;
}

static void met(struct kahn *k, uint32_t n, unsigned what)
{
	if (k->level && k->level[4 * (size_t)n + what] < k->here)
		k->level[4 * (size_t)n + what] = k->here;
	if (--k->missing[4 * (size_t)n + what] == 0)
		k->queue[k->n++] = 4 * n + what;
}

static void count(struct kahn *k)
{
	const struct jt_sched *s = k->s;
	for (uint32_t n = 0; n < s->n_nodes; n++) {
		uint32_t *m = k->missing + 4 * (size_t)n;
		m[START] += n == s->root ? 0 : 1 + !!(s->node[n].flags & N_BARRIER);
		m[END] += 1;
		for (uint32_t e = first_out(s, n); e != JT_NONE; e = s->edges[e].next_out)
			m[END]++;
		m[ALL] += 2 + (jti_barrier_of(s, n) != JT_NONE);
		if (n != s->root && !(s->node[n].flags & N_BARRIER))
			k->missing[4 * (size_t)s->node[n].parent + MEMBERS]++;
	}
	for (size_t v = 0; v < 4 * (size_t)s->n_nodes; v++)
		if (k->missing[v] == 0)
			k->queue[k->n++] = (uint32_t)v;
}

static void met_in(struct kahn *k, uint32_t n, bool subtree)
{
	for (uint32_t e = k->s->has_side ? k->s->side[n].in : JT_NONE; e != JT_NONE; e = k->s->edges[e].next_in)
		if (!!k->s->edges[e].subtree == subtree)
			met(k, k->s->edges[e].from, END);
}

static void reach(struct kahn *k, uint32_t v)
{
	const struct jt_sched *s = k->s;
	uint32_t n = v / 4, b = jti_barrier_of(s, n);
	if (k->level)
		k->here = k->level[v] += v % 4 == END && (s->node[n].flags & N_JOB);
	switch (v % 4) {
	case START:
		met(k, n, END);
		break;
	case END:
		met(k, n, ALL);
		met_in(k, n, false);
		for (uint32_t c = s->node[n].child; c != JT_NONE; c = s->node[c].next)
			met(k, c, START);
		break;
	case MEMBERS:
		met(k, n, ALL);
		if (b != JT_NONE)
			met(k, b, START);
		break;
	case ALL:
		met_in(k, n, true);
		if (n != s->root)
			met(k, s->node[n].parent, s->node[n].flags & N_BARRIER ? ALL : MEMBERS);
		break;
	}
}

/* Some point that v waits for and that was never reached. */
static uint32_t waits_for(const struct kahn *k, uint32_t v)
{
	const struct jt_sched *s = k->s;
	uint32_t n = v / 4, up = s->node[n].parent;
	switch (v % 4) {
	case START:
		return k->missing[4 * (size_t)up + END] ? 4 * up + END : 4 * up + MEMBERS;
	case END:
		for (uint32_t e = first_out(s, n); e != JT_NONE; e = s->edges[e].next_out) {
			uint32_t to = 4 * s->edges[e].to + (s->edges[e].subtree ? ALL : END);
			if (k->missing[to])
				return to;
		}
		return 4 * n + START;
	case MEMBERS:
		for (uint32_t c = s->node[n].child; c != JT_NONE; c = s->node[c].next)
			if (!(s->node[c].flags & N_BARRIER) && k->missing[4 * (size_t)c + ALL])
				return 4 * c + ALL;
		break;
	}
	if (k->missing[4 * (size_t)n + END])
		return 4 * n + END;
	return k->missing[4 * (size_t)n + MEMBERS] ? 4 * n + MEMBERS : 4 * jti_barrier_of(s, n) + ALL;
}

static int tell(struct kahn *k, uint32_t v, struct jt_error *err)
{
	const struct jt_sched *s = k->s;
	char text[800], name[SHOWN];
	size_t at = 0, names = 0;
	uint32_t first = JT_NONE;
	for (size_t i = 0; i < 4 * (size_t)s->n_nodes; i++)         /* long enough to be on the cycle for sure */
		v = waits_for(k, v);
	uint32_t start = v;
	do {
		uint32_t n = v / 4;
		if (v % 4 == END && (s->node[n].flags & N_JOB) && names++ < 20 && at + SHOWN + 20 < sizeof(text)) {
			first = first == JT_NONE ? s->node[n].job : first;
			at += (size_t)snprintf(text + at, sizeof(text) - at, "%s\"%s\"", at ? " waits for " : "",
					       jti_shown(name, node_path(s, n), s->node[n].len));
		}
		v = waits_for(k, v);
	} while (v != start);
	text[at] = 0;
	return jti_fail(err, JT_ECYCLE, first, "jobs wait for each other: %s waits for the first again", text);
}

static int kahn_run(struct kahn *k)
{
	size_t n = 4 * (size_t)k->s->n_nodes;
	k->missing = calloc(n, sizeof(uint32_t));
	k->queue = malloc(n * sizeof(uint32_t));
	if (!k->missing || !k->queue)
		return -1;
	count(k);
	for (size_t i = 0; i < k->n; i++)
		reach(k, k->queue[i]);
	return 0;
}

static void kahn_done(struct kahn *k)
{
	free(k->missing);
	free(k->queue);
	free(k->level);
}

/* Only what was asked for since the last check can close a cycle. */
int jti_cycle_check(const struct jt_sched *s, struct jt_error *err)
{
	if (s->n_edges == 0 || s->n_wishes == 0)
		return 0;
	struct kahn k = { .s = s };
	int r = kahn_run(&k);
	if (r < 0)
		jti_fail(err, JT_ENOMEM, JT_NONE, "out of memory to look for cycles");
	for (uint32_t v = 0; r == 0 && k.n < 4 * (size_t)s->n_nodes; v++)
		if (k.missing[v])
			r = tell(&k, v, err);
	kahn_done(&k);
	return r;
}

int jti_levels(const struct jt_sched *s, uint32_t *ret_own)
{
	struct kahn k = { .s = s, .level = calloc(4 * (size_t)s->n_nodes, sizeof(uint32_t)) };
	int r = k.level ? kahn_run(&k) : -1;
	for (uint32_t n = 0; r == 0 && n < s->n_nodes; n++)
		ret_own[n] = s->node[n].flags & N_JOB ? k.level[4 * (size_t)n + END] : 0;
	kahn_done(&k);
	return r;
}
