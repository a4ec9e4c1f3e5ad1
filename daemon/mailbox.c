/* SPDX-License-Identifier: MIT */
/* Mailbox: see mailbox.h. The list is guarded by the mutex; the eventfd only wakes, it counts nothing. */
#include "mailbox.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "log.h"

#define LAZY_MAX 256            /* lazy mail that wakes a dozing receiver after all */

struct mailbox {
	pthread_mutex_t lock;
	struct mail *head;
	struct mail **tail;
	size_t n, limit;
	bool dozing;
	int fd;
};

struct mailbox *mailbox_new(size_t limit)
{
	struct mailbox *mb = calloc(1, sizeof(*mb));

	if (!mb)
		return NULL;
	mb->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (mb->fd < 0) {
		free(mb);
		return NULL;
	}
	pthread_mutex_init(&mb->lock, NULL);    /* cannot fail with default attributes */
	mb->tail = &mb->head;
	mb->limit = limit;
	return mb;
}

void mailbox_free(struct mailbox *mb)
{
	if (!mb)
		return;
	if (mb->head)
		log_die("a mailbox with mail in it was freed");
	close(mb->fd);
	pthread_mutex_destroy(&mb->lock);
	free(mb);
}

int mailbox_fd(const struct mailbox *mb)
{
	return mb->fd;
}

/* A receiver that is not woken sleeps for ever, and what it was to hear of is never done; not even its end. EAGAIN: it is about to read the
 * wake-ups that fill the counter. No eventfd says anything else, so this one is none any more. */
static void wake(struct mailbox *mb)
{
	static const uint64_t one = 1;

	while (write(mb->fd, &one, sizeof(one)) != sizeof(one))
		if (errno != EINTR && errno != EAGAIN)
			log_die("a thread can not be woken: %s", strerror(errno));
}

/* A receiver that dozes may have lazy mail in the box already: what is not lazy wakes it all the same. */
static bool post(struct mailbox *mb, struct mail *m, bool lazy)
{
	bool room, must_wake;

	m->next = NULL;
	pthread_mutex_lock(&mb->lock);
	must_wake = mb->dozing ? !lazy || mb->n + 1 == LAZY_MAX : !mb->head;
	room = !mb->limit || mb->n < mb->limit;
	if (room) {
		*mb->tail = m;
		mb->tail = &m->next;
		mb->n++;
	}
	pthread_mutex_unlock(&mb->lock);
	if (room && must_wake)
		wake(mb);
	return room;
}

bool mailbox_post(struct mailbox *mb, struct mail *m)
{
	return post(mb, m, false);
}

bool mailbox_post_lazily(struct mailbox *mb, struct mail *m)
{
	return post(mb, m, true);
}

/*
 * The wake-up is cleared before the list is taken: mail posted between the two is taken now, and its wake-up at most makes the
 * receiver look once more for nothing. The other way round, the wake-up of such mail could be eaten.
 */
struct mail *mailbox_take(struct mailbox *mb)
{
	struct mail *all;
	uint64_t n;

	while (read(mb->fd, &n, sizeof(n)) < 0 && errno == EINTR)
		;
	pthread_mutex_lock(&mb->lock);
	all = mb->head;
	mb->head = NULL;
	mb->tail = &mb->head;
	mb->n = 0;
	pthread_mutex_unlock(&mb->lock);
	return all;
}

void mailbox_wait(struct mailbox *mb, int timeout_ms)
{
	struct pollfd p = {.fd = mb->fd, .events = POLLIN};

	poll(&p, 1, timeout_ms);        /* EINTR: the caller finds nothing and waits again */
}

static void set_dozing(struct mailbox *mb, bool dozing)
{
	pthread_mutex_lock(&mb->lock);
	mb->dozing = dozing;
	pthread_mutex_unlock(&mb->lock);
}

/* Mail that came before it dozed has woken it: the descriptor is readable then, and it does not sleep. */
void mailbox_doze(struct mailbox *mb, int timeout_ms)
{
	set_dozing(mb, true);
	mailbox_wait(mb, timeout_ms);
	set_dozing(mb, false);
}
