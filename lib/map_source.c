/* SPDX-License-Identifier: MIT */
/* The thread of a map's source: the only one that calls its functions. */
#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "map_threads.h"

/* Whether the source is to be asked now; waits for room. */
static bool wait_for_room(struct jt_map *m, struct jti_patience *patience)
{
	for (;;) {
		jti_look_up(m);
		if (!jti_course_pulls(&m->course))
			return false;
		if (jti_window_has_room(&m->window))
			return true;
		jti_wait(m, &m->room, patience, m->deadline_ns);
	}
}

static void poll_until(const struct jt_map *m, int fd, int64_t until)
{
	struct pollfd fds[2] = { { .fd = m->wake_fd, .events = POLLIN }, { .fd = fd, .events = POLLIN } };
	uint64_t count;
	int64_t left = until == JT_NEVER ? 0 : until - jti_now();
	struct timespec t = jti_timespec(left > 0 ? left : 0);
	if (ppoll(fds, 2, until == JT_NEVER ? NULL : &t, NULL) > 0 && fds[0].revents && read(m->wake_fd, &count, sizeof(count)) < 0)
		return;
}

static void wait_for_source(const struct jt_map *m)
{
	int fd = m->source.fd ? m->source.fd(m->source.arg) : -1;
	int64_t until = fd < 0 ? jti_after(jti_now(), m->opts.heartbeat_ns) : JT_NEVER;
	poll_until(m, fd, m->deadline_ns < until ? m->deadline_ns : until);
}

/* Returns whether the item was taken. */
static bool admit(struct jt_map *m, struct jt_item item)
{
	m->window.c.pulled++;
	jti_look_up(m);
	if (!jti_course_pulls(&m->course))
		return false;
	jti_window_admit(&m->window, item);
	return true;
}

/* r, item: what next gave. */
static void took(struct jt_map *m, int r, struct jt_item item)
{
	if (r > 0 && !admit(m, item)) {
		jti_unlock(m);
		jt_item_done(&item);
		jti_lock(m);
	} else if (r <= 0 && jti_course_pulls(&m->course)) {
		jti_course_source_ended(&m->course, r);
	}
}

void *jti_source_main(void *arg)
{
	struct jt_map *m = arg;
	struct jti_patience patience = { JTI_PATIENCE_NS };
	jti_lock(m);
	while (wait_for_room(m, &patience)) {
		struct jt_item item = { 0 };
		jti_unlock(m);
		int r = m->source.next(m->source.arg, &item);
		if (r == -EAGAIN)
			wait_for_source(m);
		jti_lock(m);
		if (r != -EAGAIN)
			took(m, r, item);
	}
	jti_unlock(m);
	if (m->source.close)
		m->source.close(m->source.arg);
	return NULL;
}
