/* SPDX-License-Identifier: MIT */
/* A map as the source of the next, and the loop that gives all results to a function. */
#include <errno.h>

#include "map.h"

static void result_free(void *data)
{
	struct jt_map_result *r = data;
	jt_map_result_done(r);
	free(r);
}

static int chain_error(struct jt_map *m, enum jt_map_status st)
{
	switch (st) {
	case JT_MAP_SOURCE_ERROR:
		return -jt_map_source_error(m);
	case JT_MAP_STOPPED:
		return -ECANCELED;
	case JT_MAP_DEADLINE:
		return -ETIME;
	default:
		return st == JT_MAP_AGAIN ? -EAGAIN : 0;
	}
}

/* Memory first: a result that was taken must not be lost. */
static int chain_next(void *arg, struct jt_item *ret)
{
	struct jt_map *m = arg;
	struct jt_map_result *r = malloc(sizeof(*r));
	if (!r)
		return -ENOMEM;
	enum jt_map_status st = jt_map_next(m, r, 0);
	if (st != JT_MAP_RESULT) {
		free(r);
		return chain_error(m, st);
	}
	*ret = (struct jt_item){ r, sizeof(*r), result_free };
	return 1;
}

static int chain_fd(void *arg)
{
	return jt_map_fd(arg);
}

static void chain_close(void *arg)
{
	jt_map_stop(arg, JT_MAP_NOW);
}

struct jt_source jt_map_as_source(struct jt_map *m)
{
	return (struct jt_source){ chain_next, chain_fd, chain_close, m };
}

enum jt_map_status jt_map_run(struct jt_map *m, int (*on_result)(void *arg, const struct jt_map_result *r), void *arg)
{
	struct jt_map_result r;
	enum jt_map_status st;
	bool wanted = true;
	while ((st = jti_map_next(m, &r, -1, JTI_HOLD)) == JT_MAP_RESULT) {
		if (wanted && on_result(arg, &r) != 0) {
			wanted = false;
			jt_map_stop(m, JT_MAP_NOW);
		}
		jt_map_result_done(&r);
	}
	return st;
}
