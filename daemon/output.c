/* SPDX-License-Identifier: MIT */
/*
 * Output - the files of stdout and stderr. OUT/RUN/INDEX.ATTEMPT.out|err, 0600 in directories of 0700, made by number alone.
 *
 * The child writes straight into them. After the end small ones move into the attempt's row: a file
 * goes, as an empty one does, when that row is durable. An empty one may be the file of a later job (spare.h), if only its own job has ever had it open.
 */
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
#define PACK_CUT_MAX 8192               /* of an output of which that is all that is kept */

static void name_of(char buf[64], uint64_t id, uint32_t attempt, bool err)
{
	snprintf(buf, 64, "%u/%u.%u.%s", JOB_RUN(id), JOB_IDX(id), attempt, err ? "err" : "out");
}

static int create(int dir, const char *name)
{
	return openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
}

static int open_new(struct engine *e, const char *name)
{
	int fd = spare_take(&e->spares, name);

	return fd < 0 && errno != ENOENT ? create(e->out_fd, name) : fd;
}

int output_create(struct engine *e, uint32_t run, const char *name)
{
	char dir[16];
	int fd = open_new(e, name);

	if (fd >= 0 || errno != ENOENT)
		return fd;
	snprintf(dir, sizeof(dir), "%u", run);
	if (mkdirat(e->out_fd, dir, 0700) < 0 && errno != EEXIST)
		return -1;
	return open_new(e, name);
}

int output_open(struct active *a, int n, int fds[2])
{
	struct engine *e = a->run->e;
	uint64_t id = JOB_ID(a->run->id, a->idx);
	char name[64];

	for (int i = 0; i < n; i++) {
		name_of(name, id, a->attempt, i);
		fds[i] = output_create(e, a->run->id, name);
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
	bool ok;
	int fd;

	spares_drop(&e->spares);
	fd = mkdirat(e->out_fd, PROBE, 0700) < 0 && errno != EEXIST ? -1 : create(e->out_fd, PROBE "/out");
	ok = fd >= 0 && posix_fallocate(fd, 0, PROBE_BYTES) == 0;
	if (fd >= 0)
		close(fd);
	unlinkat(e->out_fd, PROBE "/out", 0);
	unlinkat(e->out_fd, PROBE, AT_REMOVEDIR);
	return ok;
}

int output_fd(struct engine *e, uint64_t id, uint32_t attempt, bool err)
{
	struct active *a = active_find_attempt(e, id, attempt);
	char name[64];

	if (a)
		a->is_read = true;
	name_of(name, id, attempt, err);
	return openat(e->out_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
}

bool output_is_lacking(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOMEM;
}

size_t output_tail(struct engine *e, uint64_t id, uint32_t attempt, bool err, char *buf, size_t size)
{
	int fd = output_fd(e, id, attempt, err);
	struct stat st;
	ssize_t n = -1;

	if (fd < 0)
		return 0;
	if (fstat(fd, &st) == 0)
		n = pread(fd, buf, size, st.st_size > (off_t)size ? st.st_size - (off_t)size : 0);
	close(fd);
	return n > 0 ? (size_t)n : 0;
}

/* What is kept of an output, without its gap. */
static char *read_kept(struct engine *e, const char *name, int64_t size, const struct gap *g)
{
	int64_t kept = gap_kept(g, size), tail = size - g->end;
	char *buf = xcalloc(1, (size_t)kept);
	int fd = openat(e->out_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	bool ok = fd >= 0 && pread(fd, buf, (size_t)g->at, 0) == g->at && pread(fd, buf + g->at, (size_t)tail, g->end) == tail;

	if (fd >= 0)
		close(fd);
	if (ok)
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
	if (g.end > g.at)
		sweep_punch(e->sweep, fd, &g);
	else
		close(fd);
	return g;
}

/*
 * Of a job that was over before anybody heard of it. Later the runner and readers may have it open, and its slot and gaps are written down with
 * the file.
 */
static bool is_private(const struct active *a)
{
	return a->is_short && !a->is_read;
}

static void drop(const struct active *a, bool err)
{
	struct engine *e = a->run->e;
	char name[64];

	name_of(name, JOB_ID(a->run->id, a->idx), a->attempt, err);
	if (a->is_empty[err] && is_private(a))
		spare_give(&e->spares, a->run->id, name);
	else
		unlinkat(e->out_fd, name, 0);
}

static int64_t collect_one(struct active *a, bool err, char **ret_text, struct gap *ret_gap)
{
	struct engine *e = a->run->e;
	struct stat st;
	char name[64];

	name_of(name, JOB_ID(a->run->id, a->idx), a->attempt, err);
	if (fstatat(e->out_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -1;
	a->is_empty[err] = st.st_size == 0;
	if (st.st_size > PACK_MAX && !a->run->is_map)   /* an item of a map fails rather than lacks a part */
		*ret_gap = settle_large(e, a, name, st.st_size);
	if (st.st_size && gap_kept(ret_gap, st.st_size) <= (ret_gap->end ? PACK_CUT_MAX : PACK_MAX))
		*ret_text = read_kept(e, name, st.st_size, ret_gap);
	return st.st_size;
}

void output_collect(struct active *a, struct store_attempt *at)
{
	at->out_bytes = collect_one(a, false, &at->out, &at->out_gap);
	at->err_bytes = collect_one(a, true, &at->err, &at->err_gap);
}

static void settle_one(const struct active *a, bool err, int64_t bytes, const char *packed, const struct gap *gap)
{
	if (packed || a->is_empty[err])
		drop(a, err);
	else if (bytes > 0)
		budget_add(a->run, gap_kept(gap, bytes));
}

void output_settled(const struct active *a, const struct store_attempt *at)
{
	settle_one(a, false, at->out_bytes, at->out, &at->out_gap);
	settle_one(a, true, at->err_bytes, at->err, &at->err_gap);
}

void output_remove(struct run *r, uint64_t id, uint32_t attempt)
{
	struct stat st;
	char name[64];

	for (int i = 0; i < 2; i++) {
		name_of(name, id, attempt, i);
		if (fstatat(r->e->out_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || unlinkat(r->e->out_fd, name, 0) < 0)
			continue;
		budget_add(r, -(st.st_size < r->out_bytes ? st.st_size : r->out_bytes));
	}
}

void output_drop(struct run *r)
{
	budget_forget(r);
	spares_leave(&r->e->spares, r->id);
	sweep_remove(r->e->sweep, r->id);
}

/* Where all outputs were packed nothing is left but the folder; retried, the run makes another one. */
static void remove_if_empty(struct engine *e, uint32_t run)
{
	char dir[16];

	snprintf(dir, sizeof(dir), "%u", run);
	unlinkat(e->out_fd, dir, AT_REMOVEDIR);
}

void output_run_ended(struct run *r)
{
	spares_leave(&r->e->spares, r->id);
	remove_if_empty(r->e, r->id);
	budget_make_room(r->e);
}

/* Left by an earlier jobd. What has been written since is counted already, and may be in `bytes` as well. */
void output_found(void *ctx, uint32_t run, int64_t bytes)
{
	struct engine *e = ctx;
	struct run *r = engine_run(e, run);

	if (!r)
		sweep_remove(e->sweep, run);
	else if (bytes > r->out_bytes)
		budget_add(r, bytes - r->out_bytes);
	else if (!bytes && run_is_final(r))
		remove_if_empty(e, run);
}
