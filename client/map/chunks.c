/* SPDX-License-Identifier: MIT */
#include "map/chunks.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "buf.h"

struct chunk {
	STAILQ_ENTRY(chunk) next;
	size_t at, len;                 /* taken so far, of so many */
	uint64_t offset;                /* in the spool, where data is not here */
	bool spooled;
	char data[];
};

void chunk_store_init(struct chunk_store *s, uint64_t memory_max, uint64_t spool_max, const char *dir)
{
	*s = (struct chunk_store){ .memory_max = memory_max, .spool_max = spool_max, .dir = dir, .fd = -1, .scratch = xcalloc(1, CHUNK_MAX) };
}

void chunk_store_done(struct chunk_store *s)
{
	if (s->fd >= 0)
		close(s->fd);
	free(s->scratch);
}

/* A part of the memory is for what tells of the spool's chunks: else the spool would be shut as soon as the memory is full. */
static bool memory_has_room(const struct chunk_store *s)
{
	uint64_t kept = s->spool_max ? s->memory_max / 16 : 0;

	return s->in_memory + CHUNK_MAX <= s->memory_max - kept;
}

static bool spool_has_room(const struct chunk_store *s)
{
	return s->in_spool + CHUNK_MAX <= s->spool_max && s->in_memory + sizeof(struct chunk) <= s->memory_max;
}

bool chunk_store_has_room(const struct chunk_store *s)
{
	return memory_has_room(s) || spool_has_room(s);
}

void chunks_init(struct chunks *c)
{
	STAILQ_INIT(&c->head);
	c->bytes = 0;
	c->text = (struct utf8_stream){ 0 };
}

/* ---- in ---- */

static struct chunk *chunk_add(struct chunk_store *s, struct chunks *c, size_t len, size_t in_memory)
{
	struct chunk *k = xrealloc(NULL, 1, sizeof(*k) + in_memory);

	*k = (struct chunk){ .len = len };
	s->in_memory += sizeof(*k) + in_memory;
	if (s->in_memory > s->memory_peak)
		s->memory_peak = s->in_memory;
	STAILQ_INSERT_TAIL(&c->head, k, next);
	c->bytes += len;
	return k;
}

static int spool_open(struct chunk_store *s)
{
	if (s->fd < 0)
		s->fd = open(s->dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	return s->fd;
}

static int spool_write(struct chunk_store *s, const char *data, size_t len)
{
	if (spool_open(s) < 0)
		return -1;
	for (size_t at = 0; at < len;) {
		ssize_t n = pwrite(s->fd, data + at, len - at, (off_t)(s->end + at));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		at += (size_t)n;
	}
	return 0;
}

static int add_spooled(struct chunk_store *s, struct chunks *c, size_t len)
{
	struct chunk *k;

	if (spool_write(s, s->scratch, len) < 0)
		return -1;
	k = chunk_add(s, c, len, 0);
	k->spooled = true;
	k->offset = s->end;
	s->end += len;
	s->in_spool += len;
	s->spooled += len;
	return 0;
}

/* The first n bytes of scratch into the queue. */
static int add_scratch(struct chunk_store *s, struct chunks *c, size_t n, enum chunk_excess excess, bool *ret_spool)
{
	if (s->looks_for_text)
		utf8_feed(&c->text, s->scratch, n);
	*ret_spool = !memory_has_room(s) && (excess == EXCESS_SPOOL || spool_has_room(s));
	if (*ret_spool)
		return add_spooled(s, c, n);
	memcpy(chunk_add(s, c, n, n)->data, s->scratch, n);
	return 0;
}

int chunks_put(struct chunk_store *s, struct chunks *c, const char *data, size_t n)
{
	for (size_t at = 0; at < n;) {
		size_t part = n - at < CHUNK_MAX ? n - at : CHUNK_MAX;
		bool spool;

		memmove(s->scratch, data + at, part);       /* data may be the scratch itself */
		if (add_scratch(s, c, part, EXCESS_SPOOL, &spool) < 0)
			return -1;
		at += part;
	}
	return 0;
}

ssize_t chunks_read(struct chunk_store *s, struct chunks *c, int fd, enum chunk_excess excess, bool *ret_spool)
{
	ssize_t n = read(fd, s->scratch, CHUNK_MAX);

	*ret_spool = false;
	if (n <= 0)
		return n;
	return add_scratch(s, c, (size_t)n, excess, ret_spool) < 0 ? -1 : n;
}

/* ---- out ---- */

static void forget(struct chunk_store *s, const struct chunk *k, size_t at, size_t n)
{
	if (!k->spooled || n == 0)
		return;
	s->in_spool -= n;
	/* Where a hole cannot be punched the file only grows until the map ends. */
	(void)fallocate(s->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)(k->offset + at), (off_t)n);
	if (s->in_spool == 0 && ftruncate(s->fd, 0) == 0)
		s->end = 0;
}

static void chunk_free(struct chunk_store *s, struct chunks *c, struct chunk *k)
{
	forget(s, k, k->at, k->len - k->at);
	c->bytes -= k->len - k->at;
	s->in_memory -= sizeof(*k) + (k->spooled ? 0 : k->len);
	STAILQ_REMOVE_HEAD(&c->head, next);
	free(k);
}

static ssize_t copy_out(const struct chunk_store *s, const struct chunk *k, char *buf, size_t n)
{
	ssize_t r;

	if (k->spooled) {
		do
			r = pread(s->fd, buf, n, (off_t)(k->offset + k->at));
		while (r < 0 && errno == EINTR);
		if (r == 0)
			errno = EIO;            /* the file is ours alone: it must be there */
		return r > 0 ? r : -1;
	}
	memcpy(buf, k->data + k->at, n);
	return (ssize_t)n;
}

/* The n bytes at `at` of one chunk, counted as `at` of the struct is. */
static int copy_part(const struct chunk_store *s, const struct chunk *k, size_t at, size_t n, char *buf)
{
	struct chunk from = { .len = k->len, .offset = k->offset, .spooled = true };

	if (!k->spooled) {
		memcpy(buf, k->data + at, n);
		return 0;
	}
	while (n > 0) {
		ssize_t r;

		from.at = at;
		r = copy_out(s, &from, buf, n);
		if (r < 0)
			return -1;
		buf += r;
		at += (size_t)r;
		n -= (size_t)r;
	}
	return 0;
}

int chunks_copy(const struct chunk_store *s, const struct chunks *c, uint64_t from, size_t n, char *buf)
{
	const struct chunk *k;

	STAILQ_FOREACH(k, &c->head, next) {
		size_t there = k->len - k->at, part;

		if (from >= there) {
			from -= there;
			continue;
		}
		part = there - from < n ? there - (size_t)from : n;
		if (copy_part(s, k, k->at + (size_t)from, part, buf) < 0)
			return -1;
		buf += part;
		n -= part;
		from = 0;
		if (n == 0)
			break;
	}
	return 0;
}

ssize_t chunks_take(struct chunk_store *s, struct chunks *c, char *buf, size_t n)
{
	size_t got = 0;

	while (got < n && !STAILQ_EMPTY(&c->head)) {
		struct chunk *k = STAILQ_FIRST(&c->head);
		size_t want = k->len - k->at < n - got ? k->len - k->at : n - got;
		ssize_t r = copy_out(s, k, buf + got, want);

		if (r < 0)
			return -1;
		forget(s, k, k->at, (size_t)r);
		k->at += (size_t)r;
		c->bytes -= (size_t)r;
		got += (size_t)r;
		if (k->at == k->len)
			chunk_free(s, c, k);
	}
	return (ssize_t)got;
}

void chunks_drop(struct chunk_store *s, struct chunks *c)
{
	while (!STAILQ_EMPTY(&c->head))
		chunk_free(s, c, STAILQ_FIRST(&c->head));
	c->text = (struct utf8_stream){ 0 };
}
