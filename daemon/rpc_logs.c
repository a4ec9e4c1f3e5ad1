/* SPDX-License-Identifier: MIT */
/*
 * RPC - Logs: the output of an attempt, from its file or from its record, once or as it grows.
 *
 * A follower holds the file open and is woken by inotify, by the start and by the end of the attempt, and by its own connection
 * when that has room again. It reads 48 KiB at a time, so that nobody else waits.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/base64.h"
#include "gap.h"
#include "growth.h"
#include "log.h"
#include "rpc.h"

#define CHUNK (48 * 1024)

struct logs_params {
	const char *run, *path;
	int stream;
	int64_t attempt, offset;
	bool follow;
};
static const char *const streams[] = { "out", "err", NULL };
static const struct field logs_fields[] = {
	FIELD_STRING("run", struct logs_params, run, 1, 255, FIELD_REQUIRED),
	FIELD_STRING("path", struct logs_params, path, 1, JT_PATH_MAX, FIELD_REQUIRED),
	FIELD_CHOICE("stream", struct logs_params, stream, streams, FIELD_REQUIRED),
	FIELD_INT("attempt", struct logs_params, attempt, 1, UINT32_MAX - 1, 0),
	FIELD_INT("offset", struct logs_params, offset, 0, INT64_MAX, 0),
	FIELD_BOOL("follow", struct logs_params, follow, 0),
	FIELD_END
};

struct follower {
	struct engine *e;
	struct call *call;              /* NULL: aborted */
	uint64_t id;
	uint32_t attempt;
	bool err, follow, asking;
	bool waits;                     /* for room, with the next piece */
	int fd;
	int64_t offset;
	int64_t size;                   /* of what has been written, when it was looked at last */
	int64_t dropped;                /* bytes ahead of the next piece that were not kept */
	struct growth *growth;
	LIST_ENTRY(follower) entry;
};

static void follower_free(struct follower *f)
{
	LIST_REMOVE(f, entry);
	growth_free(f->growth);
	if (f->fd >= 0)
		close(f->fd);
	free(f);
}

static void aborted(void *arg, struct call *call)
{
	struct follower *f = arg;

	(void)call;
	f->call = NULL;
	if (!f->asking)
		follower_free(f);
}

static json_t *chunk_json(struct follower *f, const char *data, size_t n, bool eof)
{
	char *text = xcalloc(1, BASE64_SIZE(n));
	json_t *o;

	base64_encode(data, n, text);
	f->offset += (int64_t)n;
	o = json_pack("{s:s, s:I, s:b, s:I}", "data_b64", text, "offset", (json_int_t)f->offset, "eof", eof, "size", (json_int_t)f->size);
	free(text);
	if (f->dropped)
		json_object_set_new(o, "dropped", json_integer(f->dropped));
	f->dropped = 0;
	return o;
}

static json_t *heartbeat(void *arg)
{
	return chunk_json(arg, "", 0, false);
}

static void finish(struct follower *f, const char *data, size_t n, bool eof)
{
	call_reply(f->call, chunk_json(f, data, n, eof));
	f->call = NULL;
	follower_free(f);
}

/* The attempt can still write: it runs, or may yet start. */
static bool may_grow(const struct follower *f)
{
	struct active *a = active_find(f->e, f->id);
	struct run *r = engine_run(f->e, JOB_RUN(f->id));

	if (a && a->attempt == f->attempt)
		return true;
	return r && !run_is_final(r) && r->sched && f->attempt > run_mem(r, JOB_IDX(f->id))->attempts &&
	       !jt_state_is_final(jt_job_state(r->sched, JOB_IDX(f->id)));
}

/* ---- gaps ---- */

static void skip_gap(struct follower *f, const struct gap *g)
{
	if (f->offset < g->at || f->offset >= g->end)
		return;
	f->dropped += g->end - f->offset;
	f->offset = g->end;
}

/* ---- from the record -------------------------------------------------------------------------------------------------------- */

/* It is neither in its file nor in the record: to keep to output_total it was given up. */
static void finish_without(struct follower *f, int64_t size)
{
	f->dropped = size - f->offset;
	f->offset = size;
	finish(f, "", 0, true);
}

/* data is what is kept: head and tail without the gap. */
static void send_packed(struct follower *f, const char *data, int64_t size, const struct gap *g)
{
	size_t n = f->offset < g->at ? (size_t)(g->at - f->offset) : 0;

	if (n && !f->follow) {
		finish(f, data + f->offset, n, false);
		return;
	}
	if (n)
		call_continue(f->call, chunk_json(f, data + f->offset, n, false));
	skip_gap(f, g);
	finish(f, data + gap_kept(g, f->offset), (size_t)(size - f->offset), true);
}

static void recorded(struct store_op *op)
{
	struct follower *f = op->arg;
	const struct store_attempt *at = op->n_attempts ? &op->attempts[0] : NULL;
	const char *data = at ? f->err ? at->err : at->out : NULL;
	int64_t size = at ? f->err ? at->err_bytes : at->out_bytes : 0;

	f->asking = false;
	f->size = size > 0 ? size : 0;
	if (!f->call)
		follower_free(f);
	else if (data && f->offset < size)
		send_packed(f, data, size, f->err ? &at->err_gap : &at->out_gap);
	else if (f->offset < size)
		finish_without(f, size);
	else
		finish(f, "", 0, true);
}

static void ask_record(struct follower *f)
{
	struct store_op *op = engine_op(f->e, ST_GET_OUTPUT, NULL);

	f->asking = true;
	op->id = f->id;
	op->attempt.attempt = f->attempt;
	op->urgent = true;
	op->done = recorded;
	op->arg = f;
	engine_post(f->e, op);
}

/* ---- from the file ------------------------------------------------------------------------------------------------------------ */

static void step(struct follower *f);

static void grown(void *arg)
{
	step(arg);
}

static void watch_file(struct follower *f)
{
	if (f->growth || !f->follow)
		return;
	f->growth = growth_watch(f->e->base, f->fd, grown, f);
	if (!f->growth)
		log_warn("logs -f: no inotify: %s", strerror(errno));
}

static void drained(void *arg, struct call *call)
{
	struct follower *f = arg;

	(void)call;
	f->waits = false;
	step(f);
}

static bool open_file(struct follower *f)
{
	if (f->fd < 0) {
		f->fd = output_fd(f->e, f->id, f->attempt, f->err);
		if (f->fd >= 0)
			watch_file(f);
	}
	return f->fd >= 0;
}

static struct gap gap_now(struct follower *f)
{
	struct stat st;

	if (fstat(f->fd, &st) < 0)
		return (struct gap){ 0 };
	f->size = st.st_size;
	return gap_read(f->fd, st.st_size);
}

/*
 * The next piece, not across a gap. A gap is written down before it is punched: what was read where there is none afterwards either is
 * what the job wrote. *ret_all: this is all that there is so far.
 */
static ssize_t read_piece(struct follower *f, char buf[CHUNK], bool *ret_all)
{
	struct gap before = gap_now(f), after;
	size_t want = CHUNK;
	ssize_t n;

	for (;; before = after) {
		skip_gap(f, &before);
		want = f->offset < before.at && before.at - f->offset < CHUNK ? (size_t)(before.at - f->offset) : CHUNK;
		n = pread(f->fd, buf, want, f->offset);
		if (n < 0)
			break;
		after = gap_now(f);
		if (n == 0 || after.at == after.end || f->offset + n <= after.at || f->offset >= after.end)
			break;
	}
	*ret_all = n < (ssize_t)want;
	return n;
}

static void cannot_read(struct follower *f, int error)
{
	struct req_error err = { 0 };

	req_fail(&err, output_is_lacking(error) ? "org.jobd.Busy" : "org.jobd.Failed", "what the job wrote cannot be read: %s%s", strerror(error),
		 output_is_lacking(error) ? "; it is there: try again later" : "");
	call_fail(f->call, &err);
	f->call = NULL;
	follower_free(f);
}

/* The next one goes when the others have had their turn, be the client ever so quick, and when there is room for it. */
static void send_piece(struct follower *f, const char *data, size_t n)
{
	call_continue(f->call, chunk_json(f, data, n, false));
	f->waits = true;
	call_on_drain(f->call, drained, f);
}

static void step(struct follower *f)
{
	bool grows = may_grow(f), all = false;
	char buf[CHUNK];
	ssize_t n;

	if (f->asking || f->waits)
		return;
	if (!open_file(f)) {
		if (output_is_lacking(errno))
			cannot_read(f, errno);
		else if (!grows)
			ask_record(f);
		else if (!f->follow)
			finish(f, "", 0, false);
		return;
	}
	n = read_piece(f, buf, &all);
	if (n < 0)
		cannot_read(f, errno);
	else if (!f->follow)
		finish(f, buf, (size_t)n, all && !grows);
	else if (n || f->dropped)
		send_piece(f, buf, (size_t)n);
	else if (!grows)
		finish(f, "", 0, true);
}

void logs_attempt_changed(struct engine *e, uint64_t id)
{
	struct follower *f, *next;

	for (f = LIST_FIRST(&e->followers); f; f = next) {
		next = LIST_NEXT(f, entry);
		if (f->id == id && f->call)
			step(f);
	}
}

/* ---- the call ------------------------------------------------------------------------------------------------------------------- */

struct logs_arg {
	struct logs_params p;
	char path[JT_PATH_MAX + 1];
};

static void no_such_attempt(struct call *call, const struct run *r, const struct logs_arg *la, uint32_t begun)
{
	struct req_error err = { .run = r->id };

	snprintf(err.path, sizeof(err.path), "%.255s", la->path);
	req_fail(&err, "org.jobd.NoSuchJob", "job \"%.500s\" has no attempt %u: it has been started %u time%s", la->path,
		 (unsigned)la->p.attempt, begun, begun == 1 ? "" : "s");
	call_fail(call, &err);
}

static void begin(struct call *call, struct run *r, void *arg)
{
	const struct logs_arg *la = arg;
	struct follower *f;
	uint32_t begun;
	jt_job j;

	if (!rpc_job(call, r, la->path, &j))
		return;
	begun = run_mem(r, j)->attempts;
	if (la->p.attempt > begun) {
		no_such_attempt(call, r, la, begun);
		return;
	}
	f = xcalloc(1, sizeof(*f));
	*f = (struct follower){ .e = r->e, .call = call, .id = JOB_ID(r->id, j), .err = la->p.stream, .fd = -1, .offset = la->p.offset,
				.follow = la->p.follow && call_wants_more(call) };
	f->attempt = la->p.attempt ? (uint32_t)la->p.attempt : begun ? begun : 1;
	LIST_INSERT_HEAD(&r->e->followers, f, entry);
	call_on_abort(call, aborted, f);
	call_set_heartbeat(call, heartbeat, f);
	step(f);
}

void rpc_logs(void *ctx, struct call *call, const json_t *params)
{
	struct logs_params p = { 0 };
	struct logs_arg *la;
	struct run *r;

	if (!rpc_read(call, params, logs_fields, &p) || !(r = rpc_run(ctx, call, p.run, MAY_READ)))
		return;
	la = xcalloc(1, sizeof(*la));
	la->p = p;
	snprintf(la->path, sizeof(la->path), "%s", p.path);
	rpc_on_run(call, r, begin, la);
}
