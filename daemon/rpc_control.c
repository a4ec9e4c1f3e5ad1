/* SPDX-License-Identifier: MIT */
/* RPC - the methods that change something. Each answers when its records are durable. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config.h"
#include "rpc.h"

/* ---- submissions -------------------------------------------------------------------------------------------------------- */

struct submit_params {
	const json_t *run, *jobs;
};
static const struct field submit_fields[] = {
	FIELD_OBJECT("run", struct submit_params, run, 0),
	FIELD_ARRAY("jobs", struct submit_params, jobs, FIELD_REQUIRED),
	FIELD_END
};

void rpc_submit(void *ctx, struct call *call, const json_t *params)
{
	struct submit_params p = { 0 };

	if (rpc_read(call, params, submit_fields, &p))
		submit_whole(ctx, call, p.run, p.jobs);
}

struct open_params {
	const json_t *run;
	int mode;
};
static const char *const modes[] = { "bulk", "stream", NULL };
static const struct field open_fields[] = {
	FIELD_OBJECT("run", struct open_params, run, 0),
	FIELD_CHOICE("mode", struct open_params, mode, modes, FIELD_REQUIRED),
	FIELD_END
};

void rpc_open(void *ctx, struct call *call, const json_t *params)
{
	struct open_params p = { 0 };

	if (rpc_read(call, params, open_fields, &p))
		submit_open(ctx, call, p.run, modes[p.mode]);
}

struct add_params {
	int64_t run;
	const json_t *jobs;
	const char *path;
};
static const struct field add_fields[] = {
	FIELD_INT("run", struct add_params, run, 1, UINT32_MAX - 1, FIELD_REQUIRED),
	FIELD_ARRAY("jobs", struct add_params, jobs, FIELD_REQUIRED),
	FIELD_END
};
static const struct field seal_fields[] = {
	FIELD_INT("run", struct add_params, run, 1, UINT32_MAX - 1, FIELD_REQUIRED),
	FIELD_STRING("path", struct add_params, path, 1, JT_PATH_MAX, 0),
	FIELD_END
};

/* A bulk is its connection's; everything else is found like any run. */
static struct run *open_run(struct engine *e, struct call *call, int64_t id)
{
	struct run *r = submit_find_bulk(e, call_session(call), (uint32_t)id);
	char name[16];

	if (r)
		return r;
	snprintf(name, sizeof(name), "%u", (uint32_t)id);
	return rpc_run(e, call, name, MAY_CHANGE);
}

void rpc_add(void *ctx, struct call *call, const json_t *params)
{
	struct add_params p = { 0 };
	struct run *r;

	if (rpc_read(call, params, add_fields, &p) && (r = open_run(ctx, call, p.run)))
		submit_add(ctx, call, r, p.jobs);
}

void rpc_seal(void *ctx, struct call *call, const json_t *params)
{
	struct add_params p = { 0 };
	struct run *r;

	if (rpc_read(call, params, seal_fields, &p) && (r = open_run(ctx, call, p.run)))
		submit_seal(ctx, call, r, p.path);
}

/* ---- runs and jobs ------------------------------------------------------------------------------------------------------ */

struct target_params {
	const char *run, *path;
	bool now, all;
};
static const struct field cancel_fields[] = {
	FIELD_STRING("run", struct target_params, run, 1, 255, FIELD_REQUIRED),
	FIELD_STRING("path", struct target_params, path, 1, JT_PATH_MAX, 0),
	FIELD_BOOL("now", struct target_params, now, 0),
	FIELD_END
};
static const struct field hold_fields[] = {
	FIELD_STRING("run", struct target_params, run, 1, 255, FIELD_REQUIRED),
	FIELD_STRING("path", struct target_params, path, 1, JT_PATH_MAX, FIELD_REQUIRED),
	FIELD_END
};
static const struct field run_fields[] = {
	FIELD_STRING("run", struct target_params, run, 1, 255, FIELD_REQUIRED),
	FIELD_END
};
static const struct field retry_fields[] = {
	FIELD_STRING("run", struct target_params, run, 1, 255, FIELD_REQUIRED),
	FIELD_STRING("path", struct target_params, path, 1, JT_PATH_MAX, 0),
	FIELD_BOOL("all", struct target_params, all, 0),
	FIELD_END
};

static void reply_count(struct engine *e, struct call *call, int rc, uint32_t n, const struct req_error *err)
{
	if (rc < 0)
		call_fail(call, err);
	else
		reply_settled(e, call, json_pack("{s:I}", "n", (json_int_t)n));
}

static void reply_number(struct engine *e, struct call *call, int rc, uint32_t run, const struct req_error *err)
{
	if (rc < 0)
		call_fail(call, err);
	else
		reply_settled(e, call, json_pack("{s:I}", "run", (json_int_t)run));
}

void rpc_cancel(void *ctx, struct call *call, const json_t *params)
{
	struct target_params p = { 0 };
	struct req_error err = { 0 };
	uint32_t n = 0;
	struct run *r;
	int rc;

	if (!rpc_read(call, params, cancel_fields, &p) || !(r = rpc_run(ctx, call, p.run, MAY_CHANGE)))
		return;
	rc = control_cancel(r, p.path, p.now, &n, &err);
	reply_count(ctx, call, rc, n, &err);
}

static void hold_or_release(struct engine *e, struct call *call, const json_t *params, bool hold)
{
	struct target_params p = { 0 };
	struct req_error err = { 0 };
	uint32_t n = 0;
	struct run *r;
	int rc;

	if (!rpc_read(call, params, hold_fields, &p) || !(r = rpc_run(e, call, p.run, MAY_CHANGE)))
		return;
	rc = control_hold(r, p.path, hold, &n, &err);
	reply_count(e, call, rc, n, &err);
}

void rpc_hold(void *ctx, struct call *call, const json_t *params)
{
	hold_or_release(ctx, call, params, true);
}

void rpc_release(void *ctx, struct call *call, const json_t *params)
{
	hold_or_release(ctx, call, params, false);
}

static void pause_or_resume(struct engine *e, struct call *call, const json_t *params, bool pause)
{
	struct target_params p = { 0 };
	struct req_error err = { 0 };
	struct run *r;

	if (rpc_read(call, params, run_fields, &p) && (r = rpc_run(e, call, p.run, MAY_CHANGE)))
		reply_number(e, call, control_pause(r, pause, &err), r->id, &err);
}

void rpc_pause(void *ctx, struct call *call, const json_t *params)
{
	pause_or_resume(ctx, call, params, true);
}

void rpc_resume(void *ctx, struct call *call, const json_t *params)
{
	pause_or_resume(ctx, call, params, false);
}

struct retry {
	bool all, has_path;
	char path[JT_PATH_MAX + 1];
};

static void retry_loaded(struct call *call, struct run *r, void *arg)
{
	struct retry *rt = arg;
	struct req_error err = { 0 };
	uint32_t n = 0;
	int rc = control_retry(r, rt->has_path ? rt->path : NULL, rt->all, &n, &err);

	reply_count(r->e, call, rc, n, &err);
}

void rpc_retry(void *ctx, struct call *call, const json_t *params)
{
	struct target_params p = { 0 };
	struct retry *rt;
	struct run *r;

	if (!rpc_read(call, params, retry_fields, &p) || !(r = rpc_run(ctx, call, p.run, MAY_CHANGE)))
		return;
	rt = xcalloc(1, sizeof(*rt));
	rt->all = p.all;
	rt->has_path = p.path != NULL;
	snprintf(rt->path, sizeof(rt->path), "%s", p.path ? p.path : "");
	rpc_on_run(call, r, retry_loaded, rt);
}

void rpc_remove(void *ctx, struct call *call, const json_t *params)
{
	struct target_params p = { 0 };
	struct req_error err = { 0 };
	struct run *r;
	uint32_t id;

	if (!rpc_read(call, params, run_fields, &p) || !(r = rpc_run(ctx, call, p.run, MAY_CHANGE)))
		return;
	id = r->id;
	reply_number(ctx, call, control_remove(r, &err), id, &err);
}

/* ---- the daemon ----------------------------------------------------------------------------------------------------------- */

static json_t *totals(struct engine *e, const struct store_stats *st)
{
	uint32_t n[JT_N_STATES] = { 0 }, open = 0;

	for (uint32_t i = 0; i < e->n_runs_cap; i++) {
		struct run *r = e->runs[i];

		if (!r || run_is_final(r) || !r->sched || r->state == RUN_BULK)
			continue;
		open++;
		for (int s = 0; s < JT_N_STATES; s++)
			n[s] += jt_sched_counts(r->sched)->n[s];
	}
	return json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:f,s:f,s:I,s:I}", "runs_open", (json_int_t)open, "waiting",
			 (json_int_t)(n[JT_WAITING] + n[JT_READY]), "running", (json_int_t)(n[JT_STARTING] + n[JT_RUNNING]), "backoff",
			 (json_int_t)n[JT_BACKOFF], "held", (json_int_t)n[JT_HELD], "slots", (json_int_t)e->slots, "starts",
			 (json_int_t)e->n_starts, "ends", (json_int_t)e->n_ends, "commits", (json_int_t)st->commits, "operations",
			 (json_int_t)st->operations, "commit_ms_max", st->commit_ms_max, "checkpoint_ms_max", st->checkpoint_ms_max, "clients",
			 (json_int_t)server_sessions(e->server), "events", (json_int_t)e->last_seq);
}

/* Idle: nothing runs, starts, is due, or is being written. What is held or paused waits for somebody. */
static bool is_idle(struct engine *e)
{
	if (!e->ready || e->n_active || e->wanting.n)
		return false;
	for (uint32_t i = 0; i < e->n_runs_cap; i++) {
		struct run *r = e->runs[i];

		if (!r || run_is_final(r) || !r->sched || r->paused || r->state == RUN_BULK)
			continue;
		if (jt_sched_counts(r->sched)->n[JT_READY] || jt_sched_counts(r->sched)->n[JT_BACKOFF])
			return false;
	}
	return true;
}

void rpc_stats(void *ctx, struct call *call, const json_t *params)
{
	struct engine *e = ctx;
	struct store_stats st;
	const char *trouble, *state;

	(void)params;
	health_notice_disk(e);
	trouble = health_text(e);
	state = trouble ? "degraded" : !e->ready ? "waiting for the runner" : e->stopping || e->draining ? "stopping" : "running";
	store_stats(e->store, &st);
	call_reply(call, json_pack("{s:b, s:s, s:s*, s:o, s:s, s:i, s:o, s:f, s:o}", "idle", is_idle(e) && st.queued == 0, "state", state,
				   "message", trouble, "troubles", health_json(e), "version", PACKAGE_VERSION, "pid", (int)getpid(), "runner_pid",
				   runner_link_is_up(e->link) ? json_integer(runner_link_pid(e->link)) : json_null(), "uptime_s",
				   (double)(now_ns() - e->began_ns) / 1e9, "totals", totals(e, &st)));
}

struct shutdown_params {
	int mode;
};
static const char *const shutdown_modes[] = { "detach", "drain", "kill", NULL };
static const struct field shutdown_fields[] = {
	FIELD_CHOICE("mode", struct shutdown_params, mode, shutdown_modes, 0),
	FIELD_END
};

void rpc_shutdown(void *ctx, struct call *call, const json_t *params)
{
	const struct server_peer *peer = session_peer(call_session(call));
	struct shutdown_params p = { 0 };
	struct engine *e = ctx;
	struct req_error err = { 0 };

	if (!rpc_read(call, params, shutdown_fields, &p))
		return;
	if (peer->uid != 0 && peer->uid != geteuid()) {
		req_fail(&err, "org.jobd.NotAllowed", "only root and jobd's own user may shut it down");
		call_fail(call, &err);
		return;
	}
	stop_request(e, (enum stop_mode)p.mode, call);
}
