/* SPDX-License-Identifier: MIT */
/* Sweep: see sweep.h. A folder that goes is called .gone-RUN.N meanwhile: so a run that lives again can have a new one. */
#include "sweep.h"

#include <dirent.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "mailbox.h"

#define GONE ".gone-"
#define NAME_SIZE 48

enum sweep_kind { SWEEP_SCAN, SWEEP_REMOVE, SWEEP_PUNCH, SWEEP_FOUND, SWEEP_LEAVE };

struct task {
	struct mail mail;               /* first */
	enum sweep_kind kind;
	uint32_t run;
	int64_t bytes;
	int fd;
	struct gap gap;
	char name[NAME_SIZE];           /* of the folder to remove */
};

struct sweep {
	pthread_t thread;
	int out_fd;
	struct mailbox *in, *out;
	struct event *event;
	sweep_found *found;
	void *ctx;
	uint64_t era, n_gone;
	atomic_bool leaving;
};

static struct task *task_new(enum sweep_kind kind)
{
	struct task *t = calloc(1, sizeof(*t));

	if (!t)
		log_die("no memory for a task");
	t->kind = kind;
	return t;
}

static void post(struct mailbox *to, struct task *t)
{
	if (!mailbox_post(to, &t->mail))
		log_die("the mailbox of the sweep is bounded");
}

/* ---- the thread's ---- */

static DIR *open_folder(int at, const char *name)
{
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (!d && fd >= 0)
		close(fd);
	return d;
}

static void remove_folder(struct sweep *s, const char *name)
{
	DIR *d = open_folder(s->out_fd, name);
	struct dirent *de;

	if (!d)
		return;
	while (!atomic_load(&s->leaving) && (de = readdir(d)))
		if (strcmp(de->d_name, ".") != 0 && strcmp(de->d_name, "..") != 0)
			unlinkat(dirfd(d), de->d_name, 0);
	closedir(d);
	if (!atomic_load(&s->leaving) && unlinkat(s->out_fd, name, AT_REMOVEDIR) < 0)
		log_warn("outputs: %s can not be removed: %s", name, strerror(errno));
}

/* Of what an earlier process was told, and had not put to use. */
static bool is_left_over(const struct sweep *s, const char *name)
{
	return strncmp(name, SWEEP_INPUT, strlen(SWEEP_INPUT)) == 0 && strtoull(name + strlen(SWEEP_INPUT), NULL, 16) != s->era;
}

static int64_t bytes_of(const struct sweep *s, int dir, const char *name)
{
	struct stat st;

	if (is_left_over(s, name) && unlinkat(dir, name, 0) == 0)
		return 0;
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
		return 0;
	return st.st_blocks * 512 < st.st_size ? st.st_blocks * 512 : st.st_size;
}

static int64_t bytes_in(struct sweep *s, const char *name)
{
	DIR *d = open_folder(s->out_fd, name);
	int64_t bytes = 0;
	struct dirent *de;

	while (d && !atomic_load(&s->leaving) && (de = readdir(d)))
		bytes += bytes_of(s, dirfd(d), de->d_name);
	if (d)
		closedir(d);
	return bytes;
}

/* 0: it is not the folder of a run. */
static uint32_t run_of(const char *name)
{
	char *end;
	unsigned long n;

	if (*name < '1' || *name > '9')
		return 0;
	errno = 0;
	n = strtoul(name, &end, 10);
	return errno || *end || n > UINT32_MAX ? 0 : (uint32_t)n;
}

static void look_at(struct sweep *s, const char *name)
{
	uint32_t run = run_of(name);
	struct task *t;

	if (strncmp(name, GONE, strlen(GONE)) == 0)
		remove_folder(s, name);
	if (!run)
		return;
	t = task_new(SWEEP_FOUND);
	t->run = run;
	t->bytes = bytes_in(s, name);
	post(s->out, t);
}

static void scan(struct sweep *s)
{
	DIR *d = open_folder(s->out_fd, ".");
	struct dirent *de;

	while (d && !atomic_load(&s->leaving) && (de = readdir(d)))
		look_at(s, de->d_name);
	if (d)
		closedir(d);
}

static void punch(const struct task *t)
{
	if (gap_punch(t->fd, &t->gap) < 0)
		log_warn("outputs: what an output has beyond output_max stays: %s", strerror(errno));
	close(t->fd);
}

static void do_task(struct sweep *s, const struct task *t)
{
	switch (t->kind) {
	case SWEEP_SCAN:
		scan(s);
		break;
	case SWEEP_REMOVE:
		remove_folder(s, t->name);
		break;
	case SWEEP_PUNCH:
		punch(t);
		break;
	case SWEEP_FOUND:
	case SWEEP_LEAVE:
		break;
	}
}

static void *work(void *arg)
{
	struct sweep *s = arg;
	bool leave = false;

	while (!leave) {
		struct mail *next;

		mailbox_wait(s->in, -1);
		for (struct mail *m = mailbox_take(s->in); m; m = next) {
			struct task *t = (struct task *)m;

			next = m->next;
			do_task(s, t);
			leave |= t->kind == SWEEP_LEAVE;
			free(t);
		}
	}
	return NULL;
}

/* ---- the loop's ---- */

static void on_found(evutil_socket_t fd, short what, void *arg)
{
	struct sweep *s = arg;
	struct mail *next;

	(void)fd, (void)what;
	for (struct mail *m = mailbox_take(s->out); m; m = next) {
		struct task *t = (struct task *)m;

		next = m->next;
		s->found(s->ctx, t->run, t->bytes);
		free(t);
	}
}

/* Other names than those an earlier jobd has left. */
static uint64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

struct sweep *sweep_new(struct event_base *base, int out_fd, sweep_found *found, void *ctx)
{
	struct sweep *s = calloc(1, sizeof(*s));

	if (!s)
		log_die("no memory for the sweep");
	s->out_fd = out_fd;
	s->found = found;
	s->ctx = ctx;
	s->era = s->n_gone = now();
	s->in = mailbox_new(0);
	s->out = mailbox_new(0);
	if (!s->in || !s->out)
		log_die("no mailbox for the sweep: %s", strerror(errno));
	s->event = event_new(base, mailbox_fd(s->out), EV_READ | EV_PERSIST, on_found, s);
	event_add(s->event, NULL);
	errno = pthread_create(&s->thread, NULL, work, s);
	if (errno)
		log_die("no thread for the sweep: %s", strerror(errno));
	post(s->in, task_new(SWEEP_SCAN));
	return s;
}

uint64_t sweep_era(const struct sweep *s)
{
	return s->era;
}

void sweep_remove(struct sweep *s, uint32_t run)
{
	struct task *t = task_new(SWEEP_REMOVE);
	char name[NAME_SIZE];

	t->run = run;
	snprintf(name, sizeof(name), "%u", run);
	snprintf(t->name, sizeof(t->name), GONE "%u.%llu", run, (unsigned long long)++s->n_gone);
	if (renameat(s->out_fd, name, s->out_fd, t->name) == 0) {
		post(s->in, t);
		return;
	}
	if (errno != ENOENT)
		log_warn("outputs of run %u can not be removed: %s", run, strerror(errno));
	free(t);
}

void sweep_punch(struct sweep *s, int fd, const struct gap *gap)
{
	struct task *t = task_new(SWEEP_PUNCH);

	t->fd = fd;
	t->gap = *gap;
	post(s->in, t);
}

void sweep_free(struct sweep *s)
{
	struct mail *next;

	if (!s)
		return;
	atomic_store(&s->leaving, true);
	post(s->in, task_new(SWEEP_LEAVE));
	pthread_join(s->thread, NULL);
	for (struct mail *m = mailbox_take(s->out); m; m = next) {
		next = m->next;
		free(m);
	}
	event_free(s->event);
	mailbox_free(s->in);
	mailbox_free(s->out);
	free(s);
}
