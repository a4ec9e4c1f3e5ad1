/* SPDX-License-Identifier: MIT */
/* Levels of waiting: the length of the longest chain of needs that ends in a job. */
#include "tree.h"

struct levels {
	const struct jt_sched *s;
	uint32_t *own;          /* by node: level of the job, 0 for none */
	uint32_t *above;        /* by node: the highest level on the way down to it, its barriers' members included */
	uint32_t *all;          /* by node: the highest level at or below */
	uint32_t *members;      /* by node: the same without its barrier */
};

static uint32_t higher(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

/* One pass over the tree; true if something rose. `after` may reach anywhere: passes are repeated until nothing rises. */
static bool pass(struct levels *l)
{
	const struct jt_sched *s = l->s;
	bool rose = false;
	for (uint32_t n = s->root; n != JT_NONE;) {
		const struct node *x = &s->node[n];
		uint32_t need = n == s->root ? 0 : l->above[x->parent];
		if (x->flags & N_BARRIER)
			need = higher(need, l->members[x->parent]);
		for (uint32_t e = s->has_side ? s->side[n].out : JT_NONE; e != JT_NONE; e = s->edges[e].next_out)
			need = higher(need, s->edges[e].subtree ? l->all[s->edges[e].to] : l->own[s->edges[e].to]);
		uint32_t level = x->flags & N_JOB ? need + 1 : 0, above = higher(need, level);
		rose = rose || level != l->own[n] || above != l->above[n];
		l->own[n] = level;
		l->above[n] = above;
		for (uint32_t k = n, at = level; at > l->all[k]; k = s->node[k].parent) {
			l->all[k] = at;
			rose = true;
			if (k == s->root)
				break;
			if (!(s->node[k].flags & N_BARRIER))
				l->members[s->node[k].parent] = higher(l->members[s->node[k].parent], at);
		}
		n = jti_walk_next(s, s->root, n, true);
	}
	return rose;
}

static int widest(struct levels *l, uint32_t *ret_level, struct jt_shape *ret)
{
	const struct jt_sched *s = l->s;
	struct jt_shape shape = { .n_jobs = s->n_jobs, .n_levels = l->all[s->root] };
	uint32_t *width = calloc(shape.n_levels + 1u, sizeof(*width));
	if (!width)
		return -1;
	for (uint32_t n = 0; n < s->n_nodes; n++) {
		shape.n_barriers += !!(s->node[n].flags & N_BARRIER);
		if (!(s->node[n].flags & N_JOB))
			continue;
		if (ret_level)
			ret_level[s->node[n].job] = l->own[n];
		if (++width[l->own[n]] > shape.widest) {
			shape.widest = width[l->own[n]];
			shape.widest_level = l->own[n];
		}
	}
	free(width);
	*ret = shape;
	return 0;
}

int jt_sched_shape(const struct jt_sched *s, uint32_t *ret_level_of_job, struct jt_shape *ret, struct jt_error *err)
{
	if (!s->begun)
		return jti_fail(err, JT_ESTATE, JT_NONE, "the tree has not begun");
	uint32_t *v = calloc(4 * (size_t)s->n_nodes, sizeof(*v));
	struct levels l = { s, v, v + s->n_nodes, v + 2 * (size_t)s->n_nodes, v + 3 * (size_t)s->n_nodes };
	while (v && pass(&l))
		;
	int r = v ? widest(&l, ret_level_of_job, ret) : -1;
	free(v);
	return r == 0 ? 0 : jti_fail(err, JT_ENOMEM, JT_NONE, "out of memory to look at %u jobs", s->n_jobs);
}
