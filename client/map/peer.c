/* SPDX-License-Identifier: MIT */
#include "map/peer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/varlink.h"

#define READ_SIZE ((size_t)65536)

bool peer_is_connected(const struct peer *p)
{
	return p->read_ev != NULL;
}

bool peer_is_behind(const struct peer *p)
{
	return p->sent < p->out.len;
}

void peer_close(struct peer *p)
{
	int fd;

	if (p->read_ev) {
		fd = event_get_fd(p->read_ev);
		event_free(p->read_ev);
		event_free(p->write_ev);
		close(fd);
	}
	p->read_ev = p->write_ev = NULL;
	buf_done(&p->in);
	buf_done(&p->out);
	p->scanned = p->sent = 0;
}

/* ---- in ---- */

/* All whole frames. */
static void hand_on(struct peer *p)
{
	size_t at = 0;
	char *end;

	while (peer_is_connected(p) && (end = memchr(p->in.p + p->scanned, '\0', p->in.len - p->scanned))) {
		size_t len = (size_t)(end - (p->in.p + at)), frame = at;

		p->scanned = at = frame + len + 1;
		p->on_frame(p->arg, p->in.p + frame, len);
	}
	if (!peer_is_connected(p))
		return;
	memmove(p->in.p, p->in.p + at, p->in.len - at);
	p->in.len -= at;
	p->scanned = p->in.len;
}

static void gone(struct peer *p)
{
	peer_close(p);
	p->on_gone(p->arg);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct peer *p = arg;
	ssize_t n;

	(void)what;
	buf_reserve(&p->in, READ_SIZE);
	n = read(fd, p->in.p + p->in.len, READ_SIZE);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0 || p->in.len + (size_t)n > VL_REPLY_MAX) {
		gone(p);
		return;
	}
	p->in.len += (size_t)n;
	hand_on(p);
}

/* ---- out ---- */

void peer_add(struct peer *p, const void *text, size_t len)
{
	if (peer_is_connected(p))
		buf_add(&p->out, text, len);
}

void peer_flush(struct peer *p)
{
	while (peer_is_behind(p)) {
		ssize_t n = send(event_get_fd(p->write_ev), p->out.p + p->sent, p->out.len - p->sent, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			event_add(p->write_ev, NULL);
		if (n < 0)
			return;                 /* where the other side has gone, reading tells */
		p->sent += (size_t)n;
	}
	p->out.len = p->sent = 0;
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct peer *p = arg;

	(void)fd, (void)what;
	peer_flush(p);
	if (!peer_is_behind(p))
		p->on_room(p->arg);
}

void peer_connect(struct peer *p, int fd)
{
	peer_close(p);
	(void)fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK);
	p->read_ev = event_new(p->base, fd, EV_READ | EV_PERSIST, on_readable, p);
	p->write_ev = event_new(p->base, fd, EV_WRITE, on_writable, p);
	event_add(p->read_ev, NULL);
}
