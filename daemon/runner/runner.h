/* SPDX-License-Identifier: MIT */
/*
 * Runner - what the main thread knows: the connections, the attempts, the workers. One loop over epoll; nothing here waits for
 * anything else.
 *
 *   main.c     options, signals, the loop, when to leave
 *   peer.c     connections: accept, receive, who is the one jobd
 *   orders.c   what jobd asks for (START, KILL, ACK) and what the workers tell
 *   policy.c   as whom jobs may run
 *   report.c   what jobd is told: a queue of attempts with news, packed into as few packets as will do
 */
#ifndef RUNNER_H
#define RUNNER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "attempt.h"
#include "cage.h"
#include "child.h"
#include "kept.h"
#include "listen.h"
#include "outputs.h"
#include "policy.h"
#include "proto/runner_msg.h"
#include "sweep.h"
#include "worker.h"

struct runner;

/* What epoll watches; the handler's owner embeds it. */
struct source {
	int fd;
	void (*ready)(struct runner *r, struct source *s, uint32_t events);
};

/* CONNECTED -HELLO-> the peer -another's HELLO, end of file, an error-> closed (freed at the end of the turn) */
struct conn {
	struct source source;           /* first */
	bool closed;
	bool is_bound;                  /* its orders are held against the policy */
	LIST_ENTRY(conn) link;
};

struct runner {
	int epoll;
	struct listener listener;
	uid_t allow_uid;
	struct policy policy;
	struct source accept_source, mail_source, signal_source;
	bool accept_paused;             /* it failed: what waits there would wake the loop for ever */

	uint8_t runner_id[16], boot_id[16];
	uint32_t capacity;
	struct child_base base;
	struct cage_root cages;
	struct sweep sweep;             /* instead, where there are none */
	struct mailbox *box;
	struct worker **workers;
	unsigned *loads;                /* attempts that each worker has */
	unsigned n_workers, next_worker;
	struct outputs *outputs;

	struct attempt_table attempts;
	struct kept kept;
	size_t n_running;               /* not ended */
	size_t n_live;                  /* of these, those that the workers have */
	struct attempt_queue swept;     /* the workers are done with them, and what they left behind is being killed */

	LIST_HEAD(, conn) conns;
	size_t n_conns;
	struct conn *peer;              /* the one that said HELLO last; NULL: no jobd is there */

	struct attempt_queue news;      /* what the peer is to be told, in order */
	struct rm_packet packet;        /* being filled, or waiting for room in the socket */
	bool welcome_due, ready_due, waits_for_room;
	bool held;                      /* not read: enough starts are waiting to be spawned */
	size_t inventory_left, inventory_size;
	unsigned pongs_due;

	bool quit;                      /* leave when idle */
	bool stopping;                  /* end everything, then leave */
};

/* peer.c */
void peer_accept(struct runner *r, struct source *s, uint32_t events);
/* peer_accept_again - after a pause. */
void peer_accept_again(struct runner *r);
/* peer_drop - close the connection (NULL: none) and log why; its memory lives on until peer_bury. */
void peer_drop(struct runner *r, struct conn *c, const char *why);
/* peer_bury - free what was closed in this turn. */
void peer_bury(struct runner *r);
/* peer_update - be called back when the peer's socket has room iff waits_for_room, and when it has something to read unless held. Where
 * that can not be had the connection is dropped. */
void peer_update(struct runner *r);
/* peer_release - read the peer again when the starts that held it up have been spawned. */
void peer_release(struct runner *r);
int watch_source(struct runner *r, struct source *s);

#define QUEUE_MAX 512                   /* starts that wait to be spawned, each with its descriptors, before the peer is held */

/* orders.c */
/* orders_queued - how many starts wait to be spawned. */
unsigned orders_queued(const struct runner *r);
void orders_start(struct runner *r, struct rm_start *st);
void orders_kill(struct runner *r, const struct rm_kill *k);
void orders_ack(struct runner *r, const struct rm_ack *a);
/* orders_sweep - go on with the swept: a child has died. */
void orders_sweep(struct runner *r);
void orders_mail(struct runner *r, struct source *s, uint32_t events);
/* orders_end_all - TERM to every job, KILL after its grace. */
void orders_end_all(struct runner *r);

/* report.c */
/* report_hello - begin anew: WELCOME, everything there is, READY. What was under way to an older peer is dropped whole. */
void report_hello(struct runner *r);
/* report_news - tell the peer about a change; without one the next inventory does. */
void report_news(struct runner *r, struct attempt *a);
/* report_forget - it is about to be freed. */
void report_forget(struct runner *r, struct attempt *a);
/* report_flush - send as much as goes. Once a turn of the loop. */
void report_flush(struct runner *r);

#endif
