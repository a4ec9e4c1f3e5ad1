/* SPDX-License-Identifier: MIT */
/* How a map comes to its end: of the source's end, a stop, the deadline and what is still held, the status that follows. */
#include "map.h"

void jti_course_source_ended(struct jti_course *c, int r)
{
	c->source = r < 0 ? JTI_SOURCE_FAILED : JTI_SOURCE_ENDED;
	c->source_errno = -r;
}

/* A drain may become a stop; who came first, of a stop and the deadline, stays. */
void jti_course_stop(struct jti_course *c, int stop)
{
	if (c->stop < JTI_STOPPED && stop > (int)c->stop)
		c->stop = stop;
}

bool jti_course_pulls(const struct jti_course *c)
{
	return c->source == JTI_SOURCE_OPEN && c->stop == JTI_GOES_ON;
}

bool jti_course_starts(const struct jti_course *c)
{
	return c->stop < JTI_STOPPED;
}

enum jt_map_status jti_course_status(const struct jti_course *c, const struct jti_window *w)
{
	if (c->last != JT_MAP_RESULT)
		return c->last;
	if (jti_window_can_take(w))
		return JT_MAP_RESULT;
	if (w->n_taken == w->c.admitted && c->source == JTI_SOURCE_FAILED)
		return JT_MAP_SOURCE_ERROR;
	if (w->n_taken == w->c.admitted && (c->source == JTI_SOURCE_ENDED || c->stop == JTI_DRAINS))
		return JT_MAP_END;
	if (c->stop == JTI_STOPPED)
		return JT_MAP_STOPPED;
	return c->stop == JTI_DEADLINE ? JT_MAP_DEADLINE : JT_MAP_AGAIN;
}

const char *jt_map_status_name(enum jt_map_status st)
{
	static const char *const names[] = {
		[JT_MAP_RESULT] = "result",             [JT_MAP_AGAIN] = "again",     [JT_MAP_END] = "end",
		[JT_MAP_SOURCE_ERROR] = "source-error", [JT_MAP_STOPPED] = "stopped", [JT_MAP_DEADLINE] = "deadline",
	};
	return (size_t)st < sizeof(names) / sizeof(*names) ? names[st] : "unknown";
}
