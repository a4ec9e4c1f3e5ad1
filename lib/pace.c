/* SPDX-License-Identifier: MIT */
/* Pacing: a start not before `next`, then next += interval - not "now + interval": it catches up. */
#include "tree.h"

uint64_t jti_random_next(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15u);
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

/* The first look at the clock is the start of the run. */
void jti_pace_begin(struct jt_sched *s, int64_t now_ns)
{
	if (s->pacing || (s->opts.interval_ns == 0 && s->opts.jitter_ns == 0 && !s->opts.interval))
		return;
	s->pacing = true;
	s->next_ns = now_ns;
}

void jti_pace_started(struct jt_sched *s, jt_job j)
{
	if (!s->pacing)
		return;
	int64_t step = s->opts.interval ? s->opts.interval(s->opts.interval_arg, j) : s->opts.interval_ns;
	if (step < 0)
		step = 0;
	if (s->opts.jitter_ns > 0)
		step += (int64_t)(jti_random_next(&s->rnd) % ((uint64_t)s->opts.jitter_ns + 1));
	if (__builtin_add_overflow(s->next_ns, step, &s->next_ns))
		s->next_ns = JT_NEVER - 1;
}
