/* SPDX-License-Identifier: MIT */
/*
 * why: from a job to the root cause. Explain tells what one job waits for or why it ended; where that is another job, the walk goes
 * on with that one, until it comes to something that waits for no job: a slot, a time, a hold, an end of its own.
 */
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "call.h"
#include "conn.h"
#include "render.h"
#include "verbs.h"

#define STEPS_MAX 100           /* of the walk: a person has seen enough, and a chain may be long */

struct walk {
	const struct options *o;
	struct vl_conn *conn;
	const char *run;
	json_t *seen;           /* paths that have been explained, or named by an explanation of another */
};

static bool has_seen(const struct walk *w, const char *path)
{
	return json_object_get(w->seen, path) != NULL;
}

/* The job to go on with: the first one named by the reasons that has not been explained. Borrowed from reply; NULL: the root. */
static const char *next_job(const struct walk *w, const json_t *reasons)
{
	json_t *reason, *job;
	size_t i, k;

	json_array_foreach((json_t *)reasons, i, reason) {
		json_array_foreach(json_object_get(reason, "jobs"), k, job)
			if (json_is_string(job) && !has_seen(w, json_string_value(job)))
				return json_string_value(job);
		if (reply_text(reason, "path") && !json_array_size(json_object_get(reason, "jobs")) && !has_seen(w, reply_text(reason, "path")))
			return reply_text(reason, "path");
	}
	return NULL;
}

static void print_step(const struct walk *w, const char *path, const json_t *reply, int depth)
{
	const char *state = reply_text(reply, "state");
	json_t *reason;
	size_t i;

	printf("%*s", 2 * depth, "");
	render_text(stdout, path ? path : w->run);
	fputs(": ", stdout);
	render_state(stdout, state ? state : "?");
	putchar('\n');
	json_array_foreach(json_object_get(reply, "reasons"), i, reason) {
		printf("%*s- ", 2 * depth + 2, "");
		render_text(stdout, reply_text(reason, "text") ? reply_text(reason, "text") : "");
		putchar('\n');
	}
}

static void print_json(const char *path, const json_t *reply)
{
	json_t *row = json_pack("{s:s?, s:O?, s:O?}", "path", path, "state", json_object_get(reply, "state"), "reasons",
				json_object_get(reply, "reasons"));

	render_json(stdout, row);
	json_decref(row);
}

static int explain(struct walk *w, const char *path, json_t **ret)
{
	return call(w->conn, "Explain", json_pack("{s:s, s:s*}", "run", w->run, "path", path), ret);
}

static int walk(struct walk *w, const char *first)
{
	char *path = first ? xstrdup(first) : NULL;
	int rc = 0, more = 1;

	for (int depth = 0; rc == 0 && more && depth < STEPS_MAX; depth++) {
		json_t *reply = NULL;
		const char *next;

		if (path)
			json_object_set_new(w->seen, path, json_true());
		rc = explain(w, path, &reply);
		if (rc == 0 && w->o->json)
			print_json(path, reply);
		else if (rc == 0)
			print_step(w, path, reply, depth);
		next = next_job(w, json_object_get(reply, "reasons"));
		free(path);
		path = next ? xstrdup(next) : NULL;
		more = next != NULL;
		json_decref(reply);
	}
	free(path);
	return rc;
}

int cmd_why(const struct options *o)
{
	struct walk w = { .o = o, .seen = json_object() };
	struct address a = { 0 };
	int rc = address_read(o->args[0], &a);

	if (rc == 0)
		rc = conn_open(o, CONN_MAY_START, &w.conn);
	w.run = a.run;
	if (rc == 0)
		rc = walk(&w, a.path);
	json_decref(w.seen);
	vl_close(w.conn);
	address_done(&a);
	return rc;
}
