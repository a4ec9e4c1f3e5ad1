/* SPDX-License-Identifier: MIT */
#include "map/sink.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "map/errors.h"
#include "map/jsonl.h"
#include "map/loop.h"
#include "map/remote.h"
#include "status.h"
#include "talk.h"

#define SMALL_WRITE 4096                /* what a pipe that polls writable takes without blocking */
#define LINE_MAX_BYTES ((size_t)256 << 10)      /* of one command, until it is whole */

/* ---- the descriptor ---- */

static void on_gone(evutil_socket_t fd, short what, void *arg)
{
	struct sink *s = arg;

	(void)fd, (void)what;
	event_del(s->gone_ev);
	s->gone = true;
	loop_sink_gone(s->loop);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct sink *s = arg;

	(void)fd, (void)what;
	s->waits = false;
}

/* epoll reports errors and hang-ups without being asked for anything; regular files cannot be watched and do not go away. */
static void watch(struct sink *s)
{
	struct epoll_event e = { 0 };

	s->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (s->epoll < 0 || epoll_ctl(s->epoll, EPOLL_CTL_ADD, s->fd, &e) < 0)
		return;
	s->gone_ev = event_new(s->loop->base, s->epoll, EV_READ | EV_PERSIST, on_gone, s);
	event_add(s->gone_ev, NULL);
}

static int open_output(struct sink *s)
{
	struct stat st;

	s->fd = s->loop->stdout_fd;
	if (fstat(s->fd, &st) < 0)
		return -1;
	if (S_ISREG(st.st_mode))
		return 0;
	s->write_max = SMALL_WRITE;
	if (S_ISFIFO(st.st_mode)) {
		int again = open("/proc/self/fd/1", O_WRONLY | O_NONBLOCK | O_CLOEXEC);

		if (again >= 0) {
			s->fd = again;
			s->write_max = 0;
		}
	}
	watch(s);
	return 0;
}

int sink_init(struct sink *s, struct map_loop *loop, struct stage *stage)
{
	*s = (struct sink){ .loop = loop, .stage = stage, .fd = -1, .epoll = -1 };
	if (open_output(s) < 0)
		return complain(CTL_USAGE, "standard output cannot be used: %s", strerror(errno));
	s->write_ev = event_new(loop->base, s->fd, EV_WRITE, on_writable, s);
	return results_init(&s->results, loop->set->results_dir);
}

void sink_done(struct sink *s)
{
	if (s->gone_ev)
		event_free(s->gone_ev);
	if (s->write_ev)
		event_free(s->write_ev);
	if (s->epoll >= 0)
		close(s->epoll);
	if (s->fd >= 0 && s->fd != s->loop->stdout_fd)
		close(s->fd);
	results_done(&s->results);
	buf_done(&s->pending);
}

static bool must_wait(const struct sink *s)
{
	struct pollfd p = { .fd = s->fd, .events = POLLOUT };

	return s->write_max > 0 && poll(&p, 1, 0) == 0;
}

static ssize_t write_some(struct sink *s)
{
	size_t n = s->pending.len - s->at;

	if (must_wait(s)) {
		errno = EAGAIN;
		return -1;
	}
	return write(s->fd, s->pending.p + s->at, s->write_max && n > s->write_max ? s->write_max : n);
}

/* All that is pending; false: the reader takes no more now, or never. */
static bool flush_pending(struct sink *s)
{
	while (s->at < s->pending.len) {
		ssize_t n = write_some(s);

		if (n >= 0) {
			s->at += (size_t)n;
		} else if (errno == EAGAIN) {
			s->waits = true;
			event_add(s->write_ev, NULL);
			return false;
		} else if (errno == EPIPE) {
			s->gone = true;
			loop_sink_gone(s->loop);
			return false;
		} else if (errno != EINTR) {
			s->gone = true;
			loop_io_failed(s->loop, "standard output", NULL);
			return false;
		}
	}
	s->pending.len = s->at = 0;
	return true;
}

/* ---- what results look like ---- */

static void add_tagged(struct sink *s, const struct task *t, const char *data, size_t n)
{
	while (n > 0) {
		const char *end = memchr(data, '\n', n);
		size_t len = end ? (size_t)(end - data) + 1 : n;

		for (size_t i = 0; !s->in_line && i < task_parts(t); i++) {
			struct jt_bytes part = task_part(t, i);

			buf_add(&s->pending, part.data, part.len);
			buf_putc(&s->pending, i + 1 < task_parts(t) ? ' ' : '\t');
		}
		buf_add(&s->pending, data, len);
		s->in_line = !end;
		data += len;
		n -= len;
	}
}

static void add(struct sink *s, const struct task *t, const char *data, size_t n)
{
	if (s->loop->set->out == OUT_TAG)
		add_tagged(s, t, data, n);
	else
		buf_add(&s->pending, data, n);
}

static void add_end(struct sink *s)
{
	if (s->loop->set->out == OUT_NUL)
		buf_putc(&s->pending, '\0');
	if (s->loop->set->out == OUT_TAG && s->in_line)
		buf_putc(&s->pending, '\n');
	s->in_line = false;
}

/* A line that is not whole stays with its task until it is, or until the end; but not one that is too long to be kept. */
static void add_lines(struct sink *s, struct task *t, const char *data, size_t n)
{
	const char *end = memrchr(data, '\n', n);
	size_t whole = end ? (size_t)(end - data) + 1 : 0;

	if (end) {
		add(s, t, t->line.p, t->line.len);
		t->line.len = 0;
		add(s, t, data, whole);
	}
	buf_add(&t->line, data + whole, n - whole);
	if (t->line.len > LINE_MAX_BYTES) {
		add(s, t, t->line.p, t->line.len);
		t->line.len = 0;
	}
}

/* ---- the pump ---- */

/* One chunk of t; false: it has none. */
static bool take_chunk(struct sink *s, struct task *t, bool by_lines)
{
	char *data = s->loop->store.scratch;
	ssize_t n = chunks_take(&s->loop->store, &t->out, data, CHUNK_MAX);

	if (n < 0)
		loop_io_failed(s->loop, "the spool", s->loop->set->spool_dir);
	if (n <= 0)
		return false;
	results_write(&s->results, t, RESULTS_OUT, data, (size_t)n);
	if (s->loop->log && t->state == TASK_RUNS && chunks_put(&s->loop->store, &t->gone, data, (size_t)n) < 0)
		loop_io_failed(s->loop, "the spool", s->loop->set->spool_dir);
	if (by_lines)
		add_lines(s, t, data, (size_t)n);
	else
		add(s, t, data, (size_t)n);
	return true;
}

/* 1: not yet, there is more of it. */
static int add_last(struct sink *s, struct task *t)
{
	int rc = 0;

	if (s->loop->set->out == OUT_JSONL) {
		rc = jsonl_add(&s->jsonl, &s->pending, s->loop, t);
	} else {
		add(s, t, t->line.p, t->line.len);
		add_end(s);
	}
	if (rc < 0)
		loop_io_failed(s->loop, "the spool", s->loop->set->spool_dir);
	return rc;
}

static void take_end(struct sink *s, struct task *t)
{
	s->ends = t->silent || add_last(s, t) <= 0;
	if (t->silent || !s->ends)
		return;
	errors_pass(t);
	if (results_end(&s->results, t) < 0)
		loop_io_failed(s->loop, "the folder of results", s->loop->set->results_dir);
}

static bool delivered(struct sink *s)
{
	struct task *t = s->current;

	if (!s->ends)
		return false;
	s->current = NULL;
	s->ends = false;
	if (s->loop->log && !t->silent && log_delivered(s->loop->log, t) < 0)
		loop_log_failed(s->loop);
	stage_deliver(s->stage, t);
	return true;
}

/* --line-buffer, unordered: whole lines of whoever has some. --ungroup: whatever has come. */
static bool take_any(struct sink *s, bool by_lines)
{
	for (uint32_t i = 0; i < s->stage->window.size; i++) {
		struct task *t = &s->stage->task[i];

		if ((t->state == TASK_RUNS || t->state == TASK_READS) && t->out.bytes > 0 && stage_can_stream(t) && take_chunk(s, t, by_lines))
			return true;
	}
	return false;
}

static bool take(struct sink *s)
{
	bool by_lines = s->loop->set->grouping == GROUP_LINES, whole = s->loop->set->out == OUT_JSONL;
	bool alternate = by_lines && !s->stage->ordered, any = alternate || s->loop->set->grouping == GROUP_NOT;
	struct task *t = s->current ? s->current : stage_head(s->stage);

	if (!t || (t->state == TASK_RUNS && !stage_can_stream(t)))
		return any && take_any(s, alternate);
	if (t->state == TASK_CUT_OFF)
		return false;
	if (!by_lines && !any)
		s->current = t;
	if (!whole && take_chunk(s, t, alternate))
		return true;
	if (t->state != TASK_ENDED)
		return any && take_any(s, alternate);
	s->current = t;
	take_end(s, t);
	return true;
}

/* The daemon has to know of the last result first. */
static bool must_tell(const struct sink *s)
{
	return s->stage->remote && remote_is_behind(s->stage->remote);
}

bool sink_pump(struct sink *s)
{
	bool moved = false;

	while (!s->gone && !s->waits && !must_tell(s) && flush_pending(s)) {
		moved = delivered(s) || moved;
		if (!take(s))
			break;
		moved = true;
	}
	return moved;
}

bool sink_is_idle(const struct sink *s)
{
	return s->gone || (s->pending.len == 0 && !s->ends);
}
