/* SPDX-License-Identifier: MIT */
#include "pages.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "call.h"

#define PAGE 1000

static json_t *state_list(const char *states)
{
	char *copy = xstrdup(states), *rest = copy, *one;
	json_t *list = json_array();

	while ((one = strsep(&rest, ",")))
		if (*one)
			json_array_append_new(list, json_string(one));
	free(copy);
	return list;
}

static json_t *params_of(const struct listing *l, const char *cursor, int64_t left)
{
	json_t *p = json_pack("{s:s*, s:s*, s:s*, s:I}", "run", l->run, "path", l->path, "cursor", cursor, "limit",
			      (json_int_t)(left < PAGE ? left : PAGE));

	if (p && l->states)
		json_object_set_new(p, "states", state_list(l->states));
	return p;
}

static int walk_page(const struct listing *l, const json_t *reply, int64_t *left)
{
	json_t *rows = json_object_get(reply, l->run ? "jobs" : "runs"), *row;
	size_t i;
	int rc = 0;

	json_array_foreach(rows, i, row) {
		if (rc || *left == 0)
			break;
		rc = l->row(l->arg, row);
		--*left;
	}
	if (l->page_end)
		l->page_end(l->arg);
	return rc;
}

int pages_walk(struct vl_conn *conn, const struct listing *l)
{
	int64_t left = l->limit == INT64_MIN ? INT64_MAX : l->limit;
	char *cursor = NULL;
	int rc = 0, more = 1;

	while (rc == 0 && more && left > 0 && !ferror(stdout)) {
		json_t *reply = NULL;
		const char *next;

		rc = call(conn, "List", params_of(l, cursor, left), &reply);
		if (rc == 0)
			rc = walk_page(l, reply, &left);
		next = json_string_value(json_object_get(reply, "next"));
		free(cursor);
		cursor = next ? xstrdup(next) : NULL;
		more = next != NULL;
		json_decref(reply);
	}
	free(cursor);
	return rc;
}
