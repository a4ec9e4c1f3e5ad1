/* SPDX-License-Identifier: MIT */
/* Spares: see spare.h. They are called OUT/.spare/0 .. n - 1, the one that was given last is taken first. */
#include "spare.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "log.h"

#define FOLDER ".spare"
#define SPARES_MAX 256          /* ends that wait for one commit, with two files each: more are hardly ever taken before others are given */
#define NAME_SIZE 16
#define ATTRIBUTES_SIZE 512

static void name_of(char name[NAME_SIZE], unsigned i)
{
	snprintf(name, NAME_SIZE, "%u", i);
}

/* ---- the folder ---------------------------------------------------------------------------------------------------------- */

static void clear(int dir)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *de;

	while (d && (de = readdir(d)))
		if (strcmp(de->d_name, ".") != 0 && strcmp(de->d_name, "..") != 0)
			unlinkat(dir, de->d_name, 0);
	if (d)
		closedir(d);
	else if (fd >= 0)
		close(fd);
}

void spares_open(struct spares *s, int out)
{
	*s = (struct spares){ .out = out, .dir = -1 };
	if (mkdirat(out, FOLDER, 0700) == 0 || errno == EEXIST)
		s->dir = openat(out, FOLDER, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	s->off = s->dir < 0;
	if (s->off)
		log_warn("outputs: %s: %s; no file is used again", FOLDER, strerror(errno));
	else
		clear(s->dir);
}

void spares_drop(struct spares *s)
{
	if (s->dir >= 0)
		clear(s->dir);
	s->n = 0;
}

void spares_close(struct spares *s)
{
	if (s->dir < 0)
		return;
	spares_drop(s);
	close(s->dir);
	*s = (struct spares){ .out = s->out, .dir = -1, .off = true };
	unlinkat(s->out, FOLDER, AT_REMOVEDIR);
}

/* ---- as good as new? ------------------------------------------------------------------------------------------------------ */

/* Gaps and slots are written down in attributes, and a job can set some itself. Others (labels of the system) are on every file. */
static bool has_attributes(int fd)
{
	char names[ATTRIBUTES_SIZE];
	ssize_t n = flistxattr(fd, names, sizeof(names));

	if (n < 0)
		return errno != ENOTSUP;
	for (const char *p = names; p < names + n; p += strlen(p) + 1)
		if (strncmp(p, "user.", 5) == 0)
			return true;
	return false;
}

/* While we have the lease nobody else has the file open. */
static bool empty(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || (st.st_mode & 07777) != 0600 || st.st_nlink != 1)
		return false;
	if ((st.st_size || st.st_blocks) && ftruncate(fd, 0) < 0)
		return false;
	return !has_attributes(fd);
}

/* Should somebody open the file in just this moment, the signal that tells us is one that nobody minds. */
static bool lease(int fd)
{
	return fcntl(fd, F_SETSIG, SIGURG) == 0 && fcntl(fd, F_SETLEASE, F_WRLCK) == 0;
}

/* An open description is what a job shares with its processes: each gets one of its own, without traces of this. */
static bool renew(struct spares *s, int fd)
{
	bool ok = lease(fd);

	if (!ok) {
		s->off = errno != EAGAIN;
		if (s->off)
			log_info("outputs: no leases: %s; no file is used again", strerror(errno));
		return false;
	}
	ok = empty(fd) && fcntl(fd, F_SETFL, O_APPEND) == 0;
	fcntl(fd, F_SETLEASE, F_UNLCK);
	return ok;
}

/* ---- give and take --------------------------------------------------------------------------------------------------------- */

void spare_give(struct spares *s, const char *name)
{
	char spare[NAME_SIZE];

	if (s->off || s->n == SPARES_MAX) {
		unlinkat(s->out, name, 0);
		return;
	}
	name_of(spare, s->n);
	if (renameat(s->out, name, s->dir, spare) == 0)
		s->n++;
	else
		unlinkat(s->out, name, 0);
}

/* O_NONBLOCK: who still has it open may have a lease himself, and would let us wait. */
static int open_spare(struct spares *s, const char *spare)
{
	int fd = openat(s->dir, spare, O_WRONLY | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	if (fd >= 0 && renew(s, fd))
		return fd;
	if (fd >= 0)
		close(fd);
	unlinkat(s->dir, spare, 0);
	return -1;
}

/* As good as new, and no spare any more; -1: there is none. */
static int take_last(struct spares *s, char spare[NAME_SIZE])
{
	while (s->n && !s->off) {
		int fd;

		name_of(spare, --s->n);
		fd = open_spare(s, spare);
		if (fd >= 0)
			return fd;
	}
	return -1;
}

int spare_take(struct spares *s, const char *name)
{
	char spare[NAME_SIZE];
	int err, fd = take_last(s, spare);

	if (fd < 0) {
		errno = EAGAIN;
		return -1;
	}
	if (renameat(s->dir, spare, s->out, name) == 0)
		return fd;
	err = errno;
	s->n++;                 /* it is still there */
	close(fd);
	errno = err;
	return -1;
}
