/* SPDX-License-Identifier: MIT */
/* Due: see due.h. */
#include "due.h"

#include <stdlib.h>

#include "log.h"

static void place(struct due *d, size_t i, struct attempt *a)
{
	d->v[i] = a;
	a->due_at = i;
}

static void sift_up(struct due *d, size_t i, struct attempt *a)
{
	for (; i && a->due_ns < d->v[(i - 1) / 2]->due_ns; i = (i - 1) / 2)
		place(d, i, d->v[(i - 1) / 2]);
	place(d, i, a);
}

static void sift_down(struct due *d, size_t i, struct attempt *a)
{
	for (size_t child; (child = 2 * i + 1) < d->n; i = child) {
		if (child + 1 < d->n && d->v[child + 1]->due_ns < d->v[child]->due_ns)
			child++;
		if (a->due_ns <= d->v[child]->due_ns)
			break;
		place(d, i, d->v[child]);
	}
	place(d, i, a);
}

/* One of the two does nothing. */
static void settle(struct due *d, size_t i, struct attempt *a)
{
	sift_up(d, i, a);
	sift_down(d, a->due_at, a);
}

static void grow(struct due *d)
{
	d->cap = d->cap ? d->cap * 2 : 64;
	d->v = realloc(d->v, d->cap * sizeof(struct attempt *));
	if (!d->v)
		log_die("no memory for timeouts");
}

void due_set(struct due *d, struct attempt *a, int64_t at_ns)
{
	a->due_ns = at_ns;
	if (a->due_at == SIZE_MAX) {
		if (d->n == d->cap)
			grow(d);
		a->due_at = d->n++;
	}
	settle(d, a->due_at, a);
}

void due_clear(struct due *d, struct attempt *a)
{
	size_t i = a->due_at;
	struct attempt *last;

	if (i == SIZE_MAX)
		return;
	a->due_at = SIZE_MAX;
	last = d->v[--d->n];
	if (last != a)
		settle(d, i, last);
}

struct attempt *due_first(const struct due *d)
{
	return d->n ? d->v[0] : NULL;
}
