/* SPDX-License-Identifier: MIT */
/*
 * Places - where in a file the keys and list items of a document stand, so that an error found later can say it.
 *
 * Written down in document order while reading; looked up (linearly) only when there is an error to tell. Lines and columns
 * count from 1; columns count characters.
 */
#ifndef PLACES_H
#define PLACES_H

#include <stddef.h>

struct place { unsigned long line, col; };      /* line 0: not known */

struct place_entry {
	char *key;              /* a key, or the number of a list item */
	unsigned depth;         /* 0: top level */
	struct place at;
};

struct places {
	struct place_entry *v;
	size_t n, cap;
};

void places_add(struct places *p, unsigned depth, const char *key, struct place at);
void places_done(struct places *p);

/* places_find - the place of keys[0] / keys[1] / ...; of the deepest one that is there. A dash in keys matches an underscore. */
struct place places_find(const struct places *p, const char *const *keys, size_t n);

/* places_of_field - the same below keys for a field as errors name it: "retry.max", "argv[2]". */
struct place places_of_field(const struct places *p, const char *const *keys, size_t n, const char *field);

#endif
