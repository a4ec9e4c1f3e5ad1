/* SPDX-License-Identifier: MIT */
/*
 * Recover - what a start finds: the runs that had not ended, and what the runner knows of their attempts.
 *
 * Decided only from the runner's inventory (rule 4; handover.pml: recover), by job, attempt and incarnation:
 *
 *   in the inventory, running           adopted: RUNNING
 *   in the inventory, ended             its end is handled as any other; acknowledged once recorded. It may have been armed for
 *                                       another incarnation, which kept the end and died before it was acknowledged
 *   not in it, armed for this runner    the order never reached it: back to available, same attempt number
 *   not in it, armed for another one    lost: that incarnation's jobs are dead (rule 7); on_lost decides
 *   in it, unknown to us                kept there, and said (rule 6)
 */
#include <stdlib.h>
#include <string.h>

#include "engine.h"
#include "failpoint.h"
#include "log.h"
#include "map.h"

/* ---- runs ---------------------------------------------------------------------------------------------------------- */

static void take_run(void *arg, struct store_run *sr)
{
	struct engine *e = arg;
	struct run *r = run_new(e, sr->run);

	r->name = sr->name;
	r->key = sr->key;
	r->options = sr->options;
	r->hash = (struct spec_hash){ sr->hash[0], sr->hash[1] };
	r->uid = sr->uid;
	r->gid = sr->gid;
	r->state = (enum run_state)sr->state;
	r->stream = sr->stream;
	r->sealed = sr->sealed;
	r->stopped = sr->stopped;
	r->stop_why = (enum jt_stop_why)sr->stop_why;
	r->paused = sr->paused;
	r->n_jobs = sr->n_jobs;
	r->submitted_at_us = sr->submitted_at_us;
	r->started_at_us = sr->started_at_us;
	r->ended_at_us = sr->ended_at_us;
	memcpy(r->counts, sr->counts, sizeof(r->counts));
	r->ended_noted = run_is_final(r);
	r->is_map = r->options && strncmp(r->options, "{\"map\":", 7) == 0;
	run_index(r);
}

int recover(struct engine *e, struct store_error *err)
{
	struct store_heads heads;

	FAILPOINT("before_recover");
	if (store_load_heads(e->store, &heads, err) < 0 || store_forget_bulks(e->store, err) < 0)
		return -1;
	e->next_run = heads.next_run;
	e->last_seq = heads.last_seq;
	return store_load_runs(e->store, take_run, e, err);
}

/* Second half, when the store's thread is not yet started but operations may be posted: the jobs of the runs that live. */
int recover_jobs(struct engine *e, struct store_error *err)
{
	uint32_t n = 0;

	FAILPOINT("after_recover_runs");
	for (uint32_t i = 0; i < e->n_runs_cap; i++) {
		struct run *r = e->runs[i];

		if (!r || run_is_final(r))
			continue;
		if (run_load_now(r, err) < 0 || (r->is_map && map_recover(r, err) < 0))
			return -1;
		quota_recharge(r);
		n++;
	}
	FAILPOINT("after_recover_jobs");
	if (n)
		log_info("recovered %u runs that had not ended; %u of their jobs had begun", n, e->n_running);
	return 0;
}

/* ---- the inventory -------------------------------------------------------------------------------------------------- */

struct inventory {
	struct engine *e;
	uint64_t no;
	struct rm_end *v;
	size_t n;
};

/* Its KILL may have been lost with a connection, or with the jobd that sent it; the runner takes a second one for the first. */
static void kill_again(const struct active *a)
{
	if (a->killed && a->state == A_RUNNING)
		runner_link_kill(a->run->e->link, JOB_ID(a->run->id, a->idx), a->attempt, a->spec ? (uint32_t)a->spec->grace_ms : 10000);
}

static void spec_read(struct store_op *op)
{
	struct engine *e = op->ctx;
	struct active *a = active_find(e, op->id);

	if (!a || a->spec)
		return;
	active_parse(a, op->text, op->text_len);
	kill_again(a);
	outcome_todo(a);
}

static void read_spec(struct active *a)
{
	struct engine *e = a->run->e;
	struct store_op *op = engine_op(e, ST_GET_JOB, a->run);

	op->id = JOB_ID(a->run->id, a->idx);
	op->urgent = true;
	op->done = spec_read;
	engine_post(e, op);
}

static void adopt(struct active *a, const struct rm_end *inv)
{
	struct jt_error err;

	a->seen = true;
	if (inv->how != RM_RUNNING)
		return;         /* its end comes with the batch */
	if (a->state != A_RUNNING)
		jt_sched_running(a->run->sched, a->idx, &err);
	a->state = A_RUNNING;
	if (inv->pid) {         /* else it may have been told since: outcome_started */
		a->pid = inv->pid;
		a->started_at_us = inv->started_at_us;
	}
	if (!a->run->started_at_us)
		a->run->started_at_us = a->started_at_us;
	if (a->run->map)
		map_item_adopted(a);
	if (a->spec)
		kill_again(a);
	else
		read_spec(a);
}

static void missing(struct active *a)
{
	if (a->state == A_ARMING || a->state == A_ARMED) {
		if (a->runner != a->run->e->runner_no)
			rearm(a);
	} else if (a->runner == a->run->e->runner_no) {
		outcome_unstarted(a);
	} else if (a->spec) {
		outcome_lost(a);
	} else if (!a->todo) {
		a->todo = TODO_LOST;
		read_spec(a);
	}
}

static void mark_seen(struct engine *e, const struct inventory *inv)
{
	for (size_t i = 0; i < inv->n; i++) {
		struct active *a = active_find_attempt(e, inv->v[i].job, inv->v[i].attempt);

		if (a && a->state != A_ENDING)
			adopt(a, &inv->v[i]);
		else if (!a && inv->v[i].how == RM_RUNNING)
			log_warn("runner: run %u, job %u, attempt %u runs and is not ours; it is left alone", JOB_RUN(inv->v[i].job),
				 JOB_IDX(inv->v[i].job), inv->v[i].attempt);
	}
}

/* The table changes while it is walked: take down first who is missing. */
static void settle_missing(struct engine *e)
{
	struct active **v = xcalloc(e->n_active + 1, sizeof(*v));
	size_t n = 0;

	for (size_t i = 0; e->active && i <= e->active_mask; i++)
		for (struct active *a = e->active[i]; a; a = a->next) {
			if (!a->seen && a->state != A_ENDING)
				v[n++] = a;
			a->seen = false;
		}
	for (size_t i = 0; i < n; i++)
		missing(v[i]);
	free(v);
}

static void settle_ended(struct engine *e, struct inventory *inv)
{
	size_t n = 0;

	for (size_t i = 0; i < inv->n; i++)
		if (inv->v[i].how != RM_RUNNING)
			inv->v[n++] = inv->v[i];
	for (size_t i = 0; i < n; i++) {
		struct active *a = active_find_attempt(e, inv->v[i].job, inv->v[i].attempt);

		if (a && a->state != A_ENDING && !a->spec)
			read_spec(a);
	}
	outcome_batch(e, inv->v, n);
}

static void want_all(struct engine *e)
{
	for (uint32_t i = 0; i < e->n_runs_cap; i++)
		if (e->runs[i] && e->runs[i]->sched && !run_is_final(e->runs[i]) && e->runs[i]->state != RUN_BULK) {
			run_wants(e->runs[i]);
			run_check_end(e->runs[i]);
		}
}

void engine_limit_slots(struct engine *e)
{
	uint32_t capacity = runner_link_capacity(e->link);

	e->slots = capacity && e->conf.slots > capacity ? capacity : e->conf.slots;
}

static void known(struct store_op *op)
{
	struct inventory *inv = op->arg;
	struct engine *e = inv->e;

	FAILPOINT("before_recover_inventory");
	if (MUTANT("ignore_inventory"))
		inv->n = inv->n > 0;     /* but for its first entry */
	if (runner_link_is_up(e->link) && inv->no == e->n_inventories) {        /* else the connection has gone; the next one tells */
		e->runner_no = (uint32_t)op->n;
		engine_limit_slots(e);
		e->ready = true;
		mark_seen(e, inv);
		settle_missing(e);
		FAILPOINT("after_recover_missing");
		settle_ended(e, inv);
		FAILPOINT("after_recover_inventory");
		send_all_picks(e);
		want_all(e);
		engine_turn(e);
	}
	free(inv->v);
	free(inv);
}

void recover_inventory(struct engine *e, const struct rm_welcome *w, struct rm_end *v, size_t n)
{
	struct inventory *inv = xcalloc(1, sizeof(*inv));
	struct store_op *op = engine_op(e, ST_RUNNER_NEW, NULL);

	inv->e = e;
	inv->no = ++e->n_inventories;
	inv->v = xcalloc(n + 1, sizeof(*v));
	if (n)
		memcpy(inv->v, v, n * sizeof(*v));
	inv->n = n;
	memcpy(op->runner_id, w->runner_id, sizeof(op->runner_id));
	memcpy(op->boot_id, w->boot_id, sizeof(op->boot_id));
	op->urgent = true;
	op->done = known;
	op->arg = inv;
	engine_post(e, op);
}
