/* SPDX-License-Identifier: MIT */
/* tree: the jobs of a run as a tree, with their states. */
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "call.h"
#include "conn.h"
#include "pages.h"
#include "render.h"
#include "talk.h"
#include "times.h"
#include "transfer.h"
#include "tree_order.h"
#include "verbs.h"

struct rows {
	json_t **v;
	size_t n, cap;
};

static int keep_row(void *arg, const json_t *row)
{
	struct rows *rows = arg;

	if (!reply_text(row, "path"))
		return 0;
	if (rows->n == rows->cap) {
		rows->cap = rows->cap ? 2 * rows->cap : 1024;
		rows->v = xrealloc(rows->v, rows->cap, sizeof(*rows->v));
	}
	rows->v[rows->n++] = json_incref((json_t *)row);
	return 0;
}

static int by_tree(const void *a, const void *b)
{
	return tree_order_cmp(reply_text(*(json_t *const *)a, "path"), reply_text(*(json_t *const *)b, "path"));
}

static void draw_state(void *arg, size_t i, FILE *out)
{
	const struct rows *rows = arg;
	const json_t *row = rows->v[i];
	const char *state = reply_text(row, "state"), *ended = reply_text(row, "ended_at");
	double took = times_between(reply_text(row, "started_at"), ended);
	char end[512], text[128];

	fputs("  ", out);
	render_state(out, state ? state : "?");
	if (json_object_get(row, "progress"))
		fprintf(out, " %s", transfer_text(json_object_get(row, "progress"), text, sizeof(text)));
	render_end(row, end, sizeof(end));
	if (*end && strcmp(end, "exit 0") != 0) {
		fputs(" (", out);
		render_text(out, end);
		fputc(')', out);
	}
	if (took >= 0)
		fprintf(out, " %s", times_show_seconds(took, text, sizeof(text)));
	if (reply_int(row, "attempts", 0) > 1)
		fprintf(out, ", %" JSON_INTEGER_FORMAT " attempts", reply_int(row, "attempts", 0));
}

static void draw(struct rows *rows)
{
	const char **paths = xcalloc(rows->n, sizeof(*paths));

	if (rows->n)
		qsort(rows->v, rows->n, sizeof(*rows->v), by_tree);
	for (size_t i = 0; i < rows->n; i++)
		paths[i] = reply_text(rows->v[i], "path");
	tree_draw(paths, rows->n, stdout, draw_state, rows);
	free(paths);
}

static int json_row(void *arg, const json_t *row)
{
	(void)arg;
	render_json(stdout, row);
	return 0;
}

int cmd_tree(const struct options *o)
{
	struct rows rows = { 0 };
	struct listing l = { .limit = o->limit, .row = o->json ? json_row : keep_row, .arg = &rows };
	struct vl_conn *conn = NULL;
	struct address a;
	int rc = address_read(o->args[0], &a);

	if (rc)
		return rc;
	l.run = a.run;
	l.path = a.path;
	rc = conn_open(o, CONN_MAY_START, &conn);
	if (rc == 0)
		rc = pages_walk(conn, &l);
	if (rc == 0)
		draw(&rows);
	for (size_t i = 0; i < rows.n; i++)
		json_decref(rows.v[i]);
	free(rows.v);
	vl_close(conn);
	address_done(&a);
	return rc;
}
