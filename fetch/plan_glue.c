/* SPDX-License-Identifier: MIT */
/* The plan of libjobtree and what belongs to it: the object that it is of, the state that is kept of it, the sums that run behind it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "clock.h"
#include "fetch.h"
#include "mem.h"
#include "show.h"

const struct jt_fetch_part *plan_part(const struct fetch *f, uint32_t part)
{
	uint32_t n;

	return &jt_fetch_parts(f->plan, &n)[part];
}

bool plan_complete(const struct fetch *f)
{
	return f->plan && jt_fetch_lacking(f->plan) == 0 && !f->asking_rest;
}

static void start_sums(struct fetch *f)
{
	if (f->wanted.n == 0)
		return;
	if (f->target.kind == TARGET_STREAM)
		f->writer.digest = digest_run_new(&f->wanted);
	else if (hasher_start(&f->hasher, f->target.fd, f->target.at, &f->wanted) != 0)
		fail_set(&f->why, FETCH_IO, "cannot start a thread: %s", strerror(errno));
}

void plan_sum(struct fetch *f)
{
	if (f->hasher.started)
		hasher_reach(&f->hasher, jt_fetch_frontier(f->plan) - f->first + f->target.at);
}

static void learn_version(struct fetch *f)
{
	char *text;

	if (!f->is_s3 || !f->object.version)
		return;
	text = s3_with_version(f->url.text, f->object.version);
	free(f->url.text);
	f->url.text = text;
}

void plan_learn(struct fetch *f, const struct answer *a, uint64_t total, bool body_is_all)
{
	struct digests sums = { 0 };

	object_learn(&f->object, a, total);
	learn_version(f);
	if (!f->o->range)
		answer_sums(a, body_is_all, &sums);
	f->wanted = f->given;
	for (size_t i = 0; i < sums.n; i++)
		digests_add(&f->wanted, &sums.v[i]);
}

int plan_make(struct fetch *f, uint64_t probe_end, uint32_t streams)
{
	struct jt_fetch_opts o = { .first = f->first, .end = f->end, .probe_end = probe_end, .min_part = f->o->min_part, .streams = streams };
	struct jt_error err;

	f->plan = jt_fetch_plan_new(&o, &err);
	if (!f->plan)
		return fail_set(&f->why, FETCH_IO, "%s", err.text);
	start_sums(f);
	writer_ask(&f->writer, WORK_ALLOC, f->end == OPEN_END ? 0 : f->end - f->first, NULL, 0);
	f->saved_ms = clock_ms();
	return 0;
}

void plan_drop(struct fetch *f)
{
	net_await(f, -1);
	hasher_end(&f->hasher);
	digest_run_free(f->writer.digest);
	f->writer.digest = NULL;
	jt_fetch_plan_free(f->plan);
	f->plan = NULL;
	f->n_course = 0;
	f->written = f->saved_bytes = f->resumed_bytes = 0;
	f->saving = false;
	f->end = f->o->range ? f->o->last + 1 : OPEN_END;
	writer_ask(&f->writer, WORK_EMPTY, 0, NULL, 0);
}

/* ---- the state ------------------------------------------------------------------------------------------------------- */

void plan_save(struct fetch *f)
{
	char *sums = digests_text(&f->wanted), *text;
	struct jt_fetch_state s = {
		.url = f->first_url.shown, .id = f->id, .validator = f->object.validator, .kind = f->object.kind, .version = f->object.version,
		.checksum = sums, .total = f->object.total, .first = f->first, .end = f->end,
	};
	struct jt_error err;
	size_t len;

	f->saved_ms = clock_ms();
	f->saved_bytes = f->written;
	if (f->keep.path && f->plan && f->end != OPEN_END && f->object.total != SIZE_UNKNOWN &&
	    jt_fetch_state_encode(&s, f->plan, &text, &len, &err) == 0)
		writer_ask(&f->writer, WORK_SAVE, 0, text, len);
	free(sums);
}

/* The file must hold all that the state claims. */
static bool file_holds(const struct fetch *f, const struct jt_fetch_plan *plan)
{
	uint32_t n;
	const struct jt_fetch_part *p = jt_fetch_parts(plan, &n);
	struct stat st;
	uint64_t most = f->first;

	if (fstat(f->target.fd, &st) != 0)
		return false;
	for (uint32_t i = 0; i < n; i++)
		if (p[i].written > p[i].start && p[i].written > most)
			most = p[i].written;
	return (uint64_t)st.st_size >= most - f->first;
}

static bool is_ours(const struct fetch *f, const struct jt_fetch_state *s)
{
	if (strcmp(s->id, f->id) != 0 || s->first != f->first)
		return false;
	if (f->o->range ? s->end != f->o->last + 1 : s->end != s->total)
		return false;
	return s->validator || f->o->trust_size;
}

/* A checksum that this command gives counts more than one of the same kind that the state has from an earlier one. */
static void want_again(struct fetch *f, const char *text)
{
	struct digests kept;

	if (digests_read(text, &kept) != 0)
		return;
	for (size_t i = 0; i < kept.n; i++)
		if (!digests_have(&f->given, &kept.v[i]))
			digests_add(&f->wanted, &kept.v[i]);
}

static void go_on_with(struct fetch *f, const struct jt_fetch_state *s, struct jt_fetch_plan *plan)
{
	f->plan = plan;
	f->end = s->end;
	f->resumed = f->length_verified = true;
	f->resumed_bytes = f->written = f->saved_bytes = jt_fetch_in_file(plan);
	f->object = (struct object){
		.known = true, .total = s->total, .kind = s->kind, .validator = mem_text(s->validator), .version = mem_text(s->version),
		.etag = mem_text(s->kind == JT_FETCH_ETAG ? s->validator : NULL),
	};
	learn_version(f);
	want_again(f, s->checksum);
	f->asking_rest = jt_fetch_lacking(plan) == 0 && f->wanted.n == 0;
	start_sums(f);
	plan_sum(f);
	writer_ask(&f->writer, WORK_ALLOC, f->end - f->first, NULL, 0);
	f->saved_ms = clock_ms();
}

bool plan_resume(struct fetch *f)
{
	size_t len = 0;
	char *text = keep_read(&f->keep, &len);
	struct jt_fetch_state s = { 0 };
	struct jt_fetch_plan *plan = NULL;
	struct jt_error err;

	if (text && jt_fetch_state_decode(text, len, &s, &plan, &err) == 0 && is_ours(f, &s) && file_holds(f, plan))
		go_on_with(f, &s, plan);
	else
		jt_fetch_plan_free(plan);
	jt_fetch_state_done(&s);
	free(text);
	return f->resumed;
}
