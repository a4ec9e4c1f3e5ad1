/* SPDX-License-Identifier: MIT */
/*
 * Slots - free slots go to runs, runs give jobs, jobs are armed and started.
 *
 * Fair between runs: a free slot goes to the run with the fewest running jobs among those with something to start and a slot of
 * their own; ties to the one served longest ago. Runs that may have something to start stand in a heap by just that key.
 * Within a run the order is the scheduler's. A job is picked when a slot is free; its start leaves when its ARM is durable and
 * every job picked before it in the run has left: an armed job never overtakes a smaller one that is still being armed.
 */
#include <errno.h>
#include <string.h>

#include "engine.h"
#include "log.h"
#include "map.h"

#define AHEAD_MIN 128           /* jobs armed ahead of the free slots: what ends while arms linger and are committed must find its
				   successor armed (15 jobs end in 5 ms) */
#define AHEAD_MAX 512

/* ---- the heap of runs --------------------------------------------------------------------------------------------- */

bool run_is_before(const struct run *a, const struct run *b)
{
	if (a->n_running != b->n_running)
		return a->n_running < b->n_running;
	return a->served != b->served ? a->served < b->served : a->id < b->id;
}

static void key_changed(struct run *r)
{
	if (r->heap_pos != SIZE_MAX)
		run_heap_fix(&r->e->wanting, NULL, r->heap_pos);
}

void run_wants(struct run *r)
{
	engine_turn(r->e);
	if (r->heap_pos == SIZE_MAX && run_heap_push(&r->e->wanting, NULL, r) < 0)
		log_die("out of memory");
}

void run_unwant(struct run *r)
{
	if (r->heap_pos == SIZE_MAX)
		return;
	run_heap_take(&r->e->wanting, NULL, r->heap_pos);
	r->heap_pos = SIZE_MAX;
}

void slot_taken(struct run *r)
{
	r->e->n_running++;
	r->n_running++;
	r->served = ++r->e->serve_count;
	key_changed(r);
}

void slot_freed(struct active *a)
{
	struct run *r = a->run;

	if (a->slot)
		map_slot_give(a);
	r->e->n_running--;
	r->n_running--;
	key_changed(r);
	run_wants(r);
}

/* ---- arming ------------------------------------------------------------------------------------------------------- */

static void spec_is_unreadable(struct active *a)
{
	struct rm_end end = { .job = JOB_ID(a->run->id, a->idx), .attempt = a->attempt, .how = RM_SPAWN, .code = EINVAL };

	a->state = A_SENT;
	outcome_batch(a->run->e, &end, 1);
}

static void armed(struct store_op *op)
{
	struct engine *e = op->ctx;
	struct active *a = active_find(e, op->id);

	if (!a || a->arming != op)
		return;         /* disarmed meanwhile, or armed anew: then that record counts */
	a->arming = NULL;
	a->state = A_ARMED;
	if (!active_parse(a, op->text, op->text_len)) {
		if (a->picked) {
			TAILQ_REMOVE(&a->run->picks, a, pick);
			spec_is_unreadable(a);
		}
		return;
	}
	if (a->picked)
		send_picks(a->run);
}

/* handover.pml: commit_intent. */
static void post_arm(struct active *a, bool urgent)
{
	struct engine *e = a->run->e;
	struct store_op *op = engine_op(e, ST_ARM, a->run);

	a->runner = e->runner_no;
	op->id = JOB_ID(a->run->id, a->idx);
	fill_state(a, &op->job, JT_STARTING);
	op->urgent = urgent;
	op->done = armed;
	a->arming = op;
	engine_post(e, op);
}

static struct active *arm(struct run *r, jt_job j, bool urgent)
{
	struct active *a = active_new(r, j, ++run_mem(r, j)->attempts, A_ARMING);

	post_arm(a, urgent);
	return a;
}

void disarm(struct active *a)
{
	run_mem(a->run, a->idx)->attempts--;
	a->run->n_ahead--;
	active_free(a);
}

void rearm(struct active *a)
{
	if (!a->picked) {
		disarm(a);
		return;
	}
	a->state = A_ARMING;
	post_arm(a, true);
}

/* Every turn of the loop asks for it, and looking at what is available costs: a map has few items, and nearly always all of them are armed. */
static void arm_ahead(struct run *r)
{
	uint32_t slots = r->slots < r->e->slots ? r->slots : r->e->slots, n_available = jt_sched_counts(r->sched)->n[JT_READY];
	uint32_t window = slots < (AHEAD_MAX - AHEAD_MIN) / 4 ? slots * 4 + AHEAD_MIN : AHEAD_MAX;
	jt_job next[AHEAD_MAX];
	size_t n;

	if (r->paused || r->n_ahead >= window / 2 || r->n_ahead >= n_available)
		return;
	n = jt_sched_peek(r->sched, next, window);
	for (size_t i = 0; i < n; i++)
		if (!(run_mem(r, next[i])->flags & JOB_NO_ARM) && !active_find(r->e, JOB_ID(r->id, next[i]))) {
			arm(r, next[i], false);
			r->n_ahead++;
		}
}

/* ---- picking and starting ----------------------------------------------------------------------------------------- */

/* handover.pml: send_start. */
void send_picks(struct run *r)
{
	struct active *a;

	while ((a = TAILQ_FIRST(&r->picks)) && a->state == A_ARMED) {
		if (!a->end_reason && launch(a) < 0 && (errno == EAGAIN || errno == ENOTCONN))
			return;
		TAILQ_REMOVE(&r->picks, a, pick);
		if (a->end_reason)
			outcome_cancelled(a);
	}
}

void send_all_picks(struct engine *e)
{
	for (uint32_t i = 0; i < e->n_runs_cap; i++)
		if (e->runs[i] && !TAILQ_EMPTY(&e->runs[i]->picks))
			send_picks(e->runs[i]);
}

static void nothing(struct store_op *op)
{
	(void)op;
}

static void pick(struct run *r, jt_job j)
{
	struct engine *e = r->e;
	struct active *a = active_find(e, JOB_ID(r->id, j));
	struct jt_error err;

	if (jt_sched_start(r->sched, j, now_ns(), &err) < 0) {
		log_error("run %u: %s", r->id, err.text);
		abort();
	}
	slot_taken(r);
	if (!a) {
		a = arm(r, j, true);
	} else {
		r->n_ahead--;
		if (a->state == A_ARMING)
			engine_settled(e, nothing, NULL);       /* a slot waits for it now */
	}
	a->picked = true;
	TAILQ_INSERT_TAIL(&r->picks, a, pick);
	send_picks(r);
}

static void timer_due(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	run_wants(arg);
}

static void ask_again_at(struct run *r, int64_t at_ns)
{
	int64_t wait_us = (at_ns - now_ns() + 999) / 1000;
	struct timeval tv;

	if (at_ns == JT_NEVER)
		return;
	if (wait_us < 0)
		wait_us = 0;
	tv = (struct timeval){ wait_us / 1000000, wait_us % 1000000 };
	if (!r->timer)
		r->timer = xtimer(r->e->base, timer_due, r);
	event_add(r->timer, &tv);
}

static bool pick_from(struct run *r)
{
	int64_t now = now_ns(), at = r->refused.until_ns;
	jt_job j = JT_NONE;

	if (at <= now) {
		at = JT_NEVER;
		j = jt_sched_next(r->sched, now, &at);
	}
	if (j != JT_NONE && r->map)
		j = map_may_start(r->map, j);
	if (j == JT_NONE) {
		ask_again_at(r, at);
		arm_ahead(r);
		return false;
	}
	pick(r, j);
	return true;
}

void slots_fill(struct engine *e)
{
	struct run *touched[64];
	size_t n = 0;

	if (!e->ready || e->draining || e->stopping || e->dispatching || health_holds_starts(e))
		return;
	e->dispatching = true;
	while (e->wanting.n && e->n_running < e->slots && !health_holds_starts(e)) {
		struct run *r = e->wanting.v[0];

		if (!pick_from(r))
			run_unwant(r);
		else if (n < 64 && (n == 0 || touched[n - 1] != r))
			touched[n++] = r;
	}
	for (size_t i = 0; i < n; i++)
		if (touched[i]->sched && !run_is_final(touched[i]))
			arm_ahead(touched[i]);
	e->dispatching = false;
}
