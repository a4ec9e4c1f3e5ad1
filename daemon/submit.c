/* SPDX-License-Identifier: MIT */
/*
 * Submit - a submission becomes a run. Three ways in: whole (Submit), bulk (Open, Add..., Seal: nothing is visible before the
 * seal), stream (Open, Add..., Seal: each Add is all or nothing by itself and may start at once).
 *
 * Everything is checked before the first record is posted; the answer leaves when the last record is durable.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine.h"
#include "failpoint.h"
#include "log.h"
#include "map.h"
#include "proto/varlink.h"
#include "rpc.h"

int req_fail(struct req_error *err, const char *name, const char *fmt, ...)
{
	va_list ap;

	err->name = name;
	va_start(ap, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	return -1;
}

int submit_refuse_spec(struct req_error *err, const struct spec_error *se)
{
	req_fail(err, "org.jobd.Refused", "%s", se->text);
	snprintf(err->field, sizeof(err->field), "%s", se->field);
	snprintf(err->path, sizeof(err->path), "%s", se->job);
	return -1;
}

static int refuse_tree(struct req_error *err, const struct jt_error *je, const char *path)
{
	req_fail(err, "org.jobd.Refused", "%s", je->text);
	snprintf(err->field, sizeof(err->field), "path");
	snprintf(err->path, sizeof(err->path), "%.255s", path ? path : "");
	return -1;
}

/* ---- a new run ------------------------------------------------------------------------------------------------------ */

enum submit_mode { WHOLE, BULK, STREAM, MAP };

#define RUNS_MAX UINT32_C(2000000000)    /* their table is indexed by number */

static int check_open(struct engine *e, struct req_error *err)
{
	const char *trouble = store_trouble(e->store);

	if (e->stopping || e->draining)
		return req_fail(err, "org.jobd.Busy", "jobd is shutting down: submit again when it is back");
	if (trouble)
		return req_fail(err, "org.jobd.DiskFull", "%s", trouble);
	return 0;
}

/* Refused here rather than found in the commit, where all that comes behind it would have to wait with it. */
static int check_room(struct engine *e, size_t bytes, struct req_error *err)
{
	if (store_has_room(e->store, bytes))
		return 0;
	health_notice_disk(e);
	return req_fail(err, "org.jobd.DiskFull", "disk full: there is no room in %s for another %zu KiB of jobs; make some, and submit again",
			e->state_dir, bytes / 1024 + 1);
}

static int check_env_of_others(const struct spec_job *s, struct req_error *err)
{
	const char *name = s->user && strcmp(s->user, "root") != 0 ? env_refused_for_others(s) : NULL;

	if (!name)
		return 0;
	req_fail(err, "org.jobd.Refused", "job \"%s\": env: %s is not passed on to a job of another user (%.64s)",
		 s->path ? s->path : "(defaults)", name, s->user);
	snprintf(err->field, sizeof(err->field), "env");
	snprintf(err->path, sizeof(err->path), "%s", s->path ? s->path : "");
	return -1;
}

/* Jobs of others are for root; the daemon runs a job as the run's owner. */
static int check_user(const struct run *r, const struct spec_job *s, struct req_error *err)
{
	if (!s->user && !s->group)
		return 0;
	if (r->uid == 0)
		return check_env_of_others(s, err);
	req_fail(err, "org.jobd.NotAllowed", "job \"%s\": only root may choose `user` or `group`", s->path ? s->path : "(defaults)");
	snprintf(err->field, sizeof(err->field), s->user ? "user" : "group");
	snprintf(err->path, sizeof(err->path), "%s", s->path ? s->path : "");
	return -1;
}

/* The environment to inherit from is that of jobctl, which has looked the names up; jobd has none to give. */
static int check_env_inherit(const struct spec_job *s, struct req_error *err)
{
	if (!s->n_env_inherit)
		return 0;
	req_fail(err, "org.jobd.Refused", "job \"%s\": env_inherit is for jobctl, which puts the values into env", s->path ? s->path : "(defaults)");
	snprintf(err->field, sizeof(err->field), "env_inherit");
	snprintf(err->path, sizeof(err->path), "%s", s->path ? s->path : "");
	return -1;
}

static int check_fetch(const struct engine *e, const struct spec_job *s, struct req_error *err)
{
	if (s->kind != SPEC_FETCH || access(e->fetch_program, X_OK) == 0)
		return 0;
	req_fail(err, "org.jobd.Refused", "job \"%s\": fetch cannot be done here: there is no %s, as this jobd was built without libcurl; use argv or shell",
		 s->path, e->fetch_program);
	snprintf(err->field, sizeof(err->field), "fetch");
	snprintf(err->path, sizeof(err->path), "%s", s->path);
	return -1;
}

static char *dump(const json_t *obj)
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
	if (mode == MAP || !json_object_get(options, "map"))
		return 0;
	snprintf(err->field, sizeof(err->field), "map");
	return req_fail(err, "org.jobd.Refused", "map is no field of a run: see the method Map");
}

static int fill_run(struct run *r, const json_t *options, enum submit_mode mode, struct req_error *err)
{
	struct spec_error se;
	struct jt_error je;

	if (check_no_map(options, mode, err) < 0)
		return -1;
	r->options = dump(options);
	r->stream = mode == STREAM || mode == MAP;
	r->is_map = mode == MAP;
	r->submitted_at_us = now_us();
	if (run_read_options(r, &se) < 0)
		return submit_refuse_spec(err, &se);
	if (check_user(r, &r->spec->base, err) < 0 || check_env_inherit(&r->spec->base, err) < 0)
		return -1;
	if (run_make_sched(r, &je) < 0)
		return refuse_tree(err, &je, NULL);
	r->name = xstrdup(r->spec->name);
	r->key = xstrdup(r->spec->key);
	if (r->key)
		spec_hash_run(r->spec, &r->hash);
	return 0;
}

/* NULL with *err. The run has a number, and is not yet visible: RUN_BULK, not in the indexes. */
static struct run *new_run(struct engine *e, struct call *call, const json_t *options, enum submit_mode mode, struct req_error *err)
{
	const struct server_peer *peer = session_peer(call_session(call));
	struct run *r;

	if (check_open(e, err) < 0)
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

/* A bulk to begin with, whatever it is to be; see show_run. */
static void post_run(struct run *r)
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

static void post_run_set(struct run *r, enum event_kind kind)
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
static void show_run(struct run *r)
{
	r->state = RUN_RUNNING;
	run_index(r);
	post_run_set(r, EV_SUBMITTED);
}

static json_t *reply_run(const struct run *r, bool existing)
{
	return json_pack("{s:I, s:b}", "run", (json_int_t)r->id, "existing", existing);
}

/* Same key: same content is the same run, other content is refused. 1: answered by an existing one; 0: new; -1. */
static int check_key(struct run *r, struct run **ret_old, struct req_error *err)
{
	struct run *old = r->key ? engine_find_key(r->e, r->uid, r->key) : NULL;

	if (!old || old->removing)      /* its record goes before that of this run comes */
		return 0;
	if (old->hash.lo == r->hash.lo && old->hash.hi == r->hash.hi) {
		*ret_old = old;
		return 1;
	}
	err->run = old->id;
	snprintf(err->path, sizeof(err->path), "%.255s", r->key);
	req_fail(err, "org.jobd.KeyConflict", "key \"%.200s\" was used for run %u with other content: nothing was stored; choose another key", r->key,
		 old->id);
	snprintf(err->field, sizeof(err->field), "key");
	return -1;
}

/* ---- jobs ----------------------------------------------------------------------------------------------------------- */

/* The jobs of one request: checked, as the scheduler and as the store want them. */
struct batch {
	struct store_op *op;            /* ST_JOBS_NEW; its arena holds the strings */
	struct jt_spec *specs;
	struct job_mem *mem;
	size_t n;
};

static const char *pack_after(struct arena *a, const struct spec_job *s, uint32_t *ret_len)
{
	size_t len = 0;
	char *text, *p;

	for (size_t i = 0; i < s->n_after; i++)
		len += strlen(s->after[i]) + 1;
	*ret_len = (uint32_t)len;
	if (!len)
		return NULL;
	p = text = arena_alloc(a, len);
	for (size_t i = 0; i < s->n_after; i++)
		p = stpcpy(p, s->after[i]) + 1;
	return text;
}

static const char **copy_after(struct arena *a, const struct store_new_job *nj, size_t n)
{
	const char **v = arena_alloc(a, (n + 1) * sizeof(*v));
	const char *p = nj->after;

	for (size_t i = 0; i < n; i++, p += strlen(p) + 1)
		v[i] = p;
	return v;
}

static void take_job(struct batch *b, const struct spec_job *s, const json_t *obj)
{
	struct arena *a = &b->op->arena;
	struct store_new_job *nj = &b->op->jobs[b->n];
	struct jt_spec *js = &b->specs[b->n];
	bool no_arm = s->on_lost != SPEC_LOST_RETRY;
	size_t len = 0;
	char *text = spec_job_text(obj, &len);

	if (!text)
		abort();
	nj->path_len = (uint32_t)strlen(s->path);
	nj->path = arena_strndup(a, s->path, nj->path_len);
	nj->spec = arena_strndup(a, text, len);
	nj->spec_len = (uint32_t)len;
	nj->after = pack_after(a, s, &nj->after_len);
	nj->priority = s->priority;
	nj->when = (uint8_t)((uint8_t)s->when | (no_arm ? STORED_NO_ARM : 0));
	b->op->bytes += sizeof(struct store_job_state) + nj->path_len + nj->spec_len + nj->after_len;
	free(text);
	*js = (struct jt_spec){ .path = nj->path, .path_len = nj->path_len, .priority = nj->priority, .when = s->when, .n_after = s->n_after };
	if (s->n_after)
		js->after = copy_after(a, nj, s->n_after);
	b->mem[b->n++].flags = job_flags(s->when, no_arm) & 0xff;
}

static int read_jobs(struct run *r, const json_t *jobs, struct batch *b, struct req_error *err)
{
	struct arena scratch;
	struct spec_error se;
	struct spec_job s;
	size_t i;
	json_t *obj;

	arena_init(&scratch);
	json_array_foreach(jobs, i, obj) {
		arena_reset(&scratch);
		if (spec_job_read(obj, r->spec, &scratch, &s, &se) < 0) {
			submit_refuse_spec(err, &se);
			break;
		}
		if (check_user(r, &s, err) < 0 || check_env_inherit(&s, err) < 0 || check_fetch(r->e, &s, err) < 0)
			break;
		take_job(b, &s, obj);
		if (r->key && !r->stream)       /* what a stream grew to is not what it was opened with */
			spec_hash_job(r->spec, &s, &r->hash);
	}
	arena_done(&scratch);
	return b->n == json_array_size(jobs) ? check_room(r->e, b->op->bytes, err) : -1;
}

static uint64_t bytes_of(const struct batch *b)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < b->n; i++)
		bytes += (uint64_t)b->op->jobs[i].path_len + b->op->jobs[i].after_len + b->op->jobs[i].spec_len;
	return bytes;
}

static int check_quota(const struct run *r, const struct batch *b, struct req_error *err)
{
	return quota_check(r, b->n, bytes_of(b), err);
}

static void charge(struct run *r, const struct batch *b)
{
	uint64_t bytes = bytes_of(b);

	r->spec_bytes += bytes;
	quota_charge(r, b->n, bytes);
}

static void batch_init(struct batch *b, struct run *r, size_t n)
{
	*b = (struct batch){ .op = engine_op(r->e, ST_JOBS_NEW, r) };
	b->op->jobs = arena_alloc(&b->op->arena, (n + 1) * sizeof(*b->op->jobs));
	b->specs = xcalloc(n + 1, sizeof(*b->specs));
	b->mem = xcalloc(n + 1, sizeof(*b->mem));
}

static void batch_done(struct batch *b)
{
	store_op_free(b->op);
	free(b->specs);
	free(b->mem);
}

/* add_jobs - check and add; on success the record is posted. Nothing has changed on error. */
static int add_jobs(struct run *r, const json_t *jobs, struct jt_changes *ch, struct req_error *err)
{
	size_t n = json_array_size(jobs);
	struct spec_hash hash = r->hash;
	struct jt_error je;
	struct batch b;
	jt_job first = 0;
	int rc = -1;

	batch_init(&b, r, n);
	if (read_jobs(r, jobs, &b, err) == 0 && check_quota(r, &b, err) == 0) {
		if (n == 0 || jt_sched_add(r->sched, b.specs, n, &first, ch, &je) == 0)
			rc = 0;
		else
			refuse_tree(err, &je, je.job < n ? b.specs[je.job].path : NULL);
	}
	if (rc < 0) {
		r->hash = hash;
	} else if (n) {
		run_mem(r, first + (jt_job)n - 1);
		memcpy(&r->mem[first], b.mem, n * sizeof(*b.mem));
		r->n_jobs += (uint32_t)n;
		charge(r, &b);
		b.op->id = JOB_ID(r->id, first);
		b.op->n_jobs = n;
		engine_post(r->e, b.op);
		b.op = NULL;
	}
	batch_done(&b);
	return rc;
}

/* ---- the run begins --------------------------------------------------------------------------------------------------- */

static void come_alive(struct run *r, struct jt_changes *ch)
{
	outcome_changes(r, ch);
	run_set_deadline(r);
	run_wants(r);
	run_check_end(r);
}

static int begin(struct run *r, struct jt_changes *ch, struct req_error *err)
{
	struct jt_error je;

	run_set_period(r);
	if (jt_sched_begin(r->sched, ch, &je) == 0)
		return 0;
	return refuse_tree(err, &je, je.job < r->n_jobs ? jt_job_path(r->sched, je.job, NULL) : NULL);
}

static void drop(struct run *r)
{
	struct store_op *op = engine_op(r->e, ST_RUN_DROP, r);

	if (r->state == RUN_BULK && r->bulk_session)
		LIST_REMOVE(r, bulk);
	engine_post(r->e, op);
	run_forget(r);
}

/* ---- Submit ----------------------------------------------------------------------------------------------------------- */

/* The whole run is built and checked in memory. 0: it can be recorded; 1: *ret_old is the same; -1 with *err. */
static int build_whole(struct run *r, const json_t *jobs, struct batch *b, struct jt_changes *ch, struct run **ret_old,
		       struct req_error *err)
{
	struct jt_error je;
	jt_job first;
	int rc = read_jobs(r, jobs, b, err);

	if (rc == 0)
		rc = check_key(r, ret_old, err);
	if (rc == 0)
		rc = check_quota(r, b, err);
	if (rc != 0)
		return rc;
	if (b->n && jt_sched_add(r->sched, b->specs, b->n, &first, ch, &je) < 0)
		return refuse_tree(err, &je, je.job < b->n ? b->specs[je.job].path : NULL);
	r->n_jobs = (uint32_t)b->n;
	return begin(r, ch, err);
}

static void record_whole(struct run *r, struct batch *b)
{
	free(r->mem);
	r->mem = b->mem;
	r->mem_cap = b->n + 1;
	b->mem = NULL;
	b->op->id = JOB_ID(r->id, 0);
	b->op->n_jobs = b->n;
	charge(r, b);
	post_run(r);
	engine_post(r->e, b->op);
	b->op = NULL;
	r->sealed = true;
	show_run(r);
}

void submit_whole(struct engine *e, struct call *call, const json_t *options, const json_t *jobs)
{
	struct req_error err = { 0 };
	struct jt_changes ch = { 0 };
	struct run *r = new_run(e, call, options, WHOLE, &err), *old = NULL;
	struct batch b;
	int rc;

	if (!r) {
		call_fail(call, &err);
		return;
	}
	batch_init(&b, r, json_array_size(jobs));
	rc = build_whole(r, jobs, &b, &ch, &old, &err);
	if (rc == 0) {
		record_whole(r, &b);
		come_alive(r, &ch);
		if (MUTANT("ack_before_commit"))
			call_reply(call, reply_run(r, false));
		else
			reply_settled(e, call, reply_run(r, false));
	} else {
		if (rc > 0)
			reply_settled(e, call, reply_run(old, true));
		else
			call_fail(call, &err);
		run_forget(r);
	}
	batch_done(&b);
	jt_changes_done(&ch);
}

/* ---- Open, Add, Seal ---------------------------------------------------------------------------------------------------- */

static void open_bulk(struct run *r, struct call *call)
{
	r->bulk_session = call_session(call);
	r->bulk_at_ns = now_ns();
	LIST_INSERT_HEAD(&r->e->bulks, r, bulk);
	post_run(r);
	call_reply(call, reply_run(r, false));
}

static void open_stream(struct run *r, struct call *call)
{
	struct engine *e = r->e;
	struct req_error err = { 0 };
	struct jt_changes ch = { 0 };
	struct run *old;
	int rc;

	if (r->key)             /* its jobs are not known yet: what they start from counts instead */
		spec_hash_job(r->spec, &r->spec->base, &r->hash);
	rc = check_key(r, &old, &err);
	if (rc == 0)
		rc = begin(r, &ch, &err);
	if (rc == 1)
		reply_settled(e, call, reply_run(old, true));
	if (rc != 0) {
		if (rc < 0)
			call_fail(call, &err);
		run_forget(r);
		return;
	}
	post_run(r);
	show_run(r);
	come_alive(r, &ch);
	reply_settled(e, call, reply_run(r, false));
	jt_changes_done(&ch);
}

void submit_open(struct engine *e, struct call *call, const json_t *options, const char *mode)
{
	enum submit_mode m = strcmp(mode, "bulk") == 0 ? BULK : STREAM;
	struct req_error err = { 0 };
	struct run *r = new_run(e, call, options, m, &err);

	if (!r)
		call_fail(call, &err);
	else if (m == BULK)
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

	if (check_open(e, &err) < 0 || refuse_map(r, &err) < 0 || (!r->stream && r->state != RUN_BULK &&
	    req_fail(&err, "org.jobd.WrongState", "run %u was submitted whole: jobs can be added to open runs only", r->id) < 0) ||
	    (run_is_final(r) && req_fail(&err, "org.jobd.WrongState", "run %u has ended: nothing can be added", r->id) < 0) ||
	    add_jobs(r, jobs, &ch, &err) < 0) {
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

static void seal_bulk(struct engine *e, struct call *call, struct run *r)
{
	struct req_error err = { 0 };
	struct jt_changes ch = { 0 };
	struct run *old;
	int rc = check_key(r, &old, &err);

	if (rc == 0)
		rc = begin(r, &ch, &err);
	if (rc == 1)
		reply_settled(e, call, reply_run(old, true));
	if (rc != 0) {
		if (rc < 0)
			call_fail(call, &err);
		drop(r);
		return;
	}
	LIST_REMOVE(r, bulk);
	r->bulk_session = NULL;
	r->sealed = true;
	show_run(r);
	come_alive(r, &ch);
	reply_settled(e, call, reply_run(r, false));
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
		post_run_set(r, EV_SEALED);
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
		seal_bulk(e, call, r);
	} else if (r->stream && r->sched && !run_is_final(r)) {
		seal_stream(e, call, r, path);
	} else if (r->sealed && !path) {
		reply_settled(e, call, reply_run(r, false));
	} else {
		req_fail(&err, "org.jobd.WrongState", "run %u is not open: there is nothing to seal", r->id);
		call_fail(call, &err);
	}
}

/* ---- maps ----------------------------------------------------------------------------------------------------------------- */

/* Beside them a run has no options of its own: see run_read_options. */
static json_t *options_of_map(const json_t *options)
{
	return json_pack("{s:O}", "map", options);
}

char *submit_map_options(const json_t *options)
{
	json_t *all = options_of_map(options);
	char *text = dump(all);

	json_decref(all);
	return text;
}

struct run *submit_map(struct engine *e, struct call *call, const json_t *options, struct req_error *err)
{
	json_t *all = options_of_map(options);
	struct run *r = new_run(e, call, all, MAP, err);
	struct jt_changes ch = { 0 };

	json_decref(all);
	if (r && (map_new(r, err) < 0 || begin(r, &ch, err) < 0)) {
		run_forget(r);
		r = NULL;
	}
	if (r) {
		post_run(r);
		show_run(r);
	}
	jt_changes_done(&ch);
	return r;
}

void submit_map_again(struct run *r)
{
	struct store_op *op = engine_op(r->e, ST_RUN_SET, r);

	run_unretire(r);
	r->ended_noted = false;
	r->paused = false;
	jt_sched_pause(r->sched, false);
	r->ended_at_us = 0;
	r->state = RUN_RUNNING;
	run_record(r, op);
	op->run.options = xstrdup(r->options);
	engine_event(op, r, JT_NONE, EV_RESUMED);
	op->event.state = (uint8_t)run_shown_state(r);
	op->done = notice_op;
	engine_post(r->e, op);
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
			drop(r);
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
			drop(r);
		}
	}
}
