/* SPDX-License-Identifier: MIT */
/* Messages: text as a varlink message, as options of a run and as a job. What is accepted is the same after writing and reading it. */
#include <string.h>

#include "fuzz.h"
#include "proto/arena.h"
#include "proto/spec.h"
#include "proto/varlink.h"

static void check_same_again(const json_t *obj)
{
	struct vl_why why;
	size_t len;
	char *text = vl_pack(obj, &len);
	json_t *again;

	must(text && strlen(text) + 1 == len);
	again = vl_parse(text, len - 1, &why);
	must(again && json_equal(obj, again));
	json_decref(again);
	free(text);
}

static void as_call_and_reply(json_t *obj)
{
	struct vl_why why = { "" };
	struct vl_reply reply;
	struct vl_call call;

	if (vl_call_read(obj, &call, &why) == 0)
		must(*call.method && (!call.params || json_is_object(call.params)));
	else
		must(*why.text);
	if (vl_reply_read(json_incref(obj), &reply, &why) == 0) {
		must(json_is_object(reply.params));
		vl_reply_done(&reply);
	}
}

/* What is stored of a job means the same when it is read again. */
static void check_stored(const json_t *obj, const struct spec_run *run, const struct spec_job *job, struct arena *a)
{
	struct spec_hash first = { 0 }, second = { 0 };
	struct spec_job again;
	struct spec_error err;
	size_t len;
	char *text = spec_job_text(obj, &len);

	must(text && spec_job_parse(text, len, run, a, &again, &err) == 0);
	free(text);
	again.path = job->path;
	spec_hash_job(run, job, &first);
	spec_hash_job(run, &again, &second);
	must(first.lo == second.lo && first.hi == second.hi);
}

static void as_specifications(const json_t *obj)
{
	json_t *none = json_object();
	struct spec_error err = { .text = "" };
	struct spec_run run;
	struct spec_job job;
	struct arena a;

	arena_init(&a);
	if (spec_run_read(obj, &a, &run, &err) < 0)
		must(*err.text);
	must(spec_run_read(none, &a, &run, &err) == 0);
	if (spec_job_read(obj, &run, &a, &job, &err) == 0)
		check_stored(obj, &run, &job, &a);
	else
		must(*err.text);
	arena_done(&a);
	json_decref(none);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vl_why why = { "" };
	json_t *obj = vl_parse((const char *)data, size, &why);

	if (!obj) {
		must(*why.text);
		return 0;
	}
	check_same_again(obj);
	as_call_and_reply(obj);
	as_specifications(obj);
	json_decref(obj);
	return 0;
}
