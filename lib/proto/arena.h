/* SPDX-License-Identifier: MIT */
/* Arena - memory that is freed all at once. Allocation never fails: out of memory ends the process (crash-only). */
#ifndef ARENA_H
#define ARENA_H

#include <stddef.h>

struct arena_block;
struct arena {
	struct arena_block *head;
	size_t used;
};

void arena_init(struct arena *a);
void *arena_alloc(struct arena *a, size_t n);                   /* zeroed, aligned to 16 */
char *arena_strndup(struct arena *a, const char *s, size_t n);  /* NUL-terminated */
void arena_reset(struct arena *a);                              /* keeps the first block for reuse */
void arena_done(struct arena *a);

#endif
