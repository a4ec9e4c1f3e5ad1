/* SPDX-License-Identifier: MIT */
/* RPC - Explain: why a run or a job is as it is, step by step, down to the root cause. */
#include <stdlib.h>
#include <string.h>

#include "map.h"
#include "rpc.h"

struct explain_params {
	const char *run, *path;
};
static const struct field explain_fields[] = {
	FIELD_STRING("run", struct explain_params, run, 1, 255, FIELD_REQUIRED),
	FIELD_STRING("path", struct explain_params, path, 1, JT_PATH_MAX, 0),
	FIELD_END
};

#define STEPS_MAX 24
#define NAMES_BYTES 4096

struct step {
	jt_job job;
	enum jt_state state;
	struct jt_why why;
	size_t row;                     /* index of the job's row among those that were asked for */
	size_t rows[JT_WHY_JOBS];       /* of why.jobs */
};

struct explain {
	struct call *call;
	struct engine *e;
	struct run *run;
	size_t n;
	struct step steps[STEPS_MAX];
};

static void explain_aborted(void *arg, struct call *call)
{
	(void)call;
	((struct explain *)arg)->call = NULL;
}

static const char *path_of(const struct explain *x, jt_job j)
{
	return jt_job_path(x->run->sched, j, NULL);
}

/* Which job to explain after this one: what it waits for, or what caused its skip. JT_NONE: it is the root. */
static jt_job next_of(struct explain *x, const struct step *st)
{
	struct jt_end end;
	enum jt_reason why;
	jt_job cause;

	if (st->state == JT_SKIPPED) {
		jt_job_end(x->run->sched, st->job, &end, &why, &cause);
		return why == JT_UPSTREAM ? cause : JT_NONE;
	}
	if (st->why.what == JT_WAITS_PARENT || st->why.what == JT_WAITS_BARRIER || st->why.what == JT_WAITS_AFTER || st->why.what == JT_WAITS_WHEN)
		return st->why.n_jobs ? st->why.jobs[0] : JT_NONE;
	return JT_NONE;
}

static size_t ask_row(struct store_op *op, const struct explain *x, jt_job j)
{
	op->ids[op->n_ids] = JOB_ID(x->run->id, j);
	return op->n_ids++;
}

/* Names of up to NAMES_BYTES, one in any case; the others are counted. */
static void look_at(const struct explain *x, struct step *st)
{
	size_t i, len, bytes = 0;

	jt_sched_why(x->run->sched, st->job, &st->why);
	if (st->why.what == JT_WAITS_PACE && st->why.at_ns <= now_ns())
		st->why.what = JT_WAITS_SLOT;   /* its time has come */
	for (i = 0; i < st->why.n_jobs && (i == 0 || bytes < NAMES_BYTES); i++) {
		jt_job_path(x->run->sched, st->why.jobs[i], &len);
		bytes += len;
	}
	st->why.n_jobs = i;
}

static void walk(struct explain *x, jt_job j, struct store_op *op)
{
	while (j != JT_NONE && x->n < STEPS_MAX) {
		struct step *st = &x->steps[x->n++];

		st->job = j;
		st->state = jt_job_state(x->run->sched, j);
		st->row = ask_row(op, x, j);
		look_at(x, st);
		for (size_t i = 0; i < st->why.n_jobs; i++)
			st->rows[i] = ask_row(op, x, st->why.jobs[i]);
		j = next_of(x, st);
	}
}

/* What a state says about an exit status. */
static const char *exit_words(enum jt_state state)
{
	switch (state) {
	case JT_SOK:
		return "ended as ok";
	case JT_WARNED:
		return "failed, and its on_error lets the run go on (warned)";
	case JT_SKIPPED:
		return "ended as skipped (skip_exit, or on_error: skip), and what is below it with it";
	default:
		return jt_state_name(state);
	}
}

/* Skipped by no job: the run as a whole came to its end before. */
static json_t *stopped_text(const struct explain *x, const char *path, const struct store_job_state *js)
{
	const char *how = x->run->state == RUN_CANCELLED ? "cancelled" : "stopped (`on_error: stop`, or its deadline_s passed)";

	return json_sprintf("\"%s\" %s: run %u was %s", path, js->attempts ? "did not run to its end" : "was never started", x->run->id, how);
}

/* "failed: exit status 3 after 2 attempts" */
static json_t *end_text(const struct explain *x, const struct step *st, const struct store_job_state *js)
{
	const char *path = path_of(x, st->job);
	char tries[48] = "";

	if (js->attempts > 1)
		snprintf(tries, sizeof(tries), " after %u attempts", js->attempts);
	switch ((enum job_reason)js->reason) {
	case WHY_EXIT:
		return json_sprintf("\"%s\" %s: exit status %d%s", path, exit_words((enum jt_state)js->state), js->exit_code, tries);
	case WHY_SIGNAL:
		return json_sprintf("\"%s\" %s: killed by signal %d (%s)%s", path, jt_state_name((enum jt_state)js->state), js->signal,
				    strsignal(js->signal), tries);
	case WHY_TIMEOUT:
		return json_sprintf("\"%s\" %s: it ran longer than its timeout%s", path, jt_state_name((enum jt_state)js->state), tries);
	case WHY_SPAWN:
		return json_sprintf("\"%s\" %s: it could not be started%s", path, jt_state_name((enum jt_state)js->state), tries);
	case WHY_CANCELLED:
		return json_sprintf("\"%s\" was cancelled", path);
	case WHY_STOPPED:
		return stopped_text(x, path, js);
	case WHY_NOT_NEEDED:
		return json_sprintf("\"%s\" was not needed: what it waits for ended otherwise than its `when` asks", path);
	case WHY_LOST:
		return json_sprintf("\"%s\" was lost: nobody saw how its last attempt ended%s", path, tries);
	case WHY_UPSTREAM:
		return json_sprintf("\"%s\" was skipped because of \"%s\"", path, js->cause == JT_NONE ? "?" : path_of(x, js->cause));
	default:
		return json_sprintf("\"%s\" ended as %s", path, jt_state_name((enum jt_state)js->state));
	}
}

static json_t *due_json(int64_t at_ns)
{
	return json_time(now_us() + (at_ns - now_ns()) / 1000);
}

static double seconds_until(int64_t at_ns)
{
	int64_t left = at_ns - now_ns();

	return left > 0 ? (double)left / 1e9 : 0;
}

static json_t *names(const struct explain *x, const struct step *st)
{
	json_t *v = json_array();

	for (size_t i = 0; i < st->why.n_jobs; i++)
		json_array_append_new(v, json_string(path_of(x, st->why.jobs[i])));
	return v;
}

/* "a/x (running), a/y (waiting) and 3 more" */
static char *listed(const struct explain *x, const struct step *st)
{
	size_t cap = 256, len = 0;
	char *text = xcalloc(1, cap);

	for (size_t i = 0; i < st->why.n_jobs; i++) {
		const char *path = path_of(x, st->why.jobs[i]);
		size_t need = strlen(path) + 48;

		if (len + need > cap)
			text = xrealloc(text, cap = (len + need) * 2);
		len += (size_t)snprintf(text + len, cap - len, "%s\"%s\" (%s)", i ? ", " : "", path,
					jt_state_name(jt_job_state(x->run->sched, st->why.jobs[i])));
	}
	if (st->why.n_open > st->why.n_jobs && cap - len > 32)
		snprintf(text + len, cap - len, " and %u more", st->why.n_open - (uint32_t)st->why.n_jobs);
	return text;
}

/* What is to be sealed is the folder of a barrier ("p/~"), or what is waited for with all below it ("p/"): both times what stands before
 * the last slash. */
static json_t *seal_text(const struct explain *x, const struct step *st)
{
	const char *path = path_of(x, st->job), *slash = strrchr(st->why.dir, '/');
	uint32_t id = x->run->id;

	if (!slash)
		return json_sprintf("\"%s\" waits until the run is sealed, as jobs may still be added: `jobctl seal %u` ends that", path, id);
	return json_sprintf("\"%s\" waits until \"%.*s\" is sealed, as jobs may still be added there: `jobctl seal %u/%.*s` ends that, or "
			    "`jobctl seal %u`", path, (int)(slash - st->why.dir), st->why.dir, id, (int)(slash - st->why.dir), st->why.dir, id);
}

/* Held by the daemon, not by a person: an attempt nobody saw end is not repeated unasked. */
static json_t *lost_text(const struct explain *x, const struct step *st, const struct store_job_state *js)
{
	const char *path = path_of(x, st->job);

	return json_sprintf("\"%s\" is held because nobody saw how its last attempt ended (lost %u time%s; see on_lost, lost_max): if it may run "
			    "again, `jobctl release %u/%s`", path, js->n_lost, js->n_lost == 1 ? "" : "s", x->run->id, path);
}

static json_t *wait_text(const struct explain *x, const struct step *st)
{
	const char *path = path_of(x, st->job);
	char *list = listed(x, st);
	json_t *text = NULL;

	switch (st->why.what) {
	case JT_WAITS_PARENT:
		text = json_sprintf("\"%s\" waits for its parent %s", path, list);
		break;
	case JT_WAITS_BARRIER:
		text = json_sprintf("\"%s\" waits behind the barrier \"%s\", kept shut by %s", path, st->why.dir, list);
		break;
	case JT_WAITS_AFTER:
		text = json_sprintf("\"%s\" waits after \"%s\": %s", path, st->why.dir, list);
		break;
	case JT_WAITS_WHEN:
		text = json_sprintf("\"%s\" is judged when all that it waits for has ended: %s", path, list);
		break;
	case JT_WAITS_HELD:
		text = json_sprintf("\"%s\" is held: `jobctl release %u/%s` lets it go", path, x->run->id, path);
		break;
	case JT_WAITS_BACKOFF:
		text = json_sprintf("\"%s\" waits for its retry, due in %.1f s", path, seconds_until(st->why.at_ns));
		break;
	case JT_WAITS_PACE:
		text = json_sprintf("\"%s\" is next: the run's pacing lets it start in %.1f s", path, seconds_until(st->why.at_ns));
		break;
	case JT_WAITS_PAUSED:
		text = json_sprintf("\"%s\" could start, but run %u is paused: `jobctl resume %u`", path, x->run->id, x->run->id);
		break;
	case JT_WAITS_SEAL:
		text = seal_text(x, st);
		break;
	case JT_WAITS_SLOT:
	case JT_WAITS_NOT:
		break;
	}
	free(list);
	return text;
}

static json_t *slot_text(const struct explain *x, const struct step *st, const char **ret_what)
{
	const struct run *r = x->run;
	const char *path = path_of(x, st->job);

	if (!x->e->ready) {
		*ret_what = "runner";
		return json_sprintf("\"%s\" could start, but jobd-runner does not answer; `jobctl status` tells more", path);
	}
	if (health_holds_starts(x->e)) {
		*ret_what = "trouble";
		return json_sprintf("\"%s\" could start, but jobd is degraded: %s", path, health_text(x->e));
	}
	if (r->refused.until_ns > now_ns()) {
		*ret_what = "trouble";
		return json_sprintf("\"%s\" could start, but its user can have no more processes; tried again in %.1f s", path,
				    seconds_until(r->refused.until_ns));
	}
	if (r->map && map_may_start(r->map, st->job) != st->job) {
		*ret_what = "undelivered";
		return map_held_text(r->map, path);
	}
	if (r->n_running >= r->slots) {
		*ret_what = "slot";
		return json_sprintf("\"%s\" could start, but all %u slots of run %u are taken", path, r->slots, r->id);
	}
	*ret_what = "global-slot";
	return json_sprintf("\"%s\" could start as soon as one of jobd's %u slots is free: %u are taken", path, x->e->slots, x->e->n_running);
}

/* It has its slot, and what it needs besides is lacking. */
static bool is_held_up(const struct explain *x, const struct step *st)
{
	const struct active *a = active_find(x->e, JOB_ID(x->run->id, st->job));

	return a && a->state <= A_ARMED && health_holds_starts(x->e);
}

static const char *what_name(enum jt_wait what)
{
	static const char *const all[] = {
		[JT_WAITS_NOT] = "ended", [JT_WAITS_PARENT] = "parent", [JT_WAITS_BARRIER] = "barrier", [JT_WAITS_AFTER] = "after",
		[JT_WAITS_WHEN] = "when", [JT_WAITS_HELD] = "held", [JT_WAITS_SLOT] = "slot", [JT_WAITS_PACE] = "pace",
		[JT_WAITS_BACKOFF] = "backoff", [JT_WAITS_PAUSED] = "paused", [JT_WAITS_SEAL] = "unsealed",
	};

	return all[what];
}

static json_t *step_json(const struct explain *x, const struct step *st, const struct store_row *rows)
{
	const struct store_job_state *js = &rows[st->row].job;
	const char *what = what_name(st->why.what);
	json_t *text, *o;

	if (jt_state_is_final((enum jt_state)js->state)) {
		what = js->reason == WHY_UPSTREAM ? "upstream" : js->reason == WHY_LOST ? "lost" : "ended";
		text = end_text(x, st, js);
	} else if (st->state == JT_STARTING && is_held_up(x, st)) {
		text = slot_text(x, st, &what);
	} else if (st->state == JT_STARTING || st->state == JT_RUNNING || jt_state_is_final(st->state)) {
		struct active *a = active_find(x->e, JOB_ID(x->run->id, st->job));

		what = "running";
		text = json_sprintf("\"%s\" is running (attempt %u%s)", path_of(x, st->job), a ? a->attempt : js->attempts,
				    a && a->end_reason ? "; it is being terminated" : "");
	} else if (st->why.what == JT_WAITS_HELD && js->n_lost) {
		text = lost_text(x, st, js);
	} else if (st->why.what == JT_WAITS_SLOT || st->why.what == JT_WAITS_NOT) {
		text = slot_text(x, st, &what);
	} else {
		text = wait_text(x, st);
	}
	o = json_pack("{s:s, s:o, s:s}", "what", what, "text", text, "path", path_of(x, st->job));
	if (st->why.n_jobs && !jt_state_is_final((enum jt_state)js->state)) {
		json_object_set_new(o, "jobs", names(x, st));
		json_object_set_new(o, "open", json_integer(st->why.n_open));
	}
	if (st->why.what == JT_WAITS_BACKOFF || st->why.what == JT_WAITS_PACE)
		json_object_set_new(o, "due_at", due_json(st->why.at_ns));
	return o;
}

static void explained(struct store_op *op)
{
	struct explain *x = op->arg;

	if (rpc_answered(op, x->call)) {
		json_t *reasons = json_array();
		const struct store_job_state *js = &op->rows[0].job;
		enum jt_state st = jt_state_is_final((enum jt_state)js->state) ? (enum jt_state)js->state : jt_job_state(x->run->sched, x->steps[0].job);

		for (size_t i = 0; i < x->n; i++)
			json_array_append_new(reasons, step_json(x, &x->steps[i], op->rows));
		call_reply(x->call, json_pack("{s:s, s:o}", "state", jt_state_name(st), "reasons", reasons));
	}
	free(x);
}

static void explain_job(struct call *call, struct run *r, jt_job j)
{
	struct explain *x = xcalloc(1, sizeof(*x));
	struct store_op *op = engine_op(r->e, ST_GET_ROWS, r);

	x->call = call;
	x->e = r->e;
	x->run = r;
	call_on_abort(call, explain_aborted, x);
	op->ids = xcalloc(STEPS_MAX * (JT_WHY_JOBS + 1), sizeof(*op->ids));
	walk(x, j, op);
	rpc_ask(r, op, explained, x);
}

/* ---- of a run: what keeps it from ending, or what made it fail --------------------------------------------------------------- */

static uint32_t interesting(const struct run *r)
{
	if (run_is_final(r))
		return 1u << JT_FAILED | 1u << JT_LOST | 1u << JT_CANCELLED | 1u << JT_WARNED;
	return 1u << JT_RUNNING | 1u << JT_STARTING | 1u << JT_BACKOFF | 1u << JT_HELD | 1u << JT_READY | 1u << JT_FAILED | 1u << JT_LOST;
}

static size_t find_in(struct run *r, uint32_t states, jt_job *ret, size_t max)
{
	const char *after = NULL;
	size_t n = 0, got, len = 0;
	jt_job v[256];

	do {
		got = jt_sched_list(r->sched, NULL, 0, after, len, v, 256);
		for (size_t i = 0; i < got && n < max; i++)
			if (states >> jt_job_state(r->sched, v[i]) & 1)
				ret[n++] = v[i];
		if (got)
			after = jt_job_path(r->sched, v[got - 1], &len);
	} while (got == 256 && n < max);
	return n;
}

/* Failures first: they must not drown in what waits or was cancelled. */
static size_t find_interesting(struct run *r, jt_job *ret, size_t max)
{
	const uint32_t *count = jt_sched_counts(r->sched)->n, failures = 1u << JT_FAILED | 1u << JT_LOST;
	size_t n = count[JT_FAILED] + count[JT_LOST] ? find_in(r, failures, ret, max) : 0;

	return n + find_in(r, interesting(r) & ~failures, ret + n, max - n);
}

static json_t *run_text(const struct run *r)
{
	const uint32_t *n = jt_sched_counts(r->sched)->n;

	if (run_is_final(r))
		return json_sprintf("run %u %s: %u of %u jobs ok, %u warned, %u failed, %u skipped, %u cancelled, %u lost", r->id,
				    r->state == RUN_OK ? "is ok" : r->state == RUN_FAILED ? "failed" : "was cancelled", n[JT_SOK], r->n_jobs,
				    n[JT_WARNED], n[JT_FAILED], n[JT_SKIPPED], n[JT_CANCELLED], n[JT_LOST]);
	return json_sprintf("run %u is %s: %u of %u jobs have ended, %u run, %u could start, %u wait, %u failed%s", r->id,
			    state_name_run(run_shown_state(r)), n[JT_SOK] + n[JT_WARNED] + n[JT_FAILED] + n[JT_SKIPPED] + n[JT_CANCELLED] + n[JT_LOST],
			    r->n_jobs, n[JT_RUNNING] + n[JT_STARTING], n[JT_READY], n[JT_WAITING] + n[JT_BACKOFF] + n[JT_HELD], n[JT_FAILED],
			    run_shown_state(r) == RUN_OPEN ? "; more may be added until it is sealed (`jobctl seal`)" : "");
}

static void run_explained(struct store_op *op)
{
	struct explain *x = op->arg;

	if (rpc_answered(op, x->call)) {
		json_t *reasons = json_array();

		json_array_append_new(reasons, json_pack("{s:s, s:o}", "what", state_name_run(run_shown_state(x->run)), "text", run_text(x->run)));
		for (size_t i = 0; i < x->n; i++)
			json_array_append_new(reasons, step_json(x, &x->steps[i], op->rows));
		call_reply(x->call, json_pack("{s:s, s:o}", "state", state_name_run(run_shown_state(x->run)), "reasons", reasons));
	}
	free(x);
}

static void explain_run(struct call *call, struct run *r)
{
	struct explain *x = xcalloc(1, sizeof(*x));
	struct store_op *op = engine_op(r->e, ST_GET_ROWS, r);
	jt_job jobs[20];
	size_t n = find_interesting(r, jobs, 20);

	x->call = call;
	x->e = r->e;
	x->run = r;
	call_on_abort(call, explain_aborted, x);
	op->ids = xcalloc(STEPS_MAX * (JT_WHY_JOBS + 1), sizeof(*op->ids));
	for (size_t i = 0; i < n; i++) {
		struct step *st = &x->steps[x->n++];

		st->job = jobs[i];
		st->state = jt_job_state(r->sched, jobs[i]);
		st->row = ask_row(op, x, jobs[i]);
		look_at(x, st);
	}
	rpc_ask(r, op, run_explained, x);
}

static void explain_loaded(struct call *call, struct run *r, void *arg)
{
	const char *path = arg;
	jt_job j;

	if (!path)
		explain_run(call, r);
	else if (rpc_job(call, r, path, &j))
		explain_job(call, r, j);
}

void rpc_explain(void *ctx, struct call *call, const json_t *params)
{
	struct explain_params p = { 0 };
	struct run *r;

	if (rpc_read(call, params, explain_fields, &p) && (r = rpc_run(ctx, call, p.run, MAY_SEE)))
		rpc_on_run(call, r, explain_loaded, p.path ? xstrdup(p.path) : NULL);
}
