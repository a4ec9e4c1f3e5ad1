/* SPDX-License-Identifier: MIT */
#include "outcome.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "call.h"
#include "conn.h"
#include "escape.h"
#include "event_line.h"
#include "interrupt.h"
#include "progress.h"
#include "render.h"
#include "status.h"
#include "talk.h"
#include "transfer.h"

#define LIVE_MS 200             /* between two drawings of the live line */

int outcome_exit(const char *state)
{
	if (strcmp(state, "ok") == 0)
		return CTL_OK;
	if (strcmp(state, "failed") == 0 || strcmp(state, "cancelled") == 0)
		return CTL_JOB_FAILED;
	return -1;
}

int outcome_wait(struct vl_conn *conn, const char *run)
{
	int signals = interrupt_fd(), rc;
	json_t *reply = NULL;

	vl_conn_wake(conn, signals);
	rc = call(conn, "Wait", json_pack("{s:[{s:s}]}", "targets", "run", run), &reply);
	if (rc == 0)
		rc = (int)reply_int(reply, "exit", CTL_JOB_FAILED);
	else if (rc == CTL_INTERRUPTED)
		mention("detached; the run goes on. `jobctl wait %s` comes back, `jobctl cancel %s` ends it", run, run);
	json_decref(reply);
	vl_conn_wake(conn, -1);
	if (signals >= 0)
		close(signals);
	return rc;
}

/* ---- following -------------------------------------------------------------------------------------------------------- */

struct follow {
	const char *run;
	struct vl_conn *watch;          /* events come here */
	struct vl_conn *ask;            /* counts are asked here */
	int signals;
	FILE *out;
	bool live;
	struct progress progress;
	double drawn_s;
	json_t *tenths;                 /* path -> how many tenths of a fetch were told, where there is no live line */
	char state[32];                 /* of the run, as asked last */
};

static double now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static size_t width_of(FILE *out)
{
	struct winsize ws;

	return ioctl(fileno(out), TIOCGWINSZ, &ws) == 0 && ws.ws_col > 1 ? ws.ws_col - 1u : 79;
}

static int ask_counts(struct follow *f)
{
	json_t *reply = NULL;
	int rc = call(f->ask, "Get", json_pack("{s:s}", "run", f->run), &reply);
	const json_t *run = json_object_get(reply, "run");
	const char *state = reply_text(run, "state");

	if (rc == 0) {
		progress_counts(&f->progress, json_object_get(run, "counts"), now_s());
		snprintf(f->state, sizeof(f->state), "%s", state ? state : "");
	}
	json_decref(reply);
	return rc;
}

static void clear_line(struct follow *f)
{
	if (f->live)
		fputs("\r\033[K", f->out);
}

static int draw(struct follow *f)
{
	struct buf line = { 0 };
	int rc = ask_counts(f);

	if (rc)
		return rc;
	clear_line(f);
	progress_line(&f->progress, width_of(f->out), &line);
	fwrite(line.p, 1, line.len, f->out);
	fflush(f->out);
	buf_done(&line);
	f->drawn_s = now_s();
	return 0;
}

/* What stays on the screen above the live line: failures, also of attempts, and everything where there is no live line. */
static bool is_worth_a_line(const struct follow *f, const json_t *event)
{
	const char *state = reply_text(event, "state"), *kind = reply_text(event, "kind");

	if (!f->live)
		return true;
	if (!reply_text(event, "path"))
		return false;           /* the end of the run: the summary says it */
	if (kind && strcmp(kind, "retrying") == 0)
		return true;
	return state && (strcmp(state, "failed") == 0 || strcmp(state, "lost") == 0 || strcmp(state, "warned") == 0);
}

/* On the live line all of it; else a line for each tenth. */
static void take_progress(struct follow *f, const json_t *event, const char *path)
{
	const json_t *progress = json_object_get(event, "progress");
	int tenths = transfer_percent(progress) / 10;
	struct buf line = { 0 };
	char text[128];

	if (f->live) {
		buf_printf(&line, "%s %s", path, transfer_text(progress, text, sizeof(text)));
		progress_newest(&f->progress, buf_text(&line));
		buf_done(&line);
	} else if (tenths != reply_int(f->tenths, path, 0)) {
		json_object_set_new(f->tenths, path, json_integer(tenths));
		event_line(f->out, event, EVENT_OF_ONE_RUN);
	}
}

static void take_event(struct follow *f, const json_t *event)
{
	const char *kind = reply_text(event, "kind"), *path = reply_text(event, "path");

	if (path && kind && strcmp(kind, "progress") == 0) {
		take_progress(f, event, path);
		return;
	}
	if (!kind || strcmp(kind, "heartbeat") == 0)
		return;
	if (path && strcmp(kind, "started") == 0)
		progress_newest(&f->progress, path);
	if (!is_worth_a_line(f, event))
		return;
	clear_line(f);
	event_line(f->out, event, EVENT_OF_ONE_RUN);
}

/* 0, or why not: CTL_INTERRUPTED when nobody reads any more (`follow | head`). */
static int take_events(struct follow *f, const json_t *reply)
{
	json_t *event;
	size_t i;

	json_array_foreach(json_object_get(reply, "events"), i, event)
		take_event(f, event);
	if (fflush(f->out) == 0)
		return 0;
	return errno == EPIPE ? CTL_INTERRUPTED : complain(CTL_JOB_FAILED, "cannot write what happens: %s", strerror(errno));
}

/* Until an event has come, a signal, or the time to draw again. 1: events; 0: time; -1: a signal. */
static int await(struct follow *f)
{
	struct pollfd p[] = { { .fd = vl_conn_fd(f->watch), .events = POLLIN }, { .fd = f->signals, .events = POLLIN } };
	int n;

	if (vl_pending(f->watch))
		return 1;
	do {
		n = poll(p, 2, f->live ? LIVE_MS : -1);
	} while (n < 0 && errno == EINTR);
	return p[1].revents ? -1 : p[0].revents ? 1 : 0;
}

static int detach(struct follow *f)
{
	clear_line(f);
	mention("detached; the run goes on. `jobctl follow %s` comes back, `jobctl cancel %s` ends it", f->run, f->run);
	return CTL_INTERRUPTED;
}

static int follow_events(struct follow *f)
{
	int last = 0, rc = f->live ? draw(f) : 0;

	while (rc == 0 && !last) {
		json_t *reply = NULL;
		int what = await(f);

		if (what < 0)
			return detach(f);
		if (what > 0)
			rc = call_next(f->watch, &reply, &last);
		if (rc == 0)
			rc = take_events(f, reply);
		if (rc == 0 && f->live && now_s() - f->drawn_s >= LIVE_MS / 1000.0)
			rc = draw(f);
		json_decref(reply);
	}
	return rc;
}

static int summarise(struct follow *f)
{
	struct buf line = { 0 };
	int rc;

	free(f->progress.newest);
	f->progress.newest = NULL;
	rc = ask_counts(f);
	if (rc)
		return rc;
	clear_line(f);
	fprintf(f->out, "run %s: ", f->run);
	render_state(f->out, f->state);
	progress_line(&f->progress, 0, &line);
	fprintf(f->out, ", %s\n", buf_text(&line));
	fflush(f->out);
	buf_done(&line);
	rc = outcome_exit(f->state);
	if (rc == CTL_JOB_FAILED)
		mention("`jobctl why %s` tells more", f->run);
	return rc < 0 ? complain(CTL_JOB_FAILED, "the events of run %s ended while it was %s", f->run, f->state) : rc;
}

int outcome_follow(const struct options *o, struct vl_conn *conn, const char *run, enum outcome_output output)
{
	struct follow f = { .run = run, .watch = conn, .out = output == OUTCOME_TO_STDOUT ? stdout : stderr };
	const char *term = getenv("TERM");
	int rc = conn_open(o, CONN_ONLY_IF_RUNNING, &f.ask);

	if (rc)
		return rc;
	if (isatty(STDERR_FILENO) && term && strcmp(term, "dumb") != 0) {
		f.live = true;
		f.out = stderr;
	}
	f.signals = interrupt_fd();
	f.tenths = json_object();
	progress_init(&f.progress, now_s());
	rc = call_begin(f.watch, "Watch", json_pack("{s:s, s:i, s:b}", "run", run, "since", 0, "progress", 1), VL_MORE);
	if (rc == 0)
		rc = follow_events(&f);
	if (rc == 0)
		rc = summarise(&f);
	progress_done(&f.progress);
	json_decref(f.tenths);
	vl_close(f.ask);
	if (f.signals >= 0)
		close(f.signals);
	return rc;
}
