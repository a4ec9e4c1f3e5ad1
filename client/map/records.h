/* SPDX-License-Identifier: MIT */
/*
 * Records - the items of a map out of a descriptor. Bytes between terminators, nothing is quoted; the last one needs no terminator.
 *
 * Read only when an item is asked for and none is there, at most 64 KiB at a time: so what was read and not admitted fits into one such
 * block, but for a record that is longer itself.
 */
#ifndef MAP_RECORDS_H
#define MAP_RECORDS_H

#include <stdbool.h>
#include <stdint.h>

#include "jobtree_map.h"

struct records_opts {
	char terminator;
	bool skip_empty;
	uint64_t skip;                  /* so many records first */
	uint64_t max;                   /* 0: all */
	size_t longest;                 /* of a record: beyond that, the error EFBIG; 0: any */
	size_t block;                   /* > 0: an item is as many whole records as fit, with their terminators */
};

/* records_source - fd is closed with the source. */
struct jt_source records_source(int fd, const struct records_opts *o);

#endif
