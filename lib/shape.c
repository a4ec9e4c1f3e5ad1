/* SPDX-License-Identifier: MIT */
/* What a tree is, in numbers: how many levels of waiting, and which is the widest. */
#include "tree.h"

static int measure(const struct jt_sched *s, const uint32_t *level, uint32_t *ret_level, struct jt_shape *ret)
{
	struct jt_shape shape = { .n_jobs = s->n_jobs };
	for (uint32_t n = 0; n < s->n_nodes; n++) {
		shape.n_barriers += !!(s->node[n].flags & N_BARRIER);
		if (level[n] > shape.n_levels)
			shape.n_levels = level[n];
	}
	uint32_t *width = calloc(shape.n_levels + 1u, sizeof(*width));
	if (!width)
		return -1;
	for (uint32_t n = 0; n < s->n_nodes; n++) {
		if (!(s->node[n].flags & N_JOB))
			continue;
		if (ret_level)
			ret_level[s->node[n].job] = level[n];
		if (++width[level[n]] > shape.widest) {
			shape.widest = width[level[n]];
			shape.widest_level = level[n];
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
	uint32_t *level = malloc(s->n_nodes * sizeof(*level));
	int r = level ? jti_levels(s, level) : -1;
	if (r == 0)
		r = measure(s, level, ret_level_of_job, ret);
	free(level);
	return r == 0 ? 0 : jti_fail(err, JT_ENOMEM, JT_NONE, "out of memory to look at %u jobs", s->n_jobs);
}
