/* SPDX-License-Identifier: MIT */
/*
 * What the files with the threads of a map share: the map itself, and how its threads wait for each other. Not installed.
 *
 *	map_source.c    the thread of the source: asks it while the window has room; after -EAGAIN waits in poll for the source's descriptor
 *	map_worker.c    N workers: wait for an item, a backoff that is over, the end
 *	map_consumer.c  whoever calls jt_map_next: waits for a result
 *	map_stop.c      stops, the deadline
 *	map_wait.c      the lock, and the only place that decides who is woken
 *	map_threads.c   life: options, threads, memory
 *
 * What is decided, window and course decide. The functions of the user (next, run, release) are called without the lock.
 */
#ifndef JOBTREE_MAP_THREADS_H
#define JOBTREE_MAP_THREADS_H

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <time.h>

#include "map.h"

/* Those that wait for the same thing. Each thread of it is at work, asleep, or coming: it will look before it sleeps. */
struct jti_party {
	sem_t wake;                     /* a semaphore, because a signal handler may post it */
	uint32_t n_asleep, n_coming;
	char apart[64];                 /* from what changes all the time: who gives way looks at the next */
	atomic_bool needed;             /* there is something for one of them; written under the lock, read without */
	char apart_too[64];
};

/* Of one thread: how long it lets the others go first before it sleeps. */
struct jti_patience {
	int64_t budget_ns;
};
#define JTI_PATIENCE_NS 20000

struct jti_worker {
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
	int wake_fd;                    /* eventfd: the thread of the source looks up from its poll */
	atomic_int ready_fd;            /* timerfd, -1 until it is asked for; see jti_ready_set */
	int stop_fd;                    /* timerfd: readable when what runs should come to its end */
	atomic_bool stop_asked;         /* by a signal handler */
	atomic_bool stopping;           /* what runs should come to its end */

	pthread_mutex_t lock;           /* guards what follows */
	struct jti_window window;
	struct jti_course course;
	struct jti_party room, items, results;
	bool ready_shown;
	bool holds;                     /* the consumer: a result that is not delivered yet */
	int64_t lost_until_ns, crowded_until_ns;        /* see processor_was_lost; nobody gives way until then */
	uint32_t n_lost;

	struct jti_patience patience;   /* the consumer's */
	struct jti_worker *workers;
	uint32_t n_workers;             /* that were started */
	pthread_t source_thread;
	bool has_source_thread;
};

static inline int64_t jti_now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static inline struct timespec jti_timespec(int64_t ns)
{
	return (struct timespec){ ns / 1000000000, ns % 1000000000 };
}

static inline int64_t jti_after(int64_t now, int64_t delay)
{
	int64_t at;
	return __builtin_add_overflow(now, delay, &at) ? JT_NEVER - 1 : at;
}

/* ---- waiting: map_wait.c ---- */

void jti_waits_init(struct jt_map *m);
void jti_waits_done(struct jt_map *m);
void jti_lock(struct jt_map *m);
/* Wakes those for whom there is something to do now, and nobody else. */
void jti_unlock(struct jt_map *m);
/* Under the lock, which is given up meanwhile: until there is something for the party, until_ns, or for no reason. The caller looks again. */
void jti_wait(struct jt_map *m, struct jti_party *p, struct jti_patience *patience, int64_t until_ns);
/* One more of them looks: besides those that there is something for. */
void jti_call_one(struct jti_party *p);
/* A timer that is over is readable until it is set again: ready is a time long past, not ready the deadline or no time. Async-signal-safe. */
void jti_ready_set(const struct jt_map *m, int fd, bool ready);

/* ---- ends: map_stop.c; under the lock ---- */

void jti_stop(struct jt_map *m, int how);
void jti_look_up(struct jt_map *m);              /* for what may have come without the lock: a signal, the deadline */

/* ---- threads ---- */

void *jti_source_main(void *map);
void *jti_worker_main(void *worker);

#endif
