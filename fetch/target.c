/* SPDX-License-Identifier: MIT */
#include "target.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mem.h"

static int impossible(struct fail *fail, const char *path)
{
	return fail_set(fail, FETCH_IO, "cannot write %s: %s", path, strerror(errno));
}

static int lock(int fd, const char *path, struct fail *fail)
{
	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		return 0;
	if (errno == EWOULDBLOCK)
		return fail_set(fail, FETCH_LOCKED, "another fetch writes %s", path);
	return fail_set(fail, FETCH_IO, "cannot lock %s: %s", path, strerror(errno));
}

/* Whether the file that is locked is still the one of that name: its owner may have renamed it while we opened it. */
static bool is_at(int fd, const char *path)
{
	struct stat open, named;

	return fstat(fd, &open) == 0 && lstat(path, &named) == 0 && open.st_dev == named.st_dev && open.st_ino == named.st_ino;
}

static int check_regular(int fd, const char *path, struct fail *fail)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return impossible(fail, path);
	return S_ISREG(st.st_mode) ? 0 : fail_set(fail, FETCH_IO, "cannot write %s: it is not a regular file", path);
}

static int open_part(struct target *t, struct fail *fail)
{
	for (;;) {
		t->fd = open(t->part, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0666);
		if (t->fd < 0 && errno == ELOOP)
			return fail_set(fail, FETCH_IO, "cannot write %s: it is a symbolic link", t->part);
		if (t->fd < 0)
			return impossible(fail, t->part);
		if (check_regular(t->fd, t->part, fail) != 0 || lock(t->fd, t->part, fail) != 0)
			return -1;
		if (is_at(t->fd, t->part))
			return 0;
		close(t->fd);
		t->fd = -1;
	}
}

static int open_stream(struct target *t, const char *path, struct fail *fail)
{
	t->kind = TARGET_STREAM;
	t->fd = path ? open(path, O_WRONLY | O_CLOEXEC) : fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	return t->fd < 0 ? impossible(fail, t->name) : 0;
}

static int open_into(struct target *t, const struct fetch_options *o, struct fail *fail)
{
	t->kind = TARGET_INTO;
	t->at = o->at;
	t->fd = open(t->name, O_RDWR | O_CLOEXEC);
	if (t->fd < 0)
		return impossible(fail, t->name);
	if (lseek(t->fd, 0, SEEK_CUR) < 0)
		return fail_set(fail, FETCH_IO, "cannot write into %s: it has no offsets", t->name);
	return lock(t->fd, t->name, fail);
}

static int open_file(struct target *t, const struct fetch_options *o, struct fail *fail)
{
	struct stat st;
	bool exists = stat(t->name, &st) == 0;

	if (exists && S_ISDIR(st.st_mode))
		return fail_set(fail, FETCH_IO, "cannot write %s: it is a directory", t->name);
	if (exists && S_ISBLK(st.st_mode))
		return fail_set(fail, FETCH_IO, "cannot replace %s: it is a device; --into writes into it", t->name);
	if (o->no_clobber && (exists || lstat(t->name, &st) == 0))
		return fail_set(fail, FETCH_IO, "%s exists, and --no-clobber was given", t->name);
	if (exists && !S_ISREG(st.st_mode))
		return open_stream(t, t->name, fail);
	t->part = mem_print("%s.part", t->name);
	t->bad = mem_print("%s.bad", t->name);
	return open_part(t, fail);
}

int target_open(struct target *t, const struct fetch_options *o, struct fail *fail)
{
	bool standard = o->output && strcmp(o->output, "-") == 0;

	*t = (struct target){ .fd = -1, .name = mem_text(standard ? "standard output" : o->into ? o->into : o->output) };
	if (o->into)
		return open_into(t, o, fail);
	return standard ? open_stream(t, NULL, fail) : open_file(t, o, fail);
}

void target_done(struct target *t)
{
	if (t->fd >= 0)
		close(t->fd);
	free(t->name);
	free(t->part);
	free(t->bad);
	*t = (struct target){ .fd = -1 };
}

int target_is_size(const struct target *t, uint64_t bytes, struct fail *fail)
{
	struct stat st;

	if (fstat(t->fd, &st) != 0)
		return impossible(fail, t->part);
	if ((uint64_t)st.st_size != bytes)
		return fail_set(fail, FETCH_IO, "%s has %lld bytes and should have %llu: somebody else changed it", t->part, (long long)st.st_size,
				(unsigned long long)bytes);
	return 0;
}

/* Where the file system cannot rename without replacing, a link does the same in two steps. */
static int rename_new(const char *from, const char *to)
{
	if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -1;
	return link(from, to) == 0 ? unlink(from) : -1;
}

int target_publish(const struct target *t, const struct fetch_options *o, struct fail *fail)
{
	if (!is_at(t->fd, t->part))
		return fail_set(fail, FETCH_IO, "%s was moved or replaced by somebody else", t->part);
	if ((o->no_clobber ? rename_new(t->part, t->name) : rename(t->part, t->name)) == 0)
		return 0;
	if (errno == EEXIST)
		return fail_set(fail, FETCH_IO, "%s exists now, and --no-clobber was given; what was fetched is in %s", t->name, t->part);
	return fail_set(fail, FETCH_IO, "cannot rename %s to %s: %s", t->part, t->name, strerror(errno));
}

/* A folder that cannot be synced (some network file systems) is no reason to call a complete file incomplete. */
void target_sync_folder(const struct target *t)
{
	char *copy = mem_text(t->name);
	int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd >= 0) {
		fsync(fd);
		close(fd);
	}
	free(copy);
}

void target_drop(const struct target *t, bool keep_bad)
{
	if (!is_at(t->fd, t->part))
		return;
	if (!keep_bad || rename(t->part, t->bad) != 0)
		unlink(t->part);
}
