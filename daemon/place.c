/* SPDX-License-Identifier: MIT */
/* Place: see place.h. */
#include "place.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int fail(int fd, int err)
{
	if (fd >= 0)
		close(fd);
	errno = err;
	return -1;
}

static int make_dir(const char *path, mode_t mode)
{
	return mkdir(path, mode) < 0 && errno != EEXIST ? -1 : 0;
}

int place_make_dirs(const char *path)
{
	char buf[PATH_MAX];

	if ((size_t)snprintf(buf, sizeof(buf), "%s", path) >= sizeof(buf))
		return fail(-1, ENAMETOOLONG);
	for (char *p = strchr(buf + 1, '/'); p; p = strchr(p + 1, '/')) {
		*p = '\0';
		if (make_dir(buf, 0755) < 0)
			return -1;
		*p = '/';
	}
	return make_dir(buf, 0700);
}

static bool is_roots_or_ours(const struct stat *st)
{
	return st->st_uid == geteuid() || st->st_uid == 0;
}

static bool is_written_by_others(const struct stat *st)
{
	return st->st_mode & S_IWOTH || (st->st_mode & S_IWGRP && st->st_gid != getegid());
}

int place_open_dir(const char *path, enum place_owner owner)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return fail(fd, errno);
	if ((owner == PLACE_OURS ? st.st_uid != geteuid() : !is_roots_or_ours(&st)) || is_written_by_others(&st))
		return fail(fd, EPERM);
	return fd;
}

/* By the descriptor, so that nothing can take its place in between. */
static int give(int fd, uid_t uid, gid_t gid, mode_t mode)
{
	char self[32];

	if ((uid != (uid_t)-1 || gid != (gid_t)-1) && fchownat(fd, "", uid, gid, AT_EMPTY_PATH) < 0)
		return -1;
	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	return chmod(self, mode);
}

int place_give_socket(const char *path, uid_t uid, gid_t gid, mode_t mode)
{
	int fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC), rc;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return fail(fd, errno);
	if (!S_ISSOCK(st.st_mode) || st.st_uid != geteuid())
		return fail(fd, EPERM);
	rc = give(fd, uid, gid, mode);
	return rc < 0 ? fail(fd, errno) : (close(fd), 0);
}
