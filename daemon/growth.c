/* SPDX-License-Identifier: MIT */
#include "growth.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "engine.h"

struct growth {
	struct event *event;
	void (*fn)(void *arg);
	void *arg;
};

static void changed(evutil_socket_t fd, short what, void *arg)
{
	struct growth *g = arg;
	char buf[4096];

	(void)what;
	while (read(fd, buf, sizeof(buf)) > 0)
		;
	g->fn(g->arg);
}

/* Through the descriptor: the name may be another file's by now. */
static int watch(int fd)
{
	char path[64];
	int inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK), error;

	if (inotify < 0)
		return -1;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (inotify_add_watch(inotify, path, IN_MODIFY) >= 0)
		return inotify;
	error = errno;
	close(inotify);
	errno = error;
	return -1;
}

struct growth *growth_watch(struct event_base *base, int fd, void (*fn)(void *arg), void *arg)
{
	int inotify = watch(fd);
	struct growth *g;

	if (inotify < 0)
		return NULL;
	g = xcalloc(1, sizeof(*g));
	*g = (struct growth){ .fn = fn, .arg = arg, .event = xevent(base, inotify, EV_READ | EV_PERSIST, changed, g) };
	event_add(g->event, NULL);
	return g;
}

void growth_free(struct growth *g)
{
	if (!g)
		return;
	close(event_get_fd(g->event));
	event_free(g->event);
	free(g);
}
