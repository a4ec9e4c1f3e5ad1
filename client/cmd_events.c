/* SPDX-License-Identifier: MIT */
/* events, follow: what happens, as it happens. */
#include <string.h>

#include "call.h"
#include "conn.h"
#include "event_line.h"
#include "outcome.h"
#include "render.h"
#include "verbs.h"

struct output {
	const struct options *o;
	json_int_t last;                /* number of the newest event that was shown */
	size_t n;                       /* in the reply at hand */
};

static void show_event(struct output *out, const json_t *event)
{
	const char *kind = reply_text(event, "kind");

	if (kind && strcmp(kind, "heartbeat") == 0)
		return;
	if (out->o->json)
		render_json(stdout, event);
	else
		event_line(stdout, event, out->o->n_args ? EVENT_OF_ONE_RUN : EVENT_OF_ANY_RUN);
	out->last = reply_int(event, "seq", out->last);
	out->n++;
}

static int show_events(void *arg, const json_t *reply)
{
	struct output *out = arg;
	json_t *event;
	size_t i;

	out->n = 0;
	json_array_foreach(json_object_get(reply, "events"), i, event)
		show_event(out, event);
	return fflush(stdout) == 0 ? 0 : -1;    /* nobody reads any more */
}

static json_t *watch_params(const char *run, json_int_t since)
{
	return json_pack("{s:s*, s:I}", "run", run, "since", since);
}

/* Without -f: reply after reply, until there is nothing newer. */
static int show_past(struct vl_conn *conn, const char *run, struct output *out)
{
	int rc;

	do {
		json_t *reply = NULL;

		rc = call(conn, "Watch", watch_params(run, out->last), &reply);
		if (rc == 0)
			rc = show_events(out, reply);
		json_decref(reply);
	} while (rc == 0 && out->n);
	return rc;
}

int cmd_events(const struct options *o)
{
	struct output out = { .o = o, .last = o->since == INT64_MIN ? 0 : o->since };
	struct address a = { 0 };
	struct vl_conn *conn = NULL;
	int rc = o->n_args ? address_read_run(o->args[0], &a) : 0;

	if (rc)
		return rc;
	rc = conn_open(o, CONN_MAY_START, &conn);
	if (rc == 0 && o->follow)
		rc = call_more(conn, "Watch", watch_params(a.run, out.last), show_events, &out);
	else if (rc == 0)
		rc = show_past(conn, a.run, &out);
	vl_close(conn);
	address_done(&a);
	return rc < 0 ? 0 : rc;
}

int cmd_follow(const struct options *o)
{
	struct vl_conn *conn = NULL;
	struct address a;
	int rc = address_read_run(o->args[0], &a);

	if (rc)
		return rc;
	rc = conn_open(o, CONN_MAY_START, &conn);
	if (rc == 0)
		rc = outcome_follow(o, conn, a.run, OUTCOME_TO_STDOUT);
	vl_close(conn);
	address_done(&a);
	return rc;
}
