/* SPDX-License-Identifier: MIT */
#include "reader.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK (256 * 1024)

/* It can be opened, and not read: told now, while it is still the name that is wrong. */
static int refuse_folder(int fd)
{
	struct stat st;

	if (fstat(fd, &st) != 0 || !S_ISDIR(st.st_mode))
		return 0;
	errno = EISDIR;
	return -1;
}

int reader_open(struct reader *r, const char *file)
{
	*r = (struct reader){ .fd = STDIN_FILENO };
	if (strcmp(file, "-") != 0)
		r->fd = open(file, O_RDONLY | O_CLOEXEC);
	if (r->fd < 0 || refuse_folder(r->fd) != 0)
		return -1;
	buf_reserve(&r->data, CHUNK);   /* so that there is something to point into before the first read */
	return 0;
}

void reader_done(struct reader *r)
{
	if (r->fd > STDIN_FILENO)
		close(r->fd);
	buf_done(&r->data);
}

/* Reads once. Consumed bytes are dropped first, so memory stays that of the longest line. 0 or -1. */
static int fill(struct reader *r)
{
	ssize_t n;

	if (r->pos) {
		memmove(r->data.p, r->data.p + r->pos, r->data.len - r->pos);
		r->data.len -= r->pos;
		r->pos = 0;
	}
	buf_reserve(&r->data, CHUNK);
	do {
		n = read(r->fd, r->data.p + r->data.len, r->data.cap - r->data.len);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -1;
	r->eof = n == 0;
	r->data.len += (size_t)n;
	return 0;
}

int reader_line(struct reader *r, char **ret, size_t *ret_len)
{
	size_t seen = 0;        /* of what stands at pos, already searched */

	for (;;) {
		size_t left = r->data.len - r->pos;
		char *start = r->data.p + r->pos;
		char *end = left > seen ? memchr(start + seen, '\n', left - seen) : NULL;

		if (end || (r->eof && left)) {
			*ret = start;
			*ret_len = end ? (size_t)(end - start) : left;
			r->pos += *ret_len + (end ? 1 : 0);
			r->line++;
			return 1;
		}
		if (r->eof)
			return 0;
		if (left > READER_LINE_MAX) {
			r->line++;
			errno = EMSGSIZE;
			return -1;
		}
		seen = left;
		if (fill(r) != 0)
			return -1;
	}
}

static bool all_blank(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!memchr(" \t\r\n", s[i], 4))
			return false;
	return true;
}

int reader_peek(struct reader *r, size_t seen, const char **ret, size_t *ret_len)
{
	while (!r->eof && (r->data.len - r->pos <= seen || all_blank(r->data.p + r->pos, r->data.len - r->pos)))
		if (fill(r) != 0)
			return -1;
	*ret = r->data.p + r->pos;
	*ret_len = r->data.len - r->pos;
	return 0;
}

int reader_rest(struct reader *r, size_t max, char **ret, size_t *ret_len)
{
	while (!r->eof) {
		if (r->data.len - r->pos > max) {
			errno = EFBIG;
			return -1;
		}
		if (fill(r) != 0)
			return -1;
	}
	(void)buf_text(&r->data);
	*ret = r->data.p + r->pos;
	*ret_len = r->data.len - r->pos;
	return 0;
}

bool reader_would_block(const struct reader *r)
{
	struct pollfd p = { .fd = r->fd, .events = POLLIN };

	if (r->eof || memchr(r->data.p + r->pos, '\n', r->data.len - r->pos))
		return false;
	return poll(&p, 1, 0) == 0;
}
