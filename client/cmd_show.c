/* SPDX-License-Identifier: MIT */
/* show: all there is to know about a run or a job. */
#include <stdlib.h>
#include <string.h>

#include "call.h"
#include "conn.h"
#include "render.h"
#include "times.h"
#include "transfer.h"
#include "verbs.h"

static void line(const char *name, const char *value)
{
	if (!value)
		return;
	printf("%-13s ", name);
	render_text(stdout, value);
	putchar('\n');
}

static void number_line(const char *name, const json_t *obj, const char *key)
{
	if (json_is_integer(json_object_get(obj, key)))
		printf("%-13s %" JSON_INTEGER_FORMAT "\n", name, reply_int(obj, key, 0));
}

static void time_line(const char *name, const json_t *obj, const char *key)
{
	char at[64];

	if (reply_text(obj, key))
		line(name, times_show(reply_text(obj, key), at, sizeof(at)));
}

static void state_line(const json_t *obj)
{
	char end[512];

	printf("%-13s ", "state");
	render_state(stdout, reply_text(obj, "state") ? reply_text(obj, "state") : "?");
	if (*render_end(obj, end, sizeof(end))) {
		fputs(" (", stdout);
		render_text(stdout, end);
		putchar(')');
	}
	putchar('\n');
}

static void counts_line(const json_t *counts)
{
	const char *key, *separator = "";
	json_t *n;

	printf("%-13s ", "jobs");
	json_object_foreach((json_t *)counts, key, n) {
		if (!json_is_integer(n) || (json_integer_value(n) == 0 && strcmp(key, "total") != 0))
			continue;
		printf("%s%" JSON_INTEGER_FORMAT " %s", separator, json_integer_value(n), key);
		separator = ", ";
	}
	putchar('\n');
}

static void show_run(const json_t *run)
{
	number_line("run", run, "run");
	line("name", reply_text(run, "name"));
	line("key", reply_text(run, "key"));
	state_line(run);
	number_line("owner", run, "owner");
	number_line("workers", run, "workers");
	time_line("submitted", run, "submitted_at");
	time_line("started", run, "started_at");
	time_line("ended", run, "ended_at");
	counts_line(json_object_get(run, "counts"));
}

/* A field of the specification: text as it is, everything else as JSON. */
static void spec_line(const char *name, const json_t *value)
{
	char *text = json_is_string(value) ? NULL : json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | RENDER_REALS);

	line(name, text ? text : json_string_value(value));
	free(text);
}

static const struct column attempt_columns[] = {
	{ "ATTEMPT", COLUMN_RIGHT }, { "STARTED", COLUMN_TEXT }, { "WALL", COLUMN_RIGHT }, { "CPU", COLUMN_RIGHT }, { "RSS", COLUMN_RIGHT },
	{ "OUT", COLUMN_RIGHT }, { "ERR", COLUMN_RIGHT }, { "END", COLUMN_TEXT }, { "MESSAGE", COLUMN_LAST },
};

static const char *show_int(const json_t *obj, const char *key, const char *unit, char *buf, size_t size)
{
	if (!json_is_integer(json_object_get(obj, key)))
		return NULL;
	snprintf(buf, size, "%" JSON_INTEGER_FORMAT "%s", reply_int(obj, key, 0), unit);
	return buf;
}

/* "70000000 (2891136 dropped)" */
static const char *show_output(const json_t *a, const char *bytes, const char *dropped, char *buf, size_t size)
{
	char lost[48] = "";
	const char *text = show_int(a, bytes, "", buf, size);

	if (!text || !show_int(a, dropped, " dropped)", lost, sizeof(lost)))
		return text;
	snprintf(buf, size, "%" JSON_INTEGER_FORMAT " (%s", reply_int(a, bytes, 0), lost);
	return buf;
}

static void attempt_row(struct table *t, const json_t *a)
{
	char n[32], at[64], wall[64], cpu[64], rss[32], out[96], err[96], end[512];

	table_row(t, (const char *[]){ show_int(a, "attempt", "", n, sizeof(n)), times_show(reply_text(a, "started_at"), at, sizeof(at)),
		  times_show_seconds(reply_real(a, "wall_s", -1), wall, sizeof(wall)),
		  times_show_seconds(reply_real(a, "cpu_s", -1), cpu, sizeof(cpu)), show_int(a, "maxrss_kb", "K", rss, sizeof(rss)),
		  show_output(a, "out_bytes", "out_dropped", out, sizeof(out)), show_output(a, "err_bytes", "err_dropped", err, sizeof(err)),
		  render_end(a, end, sizeof(end)), reply_text(a, "message") });
}

static void show_attempts(const json_t *attempts)
{
	struct table *t = table_new(attempt_columns, sizeof(attempt_columns) / sizeof(*attempt_columns));
	json_t *a;
	size_t i;

	json_array_foreach((json_t *)attempts, i, a)
		attempt_row(t, a);
	if (json_array_size(attempts))
		putchar('\n');
	table_print(t, stdout);
	table_free(t);
}

static void progress_line(const json_t *job)
{
	const json_t *progress = json_object_get(job, "progress");
	char text[128];

	if (progress)
		line("progress", transfer_text(progress, text, sizeof(text)));
}

static void show_job(const json_t *reply, const json_t *job)
{
	const char *key;
	json_t *value;

	number_line("run", json_object_get(reply, "run"), "run");
	line("path", reply_text(job, "path"));
	state_line(job);
	progress_line(job);
	number_line("attempts", job, "attempts");
	time_line("started", job, "started_at");
	time_line("ended", job, "ended_at");
	line("containment", reply_text(reply, "containment"));
	json_object_foreach(json_object_get(reply, "spec"), key, value)
		spec_line(key, value);
	show_attempts(json_object_get(reply, "attempts"));
}

static void show(const struct options *o, const json_t *reply)
{
	const json_t *job = json_object_get(reply, "job");

	if (o->json)
		render_json(stdout, reply);
	else if (json_is_object(job))
		show_job(reply, job);
	else
		show_run(json_object_get(reply, "run"));
}

int cmd_show(const struct options *o)
{
	struct vl_conn *conn = NULL;
	json_t *reply = NULL;
	struct address a;
	int rc = address_read(o->args[0], &a);

	if (rc)
		return rc;
	rc = conn_open(o, CONN_MAY_START, &conn);
	if (rc == 0)
		rc = call(conn, "Get", json_pack("{s:s, s:s*}", "run", a.run, "path", a.path), &reply);
	if (rc == 0)
		show(o, reply);
	json_decref(reply);
	vl_close(conn);
	address_done(&a);
	return rc;
}
