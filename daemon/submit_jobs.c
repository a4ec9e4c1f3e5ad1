/* SPDX-License-Identifier: MIT */
/* The jobs of one request: read and checked, as the scheduler and as the store want them, and added to a run. */
#include <stdlib.h>
#include <string.h>

#include "submit.h"

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

int batch_read(struct batch *b, struct run *r, const json_t *jobs, struct req_error *err)
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
			refuse_spec(err, &se);
			break;
		}
		if (submit_check_job(r, &s, err) < 0)
			break;
		take_job(b, &s, obj);
		if (r->key && !r->stream)       /* what a stream grew to is not what it was opened with */
			spec_hash_job(r->spec, &s, &r->hash);
	}
	arena_done(&scratch);
	return b->n == json_array_size(jobs) ? submit_check_room(r->e, b->op->bytes, err) : -1;
}

static uint64_t bytes_of(const struct batch *b)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < b->n; i++)
		bytes += (uint64_t)b->op->jobs[i].path_len + b->op->jobs[i].after_len + b->op->jobs[i].spec_len;
	return bytes;
}

int batch_check_quota(const struct batch *b, const struct run *r, struct req_error *err)
{
	return quota_check(r, b->n, bytes_of(b), err);
}

void batch_charge(const struct batch *b, struct run *r)
{
	uint64_t bytes = bytes_of(b);

	r->spec_bytes += bytes;
	quota_charge(r, b->n, bytes);
}

void batch_init(struct batch *b, struct run *r, size_t n)
{
	*b = (struct batch){ .op = engine_op(r->e, ST_JOBS_NEW, r) };
	b->op->jobs = arena_alloc(&b->op->arena, (n + 1) * sizeof(*b->op->jobs));
	b->specs = xcalloc(n + 1, sizeof(*b->specs));
	b->mem = xcalloc(n + 1, sizeof(*b->mem));
}

void batch_done(struct batch *b)
{
	store_op_free(b->op);
	free(b->specs);
	free(b->mem);
}

int submit_add_jobs(struct run *r, const json_t *jobs, struct jt_changes *ch, struct req_error *err)
{
	size_t n = json_array_size(jobs);
	struct spec_hash hash = r->hash;
	struct jt_error je;
	struct batch b;
	jt_job first = 0;
	int rc = -1;

	batch_init(&b, r, n);
	if (batch_read(&b, r, jobs, err) == 0 && batch_check_quota(&b, r, err) == 0) {
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
		batch_charge(&b, r);
		b.op->id = JOB_ID(r->id, first);
		b.op->n_jobs = n;
		engine_post(r->e, b.op);
		b.op = NULL;
	}
	batch_done(&b);
	return rc;
}
