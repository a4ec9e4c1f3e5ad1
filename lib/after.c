/* SPDX-License-Identifier: MIT */
/* Edges inside the tree (`after`), and the search for jobs that wait for each other. */
#include <stdio.h>

#include "tree.h"

int jti_after_enable(struct jt_sched *s)
{
	if (s->has_side || (s->n_wishes == 0 && !s->when))
		return 0;
	s->side = malloc(s->nodes_cap * sizeof(*s->side));
	if (!s->side)
		return -1;
	for (uint32_t n = 0; n < s->n_nodes; n++)
		s->side[n] = (struct side){ JT_NONE, JT_NONE, 0, 0 };
	s->has_side = true;
	return 0;
}

static bool is_at_or_below(const struct jt_sched *s, uint32_t n, uint32_t top)
{
	while (n != top && n != s->root)
		n = s->node[n].parent;
	return n == top;
}

static int refuse_own_subtree(const struct jt_sched *s, uint32_t job, const char *text, size_t len, struct jt_error *err)
{
	char a[SHOWN], b[SHOWN];
	const char *path = job_path(s, job), *name = strrchr(path, '/');
	jti_shown(a, path, job_len(s, job));
	jti_shown(b, text, len);
	return jti_fail(err, JT_ECYCLE, job, "job \"%s\": is inside the subtree it wants to run after (\"%s/\"); name it \"%s/%s/%s\" instead",
		    a, b, b, s->barrier, name ? name + 1 : path);
}

static int resolve(struct jt_sched *s, const struct wish *w, struct jt_error *err)
{
	char a[SHOWN], b[SHOWN];
	const char *text = s->wish_text + w->text;
	bool subtree = w->len > 1 && text[w->len - 1] == '/';
	size_t len = w->len - subtree;
	uint32_t from = s->node_of[w->job], to = len ? jti_node_find(s, text, len) : JT_NONE;
	if (to == JT_NONE || (!subtree && !(s->node[to].flags & N_JOB)))
		return jti_fail(err, JT_ENOENT, w->job, "job \"%s\": after \"%s\" names no %s", jti_shown(a, job_path(s, w->job), job_len(s, w->job)),
			    jti_shown(b, text, w->len), subtree ? "job or directory" : "job");
	if (subtree && is_at_or_below(s, from, to))
		return refuse_own_subtree(s, w->job, text, len, err);
	size_t cap = s->edges_cap;
	if (jti_room(&s->edges, &cap, s->n_edges + 1u, sizeof(*s->edges)) < 0)
		return jti_fail(err, JT_ENOMEM, JT_NONE, "out of memory for %u dependencies", s->n_edges);
	s->edges_cap = (uint32_t)cap;
	s->edges[s->n_edges] = (struct edge){ from, to, s->side[from].out, s->side[to].in, subtree };
	s->side[from].out = s->side[to].in = s->n_edges++;
	return 0;
}

int jti_after_resolve(struct jt_sched *s, uint32_t first_job, struct jt_error *err)
{
	for (size_t i = 0; i < s->n_wishes; i++)
		if (s->wishes[i].job >= first_job && resolve(s, &s->wishes[i], err) < 0)
			return -1;
	return 0;
}

/*
 * Four points in the life of a node, and what must come first (Kahn 1962):
 *
 *	START   of n: END of its parent; for a barrier directory also MEMBERS of its parent
 *	END     of n: START of n, and what its `after` names: END of a job, ALL of a subtree
 *	MEMBERS of n: ALL of each child but the barrier
 *	ALL     of n: END and MEMBERS of n, ALL of its barrier
 */
enum { START, END, MEMBERS, ALL };

struct kahn {
	const struct jt_sched *s;
	uint32_t *missing, *queue;
	size_t n;
};

static void met(struct kahn *k, uint32_t n, unsigned what)
{
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
		for (uint32_t e = s->side[n].out; e != JT_NONE; e = s->edges[e].next_out)
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
	for (uint32_t e = k->s->side[n].in; e != JT_NONE; e = k->s->edges[e].next_in)
		if (!!k->s->edges[e].subtree == subtree)
			met(k, k->s->edges[e].from, END);
}

static void reach(struct kahn *k, uint32_t v)
{
	const struct jt_sched *s = k->s;
	uint32_t n = v / 4, b = jti_barrier_of(s, n);
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
		for (uint32_t e = s->side[n].out; e != JT_NONE; e = s->edges[e].next_out) {
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

int jti_cycle_check(struct jt_sched *s, uint32_t first_job, struct jt_error *err)
{
	if (s->n_edges == 0 || s->n_wishes == 0)
		return 0;
	(void)first_job;
	size_t n = 4 * (size_t)s->n_nodes;
	struct kahn k = { s, calloc(n, sizeof(uint32_t)), malloc(n * sizeof(uint32_t)), 0 };
	int r = 0;
	if (!k.missing || !k.queue) {
		r = jti_fail(err, JT_ENOMEM, JT_NONE, "out of memory to look for cycles");
	} else {
		count(&k);
		for (size_t i = 0; i < k.n; i++)
			reach(&k, k.queue[i]);
		for (uint32_t v = 0; k.n < n && r == 0; v++)
			if (k.missing[v])
				r = tell(&k, v, err);
	}
	free(k.missing);
	free(k.queue);
	return r;
}
