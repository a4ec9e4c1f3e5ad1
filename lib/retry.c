/* SPDX-License-Identifier: MIT */
/* Backoff with full jitter (Brooker 2015). */
#include <math.h>

#include "tree.h"

int jt_retry_check(struct jt_retry_policy *p, struct jt_error *err)
{
	if (p->min_ns < 0 || p->cap_ns < 0 || p->max_ns < 0 || p->elapsed_ns < 0)
		return jti_fail(err, JT_EINVAL, JT_NONE, "retry: times must not be negative");
	if (!(p->base >= 1.0) || isinf(p->base))
		return jti_fail(err, JT_EINVAL, JT_NONE, "retry: base must be a number of at least 1, got %g", p->base);
	if (p->max_ns < p->min_ns)
		p->max_ns = p->min_ns;
	if (p->cap_ns < p->min_ns)
		p->cap_ns = p->min_ns;
	if (p->cap_ns > p->max_ns)
		p->cap_ns = p->max_ns;
	return 0;
}

static int64_t cap_after(const struct jt_retry_policy *p, uint32_t failed)
{
	if (p->cap_ns == 0)
		return 0;                       /* 0 x infinity is no number */
	double cap = (double)p->cap_ns * pow(p->base, (double)(failed - 1));
	return cap < (double)p->max_ns ? (int64_t)cap : p->max_ns;
}

int64_t jt_retry_delay(const struct jt_retry_policy *p, uint32_t failed, int64_t since_first_ns, uint64_t rnd)
{
	if (failed > p->max || (p->elapsed_ns > 0 && since_first_ns >= p->elapsed_ns))
		return -1;
	int64_t cap = failed > 0 ? cap_after(p, failed) : p->cap_ns;
	if (cap < p->min_ns)
		cap = p->min_ns;
	uint64_t span = (uint64_t)(cap - p->min_ns);
	uint64_t part = (uint64_t)(((unsigned __int128)rnd * ((unsigned __int128)span + 1)) >> 64);
	return p->min_ns + (int64_t)part;
}
