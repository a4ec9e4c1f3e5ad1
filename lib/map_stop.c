/* SPDX-License-Identifier: MIT */
/* How a map is told to end before its time: by any thread, a signal handler, its deadline. */
#include <errno.h>
#include <unistd.h>

#include "map_threads.h"

static void wake_from_poll(const struct jt_map *m)
{
	const uint64_t one = 1;
	if (write(m->wake_fd, &one, sizeof(one)) < 0)
		return;                 /* EAGAIN: it was woken often enough */
}

void jti_stop(struct jt_map *m, int how)
{
	jti_course_stop(&m->course, how);
	if (!jti_course_starts(&m->course)) {
		atomic_store(&m->stopping, true);
		jti_ready_set(m, m->stop_fd, true);
	}
	wake_from_poll(m);
}

void jti_look_up(struct jt_map *m)
{
	if (!jti_course_starts(&m->course))
		return;
	if (atomic_load(&m->stop_asked))
		jti_stop(m, JTI_STOPPED);
	else if (m->deadline_ns != JT_NEVER && jti_now() >= m->deadline_ns)
		jti_stop(m, JTI_DEADLINE);
}

void jt_map_stop(struct jt_map *m, enum jt_map_stop_how how)
{
	jti_lock(m);
	jti_stop(m, how == JT_MAP_NOW ? JTI_STOPPED : JTI_DRAINS);
	jti_unlock(m);
}

void jt_map_stop_async(struct jt_map *m)
{
	int saved = errno;
	atomic_store(&m->stop_asked, true);
	int fd = atomic_load(&m->ready_fd);     /* in this order: jt_map_fd looks the other way round */
	sem_post(&m->results.wake);
	sem_post(&m->room.wake);
	jti_ready_set(m, m->stop_fd, true);
	if (fd >= 0)
		jti_ready_set(m, fd, true);
	wake_from_poll(m);
	errno = saved;
}

int jt_map_stop_fd(const struct jt_map *m)
{
	return m->stop_fd;
}

bool jt_map_stopping(const struct jt_map *m)
{
	return atomic_load(&m->stopping) || atomic_load(&m->stop_asked) || (m->deadline_ns != JT_NEVER && jti_now() >= m->deadline_ns);
}
