/* SPDX-License-Identifier: MIT */
/* Spares: see spare.h. Those in the folder are called OUT/.spare/0 .. n - 1; the one that was given last is taken first. */
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
	while (s->n_kept)
		unlinkat(s->out, s->kept[--s->n_kept].name, 0);
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
	if (lease(fd))
		return empty(fd) && fcntl(fd, F_SETFL, O_APPEND) == 0;
	s->off = errno != EAGAIN;
	if (s->off)
		log_info("outputs: no leases: %s; no file is used again", strerror(errno));
	return false;
}

/* Who has come for it under its old name waits for the end of the lease, and has it open then. */
static bool end_lease(int fd)
{
	bool alone = fcntl(fd, F_GETLEASE) == F_WRLCK;

	return fcntl(fd, F_SETLEASE, F_UNLCK) == 0 && alone;
}

/* ---- give and take --------------------------------------------------------------------------------------------------------- */

static void put_away(struct spares *s, const char *name)
{
	char spare[NAME_SIZE];

	name_of(spare, s->n);
	if (s->n < SPARES_MAX && renameat(s->out, name, s->dir, spare) == 0)
		s->n++;
	else
		unlinkat(s->out, name, 0);
}

void spare_give(struct spares *s, uint32_t run, const char *name)
{
	struct spare_kept *k = &s->kept[s->n_kept];

	if (s->off) {
		unlinkat(s->out, name, 0);
	} else if (s->n_kept == SPARES_KEPT) {
		put_away(s, name);
	} else {
		k->run = run;
		snprintf(k->name, sizeof(k->name), "%s", name);
		s->n_kept++;
	}
}

void spares_leave(struct spares *s, uint32_t run)
{
	unsigned n = 0;

	for (unsigned i = 0; i < s->n_kept; i++) {
		if (s->kept[i].run == run)
			put_away(s, s->kept[i].name);
		else
			s->kept[n++] = s->kept[i];
	}
	s->n_kept = n;
}

/*
 * The file dir/spare becomes `name`: its descriptor. -1 with errno, ENOENT: the folder of `name` is not there, and the spare still is. Else
 * it was as good as none, and is removed. O_NONBLOCK: who still has it open may have a lease himself, and would let us wait.
 */
static int move(struct spares *s, int dir, const char *spare, const char *name)
{
	int fd = openat(dir, spare, O_WRONLY | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	bool good = fd >= 0 && renew(s, fd), moved = good && renameat(dir, spare, s->out, name) == 0;
	int err = good && !moved ? errno : EAGAIN;

	if (moved && end_lease(fd))
		return fd;
	if (err != ENOENT)
		unlinkat(moved ? s->out : dir, moved ? name : spare, 0);
	if (fd >= 0)
		close(fd);
	errno = err;
	return -1;
}

static int take_kept(struct spares *s, const char *name)
{
	int fd = move(s, s->out, s->kept[s->n_kept - 1].name, name);

	s->n_kept -= fd >= 0 || errno != ENOENT;
	return fd;
}

static int take_from_folder(struct spares *s, const char *name)
{
	char spare[NAME_SIZE];
	int fd;

	name_of(spare, s->n - 1);
	fd = move(s, s->dir, spare, name);
	s->n -= fd >= 0 || errno != ENOENT;
	return fd;
}

int spare_take(struct spares *s, const char *name)
{
	int fd = -1;

	errno = EAGAIN;
	while (fd < 0 && errno != ENOENT && (s->n_kept || s->n) && !s->off)
		fd = s->n_kept ? take_kept(s, name) : take_from_folder(s, name);
	return fd;
}
