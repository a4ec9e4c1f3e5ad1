/* SPDX-License-Identifier: MIT */
/*
 * Submit - three ways in: whole (Submit), bulk (Open, Add..., Seal: nothing is visible before the seal), stream (Open, Add..., Seal: each Add is
 * all or nothing by itself and may start at once). Maps come by submit_map.c.
 *
 * Everything is checked before the first record is posted; the answer leaves when the last record is durable.
 */
#include <stdlib.h>
#include <string.h>

#include "failpoint.h"
#include "log.h"
#include "proto/varlink.h"
#include "rpc.h"
#include "submit.h"

/* A run on its way in. */
struct arrival {
	struct call *call;
	struct run *run, *same;         /* same: one that was submitted with this key before */
	struct jt_changes ch;
	struct req_error err;
};

static json_t *reply_run(const struct run *r, bool existing)
{
	return json_pack("{s:I, s:b}", "run", (json_int_t)r->id, "existing", existing);
}

/* Nobody has seen it. An open bulk has been recorded already. */
static void forget(struct run *r)
{
	if (r->bulk_session) {
		LIST_REMOVE(r, bulk);
		engine_post(r->e, engine_op(r->e, ST_RUN_DROP, r));
	}
	run_forget(r);
}

static void show(struct arrival *a)
{
	struct run *r = a->run;

	submit_show_run(r);
	outcome_changes(r, &a->ch);
	run_set_deadline(r);
	run_wants(r);
	run_check_end(r);
	if (MUTANT("ack_before_commit"))
		call_reply(a->call, reply_run(r, false));
	else
		reply_settled(r->e, a->call, reply_run(r, false));
}

/* The end of all three ways. rc: as submit_check_key; 0: it has been recorded. */
static void arrive(struct arrival *a, int rc)
{
	if (rc == 0)
		show(a);
	else if (rc > 0)
		reply_settled(a->run->e, a->call, reply_run(a->same, true));
	else
		call_fail(a->call, &a->err);
	if (rc != 0)
		forget(a->run);
	jt_changes_done(&a->ch);
}

/* ---- Submit ----------------------------------------------------------------------------------------------------------- */

/* The whole run is built and checked in memory. As submit_check_key. */
static int build_whole(struct arrival *a, const json_t *jobs, struct batch *b)
{
	struct req_error *err = &a->err;
	struct run *r = a->run;
	struct jt_error je;
	jt_job first;
	int rc = batch_read(b, r, jobs, err);

	if (rc == 0)
		rc = submit_check_key(r, &a->same, err);
	if (rc == 0)
		rc = batch_check_quota(b, r, err);
	if (rc != 0)
		return rc;
	if (b->n && jt_sched_add(r->sched, b->specs, b->n, &first, &a->ch, &je) < 0)
		return refuse_tree(err, &je, je.job < b->n ? b->specs[je.job].path : NULL);
	r->n_jobs = (uint32_t)b->n;
	return submit_begin(r, &a->ch, err);
}

static void record_whole(struct run *r, struct batch *b)
{
	free(r->mem);
	r->mem = b->mem;
	r->mem_cap = b->n + 1;
	b->mem = NULL;
	b->op->id = JOB_ID(r->id, 0);
	b->op->n_jobs = b->n;
	batch_charge(b, r);
	submit_post_run(r);
	engine_post(r->e, b->op);
	b->op = NULL;
	r->sealed = true;
}

void submit_whole(struct engine *e, struct call *call, const json_t *options, const json_t *jobs)
{
	struct arrival a = { .call = call };
	struct batch b;
	int rc;

	a.run = submit_new_run(e, call, options, SUBMIT_WHOLE, &a.err);
	if (!a.run) {
		call_fail(call, &a.err);
		return;
	}
	batch_init(&b, a.run, json_array_size(jobs));
	rc = build_whole(&a, jobs, &b);
	if (rc == 0)
		record_whole(a.run, &b);
	arrive(&a, rc);
	batch_done(&b);
}

/* ---- Open, Add, Seal ---------------------------------------------------------------------------------------------------- */

static int begin_if_new(struct arrival *a)
{
	int rc = submit_check_key(a->run, &a->same, &a->err);

	return rc == 0 ? submit_begin(a->run, &a->ch, &a->err) : rc;
}

static void open_bulk(struct run *r, struct call *call)
{
	r->bulk_session = call_session(call);
	r->bulk_at_ns = now_ns();
	LIST_INSERT_HEAD(&r->e->bulks, r, bulk);
	submit_post_run(r);
	call_reply(call, reply_run(r, false));
}

static void seal_bulk(struct run *r, struct call *call)
{
	struct arrival a = { .call = call, .run = r };
	int rc = begin_if_new(&a);

	if (rc == 0) {
		LIST_REMOVE(r, bulk);
		r->bulk_session = NULL;
		r->sealed = true;
	}
	arrive(&a, rc);
}

static void open_stream(struct run *r, struct call *call)
{
	struct arrival a = { .call = call, .run = r };
	int rc;

	if (r->key)             /* its jobs are not known yet: what they start from counts instead */
		spec_hash_job(r->spec, &r->spec->base, &r->hash);
	rc = begin_if_new(&a);
	if (rc == 0)
		submit_post_run(r);
	arrive(&a, rc);
}

void submit_open(struct engine *e, struct call *call, const json_t *options, const char *mode)
{
	enum submit_mode m = strcmp(mode, "bulk") == 0 ? SUBMIT_BULK : SUBMIT_STREAM;
	struct req_error err = { 0 };
	struct run *r = submit_new_run(e, call, options, m, &err);

	if (!r)
		call_fail(call, &err);
	else if (m == SUBMIT_BULK)
		open_bulk(r, call);
	else
		open_stream(r, call);
}

static int refuse_map(const struct run *r, struct req_error *err)
{
	if (!r->is_map)
		return 0;
	return req_fail(err, "org.jobd.WrongState", "run %u is a map: items are put by the client that has it", r->id);
}

void submit_add(struct engine *e, struct call *call, struct run *r, const json_t *jobs)
{
	struct req_error err = { 0 };
	struct jt_changes ch = { 0 };
	json_t *reply = json_pack("{s:I}", "added", (json_int_t)json_array_size(jobs));

	if (submit_check_open(e, &err) < 0 || refuse_map(r, &err) < 0 || (!r->stream && r->state != RUN_BULK &&
	    req_fail(&err, "org.jobd.WrongState", "run %u was submitted whole: jobs can be added to open runs only", r->id) < 0) ||
	    (run_is_final(r) && req_fail(&err, "org.jobd.WrongState", "run %u has ended: nothing can be added", r->id) < 0) ||
	    submit_add_jobs(r, jobs, &ch, &err) < 0) {
		call_fail(call, &err);
		json_decref(reply);
	} else if (r->state == RUN_BULK) {
		reply_lazily(e, call, reply);
	} else {
		outcome_changes(r, &ch);
		run_wants(r);
		reply_settled(e, call, reply);
	}
	jt_changes_done(&ch);
}

static void post_sealed_dir(struct run *r, const char *path)
{
	struct store_op *op = engine_op(r->e, ST_SEALED_DIR, r);

	op->path = xstrdup(path);
	engine_event(op, r, JT_NONE, EV_SEALED);
	op->done = notice_op;
	engine_post(r->e, op);
}

static void seal_stream(struct engine *e, struct call *call, struct run *r, const char *path)
{
	struct req_error err = { 0 };
	struct jt_changes ch = { 0 };
	struct jt_error je;

	if (jt_sched_seal(r->sched, path, path ? strlen(path) : 0, &ch, &je) < 0) {
		refuse_tree(&err, &je, path);
		call_fail(call, &err);
		return;
	}
	if (path) {
		post_sealed_dir(r, path);
	} else {
		r->sealed = true;
		submit_post_run_set(r, EV_SEALED);
	}
	outcome_changes(r, &ch);
	jt_changes_done(&ch);
	run_wants(r);
	run_check_end(r);
	reply_settled(e, call, reply_run(r, false));
}

void submit_seal(struct engine *e, struct call *call, struct run *r, const char *path)
{
	struct req_error err = { 0 };

	if (refuse_map(r, &err) < 0) {
		call_fail(call, &err);
	} else if (r->state == RUN_BULK && !path) {
		seal_bulk(r, call);
	} else if (r->stream && r->sched && !run_is_final(r)) {
		seal_stream(e, call, r, path);
	} else if (r->sealed && !path) {
		reply_settled(e, call, reply_run(r, false));
	} else {
		req_fail(&err, "org.jobd.WrongState", "run %u is not open: there is nothing to seal", r->id);
		call_fail(call, &err);
	}
}

/* ---- bulks that are not sealed ------------------------------------------------------------------------------------------- */

struct run *submit_find_bulk(struct engine *e, struct session *s, uint32_t id)
{
	struct run *r;

	LIST_FOREACH(r, &e->bulks, bulk)
		if (r->id == id && r->bulk_session == s)
			return r;
	return NULL;
}

void submit_session_closed(struct engine *e, struct session *s)
{
	struct run *r, *next;

	for (r = LIST_FIRST(&e->bulks); r; r = next) {
		next = LIST_NEXT(r, bulk);
		if (r->bulk_session == s) {
			log_info("run %u: its client went away before the seal; forgotten", r->id);
			forget(r);
		}
	}
}

void submit_forget_old(struct engine *e)
{
	struct run *r, *next;

	for (r = LIST_FIRST(&e->bulks); r; r = next) {
		next = LIST_NEXT(r, bulk);
		if (now_ns() - r->bulk_at_ns > INT64_C(3600000000000)) {
			log_info("run %u: not sealed within an hour; forgotten", r->id);
			forget(r);
		}
	}
}
