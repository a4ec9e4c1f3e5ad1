/* SPDX-License-Identifier: MIT */
/* Orders: see runner.h. Between jobd's messages and the workers' notes stands the table of attempts. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

#include "failpoint.h"
#include "log.h"
#include "runner.h"

/* The worker with the least to do; among equals in turn. */
static unsigned pick_worker(struct runner *r)
{
	unsigned best = r->next_worker;

	for (unsigned i = 0; i < r->n_workers; i++) {
		unsigned w = (r->next_worker + i) % r->n_workers;

		if (r->loads[w] < r->loads[best])
			best = w;
	}
	r->next_worker = (best + 1) % r->n_workers;
	return best;
}

unsigned orders_queued(const struct runner *r)
{
	unsigned n = 0;

	for (unsigned i = 0; i < r->n_workers; i++)
		n += worker_queued(r->workers[i]);
	return n;
}

static void refuse(struct runner *r, struct attempt *a, int code)
{
	order_free(a->order);
	a->order = NULL;
	a->end.how = RM_AGAIN;
	a->end.stage = RM_AT_FORK;
	a->end.code = code;
	a->end.ended_at_us = (int64_t)time(NULL) * 1000000;
	a->has_ended = true;
	kept_write(a->record, &a->end);
	report_news(r, a);
}

/* handover.pml: take_start. */
void orders_start(struct runner *r, struct rm_start *st)
{
	char token[SWEEP_TOKEN_MAX];
	struct order *o = order_new(st, sweep_token(&r->sweep, st->job, st->attempt, token));
	struct attempt *a;

	if (!o)
		log_die("no memory for an order");
	if (attempts_find(&r->attempts, st->job, st->attempt) && !MUTANT("no_fence_no_dedup")) {
		log_info("repeated start of run %" PRIu64 " job %" PRIu64 " attempt %" PRIu32 " dropped", st->job >> 32,
			 st->job & UINT32_MAX, st->attempt);
		order_free(o);
		return;
	}
	o->is_bound = r->peer->is_bound;
	a = attempts_add(&r->attempts, st, o);
	if (a->output_max)
		a->outputs = outputs_identify(o->fds);
	a->record = kept_take(&r->kept);
	if (r->stopping || st->fds_lost || r->n_running >= r->capacity) {
		refuse(r, a, r->stopping ? ESHUTDOWN : EMFILE);
		return;
	}
	a->worker = pick_worker(r);
	r->loads[a->worker]++;
	r->n_running++;
	r->n_live++;
	worker_post(r->workers[a->worker], &a->start);
}

static void post_kill(struct runner *r, struct attempt *a, enum rm_cause cause, uint32_t grace_ms)
{
	struct kill_note *k = malloc(sizeof(*k));

	if (!k)
		log_die("no memory for a kill");
	*k = (struct kill_note){.note = {.kind = NOTE_KILL, .about = a}, .cause = cause, .grace_ms = grace_ms};
	a->n_kills++;
	worker_post(r->workers[a->worker], &k->note);
}

/* Of something unknown: its end has been acknowledged, or it never came here. */
void orders_kill(struct runner *r, const struct rm_kill *k)
{
	struct attempt *a = attempts_find(&r->attempts, k->job, k->attempt);

	if (a && !a->has_ended)
		post_kill(r, a, RM_BY_KILL, k->grace_ms);
}

void orders_end_all(struct runner *r)
{
	struct attempt *a;

	LIST_FOREACH(a, &r->attempts.all, all_link)
		if (!a->has_ended)
			post_kill(r, a, RM_BY_KILL, a->grace_ms);
}

/* Its end is acknowledged and no note about it is under way. */
static void forget_if_done(struct runner *r, struct attempt *a)
{
	if (!a->acked || a->n_kills)
		return;
	report_forget(r, a);
	kept_give_back(&r->kept, a->record);
	attempts_remove(&r->attempts, a);
}

/* Only an end can be acknowledged: before it there is nothing that jobd could have committed. */
void orders_ack(struct runner *r, const struct rm_ack *ack)
{
	struct attempt *a = attempts_find(&r->attempts, ack->job, ack->attempt);

	if (!a || !a->has_ended)
		return;
	FAILPOINT("before_forget");
	a->acked = true;
	forget_if_done(r, a);
	FAILPOINT("after_forget");
}

static void note_started(struct runner *r, struct attempt *a)
{
	a->has_started = true;
	if (a->output_max)
		a->watched = outputs_watch(r->outputs, a->end.job, a->end.attempt, a->output_max, &a->outputs);
	report_news(r, a);
}

static void note_stuck(struct runner *r, const struct stuck_note *s)
{
	struct attempt *a = attempts_find(&r->attempts, s->job, s->attempt);

	if (a && !a->has_ended)
		post_kill(r, a, RM_BY_OUTPUT, a->output_max & RM_OUTPUT_WHOLE ? 0 : a->grace_ms);      /* else it could go on writing */
}

static void tell_end(struct runner *r, struct attempt *a)
{
	a->has_ended = true;
	r->n_running--;
	report_news(r, a);
}

/* Nothing of it runs any more; its outputs may have to be looked at once more. */
static void settle(struct runner *r, struct attempt *a)
{
	bool settles = outputs_forget(r->outputs, a->watched, &a->settled);

	a->watched = NULL;
	if (!settles)
		tell_end(r, a);
}

/* Whether nothing of it is left. */
static bool is_clean(struct runner *r, const struct attempt *a)
{
	struct sweep_job job = {.job = a->end.job, .attempt = a->end.attempt, .pid = a->end.pid, .alone = !r->n_live};

	return sweep_step(&r->sweep, &job) == 0;
}

static void note_ended(struct runner *r, struct attempt *a)
{
	r->loads[a->worker]--;
	r->n_live--;
	if (is_clean(r, a))
		settle(r, a);
	else
		TAILQ_INSERT_TAIL(&r->swept, a, sweep_link);
}

void orders_sweep(struct runner *r)
{
	struct attempt *a, *next;

	sweep_step(&r->sweep, NULL);
	for (a = TAILQ_FIRST(&r->swept); a; a = next) {
		next = TAILQ_NEXT(a, sweep_link);
		if (!is_clean(r, a))
			continue;
		TAILQ_REMOVE(&r->swept, a, sweep_link);
		settle(r, a);
	}
}

static void take_note(struct runner *r, struct note *n)
{
	struct attempt *a = n->about;

	switch (n->kind) {
	case NOTE_STARTED:
		note_started(r, a);
		break;
	case NOTE_ENDED:
		note_ended(r, a);
		break;
	case NOTE_KILL:
		free(n);
		a->n_kills--;
		forget_if_done(r, a);
		break;
	case NOTE_SETTLED:
		tell_end(r, a);
		break;
	case NOTE_STUCK:
		note_stuck(r, (struct stuck_note *)n);
		free(n);
		break;
	case NOTE_START:
	case NOTE_LEAVE:
		log_die("a note that no worker sends");
	}
}

void orders_mail(struct runner *r, struct source *s, uint32_t events)
{
	struct mail *next;

	(void)s;
	(void)events;
	for (struct mail *m = mailbox_take(r->box); m; m = next) {
		next = m->next;
		take_note(r, (struct note *)m);
	}
	peer_release(r);
}
