/* SPDX-License-Identifier: MIT */
#include "keep.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mem.h"

#define ROOM (32 << 10)         /* more than the state of 64 parts and the longest URL */
#define SIZE_MAX_READ (1 << 20)

void keep_init(struct keep *k, const char *part)
{
	*k = (struct keep){ .fd = -1 };
	if (!part)
		return;
	k->path = mem_print("%s.state", part);
	k->tmp = mem_print("%s.state.tmp", part);
}

void keep_done(struct keep *k)
{
	if (k->fd >= 0)
		close(k->fd);
	free(k->path);
	free(k->tmp);
	*k = (struct keep){ .fd = -1 };
}

int keep_reserve(struct keep *k)
{
	if (!k->path || k->fd >= 0)
		return 0;
	k->fd = open(k->tmp, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (k->fd < 0)
		return -1;
	if (fallocate(k->fd, FALLOC_FL_KEEP_SIZE, 0, ROOM) == 0 || errno == EOPNOTSUPP || errno == ENOSYS)
		return 0;
	close(k->fd);
	k->fd = -1;
	return -1;
}

static int write_all(int fd, const char *text, size_t len)
{
	for (size_t at = 0; at < len;) {
		ssize_t n = pwrite(fd, text + at, len - at, (off_t)at);

		if (n < 0 && errno != EINTR)
			return -1;
		at += n > 0 ? (size_t)n : 0;
	}
	return 0;
}

/* The reservation of the next one may fail: then the next write tries again, and says so. */
int keep_write(struct keep *k, const char *text, size_t len, int sync)
{
	if (!k->path)
		return 0;
	if (keep_reserve(k) != 0 || write_all(k->fd, text, len) != 0 || (sync && fdatasync(k->fd) != 0))
		return -1;
	if (rename(k->tmp, k->path) != 0)
		return -1;
	close(k->fd);
	k->fd = -1;
	if (keep_reserve(k) != 0)
		unlink(k->tmp);
	return 0;
}

static char *read_all(int fd, size_t size, size_t *ret_len)
{
	char *text = mem_zero(size + 1, 1);
	size_t len = 0;
	ssize_t n;

	while (len < size && ((n = read(fd, text + len, size - len)) > 0 || (n < 0 && errno == EINTR)))
		len += n > 0 ? (size_t)n : 0;
	*ret_len = len;
	return text;
}

char *keep_read(const struct keep *k, size_t *ret_len)
{
	struct stat st;
	char *text = NULL;
	int fd = k->path ? open(k->path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK) : -1;

	if (fd < 0)
		return NULL;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size <= SIZE_MAX_READ)
		text = read_all(fd, (size_t)st.st_size, ret_len);
	close(fd);
	return text;
}

void keep_remove(struct keep *k)
{
	if (!k->path)
		return;
	unlink(k->path);
	unlink(k->tmp);
	if (k->fd >= 0)
		close(k->fd);
	k->fd = -1;
}
