/* SPDX-License-Identifier: MIT */
/* submit, add, seal: from a file to a run. */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "buf.h"
#include "call.h"
#include "conn.h"
#include "interrupt.h"
#include "outcome.h"
#include "source.h"
#include "status.h"
#include "submission.h"
#include "talk.h"
#include "verbs.h"

/* What the command line says wins over the file; the working directory of this jobctl is that of the jobs unless the file says other. */
static int overlay_options(json_t *run, const struct options *o)
{
	char *cwd = json_object_get(run, "cwd") ? NULL : getcwd(NULL, 0);
	int bad = 0;

	if (o->name)
		bad |= json_object_set_new(run, "name", json_string(o->name));
	if (o->key)
		bad |= json_object_set_new(run, "key", json_string(o->key));
	if (o->workers != INT64_MIN)
		bad |= json_object_set_new(run, "workers", json_integer(o->workers));
	if (cwd && cwd[0] == '/' && json_object_set_new(run, "cwd", json_string(cwd)) != 0)
		mention("the name of the working directory is not UTF-8; the jobs start in /");
	free(cwd);
	return bad ? complain(CTL_USAGE, "--name and --key must be UTF-8") : 0;
}

struct feeding {
	struct source *src;
	struct submission sub;
	bool announced, attended;       /* attended: its end is waited for here */
};

/* The number goes out as soon as it is durable: of a stream, before the pipe that feeds it is closed. */
static void announce(struct feeding *f)
{
	if (f->announced || f->sub.mode == SUBMISSION_ADD)
		return;
	printf("%" PRId64 "\n", f->sub.run);
	fflush(stdout);
	f->announced = true;
	if (f->sub.existing && f->sub.mode == SUBMISSION_STREAM)
		mention("run %" PRId64 " has this key already; nothing is added to it", f->sub.run);
}

/* Everything the source has goes into the submission; a stream that pauses is sent on at once. */
static int feed(struct feeding *feeding)
{
	struct submission *sub = &feeding->sub;
	struct source_job job;
	struct fault f;
	int got, rc = 0;

	while (rc == 0 && (got = source_next(feeding->src, &job, &f)) != 0) {
		if (got < 0)
			return complain(f.status, "%s", f.text);
		rc = submission_job(sub, &job);
		if (rc == 0 && sub->mode != SUBMISSION_WHOLE && source_would_block(feeding->src)) {
			rc = submission_flush(sub);
			if (rc == 0)
				announce(feeding);
		}
	}
	return rc;
}

static int send_all(struct feeding *f)
{
	int rc = feed(f);

	if (rc == 0)
		rc = submission_end(&f->sub);
	if (rc == 0 && f->attended)
		interrupt_hold();       /* who has seen the number may interrupt the wait for its end */
	if (rc == 0)
		announce(f);
	return rc;
}

static int watch_it(const struct options *o, struct vl_conn *conn, int64_t run)
{
	char number[24];

	snprintf(number, sizeof(number), "%" PRId64, run);
	if (o->follow)
		return outcome_follow(o, conn, number, OUTCOME_TO_STDERR);
	return o->wait ? outcome_wait(conn, number) : 0;
}

static int submit_source(const struct options *o, struct source *src)
{
	struct feeding f = { .src = src, .attended = o->wait || o->follow };
	struct vl_conn *conn;
	int rc = overlay_options(source_run(src), o);

	if (rc == 0)
		rc = conn_open(o, CONN_MAY_START, &conn);
	if (rc)
		return rc;
	submission_init(&f.sub, conn, o->open ? SUBMISSION_STREAM : SUBMISSION_WHOLE, src, 0);
	rc = send_all(&f);
	if (rc == 0)
		rc = watch_it(o, conn, f.sub.run);
	submission_done(&f.sub);
	vl_close(conn);
	return rc;
}

int cmd_submit(const struct options *o)
{
	struct source *src;
	int rc = source_open_named(o->args[0], o->format, &src);

	if (rc)
		return rc;
	rc = submit_source(o, src);
	source_free(src);
	return rc;
}

/* The number of the run that address names: Add and Seal take numbers. */
static int run_number(struct vl_conn *conn, const char *run, int64_t *ret)
{
	json_t *reply = NULL;
	int rc = call(conn, "Get", json_pack("{s:s}", "run", run), &reply);

	if (rc == 0)
		*ret = json_integer_value(json_object_get(json_object_get(reply, "run"), "run"));
	json_decref(reply);
	return rc;
}

static int add_source(const struct options *o, const char *run, struct source *src)
{
	struct feeding f = { .src = src };
	struct vl_conn *conn;
	int64_t number;
	int rc;

	if (json_object_size(source_run(src)))
		return complain(CTL_REFUSED, "%s has options of a run; they are given when it is submitted, here only jobs are taken",
				source_file(src));
	rc = conn_open(o, CONN_MAY_START, &conn);
	if (rc)
		return rc;
	rc = run_number(conn, run, &number);
	if (rc == 0) {
		submission_init(&f.sub, conn, SUBMISSION_ADD, src, number);
		rc = send_all(&f);
		if (rc && f.sub.n_added)
			mention("%" PRIu64 " jobs had been added before", f.sub.n_added);
		submission_done(&f.sub);
	}
	vl_close(conn);
	return rc;
}

int cmd_add(const struct options *o)
{
	struct address a;
	struct source *src;
	int rc = address_read_run(o->args[0], &a);

	if (rc)
		return rc;
	rc = source_open_named(o->args[1], o->format, &src);
	if (rc == 0) {
		rc = add_source(o, a.run, src);
		source_free(src);
	}
	address_done(&a);
	return rc;
}

int cmd_seal(const struct options *o)
{
	struct address a;
	struct vl_conn *conn = NULL;
	json_t *reply = NULL;
	int64_t number;
	int rc = address_read(o->args[0], &a);

	if (rc)
		return rc;
	rc = conn_open(o, CONN_MAY_START, &conn);
	if (rc == 0)
		rc = run_number(conn, a.run, &number);
	if (rc == 0)
		rc = call(conn, "Seal", json_pack("{s:I, s:s*}", "run", (json_int_t)number, "path", a.path), &reply);
	json_decref(reply);
	vl_close(conn);
	address_done(&a);
	return rc;
}
