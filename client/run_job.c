/* SPDX-License-Identifier: MIT */
#include "run_job.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "buf.h"
#include "document.h"
#include "escape.h"
#include "proto/base64.h"
#include "status.h"
#include "talk.h"

/* NAME=VALUE texts into obj[field]. */
static int set_pairs(json_t *obj, const char *field, const char *option, const struct list *list)
{
	json_t *pairs = json_object();

	for (size_t i = 0; i < list->n; i++) {
		const char *equals = strchr(list->v[i], '=');

		if (!equals || equals == list->v[i] ||
		    json_object_setn_new(pairs, list->v[i], (size_t)(equals - list->v[i]), json_string(equals + 1)) != 0) {
			json_decref(pairs);
			return complain(CTL_USAGE, "--%s needs NAME=VALUE in UTF-8, got \"%s\"", option, list->v[i]);
		}
	}
	if (list->n)
		json_object_set_new(obj, field, json_incref(pairs));
	json_decref(pairs);
	return 0;
}

static json_t *inherit_list(const struct list *names)
{
	json_t *list = json_array();

	for (size_t i = 0; i < names->n; i++)
		json_array_append_new(list, json_string(names->v[i]));
	return list;
}

static int set_env(json_t *job, const struct options *o)
{
	const char *bad;
	int rc = set_pairs(job, "env", "env", &o->env);

	if (rc == 0)
		rc = set_pairs(job, "labels", "label", &o->label);
	if (rc || !o->env_inherit.n)
		return rc;
	json_object_set_new(job, "env_inherit", inherit_list(&o->env_inherit));
	return inherit_resolve(job, &bad) == 0 ? 0 : complain(CTL_USAGE, "--env-inherit: the value of %s is not UTF-8", bad);
}

static bool all_utf8(const struct options *o)
{
	for (size_t i = 0; i < o->n_args; i++)
		if (utf8_bad(o->args[i], strlen(o->args[i])) != strlen(o->args[i]))
			return false;
	return true;
}

static char *encode(const char *bytes, size_t n)
{
	char *text = xrealloc(NULL, BASE64_SIZE(n), 1);

	base64_encode(bytes, n, text);
	return text;
}

static json_t *argv_list(const struct options *o, bool base64)
{
	json_t *list = json_array();

	for (size_t i = 0; i < o->n_args; i++) {
		size_t len = strlen(o->args[i]);
		char *text = base64 ? encode(o->args[i], len) : NULL;

		json_array_append_new(list, json_string(text ? text : o->args[i]));
		free(text);
	}
	return list;
}

static int set_command(json_t *job, const struct options *o)
{
	if (o->shell && o->n_args)
		return complain(CTL_USAGE, "run takes either -c COMMAND or ARGV, got both; quote the whole command behind -c");
	if (o->shell)
		return json_object_set_new(job, "shell", json_string(o->shell)) ? complain(CTL_USAGE, "-c must be UTF-8") : 0;
	if (all_utf8(o))
		json_object_set_new(job, "argv", argv_list(o, false));
	else
		json_object_set_new(job, "argv_b64", argv_list(o, true));
	return 0;
}

static void set_text(json_t *job, const char *field, const char *value, int *bad)
{
	if (value)
		*bad |= json_object_set_new(job, field, json_string(value));
}

static void set_int(json_t *job, const char *field, int64_t value)
{
	if (value != INT64_MIN)
		json_object_set_new(job, field, json_integer(value));
}

static void set_seconds(json_t *job, const char *field, double value)
{
	if (value >= 0)
		json_object_set_new(job, field, json_real(value));
}

/* A path as the command line means it: from the working directory of this jobctl. */
static char *absolute(const char *path)
{
	char *cwd = path[0] == '/' ? NULL : getcwd(NULL, 0), *whole;

	whole = cwd ? xasprintf("%s/%s", cwd, path) : xstrdup(path);
	free(cwd);
	return whole;
}

static int set_options(json_t *job, const struct options *o)
{
	int bad = 0;
	char *file;

	set_text(job, "user", o->user, &bad);
	set_text(job, "group", o->group, &bad);
	set_text(job, "umask", o->umask, &bad);
	set_int(job, "nice", o->nice);
	set_int(job, "priority", o->priority);
	set_seconds(job, "timeout_s", o->timeout_s);
	set_seconds(job, "grace_s", o->grace_s);
	if (o->retry != INT64_MIN)
		json_object_set_new(job, "retry", json_pack("{s:I}", "max", (json_int_t)o->retry));
	if (o->stdin_file) {
		file = absolute(o->stdin_file);
		bad |= json_object_set_new(job, "stdin", json_pack("{s:s}", "file", file));
		free(file);
	}
	return bad ? complain(CTL_USAGE, "texts in options must be UTF-8") : set_env(job, o);
}

char *run_job_name(const struct options *o)
{
	const char *program = o->shell ? "shell" : o->args[0], *slash = strrchr(program, '/'), *base = slash ? slash + 1 : program;
	bool usable = *base && *base != '-' && strcmp(base, "~") != 0 && strlen(base) <= 200 &&
		      base[strspn(base, "0123456789")] && utf8_bad(base, strlen(base)) == strlen(base);

	for (const char *p = base; *p && usable; p++)
		usable = (unsigned char)*p >= 0x20 && *p != 0x7f;
	return usable ? xstrdup(base) : xasprintf("job");
}

static int make_job(const struct options *o, const char *name, json_t *job)
{
	int rc = json_object_set_new(job, "path", json_string(name)) ? complain(CTL_USAGE, "--name must be UTF-8") : 0;

	if (rc == 0)
		rc = set_command(job, o);
	return rc ? rc : set_options(job, o);
}

int run_job_params(const struct options *o, const char *name, json_t **ret)
{
	char *cwd = absolute(o->cwd ? o->cwd : ".");
	json_t *run = json_pack("{s:s, s:s*, s:s*}", "name", name, "key", o->key, "cwd", cwd[0] == '/' ? cwd : NULL), *job = json_object();
	int rc = make_job(o, name, job);

	free(cwd);
	if (rc == 0 && !run)
		rc = complain(CTL_USAGE, "--name, --key and --cwd must be UTF-8");
	if (rc == 0)
		*ret = json_pack("{s:O, s:[O]}", "run", run, "jobs", job);
	json_decref(run);
	json_decref(job);
	return rc;
}
