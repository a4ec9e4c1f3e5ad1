/* SPDX-License-Identifier: MIT */
/*
 * The executor with threads: the only file of the library that starts any, waits, and looks at a clock. The caller's thread
 * owns the scheduler; a worker owns the job that it was given, from the mailbox of work to the mailbox of ends.
 */
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "cancel.h"
#include "tree.h"

struct task {
	jt_job job;
	uint32_t attempt;
	enum jt_outcome outcome;
	char *path;
};

struct pool {
	struct jt_sched *s;
	const struct jt_run_opts *opts;
	struct jt_cancel *cancel;
	struct jt_error *err;
	struct jt_changes changes;
	struct { uint32_t attempts; int64_t first_ns; } *tries;      /* by job; caller's thread */
	uint64_t rnd;
	uint32_t in_flight;
	bool stopped;

	jt_work_fn work;
	void *arg;
	pthread_mutex_t lock;           /* guards what follows */
	pthread_cond_t wake;
	struct task *todo, *done;       /* rings of n_slots: no more are ever in flight */
	uint32_t n_todo, n_done, n_slots;
	bool over;
	int ended_fd;
	pthread_t *threads;
	uint32_t n_threads;
};

static int64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static void post_end(struct pool *p, struct task t)
{
	const uint64_t one = 1;
	p->done[p->n_done++] = t;
	if (write(p->ended_fd, &one, sizeof(one)) < 0)
		p->over = true;         /* cannot happen: the count would have to pass 2^64 */
}

static void *worker(void *arg)
{
	struct pool *p = arg;
	pthread_mutex_lock(&p->lock);
	for (;;) {
		while (p->n_todo == 0 && !p->over)
			pthread_cond_wait(&p->wake, &p->lock);
		if (p->n_todo == 0)
			break;
		struct task t = p->todo[0];
		memmove(p->todo, p->todo + 1, --p->n_todo * sizeof(t));
		pthread_mutex_unlock(&p->lock);
		t.outcome = p->work(p->arg, t.path, t.job, t.attempt);
		pthread_mutex_lock(&p->lock);
		post_end(p, t);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

static int start(struct pool *p, jt_job j, int64_t now)
{
	if (jt_sched_start(p->s, j, now, p->err) < 0)
		return -1;
	if (p->tries[j].attempts++ == 0)
		p->tries[j].first_ns = now;
	size_t len;
	const char *path = jt_job_path(p->s, j, &len);
	char *copy = malloc(len + 1);
	if (!copy)
		return jti_fail(p->err, JT_ENOMEM, j, "out of memory for a path");
	memcpy(copy, path, len + 1);
	pthread_mutex_lock(&p->lock);
	p->todo[p->n_todo++] = (struct task){ j, p->tries[j].attempts, JT_END_FAIL, copy };
	p->in_flight++;
	pthread_cond_signal(&p->wake);
	pthread_mutex_unlock(&p->lock);
	return 0;
}

static int stop(struct pool *p, enum jt_stop_why why)
{
	p->stopped = true;
	return jt_sched_stop(p->s, JT_STOP_NOW, why, &p->changes, p->err);
}

/* The delay before another attempt, or -1. */
static int64_t again_in(struct pool *p, const struct task *t, int64_t now)
{
	bool failure = t->outcome == JT_END_FAIL || t->outcome == JT_END_WARN || t->outcome == JT_END_IGNORE;
	if (!p->opts || !failure || p->stopped)
		return -1;
	return jt_retry_delay(&p->opts->retry, t->attempt, now - p->tries[t->job].first_ns, jti_random_next(&p->rnd));
}

static int handle(struct pool *p, const struct task *t)
{
	int64_t now = now_ns(), delay = again_in(p, t, now);
	if (delay >= 0)
		return jt_sched_backoff(p->s, t->job, now + delay, p->err);
	struct jt_end end = jt_end_of(t->outcome);
	if (jt_sched_end(p->s, t->job, &end, &p->changes, p->err) < 0)
		return -1;
	p->changes.n = 0;
	if (p->opts && p->opts->on_end)
		p->opts->on_end(p->opts->on_end_arg, t->job, &end);
	return end.stops_run && !p->stopped ? stop(p, JT_STOP_FAIL) : 0;
}

static void sort_tasks(const struct jt_sched *s, struct task *v, uint32_t n)
{
	for (uint32_t i = 1; i < n; i++) {
		struct task x = v[i];
		uint32_t k = i;
		for (; k > 0 && jt_sched_cmp(s, x.job, v[k - 1].job) < 0; k--)
			v[k] = v[k - 1];
		v[k] = x;
	}
}

/* All ends so far, in path order. */
static int collect(struct pool *p, struct task *batch)
{
	uint64_t count;
	pthread_mutex_lock(&p->lock);
	uint32_t n = p->n_done;
	memcpy(batch, p->done, n * sizeof(*batch));
	p->n_done = 0;
	p->in_flight -= n;
	if (n > 0 && read(p->ended_fd, &count, sizeof(count)) < 0)
		count = 0;
	pthread_mutex_unlock(&p->lock);
	sort_tasks(p->s, batch, n);
	int r = 0;
	for (uint32_t i = 0; i < n; i++) {
		if (r == 0)
			r = handle(p, &batch[i]);
		free(batch[i].path);
	}
	return r;
}

static void wait_until(struct pool *p, int64_t at)
{
	struct pollfd fds[2] = { { .fd = p->ended_fd, .events = POLLIN },
				 { .fd = p->cancel && !p->stopped ? p->cancel->fd : -1, .events = POLLIN } };
	int64_t left = at == JT_NEVER ? -1 : at - now_ns();
	struct timespec t = { left / 1000000000, left % 1000000000 };
	if (at != JT_NEVER && left <= 0)
		t = (struct timespec){ 0 };
	ppoll(fds, 2, at == JT_NEVER ? NULL : &t, NULL);
}

static int run(struct pool *p, struct task *batch)
{
	for (;;) {
		int64_t at, now = now_ns();
		if (p->cancel && !p->stopped && jt_cancel_requested(p->cancel) && stop(p, JT_STOP_CANCEL) < 0)
			return -1;
		for (jt_job j; (j = jt_sched_next(p->s, now, &at)) != JT_NONE; now = now_ns())
			if (start(p, j, now) < 0)
				return -1;
		if (p->in_flight == 0 && at == JT_NEVER)
			return 0;
		wait_until(p, at);
		if (collect(p, batch) < 0)
			return -1;
	}
}

static int start_threads(struct pool *p)
{
	for (; p->n_threads < p->n_slots; p->n_threads++)
		if (pthread_create(&p->threads[p->n_threads], NULL, worker, p) != 0)
			return p->n_threads > 0 ? 0 : jti_fail(p->err, JT_ELIMIT, JT_NONE, "not one thread could be started");
	return 0;
}

/* Jobs under way are waited for, also after an error. */
static void end_threads(struct pool *p)
{
	pthread_mutex_lock(&p->lock);
	for (uint32_t i = 0; i < p->n_todo; i++)
		free(p->todo[i].path);
	p->n_todo = 0;
	p->over = true;
	pthread_cond_broadcast(&p->wake);
	pthread_mutex_unlock(&p->lock);
	for (uint32_t i = 0; i < p->n_threads; i++)
		pthread_join(p->threads[i], NULL);
	for (uint32_t i = 0; i < p->n_done; i++)
		free(p->done[i].path);
}

int jt_run_threads(struct jt_sched *s, jt_work_fn work, void *arg, const struct jt_run_opts *opts, struct jt_cancel *cancel,
		   struct jt_result *ret, struct jt_error *err)
{
	if (jti_executor_ready(s, err) < 0)
		return -1;
	struct pool p = { .s = s, .opts = opts, .cancel = cancel, .err = err, .work = work, .arg = arg, .rnd = s->opts.seed,
			  .lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER };
	p.n_slots = s->opts.slots < s->n_jobs ? s->opts.slots : s->n_jobs + 1;
	p.ended_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	p.todo = calloc(p.n_slots, sizeof(*p.todo));
	p.done = calloc(p.n_slots, sizeof(*p.done));
	p.threads = calloc(p.n_slots, sizeof(*p.threads));
	p.tries = calloc(s->n_jobs + 1u, sizeof(*p.tries));
	struct task *batch = calloc(p.n_slots, sizeof(*batch));
	int r;
	if (p.ended_fd < 0 || !p.todo || !p.done || !p.threads || !p.tries || !batch)
		r = jti_fail(err, JT_ENOMEM, JT_NONE, "no memory or no descriptor for %u threads", p.n_slots);
	else if ((r = start_threads(&p)) == 0)
		r = run(&p, batch);
	end_threads(&p);
	if (r == 0)
		*ret = jt_sched_result(s);
	if (p.ended_fd >= 0)
		close(p.ended_fd);
	free(p.todo);
	free(p.done);
	free(p.threads);
	free(p.tries);
	free(batch);
	jt_changes_done(&p.changes);
	return r;
}
