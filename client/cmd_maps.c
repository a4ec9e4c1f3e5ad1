/* SPDX-License-Identifier: MIT */
/* map list, map stop: the maps of the daemon, as others see them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "call.h"
#include "conn.h"
#include "render.h"
#include "status.h"
#include "talk.h"
#include "verbs.h"

static const char *const keys[] = {
	"run", "name", "stage", "owner", "state", "slots", "window", "in_hand", "running", "put", "ended", "failed", "delivered", NULL
};
static const struct column columns[] = {
	{ "RUN", COLUMN_RIGHT }, { "STATE", COLUMN_STATE }, { "SLOTS", COLUMN_RIGHT }, { "WINDOW", COLUMN_RIGHT }, { "RUNNING", COLUMN_RIGHT },
	{ "IN HAND", COLUMN_RIGHT }, { "DELIVERED", COLUMN_RIGHT }, { "FAILED", COLUMN_RIGHT }, { "STAGE", COLUMN_RIGHT }, { "NAME", COLUMN_LAST },
};
#define N_COLUMNS (sizeof(columns) / sizeof(*columns))

static void add_row(struct table *t, const json_t *row)
{
	static const char *const numbers[] = { "run", "slots", "window", "running", "in_hand", "delivered", "failed" };
	enum { RUN, SLOTS, WINDOW, RUNNING, IN_HAND, DELIVERED, FAILED, N_NUMBERS };
	char text[N_NUMBERS][32], stage[32] = "";

	for (size_t i = 0; i < N_NUMBERS; i++)
		snprintf(text[i], sizeof(text[i]), "%" JSON_INTEGER_FORMAT, reply_int(row, numbers[i], 0));
	if (reply_int(row, "stage", 0))
		snprintf(stage, sizeof(stage), "%" JSON_INTEGER_FORMAT, reply_int(row, "stage", 0));
	table_row(t, (const char *[]){ text[RUN], reply_text(row, "state"), text[SLOTS], text[WINDOW], text[RUNNING], text[IN_HAND], text[DELIVERED],
		  text[FAILED], stage, reply_text(row, "name") });
}

static void print(const struct options *o, const json_t *maps)
{
	struct table *t = o->json ? NULL : table_new(columns, N_COLUMNS);
	const json_t *row;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)maps, i, row) {
		if (t)
			add_row(t, row);
		else
			render_row(stdout, row, keys);
	}
	if (t)
		table_print(t, stdout);
	table_free(t);
}

int map_list(const struct options *o)
{
	struct vl_conn *conn;
	json_t *reply = NULL;
	int rc = conn_open(o, CONN_ONLY_IF_RUNNING, &conn);

	if (rc)
		return rc;
	rc = call(conn, "MapList", json_object(), &reply);
	if (rc == 0)
		print(o, json_object_get(reply, "maps"));
	json_decref(reply);
	vl_close(conn);
	return rc;
}

/* ---- stop -------------------------------------------------------------------------------------------------------------------- */

static json_t *control_params(const char *run, bool drain)
{
	return json_pack("{s:s, s:s}", "run", run, "how", drain ? "drain" : "stop");
}

static const json_t *row_of(const json_t *maps, json_int_t run)
{
	const json_t *row;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)maps, i, row)
		if (reply_int(row, "run", 0) == run)
			return row;
	return NULL;
}

/* Whether `row` is the map of a stage behind the one of `first`, and has no client that would end it together with that. */
static bool is_further_stage(const json_t *row, const json_t *first)
{
	json_int_t stage = reply_int(row, "stage", 0);
	char *name = xasprintf("%s.%" JSON_INTEGER_FORMAT, reply_text(first, "name"), stage);
	bool is = reply_int(first, "stage", 0) == 1 && stage > 1 && strcmp(name, reply_text(row, "name")) == 0 &&
		  reply_int(row, "owner", -1) == reply_int(first, "owner", -2) && strcmp(reply_text(row, "state"), "waiting") == 0;

	free(name);
	return is;
}

/* One that has just ended by itself is none the worse. */
static void stop_further_stages(struct vl_conn *conn, const json_t *maps, const json_t *first, bool drain)
{
	const json_t *row;
	char run[32];
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)maps, i, row) {
		if (!is_further_stage(row, first))
			continue;
		snprintf(run, sizeof(run), "%" JSON_INTEGER_FORMAT, reply_int(row, "run", 0));
		json_decref(call_try(conn, "MapControl", control_params(run, drain)));
	}
}

/* The rows are as they were before: the first stage may be none any more when it is stopped. */
static int stop_one(struct vl_conn *conn, const char *map, bool drain)
{
	json_t *reply = NULL, *list = call_try(conn, "MapList", json_object());
	const json_t *maps = json_object_get(list, "maps"), *first;
	int rc = call(conn, "MapControl", control_params(map, drain), &reply);

	first = rc ? NULL : row_of(maps, reply_int(reply, "run", 0));
	if (first)
		stop_further_stages(conn, maps, first, drain);
	json_decref(reply);
	json_decref(list);
	return rc;
}

/* All are tried; the first failure gives the status. */
int map_stop(const struct options *o)
{
	struct vl_conn *conn;
	int rc = conn_open(o, CONN_ONLY_IF_RUNNING, &conn);

	if (rc)
		return rc;
	for (size_t i = 0; i < o->n_args; i++) {
		int one = stop_one(conn, o->args[i], o->drain);

		rc = rc ? rc : one;
	}
	vl_close(conn);
	return rc;
}
