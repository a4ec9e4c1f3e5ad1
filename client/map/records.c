/* SPDX-License-Identifier: MIT */
#include "map/records.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "buf.h"

#define READ_MAX 65536
#define LARGE (4 * READ_MAX)

struct records {
	struct records_opts o;
	int fd;
	struct buf in;
	size_t at, looked;              /* the next record begins; no terminator before */
	uint64_t n_skipped, n_given;
	bool ended;
	int error;
};

/* What was taken goes away before more comes in, so the buffer is as long as a block and a record at most. */
static void make_room(struct records *r)
{
	if (r->at > 0)
		memmove(r->in.p, r->in.p + r->at, r->in.len - r->at);
	r->in.len -= r->at;
	r->looked -= r->at;
	r->at = 0;
	buf_reserve(&r->in, READ_MAX);
}

static int ended(struct records *r, int error)
{
	r->ended = true;
	r->error = error;
	return 0;
}

/* 0; -EAGAIN: nothing there now; another: the end or an error is noted. */
static int read_more(struct records *r)
{
	struct pollfd p = { .fd = r->fd, .events = POLLIN };
	ssize_t n;

	if (r->o.longest > 0 && r->in.len - r->at > r->o.longest)
		return ended(r, -EFBIG);
	if (poll(&p, 1, 0) == 0)
		return -EAGAIN;
	make_room(r);
	n = read(r->fd, r->in.p + r->in.len, READ_MAX);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return -EAGAIN;
	if (n <= 0)
		return ended(r, n < 0 ? -errno : 0);
	r->in.len += (size_t)n;
	return 0;
}

/* Bytes of the next record, its terminator not counted; *ret_whole: with it, or at the end. SIZE_MAX: none is there yet. */
static size_t find_record(struct records *r, size_t *ret_whole)
{
	const char *t = r->in.len > r->looked ? memchr(r->in.p + r->looked, r->o.terminator, r->in.len - r->looked) : NULL;

	if (t) {
		size_t len = (size_t)(t - r->in.p) - r->at;

		*ret_whole = len + 1;
		return len;
	}
	r->looked = r->in.len;
	if (!r->ended || r->in.len == r->at || r->error)
		return SIZE_MAX;
	*ret_whole = r->in.len - r->at;
	return *ret_whole;
}

static bool is_wanted(struct records *r, size_t len)
{
	if (r->o.skip_empty && len == 0)
		return false;
	return r->n_skipped++ >= r->o.skip;
}

static void pass(struct records *r, size_t whole)
{
	r->at += whole;
	r->looked = r->at;
}

/* 1: a record of *ret_len bytes begins at `at`, *ret_whole with terminator; 0: the end; < 0 as next of a source. */
static int next_record(struct records *r, size_t *ret_len, size_t *ret_whole)
{
	while (r->o.max == 0 || r->n_given < r->o.max) {
		size_t len = find_record(r, ret_whole);

		if (len != SIZE_MAX && is_wanted(r, len)) {
			*ret_len = len;
			return 1;
		}
		if (len != SIZE_MAX) {
			pass(r, *ret_whole);
		} else if (r->ended) {
			return r->error;
		} else {
			int rc = read_more(r);

			if (rc < 0)
				return rc;
		}
	}
	return 0;
}

static struct jt_item copy_of(const char *data, size_t len)
{
	char *copy = xcalloc(1, len + 1);

	if (len > 0)
		memcpy(copy, data, len);
	return (struct jt_item){ copy, len, free };
}

/* A large one takes the buffer along, lest it be there twice; what follows it is a block at most. */
static struct jt_item take_buffer(struct records *r, size_t len, size_t whole)
{
	struct buf rest = { 0 };
	char *data;

	buf_add(&rest, r->in.p + whole, r->in.len - whole);
	data = xrealloc(r->in.p, len + 1, 1);
	data[len] = '\0';
	r->in = rest;
	r->looked = 0;
	return (struct jt_item){ data, len, free };
}

static int next_one(struct records *r, struct jt_item *ret)
{
	size_t len, whole;
	int rc = next_record(r, &len, &whole);

	if (rc <= 0)
		return rc;
	if (r->at == 0 && len > LARGE) {
		*ret = take_buffer(r, len, whole);
	} else {
		*ret = copy_of(r->in.p + r->at, len);
		pass(r, whole);
	}
	r->n_given++;
	return 1;
}

/* ---- blocks ---- */

struct block {
	struct records r;
	struct buf gathered;            /* whole records */
};

static int hand_on(struct block *b, struct jt_item *ret)
{
	*ret = copy_of(b->gathered.p, b->gathered.len);
	b->gathered.len = 0;
	return 1;
}

static int next_block(struct block *b, struct jt_item *ret)
{
	for (;;) {
		size_t len, whole;
		int rc = next_record(&b->r, &len, &whole);

		if (rc == -EAGAIN || (rc <= 0 && b->gathered.len == 0))
			return rc;
		if (rc <= 0 || (b->gathered.len > 0 && b->gathered.len + whole > b->r.o.block)) {
			b->r.n_skipped -= rc > 0;       /* it will be looked at once more */
			return hand_on(b, ret);
		}
		buf_add(&b->gathered, b->r.in.p + b->r.at, whole);
		pass(&b->r, whole);
		b->r.n_given++;
		if (b->gathered.len >= b->r.o.block)
			return hand_on(b, ret);
	}
}

/* ---- the source ---- */

static int next(void *arg, struct jt_item *ret)
{
	struct block *b = arg;

	return b->r.o.block > 0 ? next_block(b, ret) : next_one(&b->r, ret);
}

static int descriptor(void *arg)
{
	return ((struct block *)arg)->r.fd;
}

static void close_source(void *arg)
{
	struct block *b = arg;

	close(b->r.fd);
	buf_done(&b->r.in);
	buf_done(&b->gathered);
	free(b);
}

struct jt_source records_source(int fd, const struct records_opts *o)
{
	struct block *b = xcalloc(1, sizeof(*b));

	b->r.o = *o;
	b->r.fd = fd;
	return (struct jt_source){ next, descriptor, close_source, b };
}
