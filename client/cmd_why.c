/* SPDX-License-Identifier: MIT */
/*
 * why: from a job to the root cause. Explain walks from what a job waits for, or was skipped because of, to the next, and gives a step
 * for each; a chain that is longer than one reply is walked on from where it stopped.
 */
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "call.h"
#include "conn.h"
#include "render.h"
#include "verbs.h"

#define REPLIES_MAX 20          /* a person has seen enough */

static void print_reason(const struct options *o, const json_t *reason)
{
	if (o->json) {
		render_json(stdout, reason);
		return;
	}
	fputs("  - ", stdout);
	render_text(stdout, reply_text(reason, "text") ? reply_text(reason, "text") : "");
	putchar('\n');
}

static void print_reply(const struct options *o, const char *run, const char *path, const json_t *reply)
{
	const char *state = reply_text(reply, "state");
	json_t *reason;
	size_t i;

	if (!o->json) {
		render_text(stdout, path ? path : run);
		fputs(": ", stdout);
		render_state(stdout, state ? state : "?");
		putchar('\n');
	}
	json_array_foreach(json_object_get(reply, "reasons"), i, reason)
		print_reason(o, reason);
}

/* The job that the last step waits for: it has a step of its own unless the reply was full. Borrowed; NULL: the root was reached. */
static const char *rest(const json_t *reply)
{
	const json_t *reasons = json_object_get(reply, "reasons"), *last = json_array_get(reasons, json_array_size(reasons) - 1);

	return json_string_value(json_array_get(json_object_get(last, "jobs"), 0));
}

static int explain(const struct options *o, struct vl_conn *conn, const char *run, const char *path, char **ret_rest)
{
	json_t *reply = NULL;
	int rc = call(conn, "Explain", json_pack("{s:s, s:s*}", "run", run, "path", path), &reply);

	if (rc == 0) {
		print_reply(o, run, path, reply);
		*ret_rest = path && rest(reply) ? xstrdup(rest(reply)) : NULL;
	}
	json_decref(reply);
	return rc;
}

static int walk(const struct options *o, struct vl_conn *conn, const struct address *a)
{
	char *path = NULL, *next = NULL;
	int rc = explain(o, conn, a->run, a->path, &next);

	for (int i = 1; rc == 0 && next && i < REPLIES_MAX; i++) {
		path = next;
		next = NULL;
		rc = explain(o, conn, a->run, path, &next);
		free(path);
	}
	free(next);
	return rc;
}

int cmd_why(const struct options *o)
{
	struct vl_conn *conn = NULL;
	struct address a;
	int rc = address_read(o->args[0], &a);

	if (rc)
		return rc;
	rc = conn_open(o, CONN_MAY_START, &conn);
	if (rc == 0)
		rc = walk(o, conn, &a);
	vl_close(conn);
	address_done(&a);
	return rc;
}
