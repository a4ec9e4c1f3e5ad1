/* SPDX-License-Identifier: MIT */
/*
 * why: from a job to the root cause. Explain walks from what a job waits for, or was skipped because of, to the next, and gives a step
 * for each; a chain that is longer than one reply is walked on from where it stopped. Of a failure, the end of what the job said and the
 * commands that go on from there.
 */
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "call.h"
#include "conn.h"
#include "evidence.h"
#include "render.h"
#include "verbs.h"

#define REPLIES_MAX 20          /* a person has seen enough */
#define EVIDENCE_MAX 3          /* of so many failures of a run the end of their standard error is shown */

struct why {
	const struct options *o;
	struct vl_conn *conn;
	const char *run;
	int n_bad;              /* failures whose evidence was shown */
	char *wordy;            /* the first of them that wrote something */
};

/* What an ended job has left. Steps on the way are told in a line; the cause is shown. */
static void print_evidence(struct why *w, const json_t *reason)
{
	const char *what = reply_text(reason, "what"), *path = reply_text(reason, "path");
	enum evidence left;

	if (!what || !path || w->n_bad >= EVIDENCE_MAX || (strcmp(what, "ended") != 0 && strcmp(what, "lost") != 0))
		return;
	left = evidence_print(stdout, w->conn, w->run, path);
	w->n_bad += left != EVIDENCE_NONE;
	if (left == EVIDENCE_OUTPUT && !w->wordy)
		w->wordy = xstrdup(path);
}

static void print_reason(struct why *w, const json_t *reason)
{
	if (w->o->json) {
		render_json(stdout, reason);
		return;
	}
	fputs("  - ", stdout);
	render_text(stdout, reply_text(reason, "text") ? reply_text(reason, "text") : "");
	putchar('\n');
	print_evidence(w, reason);
}

static void print_reply(struct why *w, const char *path, const json_t *reply)
{
	const char *state = reply_text(reply, "state");
	json_t *reason;
	size_t i;

	if (!w->o->json) {
		render_text(stdout, path ? path : w->run);
		fputs(": ", stdout);
		render_state(stdout, state ? state : "?");
		putchar('\n');
	}
	json_array_foreach(json_object_get(reply, "reasons"), i, reason)
		print_reason(w, reason);
}

/* What one does next about a failure. */
static void print_ways_on(const struct why *w)
{
	if (w->wordy) {
		fputs("all it wrote: jobctl logs ", stdout);
		render_text(stdout, w->run);
		putchar('/');
		render_text(stdout, w->wordy);
		putchar('\n');
	}
	fputs("once it is mended: jobctl retry ", stdout);
	render_text(stdout, w->run);
	fputs(" (what failed and what needs it; what is ok stays)\n", stdout);
}

/* The job that the last step waits for: it has a step of its own unless the reply was full. Borrowed; NULL: the root was reached. */
static const char *rest(const json_t *reply)
{
	const json_t *reasons = json_object_get(reply, "reasons"), *last = json_array_get(reasons, json_array_size(reasons) - 1);

	return json_string_value(json_array_get(json_object_get(last, "jobs"), 0));
}

static int explain(struct why *w, const char *path, char **ret_rest)
{
	json_t *reply = NULL;
	int rc = call(w->conn, "Explain", json_pack("{s:s, s:s*}", "run", w->run, "path", path), &reply);

	if (rc == 0) {
		print_reply(w, path, reply);
		*ret_rest = path && rest(reply) ? xstrdup(rest(reply)) : NULL;
	}
	json_decref(reply);
	return rc;
}

static int walk(struct why *w, const char *from)
{
	char *path = NULL, *next = NULL;
	int rc = explain(w, from, &next);

	for (int i = 1; rc == 0 && next && i < REPLIES_MAX; i++) {
		path = next;
		next = NULL;
		rc = explain(w, path, &next);
		free(path);
	}
	free(next);
	return rc;
}

int cmd_why(const struct options *o)
{
	struct why w = { .o = o };
	struct address a;
	int rc = address_read(o->args[0], &a);

	if (rc)
		return rc;
	w.run = a.run;
	rc = conn_open(o, CONN_MAY_START, &w.conn);
	if (rc == 0)
		rc = walk(&w, a.path);
	if (rc == 0 && w.n_bad)
		print_ways_on(&w);
	free(w.wordy);
	vl_close(w.conn);
	address_done(&a);
	return rc;
}
