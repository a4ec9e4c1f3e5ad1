/* SPDX-License-Identifier: MIT */
/*
 * Output - the files of stdout and stderr. OUT/RUN/INDEX.ATTEMPT.out|err, 0600 in directories of 0700, made by number alone.
 *
 * The child writes straight into them. After the end empty ones are removed and small ones move into the attempt's row: a file
 * goes only when that row is durable.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine.h"
#include "log.h"

#define PACK_MAX 4096

static void name_of(char buf[64], uint64_t id, uint32_t attempt, bool err)
{
	snprintf(buf, 64, "%u/%u.%u.%s", JOB_RUN(id), JOB_IDX(id), attempt, err ? "err" : "out");
}

static int create(int dir, const char *name)
{
	return openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
}

static int create_in_run(struct engine *e, uint32_t run, const char *name)
{
	char dir[16];
	int fd = create(e->out_fd, name);

	if (fd >= 0 || errno != ENOENT)
		return fd;
	snprintf(dir, sizeof(dir), "%u", run);
	if (mkdirat(e->out_fd, dir, 0700) < 0 && errno != EEXIST)
		return -1;
	return create(e->out_fd, name);
}

int output_open(struct active *a, int fds[2])
{
	struct engine *e = a->run->e;
	uint64_t id = JOB_ID(a->run->id, a->idx);
	char name[64];

	for (int i = 0; i < 2; i++) {
		name_of(name, id, a->attempt, i);
		fds[i] = create_in_run(e, a->run->id, name);
		if (fds[i] < 0) {
			int err = errno;

			if (i)
				close(fds[0]);
			errno = err;
			return -1;
		}
	}
	return 0;
}

#define PROBE ".probe"
#define PROBE_BYTES 65536

/* A folder and a file with something in it: what the next job may need. */
bool output_probe(struct engine *e)
{
	int fd = mkdirat(e->out_fd, PROBE, 0700) < 0 && errno != EEXIST ? -1 : create(e->out_fd, PROBE "/out");
	bool ok = fd >= 0 && posix_fallocate(fd, 0, PROBE_BYTES) == 0;

	if (fd >= 0)
		close(fd);
	unlinkat(e->out_fd, PROBE "/out", 0);
	unlinkat(e->out_fd, PROBE, AT_REMOVEDIR);
	return ok;
}

int output_fd(struct engine *e, uint64_t id, uint32_t attempt, bool err)
{
	char name[64];

	name_of(name, id, attempt, err);
	return openat(e->out_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
}

static char *read_small(struct engine *e, const char *name, size_t size)
{
	char *buf = xcalloc(1, size);
	int fd = openat(e->out_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : pread(fd, buf, size, 0);

	if (fd >= 0)
		close(fd);
	if (n == (ssize_t)size)
		return buf;
	free(buf);
	return NULL;
}

/* What is beyond output_max when it ends is left out now, unless the runner has begun with it. */
static struct gap settle_large(struct engine *e, const struct active *a, const char *name, int64_t size)
{
	struct gap g = { 0 };
	int fd = openat(e->out_fd, name, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0) {
		log_error("output %s: %s", name, strerror(errno));
		return g;
	}
	g = gap_settle(fd, a->output_max ? a->output_max : e->conf.output_max, size);
	if (g.end > g.at && gap_punch(fd, &g) < 0)
		log_warn("output %s: what it has beyond output_max stays: %s", name, strerror(errno));
	close(fd);
	return g;
}

static int64_t collect_one(const struct active *a, bool err, char **ret_text, struct gap *ret_gap)
{
	struct engine *e = a->run->e;
	struct stat st;
	char name[64];

	name_of(name, JOB_ID(a->run->id, a->idx), a->attempt, err);
	if (fstatat(e->out_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -1;
	if (st.st_size == 0)
		unlinkat(e->out_fd, name, 0);
	else if (st.st_size <= PACK_MAX)
		*ret_text = read_small(e, name, (size_t)st.st_size);
	else
		*ret_gap = settle_large(e, a, name, st.st_size);
	return st.st_size;
}

void output_collect(struct active *a, struct store_attempt *at)
{
	at->out_bytes = collect_one(a, false, &at->out, &at->out_gap);
	at->err_bytes = collect_one(a, true, &at->err, &at->err_gap);
}

void output_settled(struct engine *e, uint64_t id, const struct store_attempt *at)
{
	char name[64];

	if (at->out) {
		name_of(name, id, at->attempt, false);
		unlinkat(e->out_fd, name, 0);
	}
	if (at->err) {
		name_of(name, id, at->attempt, true);
		unlinkat(e->out_fd, name, 0);
	}
}

void output_drop(struct engine *e, uint32_t run)
{
	char dir[16];
	DIR *d;
	struct dirent *de;
	int fd;

	snprintf(dir, sizeof(dir), "%u", run);
	fd = openat(e->out_fd, dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	d = fd < 0 ? NULL : fdopendir(fd);
	while (d && (de = readdir(d)))
		if (de->d_name[0] != '.')
			unlinkat(dirfd(d), de->d_name, 0);
	if (d)
		closedir(d);
	unlinkat(e->out_fd, dir, AT_REMOVEDIR);
}
