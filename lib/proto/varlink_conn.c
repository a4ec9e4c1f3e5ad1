/* SPDX-License-Identifier: MIT */
/* A client's connection: blocking for the caller, never blocked in both directions. The one file of lib/ with sockets and a clock. */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "proto/varlink.h"

#define READ_SIZE (64 * 1024)

struct vl_conn {
	int fd, wake_fd;                /* wake_fd -1: none */
	char *in;
	size_t start, end, cap;         /* in[start..end) has been read and not been taken */
	size_t scanned;                 /* no NUL before */
	bool eof;
};

__attribute__((format(printf, 4, 5)))
static int fail(struct vl_error *err, enum vl_code code, int sys_errno, const char *fmt, ...)
{
	va_list ap;

	err->code = code;
	err->sys_errno = sys_errno;
	va_start(ap, fmt);
	(void)vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	return -1;
}

/* ---- time --------------------------------------------------------------------------------------------------------- */

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int64_t deadline_of(int timeout_ms)
{
	return timeout_ms < 0 ? INT64_MAX : now_ms() + timeout_ms;
}

static int left_until(int64_t deadline)
{
	int64_t left;

	if (deadline == INT64_MAX)
		return -1;
	left = deadline - now_ms();
	return left < 0 ? 0 : left > INT32_MAX ? INT32_MAX : (int)left;
}

/* Waits until the socket is ready for one of events. Returns what it is ready for, or -1 with *err. */
static int wait_for(struct vl_conn *c, short events, int64_t deadline, struct vl_error *err)
{
	struct pollfd p[2] = { { .fd = c->fd, .events = events }, { .fd = c->wake_fd, .events = POLLIN } };

	for (;;) {
		int left = left_until(deadline), n = poll(p, 2, left);

		if (n < 0 && errno != EINTR)
			return fail(err, VL_ESYS, errno, "poll: %s", strerror(errno));
		if (n > 0 && p[1].revents)
			return fail(err, VL_EWOKEN, 0, "interrupted");
		if (n > 0)
			return p[0].revents;
		if (n == 0 && left == 0)
			return fail(err, VL_ETIME, 0, "no answer in time");
	}
}

/* ---- opening ------------------------------------------------------------------------------------------------------ */

static int make_address(const char *path, struct sockaddr_un *ret, socklen_t *ret_len, struct vl_error *err)
{
	size_t len = strlen(path);

	*ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (len == 0 || len >= sizeof(ret->sun_path))
		return fail(err, VL_ECONNECT, ENAMETOOLONG, "cannot connect to \"%.200s\": the path of a socket has 1..%zu bytes", path,
			    sizeof(ret->sun_path) - 1);
	memcpy(ret->sun_path, path, len);
	*ret_len = sizeof(*ret);
	if (path[0] == '@') {
		ret->sun_path[0] = '\0';
		*ret_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
	}
	return 0;
}

/* A listener whose queue is full blocks connect: the send timeout of the socket bounds that too. */
static int set_connect_timeout(int fd, int timeout_ms)
{
	struct timeval tv = { .tv_sec = timeout_ms / 1000, .tv_usec = timeout_ms % 1000 * 1000 };

	if (timeout_ms < 0)
		tv = (struct timeval){ 0 };
	else if (timeout_ms == 0)
		tv.tv_usec = 1;
	return setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
}

struct vl_conn *vl_connect(const char *path, int timeout_ms, struct vl_error *err)
{
	struct sockaddr_un address;
	socklen_t len = 0;
	int fd, rc;

	if (make_address(path, &address, &len, err) < 0)
		return NULL;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || set_connect_timeout(fd, timeout_ms) < 0) {
		(void)fail(err, VL_ESYS, errno, "cannot make a socket: %s", strerror(errno));
		goto fail;
	}
	do
		rc = connect(fd, (struct sockaddr *)&address, len);
	while (rc < 0 && errno == EINTR);
	if (rc < 0) {
		(void)fail(err, errno == EAGAIN ? VL_ETIME : VL_ECONNECT, errno, "cannot connect to %s: %s", path,
			   errno == EAGAIN ? "nobody accepts in time" : strerror(errno));
		goto fail;
	}
	return vl_conn_new(fd);
fail:
	if (fd >= 0)
		close(fd);
	return NULL;
}

struct vl_conn *vl_conn_new(int fd)
{
	struct vl_conn *c = calloc(1, sizeof(*c));

	if (!c)
		abort();
	c->fd = fd;
	c->wake_fd = -1;
	return c;
}

void vl_close(struct vl_conn *c)
{
	if (!c)
		return;
	close(c->fd);
	free(c->in);
	free(c);
}

int vl_conn_fd(const struct vl_conn *c)
{
	return c->fd;
}

void vl_conn_wake(struct vl_conn *c, int fd)
{
	c->wake_fd = fd;
}

/* ---- reading ------------------------------------------------------------------------------------------------------ */

static void make_room(struct vl_conn *c)
{
	if (c->start && (c->start == c->end || c->cap - c->end < READ_SIZE)) {
		memmove(c->in, c->in + c->start, c->end - c->start);
		c->scanned -= c->start;
		c->end -= c->start;
		c->start = 0;
	}
	if (c->cap - c->end >= READ_SIZE)
		return;
	c->cap = c->cap * 2 + READ_SIZE;
	c->in = realloc(c->in, c->cap);
	if (!c->in)
		abort();
}

/* Takes what the socket has, without blocking. */
static int fill(struct vl_conn *c, struct vl_error *err)
{
	ssize_t n;

	make_room(c);
	n = recv(c->fd, c->in + c->end, c->cap - c->end, MSG_DONTWAIT);
	if (n > 0)
		c->end += (size_t)n;
	else if (n == 0 || errno == ECONNRESET)
		c->eof = true;
	else if (errno != EAGAIN && errno != EINTR)
		return fail(err, VL_ESYS, errno, "reading: %s", strerror(errno));
	return 0;
}

/* Length of the whole message at start, its NUL included; 0 if there is none yet. */
static size_t whole_message(struct vl_conn *c)
{
	char *nul = c->end > c->scanned ? memchr(c->in + c->scanned, '\0', c->end - c->scanned) : NULL;

	if (nul)
		return (size_t)(nul - (c->in + c->start)) + 1;
	c->scanned = c->end;
	return 0;
}

bool vl_pending(const struct vl_conn *c)
{
	return c->eof || (c->end > c->start && memchr(c->in + c->start, '\0', c->end - c->start));
}

static int take_reply(struct vl_conn *c, size_t len, struct vl_reply *ret, struct vl_error *err)
{
	struct vl_why why;
	json_t *msg = vl_parse(c->in + c->start, len - 1, &why);

	c->start += len;
	c->scanned = c->start;
	if (!msg || vl_reply_read(msg, ret, &why) < 0)
		return fail(err, VL_EPROTO, 0, "a reply that is not varlink: %s", why.text);
	return 0;
}

int vl_recv(struct vl_conn *c, int timeout_ms, struct vl_reply *ret, struct vl_error *err)
{
	int64_t deadline = deadline_of(timeout_ms);
	size_t len;

	while ((len = whole_message(c)) == 0) {
		if (c->eof)
			return fail(err, VL_ECLOSED, 0, "the other side closed the connection");
		if (c->end - c->start > VL_REPLY_MAX)
			return fail(err, VL_EPROTO, 0, "a reply of more than %d bytes", VL_REPLY_MAX);
		if (wait_for(c, POLLIN, deadline, err) < 0 || fill(c, err) < 0)
			return -1;
	}
	return take_reply(c, len, ret, err);
}

/* ---- writing ------------------------------------------------------------------------------------------------------ */

/* Until there is room to write. What the other side says meanwhile is read: it may not go on before. */
static int wait_writable(struct vl_conn *c, int64_t deadline, struct vl_error *err)
{
	int ready = wait_for(c, c->eof ? POLLOUT : POLLOUT | POLLIN, deadline, err);

	if (ready < 0)
		return -1;
	return ready & (POLLIN | POLLHUP) && !c->eof ? fill(c, err) : 0;
}

int vl_send_text(struct vl_conn *c, const char *text, size_t len, int timeout_ms, struct vl_error *err)
{
	int64_t deadline = deadline_of(timeout_ms);

	while (len) {
		ssize_t n = send(c->fd, text, len, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n >= 0) {
			text += n;
			len -= (size_t)n;
		} else if (errno == EPIPE || errno == ECONNRESET) {
			if (fill(c, err) == 0 && whole_message(c))
				return 0;       /* it has said why: that is the reply */
			return fail(err, VL_ECLOSED, errno, "the other side closed the connection");
		} else if (errno != EAGAIN && errno != EINTR) {
			return fail(err, VL_ESYS, errno, "writing: %s", strerror(errno));
		} else if (wait_writable(c, deadline, err) < 0) {
			return -1;
		}
	}
	return 0;
}

int vl_send(struct vl_conn *c, const char *method, json_t *params, unsigned flags, int timeout_ms, struct vl_error *err)
{
	json_t *msg = vl_call_new(method, params, flags);
	size_t len = 0;
	char *text = msg ? vl_pack(msg, &len) : NULL;
	int rc;

	if (!text)
		abort();
	json_decref(msg);
	rc = vl_send_text(c, text, len, timeout_ms, err);
	free(text);
	return rc;
}

int vl_call(struct vl_conn *c, const char *method, json_t *params, unsigned flags, int timeout_ms, struct vl_reply *ret,
	    struct vl_error *err)
{
	int64_t deadline = deadline_of(timeout_ms);

	if (vl_send(c, method, params, flags, timeout_ms, err) < 0)
		return -1;
	return vl_recv(c, left_until(deadline), ret, err);
}
