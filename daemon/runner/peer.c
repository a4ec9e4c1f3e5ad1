/* SPDX-License-Identifier: MIT */
/* Peer: see runner.h. A malformed packet costs its sender the connection, and us a line in the log. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "failpoint.h"
#include "log.h"
#include "runner.h"

#define CONNS_MAX 16
#define PACKETS_A_TURN 64               /* then the workers' notes get their turn */
#define SEND_BUFFER (1024 * 1024)       /* thousands of ends while jobd waits for its disk */

int watch_source(struct runner *r, struct source *s)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = s};

	return epoll_ctl(r->epoll, EPOLL_CTL_ADD, s->fd, &ev);
}

void peer_update(struct runner *r)
{
	struct epoll_event ev = {.events = (r->held ? 0 : EPOLLIN) | (r->waits_for_room ? EPOLLOUT : 0), .data.ptr = &r->peer->source};

	if (epoll_ctl(r->epoll, EPOLL_CTL_MOD, r->peer->source.fd, &ev) < 0)
		peer_drop(r, r->peer, strerror(errno));         /* jobd connects again; the jobs run on */
}

/* Every start that waits is followed by a note of its worker, so this is asked again until nothing waits. */
void peer_release(struct runner *r)
{
	if (!r->held || orders_queued(r) > QUEUE_MAX / 2)
		return;
	r->held = false;
	if (r->peer)
		peer_update(r);
}

static bool hold(struct runner *r, struct conn *c)
{
	if (c != r->peer || orders_queued(r) < QUEUE_MAX)
		return false;
	r->held = true;
	peer_update(r);
	return true;
}

/*
 * Shut down, not only closed: a child that is being spawned has a copy of the descriptor for a moment. For the same reason it is
 * taken out of the loop by hand.
 */
void peer_drop(struct runner *r, struct conn *c, const char *why)
{
	if (!c || c->closed)
		return;
	if (c == r->peer) {
		log_info("jobd is gone (%s); %zu jobs run on", why, r->n_running);
		r->peer = NULL;
		r->held = r->waits_for_room = false;
	} else {
		log_warn("connection dropped: %s", why);
	}
	epoll_ctl(r->epoll, EPOLL_CTL_DEL, c->source.fd, NULL);
	shutdown(c->source.fd, SHUT_RDWR);
	close(c->source.fd);
	c->closed = true;
	r->n_conns--;
}

void peer_bury(struct runner *r)
{
	struct conn *c = LIST_FIRST(&r->conns), *next;

	for (; c; c = next) {
		next = LIST_NEXT(c, link);
		if (!c->closed)
			continue;
		LIST_REMOVE(c, link);
		free(c);
	}
}

/* Rule 3: the older connection is dropped whole, with what it still had to say, before the newer one is answered. */
static void take_over(struct runner *r, struct conn *c, const struct rm_hello *h)
{
	if (h->version != RM_VERSION) {
		log_error("jobd (process %u) speaks version %u, this runner %d: restart the runner when no job runs", h->pid, h->version,
			  RM_VERSION);
		peer_drop(r, c, "another version");
		return;
	}
	if (c == r->peer) {
		peer_drop(r, c, "a second HELLO");
		return;
	}
	FAILPOINT("before_take_over");
	if (!MUTANT("no_fence_no_dedup"))
		peer_drop(r, r->peer, "a newer one said HELLO");
	r->peer = c;
	log_info("jobd (process %u) is connected, its connection %llu", h->pid, (unsigned long long)h->generation);
	report_hello(r);
}

static void handle(struct runner *r, struct conn *c, struct rm_msg *m)
{
	if (m->type == RM_HELLO) {
		take_over(r, c, &m->u.hello);
		return;
	}
	if (c != r->peer && !MUTANT("no_fence_no_dedup")) {
		peer_drop(r, c, "it did not begin with HELLO");
		return;
	}
	switch (m->type) {
	case RM_START:
		orders_start(r, &m->u.start);
		break;
	case RM_KILL:
		orders_kill(r, &m->u.kill);
		break;
	case RM_ACK:
		orders_ack(r, &m->u.ack);
		break;
	case RM_PING:
		r->pongs_due++;
		break;
	case RM_QUIT:
		r->quit = true;
		break;
	default:
		peer_drop(r, c, "a message that only a runner sends");
	}
}

static void close_fds(int fds[RM_FDS_MAX])
{
	for (int i = 0; i < RM_FDS_MAX; i++) {
		if (fds[i] >= 0)
			close(fds[i]);
		fds[i] = -1;
	}
}

static void handle_packet(struct runner *r, struct conn *c, const unsigned char *buf, size_t len, int fds[RM_FDS_MAX])
{
	struct rm_map map;
	struct rm_msg m;
	size_t pos = 0;
	int rc = 0;

	while (!c->closed && (rc = rm_next(buf, len, &pos, fds, &m, &map)) > 0) {
		bool order = m.type == RM_START && (c == r->peer || MUTANT("no_fence_no_dedup"));

		handle(r, c, &m);
		rm_unmap(&map);
		for (int i = 0; order && i < RM_FDS_MAX; i++)
			fds[i] = -1;    /* they are the order's now */
	}
	close_fds(fds);
	if (rc < 0)
		peer_drop(r, c, "malformed packet");
}

/* What has hung up is read to its end without regard to what waits: it can not be put off, and sends no more. */
static void receive(struct runner *r, struct conn *c, bool hung_up)
{
	static unsigned char buf[RM_PACKET_MAX];
	int fds[RM_FDS_MAX];

	for (int i = 0; i < (MUTANT("no_fence_no_dedup") ? 1 : PACKETS_A_TURN) && !c->closed; i++) {
		ssize_t n;

		if (!hung_up && hold(r, c))
			return;
		n = FAILS("before_receive_jobd") ? -1 : rm_recv(c->source.fd, buf, sizeof(buf), fds);
		FAILPOINT("after_receive_jobd");
		if (n < 0 && errno == EAGAIN)
			return;
		if (n > 0)
			handle_packet(r, c, buf, (size_t)n, fds);
		else
			peer_drop(r, c, n ? strerror(errno) : "end of file");
	}
}

static void conn_ready(struct runner *r, struct source *s, uint32_t events)
{
	struct conn *c = (struct conn *)s;

	if (c->closed)
		return;
	if (events & EPOLLOUT && c == r->peer) {
		r->waits_for_room = false;
		peer_update(r);
	}
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		receive(r, c, events & (EPOLLHUP | EPOLLERR));
}

static void add_conn(struct runner *r, int fd, uid_t uid)
{
	struct conn *c = calloc(1, sizeof(*c));
	int size = SEND_BUFFER;

	if (!c)
		log_die("no memory for a connection");
	c->source = (struct source){.fd = fd, .ready = conn_ready};
	c->is_bound = uid != 0 && uid != geteuid();
	LIST_INSERT_HEAD(&r->conns, c, link);
	r->n_conns++;
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));     /* smaller is only slower */
	if (watch_source(r, &c->source) < 0)
		peer_drop(r, c, strerror(errno));
}

/* The oldest that never said HELLO makes room: idle connections of others cannot keep a new jobd out. */
static void make_room(struct runner *r)
{
	struct conn *c, *oldest = NULL;

	if (r->n_conns < CONNS_MAX)
		return;
	LIST_FOREACH(c, &r->conns, link)
		if (!c->closed && c != r->peer)
			oldest = c;
	peer_drop(r, oldest, "too many connections");
}

void peer_accept(struct runner *r, struct source *s, uint32_t events)
{
	uid_t uid;
	int fd;

	(void)s;
	(void)events;
	while ((fd = listen_accept(&r->listener, r->allow_uid, &uid)) >= 0) {
		make_room(r);
		add_conn(r, fd, uid);
	}
	if (errno == EAGAIN || r->accept_paused)
		return;
	log_warn("connections wait: accept: %s", strerror(errno));
	r->accept_paused = epoll_ctl(r->epoll, EPOLL_CTL_DEL, r->listener.fd, NULL) == 0;
}

void peer_accept_again(struct runner *r)
{
	if (r->accept_paused && watch_source(r, &r->accept_source) == 0)
		r->accept_paused = false;
}
