/* SPDX-License-Identifier: MIT */
/*
 * Count - how many items there will be, for --progress, where all inputs are regular files: the same sources once more, over descriptors of
 * their own, so what an item is nobody has to know twice, and where the map itself reads is left alone.
 *
 *	counting --the end--> the total is known
 *	    \--a record too long to be held, an error, an input that is no file--> it is not
 *
 * It counts for a fifth of a millisecond when nothing else is to be done, then leaves the processor alone for five, and asks for what is not
 * in memory yet instead of waiting for it.
 */
#ifndef MAP_COUNT_H
#define MAP_COUNT_H

#include <event2/event.h>
#include <stdint.h>

#include "jobtree_map.h"

#define COUNT_PRIORITIES 3              /* that the event base has to have; the default is the one in the middle */

struct count {
	struct jt_source source;
	struct event *ev;               /* NULL: it is over */
	uint64_t n;
	int64_t total;                  /* -1: not known */
};

/* count_init - takes the source; NULL: there is nothing to count. */
void count_init(struct count *c, struct event_base *base, const struct jt_source *source);
void count_done(struct count *c);

#endif
