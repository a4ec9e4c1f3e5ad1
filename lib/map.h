/* SPDX-License-Identifier: MIT */
/*
 * What the files of a map share. Not installed. The window and the course compute; they are the map's state under its lock, which
 * map_threads.h has.
 *
 *	free -> WAITING -> RUNNING -> FINISHED -> taken (free) -> delivered
 *	                    |   ^
 *	                    v   |
 *	                   BACKOFF
 */
#ifndef JOBTREE_MAP_IMPL_H
#define JOBTREE_MAP_IMPL_H

#include "heap.h"
#include "jobtree_map.h"

/* ---- the window: who has which place ------------------------------------------------------------------------------ */

struct jti_place {
	struct jt_map_result r;           /* a runner's own while RUNNING */
	int64_t first_ns;                 /* start of the first attempt, if there may be a second */
};
struct jti_due {
	int64_t at_ns;
	uint64_t seq;
	uint32_t place;
};
#define JTI_DUE_LESS(ctx, a, b) ((a)->at_ns != (b)->at_ns ? (a)->at_ns < (b)->at_ns : (a)->seq < (b)->seq)
#define JTI_DUE_MOVED(ctx, a, i) ((void)(ctx), (void)(a), (void)(i))
HEAP_DEFINE(jti_dues, struct jti_due, void *, JTI_DUE_LESS, JTI_DUE_MOVED);

/*
 * Rings of `size` entries, indexed by ever growing positions. `done` is the reorder buffer: an item finishes into position seq - 1
 * (ordered) or into the next one (unordered), and they are taken one position after the other; JT_NONE: not there yet.
 */
struct jti_window {
	struct jti_place *place;
	uint32_t *unused, *todo, *done;
	uint32_t size, n_unused;
	enum jt_map_order order;
	uint64_t n_begun, n_taken;        /* positions: todo's head, done's head */
	struct jti_dues dues;
	struct jt_map_counters c;
};

int jti_window_init(struct jti_window *w, uint32_t size, enum jt_map_order order);  /* 0, or -1: no memory; jti_window_done in both cases */
void jti_window_done(struct jti_window *w);                                         /* releases all items and outputs that are left */
bool jti_window_has_room(const struct jti_window *w);
void jti_window_admit(struct jti_window *w, struct jt_item item);                   /* there is room */
/* A place whose item is to start now, JT_NONE if there is none: one whose backoff is over before one that waits. now_ns may be 0 while none is due. */
uint32_t jti_window_start(struct jti_window *w, int64_t now_ns);
uint64_t jti_window_waiting(const struct jti_window *w);                            /* items that have not begun */
int64_t jti_window_due_ns(const struct jti_window *w);                              /* of the next backoff; JT_NEVER */
void jti_window_finish(struct jti_window *w, uint32_t place, int status, struct jt_item output);
void jti_window_backoff(struct jti_window *w, uint32_t place, int64_t due_ns);
bool jti_window_can_take(const struct jti_window *w);
void jti_window_take(struct jti_window *w, struct jt_map_result *ret);              /* leaves the window only with: */
void jti_window_delivered(struct jti_window *w);

/* ---- the course: how far the map has come to its end --------------------------------------------------------------- */

struct jti_course {
	enum { JTI_SOURCE_OPEN, JTI_SOURCE_ENDED, JTI_SOURCE_FAILED } source;
	int source_errno;
	enum { JTI_GOES_ON, JTI_DRAINS, JTI_STOPPED, JTI_DEADLINE } stop;
	enum jt_map_status last;          /* a final status that was returned; JT_MAP_RESULT: none yet */
};

void jti_course_source_ended(struct jti_course *c, int r);                          /* r <= 0: what next returned */
void jti_course_stop(struct jti_course *c, int stop);                               /* never back */
bool jti_course_pulls(const struct jti_course *c);                                  /* the source may be asked */
bool jti_course_starts(const struct jti_course *c);                                 /* items may start */
enum jt_map_status jti_course_status(const struct jti_course *c, const struct jti_window *w);  /* what jt_map_next would return now */

/* ---- the rest ------------------------------------------------------------------------------------------------------ */

int jti_map_opts_check(struct jt_map_opts *o, uint32_t n_cpus, struct jt_error *err);   /* fills in the defaults */
/* n items in one piece, {0} at first; jti_tuple_free releases them and it. */
struct jt_item *jti_tuple_new(size_t n);
void jti_tuple_free(void *tuple);
/* jt_map_next; HOLD: the result counts as held until the next call. */
enum jti_hand { JTI_DELIVER, JTI_HOLD };
enum jt_map_status jti_map_next(struct jt_map *m, struct jt_map_result *ret, int timeout_ms, enum jti_hand hand);

#endif
