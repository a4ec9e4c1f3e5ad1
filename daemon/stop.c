/* SPDX-License-Identifier: MIT */
/*
 * Stop - an orderly end. Nothing depends on it: a kill -9 is as good, this is only kinder to those who wait.
 *
 * detach: no more work is taken or started, what is posted is committed, running jobs stay with the runner. drain: first waits for what
 * runs. kill: first cancels what runs. The loop ends when nothing is left to wait for; main releases the lock, then the calls are answered.
 */
#include <stdlib.h>

#include "log.h"
#include "rpc.h"

#define CALLS_MAX 16

struct stop {
	enum stop_mode mode;
	bool settling;
	struct call *calls[CALLS_MAX];
	size_t n_calls;
};

static void call_gone(void *arg, struct call *call)
{
	struct stop *s = arg;

	for (size_t i = 0; i < s->n_calls; i++)
		if (s->calls[i] == call)
			s->calls[i] = s->calls[--s->n_calls];
}

static void settled(struct store_op *op)
{
	struct engine *e = op->ctx;

	event_base_loopbreak(e->base);
}

void stop_check(struct engine *e)
{
	struct stop *s = e->stop;

	if (s && s->settling && store_is_stuck(e->store))
		event_base_loopbreak(e->base);  /* the runner keeps the ends; nobody was told of what else is given up */
	if (!s || s->settling || (s->mode != STOP_DETACH && e->n_running))
		return;
	s->settling = true;
	e->stopping = true;
	engine_settled(e, settled, NULL);
}

static void cancel_all(struct engine *e)
{
	for (uint32_t i = 0; i < e->n_runs_cap; i++)
		if (e->runs[i] && e->runs[i]->sched && !run_is_final(e->runs[i]) && e->runs[i]->n_running)
			control_terminate(e->runs[i], JT_STOP_NOW, WHY_CANCELLED);
}

void stop_request(struct engine *e, enum stop_mode mode, struct call *call)
{
	static const char *const names[] = { "running jobs stay with the runner", "waiting for running jobs", "cancelling running jobs" };

	if (!e->stop)
		e->stop = xcalloc(1, sizeof(*e->stop));
	if (call && e->stop->n_calls < CALLS_MAX) {
		e->stop->calls[e->stop->n_calls++] = call;
		call_on_abort(call, call_gone, e->stop);
	}
	log_info("stopping: %s", names[mode]);
	e->stop->mode = mode;
	e->draining = true;
	if (mode == STOP_KILL)
		cancel_all(e);
	engine_turn(e);
}

void stop_answer(struct engine *e)
{
	struct stop *s = e->stop;

	while (s && s->n_calls)
		call_reply(s->calls[--s->n_calls], json_pack("{s:I}", "running", (json_int_t)e->n_running));
}
