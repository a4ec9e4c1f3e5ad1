/* SPDX-License-Identifier: MIT */
/* The outputs themselves: found by name, and GROWING or QUIET (outputs.h has the drawing). */
#include "outputs_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <time.h>
#include <unistd.h>

#include "log.h"

#define NAME_SIZE 64

int64_t outputs_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

struct output_ids outputs_identify(const int fds[2])
{
	struct output_ids ids = {0};
	struct stat st;

	for (int i = 0; i < 2; i++) {
		int flags = fcntl(fds[i], F_GETFL);

		/* who sent it could not write to it: then neither do we, whatever it is called */
		if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY || fstat(fds[i], &st) < 0 || !S_ISREG(st.st_mode))
			continue;
		ids.file[i].dev = st.st_dev;
		ids.file[i].ino = st.st_ino;
	}
	return ids;
}

static void name_of(const struct output_file *f, char name[NAME_SIZE])
{
	const struct watched *w = f->of;

	snprintf(name, NAME_SIZE, "%" PRIu64 "/%" PRIu64 ".%" PRIu32 ".%s", w->job >> 32, w->job & UINT32_MAX, w->attempt,
		 f == &w->file[0] ? "out" : "err");
}

bool file_have_dir(struct outputs *o)
{
	char path[4096];
	int n = snprintf(path, sizeof(path), "%s/out", o->state_dir);

	if (o->dir < 0 && n > 0 && (size_t)n < sizeof(path))
		o->dir = open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (o->dir < 0 && !o->said_no_dir)
		log_warn("%s/out: %s; outputs are not held to output_max while jobs run", o->state_dir, strerror(errno));
	o->said_no_dir = o->dir < 0;
	return o->dir >= 0;
}

static bool is_same(const struct output_file *f, const struct stat *st)
{
	return st->st_dev == f->dev && st->st_ino == f->ino;
}

int file_open(struct outputs *o, const struct output_file *f, int flags)
{
	char name[NAME_SIZE];
	struct stat st;
	int fd;

	name_of(f, name);
	fd = openat(o->dir, name, flags | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd >= 0 && fstat(fd, &st) == 0 && is_same(f, &st))
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

void file_set_growing(struct outputs *o, struct output_file *f)
{
	f->idle = 0;
	if (f->growing)
		return;
	if (TAILQ_EMPTY(&o->growing))
		o->tick_ns = outputs_now_ns();
	f->growing = true;
	TAILQ_INSERT_TAIL(&o->growing, f, growing_link);
}

void file_set_quiet(struct outputs *o, struct output_file *f)
{
	if (f->growing)
		TAILQ_REMOVE(&o->growing, f, growing_link);
	f->growing = false;
}

static struct wd_list *slot_of(struct outputs *o, int wd)
{
	return &o->by_wd[(unsigned)wd % N_SLOTS];
}

static void drop_wd(struct output_file *f)
{
	if (f->wd >= 0)
		LIST_REMOVE(f, wd_link);
	f->wd = -1;
}

void file_forget(struct outputs *o, struct output_file *f)
{
	if (f->wd >= 0)
		inotify_rm_watch(o->inotify, f->wd);    /* fails when it has fired meanwhile */
	drop_wd(f);
	file_set_quiet(o, f);
	f->ino = 0;
}

/* One shot: the next write tells, and those after it cost the job nothing. */
static int arm(struct outputs *o, const struct output_file *f)
{
	char path[64];
	int wd, fd = file_open(o, f, O_PATH);

	if (fd < 0)
		return -1;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	wd = inotify_add_watch(o->inotify, path, IN_MODIFY | IN_ONESHOT);
	if (wd < 0 && !o->said_no_inotify)
		log_warn("inotify: %s; quiet outputs are looked at as often as growing ones", strerror(errno));
	o->said_no_inotify = wd < 0;
	close(fd);
	return wd;
}

bool file_stat(struct outputs *o, const struct output_file *f, struct stat *st)
{
	char name[NAME_SIZE];

	name_of(f, name);
	return fstatat(o->dir, name, st, AT_SYMLINK_NOFOLLOW) == 0 && is_same(f, st);
}

/* What was written between the last look and the arming nobody tells: another look. */
void file_rest(struct outputs *o, struct output_file *f)
{
	struct stat st;

	f->idle = 0;
	if (f->wd < 0) {
		f->wd = arm(o, f);
		if (f->wd < 0)
			return;
		LIST_INSERT_HEAD(slot_of(o, f->wd), f, wd_link);
	}
	if (file_stat(o, f, &st) && st.st_size == f->size && st.st_blocks == f->blocks)
		file_set_quiet(o, f);
}

static void written_to(struct outputs *o, const struct inotify_event *ev)
{
	struct output_file *f;

	LIST_FOREACH(f, slot_of(o, ev->wd), wd_link)
		if (f->wd == ev->wd) {
			drop_wd(f);     /* it was one shot */
			file_set_growing(o, f);
			return;
		}
}

static void all_may_have_grown(struct outputs *o)
{
	struct watched *w;

	LIST_FOREACH(w, &o->all, link)
		for (int i = 0; i < 2; i++)
			if (w->file[i].ino)
				file_set_growing(o, &w->file[i]);
}

void file_read_inotify(struct outputs *o)
{
	_Alignas(struct inotify_event) char buf[4096];
	ssize_t n;

	while ((n = read(o->inotify, buf, sizeof(buf))) > 0)
		for (char *p = buf; p < buf + n;) {
			const struct inotify_event *ev = (const struct inotify_event *)p;

			if (ev->mask & IN_Q_OVERFLOW)
				all_may_have_grown(o);
			else
				written_to(o, ev);
			p += sizeof(*ev) + ev->len;
		}
}
