/* SPDX-License-Identifier: MIT */
#include "log_pump.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "buf.h"
#include "call.h"
#include "escape.h"
#include "proto/base64.h"
#include "render.h"
#include "status.h"
#include "talk.h"

#define STREAMS_MAX 2

static json_t *params_of(const struct log_stream *s, json_int_t offset)
{
	json_t *p = json_pack("{s:s, s:s, s:s, s:I}", "run", s->run, "path", s->path, "stream", s->name, "offset", offset);

	if (p && s->attempt != INT64_MIN)
		json_object_set_new(p, "attempt", json_integer(s->attempt));
	return p;
}

static int write_all(int fd, const char *p, size_t n)
{
	while (n) {
		ssize_t w = write(fd, p, n);

		if (w < 0 && errno == EAGAIN)
			poll(&(struct pollfd){ .fd = fd, .events = POLLOUT }, 1, -1);   /* who shares it has set O_NONBLOCK */
		if (w < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (w < 0)
			return complain(CTL_JOB_FAILED, "cannot write the output: %s", strerror(errno));
		p += w;
		n -= (size_t)w;
	}
	return 0;
}

/* For people it stands where it belongs; a pipe or a file gets what the job wrote and nothing else, and we say it beside. */
static int mark_gap(struct log_stream *s, json_int_t dropped)
{
	char mark[128];
	int n = snprintf(mark, sizeof(mark), "%s[... %" JSON_INTEGER_FORMAT " bytes were not kept ...]\n", s->mid_line ? "\n" : "", dropped);

	if (!isatty(s->fd)) {
		mention("%s/%s: %" JSON_INTEGER_FORMAT " bytes of its std%s were not kept; what follows them is the end", s->run, s->path, dropped,
			s->name);
		return 0;
	}
	s->mid_line = false;
	return n < 0 || (size_t)n >= sizeof(mark) ? 0 : write_all(s->fd, mark, (size_t)n);
}

static int write_escaped(struct log_stream *s, const char *bytes, size_t n)
{
	struct buf all = { 0 }, out = { 0 };
	size_t used;
	int rc;

	buf_add(&all, s->begun, s->n_begun);
	buf_add(&all, bytes, n);
	used = escape_output(&out, all.p, all.len);
	s->n_begun = all.len - used;
	memcpy(s->begun, all.p + used, s->n_begun);
	rc = write_all(s->fd, out.p, out.len);
	buf_done(&all);
	buf_done(&out);
	return rc;
}

static int write_bytes(struct log_stream *s, const char *bytes, size_t n)
{
	if (!n)
		return 0;
	s->mid_line = bytes[n - 1] != '\n';
	return s->escape ? write_escaped(s, bytes, n) : write_all(s->fd, bytes, n);
}

/* *ret_end: where the next piece begins. */
static int write_reply(struct log_stream *s, const json_t *reply, json_int_t *ret_end)
{
	json_int_t dropped = reply_int(reply, "dropped", 0);
	const char *text = reply_text(reply, "data_b64");
	size_t len = text ? strlen(text) : 0, n = 0;
	char *bytes;
	int rc;

	if (!text)
		return complain(CTL_NO_DAEMON, "the daemon sent no data_b64; are jobctl and jobd of one version?");
	bytes = xrealloc(NULL, len / 4 * 3 + 4, 1);
	rc = dropped ? mark_gap(s, dropped) : 0;
	if (rc == 0)
		rc = base64_decode(text, len, bytes, &n) < 0 ? complain(CTL_NO_DAEMON, "the daemon sent what is not base64")
							      : write_bytes(s, bytes, n);
	free(bytes);
	*ret_end = reply_int(reply, "offset", 0);
	return rc;
}

int log_copy(struct log_stream *s)
{
	json_int_t offset = 0, until = -1;
	int rc = 0;

	while (rc == 0 && !s->ended) {
		json_t *reply = NULL;
		json_int_t end = offset;

		rc = call(s->conn, "Logs", params_of(s, offset), &reply);
		if (rc == 0)
			rc = write_reply(s, reply, &end);
		if (until < 0)
			until = reply_int(reply, "size", 0);
		s->ended = json_is_true(json_object_get(reply, "eof")) || end <= offset || end >= until;
		offset = end;
		json_decref(reply);
	}
	return rc;
}

int log_follow_begin(struct log_stream *s)
{
	json_t *params = params_of(s, 0);

	s->ended = false;
	if (params)
		json_object_set_new(params, "follow", json_true());
	return call_begin(s->conn, "Logs", params, VL_MORE);
}

int log_follow_next(struct log_stream *s)
{
	json_t *reply = NULL;
	json_int_t end;
	int last = 0, rc = call_next(s->conn, &reply, &last);

	if (rc == 0)
		rc = write_reply(s, reply, &end);
	s->ended = rc != 0 || last;
	json_decref(reply);
	return rc;
}

/* Waits until one of the streams that have not ended can be read. */
static int await_any(const struct log_stream *streams, size_t n)
{
	struct pollfd p[STREAMS_MAX];

	for (size_t i = 0; i < STREAMS_MAX; i++) {
		bool open = i < n && !streams[i].ended;

		p[i] = (struct pollfd){ .fd = open ? vl_conn_fd(streams[i].conn) : -1, .events = POLLIN };
		if (open && vl_pending(streams[i].conn))
			return 0;
	}
	while (poll(p, STREAMS_MAX, -1) < 0)
		if (errno != EINTR)
			return complain(CTL_NO_DAEMON, "cannot wait for output: %s", strerror(errno));
	return 0;
}

static bool is_readable(const struct vl_conn *conn)
{
	struct pollfd p = { .fd = vl_conn_fd(conn), .events = POLLIN };

	return vl_pending(conn) || poll(&p, 1, 0) > 0;
}

int log_follow_all(struct log_stream *streams, size_t n)
{
	size_t open = n;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = log_follow_begin(&streams[i]);
	while (rc == 0 && open) {
		rc = await_any(streams, n);
		open = 0;
		for (size_t i = 0; rc == 0 && i < n; i++) {
			if (!streams[i].ended && is_readable(streams[i].conn))
				rc = log_follow_next(&streams[i]);
			open += !streams[i].ended;
		}
	}
	return rc;
}
