/* SPDX-License-Identifier: MIT */
/* Worker: see worker.h. One turn of its loop: what has happened, what is due, then at most one spawn, which takes longest. */
#include "worker.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "due.h"
#include "failpoint.h"
#include "log.h"
#include "policy.h"
#include "siblings.h"

#define BATCH 64
#define NS_PER_MS INT64_C(1000000)
/* A start is told when the job is this old: of the many that are over by then the end says everything, at the price of one message. */
#define FRESH_NS (5 * NS_PER_MS)
#define UNWATCHED_NS (50 * NS_PER_MS)   /* how often those are looked at that epoll has no room for */

struct worker {
	pthread_t thread;
	struct mailbox *in, *to;
	const struct child_base *base;
	int epoll;
	bool leaving;
	atomic_uint queued;                     /* starts posted and not yet spawned */
	struct mail *orders, **orders_tail;     /* attempts to spawn, in order */
	struct attempt_queue fresh;             /* running, oldest first, their start not yet told */
	struct attempt_queue unwatched;         /* epoll can not tell of them */
	int64_t look_at_ns;                     /* when to look at those */
	struct due due;
	struct cages cages;
	uint64_t socket;
	struct siblings siblings;
};

static int64_t now_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void tell(struct worker *w, struct note *n)
{
	if (!mailbox_post(w->to, &n->mail))
		log_die("the main thread's mailbox is bounded");
}

/* ---- the end ---- */

/* Numbers only, and memory that is there: between reap and report nothing can fail. */
static void fill_end(struct attempt *a, const siginfo_t *si, const struct rusage *ru)
{
	struct rm_end *e = &a->end;

	e->how = si->si_code == CLD_EXITED ? RM_EXIT : RM_SIGNAL;
	e->code = si->si_status;
	e->ended_at_us = now_ns(CLOCK_REALTIME) / 1000;
	e->wall_ns = now_ns(CLOCK_MONOTONIC) - a->started_ns;
	e->cpu_us = ((int64_t)ru->ru_utime.tv_sec + ru->ru_stime.tv_sec) * 1000000 + ru->ru_utime.tv_usec + ru->ru_stime.tv_usec;
	e->maxrss_kb = ru->ru_maxrss;
}

static void report_end(struct worker *w, struct attempt *a)
{
	if (a->fresh) {
		TAILQ_REMOVE(&w->fresh, a, fresh_link);
		a->fresh = false;
	}
	due_clear(&w->due, a);
	cages_give_back(&w->cages, a->cage);
	a->cage = NULL;
	kept_write(a->record, &a->end);
	tell(w, &a->ended);
}

/* ---- what is waited for ---- */

/* The end of the main process, after it the last process in the cage, after that the siblings. */
static struct pollfd awaited(const struct attempt *a)
{
	if (a->pidfd >= 0)
		return (struct pollfd){.fd = a->pidfd, .events = POLLIN};
	if (a->sibling_fd >= 0)
		return (struct pollfd){.fd = a->sibling_fd, .events = POLLIN};
	return (struct pollfd){.fd = a->events_fd, .events = POLLPRI};
}

/* One shot: a child that another worker is spawning has a copy of the descriptor for a moment, and would keep the watch alive. */
static int try_to_watch(struct worker *w, struct attempt *a)
{
	struct pollfd p = awaited(a);
	struct epoll_event ev = {.events = (uint32_t)p.events | EPOLLONESHOT, .data.ptr = a};
	int rc = FAILS("before_watch") ? -1 : epoll_ctl(w->epoll, EPOLL_CTL_ADD, p.fd, &ev);

	return rc < 0 && errno == EEXIST ? epoll_ctl(w->epoll, EPOLL_CTL_MOD, p.fd, &ev) : rc;
}

/* There may be no memory for it, or the user may have too many watches: the job shall not suffer for that. */
static void watch(struct worker *w, struct attempt *a)
{
	if (try_to_watch(w, a) == 0)
		return;
	if (TAILQ_EMPTY(&w->unwatched)) {
		log_warn("process %d can not be watched: %s; looking at it every now and then instead", a->end.pid, strerror(errno));
		w->look_at_ns = now_ns(CLOCK_MONOTONIC) + UNWATCHED_NS;
	}
	TAILQ_INSERT_TAIL(&w->unwatched, a, unwatched_link);
}

/* ---- what is left: siblings ---- */

/* The end is told when nothing of the job runs any more. */
static void wait_for_sibling(struct worker *w, struct attempt *a, int fd)
{
	a->sibling_fd = fd;
	if (fd < 0) {
		report_end(w, a);
		return;
	}
	kept_write(a->record, &a->end);         /* should we die now, the next runner kills the rest */
	watch(w, a);
}

static void look_for_siblings(struct worker *w, struct attempt *a)
{
	close(a->sibling_fd);
	wait_for_sibling(w, a, siblings_kill(&w->siblings, a));
}

/* ---- what is left: in the cage ---- */

static void end_and_discard_cage(struct worker *w, struct attempt *a)
{
	cages_discard(&w->cages, a->cage);
	a->cage = NULL;
	if (a->events_fd >= 0)
		close(a->events_fd);
	a->events_fd = -1;
	wait_for_sibling(w, a, siblings_end(&w->siblings, a));
}

/* What cannot be killed and seen to be gone would meet the next job there: the cage is used no more. */
static void abandon_cage(struct worker *w, struct attempt *a)
{
	log_error("cannot kill what process %d left behind: %s", a->end.pid, strerror(errno));
	end_and_discard_cage(w, a);
}

static void end_when_empty(struct worker *w, struct attempt *a)
{
	if (!a->cage || cage_is_empty(&w->cages, a->cage)) {
		wait_for_sibling(w, a, siblings_end(&w->siblings, a));
		return;
	}
	kept_write(a->record, &a->end);
	a->events_fd = cage_kill(&w->cages, a->cage);
	if (a->events_fd < 0)
		abandon_cage(w, a);
	else
		watch(w, a);
}

static void look_into_cage(struct worker *w, struct attempt *a)
{
	if (cage_has_emptied(a->events_fd))
		end_and_discard_cage(w, a);
	else
		watch(w, a);
}

/* The main process is dead (its pidfd says so) and not reaped: its number is still its own, and so is its group's. */
static void reap(struct worker *w, struct attempt *a)
{
	struct rusage ru;
	siginfo_t si = {0};
	long rc;

	kill(-a->end.pid, SIGKILL);
	FAILPOINT("before_reap");
	do
		rc = syscall(SYS_waitid, P_PIDFD, a->pidfd, &si, WEXITED, &ru);
	while (rc < 0 && errno == EINTR);
	if (rc < 0)
		log_die("waitid of process %d: %s", a->end.pid, strerror(errno));
	FAILPOINT("after_reap");
	close(a->pidfd);
	a->pidfd = -1;
	siblings_reaped(&w->siblings, a);
	fill_end(a, &si, &ru);
	due_clear(&w->due, a);
	end_when_empty(w, a);
}

/* ---- the way there: TERM, after the grace KILL ---- */

static void send_kill(struct worker *w, struct attempt *a)
{
	due_clear(&w->due, a);
	kill(-a->end.pid, SIGKILL);
}

static int64_t after_ms(int64_t ms)
{
	int64_t now = now_ns(CLOCK_MONOTONIC);

	return ms > (INT64_MAX - now) / NS_PER_MS ? INT64_MAX : now + ms * NS_PER_MS;
}

/* The first cause stands. A shorter grace given later counts, a longer one does not. */
static void tell_to_end(struct worker *w, struct attempt *a, enum rm_cause cause, uint32_t grace_ms)
{
	int64_t at = after_ms(grace_ms);
	bool again = a->told_to_end;

	if (!again)
		a->end.cause = (uint8_t)cause;
	a->told_to_end = true;
	if (!grace_ms) {
		send_kill(w, a);
		return;
	}
	if (again && (a->due_at == SIZE_MAX || a->due_ns <= at))
		return;
	due_set(&w->due, a, at);
	if (again)
		return;
	kill(-a->end.pid, SIGTERM);
	kill(-a->end.pid, SIGCONT);     /* a stopped one has to run to hear it */
}

static void act_on_due(struct worker *w)
{
	int64_t now = now_ns(CLOCK_MONOTONIC);
	struct attempt *a;

	while ((a = due_first(&w->due)) && a->due_ns <= now) {
		due_clear(&w->due, a);
		if (a->told_to_end)
			send_kill(w, a);
		else
			tell_to_end(w, a, RM_BY_TIMEOUT, a->grace_ms);
	}
	while ((a = TAILQ_FIRST(&w->fresh)) && a->started_ns + FRESH_NS <= now) {
		TAILQ_REMOVE(&w->fresh, a, fresh_link);
		a->fresh = false;
		tell(w, &a->started);
	}
}

/* ---- the start ---- */

static void never_started(struct worker *w, struct attempt *a, const struct child_error *err)
{
	a->end.how = (uint8_t)err->how;
	a->end.stage = (uint8_t)err->stage;
	a->end.code = err->code;
	a->end.ended_at_us = now_ns(CLOCK_REALTIME) / 1000;
	a->end.started_at_us = 0;
	report_end(w, a);
}

static int spawn_in_cage(struct worker *w, struct attempt *a, const struct user_ids *ids, struct child *ret, struct child_error *err)
{
	int rc, fd = -1;

	while ((a->cage = cages_take(&w->cages)) && (fd = cage_dir(&w->cages, a->cage)) < 0 && errno == ENOENT)
		cages_discard(&w->cages, a->cage);      /* somebody has removed it; so for all, until a new one is made */
	if (!a->cage)
		return child_spawn(w->base, a->order, ids, -1, ret, err);
	if (fd < 0) {
		*err = (struct child_error){.how = RM_AGAIN, .stage = RM_AT_FORK, .code = errno};
		return -1;
	}
	rc = child_spawn(w->base, a->order, ids, fd, ret, err);
	close(fd);
	return rc;
}

static int spawn(struct worker *w, struct attempt *a, struct child_error *err)
{
	struct user_ids ids;
	struct child c;
	int rc = user_resolve(a->order->user, a->order->group, &ids);

	if (!rc) {
		rc = policy_check(w->base->policy, a->order, &ids);
		if (rc)
			user_ids_done(&ids);
	}
	if (rc) {
		*err = (struct child_error){.how = child_how(rc), .stage = RM_AT_USER, .code = rc};
		return -1;
	}
	a->started_ns = now_ns(CLOCK_MONOTONIC);
	a->end.started_at_us = now_ns(CLOCK_REALTIME) / 1000;
	if (FAILS("before_spawn")) {
		*err = (struct child_error){.how = RM_AGAIN, .stage = RM_AT_FORK, .code = errno};
		rc = -1;
	} else {
		rc = spawn_in_cage(w, a, &ids, &c, err);
	}
	FAILPOINT("after_spawn");
	user_ids_done(&ids);
	if (rc < 0)
		return -1;
	a->end.pid = c.pid;
	a->pidfd = c.pidfd;
	return 0;
}

/* A kill that overtook its spawn is carried out now; it is not ours to say that a job did not run because of it. */
static void act_on_early_kill(struct worker *w, struct attempt *a)
{
	struct kill_note *k = a->early_kill;

	if (!k)
		return;
	a->early_kill = NULL;
	if (a->pidfd >= 0)
		tell_to_end(w, a, k->cause, k->grace_ms);
	tell(w, &k->note);
}

static void start(struct worker *w, struct attempt *a)
{
	int64_t timeout_ms = a->order->timeout_ms;
	struct child_error err;
	int rc = spawn(w, a, &err);

	order_free(a->order);
	a->order = NULL;
	atomic_fetch_sub_explicit(&w->queued, 1, memory_order_relaxed);
	if (rc < 0) {
		act_on_early_kill(w, a);
		never_started(w, a, &err);
		return;
	}
	siblings_born(&w->siblings, a);
	if (timeout_ms)
		due_set(&w->due, a, after_ms(timeout_ms));
	act_on_early_kill(w, a);
	TAILQ_INSERT_TAIL(&w->fresh, a, fresh_link);
	a->fresh = true;
	watch(w, a);
}

/* ---- notes ---- */

static void take_kill(struct worker *w, struct kill_note *k)
{
	struct attempt *a = k->note.about;

	if (a->order && !a->early_kill) {
		a->early_kill = k;
		return;
	}
	if (a->order)
		a->early_kill->grace_ms = k->grace_ms < a->early_kill->grace_ms ? k->grace_ms : a->early_kill->grace_ms;
	else if (a->pidfd >= 0)
		tell_to_end(w, a, k->cause, k->grace_ms);
	tell(w, &k->note);
}

static void take_mail(struct worker *w)
{
	struct mail *next;

	for (struct mail *m = mailbox_take(w->in); m; m = next) {
		struct note *n = (struct note *)m;

		next = m->next;
		if (n->kind == NOTE_KILL) {
			take_kill(w, (struct kill_note *)n);
		} else if (n->kind == NOTE_LEAVE) {
			w->leaving = true;
		} else {
			m->next = NULL;
			*w->orders_tail = m;
			w->orders_tail = &m->next;
		}
	}
}

static void start_next(struct worker *w)
{
	struct mail *m = w->orders;

	if (!m)
		return;
	w->orders = m->next;
	if (!w->orders)
		w->orders_tail = &w->orders;
	start(w, ((struct note *)m)->about);
}

/* ---- the loop ---- */

static int wait_ms(const struct worker *w)
{
	const struct attempt *fresh = TAILQ_FIRST(&w->fresh), *due = due_first(&w->due);
	int64_t at = TAILQ_EMPTY(&w->unwatched) ? INT64_MAX : w->look_at_ns, ms;

	if (w->orders)
		return 0;
	if (fresh && fresh->started_ns + FRESH_NS < at)
		at = fresh->started_ns + FRESH_NS;
	if (due && due->due_ns < at)
		at = due->due_ns;
	if (at == INT64_MAX)
		return -1;
	ms = (at - now_ns(CLOCK_MONOTONIC) + NS_PER_MS - 1) / NS_PER_MS;
	return ms < 0 ? 0 : ms > 3600000 ? 3600000 : (int)ms;
}

static void happened(struct worker *w, struct attempt *a)
{
	if (a->pidfd >= 0)
		reap(w, a);
	else if (a->sibling_fd >= 0)
		look_for_siblings(w, a);
	else if (a->events_fd >= 0)
		look_into_cage(w, a);
}

static void look_at_unwatched(struct worker *w)
{
	struct attempt *a = TAILQ_FIRST(&w->unwatched), *next;
	int64_t now = a ? now_ns(CLOCK_MONOTONIC) : 0;

	if (!a || now < w->look_at_ns)
		return;
	w->look_at_ns = now + UNWATCHED_NS;
	for (; a; a = next) {
		struct pollfd p = awaited(a);
		bool has_happened = poll(&p, 1, 0) > 0;

		next = TAILQ_NEXT(a, unwatched_link);
		if (!has_happened && try_to_watch(w, a) < 0)
			continue;
		TAILQ_REMOVE(&w->unwatched, a, unwatched_link);
		if (has_happened)
			happened(w, a);
	}
}

static void *work(void *arg)
{
	struct worker *w = arg;
	struct epoll_event ev[BATCH];

	siblings_open(&w->siblings, w->socket, w->cages.root->fd >= 0 ? SIBLINGS_IN_CAGES : SIBLINGS_AT_LARGE);
	while (!w->leaving) {
		int n = epoll_wait(w->epoll, ev, BATCH, wait_ms(w));

		if (n < 0 && errno != EINTR)
			log_die("epoll_wait: %s", strerror(errno));
		for (int i = 0; i < n; i++) {
			if (ev[i].data.ptr)
				happened(w, ev[i].data.ptr);
			else
				take_mail(w);
		}
		look_at_unwatched(w);
		act_on_due(w);
		start_next(w);
	}
	siblings_close(&w->siblings);
	return NULL;
}

static int init(struct worker *w)
{
	struct epoll_event ev = {.events = EPOLLIN};

	w->epoll = epoll_create1(EPOLL_CLOEXEC);
	w->in = mailbox_new(0);
	if (w->epoll < 0 || !w->in)
		return -1;
	if (epoll_ctl(w->epoll, EPOLL_CTL_ADD, mailbox_fd(w->in), &ev) < 0)
		return -1;
	errno = pthread_create(&w->thread, NULL, work, w);
	return errno ? -1 : 0;
}

static void release(struct worker *w)
{
	mailbox_free(w->in);
	if (w->epoll >= 0)
		close(w->epoll);
	free(w->due.v);
	cages_done(&w->cages);
	free(w);
}

struct worker *worker_new(unsigned number, uint64_t socket, const struct child_base *base, const struct cage_root *cages, struct mailbox *to)
{
	struct worker *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->base = base;
	cages_init(&w->cages, cages, number);
	w->to = to;
	w->socket = socket;
	w->orders_tail = &w->orders;
	TAILQ_INIT(&w->fresh);
	TAILQ_INIT(&w->unwatched);
	if (init(w) < 0) {
		int saved = errno;

		release(w);
		errno = saved;
		return NULL;
	}
	return w;
}

void worker_post(struct worker *w, struct note *n)
{
	if (n->kind == NOTE_START)
		atomic_fetch_add_explicit(&w->queued, 1, memory_order_relaxed);
	if (!mailbox_post(w->in, &n->mail))
		log_die("a worker's mailbox is bounded");
}

unsigned worker_queued(const struct worker *w)
{
	return atomic_load_explicit(&w->queued, memory_order_relaxed);
}

void worker_free(struct worker *w)
{
	struct note leave = {.kind = NOTE_LEAVE};

	if (!w)
		return;
	worker_post(w, &leave);
	pthread_join(w->thread, NULL);
	release(w);
}
