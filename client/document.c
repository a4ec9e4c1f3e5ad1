/* SPDX-License-Identifier: MIT */
#include "document.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "proto/nearest.h"
#include "status.h"

int fault_set(struct fault *f, const char *file, struct place at, const char *fmt, ...)
{
	struct buf b = { 0 };
	char *text;
	va_list ap;

	f->status = CTL_REFUSED;
	buf_puts(&b, strcmp(file, "-") == 0 ? "standard input" : file);
	if (at.line)
		buf_printf(&b, ":%lu", at.line);
	if (at.line && at.col)
		buf_printf(&b, ":%lu", at.col);
	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) >= 0) {
		buf_printf(&b, ": %s", text);
		free(text);
	}
	va_end(ap);
	buf_text(&b);
	if (b.len >= sizeof(f->text))
		b.len = sizeof(f->text) - 1;
	memcpy(f->text, b.p, b.len);
	f->text[b.len] = '\0';
	buf_done(&b);
	return -1;
}

/* ---- env_inherit -------------------------------------------------------------------------------------------------- */

static bool is_list_of_strings(const json_t *list)
{
	size_t i;
	json_t *item;

	json_array_foreach((json_t *)list, i, item)
		if (!json_is_string(item))
			return false;
	return json_is_array(list);
}

/* An env that is no object, or names that are no strings, are left for the check of the fields to refuse. */
int inherit_resolve(json_t *job, const char **ret_bad)
{
	const char *key = json_object_get(job, "env-inherit") ? "env-inherit" : "env_inherit";
	json_t *names = json_object_get(job, key), *env = json_object_get(job, "env"), *name;
	size_t i;

	if (!names || !is_list_of_strings(names) || (env && !json_is_object(env)))
		return 0;
	if (!env) {
		env = json_object();
		json_object_set_new(job, "env", env);
	}
	json_array_foreach(names, i, name) {
		const char *value = getenv(json_string_value(name));

		if (!value || json_object_get(env, json_string_value(name)))
			continue;
		if (json_object_set_new(env, json_string_value(name), json_string(value)) != 0) {
			*ret_bad = json_string_value(name);
			return -1;
		}
	}
	json_object_del(job, key);
	return 0;
}

static int inherit(const struct document *d, json_t *obj, struct place at, struct fault *f)
{
	const char *bad;

	if (inherit_resolve(obj, &bad) == 0)
		return 0;
	return fault_set(f, d->file, at, "env_inherit: the value of %s is not UTF-8; pass it in another way", bad);
}

/* ---- jobs --------------------------------------------------------------------------------------------------------- */

static struct place job_place(const struct document *d, const char *origin, const char *field)
{
	const char *keys[] = { "jobs", origin };

	return field && *field ? places_of_field(&d->places, keys, 2, field) : places_find(&d->places, keys, 2);
}

struct place document_place(const struct document *d, size_t i, const char *field)
{
	const char *origin = json_string_value(json_array_get(d->origin, i));

	return origin ? job_place(d, origin, field) : (struct place){ 0 };
}

/* path NULL: an item of a list, which has its path inside. Takes job. */
static int add_job(struct document *d, const char *origin, const char *path, json_t *job, struct fault *f)
{
	struct place at = job_place(d, origin, NULL);

	if (path && json_is_string(job)) {
		json_t *obj = json_object();

		json_object_set_new(obj, "shell", job);
		job = obj;
	}
	if (!json_is_object(job)) {
		int rc = fault_set(f, d->file, at, "job \"%s\": expected %s", origin, path ? "a command or a mapping of fields"
				: "a mapping of fields with a path");
		json_decref(job);
		return rc;
	}
	json_array_append_new(d->jobs, job);
	json_array_append_new(d->origin, json_string(origin));
	if (path && json_object_get(job, "path"))
		return fault_set(f, d->file, job_place(d, origin, "path"), "job \"%s\": path stands twice: as the key and as a field", path);
	if (path)
		json_object_set_new(job, "path", json_string(path));
	return inherit(d, job, at, f);
}

static int add_jobs(struct document *d, json_t *jobs, struct fault *f)
{
	const char *path;
	json_t *job;
	size_t i;

	if (json_is_object(jobs)) {
		json_object_foreach(jobs, path, job)
			if (add_job(d, path, path, json_incref(job), f) != 0)
				return -1;
		return 0;
	}
	json_array_foreach(jobs, i, job) {
		char number[24];

		snprintf(number, sizeof(number), "%zu", i);
		if (add_job(d, number, NULL, json_incref(job), f) != 0)
			return -1;
	}
	return 0;
}

/* A key that was meant to be it is the better answer. */
static int no_jobs(const struct document *d, json_t *top, struct fault *f)
{
	const char *key;
	json_t *value;

	json_object_foreach(top, key, value) {
		struct nearest near;

		nearest_init(&near, key);
		nearest_offer(&near, "jobs");
		if (nearest_get(&near))
			return fault_set(f, d->file, places_find(&d->places, (const char *[]){ key }, 1), "unknown field \"%s\"; did you mean \"jobs\"?",
					 key);
	}
	return fault_set(f, d->file, (struct place){ 0 }, "there are no jobs: expected \"jobs:\" with a command for each path");
}

static int finish(struct document *d, json_t *top, struct fault *f)
{
	json_t *jobs = json_object_get(top, "jobs"), *defaults = json_object_get(top, "defaults");
	struct place at = places_find(&d->places, (const char *[]){ "jobs" }, 1);

	if (!jobs)
		return no_jobs(d, top, f);
	if (!json_is_object(jobs) && !json_is_array(jobs))
		return fault_set(f, d->file, at, "jobs must be a mapping of paths to commands, or a list of jobs");
	if (add_jobs(d, jobs, f) != 0)
		return -1;
	if (json_is_object(defaults) && inherit(d, defaults, places_find(&d->places, (const char *[]){ "defaults" }, 1), f) != 0)
		return -1;
	d->run = json_incref(top);
	json_object_del(top, "jobs");
	return 0;
}

int document_finish(const char *file, json_t *top, struct places *places, struct document *ret, struct fault *f)
{
	struct document d = { .file = file, .jobs = json_array(), .origin = json_array(), .places = *places };
	int rc = finish(&d, top, f);

	*places = (struct places){ 0 };
	json_decref(top);
	if (rc != 0)
		document_done(&d);
	else
		*ret = d;
	return rc;
}

void document_done(struct document *d)
{
	json_decref(d->run);
	json_decref(d->jobs);
	json_decref(d->origin);
	places_done(&d->places);
	*d = (struct document){ 0 };
}
