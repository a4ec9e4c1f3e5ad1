/* SPDX-License-Identifier: MIT */
/* ls: runs, or the jobs of a run. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "call.h"
#include "conn.h"
#include "pages.h"
#include "proto/nearest.h"
#include "render.h"
#include "status.h"
#include "talk.h"
#include "times.h"
#include "verbs.h"

static const char *const run_keys[] = {
	"run", "name", "key", "state", "workers", "submitted_at", "started_at", "ended_at", NULL
};
static const char *const job_keys[] = {
	"path", "state", "reason", "exit_code", "signal", "attempts", "started_at", "ended_at", NULL
};

static const struct column run_columns[] = {
	{ "RUN", COLUMN_RIGHT }, { "STATE", COLUMN_STATE }, { "DONE", COLUMN_RIGHT }, { "FAILED", COLUMN_RIGHT },
	{ "SUBMITTED", COLUMN_TEXT }, { "TOOK", COLUMN_RIGHT }, { "NAME", COLUMN_LAST },
};
static const struct column job_columns[] = {
	{ "STATE", COLUMN_STATE }, { "TRIES", COLUMN_RIGHT }, { "STARTED", COLUMN_TEXT }, { "TOOK", COLUMN_RIGHT },
	{ "END", COLUMN_TEXT }, { "PATH", COLUMN_LAST },
};
#define N(a) (sizeof(a) / sizeof(*(a)))

static const char *const run_states[] = { "open", "running", "paused", "ok", "failed", "cancelled", NULL };
static const char *const job_states[] = {
	"waiting", "ready", "held", "starting", "running", "backoff", "ok", "warned", "failed", "skipped", "cancelled", "lost", NULL
};

struct output {
	struct table *table;    /* NULL: JSON */
	const char *const *keys;
};

static int json_row(void *arg, const json_t *row)
{
	const struct output *out = arg;

	render_row(stdout, row, out->keys);
	return 0;
}

static int run_row(void *arg, const json_t *row)
{
	const struct output *out = arg;
	const json_t *n = json_object_get(row, "counts");
	json_int_t total = reply_int(n, "total", 0), failed = reply_int(n, "failed", 0) + reply_int(n, "lost", 0);
	json_int_t left = reply_int(n, "waiting", 0) + reply_int(n, "ready", 0) + reply_int(n, "held", 0) + reply_int(n, "starting", 0) +
			  reply_int(n, "running", 0) + reply_int(n, "backoff", 0);
	const char *ended = reply_text(row, "ended_at");
	char number[32], done[64], fail[32], at[64], took[64];

	snprintf(number, sizeof(number), "%" JSON_INTEGER_FORMAT, reply_int(row, "run", 0));
	snprintf(done, sizeof(done), "%" JSON_INTEGER_FORMAT "/%" JSON_INTEGER_FORMAT, total - left, total);
	snprintf(fail, sizeof(fail), "%" JSON_INTEGER_FORMAT, failed);
	table_row(out->table, (const char *[]){ number, reply_text(row, "state"), done, fail,
		  times_show(reply_text(row, "submitted_at"), at, sizeof(at)),
		  times_show_seconds(times_between(reply_text(row, "started_at"), ended), took, sizeof(took)), reply_text(row, "name") });
	return 0;
}

static int job_row(void *arg, const json_t *row)
{
	const struct output *out = arg;
	char tries[32], at[64], took[64], end[512];

	snprintf(tries, sizeof(tries), "%" JSON_INTEGER_FORMAT, reply_int(row, "attempts", 0));
	table_row(out->table, (const char *[]){ reply_text(row, "state"), tries, times_show(reply_text(row, "started_at"), at, sizeof(at)),
		  times_show_seconds(times_between(reply_text(row, "started_at"), reply_text(row, "ended_at")), took, sizeof(took)),
		  render_end(row, end, sizeof(end)), reply_text(row, "path") });
	return 0;
}

static void page_end(void *arg)
{
	const struct output *out = arg;

	if (out->table)
		table_print(out->table, stdout);
}

static int unknown_state(const char *state, const char *what, const struct nearest *near)
{
	const char *meant = nearest_get(near);

	if (meant)
		return complain(CTL_USAGE, "a %s is never \"%s\"; did you mean \"%s\"?", what, state, meant);
	return complain(CTL_USAGE, "a %s is never \"%s\"; jobctl(1) lists the states under ls", what, state);
}

/* A misspelt state would look like a run where nothing has failed. */
static int check_states(const char *states, const char *const *known, const char *what)
{
	char *copy = xstrdup(states), *rest = copy, *one;
	int rc = 0;

	while (rc == 0 && (one = strsep(&rest, ","))) {
		const char *const *k = known;
		struct nearest near;

		nearest_init(&near, one);
		for (; *k && strcmp(*k, one) != 0; k++)
			nearest_offer(&near, *k);
		if (!*k)
			rc = unknown_state(one, what, &near);
	}
	free(copy);
	return rc;
}

static int list(const struct options *o, struct vl_conn *conn, const struct address *a)
{
	struct output out = { .keys = a->run ? job_keys : run_keys };
	struct listing l = {
		.run = a->run, .path = a->path, .states = o->states, .limit = o->limit, .page_end = page_end, .arg = &out,
	};
	int rc;

	l.row = o->json ? json_row : a->run ? job_row : run_row;
	if (!o->json)
		out.table = a->run ? table_new(job_columns, N(job_columns)) : table_new(run_columns, N(run_columns));
	rc = pages_walk(conn, &l);
	table_free(out.table);
	return rc;
}

int cmd_ls(const struct options *o)
{
	struct address a = { 0 };
	struct vl_conn *conn = NULL;
	int rc = o->n_args ? address_read(o->args[0], &a) : 0;

	if (rc == 0 && o->states)
		rc = check_states(o->states, a.run ? job_states : run_states, a.run ? "job" : "run");
	if (rc == 0)
		rc = conn_open(o, CONN_MAY_START, &conn);
	if (rc == 0) {
		rc = list(o, conn, &a);
		vl_close(conn);
	}
	address_done(&a);
	return rc;
}
