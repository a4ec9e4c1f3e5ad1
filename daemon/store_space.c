/* SPDX-License-Identifier: MIT */
/*
 * Space - the ballast: a file of a few MiB beside the database that holds room and nothing else. When the disk is full it goes, so
 * that the results of what runs can still be recorded; the disk counts as full until it could be made again with as much to spare.
 *
 *   well --no space--> full, ballast gone --room for two ballasts--> made again: well
 *
 * It is also what the write-ahead log may need to be copied: a log that is never larger than the ballast and half of what is
 * free can always be emptied into the database, and starts over in the space it has. So a small disk is not eaten up by the log.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "log.h"
#include "store_priv.h"

#define BALLAST_BYTES (4LL << 20)
#define BALLAST_SHARE 16                /* of a small disk: at most one part in so many */
#define WAL_MAX_BYTES (64LL << 20)
#define SHORT_SHARE 4                   /* of a ballast: what has just been found well is not short */
#define WRITTEN_TIMES 4                 /* what is submitted stands in the log and in the database, with indexes and half-filled pages */

/* What we may still write, and the size of the disk. Unknown: enough, and nothing. */
static int64_t free_bytes(const struct store *st, int64_t *ret_all)
{
	struct statvfs sv;

	if (statvfs(st->path, &sv) < 0)
		return INT64_MAX / 8;
	if (ret_all)
		*ret_all = (int64_t)(sv.f_blocks * sv.f_frsize);
	return (int64_t)(sv.f_bavail * sv.f_frsize);
}

static int64_t ballast_on(int64_t disk_bytes)
{
	return disk_bytes / BALLAST_SHARE < BALLAST_BYTES ? disk_bytes / BALLAST_SHARE : BALLAST_BYTES;
}

static bool is_there(const struct store *st)
{
	struct stat sb;

	return lstat(st->ballast_path, &sb) == 0 && S_ISREG(sb.st_mode) && sb.st_blocks * 512LL >= st->ballast_bytes;
}

/* A file system that can not keep room for us is one without ballast. */
static bool allocate(struct store *st)
{
	int fd = open(st->ballast_path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
	int rc = fd < 0 ? errno : posix_fallocate(fd, 0, st->ballast_bytes);

	if (fd >= 0)
		close(fd);
	if (!rc)
		return true;
	unlink(st->ballast_path);
	if (rc == ENOSPC || rc == EDQUOT || rc == EMFILE || rc == ENFILE || rc == EINTR)
		return false;
	log_warn("%s: no room can be kept: %s; should the disk become full, ends may have to wait for room", st->ballast_path, strerror(rc));
	st->ballast_bytes = 0;
	return true;
}

bool store_ballast_make(struct store *st)
{
	if (!st->has_ballast)
		st->has_ballast = free_bytes(st, NULL) >= 2 * st->ballast_bytes && allocate(st);
	return st->has_ballast;
}

bool store_ballast_drop(struct store *st)
{
	bool dropped = st->has_ballast && st->ballast_bytes && unlink(st->ballast_path) == 0;

	st->has_ballast = false;
	return dropped;
}

void store_ballast_open(struct store *st)
{
	int64_t all = INT64_MAX;

	free_bytes(st, &all);
	st->ballast_bytes = ballast_on(all);
	st->has_ballast = is_there(st);
	if (!store_ballast_make(st))
		atomic_store(&st->full, true);
}

bool store_wal_is_long(const struct store *st)
{
	int64_t bytes = (int64_t)st->wal_pages * st->page_size;

	if (bytes > WAL_MAX_BYTES)
		return true;
	return bytes && bytes > st->ballast_bytes + free_bytes(st, NULL) / 2;
}

bool store_has_room(const struct store *st, size_t bytes)
{
	int64_t queued = (int64_t)atomic_load_explicit(&st->queued_bytes, memory_order_relaxed);

	return free_bytes(st, NULL) / WRITTEN_TIMES > (int64_t)bytes + queued;
}

bool store_is_short(const struct store *st)
{
	int64_t all = 0, left = free_bytes(st, &all);

	return left < ballast_on(all) / SHORT_SHARE;
}
