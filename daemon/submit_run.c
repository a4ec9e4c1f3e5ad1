/* SPDX-License-Identifier: MIT */
/* A submission becomes a run: it is made of its options, recorded, found to have been submitted before, shown, and begun. */
#include <stdlib.h>

#include "proto/varlink.h"
#include "submit.h"

#define RUNS_MAX UINT32_C(2000000000)    /* their table is indexed by number */

char *submit_options_text(const json_t *obj)
{
	size_t len;
	char *text = obj ? vl_pack(obj, &len) : xstrdup("{}");

	if (!text)
		abort();
	return text;
}

/* The options of a map come by another door. */
static int check_no_map(const json_t *options, enum submit_mode mode, struct req_error *err)
{
	if (mode == SUBMIT_MAP || !json_object_get(options, "map"))
		return 0;
	req_fail(err, "org.jobd.Refused", "map is no field of a run: see the method Map");
	return req_at(err, "map", NULL);
}

static int fill_run(struct run *r, const json_t *options, enum submit_mode mode, struct req_error *err)
{
	struct spec_error se;
	struct jt_error je;

	if (check_no_map(options, mode, err) < 0)
		return -1;
	r->options = submit_options_text(options);
	r->stream = mode == SUBMIT_STREAM || mode == SUBMIT_MAP;
	r->is_map = mode == SUBMIT_MAP;
	r->submitted_at_us = now_us();
	if (run_read_options(r, &se) < 0)
		return refuse_spec(err, &se);
	if (submit_check_defaults(r, err) < 0)
		return -1;
	if (run_make_sched(r, &je) < 0)
		return refuse_tree(err, &je, NULL);
	r->name = xstrdup(r->spec->name);
	r->key = xstrdup(r->spec->key);
	if (r->key)
		spec_hash_run(r->spec, &r->hash);
	return 0;
}

struct run *submit_new_run(struct engine *e, struct call *call, const json_t *options, enum submit_mode mode, struct req_error *err)
{
	const struct server_peer *peer = session_peer(call_session(call));
	struct run *r;

	if (submit_check_open(e, err) < 0)
		return NULL;
	if (e->next_run > RUNS_MAX) {
		req_fail(err, "org.jobd.Busy", "all run numbers up to %u have been used: give jobd a new state directory", RUNS_MAX);
		return NULL;
	}
	r = run_new(e, e->next_run);
	r->uid = peer->uid;
	r->gid = peer->gid;
	r->state = RUN_BULK;
	if (fill_run(r, options, mode, err) < 0) {
		run_forget(r);
		return NULL;
	}
	e->next_run++;
	return r;
}

void submit_post_run(struct run *r)
{
	struct store_op *op = engine_op(r->e, ST_RUN_NEW, r);

	run_record(r, op);
	op->run.name = xstrdup(r->name);
	op->run.options = xstrdup(r->options);
	op->run.hash[0] = r->hash.lo;
	op->run.hash[1] = r->hash.hi;
	op->run.uid = r->uid;
	op->run.gid = r->gid;
	engine_post(r->e, op);
}

void submit_post_run_set(struct run *r, enum event_kind kind)
{
	struct store_op *op = engine_op(r->e, ST_RUN_SET, r);

	run_record(r, op);
	op->run.key = xstrdup(r->key);
	op->run.hash[0] = r->hash.lo;
	op->run.hash[1] = r->hash.hi;
	engine_event(op, r, JT_NONE, kind);
	op->event.state = (uint8_t)run_shown_state(r);
	op->done = notice_op;
	engine_post(r->e, op);
}

/*
 * What was posted of a run until now may be in an earlier commit than this. It stands there as a bulk, without its key: should
 * there be no later commit, a start forgets it, and the client's repetition is a new run.
 */
void submit_show_run(struct run *r)
{
	r->state = RUN_RUNNING;
	run_index(r);
	submit_post_run_set(r, EV_SUBMITTED);
}

int submit_check_key(struct run *r, struct run **ret_same, struct req_error *err)
{
	struct run *old = r->key ? engine_find_key(r->e, r->uid, r->key) : NULL;

	if (!old || old->removing)      /* its record goes before that of this run comes */
		return 0;
	if (old->hash.lo == r->hash.lo && old->hash.hi == r->hash.hi) {
		*ret_same = old;
		return 1;
	}
	err->run = old->id;
	req_fail(err, "org.jobd.KeyConflict", "key \"%.200s\" was used for run %u with other content: nothing was stored; choose another key", r->key,
		 old->id);
	return req_at(err, "key", r->key);
}

int submit_begin(struct run *r, struct jt_changes *ch, struct req_error *err)
{
	struct jt_error je;

	run_set_period(r);
	if (jt_sched_begin(r->sched, ch, &je) == 0)
		return 0;
	return refuse_tree(err, &je, je.job < r->n_jobs ? jt_job_path(r->sched, je.job, NULL) : NULL);
}
