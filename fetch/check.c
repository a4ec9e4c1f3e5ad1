/* SPDX-License-Identifier: MIT */
#include "check.h"

#include <stdlib.h>
#include <string.h>

#include "mem.h"

void object_done(struct object *o)
{
	free(o->validator);
	free(o->etag);
	free(o->version);
	*o = (struct object){ .total = SIZE_UNKNOWN };
}

void object_learn(struct object *o, const struct answer *a, uint64_t total)
{
	const char *validator;

	object_done(o);
	o->known = true;
	o->total = total;
	o->kind = answer_validator(a, &validator);
	o->validator = mem_text(validator);
	o->etag = mem_text(a->etag);
	o->version = mem_text(a->version);
}

static bool same_text(const char *a, const char *b)
{
	return a && b && strcmp(a, b) == 0;
}

/* A condition was sent: what comes whole is the same object only if it says so itself. Without a validator the length has to do. */
bool check_same(const struct answer *a, const struct object *known)
{
	if (known->total != SIZE_UNKNOWN && a->length != SIZE_UNKNOWN && a->length != known->total)
		return false;
	if (known->kind == JT_FETCH_ETAG)
		return same_text(a->etag, known->validator);
	if (known->kind == JT_FETCH_DATE)
		return same_text(a->last_modified, known->validator);
	return a->length != SIZE_UNKNOWN && a->length == known->total;
}

/* ---- by status ----------------------------------------------------------------------------------------------------- */

/* Fields that a partial answer need not have, but that must not contradict. */
static bool contradicts(const struct answer *a, const struct object *known)
{
	if (a->length != SIZE_UNKNOWN && a->length != a->last - a->start + 1)
		return true;
	if (!known->known)
		return false;
	if (known->etag && a->etag && strcmp(known->etag, a->etag) != 0)
		return true;
	return known->kind == JT_FETCH_DATE && a->last_modified && strcmp(known->validator, a->last_modified) != 0;
}

static enum verdict partial(const struct asked *asked, const struct answer *a, const struct object *known)
{
	if (a->range != RANGE_BYTES || a->multipart || a->encoded || asked->what == ASK_WHOLE)
		return V_BAD_RANGE;
	if (known->known && known->total != SIZE_UNKNOWN && a->total != SIZE_UNKNOWN && a->total != known->total)
		return V_CHANGED;
	if (a->start != asked->from || a->last >= asked->to || (a->total != SIZE_UNKNOWN && a->last >= a->total))
		return V_BAD_RANGE;
	if (known->known && known->total != a->total)
		return V_BAD_RANGE;
	if (contradicts(a, known))
		return V_BAD_RANGE;
	return V_PART;
}

static enum verdict whole(const struct asked *asked, const struct answer *a, const struct object *known)
{
	if (asked->what == ASK_WHOLE || asked->what == ASK_FIRST)
		return V_WHOLE;
	if (!check_same(a, known))
		return V_CHANGED;
	if (asked->what == ASK_REST)
		return V_COMPLETE;
	return asked->conditional ? V_NO_IF_RANGE : V_NO_RANGES;
}

static enum verdict unsatisfied(const struct asked *asked, const struct answer *a, const struct object *known)
{
	bool told = a->range == RANGE_UNSATISFIED && a->total != SIZE_UNKNOWN;

	if (asked->what == ASK_WHOLE)
		return V_FATAL;                 /* there was no range */
	if (asked->what == ASK_FIRST && asked->user_range)
		return V_BEYOND;
	if (asked->what == ASK_FIRST)
		return a->range == RANGE_UNSATISFIED && a->total == 0 ? V_EMPTY : V_BAD_RANGE;
	if (known->total == SIZE_UNKNOWN)
		return told && a->total != asked->from ? V_CHANGED : V_END;
	if (told && a->total != known->total)
		return V_CHANGED;
	return asked->what == ASK_REST && a->range == RANGE_UNSATISFIED ? V_COMPLETE : V_BAD_RANGE;
}

static enum verdict by_kind(int status)
{
	static const short again[] = { 408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524 };

	for (size_t i = 0; i < sizeof(again) / sizeof(*again); i++)
		if (status == again[i])
			return V_RETRY;
	return status == 401 || status == 403 ? V_REFUSED : V_FATAL;
}

enum verdict check(const struct asked *asked, const struct answer *a, const struct object *known)
{
	switch (a->status) {
	case 200:
		return whole(asked, a, known);
	case 206:
		return partial(asked, a, known);
	case 301: case 302: case 303: case 307: case 308:
		return a->location ? V_REDIRECT : V_FATAL;
	case 304:
		return asked->if_changed ? V_NOT_MODIFIED : V_FATAL;
	case 412:
		return asked->conditional ? V_CHANGED : V_FATAL;
	case 416:
		return unsatisfied(asked, a, known);
	default:
		return by_kind(a->status);
	}
}
