/* SPDX-License-Identifier: MIT */
/* Options of a run, and what its jobs start from. */
#include <string.h>

#include "proto/spec_hash.h"
#include "proto/spec_impl.h"

#define NAME_MAX_BYTES 255
#define WORKERS_MAX 100000

/* A run while it is read: what becomes the base of its jobs stands apart until `defaults` are overlaid on it. */
struct run_in {
	struct spec_run run;
	struct spec_pairs env, labels;
	const json_t *defaults;
};

static const char *const order_names[] = { "path", "depth", "fifo", NULL };
static const char *const on_error_names[] = { "fail", "warn", "ignore", "skip", "stop", NULL };

_Static_assert(JT_BY_FIFO == 2 && SPEC_STOP == 4, "a name without its value");

static bool has_control(const char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			return true;
	return false;
}

/* A string of 1..255 bytes without control characters; *ret lives in the arena. */
static int read_word(const struct field_at *at, const json_t *value, const char **ret, struct arena *a)
{
	size_t len = json_string_length(value);
	char got[80];

	if (!json_is_string(value) || len == 0 || len > NAME_MAX_BYTES)
		return field_fail(at, "must be a string of 1..%d bytes, got %s", NAME_MAX_BYTES, field_got(value, got, sizeof(got)));
	*ret = arena_strndup(a, json_string_value(value), len);
	if (strlen(*ret) != len || has_control(*ret))
		return field_fail(at, "must not hold control characters");
	return 0;
}

static int read_key(const struct field_at *at, const json_t *value, void *dst, struct arena *a)
{
	const char *s;

	if (read_word(at, value, &s, a) < 0)
		return -1;
	memcpy(dst, &s, sizeof(s));
	return 0;
}

/* A name stands where a number of a run may stand, and before the slash of RUN/PATH. */
int spec_read_name(const struct field_at *at, const json_t *value, void *dst, struct arena *a)
{
	const char *s;
	char got[80];

	if (read_word(at, value, &s, a) < 0)
		return -1;
	if (strchr(s, '/') || s[0] == '-' || strspn(s, "0123456789") == strlen(s))
		return field_fail(at, "must have no \"/\", no \"-\" at its start and not only digits, got %s",
				  field_got(value, got, sizeof(got)));
	memcpy(dst, &s, sizeof(s));
	return 0;
}

static int read_barrier(const struct field_at *at, const json_t *value, void *dst, struct arena *a)
{
	const char *s;

	if (read_word(at, value, &s, a) < 0)
		return -1;
	if (strchr(s, '/'))
		return field_fail(at, "must be one component, without \"/\"");
	memcpy(dst, &s, sizeof(s));
	return 0;
}

static const struct field run_fields[] = {
	FIELD_CUSTOM("name", struct run_in, run.name, spec_read_name, 0),
	FIELD_CUSTOM("key", struct run_in, run.key, read_key, 0),
	FIELD_UINT32("workers", struct run_in, run.workers, 1, WORKERS_MAX, 0),
	FIELD_CUSTOM("barrier", struct run_in, run.barrier, read_barrier, 0),
	FIELD_CHOICE("order", struct run_in, run.order, order_names, 0),
	FIELD_CHOICE("on_error", struct run_in, run.base.on_error, on_error_names, 0),
	FIELD_SECONDS_MS("interval_s", struct run_in, run.interval_ms, 0, SPEC_SECONDS_MAX, 0),
	FIELD_SECONDS_MS("period_s", struct run_in, run.period_ms, 0, SPEC_SECONDS_MAX, 0),
	FIELD_SECONDS_MS("jitter_s", struct run_in, run.jitter_ms, 0, SPEC_SECONDS_MAX, 0),
	FIELD_SECONDS_MS("deadline_s", struct run_in, run.deadline_ms, 0, SPEC_SECONDS_MAX, 0),
	FIELD_CUSTOM("cwd", struct run_in, run.base.cwd, spec_read_cwd, 0),
	FIELD_CUSTOM("env", struct run_in, env, spec_read_env, 0),
	FIELD_CUSTOM("labels", struct run_in, labels, spec_read_labels, 0),
	FIELD_OBJECT("defaults", struct run_in, defaults, 0),
	FIELD_END
};

/* The built-in defaults, the run's own on_error, cwd and env, then its `defaults`. */
static int make_base(struct run_in *in, struct arena *a, struct spec_error *err)
{
	struct spec_job *base = &in->run.base;

	base->env = in->env.v;
	base->n_env = in->env.n;
	base->env_bytes = spec_env_bytes(in->env);
	if (spec_job_overlay(in->defaults, "defaults", NULL, a, base, err) < 0)
		return -1;
	if (base->path)
		return spec_fail(err, JT_EINVAL, NULL, "defaults.path", "defaults.path cannot be given: each job has a path of its own");
	spec_hash_env(base, &in->run.base_env);
	return 0;
}

int spec_run_read(const json_t *obj, struct arena *a, struct spec_run *ret, struct spec_error *err)
{
	struct run_in in = { .run.barrier = "~" };
	struct field_error ferr;
	char got[80];

	if (obj && !json_is_object(obj) && !json_is_null(obj))
		return spec_fail(err, JT_EINVAL, NULL, "", "the options of a run must be an object, got %s",
				 field_got(obj, got, sizeof(got)));
	spec_job_init(&in.run.base);
	if (fields_read(run_fields, obj, &in, a, &ferr) < 0)
		return spec_fail_field(err, NULL, &ferr);
	if (in.run.interval_ms && in.run.period_ms)
		return spec_fail(err, JT_EINVAL, NULL, "period_s", "interval_s and period_s exclude each other; give one");
	in.run.labels = in.labels.v;
	in.run.n_labels = in.labels.n;
	if (make_base(&in, a, err) < 0)
		return -1;
	*ret = in.run;
	return 0;
}
