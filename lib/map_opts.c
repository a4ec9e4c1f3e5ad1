/* SPDX-License-Identifier: MIT */
/* The options of a map: what is refused, and what is meant by zero. */
#include "map.h"
#include "tree.h"

/* With a few only, each item waits for a thread to be woken: that costs ten times what the item does. */
#define WINDOW_LEAST 64

static uint32_t default_window(uint32_t threads)
{
	if (threads >= JT_MAP_WINDOW_MAX / 4)
		return JT_MAP_WINDOW_MAX;
	return 4 * threads > WINDOW_LEAST ? 4 * threads : WINDOW_LEAST;
}

int jti_map_opts_check(struct jt_map_opts *o, uint32_t n_cpus, struct jt_error *err)
{
	if (o->threads == 0)
		o->threads = n_cpus;
	if (o->window == 0)
		o->window = default_window(o->threads);
	if (o->window < o->threads)
		return jti_fail(err, JT_EINVAL, JT_NONE, "map: window must be at least threads (%u), got %u", o->threads, o->window);
	if (o->window > JT_MAP_WINDOW_MAX)
		return jti_fail(err, JT_EINVAL, JT_NONE, "map: window must be at most %u, got %u", JT_MAP_WINDOW_MAX, o->window);
	if (o->deadline_ns < 0 || o->heartbeat_ns < 0)
		return jti_fail(err, JT_EINVAL, JT_NONE, "map: times must not be negative");
	if (o->heartbeat_ns == 0)
		o->heartbeat_ns = 100000000;
	return o->retry.max > 0 ? jt_retry_check(&o->retry, err) : 0;
}
