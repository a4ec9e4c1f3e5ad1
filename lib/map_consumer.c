/* SPDX-License-Identifier: MIT */
/* The consumer's side of a map: taking results, and looking at how it stands. */
#include <sys/timerfd.h>

#include "map_threads.h"

static int64_t end_of_wait(int timeout_ms)
{
	return timeout_ms < 0 ? JT_NEVER : timeout_ms == 0 ? 0 : jti_now() + timeout_ms * INT64_C(1000000);
}

static enum jt_map_status wait_for_status(struct jt_map *m, int64_t until)
{
	for (;;) {
		jti_look_up(m);
		enum jt_map_status st = jti_course_status(&m->course, &m->window);
		if (st != JT_MAP_AGAIN || until == 0 || (until != JT_NEVER && jti_now() >= until))
			return st;
		jti_wait(m, &m->results, &m->patience, m->deadline_ns < until ? m->deadline_ns : until);
	}
}

static void deliver(struct jt_map *m)
{
	if (m->holds)
		jti_window_delivered(&m->window);
	m->holds = false;
}

enum jt_map_status jti_map_next(struct jt_map *m, struct jt_map_result *ret, int timeout_ms, enum jti_hand hand)
{
	int64_t until = end_of_wait(timeout_ms);
	jti_lock(m);
	deliver(m);
	enum jt_map_status st = wait_for_status(m, until);
	if (st == JT_MAP_RESULT) {
		jti_window_take(&m->window, ret);
		m->holds = true;
	} else if (st != JT_MAP_AGAIN) {
		m->course.last = st;
	}
	if (hand == JTI_DELIVER)
		deliver(m);
	jti_unlock(m);
	return st;
}

enum jt_map_status jt_map_next(struct jt_map *m, struct jt_map_result *ret, int timeout_ms)
{
	return jti_map_next(m, ret, timeout_ms, JTI_DELIVER);
}

int jt_map_fd(struct jt_map *m)
{
	jti_lock(m);
	int fd = atomic_load(&m->ready_fd);
	if (fd < 0 && (fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)) >= 0) {
		atomic_store(&m->ready_fd, fd);
		jti_ready_set(m, fd, false);
		m->ready_shown = false;
		jti_look_up(m);
	}
	jti_unlock(m);
	return fd;
}

int jt_map_source_error(struct jt_map *m)
{
	jti_lock(m);
	int r = m->course.source_errno;
	jti_unlock(m);
	return r;
}

void jt_map_stats(struct jt_map *m, struct jt_map_counters *ret)
{
	jti_lock(m);
	*ret = m->window.c;
	jti_unlock(m);
}
