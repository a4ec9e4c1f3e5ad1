/* SPDX-License-Identifier: MIT */
/*
 * How the threads of a map wait for each other. A small window is full or empty after a few items, and what a hand-over then costs decides how
 * fast a map of short calls is. So:
 *
 *   - Nobody is woken but by jti_unlock, which looks at what there is to do and at who will look anyway; and after the lock was given up,
 *     so that the woken do not run into it.
 *   - Before a thread sleeps it gives way (sched_yield) for some microseconds: mostly the others do meanwhile what it would have
 *     waited for. Who did that in vain has less patience the next time, and none in an idle map; a short sleep gives it back.
 *   - A processor that others want too is different: there each sched_yield gives them a whole slice of time, which is thousands of
 *     items. When that happens some times in a row nobody gives way for a while: sleeping costs less then.
 */
#include <sched.h>
#include <sys/timerfd.h>

#include "map_threads.h"

#define PATIENCE_MIN_NS 1000
#define SHORT_SLEEP_NS 50000            /* what is longer is no hand-over */
#define LOST_NS 1000000                 /* a sched_yield that took that long lost the processor */
#define HELD_NS 200000                  /* so soon after the last loss: it was never held */
#define LOSSES 3
#define CROWDED_NS 200000000

static void party_init(struct jti_party *p)
{
	sem_init(&p->wake, 0, 0);
	atomic_init(&p->needed, false);
}

void jti_waits_init(struct jt_map *m)
{
	pthread_mutex_init(&m->lock, NULL);
	party_init(&m->room);
	party_init(&m->items);
	party_init(&m->results);
	m->patience.budget_ns = JTI_PATIENCE_NS;
}

void jti_waits_done(struct jt_map *m)
{
	pthread_mutex_destroy(&m->lock);
	sem_destroy(&m->room.wake);
	sem_destroy(&m->items.wake);
	sem_destroy(&m->results.wake);
}

/* ---- who is woken ---- */

void jti_ready_set(const struct jt_map *m, int fd, bool ready)
{
	int64_t at = ready ? 1 : m->deadline_ns == JT_NEVER ? 0 : m->deadline_ns;
	struct itimerspec when = { .it_value = jti_timespec(at) };
	timerfd_settime(fd, TFD_TIMER_ABSTIME, &when, NULL);
}

static void show_ready(struct jt_map *m, bool ready)
{
	int fd = atomic_load_explicit(&m->ready_fd, memory_order_relaxed);
	if (fd < 0 || ready == m->ready_shown)
		return;
	jti_ready_set(m, fd, ready);
	m->ready_shown = ready;
	if (!ready && atomic_load(&m->stop_asked))
		jti_ready_set(m, fd, true);     /* by a signal handler, between the look and this: it had shown it already */
}

static bool is_needed(const struct jti_party *p)
{
	return atomic_load_explicit(&p->needed, memory_order_relaxed);
}

/* There is something to do for n of them. Returns how many have to be woken. */
static uint32_t call(struct jti_party *p, uint64_t n)
{
	if (is_needed(p) != (n > 0))    /* whoever looks at it is left alone else */
		atomic_store_explicit(&p->needed, n > 0, memory_order_relaxed);
	uint64_t missing = n > p->n_coming ? n - p->n_coming : 0;
	uint32_t woken = missing < p->n_asleep ? (uint32_t)missing : p->n_asleep;
	p->n_asleep -= woken;
	p->n_coming += woken;
	return woken;
}

static void wake(struct jti_party *p, uint32_t n)
{
	for (; n > 0; n--)
		sem_post(&p->wake);
}

void jti_call_one(struct jti_party *p)
{
	if (p->n_asleep == 0)
		return;
	p->n_asleep--;
	p->n_coming++;
	wake(p, 1);
}

void jti_lock(struct jt_map *m)
{
	pthread_mutex_lock(&m->lock);
}

void jti_unlock(struct jt_map *m)
{
	const struct jti_window *w = &m->window;
	bool ready = jti_course_status(&m->course, w) != JT_MAP_AGAIN;
	uint32_t items = call(&m->items, jti_course_starts(&m->course) ? jti_window_waiting(w) : UINT32_MAX);
	uint32_t room = call(&m->room, jti_window_has_room(w) || !jti_course_pulls(&m->course));
	uint32_t results = call(&m->results, ready);
	show_ready(m, ready);
	pthread_mutex_unlock(&m->lock);
	wake(&m->results, results);
	wake(&m->items, items);
	wake(&m->room, room);
}

/* ---- who waits ---- */

/*
 * Every thread of a busy machine loses its processor now and then; after such a loss it has it for a while. Where it is sched_yield that loses it,
 * the next one loses it again. Both processors may be lost at a time: that counts once.
 */
static void processor_was_lost(struct jt_map *m, int64_t from, int64_t until)
{
	if (from >= m->lost_until_ns)
		m->n_lost = from - m->lost_until_ns < HELD_NS ? m->n_lost + 1 : 1;
	m->lost_until_ns = until;
	if (m->n_lost >= LOSSES)
		m->crowded_until_ns = until + CROWDED_NS;
}

/* Whether there is something for the party now. */
static bool give_way(struct jt_map *m, struct jti_party *p, struct jti_patience *patience)
{
	int64_t now = jti_now(), before, end = now + patience->budget_ns;
	if (patience->budget_ns < PATIENCE_MIN_NS || now < m->crowded_until_ns)
		return false;
	p->n_coming++;
	jti_unlock(m);
	do {
		before = now;
		sched_yield();
		now = jti_now();
	} while (!is_needed(p) && now < end && now - before < LOST_NS);
	jti_lock(m);
	p->n_coming--;
	if (now - before >= LOST_NS)
		processor_was_lost(m, before, now);
	bool found = is_needed(p);
	if (!found)
		patience->budget_ns /= 2;
	return found;
}

static int sleep_until(struct jti_party *p, int64_t until_ns)
{
	struct timespec t = jti_timespec(until_ns);
	return until_ns == JT_NEVER ? sem_wait(&p->wake) : sem_clockwait(&p->wake, CLOCK_MONOTONIC, &t);
}

/*
 * Sleepers who were woken are counted as coming already. A signal handler wakes without counting, time and signals without the semaphore. Whose
 * time is over when he was just chosen takes what is posted for him, and waits for it if need be: who chose him posts it as soon as he has given
 * up the lock. Left there it would wake another one, who was not chosen, and the count of those that come would be wrong for ever.
 */
static void arrive(struct jti_party *p, bool by_semaphore)
{
	if (by_semaphore ? p->n_coming == 0 : p->n_asleep > 0) {
		p->n_asleep--;
		return;
	}
	p->n_coming--;
	while (!by_semaphore && sem_wait(&p->wake) < 0)
		;
}

void jti_wait(struct jt_map *m, struct jti_party *p, struct jti_patience *patience, int64_t until_ns)
{
	int64_t due = jti_window_due_ns(&m->window);
	if (give_way(m, p, patience) || jti_window_due_ns(&m->window) != due)
		return;                 /* until_ns may be too late for another backoff, and the others at work */
	p->n_asleep++;
	jti_unlock(m);
	int64_t began = jti_now();
	int r = sleep_until(p, until_ns);
	if (jti_now() - began < SHORT_SLEEP_NS)
		patience->budget_ns = JTI_PATIENCE_NS;
	jti_lock(m);
	arrive(p, r == 0);
}
