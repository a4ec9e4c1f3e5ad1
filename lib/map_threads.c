/* SPDX-License-Identifier: MIT */
/* The life of a map: what is made when it starts, its threads, and how all of it goes again. */
#include <sched.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "map_threads.h"
#include "tree.h"

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
		struct jti_worker *w = &m->workers[m->n_workers];
		*w = (struct jti_worker){ .m = m, .slot = m->n_workers, .rnd = m->opts.seed + m->n_workers };
		if (pthread_create(&w->thread, NULL, jti_worker_main, w) != 0)
			return -1;
	}
	m->has_source_thread = pthread_create(&m->source_thread, NULL, jti_source_main, m) == 0;
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

/* A map in which nothing has started. The source is not yet its own. */
static struct jt_map *map_new(const struct jt_map_opts *opts, struct jt_error *err)
{
	struct jt_map *m = calloc(1, sizeof(*m));
	if (!m) {
		jti_fail(err, JT_ENOMEM, JT_NONE, "map: out of memory");
		return NULL;
	}
	m->opts = *opts;
	m->deadline_ns = opts->deadline_ns > 0 ? jti_after(jti_now(), opts->deadline_ns) : JT_NEVER;
	atomic_init(&m->ready_fd, -1);
	jti_waits_init(m);
	m->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	m->stop_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (m->stop_fd >= 0)
		jti_ready_set(m, m->stop_fd, false);
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
	jt_map_stop(m, JT_MAP_NOW);
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
	jti_waits_done(m);
	if (m->wake_fd >= 0)
		close(m->wake_fd);
	if (m->stop_fd >= 0)
		close(m->stop_fd);
	if (m->ready_fd >= 0)
		close(m->ready_fd);
	free(m->workers);
	free(m);
}
