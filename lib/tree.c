/* SPDX-License-Identifier: MIT */
/* Nodes, and building them from sorted paths. */
#include "tree.h"

int jti_nodes_reserve(struct jt_sched *s, size_t n)
{
	size_t old = s->nodes_cap, cap = old;
	if (n <= old)
		return 0;
	if (n >= (1u << 30) || jti_room(&s->node, &cap, n, sizeof(*s->node)) < 0)
		return -1;
	if (s->has_side) {
		struct side *side = realloc(s->side, cap * sizeof(*side));
		if (!side)
			return -1;
		s->side = side;
	}
	if (s->begun) {
		uint32_t *work = realloc(s->work, 2 * cap * sizeof(*work));
		if (!work)
			return -1;
		s->work = work;
		if (jti_queue_grow(s, (uint32_t)cap) < 0)
			return -1;
	}
	s->nodes_cap = (uint32_t)cap;
	return 0;
}

uint32_t jti_barrier_of(const struct jt_sched *s, uint32_t n)
{
	uint32_t c = s->node[n].child;
	return c != JT_NONE && (s->node[c].flags & N_BARRIER) ? c : JT_NONE;
}

uint32_t jti_walk_next(const struct jt_sched *s, uint32_t top, uint32_t n, bool down)
{
	if (down && s->node[n].child != JT_NONE)
		return s->node[n].child;
	while (n != top && s->node[n].next == JT_NONE)
		n = s->node[n].parent;
	return n == top ? JT_NONE : s->node[n].next;
}

static bool named_barrier(const struct jt_sched *s, uint32_t parent, uint32_t job, uint32_t len)
{
	uint32_t from = parent == s->root ? 0 : s->node[parent].len + 1;
	return len - from == s->barrier_len && memcmp(job_path(s, job) + from, s->barrier, s->barrier_len) == 0;
}

/* While the tree is built, a parent's `pend` holds its last child but the barrier. */
static void link_child(struct jt_sched *s, uint32_t parent, uint32_t n)
{
	struct node *p = &s->node[parent], *x = &s->node[n];
	uint32_t last = p->pend;
	if ((x->flags & N_BARRIER) || p->child == JT_NONE) {
		x->next = p->child;
		p->child = n;
	} else if (last == JT_NONE) {           /* only the barrier stands there */
		s->node[p->child].next = n;
	} else {
		s->node[last].next = n;
	}
	if (!(x->flags & N_BARRIER))
		p->pend = n;
}

static void node_init(struct jt_sched *s, uint32_t n, uint32_t parent, uint32_t job, uint32_t len, unsigned flags)
{
	struct node *x = &s->node[n];
	*x = (struct node){ .parent = parent, .child = JT_NONE, .next = JT_NONE, .pend = JT_NONE, .job = job, .len = len,
			    .cause = JT_NONE, .flags = (uint16_t)flags };
	if (parent != JT_NONE && !(flags & N_JOB) && named_barrier(s, parent, job, len))
		x->flags |= N_BARRIER;
	if (flags & N_JOB) {
		x->when = s->when ? s->when[job] : 0;
		s->node_of[job] = n;
	}
}

uint32_t jti_node_new(struct jt_sched *s, uint32_t parent, uint32_t job, uint32_t len, unsigned flags)
{
	uint32_t n = s->n_nodes++;
	node_init(s, n, parent, job, len, flags);
	struct node *x = &s->node[n], *p = &s->node[parent];
	x->pend = 0;
	if (p->child != JT_NONE && (s->node[p->child].flags & N_BARRIER) && !(x->flags & N_BARRIER)) {
		x->next = s->node[p->child].next;
		s->node[p->child].next = n;
	} else {
		x->next = p->child;
		p->child = n;
	}
	if (s->has_side)
		s->side[n] = (struct side){ JT_NONE, JT_NONE, 0, 0 };
	if (s->seq_of)
		s->seq_of[n] = 0;
	return n;
}

/* The nodes whose paths are beginnings of the path before, shortest first: every ancestor is among them, and so is `a` for `a-b`. */
struct chain {
	uint32_t *v;
	size_t n, cap;
};

static uint32_t deepest_ancestor(const struct jt_sched *s, const struct chain *c, const char *path)
{
	for (size_t i = c->n; i-- > 0;)
		if (path[s->node[c->v[i]].len] == '/')
			return c->v[i];
	return s->root;
}

static int place(struct jt_sched *s, struct chain *c, uint32_t rank, uint32_t job)
{
	const char *path = job_path(s, job);
	uint32_t len = job_len(s, job), up = deepest_ancestor(s, c, path);
	for (uint32_t at = up == s->root ? 0 : s->node[up].len + 1;;) {
		const char *slash = at < len ? memchr(path + at, '/', len - at) : NULL;
		if (jti_room(&c->v, &c->cap, c->n + 1, sizeof(*c->v)) < 0)
			return -1;
		if (!slash)
			break;
		uint32_t end = (uint32_t)(slash - path);
		if (jti_nodes_reserve(s, s->n_nodes + 1) < 0)
			return -1;
		node_init(s, s->n_nodes, up, job, end, 0);
		link_child(s, up, s->n_nodes);
		c->v[c->n++] = up = s->n_nodes++;
		at = end + 1;
	}
	node_init(s, rank, up, job, len, N_JOB);
	link_child(s, up, rank);
	c->v[c->n++] = rank;
	return 0;
}

static size_t in_common(const char *a, size_t alen, const char *b, size_t blen)
{
	size_t n = alen < blen ? alen : blen, i = 0;
	for (uint64_t x, y; i + 8 <= n; i += 8) {
		memcpy(&x, a + i, 8);
		memcpy(&y, b + i, 8);
		if (x != y)
			break;
	}
	while (i < n && a[i] == b[i])
		i++;
	return i;
}

static int place_all(struct jt_sched *s, const struct item *v, struct chain *c, struct jt_error *err)
{
	char buf[SHOWN];
	for (uint32_t i = 0; i < s->n_jobs; i++) {
		uint32_t job = v[i].job, len = job_len(s, job);
		if (i + 8 < s->n_jobs)
			__builtin_prefetch(job_path(s, v[i + 8].job));
		size_t same = 0;
		if (i > 0)
			same = in_common(job_path(s, v[i - 1].job), job_len(s, v[i - 1].job), job_path(s, job), len);
		if (i > 0 && same == len && job_len(s, v[i - 1].job) == len)
			return jti_fail(err, JT_EEXIST, job, "job \"%s\": two jobs have this path", jti_shown(buf, job_path(s, job), len));
		while (c->n > 0 && s->node[c->v[c->n - 1]].len > same)
			c->n--;
		if (place(s, c, i, job) < 0)
			return jti_fail(err, JT_ENOMEM, JT_NONE, "out of memory for a tree of %u jobs", s->n_jobs);
	}
	return 0;
}

int jti_tree_build(struct jt_sched *s, struct jt_error *err)
{
	struct chain c = { 0 };
	struct item *v = malloc((s->n_jobs + 1u) * sizeof(*v));
	s->node_of = malloc((s->n_jobs + 1u) * sizeof(*s->node_of));
	s->root = s->n_jobs;
	s->n_nodes = s->root + 1;
	int r = -1;
	if (!v || !s->node_of || jti_nodes_reserve(s, s->n_nodes) < 0) {
		jti_fail(err, JT_ENOMEM, JT_NONE, "out of memory for a tree of %u jobs", s->n_jobs);
	} else {
		for (uint32_t i = 0; i < s->n_jobs; i++)
			v[i].job = i;
		jti_sort_items(s, v, s->n_jobs);
		node_init(s, s->root, JT_NONE, 0, 0, 0);
		r = place_all(s, v, &c, err);
	}
	free(c.v);
	free(v);
	return r;
}

/* The path of n against the key: (path, len), and a slash if `below`. */
static int key_cmp(const struct jt_sched *s, uint32_t n, const char *path, size_t len, bool below)
{
	const char *p = node_path(s, n);
	size_t have = s->node[n].len;
	if (!below || have <= len) {
		int c = jti_bytes_cmp(p, have, path, len);
		return c == 0 && below ? -1 : c;
	}
	int c = memcmp(p, path, len);
	return c ? c : p[len] != '/' ? (int)(unsigned char)p[len] - '/' : 1;
}

/* Place, in path order, of the first job that is not less than the key. */
static uint32_t lower_bound(const struct jt_sched *s, const char *path, size_t len, bool below)
{
	uint32_t lo = 0, hi = s->n_jobs;
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		if (key_cmp(s, s->sorted ? s->sorted[mid] : mid, path, len, below) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static bool stands_below(const struct jt_sched *s, uint32_t n, const char *path, size_t len)
{
	return s->node[n].len > len && memcmp(node_path(s, n), path, len) == 0 && node_path(s, n)[len] == '/';
}

/* A gap is found from the first job below it. */
static uint32_t find_ranked(const struct jt_sched *s, const char *path, size_t len)
{
	uint32_t n = lower_bound(s, path, len, false);
	if (n < s->n_jobs && key_cmp(s, n, path, len, false) == 0)
		return n;
	n = lower_bound(s, path, len, true);
	if (n == s->n_jobs || !stands_below(s, n, path, len))
		return JT_NONE;
	while (s->node[n].len > len)
		n = s->node[n].parent;
	return n;
}

uint32_t jti_node_find(struct jt_sched *s, const char *path, size_t len)
{
	if (len == 0)
		return s->root;
	return s->hash ? jti_hash_find(s, path, len) : find_ranked(s, path, len);
}

jt_job jt_sched_find(const struct jt_sched *s, const char *path, size_t len)
{
	if (!s->begun || len == 0)
		return JT_NONE;
	uint32_t n = jti_node_find((struct jt_sched *)(uintptr_t)s, path, len);
	return n != JT_NONE && (s->node[n].flags & N_JOB) ? s->node[n].job : JT_NONE;
}

bool jt_sched_is_dir(const struct jt_sched *s, const char *path, size_t len)
{
	if (!s->begun)
		return false;
	uint32_t n = jti_node_find((struct jt_sched *)(uintptr_t)s, path, len);
	return n != JT_NONE && s->node[n].child != JT_NONE;
}

int jt_sched_cmp(const struct jt_sched *s, jt_job a, jt_job b)
{
	if (s->begun && s->ranked)
		return (s->node_of[a] > s->node_of[b]) - (s->node_of[a] < s->node_of[b]);
	return jti_bytes_cmp(job_path(s, a), job_len(s, a), job_path(s, b), job_len(s, b));
}

const char *jt_job_path(const struct jt_sched *s, jt_job j, size_t *ret_len)
{
	if (ret_len)
		*ret_len = job_len(s, j);
	return job_path(s, j);
}

static int sort_stream(struct jt_sched *s)
{
	if (s->ranked || s->sorted)
		return 0;
	struct item *v = malloc((s->n_jobs + 1u) * sizeof(*v));
	uint32_t *sorted = malloc((s->n_jobs + 1u) * sizeof(*sorted));
	for (uint32_t i = 0; v && sorted && i < s->n_jobs; i++)
		v[i].job = i;
	if (v && sorted)
		jti_sort_items(s, v, s->n_jobs);
	for (uint32_t i = 0; v && sorted && i < s->n_jobs; i++)
		sorted[i] = s->node_of[v[i].job];
	if (v && sorted)
		s->sorted = sorted;
	else
		free(sorted);
	free(v);
	return s->sorted ? 0 : -1;
}

size_t jt_sched_list(struct jt_sched *s, const char *prefix, size_t len, const char *after, size_t after_len, jt_job *ret, size_t n)
{
	size_t got = 0;
	if (!s->begun || sort_stream(s) < 0)
		return 0;
	uint32_t own = len ? jti_node_find(s, prefix, len) : JT_NONE;
	bool fresh = after_len == 0 || jti_bytes_cmp(prefix, len, after, after_len) > 0;
	if (n > 0 && fresh && own != JT_NONE && (s->node[own].flags & N_JOB))
		ret[got++] = s->node[own].job;
	uint32_t i = len ? lower_bound(s, prefix, len, true) : 0;
	uint32_t from = after_len ? lower_bound(s, after, after_len, false) : 0;
	for (i = i > from ? i : from; i < s->n_jobs && got < n; i++) {
		uint32_t k = s->sorted ? s->sorted[i] : i;
		if (len && !stands_below(s, k, prefix, len))
			break;
		if (after_len == 0 || key_cmp(s, k, after, after_len, false) > 0)
			ret[got++] = s->node[k].job;
	}
	return got;
}
