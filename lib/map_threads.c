/* SPDX-License-Identifier: MIT */
/*
 * The threads of a map: the only file of it that starts any, locks, waits, and looks at a clock. What is decided, window and course decide.
 *
 *	thread of the source   asks it while the window has room; waits in poll for `wake_fd` and, after -EAGAIN, the source's descriptor
 *	N workers              wait for `work_there`: an item, a backoff that is over, the end
 *	the consumer           waits for `result_there`, a semaphore, because a signal handler may post it
 *
 * Each waits having said so (source_waits, n_idle, consumer_waits), so that a wake-up costs a system call only if somebody waits. The
 * functions of the user (next, run, release) are called without the lock.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "map.h"
#include "tree.h"

#define YIELDS 4                        /* before a wait; see give_way */

struct worker {
	struct jt_map *m;
	uint32_t slot;
	uint64_t rnd;
	pthread_t thread;
};

struct jt_map {
	struct jt_map_opts opts;
	struct jt_source source;
	struct jt_work work;
	int64_t deadline_ns;            /* of the clock; JT_NEVER */
	int wake_fd;                    /* eventfd: the thread of the source looks up */
	atomic_int ready_fd;            /* timerfd, -1 until it is asked for; see ready_set */
	int stop_fd;                    /* timerfd: readable when what runs should come to its end */
	atomic_bool stop_asked;         /* by a signal handler */
	atomic_bool stopping;           /* what runs should come to its end */
	sem_t result_there;

	pthread_mutex_t lock;           /* guards what follows */
	pthread_cond_t work_there;
	struct jti_window window;
	struct jti_course course;
	uint32_t n_idle;
	bool source_waits, consumer_waits, ready_shown, freed;

	struct worker *workers;
	uint32_t n_workers;             /* that were started */
	pthread_t source_thread;
	bool has_source_thread;
};

static int64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static struct timespec timespec_of(int64_t ns)
{
	return (struct timespec){ ns / 1000000000, ns % 1000000000 };
}

static int64_t after(int64_t now, int64_t delay)
{
	int64_t at;
	return __builtin_add_overflow(now, delay, &at) ? JT_NEVER - 1 : at;
}

/* ---- waking ---- */

static void wake_source(struct jt_map *m)
{
	const uint64_t one = 1;
	m->source_waits = false;
	if (write(m->wake_fd, &one, sizeof(one)) < 0)
		return;                 /* EAGAIN: it was woken often enough */
}

/* A timer that is over is readable until it is set again: ready is a time long past, not ready the deadline or no time. Async-signal-safe. */
static void ready_set(const struct jt_map *m, int fd, bool ready)
{
	int64_t at = ready ? 1 : m->deadline_ns == JT_NEVER ? 0 : m->deadline_ns;
	struct itimerspec when = { .it_value = timespec_of(at) };
	timerfd_settime(fd, TFD_TIMER_ABSTIME, &when, NULL);
}

/* After each change of window or course: the consumer learns whether there is something for it. */
static void show(struct jt_map *m)
{
	bool ready = jti_course_status(&m->course, &m->window) != JT_MAP_AGAIN;
	if (ready && m->consumer_waits) {
		m->consumer_waits = false;
		sem_post(&m->result_there);
	}
	int fd = atomic_load_explicit(&m->ready_fd, memory_order_relaxed);
	if (fd >= 0 && ready != m->ready_shown) {
		ready_set(m, fd, ready);
		m->ready_shown = ready;
	}
}

/*
 * Before a wait: the others may be about to do what is waited for, and then neither a wait nor a wake-up is needed. Returns whether to look
 * once more. Bounded, so that an idle map is idle.
 */
static bool give_way(struct jt_map *m, unsigned *n_yields)
{
	if (*n_yields >= YIELDS)
		return false;
	++*n_yields;
	pthread_mutex_unlock(&m->lock);
	sched_yield();
	pthread_mutex_lock(&m->lock);
	return true;
}

/* ---- stopping ---- */

static void stop(struct jt_map *m, int how)
{
	jti_course_stop(&m->course, how);
	if (!jti_course_starts(&m->course)) {
		atomic_store(&m->stopping, true);
		ready_set(m, m->stop_fd, true);
		pthread_cond_broadcast(&m->work_there);
	}
	wake_source(m);
	show(m);
}

/* What may have come meanwhile without a lock: a signal, the deadline. */
static void look_up(struct jt_map *m)
{
	if (!jti_course_starts(&m->course))
		return;
	if (atomic_load_explicit(&m->stop_asked, memory_order_acquire))
		stop(m, JTI_STOPPED);
	else if (m->deadline_ns != JT_NEVER && now_ns() >= m->deadline_ns)
		stop(m, JTI_DEADLINE);
}

void jt_map_stop(struct jt_map *m, enum jt_map_stop_how how)
{
	pthread_mutex_lock(&m->lock);
	stop(m, how == JT_MAP_NOW ? JTI_STOPPED : JTI_DRAINS);
	pthread_mutex_unlock(&m->lock);
}

void jt_map_stop_async(struct jt_map *m)
{
	const uint64_t one = 1;
	int saved = errno, fd = atomic_load(&m->ready_fd);
	atomic_store(&m->stop_asked, true);
	sem_post(&m->result_there);
	ready_set(m, m->stop_fd, true);
	if (fd >= 0)
		ready_set(m, fd, true);
	ssize_t r = write(m->wake_fd, &one, sizeof(one));
	(void)r;                        /* EAGAIN: it was woken often enough */
	errno = saved;
}

int jt_map_stop_fd(const struct jt_map *m)
{
	return m->stop_fd;
}

bool jt_map_stopping(const struct jt_map *m)
{
	return atomic_load(&m->stopping) || atomic_load(&m->stop_asked) || (m->deadline_ns != JT_NEVER && now_ns() >= m->deadline_ns);
}

/* ---- the thread of the source ---- */

static void wait_in_poll(struct jt_map *m, int fd, int64_t until)
{
	struct pollfd fds[2] = { { .fd = m->wake_fd, .events = POLLIN }, { .fd = fd, .events = POLLIN } };
	uint64_t count;
	if (m->deadline_ns < until)
		until = m->deadline_ns;
	int64_t left = until == JT_NEVER ? 0 : until - now_ns();
	struct timespec t = timespec_of(left > 0 ? left : 0);
	if (ppoll(fds, 2, until == JT_NEVER ? NULL : &t, NULL) > 0 && fds[0].revents && read(m->wake_fd, &count, sizeof(count)) < 0)
		return;
}

/* Whether the source is to be asked now; waits for room. */
static bool wait_for_room(struct jt_map *m)
{
	for (unsigned n_yields = 0;;) {
		look_up(m);
		if (!jti_course_pulls(&m->course))
			return false;
		if (jti_window_has_room(&m->window))
			return true;
		if (give_way(m, &n_yields))
			continue;
		m->source_waits = true;
		pthread_mutex_unlock(&m->lock);
		wait_in_poll(m, -1, JT_NEVER);
		pthread_mutex_lock(&m->lock);
	}
}

static void wait_for_source(struct jt_map *m)
{
	int fd = m->source.fd ? m->source.fd(m->source.arg) : -1;
	wait_in_poll(m, fd, fd < 0 ? after(now_ns(), m->opts.heartbeat_ns) : JT_NEVER);
}

/* Returns whether the item was taken. */
static bool admit(struct jt_map *m, struct jt_item item)
{
	m->window.c.pulled++;
	look_up(m);
	if (!jti_course_pulls(&m->course))
		return false;
	jti_window_admit(&m->window, item);
	if (m->n_idle > 0)
		pthread_cond_signal(&m->work_there);
	return true;
}

/* r, item: what next gave. */
static void took(struct jt_map *m, int r, struct jt_item item)
{
	if (r > 0 && !admit(m, item)) {
		pthread_mutex_unlock(&m->lock);
		jt_item_done(&item);
		pthread_mutex_lock(&m->lock);
	} else if (r <= 0 && jti_course_pulls(&m->course)) {
		jti_course_source_ended(&m->course, r);
		show(m);
	}
}

static void *source_main(void *arg)
{
	struct jt_map *m = arg;
	pthread_mutex_lock(&m->lock);
	while (wait_for_room(m)) {
		struct jt_item item = { 0 };
		pthread_mutex_unlock(&m->lock);
		int r = m->source.next(m->source.arg, &item);
		if (r == -EAGAIN)
			wait_for_source(m);
		pthread_mutex_lock(&m->lock);
		if (r != -EAGAIN)
			took(m, r, item);
	}
	pthread_mutex_unlock(&m->lock);
	if (m->source.close)
		m->source.close(m->source.arg);
	return NULL;
}

/* ---- workers ---- */

static void wait_for_work(struct jt_map *m)
{
	int64_t due = jti_window_due_ns(&m->window);
	struct timespec t = timespec_of(due);
	m->n_idle++;
	if (due == JT_NEVER)
		pthread_cond_wait(&m->work_there, &m->lock);
	else
		pthread_cond_timedwait(&m->work_there, &m->lock, &t);
	m->n_idle--;
}

/* The place whose item is to run now; JT_NONE: the worker goes home. */
static uint32_t next_place(struct jt_map *m)
{
	for (unsigned n_yields = 0;;) {
		look_up(m);
		if (m->freed || !jti_course_starts(&m->course))
			return JT_NONE;
		bool backoffs = jti_window_due_ns(&m->window) != JT_NEVER;
		uint32_t place = jti_window_start(&m->window, backoffs ? now_ns() : 0);
		if (place == JT_NONE) {
			if (!give_way(m, &n_yields))
				wait_for_work(m);
			continue;
		}
		if (m->n_idle > 0 && jti_window_due_ns(&m->window) != JT_NEVER)
			pthread_cond_signal(&m->work_there);    /* another watches the next backoff */
		return place;
	}
}

/* The delay before another attempt, or -1. */
static int64_t again_in(struct worker *w, const struct jti_place *p, int status)
{
	const struct jt_map *m = w->m;
	if (status == 0 || m->opts.retry.max == 0 || jt_map_stopping(m) || (m->work.retry_if && !m->work.retry_if(m->work.arg, status)))
		return -1;
	return jt_retry_delay(&m->opts.retry, p->r.attempts, now_ns() - p->first_ns, jti_random_next(&w->rnd));
}

/* One attempt, without the lock. Returns the delay before the next one, or -1: it has ended with *ret_status. */
static int64_t attempt(struct worker *w, struct jti_place *p, int *ret_status, struct jt_item *ret_output)
{
	const struct jt_map *m = w->m;
	struct jt_call call = { m, p->r.seq, w->slot, p->r.attempts };
	if (p->r.attempts == 1 && m->opts.retry.max > 0)
		p->first_ns = now_ns();
	*ret_status = m->work.run(m->work.arg, &call, &p->r.item, ret_output);
	int64_t delay = again_in(w, p, *ret_status);
	if (delay >= 0)
		jt_item_done(ret_output);
	return delay;
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	struct jt_map *m = w->m;
	pthread_mutex_lock(&m->lock);
	for (uint32_t place; (place = next_place(m)) != JT_NONE;) {
		struct jt_item output = { 0 };
		int status;
		pthread_mutex_unlock(&m->lock);
		int64_t delay = attempt(w, &m->window.place[place], &status, &output);
		pthread_mutex_lock(&m->lock);
		if (delay >= 0)
			jti_window_backoff(&m->window, place, after(now_ns(), delay));
		else
			jti_window_finish(&m->window, place, status, output);
		show(m);
	}
	pthread_mutex_unlock(&m->lock);
	return NULL;
}

/* ---- the consumer ---- */

static void wait_for_result(struct jt_map *m, int64_t until)
{
	if (m->deadline_ns < until)
		until = m->deadline_ns;
	struct timespec t = timespec_of(until);
	m->consumer_waits = true;
	pthread_mutex_unlock(&m->lock);
	if (until == JT_NEVER)
		sem_wait(&m->result_there);
	else
		sem_clockwait(&m->result_there, CLOCK_MONOTONIC, &t);
	pthread_mutex_lock(&m->lock);
	m->consumer_waits = false;
}

static void delivered(struct jt_map *m)
{
	jti_window_delivered(&m->window);
	if (m->source_waits)
		wake_source(m);
}

enum jt_map_status jti_map_next(struct jt_map *m, struct jt_map_result *ret, int timeout_ms, enum jti_hand hand)
{
	int64_t until = timeout_ms < 0 ? JT_NEVER : timeout_ms == 0 ? 0 : now_ns() + timeout_ms * INT64_C(1000000);
	pthread_mutex_lock(&m->lock);
	look_up(m);
	enum jt_map_status st;
	unsigned n_yields = 0;
	while ((st = jti_course_status(&m->course, &m->window)) == JT_MAP_AGAIN && until > 0 && (until == JT_NEVER || now_ns() < until)) {
		if (!give_way(m, &n_yields))
			wait_for_result(m, until);
		look_up(m);
	}
	if (st == JT_MAP_RESULT)
		jti_window_take(&m->window, ret);
	else if (st != JT_MAP_AGAIN)
		m->course.last = st;
	if (st == JT_MAP_RESULT && hand == JTI_DELIVER)
		delivered(m);
	show(m);
	pthread_mutex_unlock(&m->lock);
	return st;
}

void jti_map_delivered(struct jt_map *m)
{
	pthread_mutex_lock(&m->lock);
	delivered(m);
	pthread_mutex_unlock(&m->lock);
}

enum jt_map_status jt_map_next(struct jt_map *m, struct jt_map_result *ret, int timeout_ms)
{
	return jti_map_next(m, ret, timeout_ms, JTI_DELIVER);
}

int jt_map_fd(struct jt_map *m)
{
	pthread_mutex_lock(&m->lock);
	int fd = atomic_load(&m->ready_fd);
	if (fd < 0 && (fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)) >= 0) {
		atomic_store(&m->ready_fd, fd);
		ready_set(m, fd, false);
		m->ready_shown = false;
		look_up(m);
		show(m);
	}
	pthread_mutex_unlock(&m->lock);
	return fd;
}

int jt_map_source_error(struct jt_map *m)
{
	pthread_mutex_lock(&m->lock);
	int r = m->course.source_errno;
	pthread_mutex_unlock(&m->lock);
	return r;
}

void jt_map_stats(struct jt_map *m, struct jt_map_counters *ret)
{
	pthread_mutex_lock(&m->lock);
	*ret = m->window.c;
	pthread_mutex_unlock(&m->lock);
}

/* ---- life ---- */

static uint32_t n_cpus(void)
{
	cpu_set_t set;
	if (sched_getaffinity(0, sizeof(set), &set) == 0)
		return (uint32_t)CPU_COUNT(&set);
	long n = sysconf(_SC_NPROCESSORS_ONLN);         /* more than 1024 of them */
	return n > 0 ? (uint32_t)n : 1;
}

static int start_threads(struct jt_map *m)
{
	for (; m->n_workers < m->opts.threads; m->n_workers++) {
		struct worker *w = &m->workers[m->n_workers];
		*w = (struct worker){ .m = m, .slot = m->n_workers, .rnd = m->opts.seed + m->n_workers };
		if (pthread_create(&w->thread, NULL, worker_main, w) != 0)
			return -1;
	}
	m->has_source_thread = pthread_create(&m->source_thread, NULL, source_main, m) == 0;
	return m->has_source_thread ? 0 : -1;
}

/* Signals are for the threads of the program. */
static int start_deaf_threads(struct jt_map *m)
{
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int r = start_threads(m);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return r;
}

static void init_locks(struct jt_map *m)
{
	pthread_condattr_t attr;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&m->work_there, &attr);
	pthread_condattr_destroy(&attr);
	pthread_mutex_init(&m->lock, NULL);
	sem_init(&m->result_there, 0, 0);
}

/* A map in which nothing has started. The source is not yet its own. */
static struct jt_map *map_new(const struct jt_map_opts *opts, struct jt_error *err)
{
	struct jt_map *m = calloc(1, sizeof(*m));
	if (!m) {
		jti_fail(err, JT_ENOMEM, JT_NONE, "map: out of memory");
		return NULL;
	}
	m->opts = *opts;
	m->deadline_ns = opts->deadline_ns > 0 ? after(now_ns(), opts->deadline_ns) : JT_NEVER;
	atomic_init(&m->ready_fd, -1);
	init_locks(m);
	m->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	m->stop_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (m->stop_fd >= 0)
		ready_set(m, m->stop_fd, false);
	m->workers = calloc(opts->threads, sizeof(*m->workers));
	if (jti_window_init(&m->window, opts->window, opts->order) == 0 && m->workers && m->wake_fd >= 0 && m->stop_fd >= 0)
		return m;
	if (m->wake_fd < 0 || m->stop_fd < 0)
		jti_fail(err, JT_ELIMIT, JT_NONE, "map: no descriptor left");
	else
		jti_fail(err, JT_ENOMEM, JT_NONE, "map: out of memory for a window of %u items", opts->window);
	jt_map_free(m);
	return NULL;
}

struct jt_map *jt_map_start(const struct jt_map_opts *opts, const struct jt_source *source, const struct jt_work *work, struct jt_error *err)
{
	struct jt_map_opts o = opts ? *opts : (struct jt_map_opts){ 0 };
	struct jt_map *m = jti_map_opts_check(&o, n_cpus(), err) == 0 ? map_new(&o, err) : NULL;
	if (!m) {
		if (source->close)
			source->close(source->arg);
		return NULL;
	}
	m->source = *source;
	m->work = *work;
	if (start_deaf_threads(m) == 0)
		return m;
	jti_fail(err, JT_ELIMIT, JT_NONE, "map: only %u of %u threads could be started", m->n_workers, o.threads + 1);
	jt_map_free(m);
	return NULL;
}

static void join_threads(struct jt_map *m)
{
	pthread_mutex_lock(&m->lock);
	m->freed = true;
	stop(m, JTI_STOPPED);
	pthread_mutex_unlock(&m->lock);
	for (uint32_t i = 0; i < m->n_workers; i++)
		pthread_join(m->workers[i].thread, NULL);
	if (m->has_source_thread)
		pthread_join(m->source_thread, NULL);
	else if (m->source.close)
		m->source.close(m->source.arg);
}

void jt_map_free(struct jt_map *m)
{
	if (!m)
		return;
	if (m->window.done)
		join_threads(m);
	jti_window_done(&m->window);
	pthread_mutex_destroy(&m->lock);
	pthread_cond_destroy(&m->work_there);
	sem_destroy(&m->result_there);
	if (m->wake_fd >= 0)
		close(m->wake_fd);
	if (m->stop_fd >= 0)
		close(m->stop_fd);
	if (m->ready_fd >= 0)
		close(m->ready_fd);
	free(m->workers);
	free(m);
}
