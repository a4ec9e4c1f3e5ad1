/* SPDX-License-Identifier: MIT */
/*
 * libjobtree, fetch - which bytes of one object are asked for by which stream, and what is written down so that another process can go on.
 *
 * The library computes: who asks, what comes and what is written is told to it. A plan tiles a range of the object with parts:
 *
 *	start        written          at                 end
 *	  |-- in the file --|-- on its way --|-- not asked for yet, or under way --|
 *
 * What holds at every instant: the parts, in the order of their starts, tile the range without gap or overlap; start <= written <= at <= end
 * in each; a part only ever shrinks, and never below `at`. So a byte belongs to one stream alone, whatever is halved or taken over.
 *
 * Thread safety: an object belongs to one thread at a time.
 */
#ifndef JOBTREE_FETCH_H
#define JOBTREE_FETCH_H

#include "jobtree.h"

#ifdef __cplusplus
extern "C" {
#endif

#define JT_FETCH_ALIGN 4096u                        /* inner borders of parts are multiples of it */
#define JT_FETCH_HALVE_MIN (UINT64_C(2) << 20)      /* a smaller remainder is not halved */
#define JT_FETCH_STREAMS_MAX 64u
#define JT_FETCH_NONE UINT32_MAX                    /* no part */

/* ---- the plan ---------------------------------------------------------------------------------------------------- */

struct jt_fetch_part {
	uint64_t start, written, at, end;           /* offsets in the object; end is the first byte after it */
	bool taken;                                 /* a stream is at it */
};

struct jt_fetch_opts {
	uint64_t first, end;                        /* the range that is wanted; first == end: nothing */
	uint64_t probe_end;                         /* part 0 ends here: the first request has asked for it. first <= probe_end <= end;
	                                               first: there was none */
	uint64_t min_part;                          /* parts are not made smaller than this; at least 1 */
	uint32_t streams;                           /* 1 .. JT_FETCH_STREAMS_MAX */
};

struct jt_fetch_plan;

/* jt_fetch_plan_new - part 0 up to probe_end, and the rest in clamp(rest / min_part, 1, streams) parts of about one size.
 * NULL with *err: JT_EINVAL, JT_ENOMEM. */
struct jt_fetch_plan *jt_fetch_plan_new(const struct jt_fetch_opts *opts, struct jt_error *err);
void jt_fetch_plan_free(struct jt_fetch_plan *plan);

/* The parts in the order in which they came to be; numbers stay, the array moves when jt_fetch_halve or jt_fetch_take_over made one. */
const struct jt_fetch_part *jt_fetch_parts(const struct jt_fetch_plan *plan, uint32_t *ret_n);

/* jt_fetch_take - the part of the lowest start that lacks bytes and has no stream; it has one now. JT_FETCH_NONE: there is none. O(parts) */
uint32_t jt_fetch_take(struct jt_fetch_plan *plan);

/* jt_fetch_release - the stream has left the part, complete or not. */
void jt_fetch_release(struct jt_fetch_plan *plan, uint32_t part);

/*
 * jt_fetch_halve - the second half of what `part` lacks becomes a part of its own, taken, for a stream that has nothing to do.
 * The owner of `part` ends sooner: jt_fetch_received cuts it. 0, or -1 with *err: JT_ESTATE less than JT_FETCH_HALVE_MIN is lacking;
 * JT_ENOMEM; the plan is as before.
 */
int jt_fetch_halve(struct jt_fetch_plan *plan, uint32_t part, uint32_t *ret_new, struct jt_error *err);

/* jt_fetch_take_over - all that `part` lacks becomes a part of its own, taken; `part` is complete. Errors as above (JT_ESTATE: it lacks nothing). */
int jt_fetch_take_over(struct jt_fetch_plan *plan, uint32_t part, uint32_t *ret_new, struct jt_error *err);

/* jt_fetch_received - n bytes came for the part. Returns how many of them belong to it: fewer than n when it was cut. */
uint64_t jt_fetch_received(struct jt_fetch_plan *plan, uint32_t part, uint64_t n);

/* jt_fetch_written - n bytes more of the part are in the file, in order; no more than were received. */
void jt_fetch_written(struct jt_fetch_plan *plan, uint32_t part, uint64_t n);

/* jt_fetch_close - the object of unknown length ends where the last part is: what that lacks does not exist. */
void jt_fetch_close(struct jt_fetch_plan *plan, uint32_t part);

uint64_t jt_fetch_lacking(const struct jt_fetch_plan *plan);                /* bytes that were not received; O(1) */
uint64_t jt_fetch_in_file(const struct jt_fetch_plan *plan);                /* bytes written; O(1) */

/* jt_fetch_frontier - all bytes from the first up to here are in the file. O(parts) for each part that was completed since */
uint64_t jt_fetch_frontier(struct jt_fetch_plan *plan);

/* ---- the state: what another process needs to go on --------------------------------------------------------------- */

enum jt_fetch_validator { JT_FETCH_UNVALIDATED, JT_FETCH_ETAG, JT_FETCH_DATE };

/* Texts: UTF-8 or any bytes without control characters, at most JT_FETCH_TEXT_MAX; NULL: none. */
#define JT_FETCH_TEXT_MAX 8192u
struct jt_fetch_state {
	char *url;                                  /* for people: without secrets */
	char *id;                                   /* of the whole URL: what must be equal for a resume */
	char *validator;                            /* the strong ETag or the Last-Modified of the object */
	char *version;                              /* versionId, where the server told one */
	char *checksum;                             /* "sha256:HEX md5:HEX": what the range will be compared with */
	enum jt_fetch_validator kind;
	uint64_t total, first, end;                 /* bytes of the object; the range that is wanted */
};
void jt_fetch_state_done(struct jt_fetch_state *s);

/*
 * jt_fetch_state_encode - text, with a version and a checksum of its own, that claims of each part what is in the file and no more.
 * Complete neighbours are told as one. The caller frees *ret. 0, or -1 with *err: JT_EINVAL (a text that cannot be carried), JT_ENOMEM.
 */
int jt_fetch_state_encode(const struct jt_fetch_state *s, const struct jt_fetch_plan *plan, char **ret, size_t *ret_len, struct jt_error *err);

/*
 * jt_fetch_state_decode - the reverse. What is damaged, of another version, or does not tile its range is refused: JT_EINVAL.
 * The caller ends both with their done and free; untouched on failure. No part is taken, and `at` is what was written.
 */
int jt_fetch_state_decode(const char *text, size_t len, struct jt_fetch_state *ret, struct jt_fetch_plan **ret_plan, struct jt_error *err);

#ifdef __cplusplus
}
#endif
#endif
