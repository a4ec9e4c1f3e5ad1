/* SPDX-License-Identifier: MIT */
/* RPC - the table of methods, and what the handlers share. See rpc.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "log.h"
#include "rpc.h"

const struct server_method rpc_methods[] = {
	{ "org.jobd.Submit", rpc_submit, false },
	{ "org.jobd.Open", rpc_open, false },
	{ "org.jobd.Add", rpc_add, false },
	{ "org.jobd.Seal", rpc_seal, false },
	{ "org.jobd.List", rpc_list, false },
	{ "org.jobd.Get", rpc_get, false },
	{ "org.jobd.Explain", rpc_explain, false },
	{ "org.jobd.Watch", rpc_watch, true },
	{ "org.jobd.Wait", rpc_wait, false },
	{ "org.jobd.Logs", rpc_logs, true },
	{ "org.jobd.Cancel", rpc_cancel, false },
	{ "org.jobd.Hold", rpc_hold, false },
	{ "org.jobd.Release", rpc_release, false },
	{ "org.jobd.Pause", rpc_pause, false },
	{ "org.jobd.Resume", rpc_resume, false },
	{ "org.jobd.Retry", rpc_retry, false },
	{ "org.jobd.Remove", rpc_remove, false },
	{ "org.jobd.Map", rpc_map, true },
	{ "org.jobd.MapPut", rpc_map_put, false },
	{ "org.jobd.MapInput", rpc_map_input, false },
	{ "org.jobd.MapRead", rpc_map_read, false },
	{ "org.jobd.MapDelivered", rpc_map_delivered, false },
	{ "org.jobd.MapStop", rpc_map_stop, false },
	{ "org.jobd.MapEnd", rpc_map_end, false },
	{ "org.jobd.MapList", rpc_map_list, false },
	{ "org.jobd.MapControl", rpc_map_control, false },
	{ "org.jobd.Stats", rpc_stats, false },
	{ "org.jobd.Backup", rpc_backup, false },
	{ "org.jobd.Shutdown", rpc_shutdown, false },
	{ 0 },
};

/* ---- names ---------------------------------------------------------------------------------------------------------- */

const char *state_name_run(enum run_state st)
{
	static const char *const names[RUN_N_STATES] = {
		[RUN_BULK] = "open", [RUN_OPEN] = "open", [RUN_RUNNING] = "running", [RUN_PAUSED] = "paused", [RUN_OK] = "ok",
		[RUN_FAILED] = "failed", [RUN_CANCELLED] = "cancelled",
	};

	return st < RUN_N_STATES ? names[st] : "unknown";
}

const char *reason_name(enum job_reason why)
{
	static const char *const names[WHY_N] = {
		[WHY_NONE] = "", [WHY_EXIT] = "exit", [WHY_SIGNAL] = "signal", [WHY_TIMEOUT] = "timeout", [WHY_SPAWN] = "spawn",
		[WHY_OUTPUT] = "output", [WHY_LOST] = "lost", [WHY_CANCELLED] = "cancelled", [WHY_UPSTREAM] = "upstream",
		[WHY_NOT_NEEDED] = "not-needed", [WHY_STOPPED] = "stopped",
	};

	return why < WHY_N ? names[why] : "unknown";
}

const char *event_name(enum event_kind kind)
{
	static const char *const names[EV_N] = {
		[EV_SUBMITTED] = "submitted", [EV_SEALED] = "sealed", [EV_STARTED] = "started", [EV_ENDED] = "ended", [EV_RETRYING] = "retrying",
		[EV_SKIPPED] = "skipped", [EV_CANCELLED] = "cancelled", [EV_HELD] = "held", [EV_RELEASED] = "released", [EV_LOST] = "lost",
		[EV_PAUSED] = "paused", [EV_RESUMED] = "resumed", [EV_RUN_ENDED] = "run-ended", [EV_RETRIED] = "retried",
	};

	return kind < EV_N ? names[kind] : "unknown";
}

json_t *json_time(int64_t us)
{
	time_t s = (time_t)(us / 1000000);
	struct tm tm;
	char buf[64];
	size_t n;

	if (!us)
		return json_null();
	gmtime_r(&s, &tm);
	n = strftime(buf, sizeof(buf), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(buf + n, sizeof(buf) - n, ".%06dZ", (int)(us % 1000000));
	return json_string(buf);
}

/* Bytes of the UTF-8 sequence at s; 0: there is none. */
static size_t utf8_len(const char *s)
{
	size_t n = (unsigned char)*s < 0x80 ? 1 : ((unsigned char)*s & 0xe0) == 0xc0 ? 2 : ((unsigned char)*s & 0xf0) == 0xe0 ? 3 : 4;
	json_t *one = strnlen(s, n) == n ? json_stringn(s, n) : NULL;

	json_decref(one);
	return one ? n : 0;
}

json_t *json_lossy(const char *s)
{
	json_t *text = json_string(s);
	char *copy;

	if (text)
		return text;
	copy = xstrdup(s);
	for (char *p = copy; *p;) {
		size_t n = utf8_len(p);

		if (!n)
			*p = '?';
		p += n ? n : 1;
	}
	text = json_string(copy);
	free(copy);
	return text;
}

json_t *json_opt(const char *s)
{
	return s ? json_string(s) : json_null();
}

json_t *rpc_reason(const struct run *r, enum job_reason why, jt_job cause)
{
	if (why == WHY_NONE)
		return json_null();
	if (why == WHY_UPSTREAM && cause != JT_NONE && r->sched)
		return json_sprintf("upstream: %s", jt_job_path(r->sched, cause, NULL));
	return json_string(reason_name(why));
}

/* ---- errors ----------------------------------------------------------------------------------------------------------- */

void call_fail(struct call *call, const struct req_error *err)
{
	json_t *p = json_pack("{s:o}", "message", json_lossy(err->text));       /* long names may have been cut within a character */

	if (strcmp(err->name, "org.jobd.Refused") == 0) {
		json_object_set_new(p, "field", *err->field ? json_lossy(err->field) : json_null());
		json_object_set_new(p, "path", *err->path ? json_lossy(err->path) : json_null());
	} else if (strcmp(err->name, "org.jobd.NoSuchRun") == 0) {
		json_object_set_new(p, "run", json_lossy(err->path));
	} else if (strcmp(err->name, "org.jobd.NoSuchJob") == 0) {
		json_object_set_new(p, "run", json_sprintf("%u", err->run));
		json_object_set_new(p, "path", json_lossy(err->path));
	} else if (strcmp(err->name, "org.jobd.KeyConflict") == 0) {
		json_object_set_new(p, "key", json_lossy(err->path));
		json_object_set_new(p, "run", json_integer(err->run));
	}
	call_error(call, err->name, p);
}

/* ---- parameters --------------------------------------------------------------------------------------------------------- */

bool rpc_read(struct call *call, const json_t *params, const struct field *table, void *ret)
{
	static struct arena arena;      /* the loop thread's; one handler reads at a time */
	struct field_error fe;

	arena_reset(&arena);
	if (fields_read(table, params, ret, &arena, &fe) == 0)
		return true;
	log_debug("invalid parameter: %s", fe.text);
	call_invalid(call, fe.field);
	return false;
}

struct run *rpc_run(struct engine *e, struct call *call, const char *name, enum access what)
{
	const struct server_peer *peer = session_peer(call_session(call));
	struct run *r = engine_find(e, name);
	struct req_error err = { 0 };

	if (!r || r->removing) {
		snprintf(err.path, sizeof(err.path), "%s", name);
		req_fail(&err, "org.jobd.NoSuchRun", "no run \"%s\": `jobctl ls` lists them", name);
	} else if (!may(e, peer, r, what)) {
		req_fail(&err, "org.jobd.NotAllowed", "run %u belongs to another user (uid %u)", r->id, (unsigned)r->uid);
	} else {
		return r;
	}
	call_fail(call, &err);
	return NULL;
}

bool rpc_job(struct call *call, struct run *r, const char *path, jt_job *ret)
{
	struct req_error err = { 0 };
	jt_job j = r->sched ? jt_sched_find(r->sched, path, strlen(path)) : JT_NONE;

	if (j != JT_NONE) {
		*ret = j;
		return true;
	}
	missing_job(r, path, &err);
	call_fail(call, &err);
	return false;
}

struct on_run {
	struct call *call;              /* NULL: aborted */
	run_fn fn;
	void *arg;
};

static void on_run_aborted(void *arg, struct call *call)
{
	(void)call;
	((struct on_run *)arg)->call = NULL;
}

static void on_run_ready(void *arg, struct run *r)
{
	struct on_run *o = arg;
	struct req_error err = { 0 };

	if (o->call) {
		call_on_abort(o->call, NULL, NULL);
		if (r->removing) {
			req_fail(&err, "org.jobd.NoSuchRun", "run %u is being removed", r->id);
			snprintf(err.path, sizeof(err.path), "%u", r->id);
			call_fail(o->call, &err);
		} else if (r->sched) {
			o->fn(o->call, r, o->arg);
		} else {
			req_fail(&err, "org.jobd.Failed", "run %u cannot be read from the database: see jobd's log", r->id);
			call_fail(o->call, &err);
		}
	}
	free(o->arg);
	free(o);
}

void rpc_on_run(struct call *call, struct run *r, run_fn fn, void *arg)
{
	struct on_run *o = xcalloc(1, sizeof(*o));

	*o = (struct on_run){ call, fn, arg };
	call_on_abort(call, on_run_aborted, o);
	run_with_sched(r, on_run_ready, o);
}

void rpc_ask(struct run *r, struct store_op *op, void (*done)(struct store_op *op), void *arg)
{
	run_use(r);
	op->urgent = true;
	op->done = done;
	op->arg = arg;
	engine_post(r->e, op);
}

struct run *rpc_answered(struct store_op *op, struct call *call)
{
	struct run *r = engine_run(op->ctx, op->run.run);
	struct req_error err = { 0 };

	run_unuse(op->ctx, op->run.run);
	if (call && r && r->sched && op->rows && !*op->error)
		return r;
	if (call) {
		req_fail(&err, "org.jobd.Failed", "run %u cannot be read from the database: %s", op->run.run, *op->error ? op->error : "it is gone");
		call_fail(call, &err);
	}
	return NULL;
}
