/* SPDX-License-Identifier: MIT */
/* The server: accepting connections within its caps, the turn and the tick. */
#include "server_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "log.h"

#define ACCEPT_BATCH 16                 /* connections a turn of the loop */
#define ACCEPT_PAUSE_MS 250             /* when the system has no descriptors or memory */
#define FDS_RESERVED 64                 /* for the database, outputs, the runner: no connection gets them */

int64_t server_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- the turn ----------------------------------------------------------------------------------------------------- */

/* A timer of nothing, not event_active: the loop looks at its descriptors in between. */
void server_arm_turn(struct server *srv)
{
	static const struct timeval now;

	if (!evtimer_pending(srv->turn, NULL))
		evtimer_add(srv->turn, &now);
}

static void free_leaving(struct server *srv)
{
	struct session *s;

	while ((s = TAILQ_FIRST(&srv->leaving))) {
		TAILQ_REMOVE(&srv->leaving, s, leaving_link);
		session_free(s);
	}
}

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
	struct server *srv = arg;
	struct session *s;

	(void)fd, (void)what;
	free_leaving(srv);
	s = TAILQ_FIRST(&srv->ready);
	if (s) {
		TAILQ_REMOVE(&srv->ready, s, ready_link);
		s->is_ready = false;
		session_handle_frame(s);
	}
	if (!TAILQ_EMPTY(&srv->ready) || !TAILQ_EMPTY(&srv->leaving))
		server_arm_turn(srv);
}

/* Of many refusals in a row one line tells. */
static void tell_refused(struct server *srv)
{
	if (srv->n_refused > 1)
		log_warn("%u more connections were refused", srv->n_refused - 1);
	srv->n_refused = 0;
}

/*
 * Heartbeats; the end of clients that are silent for too long, and of those from which nothing is read any more, or not now: reading is how
 * others are noticed to go.
 */
static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct server *srv = arg;
	int64_t now_ms = server_now_ms();
	struct session *s;
	struct call *c;

	(void)fd, (void)what;
	tell_refused(srv);
	TAILQ_FOREACH(s, &srv->sessions, link) {
		session_check_times(s, now_ms);
		if (s->eof || s->n_calls >= SERVER_PIPELINE)
			session_check_hangup(s);
		TAILQ_FOREACH(c, &s->calls, link)
			call_beat(c, now_ms);
	}
}

/* ---- accepting ---------------------------------------------------------------------------------------------------- */

static uint32_t sessions_of(const struct server *srv, uid_t uid)
{
	const struct session *s;
	uint32_t n = 0;

	TAILQ_FOREACH(s, &srv->sessions, link)
		n += s->peer.uid == uid;
	return n;
}

/* As many as leave the rest of the daemon its descriptors; the limit may be changed while we run (prlimit). */
static uint32_t sessions_by_fds(void)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) < 0 || rl.rlim_cur > UINT32_MAX)
		return UINT32_MAX;
	return rl.rlim_cur > 2 * FDS_RESERVED ? (uint32_t)rl.rlim_cur - FDS_RESERVED : (uint32_t)rl.rlim_cur / 2;
}

static void note_out_of_fds(struct server *srv)
{
	srv->out_of_fds_at_ms = server_now_ms();
}

/* Whether this peer may not come in, and why. */
static bool is_one_too_many(struct server *srv, const struct server_peer *peer, char *ret_why, size_t size)
{
	const struct server_opts *o = &srv->opts;

	if (srv->n_sessions >= sessions_by_fds()) {
		note_out_of_fds(srv);
		(void)snprintf(ret_why, size, "the descriptors that are left are needed elsewhere (RLIMIT_NOFILE)");
		return true;
	}
	if (peer->uid == 0)
		return false;
	if (srv->n_sessions >= o->max_sessions)
		(void)snprintf(ret_why, size, "there are %u connections already (max_sessions)", o->max_sessions);
	else if (sessions_of(srv, peer->uid) >= o->max_sessions_per_uid)
		(void)snprintf(ret_why, size, "user %u has %u connections already (max_sessions_per_uid)", peer->uid, o->max_sessions_per_uid);
	else
		return false;
	return true;
}

/* It is told before it has asked: the first reply that it reads. What it has asked meanwhile is not read. */
static void refuse(struct server *srv, int fd, const struct server_peer *peer, const char *why)
{
	json_t *msg = srv->opts.busy ? vl_error_new(srv->opts.busy, json_pack("{s:s}", "message", why)) : NULL;
	size_t len = 0;
	char *text = msg ? vl_pack(msg, &len) : NULL;

	if (text && send(fd, text, len, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		log_debug("a refusal could not be sent: %s", strerror(errno));
	if (srv->n_refused++ == 0)
		log_warn("a connection of pid %d, uid %u is refused: %s", (int)peer->pid, peer->uid, why);
	free(text);
	json_decref(msg);
	close(fd);
}

static void admit(struct server *srv, int fd)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);
	struct server_peer peer;
	char why[128];

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0) {
		log_warn("a connection is refused: its credentials cannot be read: %s", strerror(errno));
		close(fd);
		return;
	}
	peer = (struct server_peer){ .uid = cred.uid, .gid = cred.gid, .pid = cred.pid };
	if (is_one_too_many(srv, &peer, why, sizeof(why)))
		refuse(srv, fd, &peer, why);
	else
		session_open(srv, fd, &peer);
}

static void open_spare(struct server *srv)
{
	srv->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* No descriptor is free: the spare one lets the first of the queue be refused, so that somebody learns of it; the others wait. */
static void refuse_with_spare(struct server *srv)
{
	int fd;

	note_out_of_fds(srv);
	if (srv->spare_fd < 0)
		return;
	close(srv->spare_fd);
	fd = accept4(srv->listen_fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd >= 0)
		close(fd);
	open_spare(srv);
}

/* What waits to be accepted would wake the loop for ever. */
static void pause_accepting(struct server *srv)
{
	static const struct timeval pause = { .tv_usec = ACCEPT_PAUSE_MS * 1000 };

	event_del(srv->listener);
	evtimer_add(srv->accept_again, &pause);
}

static void on_accept_again(evutil_socket_t fd, short what, void *arg)
{
	struct server *srv = arg;

	(void)fd, (void)what;
	if (srv->spare_fd < 0)
		open_spare(srv);
	if (srv->listener)
		event_add(srv->listener, NULL);
}

/* One connection. false: no more now. */
static bool accept_one(struct server *srv)
{
	int fd = accept4(srv->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd >= 0) {
		admit(srv, fd);
		return true;
	}
	if (errno == EAGAIN)
		return false;
	if (errno == EINTR || errno == ECONNABORTED)
		return true;
	if (errno == EMFILE || errno == ENFILE)
		refuse_with_spare(srv);
	else
		log_warn("cannot accept a connection: %s", strerror(errno));
	pause_accepting(srv);
	return false;
}

static void on_accept(evutil_socket_t fd, short what, void *arg)
{
	struct server *srv = arg;

	(void)fd, (void)what;
	for (int i = 0; i < ACCEPT_BATCH && accept_one(srv); i++)
		;
}

int server_listen(struct server *srv, int fd)
{
	server_stop_listening(srv);
	srv->listen_fd = fd;
	if (evutil_make_socket_nonblocking(fd) < 0 || evutil_make_socket_closeonexec(fd) < 0)
		return -1;
	srv->listener = event_new(srv->base, fd, EV_READ | EV_PERSIST, on_accept, srv);
	return srv->listener ? event_add(srv->listener, NULL) : -1;
}

void server_stop_listening(struct server *srv)
{
	evtimer_del(srv->accept_again);
	if (srv->listener)
		event_free(srv->listener);
	srv->listener = NULL;
	if (srv->listen_fd >= 0)
		close(srv->listen_fd);
	srv->listen_fd = -1;
}

/* ---- the whole ---------------------------------------------------------------------------------------------------- */

static void set_defaults(struct server_opts *o)
{
	o->max_sessions = o->max_sessions ? o->max_sessions : 1000;
	o->max_sessions_per_uid = o->max_sessions_per_uid ? o->max_sessions_per_uid : 64;
	o->out_max = o->out_max ? o->out_max : (size_t)8 * 1024 * 1024;
	o->heartbeat_s = o->heartbeat_s ? o->heartbeat_s : 30;
	o->frame_deadline_ms = o->frame_deadline_ms ? o->frame_deadline_ms : 10000;
	o->write_deadline_ms = o->write_deadline_ms ? o->write_deadline_ms : 600000;
	o->idle_ms = o->idle_ms ? o->idle_ms : 3600000;
}

/* jansson goes on with a string that it could not make room for, and writes past the end of its copy: then it is better to end. */
static void *json_memory(size_t n)
{
	void *p = malloc(n);

	if (!p)
		log_die("no memory for %zu bytes of JSON", n);
	return p;
}

struct server *server_new(struct event_base *base, const struct server_opts *opts)
{
	struct server *srv = calloc(1, sizeof(*srv));
	struct timeval tick = { 0 };

	json_set_alloc_funcs(json_memory, free);
	if (!srv)
		abort();
	srv->base = base;
	srv->opts = *opts;
	set_defaults(&srv->opts);
	srv->listen_fd = -1;
	open_spare(srv);
	TAILQ_INIT(&srv->sessions);
	TAILQ_INIT(&srv->ready);
	TAILQ_INIT(&srv->leaving);
	srv->no_params = json_object();
	srv->turn = evtimer_new(base, on_turn, srv);
	srv->accept_again = evtimer_new(base, on_accept_again, srv);
	srv->tick = event_new(base, -1, EV_PERSIST, on_tick, srv);
	if (!srv->no_params || !srv->turn || !srv->accept_again || !srv->tick)
		abort();
	tick.tv_sec = srv->opts.heartbeat_s / 4;
	tick.tv_usec = srv->opts.heartbeat_s % 4 * 250000;
	event_add(srv->tick, &tick);
	return srv;
}

void server_free(struct server *srv)
{
	struct session *s;

	if (!srv)
		return;
	server_stop_listening(srv);
	TAILQ_FOREACH(s, &srv->sessions, link)
		session_doom(s, NULL);
	free_leaving(srv);
	event_free(srv->turn);
	event_free(srv->accept_again);
	event_free(srv->tick);
	if (srv->spare_fd >= 0)
		close(srv->spare_fd);
	json_decref(srv->no_params);
	free(srv);
}

/* Sends what can be sent now. How many wait until they are writable: theirs are in polls, which has room for all. */
static nfds_t flush_all(struct server *srv, struct pollfd *polls)
{
	struct session *s;
	nfds_t n = 0;

	TAILQ_FOREACH(s, &srv->sessions, link) {
		session_flush(s);
		if (!s->is_leaving && evbuffer_get_length(s->out))
			polls[n++] = (struct pollfd){ .fd = s->fd, .events = POLLOUT };
	}
	return n;
}

void server_drain(struct server *srv, int ms)
{
	struct pollfd *polls = calloc(srv->n_sessions + 1, sizeof(*polls));
	int64_t until = server_now_ms() + ms;
	int64_t left = ms;
	nfds_t n;

	if (!polls)
		abort();
	while (left > 0 && (n = flush_all(srv, polls)) > 0) {
		if (poll(polls, n, (int)left) < 0 && errno != EINTR)
			break;
		left = until - server_now_ms();
	}
	free(polls);
}

int64_t server_out_of_fds_ms(const struct server *srv)
{
	return srv->out_of_fds_at_ms ? server_now_ms() - srv->out_of_fds_at_ms : -1;
}

uint32_t server_sessions(const struct server *srv)
{
	return srv->n_sessions;
}
