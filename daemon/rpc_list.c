/* SPDX-License-Identifier: MIT */
/* RPC - List: pages of runs, and of jobs. A page of jobs joins what is recorded with what is going on. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rpc.h"

#define PAGE_DEFAULT 1000
#define PAGE_MAX 5000
#define RUN_ROW_BYTES 512               /* of a row beside its name and key, its path and reason */
#define JOB_ROW_BYTES 240

struct list_params {
	const char *run, *path, *cursor;
	const char *const *states;
	size_t n_states;
	int64_t limit;
};
static const struct field list_fields[] = {
	FIELD_STRING("run", struct list_params, run, 1, 255, 0),
	FIELD_STRING("path", struct list_params, path, 1, JT_PATH_MAX, 0),
	FIELD_STRINGS("states", struct list_params, states, n_states, 0, 64, 0),
	FIELD_INT("limit", struct list_params, limit, 1, PAGE_MAX, 0),
	FIELD_STRING("cursor", struct list_params, cursor, 1, JT_PATH_MAX, 0),
	FIELD_END
};

/* ---- runs ----------------------------------------------------------------------------------------------------------------- */

static json_t *counts_json(const struct run *r)
{
	const uint32_t *n = r->sched && !run_is_final(r) ? jt_sched_counts(r->sched)->n : r->counts;
	json_t *o = json_pack("{s:I}", "total", (json_int_t)r->n_jobs);

	for (int s = 0; s < JT_N_STATES; s++)
		json_object_set_new(o, jt_state_name((enum jt_state)s), json_integer(n[s]));
	return o;
}

json_t *rpc_run_row(struct run *r, bool owner)
{
	return json_pack("{s:I, s:o, s:o, s:s, s:I, s:I, s:o, s:o, s:o, s:o}", "run", (json_int_t)r->id, "name", json_opt(r->name), "key",
			 owner ? json_opt(r->key) : json_null(), "state", state_name_run(run_shown_state(r)), "owner", (json_int_t)r->uid, "workers",
			 (json_int_t)r->slots, "submitted_at", json_time(r->submitted_at_us), "started_at", json_time(r->started_at_us), "ended_at",
			 json_time(r->ended_at_us), "counts", counts_json(r));
}

static bool wanted(const struct list_params *p, const char *state)
{
	for (size_t i = 0; i < p->n_states; i++)
		if (strcmp(p->states[i], state) == 0)
			return true;
	return p->n_states == 0;
}

static void list_runs(struct engine *e, struct call *call, const struct list_params *p)
{
	const struct server_peer *peer = session_peer(call_session(call));
	unsigned long long from = p->cursor ? strtoull(p->cursor, NULL, 10) : e->n_runs_cap;
	int64_t limit = p->limit ? p->limit : PAGE_DEFAULT;
	json_t *rows = json_array(), *next = json_null();

	size_t bytes = 0;

	for (uint32_t i = from < e->n_runs_cap ? (uint32_t)from : e->n_runs_cap; i-- > 0;) {
		struct run *r = engine_run(e, i);

		if (!r || r->removing || !wanted(p, state_name_run(run_shown_state(r))))
			continue;
		bytes += RUN_ROW_BYTES + (r->name ? strlen(r->name) : 0) + (r->key ? strlen(r->key) : 0);
		if (limit-- == 0 || bytes > RPC_PAGE_BYTES) {
			next = json_sprintf("%u", i + 1);
			break;
		}
		json_array_append_new(rows, rpc_run_row(r, may(e, peer, r, MAY_READ)));
	}
	reply_settled(e, call, json_pack("{s:o, s:o}", "runs", rows, "next", next));
}

/* ---- jobs ----------------------------------------------------------------------------------------------------------------- */

/* An end in memory that is not recorded yet is not told: until then the job is running. */
static enum jt_state shown_state(struct run *r, jt_job j, const struct store_job_state *st)
{
	enum jt_state now = jt_job_state(r->sched, j);

	if (jt_state_is_final((enum jt_state)st->state))
		return (enum jt_state)st->state;
	return jt_state_is_final(now) ? JT_RUNNING : now;
}

json_t *rpc_job_row(struct run *r, jt_job j, const struct store_job_state *st)
{
	struct active *a = active_find_attempt(r->e, JOB_ID(r->id, j), run_mem(r, j)->attempts);        /* also while its end is being recorded */
	enum jt_state state = shown_state(r, j, st);
	bool final = jt_state_is_final(state), never_ran = state == JT_SKIPPED && run_mem(r, j)->attempts == 0;
	int64_t started = st->started_at_us ? st->started_at_us : a && a->picked ? a->started_at_us : 0;
	uint32_t attempts = a && !a->picked ? a->attempt - 1 : run_mem(r, j)->attempts;

	json_t *progress = a && !final ? progress_of(a) : NULL;
	json_t *o = json_pack("{s:s, s:s, s:o, s:o, s:o, s:I, s:o, s:o}", "path", jt_job_path(r->sched, j, NULL), "state", jt_state_name(state), "reason",
			 rpc_reason(r, final || state == JT_BACKOFF || state == JT_HELD ? (enum job_reason)st->reason : WHY_NONE, st->cause), "exit_code",
			 st->exit_code >= 0 ? json_integer(st->exit_code) : json_null(), "signal",
			 st->signal ? json_integer(st->signal) : json_null(), "attempts", (json_int_t)attempts, "started_at", json_time(started),
			 "ended_at", json_time(final && !never_ran ? st->ended_at_us : 0));

	if (progress)
		json_object_set_new(o, "progress", progress);
	return o;
}

json_t *rpc_result(struct run *r, jt_job j, const struct store_row *row)
{
	json_t *o;

	if (j == JT_NONE)
		return json_pack("{s:I, s:s}", "run", (json_int_t)r->id, "state", state_name_run(r->state));
	o = json_pack("{s:I, s:s, s:s}", "run", (json_int_t)r->id, "path", jt_job_path(r->sched, j, NULL), "state",
		      jt_state_name(jt_job_state(r->sched, j)));
	if (!row)
		return o;
	json_object_set_new(o, "reason", rpc_reason(r, (enum job_reason)row->job.reason, row->job.cause));
	if (row->job.exit_code >= 0)
		json_object_set_new(o, "exit_code", json_integer(row->job.exit_code));
	if (row->job.signal)
		json_object_set_new(o, "signal", json_integer(row->job.signal));
	return o;
}

struct page {
	struct call *call;              /* NULL: aborted */
	char path[JT_PATH_MAX + 1], cursor[JT_PATH_MAX + 1];    /* "": none */
	uint32_t states;                /* bits of enum jt_state; 0: all */
	size_t limit;
	bool more;
};

static void page_aborted(void *arg, struct call *call)
{
	(void)call;
	((struct page *)arg)->call = NULL;
}

static size_t job_row_bytes(const struct run *r, const struct store_row *row)
{
	size_t path, cause = 0;

	jt_job_path(r->sched, JOB_IDX(row->id), &path);
	if (row->job.reason == WHY_UPSTREAM && row->job.cause != JT_NONE)
		jt_job_path(r->sched, row->job.cause, &cause);
	return JOB_ROW_BYTES + path + cause;
}

static json_t *page_json(struct run *r, const struct store_row *rows, size_t n, bool more)
{
	json_t *jobs = json_array(), *next = json_null();
	size_t i, bytes = 0;

	for (i = 0; i < n; i++) {
		bytes += job_row_bytes(r, &rows[i]);
		if (i && bytes > RPC_PAGE_BYTES)
			break;
		json_array_append_new(jobs, rpc_job_row(r, JOB_IDX(rows[i].id), &rows[i].job));
	}
	if (i && (more || i < n))
		next = json_string(jt_job_path(r->sched, JOB_IDX(rows[i - 1].id), NULL));
	return json_pack("{s:o, s:o}", "jobs", jobs, "next", next);
}

static void page_rows(struct store_op *op)
{
	struct page *pg = op->arg;
	struct run *r = rpc_answered(op, pg->call);

	if (r)
		call_reply(pg->call, page_json(r, op->rows, op->n_ids, pg->more));
	free(pg);
}

/* Fills ids with the next jobs of the page; states are looked at as they are now. */
static size_t find_jobs(struct run *r, struct page *pg, uint64_t *ids)
{
	const char *after = *pg->cursor ? pg->cursor : NULL;
	jt_job v[256];
	size_t n = 0, got, len;

	do {
		got = jt_sched_list(r->sched, *pg->path ? pg->path : NULL, strlen(pg->path), after, after ? strlen(after) : 0, v, 256);
		for (size_t i = 0; i < got; i++) {
			after = jt_job_path(r->sched, v[i], &len);
			if (pg->states && !(pg->states >> jt_job_state(r->sched, v[i]) & 1))
				continue;
			if (n == pg->limit) {
				pg->more = true;
				return n;
			}
			ids[n++] = JOB_ID(r->id, v[i]);
		}
	} while (got == 256);
	return n;
}

static void list_jobs(struct call *call, struct run *r, void *arg)
{
	struct page *pg = xcalloc(1, sizeof(*pg));
	struct store_op *op = engine_op(r->e, ST_GET_ROWS, r);

	memcpy(pg, arg, sizeof(*pg));
	pg->call = call;
	call_on_abort(call, page_aborted, pg);
	op->ids = xcalloc(pg->limit + 1, sizeof(*op->ids));
	op->n_ids = find_jobs(r, pg, op->ids);
	rpc_ask(r, op, page_rows, pg);
}

void rpc_list(void *ctx, struct call *call, const json_t *params)
{
	struct list_params p = { 0 };
	struct engine *e = ctx;
	struct page *pg;
	struct run *r;

	if (!rpc_read(call, params, list_fields, &p))
		return;
	if (!p.run) {
		list_runs(e, call, &p);
		return;
	}
	r = rpc_run(e, call, p.run, MAY_SEE);
	if (!r)
		return;
	pg = xcalloc(1, sizeof(*pg));
	snprintf(pg->path, sizeof(pg->path), "%s", p.path ? p.path : "");
	snprintf(pg->cursor, sizeof(pg->cursor), "%s", p.cursor ? p.cursor : "");
	pg->limit = p.limit ? (size_t)p.limit : PAGE_DEFAULT;
	for (size_t i = 0; i < p.n_states; i++) {
		enum jt_state st;

		if (jt_state_parse(p.states[i], &st) < 0) {
			free(pg);
			call_invalid(call, "states");
			return;
		}
		pg->states |= 1u << st;
	}
	rpc_on_run(call, r, list_jobs, pg);
}
