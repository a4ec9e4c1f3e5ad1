/* SPDX-License-Identifier: MIT */
/*
 * A 4-ary heap (Johnson 1975) of values of any type, smallest first, that tells each value where it stands, so that it can be
 * taken out from the middle.
 *
 *	struct timer { int64_t due_ns; uint64_t id; size_t pos; };
 *	#define TIMER_LESS(ctx, a, b) ((*(a))->due_ns != (*(b))->due_ns ? (*(a))->due_ns < (*(b))->due_ns : (*(a))->id < (*(b))->id)
 *	#define TIMER_MOVED(ctx, a, i) ((*(a))->pos = (i))
 *	HEAP_DEFINE(timers, struct timer *, void *, TIMER_LESS, TIMER_MOVED);
 *
 * gives `struct timers { struct timer **v; size_t n, cap; }`, all zero when empty, and
 *
 *	int timers_push(struct timers *h, void *ctx, struct timer *t)         0, or -1: no memory, nothing has changed; O(log n)
 *	int timers_reserve(struct timers *h, size_t n)                        so that pushes up to n values cannot fail
 *	struct timer *timers_take(struct timers *h, void *ctx, size_t pos)    the value at pos (0: the smallest) leaves; O(log n)
 *	void timers_fix(struct timers *h, void *ctx, size_t pos)              the value at pos has got another key; O(log n)
 *	void timers_done(struct timers *h)                                    frees the array, not what stands in it
 *
 * LESS must be a total order: two values of equal keys would leave in an order that depends on history.
 */
#ifndef JOBTREE_HEAP_H
#define JOBTREE_HEAP_H

#include <stdint.h>
#include <stdlib.h>

/* clang warns of unused functions that stand in the file itself. */
#define HEAP_UNUSED __attribute__((unused))

#define HEAP_DEFINE(NAME, TYPE, CTX, LESS, MOVED)                                                                              \
	struct NAME {                                                                                                          \
		TYPE *v;                                                                                                       \
		size_t n, cap;                                                                                                 \
	};                                                                                                                     \
	static inline HEAP_UNUSED int NAME##_reserve(struct NAME *h, size_t n)                                                  \
	{                                                                                                                      \
		if (n <= h->cap)                                                                                               \
			return 0;                                                                                              \
		size_t cap = n > 2 * h->cap ? n : 2 * h->cap;                                                                  \
		if (cap < 16)                                                                                                  \
			cap = 16;                                                                                              \
		TYPE *v = cap > SIZE_MAX / sizeof(TYPE) ? NULL : realloc(h->v, cap * sizeof(TYPE));                            \
		if (!v)                                                                                                        \
			return -1;                                                                                             \
		h->v = v;                                                                                                      \
		h->cap = cap;                                                                                                  \
		return 0;                                                                                                      \
	}                                                                                                                      \
	static inline HEAP_UNUSED void NAME##_place(struct NAME *h, CTX ctx, size_t i, TYPE x)                                  \
	{                                                                                                                      \
		(void)ctx;                                                                                                     \
		h->v[i] = x;                                                                                                   \
		MOVED(ctx, &h->v[i], i);                                                                                       \
	}                                                                                                                      \
	static inline HEAP_UNUSED size_t NAME##_up(struct NAME *h, CTX ctx, size_t i, TYPE x)                                   \
	{                                                                                                                      \
		(void)ctx;                                                                                                     \
		while (i > 0 && LESS(ctx, &x, &h->v[(i - 1) / 4])) {                                                           \
			NAME##_place(h, ctx, i, h->v[(i - 1) / 4]);                                                            \
			i = (i - 1) / 4;                                                                                       \
		}                                                                                                              \
		return i;                                                                                                      \
	}                                                                                                                      \
	static inline HEAP_UNUSED size_t NAME##_down(struct NAME *h, CTX ctx, size_t i, TYPE x)                                 \
	{                                                                                                                      \
		(void)ctx;                                                                                                     \
		for (size_t first; (first = 4 * i + 1) < h->n;) {                                                              \
			size_t least = first, end = first + 4 < h->n ? first + 4 : h->n;                                       \
			for (size_t k = first + 1; k < end; k++)                                                               \
				if (LESS(ctx, &h->v[k], &h->v[least]))                                                         \
					least = k;                                                                             \
			if (!(LESS(ctx, &h->v[least], &x)))                                                                    \
				break;                                                                                         \
			NAME##_place(h, ctx, i, h->v[least]);                                                                  \
			i = least;                                                                                             \
		}                                                                                                              \
		return i;                                                                                                      \
	}                                                                                                                      \
	static inline HEAP_UNUSED void NAME##_settle(struct NAME *h, CTX ctx, size_t pos, TYPE x)                               \
	{                                                                                                                      \
		size_t up = NAME##_up(h, ctx, pos, x);                                                                         \
		NAME##_place(h, ctx, up == pos ? NAME##_down(h, ctx, pos, x) : up, x);                                         \
	}                                                                                                                      \
	static inline HEAP_UNUSED int NAME##_push(struct NAME *h, CTX ctx, TYPE x)                                              \
	{                                                                                                                      \
		if (h->n == h->cap && NAME##_reserve(h, h->n + 1) < 0)                                                         \
			return -1;                                                                                             \
		size_t i = h->n++;                                                                                             \
		NAME##_place(h, ctx, NAME##_up(h, ctx, i, x), x);                                                              \
		return 0;                                                                                                      \
	}                                                                                                                      \
	static inline HEAP_UNUSED TYPE NAME##_take(struct NAME *h, CTX ctx, size_t pos)                                         \
	{                                                                                                                      \
		TYPE x = h->v[pos];                                                                                            \
		TYPE last = h->v[--h->n];                                                                                      \
		if (pos < h->n)                                                                                                \
			NAME##_settle(h, ctx, pos, last);                                                                      \
		return x;                                                                                                      \
	}                                                                                                                      \
	static inline HEAP_UNUSED void NAME##_fix(struct NAME *h, CTX ctx, size_t pos)                                          \
	{                                                                                                                      \
		NAME##_settle(h, ctx, pos, h->v[pos]);                                                                         \
	}                                                                                                                      \
	static inline HEAP_UNUSED void NAME##_done(struct NAME *h)                                                              \
	{                                                                                                                      \
		free(h->v);                                                                                                    \
		*h = (struct NAME){0};                                                                                         \
	}                                                                                                                      \
	struct NAME /* the semicolon after HEAP_DEFINE(...) closes this */

#endif
