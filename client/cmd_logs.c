/* SPDX-License-Identifier: MIT */
/* logs: what a job has written; its stdout to ours, its stderr to ours. */
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "call.h"
#include "conn.h"
#include "log_pump.h"
#include "render.h"
#include "talk.h"
#include "verbs.h"

/* No output, and no word about it, would look like a job with nothing to say. */
static void mention_why_none(struct vl_conn *conn, const struct address *a)
{
	json_t *got = call_try(conn, "Get", json_pack("{s:s, s:s}", "run", a->run, "path", a->path));
	const json_t *attempts = json_object_get(got, "attempts"), *last = json_array_get(attempts, json_array_size(attempts) - 1);

	if (got && json_array_size(attempts) == 0)
		mention("%s/%s has not been started; `jobctl why %s/%s` says why", a->run, a->path, a->run, a->path);
	else if (reply_text(last, "message"))
		mention("%s/%s: %s", a->run, a->path, reply_text(last, "message"));
	json_decref(got);
}

static int show(const struct options *o, const struct address *a)
{
	struct log_stream streams[2];
	size_t n = 0;
	int rc = 0;

	if (o->out || !o->err)
		streams[n++] = (struct log_stream){ .name = "out", .fd = STDOUT_FILENO };
	if (o->err || !o->out)
		streams[n++] = (struct log_stream){ .name = "err", .fd = o->err && !o->out ? STDOUT_FILENO : STDERR_FILENO };
	for (size_t i = 0; i < n; i++) {
		streams[i].run = a->run;
		streams[i].path = a->path;
		streams[i].attempt = o->attempt;
		streams[i].escape = !o->raw && isatty(streams[i].fd);
		if (rc == 0)
			rc = conn_open(o, CONN_MAY_START, &streams[i].conn);
		if (rc == 0 && i == 0 && !o->follow && o->attempt == INT64_MIN)
			mention_why_none(streams[i].conn, a);
		if (rc == 0 && !o->follow)
			rc = log_copy(&streams[i]);
	}
	if (rc == 0 && o->follow)
		rc = log_follow_all(streams, n);
	for (size_t i = 0; i < n; i++)
		vl_close(streams[i].conn);
	return rc;
}

int cmd_logs(const struct options *o)
{
	struct address a;
	int rc = address_read_job(o->args[0], &a);

	if (rc)
		return rc;
	signal(SIGPIPE, SIG_DFL);       /* `| head` has read enough: nothing is left to say */
	rc = show(o, &a);
	address_done(&a);
	return rc;
}
