/* SPDX-License-Identifier: MIT */
/*
 * Map ends - one reply of a Map with the ends of several items, written as text as it grows. A tree of JSON is made of some thirty pieces of
 * memory an end, and to print its numbers costs more than all else that an end costs jobd's loop.
 */
#ifndef MAP_ENDS_H
#define MAP_ENDS_H

#include "engine.h"

struct map_item;

struct map_ends {
	char *text;                     /* NULL: no end */
	size_t len, cap;
};

/* map_ends_add - one more. at: how its last attempt ended; outputs of at most 4 KiB are told with it. */
void map_ends_add(struct map_ends *ends, const struct map_item *it, const struct store_attempt *at, enum job_reason why);
/* map_ends_take - the whole reply, NUL included, as call_continue_text takes it; there is at least one end. Then there is none. */
char *map_ends_take(struct map_ends *ends, size_t *ret_len);

#endif
