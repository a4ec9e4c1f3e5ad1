/* SPDX-License-Identifier: MIT */
#include "places.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"

#define KEYS_MAX 16

void places_add(struct places *p, unsigned depth, const char *key, struct place at)
{
	if (p->n == p->cap) {
		p->cap = p->cap ? 2 * p->cap : 64;
		p->v = xrealloc(p->v, p->cap, sizeof(*p->v));
	}
	p->v[p->n++] = (struct place_entry){ .key = xstrdup(key), .depth = depth, .at = at };
}

void places_done(struct places *p)
{
	for (size_t i = 0; i < p->n; i++)
		free(p->v[i].key);
	free(p->v);
	*p = (struct places){ 0 };
}

static bool same_key(const char *a, const char *b)
{
	for (; *a && *b; a++, b++)
		if (*a != *b && !((*a == '-' || *a == '_') && (*b == '-' || *b == '_')))
			return false;
	return *a == *b;
}

struct place places_find(const struct places *p, const char *const *keys, size_t n)
{
	struct place best = { 0 };
	size_t found = 0;       /* keys[0..found) match the path of the entry looked at */

	for (size_t i = 0; i < p->n && found < n; i++) {
		if (p->v[i].depth < found)
			break;          /* left the innermost key that was found */
		if (p->v[i].depth == found && same_key(p->v[i].key, keys[found])) {
			best = p->v[i].at;
			found++;
		}
	}
	return best;
}

struct place places_of_field(const struct places *p, const char *const *keys, size_t n, const char *field)
{
	const char *all[KEYS_MAX];
	char *copy = xstrdup(field), *rest = copy, *part;
	struct place at;

	if (n)
		memcpy(all, keys, n * sizeof(*keys));
	while (n < KEYS_MAX && (part = strsep(&rest, ".[]")))
		if (*part)
			all[n++] = part;
	at = places_find(p, all, n);
	free(copy);
	return at;
}
