/* SPDX-License-Identifier: MIT */
/* Arena: blocks in a list, the newest first; a pointer is moved forward. What is larger than a block gets a block of its own. */
#include "proto/arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_SIZE (64 * 1024)
#define ALIGN 16

struct arena_block {
	struct arena_block *next;
	size_t size;                    /* bytes in data */
	alignas(ALIGN) unsigned char data[];
};

void arena_init(struct arena *a)
{
	*a = (struct arena){ 0 };
}

static void add_block(struct arena *a, size_t at_least)
{
	size_t size = at_least > BLOCK_SIZE ? at_least : BLOCK_SIZE;
	struct arena_block *b = malloc(sizeof(*b) + size);

	if (!b)
		abort();
	b->size = size;
	b->next = a->head;
	a->head = b;
	a->used = 0;
}

/* Raw bytes of the arena: aligned, not cleared. */
static void *take(struct arena *a, size_t n)
{
	void *p;

	if (n > SIZE_MAX / 2)
		abort();
	n = (n + ALIGN - 1) & ~(size_t)(ALIGN - 1);
	if (!a->head || a->head->size - a->used < n)
		add_block(a, n);
	p = a->head->data + a->used;
	a->used += n;
	return p;
}

void *arena_alloc(struct arena *a, size_t n)
{
	return memset(take(a, n), 0, n);
}

char *arena_strndup(struct arena *a, const char *s, size_t n)
{
	char *p = take(a, n + 1);

	memcpy(p, s, n);
	p[n] = '\0';
	return p;
}

/* The oldest block stays, if it is of the common size: a large one would be kept for ever. */
void arena_reset(struct arena *a)
{
	struct arena_block *b = a->head;

	while (b && (b->next || b->size > BLOCK_SIZE)) {
		struct arena_block *next = b->next;

		free(b);
		b = next;
	}
	*a = (struct arena){ .head = b };
}

void arena_done(struct arena *a)
{
	struct arena_block *b = a->head;

	while (b) {
		struct arena_block *next = b->next;

		free(b);
		b = next;
	}
	arena_init(a);
}
