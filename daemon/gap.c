/* SPDX-License-Identifier: MIT */
/* Gap: see gap.h. */
#include "gap.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#define GAP_NAME "user.jobd.gap"        /* "AT END", in decimal; of one that is settled "AT END settled" */
#define SETTLED " settled"
#define BLOCK 4096

static int64_t to_block(int64_t n)
{
	return n - n % BLOCK;
}

static int64_t head_of(uint64_t max)
{
	return to_block((int64_t)(max / 2));
}

/* Who may write to the file may write there, too: nothing is believed but what a gap can be. */
static bool parse(const char *text, struct gap *ret, bool *ret_settled)
{
	char *end;
	long long at, to;

	errno = 0;
	at = strtoll(text, &end, 10);
	if (errno || *end != ' ' || at < 0)
		return false;
	to = strtoll(end + 1, &end, 10);
	*ret_settled = !strcmp(end, SETTLED);
	if (errno || (*end && !*ret_settled) || to <= at)
		return false;
	*ret = (struct gap){.at = at, .end = to};
	return true;
}

/* As it is written down; it may reach beyond the end of a file that was cut short. */
static struct gap read_raw(int fd, bool *ret_settled)
{
	char text[64];
	struct gap g = {0};
	ssize_t n = fgetxattr(fd, GAP_NAME, text, sizeof(text) - 1);

	if (n <= 0)
		return g;
	text[n] = '\0';
	if (!parse(text, &g, ret_settled))
		return (struct gap){0};
	return g;
}

struct gap gap_read(int fd, int64_t size)
{
	bool settled;
	struct gap g = read_raw(fd, &settled);

	if (g.end > size)
		g.end = size;
	return g.at < g.end ? g : (struct gap){0};
}

static int write_down(int fd, const struct gap *g, const char *suffix, int flag)
{
	char text[64];
	int n = snprintf(text, sizeof(text), "%" PRId64 " %" PRId64 "%s", g->at, g->end, suffix);

	if (n < 0 || (size_t)n >= sizeof(text)) {
		errno = EOVERFLOW;
		return -1;
	}
	return fsetxattr(fd, GAP_NAME, text, (size_t)n, flag);
}

int gap_punch(int fd, const struct gap *g)
{
	return fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, g->at, g->end - g->at);
}

/* Where what is still left out ends: what the job has written anew, after it had cut the file short, is not. */
static int64_t still_out(int fd, const struct gap *old, int64_t size)
{
	int64_t end = old->end < size ? old->end : size;
	off_t data = lseek(fd, old->at, SEEK_DATA);

	return data >= 0 && data < end ? data : end;
}

int gap_widen(int fd, uint64_t max, int64_t size, enum gap_edge edge)
{
	bool settled = false;
	struct gap old = read_raw(fd, &settled), g = {.at = head_of(max)};
	int64_t kept_end;

	if (settled) {
		errno = EEXIST;
		return -1;
	}
	kept_end = old.at < old.end ? still_out(fd, &old, size) : 0;
	if (size > (int64_t)max)
		g.end = size - ((int64_t)max - g.at);
	if (edge == GAP_AT_BLOCK)
		g.end = to_block(g.end);
	if (kept_end > g.end)
		g.end = kept_end;
	if (g.end <= g.at)
		return old.at < old.end ? fremovexattr(fd, GAP_NAME) : 0;
	if ((g.at != old.at || g.end != old.end) && write_down(fd, &g, "", old.at < old.end ? XATTR_REPLACE : XATTR_CREATE) < 0)
		return -1;
	return gap_punch(fd, &g);
}

struct gap gap_settle(int fd, uint64_t max, int64_t size)
{
	struct gap old = gap_read(fd, size), g = {.at = head_of(max)};

	if (size <= (int64_t)max || (old.at < old.end && gap_kept(&old, size) <= (int64_t)max))
		return old;
	g.end = size - ((int64_t)max - g.at);
	return write_down(fd, &g, SETTLED, 0) < 0 ? old : g;
}
