/* SPDX-License-Identifier: MIT */
/* map list, map stop: the maps of the daemon, as others see them. */
#include <stdio.h>
#include <string.h>

#include "call.h"
#include "conn.h"
#include "render.h"
#include "status.h"
#include "talk.h"
#include "verbs.h"

static const char *const keys[] = {
	"run", "name", "owner", "state", "slots", "window", "in_hand", "running", "put", "ended", "failed", "delivered", NULL
};
static const struct column columns[] = {
	{ "RUN", COLUMN_RIGHT }, { "STATE", COLUMN_STATE }, { "SLOTS", COLUMN_RIGHT }, { "WINDOW", COLUMN_RIGHT }, { "RUNNING", COLUMN_RIGHT },
	{ "IN HAND", COLUMN_RIGHT }, { "DELIVERED", COLUMN_RIGHT }, { "FAILED", COLUMN_RIGHT }, { "NAME", COLUMN_LAST },
};
#define N_COLUMNS (sizeof(columns) / sizeof(*columns))

static void add_row(struct table *t, const json_t *row)
{
	static const char *const numbers[] = { "run", "slots", "window", "running", "in_hand", "delivered", "failed" };
	enum { RUN, SLOTS, WINDOW, RUNNING, IN_HAND, DELIVERED, FAILED, N_NUMBERS };
	char text[N_NUMBERS][32];

	for (size_t i = 0; i < N_NUMBERS; i++)
		snprintf(text[i], sizeof(text[i]), "%" JSON_INTEGER_FORMAT, reply_int(row, numbers[i], 0));
	table_row(t, (const char *[]){ text[RUN], reply_text(row, "state"), text[SLOTS], text[WINDOW], text[RUNNING], text[IN_HAND], text[DELIVERED],
		  text[FAILED], reply_text(row, "name") });
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

static int stop_one(struct vl_conn *conn, const char *map, bool drain)
{
	json_t *reply = NULL;
	int rc = call(conn, "MapControl", json_pack("{s:s, s:s}", "run", map, "how", drain ? "drain" : "stop"), &reply);

	json_decref(reply);
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
