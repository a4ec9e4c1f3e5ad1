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
#include "evidence.h"
#include "exit_code.h"
#include "hold_up.h"
#include "interrupt.h"
#include "log_pump.h"
#include "render.h"
#include "run_job.h"
#include "status.h"
#include "talk.h"
#include "verbs.h"

/* An interrupted one is waited for all the same, since the job is to be cancelled then; the second time it is given up. */
static int await_answer(struct vl_conn *conn, int signals, bool *ret_interrupted)
{
	struct pollfd p[2] = { { .fd = vl_conn_fd(conn), .events = POLLIN }, { .fd = signals, .events = POLLIN } };

	while (!p[0].revents) {
		if (poll(p, 2, -1) < 0 && errno != EINTR)
			return complain(CTL_NO_DAEMON, "cannot wait for the daemon: %s", strerror(errno));
		if (!p[1].revents || !interrupt_take(signals))
			continue;
		if (*ret_interrupted)
			return complain(CTL_INTERRUPTED, "interrupted again: whether the daemon has taken the job is not known; `jobctl ls` tells when it answers");
		mention("interrupted: the job is cancelled as soon as the daemon answers; interrupt once more to give up");
		*ret_interrupted = true;
	}
	return 0;
}

static int submit(const struct options *o, struct vl_conn *conn, const char *name, int signals, bool *ret_interrupted, int64_t *ret_run)
{
	json_t *params = NULL, *reply = NULL;
	int last, rc = run_job_params(o, name, &params);

	if (rc == 0)
		rc = call_begin(conn, "Submit", params, VL_PLAIN);
	if (rc == 0)
		rc = await_answer(conn, signals, ret_interrupted);
	if (rc == 0)
		rc = call_next(conn, &reply, &last);
	if (rc == 0)
		*ret_run = reply_int(reply, "run", 0);
	json_decref(reply);
	return rc;
}

struct attend {
	const struct options *o;
	const char *run, *path;
	struct vl_conn *watch;          /* its events tell which attempts there are */
	struct log_stream logs[2];
	int signals;
	int64_t attempts;               /* begun so far */
	bool run_ended, interrupted;
	struct hold_up hold_up;
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

/* The first time it is said what happens now: a job that does not heed TERM has its grace. */
static int interrupt(struct attend *at)
{
	if (!at->interrupted)
		mention("interrupted: %s/%s is terminated, and killed if it has not ended in %g s", at->run, at->path,
			at->o->grace_s < 0 ? 10 : at->o->grace_s);
	at->interrupted = true;
	return cancel(at);
}

static int take_events(struct attend *at)
{
	json_t *reply = NULL, *event;
	int last = 0, rc = call_next(at->watch, &reply, &last);
	size_t i;

	json_array_foreach(json_object_get(reply, "events"), i, event) {
		const char *kind = reply_text(event, "kind");

		if (kind && strcmp(kind, "started") == 0)
			at->attempts = reply_int(event, "attempt", at->attempts);
	}
	at->run_ended = last;
	json_decref(reply);
	return rc;
}

/* One attempt after the other: a retry's output follows that of the attempt before it. */
static int follow_next_attempt(struct attend *at)
{
	int rc = 0;

	for (int i = 0; rc == 0 && i < 2; i++)
		if (at->logs[i].ended && at->logs[i].attempt < at->attempts) {
			at->logs[i].attempt++;
			rc = log_follow_begin(&at->logs[i]);
		}
	return rc;
}

static bool has_ended(const struct attend *at)
{
	return at->run_ended && at->logs[0].ended && at->logs[1].ended && at->logs[0].attempt >= at->attempts &&
	       at->logs[1].attempt >= at->attempts;
}

/* conn NULL: not one to look at. */
static bool add_fd(struct pollfd *p, struct vl_conn *conn)
{
	*p = (struct pollfd){ .fd = conn ? vl_conn_fd(conn) : -1, .events = POLLIN };
	return conn && vl_pending(conn);
}

/* Milliseconds that there may be nothing to hear; -1: any number. */
static int patience_ms(const struct attend *at, bool pending)
{
	if (pending)
		return 0;
	return at->attempts || at->run_ended || at->interrupted ? -1 : hold_up_wait_ms(&at->hold_up);
}

static int attend_once(struct attend *at)
{
	struct vl_conn *conns[3] = {
		at->run_ended ? NULL : at->watch, at->logs[0].ended ? NULL : at->logs[0].conn, at->logs[1].ended ? NULL : at->logs[1].conn,
	};
	struct pollfd p[4] = { [3] = { .fd = at->signals, .events = POLLIN } };
	bool pending = false;
	int rc = 0;

	for (int i = 0; i < 3; i++)
		pending |= add_fd(&p[i], conns[i]);
	if (poll(p, 4, patience_ms(at, pending)) < 0 && errno != EINTR)
		return complain(CTL_NO_DAEMON, "cannot wait for the job: %s", strerror(errno));
	if (!at->attempts && !at->run_ended && !at->interrupted)
		hold_up_look(&at->hold_up);
	if (p[3].revents && interrupt_take(at->signals))
		rc = interrupt(at);
	if (rc == 0 && conns[0] && (p[0].revents || vl_pending(conns[0])))
		rc = take_events(at);
	for (int i = 0; rc == 0 && i < 2; i++)
		if (conns[1 + i] && (p[1 + i].revents || vl_pending(conns[1 + i])))
			rc = log_follow_next(&at->logs[i]);
	return rc ? rc : follow_next_attempt(at);
}

static int begin(struct attend *at)
{
	static const struct { const char *name; int fd; } streams[] = { { "out", STDOUT_FILENO }, { "err", STDERR_FILENO } };
	int rc = call_begin(at->watch, "Watch", json_pack("{s:s, s:i}", "run", at->run, "since", 0), VL_MORE);

	for (int i = 0; rc == 0 && i < 2; i++) {
		at->logs[i] = (struct log_stream){ .run = at->run, .path = at->path, .name = streams[i].name, .fd = streams[i].fd, .ended = true };
		rc = conn_open(at->o, CONN_ONLY_IF_RUNNING, &at->logs[i].conn);
	}
	return rc;
}

/* An end that is no exit status of its own needs a word. */
static void tell_end(const struct attend *at, const char *state, const char *reason, json_int_t sig)
{
	char *message = strcmp(reason, "spawn") == 0 ? evidence_message(at->watch, at->run, at->path) : NULL;

	if (message)
		mention("%s/%s could not be started: %s", at->run, at->path, message);
	else if (strcmp(reason, "timeout") == 0 && at->o->timeout_s >= 0)
		mention("%s/%s ran longer than its --timeout of %g s and was terminated", at->run, at->path, at->o->timeout_s);
	else if (strcmp(reason, "signal") == 0)
		mention("%s/%s was killed by signal %d (%s)", at->run, at->path, (int)sig, strsignal((int)sig));
	else
		mention("%s/%s: %s, %s; `jobctl why %s/%s` tells more", at->run, at->path, state, reason, at->run, at->path);
	free(message);
}

static int judge(const struct attend *at, const json_t *result)
{
	const char *state = reply_text(result, "state"), *reason = reply_text(result, "reason");

	if (reason && strcmp(reason, "exit") != 0 && !at->interrupted)
		tell_end(at, state ? state : "?", reason, reply_int(result, "signal", 0));
	return exit_code_of(result, state && strcmp(state, "ok") == 0 ? CTL_OK : CTL_JOB_FAILED);
}

static int finish(const struct attend *at)
{
	json_t *reply = NULL;
	int rc = call(at->watch, "Wait", json_pack("{s:[{s:s, s:s}]}", "targets", "run", at->run, "path", at->path), &reply);

	if (rc == 0)
		rc = judge(at, json_array_get(json_object_get(reply, "results"), 0));
	json_decref(reply);
	return rc;
}

static int attend(struct attend *at, const char *socket, bool interrupted)
{
	int rc = begin(at);

	hold_up_begin(&at->hold_up, socket, at->run, at->path);
	if (rc == 0 && interrupted)
		rc = interrupt(at);
	while (rc == 0 && !has_ended(at))
		rc = attend_once(at);
	if (rc == 0)
		rc = finish(at);
	vl_close(at->logs[0].conn);
	vl_close(at->logs[1].conn);
	hold_up_done(&at->hold_up);
	return rc;
}

int cmd_run(const struct options *o)
{
	int signals = o->detach ? -1 : interrupt_fd(), rc;      /* before the submission: a signal then is a cancel, too */
	struct vl_conn *conn = NULL;
	char *name, number[24], *socket = NULL;
	bool interrupted = false;
	int64_t run = 0;

	if (!o->shell && !o->n_args)
		return complain(CTL_USAGE, "run needs a command: jobctl run -- ARGV..., or jobctl run -c 'COMMAND'");
	name = o->name ? xstrdup(o->name) : run_job_name(o);
	rc = conn_open_at(o, CONN_MAY_START, &conn, &socket);
	if (rc == 0)
		rc = submit(o, conn, name, signals, &interrupted, &run);
	snprintf(number, sizeof(number), "%" PRId64, run);
	if (rc == 0 && o->detach)
		puts(number);
	else if (rc == 0)
		rc = attend(&(struct attend){ .o = o, .run = number, .path = name, .watch = conn, .signals = signals }, socket, interrupted);
	free(socket);
	free(name);
	vl_close(conn);
	if (signals >= 0)
		close(signals);
	return rc;
}
