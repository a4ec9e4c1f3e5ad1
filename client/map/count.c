/* SPDX-License-Identifier: MIT */
#include "map/count.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "map/loop.h"

#define SLICE_NS INT64_C(200000)
#define REST_NS INT64_C(5000000)
#define ITEMS_A_LOOK 16                 /* at the clock */
#define AHEAD ((off_t)1 << 20)          /* what the kernel is asked to read */

static void over(struct count *c, int64_t total)
{
	event_free(c->ev);
	c->ev = NULL;
	c->total = total;
	c->source.close(c->source.arg);
}

/* Whether what is read next is in memory. A file system that does not tell is not waited for. */
static bool is_at_hand(const struct count *c)
{
	int fd = c->source.fd(c->source.arg);
	off_t at = lseek(fd, 0, SEEK_CUR);
	struct iovec byte = { (char[1]){ 0 }, 1 };

	if (preadv2(fd, &byte, 1, at, RWF_NOWAIT) >= 0 || errno != EAGAIN)
		return true;
	(void)posix_fadvise(fd, at, AHEAD, POSIX_FADV_WILLNEED);
	return false;
}

/* Zipped strictly, files of different lengths end with an error, behind the last whole tuple. */
static bool count_one(struct count *c)
{
	struct jt_item item;
	int rc = c->source.next(c->source.arg, &item);

	if (rc == 1) {
		jt_item_done(&item);
		c->n++;
		return true;
	}
	over(c, rc == 0 || rc == -ENODATA ? (int64_t)c->n : -1);
	return false;
}

static void on_idle(evutil_socket_t fd, short what, void *arg)
{
	struct count *c = arg;
	int64_t end = loop_now_ns() + SLICE_NS;
	struct timeval rest = loop_timeval(REST_NS);

	(void)fd, (void)what;
	evtimer_add(c->ev, &rest);
	while (loop_now_ns() < end && is_at_hand(c))
		for (int i = 0; i < ITEMS_A_LOOK; i++)
			if (!count_one(c))
				return;
}

void count_init(struct count *c, struct event_base *base, const struct jt_source *source)
{
	*c = (struct count){ .total = -1 };
	if (!source)
		return;
	c->source = *source;
	c->ev = evtimer_new(base, on_idle, c);
	event_priority_set(c->ev, COUNT_PRIORITIES - 1);
	event_active(c->ev, EV_TIMEOUT, 0);
}

void count_done(struct count *c)
{
	if (c->ev)
		over(c, -1);
}
