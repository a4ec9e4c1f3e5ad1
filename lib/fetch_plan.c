/* SPDX-License-Identifier: MIT */
/* The plan of a fetch: parts that tile a range, and how they change hands. jobtree_fetch.h says what holds. */
#include <assert.h>

#include "fetch.h"
#include "tree.h"

struct jt_fetch_plan *jti_fetch_plan_empty(uint64_t first, uint64_t end)
{
	struct jt_fetch_plan *plan = calloc(1, sizeof(*plan));
	if (plan)
		*plan = (struct jt_fetch_plan){ .first = first, .end = end, .frontier = first };
	return plan;
}

int jti_fetch_plan_add(struct jt_fetch_plan *plan, const struct jt_fetch_part *part)
{
	if (jti_room(&plan->part, &plan->cap, plan->n + 1, sizeof(*plan->part)) != 0)
		return -1;
	plan->part[plan->n++] = *part;
	plan->lacking += part->end - part->at;
	plan->in_file += part->written - part->start;
	return 0;
}

static int add_range(struct jt_fetch_plan *plan, uint64_t start, uint64_t end)
{
	return jti_fetch_plan_add(plan, &(struct jt_fetch_part){ .start = start, .written = start, .at = start, .end = end });
}

static uint64_t aligned_down(uint64_t offset)
{
	return offset - offset % JT_FETCH_ALIGN;
}

/* Each part takes its share of what remains; a border that rounding would move to its part's start or before is left out. */
static int split(struct jt_fetch_plan *plan, uint64_t start, const struct jt_fetch_opts *o)
{
	uint64_t count = (o->end - start) / o->min_part;
	if (count > o->streams)
		count = o->streams;
	for (; count > 1; count--) {
		uint64_t border = aligned_down(start + (o->end - start) / count);
		if (border <= start)
			continue;
		if (add_range(plan, start, border) != 0)
			return -1;
		start = border;
	}
	return start < o->end ? add_range(plan, start, o->end) : 0;
}

static int check(const struct jt_fetch_opts *o, struct jt_error *err)
{
	if (o->streams < 1 || o->streams > JT_FETCH_STREAMS_MAX)
		return jti_fail(err, JT_EINVAL, JT_NONE, "fetch: streams must be 1..%u, got %u", JT_FETCH_STREAMS_MAX, o->streams);
	if (o->min_part < 1)
		return jti_fail(err, JT_EINVAL, JT_NONE, "fetch: the smallest part must have at least one byte");
	if (o->first > o->probe_end || o->probe_end > o->end)
		return jti_fail(err, JT_EINVAL, JT_NONE, "fetch: the first request must lie in the range");
	return 0;
}

struct jt_fetch_plan *jt_fetch_plan_new(const struct jt_fetch_opts *o, struct jt_error *err)
{
	if (check(o, err) != 0)
		return NULL;
	struct jt_fetch_plan *plan = jti_fetch_plan_empty(o->first, o->end);
	if (plan && (o->probe_end == o->first || add_range(plan, o->first, o->probe_end) == 0) && split(plan, o->probe_end, o) == 0)
		return plan;
	jt_fetch_plan_free(plan);
	jti_fail(err, JT_ENOMEM, JT_NONE, "fetch: out of memory for a plan of %u parts", o->streams + 1);
	return NULL;
}

void jt_fetch_plan_free(struct jt_fetch_plan *plan)
{
	if (!plan)
		return;
	free(plan->part);
	free(plan);
}

const struct jt_fetch_part *jt_fetch_parts(const struct jt_fetch_plan *plan, uint32_t *ret_n)
{
	*ret_n = (uint32_t)plan->n;
	return plan->part;
}

uint32_t jt_fetch_take(struct jt_fetch_plan *plan)
{
	uint32_t best = JT_FETCH_NONE;
	for (uint32_t i = 0; i < plan->n; i++) {
		const struct jt_fetch_part *p = &plan->part[i];
		if (!p->taken && p->at < p->end && (best == JT_FETCH_NONE || p->start < plan->part[best].start))
			best = i;
	}
	if (best != JT_FETCH_NONE)
		plan->part[best].taken = true;
	return best;
}

void jt_fetch_release(struct jt_fetch_plan *plan, uint32_t part)
{
	assert(part < plan->n);
	plan->part[part].taken = false;
}

/* The part ends at border, a new one takes what lay behind it. The bytes that lack are the same. */
static int cut(struct jt_fetch_plan *plan, uint32_t part, uint64_t border, uint32_t *ret_new, struct jt_error *err)
{
	struct jt_fetch_part new = { .start = border, .written = border, .at = border, .end = plan->part[part].end, .taken = true };
	uint64_t lacking = plan->lacking;
	if (jti_fetch_plan_add(plan, &new) != 0)
		return jti_fail(err, JT_ENOMEM, JT_NONE, "fetch: out of memory for one more part");
	plan->part[part].end = border;
	plan->lacking = lacking;
	*ret_new = (uint32_t)plan->n - 1;
	return 0;
}

int jt_fetch_halve(struct jt_fetch_plan *plan, uint32_t part, uint32_t *ret_new, struct jt_error *err)
{
	assert(part < plan->n);
	const struct jt_fetch_part *p = &plan->part[part];
	uint64_t rest = p->end - p->at;
	if (rest < JT_FETCH_HALVE_MIN)
		return jti_fail(err, JT_ESTATE, part, "fetch: part %u lacks %llu bytes, too few to halve", part, (unsigned long long)rest);
	return cut(plan, part, aligned_down(p->at + rest / 2), ret_new, err);
}

int jt_fetch_take_over(struct jt_fetch_plan *plan, uint32_t part, uint32_t *ret_new, struct jt_error *err)
{
	assert(part < plan->n);
	const struct jt_fetch_part *p = &plan->part[part];
	if (p->at == p->end)
		return jti_fail(err, JT_ESTATE, part, "fetch: part %u lacks nothing", part);
	return cut(plan, part, p->at, ret_new, err);
}

uint64_t jt_fetch_received(struct jt_fetch_plan *plan, uint32_t part, uint64_t n)
{
	assert(part < plan->n);
	struct jt_fetch_part *p = &plan->part[part];
	if (n > p->end - p->at)
		n = p->end - p->at;
	p->at += n;
	plan->lacking -= n;
	return n;
}

void jt_fetch_written(struct jt_fetch_plan *plan, uint32_t part, uint64_t n)
{
	assert(part < plan->n);
	struct jt_fetch_part *p = &plan->part[part];
	assert(n <= p->at - p->written);
	p->written += n;
	plan->in_file += n;
}

void jt_fetch_close(struct jt_fetch_plan *plan, uint32_t part)
{
	assert(part < plan->n && plan->part[part].end == plan->end);
	struct jt_fetch_part *p = &plan->part[part];
	plan->lacking -= p->end - p->at;
	plan->end = p->end = p->at;
}

uint64_t jt_fetch_lacking(const struct jt_fetch_plan *plan)
{
	return plan->lacking;
}

uint64_t jt_fetch_in_file(const struct jt_fetch_plan *plan)
{
	return plan->in_file;
}

/* How far the part at offset `from` takes us; from itself if no part goes on there. */
static uint64_t follow(const struct jt_fetch_plan *plan, uint64_t from)
{
	for (size_t i = 0; i < plan->n; i++) {
		const struct jt_fetch_part *p = &plan->part[i];
		if (p->start <= from && from < p->end)
			return p->written > from ? p->written : from;
	}
	return from;
}

uint64_t jt_fetch_frontier(struct jt_fetch_plan *plan)
{
	for (uint64_t next; (next = follow(plan, plan->frontier)) > plan->frontier;)
		plan->frontier = next;
	return plan->frontier;
}
