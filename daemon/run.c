/* SPDX-License-Identifier: MIT */
/*
 * Run - the parts of a run that are in memory only while it lives or is looked at: its scheduler, built from a submission or
 * from the store; its deadline; and which ended runs are kept in memory.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine.h"
#include "log.h"

#define LRU_RUNS 256
#define LRU_JOBS 2000000

/* ---- the scheduler ------------------------------------------------------------------------------------------------- */

static int64_t interval_of(void *arg, jt_job j)
{
	(void)j;
	return ((struct run *)arg)->interval_ns;
}

static uint32_t n_cpus(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	return n < 1 ? 1 : (uint32_t)n;
}

int run_make_sched(struct run *r, struct jt_error *err)
{
	const struct spec_run *s = r->spec;
	struct jt_opts o = {
		.barrier = s->barrier, .order = s->order, .mode = r->stream ? JT_STREAM : JT_BULK, .jitter_ns = s->jitter_ms * INT64_C(1000000),
		.seed = (uint64_t)r->submitted_at_us ^ r->id,
	};

	r->slots = s->workers ? s->workers : n_cpus();
	o.slots = r->slots;
	r->interval_ns = s->interval_ms * INT64_C(1000000);
	if (s->interval_ms || s->period_ms || s->map) {
		o.interval = interval_of;
		o.interval_arg = r;
	}
	r->sched = jt_sched_new(&o, err);
	return r->sched ? 0 : -1;
}

/* A work period is spread over the jobs that there are when the run begins. */
void run_set_period(struct run *r)
{
	if (r->spec->period_ms && r->n_jobs)
		r->interval_ns = r->spec->period_ms * INT64_C(1000000) / r->n_jobs;
}

/* ---- the deadline -------------------------------------------------------------------------------------------------- */

static void deadline_passed(evutil_socket_t fd, short what, void *arg)
{
	struct run *r = arg;

	(void)fd, (void)what;
	if (run_is_final(r) || r->stopped)
		return;
	log_info("run %u: its deadline has passed", r->id);
	control_stop_run(r, JT_STOP, JT_STOP_FAIL);
	run_check_end(r);
	engine_turn(r->e);
}

/* What is left of a wait of `all_us` that ends at `due_at_us`, which another life of jobd wrote down by a wall clock that may have been set since. */
static int64_t left_of(int64_t due_at_us, int64_t now_at_us, int64_t all_us)
{
	int64_t left_us = due_at_us - now_at_us;

	return left_us < 0 ? 0 : left_us < all_us ? left_us : all_us;
}

void run_set_deadline(struct run *r)
{
	int64_t all_us = r->spec->deadline_ms * 1000, left_us = left_of(r->submitted_at_us + all_us, now_us(), all_us);
	struct timeval tv;

	if (!r->spec->deadline_ms || r->stopped)
		return;
	tv = (struct timeval){ left_us / 1000000, left_us % 1000000 };
	if (!r->deadline)
		r->deadline = xtimer(r->e->base, deadline_passed, r);
	event_add(r->deadline, &tv);
}

/* ---- loading from the store ---------------------------------------------------------------------------------------- */

/* What is being built while the store reads; nothing of it is shared until it is complete. */
struct loading {
	struct run *run;
	struct jt_sched *sched;
	struct job_mem *mem;
	size_t n, cap;
	struct was { jt_job idx; struct store_job_state job; } *was;    /* jobs that do more than wait */
	size_t n_was, was_cap;
	char **dirs;
	size_t n_dirs;
	int64_t now_ns, now_us;
	struct jt_error err;
	bool failed;
	uint64_t spec_bytes;
};

static const char **after_list(const struct store_load_row *row, size_t *ret_n)
{
	const char **v;
	size_t n = 0;

	for (size_t i = 0; i < row->after_len; i++)
		n += row->after[i] == '\0';
	v = xcalloc(n + 1, sizeof(*v));
	*ret_n = n;
	n = 0;
	for (const char *p = row->after; n < *ret_n; p += strlen(p) + 1)
		v[n++] = p;
	return v;
}

static void note_state(struct loading *l, const struct store_load_row *row)
{
	if (row->job.state == JT_WAITING)
		return;
	if (l->n_was == l->was_cap) {
		l->was_cap = l->was_cap ? l->was_cap * 2 : 64;
		l->was = xrealloc(l->was, l->was_cap * sizeof(*l->was));
	}
	l->was[l->n_was++] = (struct was){ row->idx, row->job };
}

/* Once all jobs are added: how they stood. */
static void restore_states(struct loading *l)
{
	static const enum jt_reason why[WHY_N] = { [WHY_CANCELLED] = JT_CANCEL, [WHY_UPSTREAM] = JT_UPSTREAM, [WHY_NOT_NEEDED] = JT_NOT_NEEDED,
						   [WHY_STOPPED] = JT_STOPPED };

	for (size_t i = 0; i < l->n_was && !l->failed; i++) {
		const struct store_job_state *js = &l->was[i].job;
		struct jt_restore rs = {
			.state = (enum jt_state)js->state, .reason = js->reason < WHY_N ? why[js->reason] : JT_BY_ITSELF, .cause = js->cause,
			.end = { (enum jt_state)js->state, js->goes_on, js->fails_run, false },
			.due_ns = js->due_at_us ? l->now_ns + left_of(js->due_at_us, l->now_us, js->due_at_us - js->ended_at_us) * 1000 : 0,
		};

		l->failed = jt_sched_restore(l->sched, l->was[i].idx, &rs, &l->err) < 0;
	}
}

unsigned job_flags(enum jt_when when, bool no_arm)
{
	return (no_arm ? JOB_NO_ARM : 0) | (when == JT_ON_FINISHED ? JOB_FINISHED : 0);
}

static void load_mem(struct loading *l, const struct store_load_row *row)
{
	int64_t budget_ms = (row->job.budget_at_us - l->run->submitted_at_us) / 1000;

	if (row->idx >= l->cap) {
		l->cap = l->cap ? l->cap * 2 : 1024;
		l->mem = xrealloc(l->mem, l->cap * sizeof(*l->mem));
	}
	l->mem[row->idx] = (struct job_mem){
		.attempts = row->job.attempts, .n_failed = row->job.n_failed, .n_lost = row->job.n_lost & 0xffffff,
		.flags = job_flags((enum jt_when)(row->when & ~STORED_NO_ARM), row->when & STORED_NO_ARM),
		.budget_ms = row->job.budget_at_us ? budget_ms < 1 ? 1 : (uint32_t)budget_ms : 0,
	};
	l->n = row->idx + 1;
}

static void load_row(struct store_op *op, const struct store_load_row *row)
{
	struct loading *l = op->arg;
	size_t n_after = 0;
	const char **after = row->after_len ? after_list(row, &n_after) : NULL;
	struct jt_spec s = { .path = row->path, .path_len = row->path_len, .priority = row->priority,
			     .when = (enum jt_when)(row->when & ~STORED_NO_ARM), .after = after, .n_after = n_after };
	jt_job j;

	if (!l->failed && jt_sched_add(l->sched, &s, 1, &j, NULL, &l->err) < 0)
		l->failed = true;
	free(after);
	if (l->failed)
		return;
	load_mem(l, row);
	l->spec_bytes += row->path_len + row->after_len + row->spec_len;
	note_state(l, row);
}

static void load_dir(struct store_op *op, const char *path)
{
	struct loading *l = op->arg;

	l->dirs = xrealloc(l->dirs, (l->n_dirs + 1) * sizeof(*l->dirs));
	l->dirs[l->n_dirs++] = xstrdup(path);
}

static struct loading *loading_new(struct run *r, struct store_op *op)
{
	struct loading *l = xcalloc(1, sizeof(*l));
	struct spec_error err;

	l->run = r;
	l->now_ns = now_ns();
	l->now_us = now_us();
	if (run_read_options(r, &err) < 0) {
		log_error("run %u: its stored options are unreadable: %s", r->id, err.text);
		l->failed = true;
	} else if (run_make_sched(r, &l->err) < 0) {
		l->failed = true;
	}
	l->sched = r->sched;
	r->sched = NULL;
	op->arg = l;
	op->row = load_row;
	op->dir = load_dir;
	op->run.run = r->id;
	return l;
}

/* The jobs that had begun: they hold slots, and wait for what the runner says of them. */
static void adopt_begun(struct run *r, const struct loading *l)
{
	for (size_t i = 0; i < l->n_was; i++) {
		const struct store_job_state *js = &l->was[i].job;
		struct active *a;

		if (js->state != JT_STARTING && js->state != JT_RUNNING)
			continue;
		a = active_new(r, l->was[i].idx, js->attempts, A_RECOVERED);
		a->runner = js->runner;
		a->end_reason = js->reason;
		a->killed = a->end_reason != 0;
		a->picked = true;
		r->n_running++;
		r->e->n_running++;
	}
}

static int begin_loaded(struct run *r, struct loading *l)
{
	struct jt_changes ch = { 0 };

	restore_states(l);
	if (l->failed)
		return -1;
	r->sched = l->sched;
	r->mem = l->mem;
	r->mem_cap = l->cap;
	r->n_jobs = (uint32_t)l->n;
	r->spec_bytes = l->spec_bytes;
	l->mem = NULL;
	l->sched = NULL;
	run_set_period(r);
	if (jt_sched_begin(r->sched, &ch, &l->err) < 0) {
		jt_changes_done(&ch);
		return -1;
	}
	for (size_t i = 0; i < l->n_dirs; i++)
		jt_sched_seal(r->sched, l->dirs[i], strlen(l->dirs[i]), &ch, &l->err);
	if (r->stream && r->sealed)
		jt_sched_seal(r->sched, NULL, 0, &ch, &l->err);
	if (!run_is_final(r)) {
		adopt_begun(r, l);
		jt_sched_pause(r->sched, r->paused);
		outcome_changes(r, &ch);
		if (r->stopped)
			control_stop_run(r, (enum jt_stop)(r->stopped - 1), r->stop_why);
		run_set_deadline(r);
	}
	jt_changes_done(&ch);
	return 0;
}

static void loading_free(struct loading *l)
{
	for (size_t i = 0; i < l->n_dirs; i++)
		free(l->dirs[i]);
	free(l->dirs);
	free(l->was);
	free(l->mem);
	jt_sched_free(l->sched);
	free(l);
}

int run_load_now(struct run *r, struct store_error *err)
{
	struct store_op *op = store_op_new(ST_LOAD_JOBS);
	struct loading *l = loading_new(r, op);
	int rc = -1;

	if (!l->failed && store_load_jobs(r->e->store, op, err) == 0) {
		rc = begin_loaded(r, l);
		if (rc < 0)
			snprintf(err->text, sizeof(err->text), "run %u: %.400s", r->id, l->err.text);
	}
	loading_free(l);
	store_op_free(op);
	return rc;
}

/* ---- loading on demand --------------------------------------------------------------------------------------------- */

struct loading_call {
	void (*fn)(void *arg, struct run *r);
	void *arg;
	TAILQ_ENTRY(loading_call) entry;
};

static void loaded(struct store_op *op)
{
	struct loading *l = op->arg;
	struct run *r = l->run;
	struct loading_call *c;

	r->loading = false;
	if (*op->error) {
		snprintf(l->err.text, sizeof(l->err.text), "%s", op->error);
		l->failed = true;
	}
	if (begin_loaded(r, l) < 0) {
		log_error("run %u: cannot be read again: %s", r->id, l->err.text);
		run_unload(r);
	} else {
		run_retire(r);
	}
	loading_free(l);
	while ((c = TAILQ_FIRST(&r->loaders))) {
		TAILQ_REMOVE(&r->loaders, c, entry);
		c->fn(c->arg, r);
		free(c);
	}
}

void run_with_sched(struct run *r, void (*fn)(void *arg, struct run *r), void *arg)
{
	struct loading_call *c;
	struct store_op *op;

	if (r->sched || r->removing) {
		if (r->in_lru) {        /* used again: last to go */
			TAILQ_REMOVE(&r->e->lru, r, lru);
			TAILQ_INSERT_TAIL(&r->e->lru, r, lru);
		}
		fn(arg, r);
		return;
	}
	c = xcalloc(1, sizeof(*c));
	*c = (struct loading_call){ .fn = fn, .arg = arg };
	TAILQ_INSERT_TAIL(&r->loaders, c, entry);
	if (r->loading)
		return;
	r->loading = true;
	op = engine_op(r->e, ST_LOAD_JOBS, r);
	loading_new(r, op);
	op->urgent = true;
	op->done = loaded;
	engine_post(r->e, op);
}

/* ---- ended runs in memory ------------------------------------------------------------------------------------------ */

void run_use(struct run *r)
{
	r->n_users++;
}

void run_unuse(struct engine *e, uint32_t run)
{
	struct run *r = engine_run(e, run);

	if (r)
		r->n_users--;
}

static bool is_busy(const struct run *r)
{
	return r->loading || r->n_users || !LIST_EMPTY(&r->waiters) || !TAILQ_EMPTY(&r->picks) || r->n_ahead || r->n_ending;
}

void run_retire(struct run *r)
{
	struct engine *e = r->e;
	struct run *old, *next;

	if (r->in_lru || !r->sched || !run_is_final(r))
		return;
	TAILQ_INSERT_TAIL(&e->lru, r, lru);
	r->in_lru = true;
	e->lru_jobs += r->n_jobs;
	e->lru_runs++;
	for (old = TAILQ_FIRST(&e->lru); old && old != r && (e->lru_runs > LRU_RUNS || e->lru_jobs > LRU_JOBS); old = next) {
		next = TAILQ_NEXT(old, lru);
		if (!is_busy(old))
			run_unload(old);
	}
}

void run_unretire(struct run *r)
{
	if (!r->in_lru)
		return;
	TAILQ_REMOVE(&r->e->lru, r, lru);
	r->in_lru = false;
	r->e->lru_jobs -= r->n_jobs;
	r->e->lru_runs--;
}
