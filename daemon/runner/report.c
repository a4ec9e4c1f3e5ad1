/* SPDX-License-Identifier: MIT */
/*
 * Report: see runner.h. The queue is made of the attempts themselves, so it is bounded by them and telling needs no memory. Each
 * stands in it at most once and is told as it is when its turn comes: one that has ended by then needs no STARTED.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "failpoint.h"
#include "log.h"
#include "runner.h"

static void enqueue(struct runner *r, struct attempt *a, enum news news)
{
	if (a->news == NEWS_NONE)
		TAILQ_INSERT_TAIL(&r->news, a, news_link);
	a->news = news;
}

static void dequeue(struct runner *r, struct attempt *a)
{
	if (a->news == NEWS_INVENTORY)
		r->inventory_left--;
	if (a->news != NEWS_NONE)
		TAILQ_REMOVE(&r->news, a, news_link);
	a->news = NEWS_NONE;
}

void report_hello(struct runner *r)
{
	struct attempt *a;

	while ((a = TAILQ_FIRST(&r->news)))
		dequeue(r, a);
	r->packet.len = 0;
	r->pongs_due = 0;
	r->waits_for_room = false;
	r->inventory_left = 0;
	LIST_FOREACH(a, &r->attempts.all, all_link) {
		enqueue(r, a, NEWS_INVENTORY);
		r->inventory_left++;
	}
	r->inventory_size = r->inventory_left;
	r->welcome_due = true;
	r->ready_due = true;
}

void report_news(struct runner *r, struct attempt *a)
{
	if (r->peer && a->news == NEWS_NONE)
		enqueue(r, a, NEWS_CHANGED);
}

void report_forget(struct runner *r, struct attempt *a)
{
	dequeue(r, a);
}

/* While it runs the rest of `end` belongs to the worker. */
static struct rm_end seen_of(const struct attempt *a)
{
	struct rm_end e = {.job = a->end.job, .attempt = a->end.attempt, .how = RM_RUNNING};

	if (a->has_ended)
		return a->end;
	if (a->has_started) {
		e.pid = a->end.pid;
		e.started_at_us = a->end.started_at_us;
	}
	return e;
}

static struct rm_msg message_about(const struct attempt *a)
{
	struct rm_msg m = {.type = RM_STARTED};

	if (a->news == NEWS_INVENTORY || a->has_ended) {
		m.type = a->news == NEWS_INVENTORY ? RM_INVENTORY : RM_ENDED;
		m.u.end = seen_of(a);
		return m;
	}
	m.u.started = (struct rm_started){.job = a->end.job, .attempt = a->end.attempt, .pid = a->end.pid,
					  .started_at_us = a->end.started_at_us};
	return m;
}

static int put_welcome(struct runner *r)
{
	struct rm_msg m = {.type = RM_WELCOME};

	m.u.welcome = (struct rm_welcome){.version = RM_VERSION, .pid = (uint32_t)getpid(), .capacity = r->capacity,
					  .n_inventory = (uint32_t)r->inventory_size,
					  .held_by = r->cages.fd >= 0 ? RM_HELD_BY_CGROUP : r->sweep.on ? RM_HELD_BY_SUBREAPER : RM_HELD_BY_SESSION};
	memcpy(m.u.welcome.runner_id, r->runner_id, sizeof(r->runner_id));
	memcpy(m.u.welcome.boot_id, r->boot_id, sizeof(r->boot_id));
	return rm_put(&r->packet, &m);
}

/* Puts the next thing there is to say into the packet. 1: done; 0: nothing more to say; -1: it does not fit. */
static int put_next(struct runner *r)
{
	struct attempt *a = TAILQ_FIRST(&r->news);
	struct rm_msg m;

	if (r->welcome_due) {
		r->welcome_due = put_welcome(r) < 0;
		return r->welcome_due ? -1 : 1;
	}
	if (r->ready_due && !r->inventory_left) {
		m = (struct rm_msg){.type = RM_READY};
		r->ready_due = rm_put(&r->packet, &m) < 0;
		return r->ready_due ? -1 : 1;
	}
	if (r->pongs_due) {
		m = (struct rm_msg){.type = RM_PONG};
		if (rm_put(&r->packet, &m) < 0)
			return -1;
		r->pongs_due--;
		return 1;
	}
	if (!a)
		return 0;
	m = message_about(a);
	if (rm_put(&r->packet, &m) < 0)
		return -1;
	dequeue(r, a);
	return 1;
}

static int send_packet(struct runner *r)
{
	int rc = FAILS("before_send_jobd") ? -1 : rm_send(r->peer->source.fd, &r->packet);

	FAILPOINT("after_send_jobd");
	return rc;
}

void report_flush(struct runner *r)
{
	int rc = 1;

	while (r->peer && rc) {
		do
			rc = r->packet.len && r->waits_for_room ? -1 : put_next(r);
		while (rc > 0);
		if (!r->packet.len || send_packet(r) == 0) {
			r->waits_for_room = false;
			continue;
		}
		if (errno != EAGAIN && errno != ENOBUFS) {
			peer_drop(r, r->peer, strerror(errno));
			return;
		}
		r->waits_for_room = true;
		peer_update(r);
		return;
	}
}
