/* SPDX-License-Identifier: MIT */
/*
 * run: one job, as if it had been started here: its output comes out here, INT and TERM are passed on as a cancel, its exit status is
 * ours. What it adds: it survives this terminal, and `jobctl ls` knows about it afterwards.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "buf.h"
#include "call.h"
#include "conn.h"
#include "exit_code.h"
#include "interrupt.h"
#include "log_pump.h"
#include "render.h"
#include "run_job.h"
#include "status.h"
#include "talk.h"
#include "verbs.h"

static int submit(const struct options *o, struct vl_conn *conn, const char *name, int64_t *ret_run)
{
	json_t *params = NULL, *reply = NULL;
	int rc = run_job_params(o, name, &params);

	if (rc == 0)
		rc = call(conn, "Submit", params, &reply);
	if (rc == 0)
		*ret_run = reply_int(reply, "run", 0);
	json_decref(reply);
	return rc;
}

struct attend {
	const struct options *o;
	const char *run, *path;
	struct vl_conn *wait;
	struct log_stream logs[2];
	int signals;
	json_t *result;         /* of Wait, when it has come */
};

/* Over a connection of its own: those at hand are in the middle of calls. */
static int cancel(const struct attend *at)
{
	struct vl_conn *conn;
	json_t *reply = NULL;
	int rc = conn_open(at->o, CONN_ONLY_IF_RUNNING, &conn);

	if (rc)
		return rc;
	rc = call(conn, "Cancel", json_pack("{s:s}", "run", at->run), &reply);
	json_decref(reply);
	vl_close(conn);
	return rc;
}

static int take_result(struct attend *at)
{
	json_t *reply = NULL;
	int last, rc = call_next(at->wait, &reply, &last);

	if (rc == 0)
		at->result = json_incref(json_array_get(json_object_get(reply, "results"), 0));
	if (rc == 0 && !at->result)
		rc = complain(CTL_NO_DAEMON, "the daemon gave no result of the job; jobctl show %s/%s tells", at->run, at->path);
	json_decref(reply);
	return rc;
}

static bool has_ended(const struct attend *at)
{
	return at->result && at->logs[0].ended && at->logs[1].ended;
}

static int attend_once(struct attend *at)
{
	struct pollfd p[4] = {
		{ .fd = at->signals, .events = POLLIN },
		{ .fd = at->result ? -1 : vl_conn_fd(at->wait), .events = POLLIN },
		{ .fd = at->logs[0].ended ? -1 : vl_conn_fd(at->logs[0].conn), .events = POLLIN },
		{ .fd = at->logs[1].ended ? -1 : vl_conn_fd(at->logs[1].conn), .events = POLLIN },
	};
	bool pending = (!at->result && vl_pending(at->wait)) || (!at->logs[0].ended && vl_pending(at->logs[0].conn)) ||
		       (!at->logs[1].ended && vl_pending(at->logs[1].conn));
	int rc = 0;

	if (poll(p, 4, pending ? 0 : -1) < 0 && errno != EINTR)
		return complain(CTL_NO_DAEMON, "cannot wait for the job: %s", strerror(errno));
	if (p[0].revents && interrupt_take(at->signals))
		rc = cancel(at);
	for (int i = 0; rc == 0 && i < 2; i++)
		if (!at->logs[i].ended && (p[2 + i].revents || vl_pending(at->logs[i].conn)))
			rc = log_follow_next(&at->logs[i]);
	if (rc == 0 && !at->result && (p[1].revents || vl_pending(at->wait)))
		rc = take_result(at);
	return rc;
}

static int begin(struct attend *at)
{
	static const struct { const char *name; int fd; } streams[] = { { "out", STDOUT_FILENO }, { "err", STDERR_FILENO } };
	int rc = call_begin(at->wait, "Wait", json_pack("{s:[{s:s, s:s}]}", "targets", "run", at->run, "path", at->path), VL_PLAIN);

	for (int i = 0; rc == 0 && i < 2; i++) {
		at->logs[i] = (struct log_stream){
			.run = at->run, .path = at->path, .name = streams[i].name, .fd = streams[i].fd, .attempt = INT64_MIN,
		};
		rc = conn_open(at->o, CONN_ONLY_IF_RUNNING, &at->logs[i].conn);
		if (rc == 0)
			rc = log_follow_begin(&at->logs[i]);
	}
	return rc;
}

/* An end that is no exit status of its own needs a word. */
static int finish(const struct attend *at)
{
	const char *state = reply_text(at->result, "state"), *reason = reply_text(at->result, "reason");
	bool own = json_is_integer(json_object_get(at->result, "exit_code")) || json_is_integer(json_object_get(at->result, "signal"));

	if (!own)
		mention("%s/%s: %s%s%s; jobctl why %s/%s tells more", at->run, at->path, state ? state : "?", reason ? ": " : "",
			reason ? reason : "", at->run, at->path);
	return exit_code_of(at->result, state && strcmp(state, "ok") == 0 ? CTL_OK : CTL_JOB_FAILED);
}

static int attend(const struct options *o, struct vl_conn *conn, const char *run, const char *path, int signals)
{
	struct attend at = { .o = o, .run = run, .path = path, .wait = conn, .signals = signals };
	int rc = begin(&at);

	while (rc == 0 && !has_ended(&at))
		rc = attend_once(&at);
	if (rc == 0)
		rc = finish(&at);
	vl_close(at.logs[0].conn);
	vl_close(at.logs[1].conn);
	json_decref(at.result);
	return rc;
}

int cmd_run(const struct options *o)
{
	int signals = o->detach ? -1 : interrupt_fd(), rc;      /* before the submission: a signal then is a cancel, too */
	struct vl_conn *conn = NULL;
	char *name, number[24];
	int64_t run = 0;

	if (!o->shell && !o->n_args)
		return complain(CTL_USAGE, "run needs a command: jobctl run -- ARGV..., or jobctl run -c 'COMMAND'");
	name = o->name ? xstrdup(o->name) : run_job_name(o);
	rc = conn_open(o, CONN_MAY_START, &conn);
	if (rc == 0)
		rc = submit(o, conn, name, &run);
	snprintf(number, sizeof(number), "%" PRId64, run);
	if (rc == 0 && o->detach)
		puts(number);
	else if (rc == 0)
		rc = attend(o, conn, number, name, signals);
	free(name);
	vl_close(conn);
	if (signals >= 0)
		close(signals);
	return rc;
}
