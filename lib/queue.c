/* SPDX-License-Identifier: MIT */
/*
 * The queue of available jobs, and that of jobs whose retry is due later.
 *
 * Where the key of a job is known at the start (all but fifo and streams), its rank among all keys is, too: the queue is then a
 * set of ranks, a bitmap under bitmaps of its non-zero words. A million jobs take 127 KiB, and push, remove and min touch four
 * words. The others stand in a heap.
 */
#include "tree.h"

static int64_t static_key(const struct jt_sched *s, uint32_t n)
{
	int64_t depth = 0, prio = s->prio ? s->prio[s->node[n].job] : 0;
	if (s->opts.order == JT_BY_DEPTH)
		for (uint32_t i = 0; i < s->node[n].len; i++)
			depth += node_path(s, n)[i] == '/';
	return prio * (INT64_C(1) << 32) + depth;
}

bool jti_avail_less(const struct jt_sched *s, const struct avail *a, const struct avail *b)
{
	if (a->key != b->key)
		return a->key < b->key;
	if (a->seq != b->seq)
		return a->seq < b->seq;
	if (s->ranked)
		return a->node < b->node;
	return jti_bytes_cmp(node_path(s, a->node), s->node[a->node].len, node_path(s, b->node), s->node[b->node].len) < 0;
}

void jti_queue_moved(struct jt_sched *s, uint32_t node, size_t at)
{
	s->pos[node] = (uint32_t)at;
}

static bool uses_ranks(const struct jt_sched *s)
{
	return s->opts.mode == JT_BULK && s->opts.order != JT_BY_FIFO;
}

static int ranks_init(struct ranks *r, uint32_t n)
{
	r->n = n;
	for (uint64_t words = n; r->n_levels < RANKS_LEVELS; r->n_levels++) {
		words = (words + 63) / 64;
		r->level[r->n_levels] = calloc(words + 1, sizeof(uint64_t));
		if (!r->level[r->n_levels])
			return -1;
		if (words <= 1) {
			r->n_levels++;
			return 0;
		}
	}
	return 0;
}

static void ranks_set(struct ranks *r, uint32_t i)
{
	for (unsigned l = 0; l < r->n_levels; l++, i /= 64) {
		uint64_t *w = &r->level[l][i / 64], old = *w;
		*w |= UINT64_C(1) << (i % 64);
		if (old)
			return;
	}
}

static void ranks_clear(struct ranks *r, uint32_t i)
{
	for (unsigned l = 0; l < r->n_levels; l++, i /= 64)
		if (r->level[l][i / 64] &= ~(UINT64_C(1) << (i % 64)))
			return;
}

static uint32_t down(const struct ranks *r, unsigned l, uint32_t i)
{
	while (l-- > 0)
		i = i * 64 + (uint32_t)__builtin_ctzll(r->level[l][i]);
	return i;
}

/* The least member that is at least i. */
static uint32_t ranks_from(const struct ranks *r, uint32_t i)
{
	for (unsigned l = 0; l < r->n_levels && i / 64 <= r->n / 64; l++, i = i / 64 + 1) {
		uint64_t w = r->level[l][i / 64] & (~UINT64_C(0) << (i % 64));
		if (w)
			return down(r, l, i / 64 * 64 + (uint32_t)__builtin_ctzll(w));
	}
	return JT_NONE;
}

struct keyed {
	int64_t key;
	uint32_t node;
};

static int keyed_cmp(const void *a, const void *b)
{
	const struct keyed *x = a, *y = b;
	if (x->key != y->key)
		return x->key < y->key ? -1 : 1;
	return x->node < y->node ? -1 : x->node > y->node;
}

static int rank_by_key(struct jt_sched *s)
{
	if (!s->prio && s->opts.order == JT_BY_PATH)
		return 0;
	struct keyed *v = malloc((s->n_jobs + 1u) * sizeof(*v));
	s->rank_of = malloc((s->n_jobs + 1u) * sizeof(*s->rank_of));
	s->of_rank = malloc((s->n_jobs + 1u) * sizeof(*s->of_rank));
	bool ok = v && s->rank_of && s->of_rank;
	for (uint32_t i = 0; ok && i < s->n_jobs; i++)
		v[i] = (struct keyed){ static_key(s, i), i };
	if (ok)
		qsort(v, s->n_jobs, sizeof(*v), keyed_cmp);
	for (uint32_t i = 0; ok && i < s->n_jobs; i++) {
		s->of_rank[i] = v[i].node;
		s->rank_of[v[i].node] = i;
	}
	free(v);
	return ok ? 0 : -1;
}

int jti_queue_init(struct jt_sched *s)
{
	if (uses_ranks(s))
		return ranks_init(&s->ranks, s->n_jobs) < 0 ? -1 : rank_by_key(s);
	return jti_queue_grow(s, s->nodes_cap);
}

/* Room for all nodes, so that nothing fails later. */
int jti_queue_grow(struct jt_sched *s, uint32_t cap)
{
	if (uses_ranks(s) && !s->pos)
		return 0;
	uint32_t *pos = realloc(s->pos, (cap + 1u) * sizeof(*pos));
	if (!pos)
		return -1;
	s->pos = pos;
	if (s->due_at) {
		int64_t *due = realloc(s->due_at, (cap + 1u) * sizeof(*due));
		if (!due)
			return -1;
		s->due_at = due;
		if (due_heap_reserve(&s->due, cap) < 0)
			return -1;
	}
	if (uses_ranks(s))
		return 0;
	uint64_t *seq = s->seq_of ? realloc(s->seq_of, (cap + 1u) * sizeof(*seq)) : calloc(cap + 1u, sizeof(*seq));
	if (!seq)
		return -1;
	s->seq_of = seq;
	return avail_heap_reserve(&s->heap, cap);
}

void jti_queue_done(struct jt_sched *s)
{
	for (unsigned l = 0; l < RANKS_LEVELS; l++)
		free(s->ranks.level[l]);
	free(s->rank_of);
	free(s->of_rank);
	free(s->pos);
	free(s->seq_of);
	free(s->due_at);
	avail_heap_done(&s->heap);
	due_heap_done(&s->due);
}

void jti_queue_clear(struct jt_sched *s)
{
	s->heap.n = 0;
	for (uint32_t i = 0; s->ranks.n_levels && (i = ranks_from(&s->ranks, 0)) != JT_NONE;)
		ranks_clear(&s->ranks, i);
}

/* A job keeps its place for as long as it is available: a start that is undone does not send it to the end. */
void jti_queue_push(struct jt_sched *s, uint32_t n)
{
	if (uses_ranks(s)) {
		ranks_set(&s->ranks, s->rank_of ? s->rank_of[n] : n);
		return;
	}
	uint64_t seq = s->opts.order == JT_BY_FIFO ? s->seq_of[n] : 0;
	avail_heap_push(&s->heap, s, (struct avail){ static_key(s, n), seq, n });
}

void jti_queue_remove(struct jt_sched *s, uint32_t n)
{
	if (uses_ranks(s))
		ranks_clear(&s->ranks, s->rank_of ? s->rank_of[n] : n);
	else
		avail_heap_take(&s->heap, s, s->pos[n]);
}

uint32_t jti_queue_min(const struct jt_sched *s)
{
	if (!uses_ranks(s))
		return s->heap.n ? s->heap.v[0].node : JT_NONE;
	uint32_t i = s->ranks.n ? ranks_from(&s->ranks, 0) : JT_NONE;
	return i != JT_NONE && s->of_rank ? s->of_rank[i] : i;
}

static size_t peek_ranks(const struct jt_sched *s, uint32_t *ret, size_t n)
{
	size_t got = 0;
	for (uint32_t i = 0; got < n && s->ranks.n && (i = ranks_from(&s->ranks, i)) != JT_NONE; i++)
		ret[got++] = s->of_rank ? s->of_rank[i] : i;
	return got;
}

size_t jti_queue_peek(struct jt_sched *s, uint32_t *ret, size_t n)
{
	size_t got = 0;
	if (uses_ranks(s))
		return peek_ranks(s, ret, n);
	struct avail *taken = malloc((n < s->heap.n ? n : s->heap.n) * sizeof(*taken) + 1);
	while (taken && got < n && s->heap.n > 0) {
		taken[got] = avail_heap_take(&s->heap, s, 0);
		ret[got] = taken[got].node;
		got++;
	}
	for (size_t i = 0; i < got; i++)
		avail_heap_push(&s->heap, s, taken[i]);
	free(taken);
	return got;
}

int jti_due_init(struct jt_sched *s)
{
	if (s->due_at)
		return 0;
	uint32_t *pos = s->pos ? s->pos : malloc((s->nodes_cap + 1u) * sizeof(*pos));
	if (!pos)
		return -1;
	s->pos = pos;
	if (due_heap_reserve(&s->due, s->nodes_cap) < 0)
		return -1;
	s->due_at = malloc((s->nodes_cap + 1u) * sizeof(*s->due_at));
	return s->due_at ? 0 : -1;
}

void jti_due_push(struct jt_sched *s, uint32_t n, int64_t at_ns)
{
	s->due_at[n] = at_ns;
	due_heap_push(&s->due, s, (struct due){ at_ns, n });
}

void jti_due_remove(struct jt_sched *s, uint32_t n)
{
	due_heap_take(&s->due, s, s->pos[n]);
}
