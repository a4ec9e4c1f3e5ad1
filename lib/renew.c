/* SPDX-License-Identifier: MIT */
/*
 * An ended job of a stream becomes a new one under its path, as if it had been taken out and added again. What is taken back is little, for
 * nothing may depend on it: its own facts, and the marks of the root, of which flow.c counts the children that set them.
 */
#include "tree.h"

static bool has_edges(const struct jt_sched *s, uint32_t n)
{
	return s->has_side && (s->side[n].out != JT_NONE || s->side[n].in != JT_NONE);
}

/* What about job n forbids it; NULL: nothing. */
static const char *stands_badly(const struct jt_sched *s, uint32_t n)
{
	const struct node *x = &s->node[n];
	if (x->parent != s->root)
		return "it does not stand at the top level";
	if (x->child != JT_NONE)
		return "jobs stand below it";
	if (x->when != JT_ON_SUCCESS || has_edges(s, n))
		return "it waits for others, or others for it";
	if (jti_barrier_of(s, s->root) != JT_NONE)
		return "the barrier of the top level waits for it";
	return NULL;
}

static int check(const struct jt_sched *s, jt_job j, struct jt_error *err)
{
	char buf[SHOWN];
	if (jti_begun(s, j, err) < 0)
		return -1;
	uint32_t n = s->node_of[j];
	const char *path = jti_shown(buf, job_path(s, j), job_len(s, j));
	if (s->stopped || s->sealed || (s->node[n].flags & N_SEALED))
		return jti_fail(err, JT_ESTATE, j, "job \"%s\": cannot be renewed, the tree is %s here", path, s->stopped ? "stopped" : "sealed");
	if (!is_final(&s->node[n]))
		return jti_fail(err, JT_ESTATE, j, "job \"%s\" is %s, only what has ended can be renewed", path,
				jt_state_name(s->node[n].state));
	const char *why = stands_badly(s, n);
	return why ? jti_fail(err, JT_EINVAL, j, "job \"%s\": cannot be renewed, %s", path, why) : 0;
}

/* The root stays shut, or bad, for as long as another child of it is. */
static void open_root(struct jt_sched *s, uint32_t n)
{
	struct node *root = &s->node[s->root];
	s->n_shut -= !!(s->node[n].flags & N_SHUT);
	s->n_bad -= !!(s->node[n].flags & N_BAD);
	if (s->n_shut == 0)
		root->flags &= (uint16_t)~N_SHUT;
	if (s->n_bad == 0)
		root->flags &= (uint16_t)~(N_BAD | N_BAD_MEMBER);
}

int jt_sched_renew(struct jt_sched *s, jt_job j, struct jt_error *err)
{
	if (check(s, j, err) < 0)
		return -1;
	uint32_t n = s->node_of[j];
	struct node *x = &s->node[n];
	open_root(s, n);
	s->n_fails -= !!(x->end & END_FAILS);
	jti_set_state(s, n, JT_WAITING);
	x->end = x->reason = 0;
	x->cause = JT_NONE;
	x->flags &= N_JOB;
	if (s->has_side)
		s->side[n].live++;      /* above, all live on: a stream that is not sealed does */
	s->seq_of[n] = 0;
	jti_flow_grown(s, n);
	jti_flow_run(s);
	return 0;
}
