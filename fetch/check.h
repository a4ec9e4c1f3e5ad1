/* SPDX-License-Identifier: MIT */
/*
 * Check - what the header of an answer means for what was asked, before the first byte of its body is taken. Pure: the tables of doc/fetch.md.
 * libcurl checks none of this: it calls an ignored and a shifted range a success.
 */
#ifndef FETCH_CHECK_H
#define FETCH_CHECK_H

#include "answer.h"

/* What is known of the object, from the first answer or from the state of an earlier run. */
struct object {
	bool known;
	uint64_t total;                         /* SIZE_UNKNOWN */
	enum jt_fetch_validator kind;
	char *validator;                        /* NULL: none */
	char *etag;                             /* as it was sent, also a weak one */
	char *version;
};

void object_done(struct object *o);
void object_learn(struct object *o, const struct answer *a, uint64_t total);

enum asked_for {
	ASK_FIRST,              /* a range, of an object that is not known yet */
	ASK_PART,               /* a range of the object that is known */
	ASK_REST,               /* whether there is anything behind its last byte */
	ASK_WHOLE,              /* no range */
};

struct asked {
	enum asked_for what;
	uint64_t from, to;                      /* to: the first byte after it */
	bool conditional;                       /* only if the object is still the one that is known */
	bool if_changed;                        /* only if it is another one than that */
	bool user_range;                        /* --range: beyond the object is the user's mistake */
};

enum verdict {
	V_NONE,                 /* no header was seen to its end */
	V_PART,                 /* the range that was asked for, or the beginning of it */
	V_WHOLE,                /* the object from its first byte on */
	V_EMPTY,                /* it has no bytes */
	V_COMPLETE,             /* what we have is all of it */
	V_END,                  /* of unknown length: there are no more bytes */
	V_CHANGED,              /* it is another object now */
	V_ANEW,                 /* nobody can tell whether it is the same: from the first byte on */
	V_NOT_MODIFIED,         /* it is the same as the one of --if-changed */
	V_NO_IF_RANGE,          /* the same object, but whole: the server does not like the condition */
	V_NO_RANGES,            /* the same object, whole, without a condition: it serves no ranges any more */
	V_BAD_RANGE,            /* a partial answer that is not what was asked for */
	V_BEYOND,               /* --range lies beyond the object */
	V_REDIRECT,
	V_RETRY,
	V_REFUSED,              /* 401, 403 */
	V_FATAL,
};

enum verdict check(const struct asked *asked, const struct answer *a, const struct object *known);

/* check_same - whether the answer tells of the object that is known: its validator, and its length where both are told. */
bool check_same(const struct answer *a, const struct object *known);

#endif
