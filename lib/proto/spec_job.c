/* SPDX-License-Identifier: MIT */
/* Jobs: the table of their fields, and how one is overlaid on what its run gives it. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "proto/quote.h"
#include "proto/spec_impl.h"

/* A job while it is read. What replaces or merges into the base as a whole stands beside it until all fields are known. */
struct job_in {
	struct spec_job job;
	struct spec_strings argv, argv_b64;
	const char *shell;
	const struct spec_fetch *fetch;         /* job.fetch: that of the base */
	struct spec_pairs env, labels;
	struct spec_stdin in;
};

static const char *const on_error_names[] = { "fail", "warn", "ignore", "skip", "stop", NULL };
static const char *const on_lost_names[] = { "retry", "fail", "hold", NULL };
static const char *const retry_on_names[] = { "exit", "signal", "timeout", "spawn", NULL };
static const char *const when_names[] = { "success", "failure", "finished", NULL };

_Static_assert(SPEC_STOP == 4 && SPEC_LOST_HOLD == 2 && JT_ON_FINISHED == 2, "a name without its value");
_Static_assert(SPEC_ON_EXIT == 1 && SPEC_ON_SPAWN == 8, "names of retry.on stand in the order of their bits");

const struct field spec_retry_fields[] = {
	FIELD_UINT32("max", struct spec_job, retry.max, 0, 1000000, 0),
	FIELD_SECONDS_NS("min_s", struct spec_job, retry.min_ns, 0, SPEC_SECONDS_MAX, 0),
	FIELD_SECONDS_NS("cap_s", struct spec_job, retry.cap_ns, 0, SPEC_SECONDS_MAX, 0),
	FIELD_SECONDS_NS("max_s", struct spec_job, retry.max_ns, 0, SPEC_SECONDS_MAX, 0),
	FIELD_NUMBER("base", struct spec_job, retry.base, 1, 1000, 0),
	FIELD_SECONDS_NS("elapsed_s", struct spec_job, retry.elapsed_ns, 0, SPEC_SECONDS_MAX, 0),
	FIELD_FLAGS("on", struct spec_job, retry_on, retry_on_names, 0),
	FIELD_CUSTOM("on_exit", struct spec_job, retry_on_exit, spec_read_statuses, 0),
	FIELD_CUSTOM("not_on_exit", struct spec_job, retry_not_on_exit, spec_read_statuses, 0),
	FIELD_END
};

static const struct field job_fields[] = {
	FIELD_STRING("path", struct job_in, job.path, 0, INT32_MAX, 0),         /* its rules: jt_path_check */
	FIELD_STRINGS("argv", struct job_in, argv.v, argv.n, 1, SPEC_STRING_MAX, 0),
	FIELD_CUSTOM("argv_b64", struct job_in, argv_b64, spec_read_base64_list, 0),
	FIELD_STRING("shell", struct job_in, shell, 1, SPEC_STRING_MAX, 0),
	FIELD_CUSTOM("fetch", struct job_in, fetch, spec_read_fetch, 0),
	FIELD_CUSTOM("cwd", struct job_in, job.cwd, spec_read_cwd, 0),
	FIELD_CUSTOM("env", struct job_in, env, spec_read_env, 0),
	FIELD_STRINGS("env_inherit", struct job_in, job.env_inherit, job.n_env_inherit, 0, 255, 0),
	FIELD_CUSTOM("stdin", struct job_in, in, spec_read_stdin, 0),
	FIELD_STRING("user", struct job_in, job.user, 1, 255, 0),
	FIELD_STRING("group", struct job_in, job.group, 1, 255, 0),
	FIELD_CUSTOM("umask", struct job_in, job.umask, spec_read_umask, 0),
	FIELD_INT32("nice", struct job_in, job.nice, -20, 19, 0),
	FIELD_SECONDS_MS("timeout_s", struct job_in, job.timeout_ms, 0, SPEC_SECONDS_MAX, 0),
	FIELD_SECONDS_MS("grace_s", struct job_in, job.grace_ms, 0, SPEC_SECONDS_MAX, 0),
	FIELD_STRUCT("retry", struct job_in, job, spec_retry_fields, 0),
	FIELD_CUSTOM("success_exit", struct job_in, job.success_exit, spec_read_statuses, 0),
	FIELD_CUSTOM("skip_exit", struct job_in, job.skip_exit, spec_read_statuses, 0),
	FIELD_CHOICE("on_error", struct job_in, job.on_error, on_error_names, 0),
	FIELD_CHOICE("on_lost", struct job_in, job.on_lost, on_lost_names, 0),
	FIELD_UINT32("lost_max", struct job_in, job.lost_max, 0, 1000000, 0),
	FIELD_STRINGS("after", struct job_in, job.after, job.n_after, 0, JT_PATH_MAX + 1, 0),
	FIELD_CHOICE("when", struct job_in, job.when, when_names, 0),
	FIELD_INT32("priority", struct job_in, job.priority, INT32_MIN, INT32_MAX, 0),
	FIELD_SECONDS_NS("duration_s", struct job_in, job.duration_ns, 0, SPEC_SECONDS_MAX, 0),
	FIELD_CUSTOM("labels", struct job_in, labels, spec_read_labels, 0),
	FIELD_END
};

/* ---- errors ------------------------------------------------------------------------------------------------------- */

static void set_who(struct spec_error *err, const char *path)
{
	err->job[0] = '\0';
	if (path)
		quote_short(err->job, sizeof(err->job), path, strlen(path));
}

int spec_fail(struct spec_error *err, enum jt_code code, const char *path, const char *field, const char *fmt, ...)
{
	char what[600];
	va_list ap;

	err->code = code;
	set_who(err, path);
	quote_short(err->field, sizeof(err->field), field, strlen(field));
	va_start(ap, fmt);
	(void)vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	(void)snprintf(err->text, sizeof(err->text), err->job[0] ? "job \"%s\": %s" : "%.0s%s", err->job, what);
	return -1;
}

int spec_fail_field(struct spec_error *err, const char *path, const struct field_error *ferr)
{
	return spec_fail(err, JT_EINVAL, path, ferr->field, "%s", ferr->text);
}

/* ---- the overlay -------------------------------------------------------------------------------------------------- */

void spec_job_init(struct spec_job *job)
{
	*job = (struct spec_job){
		.umask = -1,
		.grace_ms = 10000,
		.retry = JT_RETRY_DEFAULT,
		.retry_on = SPEC_ON_EXIT | SPEC_ON_SIGNAL | SPEC_ON_TIMEOUT | SPEC_ON_SPAWN,
		.success_exit.bits[0] = 1,
		.lost_max = 3,
		.duration_ns = -1,
	};
}

static void set_argv(struct spec_job *job, struct spec_strings argv)
{
	job->kind = SPEC_ARGV;
	job->argv = argv.v;
	job->argc = argv.n;
	job->shell = NULL;
}

/* What to run: at most one of the four, and it replaces that of the base; but a fetch is laid over that of the base. */
static int take_command(struct job_in *in, struct spec_error *err)
{
	const char *path = in->job.path;
	bool fetch = in->fetch != in->job.fetch;
	int n = !!in->argv.n + !!in->argv_b64.n + !!in->shell + fetch;

	if (n > 1)
		return spec_fail(err, JT_EINVAL, path, fetch ? "fetch" : in->shell ? "shell" : "argv_b64",
				 "argv, argv_b64, shell and fetch exclude each other; give exactly one");
	if (fetch) {
		in->job.kind = SPEC_FETCH;
		in->job.fetch = in->fetch;
		in->job.argv = NULL;
		in->job.argc = 0;
		in->job.shell = NULL;
	} else if (in->shell) {
		in->job.kind = SPEC_SHELL;
		in->job.shell = in->shell;
		in->job.argv = NULL;
		in->job.argc = 0;
	} else if (n) {
		set_argv(&in->job, in->argv.n ? in->argv : in->argv_b64);
		if (!in->job.argv[0][0])
			return spec_fail(err, JT_EINVAL, path, "argv[0]", "argv[0] must not be empty");
	}
	return 0;
}

#define SPEC_FETCH_BYTES 32768          /* its options: files and checksums, each bounded; its URL is no argument */

static size_t command_bytes(const struct spec_job *job)
{
	size_t bytes = job->shell ? strlen(job->shell) + 1 : 0;

	if (job->kind == SPEC_FETCH)
		return SPEC_FETCH_BYTES;
	for (size_t i = 0; i < job->argc; i++)
		bytes += strlen(job->argv[i]) + 1;
	return bytes;
}

static int take_env(struct job_in *in, struct arena *a, struct spec_error *err)
{
	struct spec_job *job = &in->job;
	size_t command = command_bytes(job);

	if (in->env.n) {
		struct spec_pairs all = spec_pairs_merge((struct spec_pairs){ .v = job->env, .n = job->n_env }, in->env, a);

		job->env = all.v;
		job->n_env = all.n;
		job->env_bytes = spec_env_bytes(all);
	}
	if (command + job->env_bytes > SPEC_EXEC_MAX)
		return spec_fail(err, JT_ELIMIT, job->path, command > job->env_bytes ? (job->shell ? "shell" : "argv") : "env",
				 "argv (%zu bytes) and env (%zu bytes) together exceed the limit of %d bytes", command, job->env_bytes,
				 SPEC_EXEC_MAX);
	return 0;
}

static int take_labels(struct job_in *in, struct arena *a, struct spec_error *err)
{
	struct spec_pairs all = { .v = in->job.labels, .n = in->job.n_labels };

	if (!in->labels.n)
		return 0;
	all = spec_pairs_merge(all, in->labels, a);
	if (all.n > SPEC_LABELS_MAX)
		return spec_fail(err, JT_ELIMIT, in->job.path, "labels", "labels has %zu entries with the defaults, the limit is %d",
				 all.n, SPEC_LABELS_MAX);
	in->job.labels = all.v;
	in->job.n_labels = all.n;
	return 0;
}

static void take_stdin(struct job_in *in)
{
	if (!in->in.file && !in->in.text)
		return;
	in->job.stdin_file = in->in.file;
	in->job.stdin_text = in->in.text;
}

/* Bounds are put in order in a job, not in defaults: what a job says may be right for those that it leaves as they are. */
static int check_retry(struct spec_job *job, bool is_defaults, struct spec_error *err)
{
	struct jt_retry_policy checked = job->retry;
	struct jt_error jerr;

	job->has_retry_on_exit = !spec_set_empty(&job->retry_on_exit);
	if (jt_retry_check(&checked, &jerr) < 0)
		return spec_fail(err, jerr.code, job->path, "retry", "%s", jerr.text);
	if (!is_defaults)
		job->retry = checked;
	return 0;
}

int spec_check_retry(struct spec_job *job, struct spec_error *err)
{
	return check_retry(job, false, err);
}

static int check_statuses(const struct spec_job *job, struct spec_error *err)
{
	for (size_t i = 0; i < sizeof(job->success_exit.bits); i++) {
		uint8_t both = job->success_exit.bits[i] & job->skip_exit.bits[i];

		if (both)
			return spec_fail(err, JT_EINVAL, job->path, "skip_exit", "exit status %zu is in success_exit and in skip_exit",
					 i * 8 + (size_t)__builtin_ctz(both));
	}
	return 0;
}

static int check_path(const struct spec_job *job, const char *barrier, struct spec_error *err)
{
	struct jt_error jerr;

	if (!job->path)
		return spec_fail(err, JT_EINVAL, NULL, "path", "a job has no path");
	if (jt_path_check(job->path, strlen(job->path), barrier, &jerr) == 0)
		return 0;
	(void)spec_fail(err, jerr.code, NULL, "path", "%s", jerr.text);
	set_who(err, job->path);
	return -1;
}

static int read_fields(const json_t *obj, const char *below, struct job_in *in, struct arena *a, struct spec_error *err)
{
	struct field_error ferr;
	char got[80];

	if (!below && !json_is_object(obj))
		return spec_fail(err, JT_EINVAL, NULL, "", "a job must be an object, got %s",
				 obj ? field_got(obj, got, sizeof(got)) : "nothing");
	if (fields_read_below(below, job_fields, obj, in, a, &ferr) == 0)
		return 0;
	return spec_fail_field(err, below ? NULL : json_string_value(json_object_get(obj, "path")), &ferr);
}

int spec_job_overlay(const json_t *obj, const char *below, const char *barrier, struct arena *a, struct spec_job *job,
		     struct spec_error *err)
{
	struct job_in in = { .job = *job, .fetch = job->fetch };

	if (read_fields(obj, below, &in, a, err) < 0)
		return -1;
	if (barrier && check_path(&in.job, barrier, err) < 0)
		return -1;
	take_stdin(&in);
	if (take_command(&in, err) < 0 || take_env(&in, a, err) < 0 || take_labels(&in, a, err) < 0)
		return -1;
	if (check_retry(&in.job, below != NULL, err) < 0 || check_statuses(&in.job, err) < 0)
		return -1;
	*job = in.job;
	return 0;
}

static int check_has_command(const struct spec_job *job, struct spec_error *err)
{
	if (job->kind == SPEC_NONE)
		return spec_fail(err, JT_EINVAL, job->path, "argv", "has nothing to run; give argv, argv_b64, shell or fetch");
	return job->kind == SPEC_FETCH ? spec_fetch_check(job, err) : 0;
}

int spec_job_read(const json_t *obj, const struct spec_run *run, struct arena *a, struct spec_job *ret, struct spec_error *err)
{
	struct spec_job job = run->base;

	if (spec_job_overlay(obj, NULL, run->barrier ? run->barrier : "~", a, &job, err) < 0 || check_has_command(&job, err) < 0)
		return -1;
	*ret = job;
	return 0;
}

/* ---- the stored form ---------------------------------------------------------------------------------------------- */

int spec_job_parse(const char *text, size_t len, const struct spec_run *run, struct arena *a, struct spec_job *ret,
		   struct spec_error *err)
{
	struct spec_job job = run->base;
	json_error_t jerr;
	json_t *obj = json_loadb(text, len, JSON_REJECT_DUPLICATES, &jerr);
	int rc;

	if (!obj)
		return spec_fail(err, JT_EINVAL, NULL, "", "a stored job is not JSON: %s", jerr.text);
	rc = spec_job_overlay(obj, NULL, NULL, a, &job, err);
	json_decref(obj);
	if (rc < 0 || check_has_command(&job, err) < 0)
		return -1;
	*ret = job;
	return 0;
}
