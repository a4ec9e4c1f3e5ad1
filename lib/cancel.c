/* SPDX-License-Identifier: MIT */
/* A flag that asks an executor to end early, and the descriptor that wakes it. */
#include <errno.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "cancel.h"

struct jt_cancel *jt_cancel_new(void)
{
	struct jt_cancel *c = malloc(sizeof(*c));
	if (!c)
		return NULL;
	atomic_init(&c->asked, 0);
	c->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (c->fd < 0) {
		free(c);
		return NULL;
	}
	return c;
}

/* Stays readable: nobody takes the count out. */
void jt_cancel_request(struct jt_cancel *c)
{
	const uint64_t one = 1;
	int saved = errno;
	atomic_store(&c->asked, 1);
	if (write(c->fd, &one, sizeof(one)) < 0)
		errno = saved;          /* EAGAIN: it was asked often enough */
}

bool jt_cancel_requested(const struct jt_cancel *c)
{
	return atomic_load(&c->asked) != 0;
}

void jt_cancel_free(struct jt_cancel *c)
{
	if (!c)
		return;
	close(c->fd);
	free(c);
}
