/* SPDX-License-Identifier: MIT */
/* Trees that grow while they run: adding below what is there, sealing, and the table of nodes by path. */
#include "tree.h"

/* ---- nodes by path: open addressing, FNV-1a ---- */

static uint32_t hash_of(const char *p, size_t len)
{
	uint64_t h = 0xcbf29ce484222325u;
	for (size_t i = 0; i < len; i++)
		h = (h ^ (unsigned char)p[i]) * 0x100000001b3u;
	return (uint32_t)(h ^ (h >> 32));
}

void jti_hash_put(struct jt_sched *s, uint32_t n)
{
	uint32_t i = hash_of(node_path(s, n), s->node[n].len) & (s->hash_cap - 1);
	while (s->hash[i] != JT_NONE)
		i = (i + 1) & (s->hash_cap - 1);
	s->hash[i] = n;
}

void jti_hash_rebuild(struct jt_sched *s)
{
	memset(s->hash, 0xff, s->hash_cap * sizeof(*s->hash));
	for (uint32_t n = 0; n < s->n_nodes; n++)
		if (n != s->root)
			jti_hash_put(s, n);
}

int jti_hash_grow(struct jt_sched *s, size_t n)
{
	uint32_t cap = s->hash_cap ? s->hash_cap : 64;
	while (cap < 2 * n)
		cap *= 2;
	if (cap == s->hash_cap)
		return 0;
	uint32_t *hash = malloc(cap * sizeof(*hash));
	if (!hash)
		return -1;
	free(s->hash);
	s->hash = hash;
	s->hash_cap = cap;
	jti_hash_rebuild(s);
	return 0;
}

uint32_t jti_hash_find(const struct jt_sched *s, const char *path, size_t len)
{
	for (uint32_t i = hash_of(path, len) & (s->hash_cap - 1); s->hash[i] != JT_NONE; i = (i + 1) & (s->hash_cap - 1)) {
		uint32_t n = s->hash[i];
		if (s->node[n].len == len && memcmp(node_path(s, n), path, len) == 0)
			return n;
	}
	return JT_NONE;
}

/* ---- adding ---- */

struct mark {                   /* how it stood before the add */
	uint32_t jobs, nodes, edges;
	size_t names, wishes, text;
	bool above;             /* a job was put above older ones */
};

/* The deepest directory or job above (path, len) that exists. */
static uint32_t nearest(const struct jt_sched *s, const char *path, uint32_t len)
{
	while (len-- > 0)
		if (path[len] == '/') {
			uint32_t n = jti_hash_find(s, path, len);
			if (n != JT_NONE)
				return n;
		}
	return s->root;
}

static int may_stand_below(const struct jt_sched *s, uint32_t up, uint32_t job, uint32_t index, struct jt_error *err)
{
	char a[SHOWN], b[SHOWN];
	const char *path = job_path(s, job);
	uint32_t from = up == s->root ? 0 : s->node[up].len + 1, n = up;
	const char *slash = memchr(path + from, '/', job_len(s, job) - from);
	bool behind = slash && (size_t)(slash - path) - from == s->barrier_len && memcmp(path + from, s->barrier, s->barrier_len) == 0;
	if ((s->node[up].flags & N_SEALED) && (!behind || (s->node[up].flags & N_COMPLETE) || (s->node[s->node[up].parent].flags & N_SEALED)))
		return jti_fail(err, JT_ESTATE, index, "job \"%s\": \"%s\" is sealed", jti_shown(a, path, job_len(s, job)),
			    jti_shown(b, node_path(s, up), s->node[up].len));
	while (n != s->root && !(s->node[n].flags & N_JOB))
		n = s->node[n].parent;
	if (n != s->root && is_final(&s->node[n]) && (!(s->node[n].end & END_GOES_ON) || s->node[n].state == JT_SKIPPED))
		return jti_fail(err, JT_ESTATE, index, "job \"%s\": stands below \"%s\", which has ended %s", jti_shown(a, path, job_len(s, job)),
			    jti_shown(b, node_path(s, n), s->node[n].len), jt_state_name(s->node[n].state));
	return 0;
}

/* A directory that stood without a job gets one: only as long as nothing below has begun. */
static int fill_gap(struct jt_sched *s, uint32_t n, uint32_t job, uint32_t index, struct mark *m, struct jt_error *err)
{
	char a[SHOWN], b[SHOWN];
	for (uint32_t k = jti_walk_next(s, n, n, true); k != JT_NONE; k = jti_walk_next(s, n, k, true)) {
		const struct node *x = &s->node[k];
		if ((x->flags & N_JOB) && x->state != JT_WAITING && x->state != JT_READY && x->state != JT_HELD)
			return jti_fail(err, JT_ESTATE, index, "job \"%s\": \"%s\" would have to wait for it, but is %s already",
				    jti_shown(a, job_path(s, job), job_len(s, job)), jti_shown(b, node_path(s, k), x->len), jt_state_name(x->state));
	}
	s->node[n].flags |= N_JOB;
	s->node[n].job = job;
	s->node[n].when = s->when ? s->when[job] : 0;
	s->node_of[job] = n;
	m->above = true;
	return 0;
}

static int grow_one(struct jt_sched *s, uint32_t job, uint32_t index, struct mark *m, struct jt_error *err)
{
	char buf[SHOWN];
	const char *path = job_path(s, job);
	uint32_t len = job_len(s, job), old = jti_hash_find(s, path, len), up = nearest(s, path, len);
	if (old != JT_NONE && (s->node[old].flags & N_JOB))
		return jti_fail(err, JT_EEXIST, index, "job \"%s\": two jobs have this path", jti_shown(buf, path, len));
	if (may_stand_below(s, up, job, index, err) < 0)
		return -1;
	if (old != JT_NONE)
		return fill_gap(s, old, job, index, m, err);
	for (uint32_t at = up == s->root ? 0 : s->node[up].len + 1;;) {
		const char *slash = memchr(path + at, '/', len - at);
		uint32_t end = slash ? (uint32_t)(slash - path) : len;
		if (jti_nodes_reserve(s, s->n_nodes + 1u) < 0 || jti_hash_grow(s, s->n_nodes + 1u) < 0)
			return jti_fail(err, JT_ENOMEM, JT_NONE, "out of memory for a tree of %u jobs", s->n_jobs);
		up = jti_node_new(s, up, job, end, slash ? 0 : N_JOB);
		jti_hash_put(s, up);
		if (!slash)
			return 0;
		at = end + 1;
	}
}

static void undo(struct jt_sched *s, const struct mark *m)
{
	for (uint32_t e = s->n_edges; e-- > m->edges;) {
		s->side[s->edges[e].from].out = s->edges[e].next_out;
		s->side[s->edges[e].to].in = s->edges[e].next_in;
	}
	s->n_edges = m->edges;
	while (s->n_nodes > m->nodes) {
		uint32_t n = --s->n_nodes, p = s->node[n].parent, *at = &s->node[p].child;
		while (*at != n)
			at = &s->node[*at].next;
		*at = s->node[n].next;
	}
	for (uint32_t n = 0; m->above && n < s->n_nodes; n++)
		if ((s->node[n].flags & N_JOB) && s->node[n].job >= m->jobs) {
			s->node[n].flags &= (uint16_t)~N_JOB;
			s->node[n].job = s->node[s->node[n].child].job;
		}
	s->n_jobs = m->jobs;
	s->names_n = m->names;
	s->n_wishes = m->wishes;
	s->wish_text_n = m->text;
	jti_hash_rebuild(s);
}

static int grow(struct jt_sched *s, struct mark *m, struct jt_error *err)
{
	size_t n = s->n_jobs - m->jobs;
	struct item *v = malloc((n + 1) * sizeof(*v));
	if (!v || jti_room(&s->node_of, &s->node_of_cap, s->n_jobs + 1u, sizeof(*s->node_of)) < 0) {
		free(v);
		return jti_fail(err, JT_ENOMEM, JT_NONE, "out of memory for a tree of %u jobs", s->n_jobs);
	}
	for (uint32_t i = 0; i < n; i++)
		v[i].job = m->jobs + i;
	jti_sort_items(s, v, n);
	int r = 0;
	for (size_t i = 0; i < n && r == 0; i++)
		r = grow_one(s, v[i].job, v[i].job - m->jobs, m, err);
	free(v);
	return r;
}

/* A job is added below node n. Where everything below a place had ended, whoever waits for the whole of it waits again. */
static void count_up(struct jt_sched *s, uint32_t n, uint32_t n_old_edges)
{
	while (s->side[n].live++ == 0) {
		for (uint32_t e = s->side[n].in; e != JT_NONE; e = s->edges[e].next_in)
			if (s->edges[e].subtree && e < n_old_edges)
				s->side[s->edges[e].from].open++;
		if (n == s->root)
			return;
		n = s->node[n].parent;
	}
}

static void count_new(struct jt_sched *s, const struct mark *m)
{
	uint32_t n_new = s->n_jobs - m->jobs;
	s->counts.n[JT_WAITING] += n_new;
	s->counts.total += n_new;
	s->ranked = false;
	free(s->sorted);
	s->sorted = NULL;
	for (uint32_t n = m->nodes; n < s->n_nodes; n++) {
		struct node *x = &s->node[n];
		x->pend++;
		s->node[x->parent].pend += !(x->flags & N_BARRIER);
		if (!s->has_side)
			continue;
		s->side[n].live += 1 + !!(x->flags & N_JOB);
		count_up(s, x->parent, m->edges);
	}
	for (uint32_t e = m->edges; s->has_side && e < s->n_edges; e++) {
		const struct edge *d = &s->edges[e];
		bool over = d->subtree ? s->side[d->to].live == 0 : is_final(&s->node[d->to]);
		s->side[d->from].open += !over;
	}
}

static int enable_side(struct jt_sched *s, bool *ret_fresh)
{
	*ret_fresh = !s->has_side;
	if (jti_after_enable(s) < 0)
		return -1;
	*ret_fresh = *ret_fresh && s->has_side;
	return 0;
}

static int add_names(struct jt_sched *s, const struct jt_spec *specs, size_t n, struct jt_error *err)
{
	for (size_t i = 0; i < n; i++)
		if (jti_path_check(s, specs[i].path, specs[i].path_len, (uint32_t)i, err) < 0 || jti_names_add(s, &specs[i], err) < 0)
			return -1;
	return 0;
}

int jti_stream_add(struct jt_sched *s, const struct jt_spec *specs, size_t n, jt_job *ret_first, struct jt_changes *out,
	       struct jt_error *err)
{
	struct mark m = { s->n_jobs, s->n_nodes, s->n_edges, s->names_n, s->n_wishes, s->wish_text_n, false };
	bool fresh = false;
	int r = add_names(s, specs, n, err);
	if (r == 0 && (r = grow(s, &m, err)) == 0 && enable_side(s, &fresh) < 0)
		r = jti_fail(err, JT_ENOMEM, JT_NONE, "out of memory for a tree of %u jobs", s->n_jobs);
	if (r == 0)
		r = jti_after_resolve(s, m.jobs, err);
	if (r == 0)
		r = jti_cycle_check(s, err);
	if (r == 0 && out && jti_changes_reserve(out, s->n_jobs) < 0)
		r = jti_fail(err, JT_ENOMEM, JT_NONE, "out of memory for a tree of %u jobs", s->n_jobs);
	if (r < 0) {
		undo(s, &m);
		if (fresh) {
			free(s->side);
			s->side = NULL;
			s->has_side = false;
		}
		return -1;
	}
	s->n_wishes = s->wish_text_n = 0;
	count_new(s, &m);
	s->out = out;
	if (fresh || m.above) {
		jti_flow_derive(s);
	} else {
		for (uint32_t k = m.nodes; k < s->n_nodes; k++)
			jti_flow_grown(s, k);
		jti_flow_run(s);
	}
	if (ret_first)
		*ret_first = m.jobs;
	return 0;
}

/* ---- sealing ---- */

static void close_one(struct jt_sched *s, uint32_t n)
{
	if (s->node[n].flags & N_SEALED)
		return;
	s->node[n].flags |= N_SEALED;
	jti_flow_closed(s, n);
}

int jt_sched_seal(struct jt_sched *s, const char *path, size_t len, struct jt_changes *out, struct jt_error *err)
{
	char buf[SHOWN];
	if (!s->begun || s->opts.mode == JT_BULK) {
		if (len > 0 && !s->begun)
			return jti_fail(err, JT_ESTATE, JT_NONE, "the tree has not begun: only the whole can be sealed");
		s->sealed = true;
		return 0;
	}
	uint32_t top = jti_node_find(s, path, len);
	if (top == JT_NONE)
		return jti_fail(err, JT_ENOENT, JT_NONE, "\"%s\" names no job and no directory", jti_shown(buf, path, len));
	if (jti_changes_room(s, out, err) < 0)
		return -1;
	s->out = out;
	uint32_t own = len ? jti_barrier_of(s, top) : JT_NONE;
	for (uint32_t n = top; n != JT_NONE; n = jti_walk_next(s, top, n, n != own))
		if (n != own)
			close_one(s, n);
	if (len == 0)
		s->sealed = true;
	jti_flow_run(s);
	return 0;
}
