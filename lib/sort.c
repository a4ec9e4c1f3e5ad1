/* SPDX-License-Identifier: MIT */
/*
 * Sorting paths: multikey quicksort over eight bytes at a time (Bentley and Sedgewick 1997; caching the bytes beside the
 * string after Ng and Kakehi 2007). Items that agree in eight bytes get the next ones that tell some of them apart: long
 * common prefixes are skipped in one pass over the group.
 */
#include <endian.h>

#include "tree.h"

#define FEW 24
#define AHEAD 8

static uint64_t key_at(const struct jt_sched *s, uint32_t job, size_t depth)
{
	size_t len = job_len(s, job);
	if (depth >= len)
		return 0;
	uint64_t k = 0;
	memcpy(&k, job_path(s, job) + depth, len - depth < 8 ? len - depth : 8);
	return be64toh(k);
}

static int item_cmp(const struct jt_sched *s, const struct item *a, const struct item *b, size_t depth)
{
	if (a->key != b->key)
		return a->key < b->key ? -1 : 1;
	size_t al = job_len(s, a->job), bl = job_len(s, b->job);
	size_t da = depth < al ? depth : al, db = depth < bl ? depth : bl;
	int c = jti_bytes_cmp(job_path(s, a->job) + da, al - da, job_path(s, b->job) + db, bl - db);
	return c ? c : (a->job > b->job) - (a->job < b->job);
}

static void sort_few(const struct jt_sched *s, struct item *v, size_t n, size_t depth)
{
	for (size_t i = 1; i < n; i++) {
		struct item x = v[i];
		size_t k = i;
		for (; k > 0 && item_cmp(s, &x, &v[k - 1], depth) < 0; k--)
			v[k] = v[k - 1];
		v[k] = x;
	}
}

/* How many bytes all paths of a group have in common, at least depth; all are longer than that or equal there. */
static size_t common(const struct jt_sched *s, const struct item *v, size_t n, size_t depth)
{
	const char *first = job_path(s, v[0].job);
	size_t upto = job_len(s, v[0].job);
	for (size_t i = 1; i < n && upto > depth; i++) {
		if (i + AHEAD < n)
			__builtin_prefetch(job_path(s, v[i + AHEAD].job) + depth);
		const char *p = job_path(s, v[i].job);
		size_t len = job_len(s, v[i].job), k = depth;
		if (len < upto)
			upto = len;
		while (k < upto && p[k] == first[k])
			k++;
		upto = k;
	}
	return upto;
}

static void load_keys(const struct jt_sched *s, struct item *v, size_t n, size_t depth)
{
	for (size_t i = 0; i < n; i++) {
		if (i + 2 * AHEAD < n)
			__builtin_prefetch(&s->off[v[i + 2 * AHEAD].job]);
		if (i + AHEAD < n)
			__builtin_prefetch(job_path(s, v[i + AHEAD].job) + depth);
		v[i].key = key_at(s, v[i].job, depth);
	}
}

static uint64_t median(uint64_t a, uint64_t b, uint64_t c)
{
	if (a > b) {
		uint64_t t = a;
		a = b;
		b = t;
	}
	return c < a ? a : c > b ? b : c;
}

static uint64_t pivot_of(const struct item *v, size_t n)
{
	size_t e = n / 8;
	return median(median(v[0].key, v[e].key, v[2 * e].key), median(v[3 * e].key, v[n / 2].key, v[5 * e].key),
		      median(v[6 * e].key, v[7 * e].key, v[n - 1].key));
}

static void swap(struct item *a, struct item *b)
{
	struct item t = *a;
	*a = *b;
	*b = t;
}

/* A key that ends in a zero byte may be the end of a path (paths may hold NULs in loose mode): those are sorted by comparison. */
static void sort_equal(const struct jt_sched *s, struct item *v, size_t n, size_t depth, unsigned budget);

static void sort_keyed(const struct jt_sched *s, struct item *v, size_t n, size_t depth, unsigned budget)
{
	while (n > FEW) {
		uint64_t p = pivot_of(v, n);
		size_t lo = 0, hi = n;
		for (size_t i = 0; i < hi;) {
			if (v[i].key < p)
				swap(&v[i++], &v[lo++]);
			else if (v[i].key > p)
				swap(&v[i], &v[--hi]);
			else
				i++;
		}
		sort_equal(s, v + lo, hi - lo, depth, budget);
		if (lo < n - hi) {
			sort_keyed(s, v, lo, depth, budget);
			v += hi;
			n -= hi;
		} else {
			sort_keyed(s, v + hi, n - hi, depth, budget);
			n = lo;
		}
	}
	sort_few(s, v, n, depth);
}

static void merge_down(const struct jt_sched *s, struct item *v, size_t i, size_t n, size_t depth)
{
	for (size_t k; (k = 2 * i + 1) < n; i = k) {
		if (k + 1 < n && item_cmp(s, &v[k], &v[k + 1], depth) < 0)
			k++;
		if (item_cmp(s, &v[i], &v[k], depth) >= 0)
			return;
		swap(&v[i], &v[k]);
	}
}

/* Heapsort by whole comparisons: no recursion. For groups nested too deeply. */
static void sort_by_comparison(const struct jt_sched *s, struct item *v, size_t n, size_t depth)
{
	for (size_t i = n / 2; i-- > 0;)
		merge_down(s, v, i, n, depth);
	for (size_t k = n; k-- > 1;) {
		swap(&v[0], &v[k]);
		merge_down(s, v, 0, k, depth);
	}
}

static void sort_equal(const struct jt_sched *s, struct item *v, size_t n, size_t depth, unsigned budget)
{
	if (n < 2)
		return;
	if (n <= FEW || budget == 0 || (v[0].key & 0xff) == 0) {
		(n <= FEW ? sort_few : sort_by_comparison)(s, v, n, depth);
		return;
	}
	depth = common(s, v, n, depth + 8);
	load_keys(s, v, n, depth);
	sort_keyed(s, v, n, depth, budget - 1);
}

void jti_sort_items(const struct jt_sched *s, struct item *v, size_t n)
{
	if (n == 0)
		return;
	size_t depth = common(s, v, n, 0);
	load_keys(s, v, n, depth);
	sort_keyed(s, v, n, depth, 600);
}
