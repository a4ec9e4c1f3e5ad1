/* SPDX-License-Identifier: MIT */
/* Edges inside the tree (`after`). */
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
