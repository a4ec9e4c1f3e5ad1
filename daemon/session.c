/* SPDX-License-Identifier: MIT */
/* One connection: bytes to frames, replies to bytes. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "failpoint.h"
#include "log.h"
#include "server_impl.h"

#define IN_FIRST (4 * 1024)
#define IN_KEPT (256 * 1024)            /* an empty buffer larger than this is given back */
#define OUT_PIECES 16

/* ---- the end ------------------------------------------------------------------------------------------------------ */

void session_doom(struct session *s, const char *reason)
{
	if (s->is_leaving)
		return;
	if (reason)
		log_warn("the connection of pid %d, uid %u is closed: %s", (int)s->peer.pid, s->peer.uid, reason);
	else
		log_debug("the connection of pid %d, uid %u has ended", (int)s->peer.pid, s->peer.uid);
	s->is_leaving = true;
	if (s->is_ready)
		TAILQ_REMOVE(&s->srv->ready, s, ready_link);
	s->is_ready = false;
	event_del(s->ev_read);
	event_del(s->ev_write);
	evtimer_del(s->ev_deadline);
	TAILQ_INSERT_TAIL(&s->srv->leaving, s, leaving_link);
	server_arm_turn(s->srv);
}

void session_free(struct session *s)
{
	struct server *srv = s->srv;
	struct call *c;

	while ((c = TAILQ_FIRST(&s->calls)))
		call_abort(c);
	if (srv->opts.on_close)
		srv->opts.on_close(srv->opts.ctx, s);
	TAILQ_REMOVE(&srv->sessions, s, link);
	srv->n_sessions--;
	event_free(s->ev_read);
	event_free(s->ev_write);
	event_free(s->ev_deadline);
	evbuffer_free(s->out);
	close(s->fd);
	free(s->in);
	free(s);
}

/* A client that sends no more goes when all it asked for has been answered. */
static void leave_if_done(struct session *s)
{
	if (s->eof && !s->frame_len && TAILQ_EMPTY(&s->calls) && !s->queued)
		session_doom(s, NULL);
}

static bool has_gone(const struct session *s)
{
	struct pollfd p = { .fd = s->fd };

	return poll(&p, 1, 0) > 0 && p.revents & (POLLHUP | POLLERR);
}

/* Whether a client that sends no more has gone altogether. */
void session_check_hangup(struct session *s)
{
	if (!s->is_leaving && has_gone(s))
		session_doom(s, NULL);
}

void session_check_times(struct session *s, int64_t now_ms)
{
	const struct server_opts *o = &s->srv->opts;

	if (s->is_leaving)
		return;
	if (evbuffer_get_length(s->out) && now_ms - s->wrote_at_ms > o->write_deadline_ms)
		session_doom(s, "it has not read its replies for too long");
	else if (TAILQ_EMPTY(&s->calls) && !s->queued && now_ms - s->active_at_ms > o->idle_ms)
		session_doom(s, "nothing was asked for too long");
}

/* ---- writing ------------------------------------------------------------------------------------------------------ */

bool session_is_full(const struct session *s)
{
	return s->queued > s->srv->opts.out_max / 2;
}

/* What was to be said to a client that has gone. */
static void drop_output(struct session *s)
{
	size_t n = evbuffer_get_length(s->out);

	evbuffer_drain(s->out, n);
	s->queued -= n;
}

/* One sendmsg. Returns what it took; 0: not now; -1: the session is doomed, or mute. */
static ssize_t send_some(struct session *s)
{
	struct evbuffer_iovec pieces[OUT_PIECES];
	int n_pieces = evbuffer_peek(s->out, -1, NULL, pieces, OUT_PIECES);
	struct msghdr msg = { .msg_iov = (struct iovec *)pieces };
	ssize_t n;

	msg.msg_iovlen = (size_t)(n_pieces < OUT_PIECES ? n_pieces : OUT_PIECES);
	n = FAILS("before_send_client") ? -1 : sendmsg(s->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
	FAILPOINT("after_send_client");
	if (n >= 0 || errno == EAGAIN || errno == EINTR || errno == ENOBUFS)
		return n < 0 ? 0 : n;
	s->is_mute = (errno == EPIPE || errno == ECONNRESET) && !s->eof && has_gone(s);
	if (!s->is_mute)
		session_doom(s, errno == EPIPE || errno == ECONNRESET ? NULL : strerror(errno));
	return -1;
}

static void want_write(struct session *s, bool wanted)
{
	if (wanted == s->writing)
		return;
	s->writing = wanted;
	s->wrote_at_ms = server_now_ms();
	if (wanted)
		event_add(s->ev_write, NULL);
	else
		event_del(s->ev_write);
}

void session_flush(struct session *s)
{
	ssize_t n = 1;

	while (n > 0 && evbuffer_get_length(s->out) && !s->is_leaving && !s->is_mute) {
		n = send_some(s);
		if (n > 0) {
			evbuffer_drain(s->out, (size_t)n);
			s->queued -= (size_t)n;
			s->active_at_ms = s->wrote_at_ms = server_now_ms();
		}
	}
	if (s->is_mute)
		drop_output(s);
	if (!s->is_leaving)
		want_write(s, evbuffer_get_length(s->out) > 0 || call_drain_due(s));
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct session *s = arg;

	(void)fd, (void)what;
	session_flush(s);
	call_drained(s);
	session_flush(s);
	session_progress(s);
}

/* ---- reading ------------------------------------------------------------------------------------------------------ */

static void want_read(struct session *s, bool wanted)
{
	if (wanted == s->reading)
		return;
	s->reading = wanted;
	if (wanted)
		event_add(s->ev_read, NULL);
	else
		event_del(s->ev_read);
}

/* The clock of a frame runs from its first byte to its last. */
static void want_deadline(struct session *s, bool wanted)
{
	int ms = s->srv->opts.frame_deadline_ms;
	struct timeval after = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };

	if (wanted == s->in_deadline)
		return;
	s->in_deadline = wanted;
	if (wanted)
		evtimer_add(s->ev_deadline, &after);
	else
		evtimer_del(s->ev_deadline);
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	session_doom(arg, "a message was not completed in time");
}

/* Room for at least one byte more; the buffer is never larger than a frame may be. */
static void make_room(struct session *s)
{
	if (s->start) {
		memmove(s->in, s->in + s->start, s->end - s->start);
		s->scanned -= s->start;
		s->end -= s->start;
		s->start = 0;
	}
	if (s->end == 0 && s->cap > IN_KEPT) {
		free(s->in);
		s->in = NULL;
		s->cap = 0;
	}
	if (s->end < s->cap)
		return;
	s->cap = s->cap ? s->cap * 2 : IN_FIRST;
	s->in = realloc(s->in, s->cap);
	if (!s->in)
		abort();
}

static void find_frame(struct session *s)
{
	char *nul = s->end > s->scanned ? memchr(s->in + s->scanned, '\0', s->end - s->scanned) : NULL;

	s->scanned = s->end;
	if (nul)
		s->frame_len = (size_t)(nul - (s->in + s->start)) + 1;
}

/* What is to be done with the bytes that are there: handle a frame, wait for more of it, or go. */
static void look(struct session *s)
{
	if (!s->frame_len)
		find_frame(s);
	if (!s->frame_len && s->end - s->start >= SERVER_FRAME_MAX) {
		session_doom(s, "a message of more than 1048576 bytes");
		return;
	}
	if (!s->frame_len && s->eof && s->end > s->start) {
		session_doom(s, "it ended in the middle of a message");
		return;
	}
	want_deadline(s, !s->frame_len && s->end > s->start);
	want_read(s, !s->frame_len && !s->eof);
	if (s->frame_len && !s->is_ready && s->n_calls < SERVER_PIPELINE && !session_is_full(s)) {
		s->is_ready = true;
		TAILQ_INSERT_TAIL(&s->srv->ready, s, ready_link);
		server_arm_turn(s->srv);
	}
	leave_if_done(s);
}

void session_progress(struct session *s)
{
	if (!s->is_leaving)
		look(s);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct session *s = arg;
	ssize_t n;

	(void)what;
	make_room(s);
	/* no control buffer: the kernel closes descriptors that were passed */
	n = FAILS("before_receive_client") ? -1 : recv(fd, s->in + s->end, s->cap - s->end, 0);
	FAILPOINT("after_receive_client");
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0 && errno != ECONNRESET) {
		session_doom(s, strerror(errno));
		return;
	}
	s->eof = n <= 0;
	s->end += n > 0 ? (size_t)n : 0;
	s->active_at_ms = server_now_ms();
	look(s);
	if (s->eof && !s->frame_len)
		session_check_hangup(s);
}

void session_handle_frame(struct session *s)
{
	struct vl_why why;
	struct vl_call vl;
	json_t *msg = vl_parse(s->in + s->start, s->frame_len - 1, &why);

	s->start += s->frame_len;
	s->scanned = s->start;
	s->frame_len = 0;
	if (!msg || vl_call_read(msg, &vl, &why) < 0) {
		json_decref(msg);
		session_doom(s, why.text);
		return;
	}
	call_begin(s, msg, &vl);
	session_progress(s);
	if (s->eof && !s->frame_len)
		session_check_hangup(s);
}

/* ---- the beginning, and what the interface asks -------------------------------------------------------------------- */

void session_open(struct server *srv, int fd, const struct server_peer *peer)
{
	struct session *s = calloc(1, sizeof(*s));

	if (!s)
		abort();
	s->srv = srv;
	s->fd = fd;
	s->peer = *peer;
	s->active_at_ms = s->wrote_at_ms = server_now_ms();
	TAILQ_INIT(&s->calls);
	s->out = evbuffer_new();
	s->ev_read = event_new(srv->base, fd, EV_READ | EV_PERSIST, on_readable, s);
	s->ev_write = event_new(srv->base, fd, EV_WRITE | EV_PERSIST, on_writable, s);
	s->ev_deadline = evtimer_new(srv->base, on_deadline, s);
	if (!s->out || !s->ev_read || !s->ev_write || !s->ev_deadline)
		abort();
	TAILQ_INSERT_TAIL(&srv->sessions, s, link);
	srv->n_sessions++;
	want_read(s, true);
}

const struct server_peer *session_peer(const struct session *s)
{
	return &s->peer;
}
