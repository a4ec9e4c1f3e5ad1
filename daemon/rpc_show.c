/* SPDX-License-Identifier: MIT */
/* RPC - Get: one run or job with its specification and attempts. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rpc.h"

struct get_params {
	const char *run, *path;
};
static const struct field get_fields[] = {
	FIELD_STRING("run", struct get_params, run, 1, 255, FIELD_REQUIRED),
	FIELD_STRING("path", struct get_params, path, 1, JT_PATH_MAX, 0),
	FIELD_END
};

#define ATTEMPTS_SHOWN 1000             /* the newest */

/* NAME_dropped: how much of it is not kept, NAME_dropped_at: from where on; null: all is. */
static void add_gap(json_t *o, const char *dropped, const char *at, const struct gap *g)
{
	bool none = g->at == g->end;

	json_object_set_new(o, dropped, none ? json_null() : json_integer(g->end - g->at));
	json_object_set_new(o, at, none ? json_null() : json_integer(g->at));
}

/* The message may quote argv or cwd, which are the owner's. */
static json_t *attempt_json(const struct store_attempt *at, bool owner)
{
	json_t *o = json_pack("{s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:f, s:f, s:I, s:o, s:o}", "attempt", (json_int_t)at->attempt, "reason",
			 at->reason ? json_string(reason_name((enum job_reason)at->reason)) : json_null(), "exit_code",
			 at->exit_code >= 0 ? json_integer(at->exit_code) : json_null(), "signal",
			 at->signal ? json_integer(at->signal) : json_null(), "message", owner && at->message ? json_lossy(at->message) : json_null(), "pid",
			 at->pid > 0 ? json_integer(at->pid) : json_null(), "started_at", json_time(at->started_at_us), "ended_at",
			 json_time(at->ended_at_us), "wall_s", (double)at->wall_ns / 1e9, "cpu_s", (double)at->cpu_us / 1e6, "maxrss_kb",
			 (json_int_t)at->maxrss_kb, "out_bytes", at->out_bytes >= 0 ? json_integer(at->out_bytes) : json_null(), "err_bytes",
			 at->err_bytes >= 0 ? json_integer(at->err_bytes) : json_null());

	add_gap(o, "out_dropped", "out_dropped_at", &at->out_gap);
	add_gap(o, "err_dropped", "err_dropped_at", &at->err_gap);
	return o;
}

static bool merges(const char *name)
{
	return strcmp(name, "env") == 0 || strcmp(name, "labels") == 0 || strcmp(name, "retry") == 0 || strcmp(name, "fetch") == 0;
}

/* What to run is one thing: that of the job takes the place of what it would have by default. */
static void drop_commands(json_t *base, const json_t *over)
{
	static const char *const commands[] = { "argv", "argv_b64", "shell", "fetch" };
	enum { N = sizeof(commands) / sizeof(*commands) };
	bool has = false;

	for (int i = 0; i < N; i++)
		has = has || json_object_get(over, commands[i]);
	for (int i = 0; has && i < N; i++)
		if (!json_object_get(over, commands[i]))
			json_object_del(base, commands[i]);
}

/* The job after defaults: env, labels, retry and fetch key by key, everything else replaced (JOBSPEC). */
static void overlay(json_t *base, const json_t *over)
{
	const char *name;
	json_t *value;

	drop_commands(base, over);
	json_object_foreach((json_t *)over, name, value) {
		json_t *mine = json_object_get(base, name);

		if (merges(name) && json_is_object(mine) && json_is_object(value))
			json_object_update(mine, value);
		else
			json_object_set(base, name, value);
	}
}

static json_t *whole_spec(const struct run *r, const char *text, size_t len)
{
	static const char *const from_run[] = { "on_error", "cwd", "env" };
	json_auto_t *options = json_loads(r->options, 0, NULL);
	json_auto_t *job = json_loadb(text, len, 0, NULL);
	json_t *spec = json_object();

	for (size_t i = 0; i < sizeof(from_run) / sizeof(*from_run); i++)
		if (json_object_get(options, from_run[i]))
			json_object_set_new(spec, from_run[i], json_deep_copy(json_object_get(options, from_run[i])));
	if (json_object_get(options, "defaults"))
		overlay(spec, json_object_get(options, "defaults"));
	if (job)
		overlay(spec, job);
	return spec;
}

struct get {
	struct call *call;
	bool owner;
	jt_job job;
};

static void get_aborted(void *arg, struct call *call)
{
	(void)call;
	((struct get *)arg)->call = NULL;
}

/* What holds a job's processes together when it is started now. */
static const char *containment(const struct engine *e)
{
	static const char *const names[] = {
		[RM_HELD_BY_SESSION] = "session and process group", [RM_HELD_BY_CGROUP] = "control group",
		[RM_HELD_BY_SUBREAPER] = "subreaper and session",
	};

	return names[runner_link_held_by(e->link)];
}

static void got_job(struct store_op *op)
{
	struct get *g = op->arg;
	struct run *r = rpc_answered(op, g->call);
	json_t *attempts, *o;

	if (!r) {
		free(g);
		return;
	}
	attempts = json_array();
	for (size_t i = op->n_attempts > ATTEMPTS_SHOWN ? op->n_attempts - ATTEMPTS_SHOWN : 0; i < op->n_attempts; i++)
		json_array_append_new(attempts, attempt_json(&op->attempts[i], g->owner));
	o = json_pack("{s:o, s:o, s:o}", "run", rpc_run_row(r, g->owner), "job", rpc_job_row(r, g->job, &op->rows[0].job), "attempts", attempts);
	if (g->owner && op->text)
		json_object_set_new(o, "spec", whole_spec(r, op->text, op->text_len));
	json_object_set_new(o, "containment", json_string(containment(op->ctx)));
	call_reply(g->call, o);
	free(g);
}

struct get_arg {
	bool owner;
	char path[JT_PATH_MAX + 1];
};

static void get_loaded(struct call *call, struct run *r, void *arg)
{
	const struct get_arg *ga = arg;
	struct store_op *op;
	struct get *g;
	jt_job j;

	if (!rpc_job(call, r, ga->path, &j))
		return;
	g = xcalloc(1, sizeof(*g));
	*g = (struct get){ call, ga->owner, j };
	call_on_abort(call, get_aborted, g);
	op = engine_op(r->e, ST_GET_JOB, r);
	op->id = JOB_ID(r->id, j);
	rpc_ask(r, op, got_job, g);
}

static void get_run(struct engine *e, struct call *call, struct run *r, bool owner)
{
	json_t *o = json_pack("{s:o}", "run", rpc_run_row(r, owner));

	if (owner)
		json_object_set_new(o, "spec", json_loads(r->options, 0, NULL));
	reply_settled(e, call, o);
}

static struct get_arg *get_arg(const struct get_params *p, bool owner)
{
	struct get_arg *ga = xcalloc(1, sizeof(*ga));

	ga->owner = owner;
	snprintf(ga->path, sizeof(ga->path), "%s", p->path);
	return ga;
}

void rpc_get(void *ctx, struct call *call, const json_t *params)
{
	struct get_params p = { 0 };
	struct engine *e = ctx;
	struct run *r;
	bool owner;

	if (!rpc_read(call, params, get_fields, &p) || !(r = rpc_run(e, call, p.run, MAY_SEE)))
		return;
	owner = may(e, session_peer(call_session(call)), r, MAY_READ);
	if (p.path)
		rpc_on_run(call, r, get_loaded, get_arg(&p, owner));
	else
		get_run(e, call, r, owner);
}
