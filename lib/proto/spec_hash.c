/* SPDX-License-Identifier: MIT */
/*
 * Content of submissions as a number. A job is hashed as a sequence of (tag, length, bytes), one for each field that does not have
 * its built-in default; sets of names are sums of hashes of their members. Runs and jobs are added up modulo 2^128.
 */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <string.h>

#include "proto/spec_hash.h"

/* Stored hashes depend on these: numbers are never given twice. */
enum tag {
	TAG_PATH = 1, TAG_ARGV, TAG_SHELL, TAG_CWD, TAG_ENV, TAG_STDIN_FILE, TAG_STDIN_TEXT, TAG_USER, TAG_GROUP, TAG_UMASK, TAG_NICE,
	TAG_TIMEOUT, TAG_GRACE, TAG_RETRY_MAX, TAG_RETRY_MIN, TAG_RETRY_CAP, TAG_RETRY_MAX_DELAY, TAG_RETRY_BASE, TAG_RETRY_ELAPSED,
	TAG_RETRY_ON, TAG_RETRY_ON_EXIT, TAG_RETRY_NOT_ON_EXIT, TAG_SUCCESS_EXIT, TAG_SKIP_EXIT, TAG_ON_ERROR, TAG_ON_LOST,
	TAG_LOST_MAX, TAG_AFTER, TAG_WHEN, TAG_PRIORITY, TAG_DURATION, TAG_LABELS, TAG_ENV_INHERIT,
	TAG_FETCH_URL, TAG_FETCH_OPTION, TAG_FETCH_VALUE,

	TAG_RUN_NAME = 1001, TAG_RUN_WORKERS, TAG_RUN_BARRIER, TAG_RUN_ORDER, TAG_RUN_INTERVAL, TAG_RUN_PERIOD, TAG_RUN_JITTER,
	TAG_RUN_DEADLINE, TAG_RUN_LABELS,
};

static void add(struct spec_hash *h, XXH128_hash_t part)
{
	h->lo += part.low64;
	h->hi += part.high64 + (h->lo < part.low64);
}

static void put(XXH3_state_t *st, enum tag tag, const void *bytes, size_t len)
{
	uint64_t head[2] = { tag, len };

	XXH3_128bits_update(st, head, sizeof(head));
	XXH3_128bits_update(st, bytes, len);
}

static void put_string(XXH3_state_t *st, enum tag tag, const char *s)
{
	if (s)
		put(st, tag, s, strlen(s));
}

static void put_number(XXH3_state_t *st, enum tag tag, int64_t value, int64_t builtin)
{
	if (value != builtin)
		put(st, tag, &value, sizeof(value));
}

static void put_set(XXH3_state_t *st, enum tag tag, const struct spec_set *set, const struct spec_set *builtin)
{
	if (memcmp(set, builtin, sizeof(*set)))
		put(st, tag, set, sizeof(*set));
}

static void add_pairs(const struct spec_pair *v, size_t n, struct spec_hash *h)
{
	for (size_t i = 0; i < n; i++) {
		XXH128_hash_t name = XXH3_128bits(v[i].name, strlen(v[i].name));

		add(h, XXH3_128bits_withSeed(v[i].value, strlen(v[i].value), name.low64));
	}
}

static void put_pairs(XXH3_state_t *st, enum tag tag, const struct spec_pair *v, size_t n)
{
	struct spec_hash sum = { 0 };

	add_pairs(v, n, &sum);
	if (n)
		put(st, tag, &sum, sizeof(sum));
}

/* A list whose order does not matter. */
static void put_names(XXH3_state_t *st, enum tag tag, const char *const *v, size_t n)
{
	struct spec_hash sum = { 0 };

	for (size_t i = 0; i < n; i++)
		add(&sum, XXH3_128bits(v[i], strlen(v[i])));
	if (n)
		put(st, tag, &sum, sizeof(sum));
}

static void put_retry(XXH3_state_t *st, const struct spec_job *job, const struct spec_job *builtin)
{
	const struct jt_retry_policy *r = &job->retry, *b = &builtin->retry;

	put_number(st, TAG_RETRY_MAX, r->max, b->max);
	put_number(st, TAG_RETRY_MIN, r->min_ns, b->min_ns);
	put_number(st, TAG_RETRY_CAP, r->cap_ns, b->cap_ns);
	put_number(st, TAG_RETRY_MAX_DELAY, r->max_ns, b->max_ns);
	if (r->base != b->base)
		put(st, TAG_RETRY_BASE, &r->base, sizeof(r->base));
	put_number(st, TAG_RETRY_ELAPSED, r->elapsed_ns, b->elapsed_ns);
	put_number(st, TAG_RETRY_ON, job->retry_on, builtin->retry_on);
	put_set(st, TAG_RETRY_ON_EXIT, &job->retry_on_exit, &builtin->retry_on_exit);
	put_set(st, TAG_RETRY_NOT_ON_EXIT, &job->retry_not_on_exit, &builtin->retry_not_on_exit);
}

static void put_fetch_option(void *arg, const char *name, const char *value)
{
	put_string(arg, TAG_FETCH_OPTION, name);
	put_string(arg, TAG_FETCH_VALUE, value);
}

static void put_fetch(XXH3_state_t *st, const struct spec_fetch *f)
{
	put_string(st, TAG_FETCH_URL, f->url);
	spec_fetch_options(f, put_fetch_option, st);
}

static void put_command(XXH3_state_t *st, const struct spec_job *job)
{
	for (size_t i = 0; i < job->argc; i++)
		put_string(st, TAG_ARGV, job->argv[i]);
	put_string(st, TAG_SHELL, job->shell);
	if (job->kind == SPEC_FETCH)
		put_fetch(st, job->fetch);
	put_string(st, TAG_CWD, job->cwd);
	put_string(st, TAG_STDIN_FILE, job->stdin_file);
	put_string(st, TAG_STDIN_TEXT, job->stdin_text);
	put_string(st, TAG_USER, job->user);
	put_string(st, TAG_GROUP, job->group);
}

static void put_options(XXH3_state_t *st, const struct spec_job *job, const struct spec_job *builtin)
{
	put_number(st, TAG_UMASK, job->umask, builtin->umask);
	put_number(st, TAG_NICE, job->nice, builtin->nice);
	put_number(st, TAG_TIMEOUT, job->timeout_ms, builtin->timeout_ms);
	put_number(st, TAG_GRACE, job->grace_ms, builtin->grace_ms);
	put_set(st, TAG_SUCCESS_EXIT, &job->success_exit, &builtin->success_exit);
	put_set(st, TAG_SKIP_EXIT, &job->skip_exit, &builtin->skip_exit);
	put_number(st, TAG_ON_ERROR, job->on_error, builtin->on_error);
	put_number(st, TAG_ON_LOST, job->on_lost, builtin->on_lost);
	put_number(st, TAG_LOST_MAX, job->lost_max, builtin->lost_max);
	put_number(st, TAG_WHEN, job->when, builtin->when);
	put_number(st, TAG_PRIORITY, job->priority, builtin->priority);
	put_number(st, TAG_DURATION, job->duration_ns, builtin->duration_ns);
}

void spec_hash_env(const struct spec_job *job, struct spec_hash *h)
{
	add_pairs(job->env, job->n_env, h);
}

static void put_env(XXH3_state_t *st, const struct spec_run *run, const struct spec_job *job)
{
	struct spec_hash sum = { 0 };

	if (!job->n_env)
		return;
	if (job->env == run->base.env)
		sum = run->base_env;
	else
		spec_hash_env(job, &sum);
	put(st, TAG_ENV, &sum, sizeof(sum));
}

void spec_hash_job(const struct spec_run *run, const struct spec_job *job, struct spec_hash *h)
{
	struct spec_job builtin;
	XXH3_state_t st;

	spec_job_init(&builtin);
	XXH3_128bits_reset(&st);
	put_string(&st, TAG_PATH, job->path);
	put_command(&st, job);
	put_env(&st, run, job);
	put_options(&st, job, &builtin);
	put_retry(&st, job, &builtin);
	put_names(&st, TAG_AFTER, job->after, job->n_after);
	put_names(&st, TAG_ENV_INHERIT, job->env_inherit, job->n_env_inherit);
	put_pairs(&st, TAG_LABELS, job->labels, job->n_labels);
	add(h, XXH3_128bits_digest(&st));
}

void spec_hash_run(const struct spec_run *run, struct spec_hash *h)
{
	XXH3_state_t st;

	XXH3_128bits_reset(&st);
	put_string(&st, TAG_RUN_NAME, run->name);
	put_number(&st, TAG_RUN_WORKERS, run->workers, 0);
	if (strcmp(run->barrier, "~"))
		put_string(&st, TAG_RUN_BARRIER, run->barrier);
	put_number(&st, TAG_RUN_ORDER, run->order, JT_BY_PATH);
	put_number(&st, TAG_RUN_INTERVAL, run->interval_ms, 0);
	put_number(&st, TAG_RUN_PERIOD, run->period_ms, 0);
	put_number(&st, TAG_RUN_JITTER, run->jitter_ms, 0);
	put_number(&st, TAG_RUN_DEADLINE, run->deadline_ms, 0);
	put_pairs(&st, TAG_RUN_LABELS, run->labels, run->n_labels);
	add(h, XXH3_128bits_digest(&st));
}
