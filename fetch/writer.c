/* SPDX-License-Identifier: MIT */
#include "writer.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "clock.h"
#include "mem.h"

/*
 * The page cache takes one piece of memory for one write, as large as that. The large ones are those that a virtual machine has given back to its
 * host: with 256 KiB at once writing took twice the CPU time on ext4, and with 64 KiB not more than with less.
 */
#define WRITE_MOST (64u << 10)

/* ---- the thread ---------------------------------------------------------------------------------------------------- */

/* A stream that is shared may have been made non-blocking by somebody else. */
static bool is_full(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };

	return errno == EAGAIN && poll(&p, 1, -1) > 0;
}

static int write_data(struct writer *w, const struct work *work)
{
	bool stream = w->target->kind == TARGET_STREAM;

	for (size_t at = 0; at < work->len;) {
		const unsigned char *from = work->data + at;
		size_t left = work->len - at, most = left < WRITE_MOST ? left : WRITE_MOST;
		ssize_t n = stream ? write(w->target->fd, from, left) : pwrite(w->target->fd, from, most, (off_t)(work->offset + at));

		if (n < 0 && errno != EINTR && !(stream && is_full(w->target->fd)))
			return errno;
		at += n > 0 ? (size_t)n : 0;
	}
	if (w->digest)
		digest_run_add(w->digest, work->data, work->len);
	return 0;
}

/* Not posix_fallocate: where this is not supported that would write every block. */
static int allocate(const struct writer *w, uint64_t size)
{
	if (keep_reserve(w->keep) != 0)
		return errno;
	if (w->target->kind != TARGET_FILE || w->o->alloc == ALLOC_NONE || size == 0)
		return 0;
	if (w->o->alloc == ALLOC_FALL) {
		if (fallocate(w->target->fd, 0, 0, (off_t)size) == 0)
			return 0;
		if (errno != EOPNOTSUPP && errno != ENOSYS)
			return errno;
	}
	return ftruncate(w->target->fd, (off_t)size) == 0 ? 0 : errno;
}

static int empty(struct writer *w)
{
	keep_remove(w->keep);
	return w->target->kind != TARGET_FILE || ftruncate(w->target->fd, 0) == 0 ? 0 : errno;
}

static int save(struct writer *w, struct work *work)
{
	int rc = 0;

	if (w->o->durable && fdatasync(w->target->fd) != 0)
		rc = errno;
	if (rc == 0 && keep_write(w->keep, work->text, work->len, w->o->durable) != 0)
		rc = errno;
	free(work->text);
	work->text = NULL;
	return rc;
}

static int act(struct writer *w, struct work *work)
{
	if (work->kind == WORK_SAVE)
		return save(w, work);
	if (w->error)
		return w->error;
	switch (work->kind) {
	case WORK_WRITE:
		return write_data(w, work);
	case WORK_ALLOC:
		return allocate(w, work->offset);
	case WORK_EMPTY:
		return empty(w);
	case WORK_SYNC:
		return fdatasync(w->target->fd) == 0 ? 0 : errno;
	default:
		return 0;
	}
}

static void *run(void *arg)
{
	struct writer *w = arg;

	for (;;) {
		struct work *work = post_take(&w->todo);
		int64_t begin = clock_us();
		bool end = work->kind == WORK_END;

		work->error = act(w, work);
		work->took_us = clock_us() - begin;
		if (work->error && work->kind != WORK_SAVE)
			w->error = work->error;
		post_send(&w->done, work);
		if (end)
			return NULL;
	}
}

/* ---- the giver ----------------------------------------------------------------------------------------------------- */

int writer_start(struct writer *w, const struct fetch_options *o, const struct target *t, struct keep *keep, uint32_t buffers)
{
	int rc;

	*w = (struct writer){ .o = o, .target = t, .keep = keep, .max_pool = buffers };
	if (post_init(&w->todo) != 0)
		return -1;
	if (post_init(&w->done) != 0) {
		post_done(&w->todo);
		return -1;
	}
	rc = pthread_create(&w->thread, NULL, run, w);
	w->started = rc == 0;
	errno = rc;
	return rc == 0 ? 0 : -1;
}

static void pool_free(struct writer *w)
{
	while (w->pool) {
		struct work *work = w->pool;

		w->pool = work->next;
		free(work->data);
		free(work);
	}
}

void writer_end(struct writer *w)
{
	if (!w->started || w->given > 0)
		return;
	writer_ask(w, WORK_END, 0, NULL, 0);
	pthread_join(w->thread, NULL);
	writer_return(w, writer_take(w));
	post_done(&w->todo);
	post_done(&w->done);
	digest_run_free(w->digest);
	pool_free(w);
	w->started = false;
}

struct work *writer_buffer(struct writer *w)
{
	struct work *work = w->pool;

	if (work) {
		w->pool = work->next;
		return work;
	}
	if (w->n_pool == w->max_pool)
		return NULL;
	w->peak = ++w->n_pool;
	work = mem_zero(1, sizeof(*work));
	work->data = mem_grow(NULL, BUFFER_SIZE, 1);
	return work;
}

void writer_return(struct writer *w, struct work *work)
{
	if (!work->data) {
		free(work);
		return;
	}
	work->len = 0;
	work->next = w->pool;
	w->pool = work;
}

void writer_give(struct writer *w, struct work *work)
{
	w->given++;
	post_send(&w->todo, work);
}

void writer_ask(struct writer *w, enum work_kind kind, uint64_t offset, char *text, size_t len)
{
	struct work *work = mem_zero(1, sizeof(*work));

	*work = (struct work){ .kind = kind, .offset = offset, .text = text, .len = len };
	writer_give(w, work);
}

struct work *writer_take(struct writer *w)
{
	struct work *work = post_take(&w->done);

	w->given--;
	return work;
}
