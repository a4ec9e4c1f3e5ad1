/* SPDX-License-Identifier: MIT */
/* Siblings: see siblings.h. */
#include "siblings.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>

#include "log.h"

void siblings_open(struct siblings *s, uint64_t socket, enum siblings_home home)
{
	*s = (struct siblings){.home = home};
	TAILQ_INIT(&s->running);
	sweep_open_thread(&s->sweep, socket);
}

void siblings_close(struct siblings *s)
{
	sweep_close(&s->sweep);
}

void siblings_born(struct siblings *s, struct attempt *a)
{
	TAILQ_INSERT_TAIL(&s->running, a, running_link);
	s->n_running++;
}

void siblings_reaped(struct siblings *s, struct attempt *a)
{
	TAILQ_REMOVE(&s->running, a, running_link);
	s->n_running--;
}

static int compare(const void *a, const void *b)
{
	pid_t x = *(const pid_t *)a, y = *(const pid_t *)b;

	return (x > y) - (x < y);
}

/* The main processes, sorted; the caller's to free. */
static pid_t *list_jobs(const struct siblings *s)
{
	pid_t *jobs = calloc(s->n_running + 1, sizeof(*jobs)), *next = jobs;
	const struct attempt *a;

	if (!jobs)
		log_die("no memory for a list of processes");
	TAILQ_FOREACH(a, &s->running, running_link)
		*next++ = a->end.pid;
	qsort(jobs, s->n_running, sizeof(*jobs), compare);
	return jobs;
}

/* It is ours and not reaped, so it is there; without a descriptor to spare it dies unseen, and is reaped by a later look. */
static int watch_one(pid_t pid)
{
	int fd = pidfd_open(pid, 0);

	if (fd < 0)
		log_warn("process %d, which a job left behind, was killed and cannot be watched: %s", (int)pid, strerror(errno));
	return fd;
}

static int kill_among(struct siblings *s, const struct attempt *a, const pid_t *children, size_t n)
{
	struct sweep_job job = {.job = a->end.job, .attempt = a->end.attempt, .pid = a->end.pid, .alone = !s->n_running};
	pid_t *jobs = list_jobs(s);
	int fd = -1;

	for (size_t i = 0; i < n; i++) {
		if (bsearch(&children[i], jobs, s->n_running, sizeof(*jobs), compare))
			continue;
		if (sweep_one(&s->sweep, children[i], &job) && fd < 0)
			fd = watch_one(children[i]);
	}
	free(jobs);
	return fd;
}

int siblings_kill(struct siblings *s, const struct attempt *a)
{
	pid_t *children;
	size_t n;
	int fd = -1;

	if (!s->sweep.on)
		return -1;
	s->n_unlooked = 0;
	children = sweep_list(&s->sweep, &n);
	if (n > s->n_running)
		fd = kill_among(s, a, children, n);
	free(children);
	return fd;
}

int siblings_end(struct siblings *s, const struct attempt *a)
{
	s->n_unlooked++;
	return s->home == SIBLINGS_AT_LARGE || s->n_unlooked > s->n_running ? siblings_kill(s, a) : -1;
}
