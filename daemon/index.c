/* SPDX-License-Identifier: MIT */
/* Index - see index.h. Linear probing with backward-shift deletion; at most half full. */
#include <stdlib.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "index.h"

struct slot {
	uint64_t hash, ns;
	const char *s;          /* NULL: empty */
	void *value;
};

struct index {
	struct slot *v;
	size_t n, mask;
};

static uint64_t hash_of(uint64_t ns, const char *s)
{
	return XXH3_64bits_withSeed(s, strlen(s), ns);
}

static struct slot *probe(const struct index *ix, uint64_t hash, uint64_t ns, const char *s)
{
	size_t i = hash & ix->mask;

	while (ix->v[i].s && (ix->v[i].hash != hash || ix->v[i].ns != ns || strcmp(ix->v[i].s, s) != 0))
		i = (i + 1) & ix->mask;
	return &ix->v[i];
}

static void resize(struct index *ix, size_t cap)
{
	struct slot *old = ix->v;
	size_t n_old = old ? ix->mask + 1 : 0;

	ix->v = calloc(cap, sizeof(*ix->v));
	if (!ix->v)
		abort();
	ix->mask = cap - 1;
	for (size_t i = 0; i < n_old; i++)
		if (old[i].s)
			*probe(ix, old[i].hash, old[i].ns, old[i].s) = old[i];
	free(old);
}

struct index *index_new(void)
{
	struct index *ix = calloc(1, sizeof(*ix));

	if (!ix)
		abort();
	resize(ix, 64);
	return ix;
}

void *index_get(const struct index *ix, uint64_t ns, const char *s)
{
	return probe(ix, hash_of(ns, s), ns, s)->value;
}

void index_put(struct index *ix, uint64_t ns, const char *s, void *value)
{
	uint64_t hash = hash_of(ns, s);
	struct slot *sl = probe(ix, hash, ns, s);

	if (!sl->s)
		ix->n++;
	*sl = (struct slot){ hash, ns, s, value };
	if (ix->n * 2 > ix->mask)
		resize(ix, (ix->mask + 1) * 2);
}

void index_del(struct index *ix, uint64_t ns, const char *s)
{
	struct slot *hole = probe(ix, hash_of(ns, s), ns, s);
	size_t i = (size_t)(hole - ix->v), j = i;

	if (!hole->s)
		return;
	ix->n--;
	for (;;) {
		j = (j + 1) & ix->mask;
		if (!ix->v[j].s)
			break;
		if (((j - ix->v[j].hash) & ix->mask) < ((j - i) & ix->mask))
			continue;       /* stands between its home and the hole */
		ix->v[i] = ix->v[j];
		i = j;
	}
	ix->v[i] = (struct slot){ 0 };
}
