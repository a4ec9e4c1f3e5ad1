/* SPDX-License-Identifier: MIT */
/*
 * Document - a pipeline file as a whole, YAML or JSON: the run's options and its jobs.
 *
 * spec_yaml_read and spec_json_read give the object as it was written, and the places of its keys; document_finish makes jobs
 * of it: `jobs` as a mapping path -> command or object, or as a list of objects; a string is a shell command; env_inherit
 * is resolved from this environment. document_check holds it against the rules of specifications (proto/spec.h).
 */
#ifndef DOCUMENT_H
#define DOCUMENT_H

#include <jansson.h>
#include <stddef.h>

#include "places.h"

#define DOCUMENT_MAX (256 * 1024 * 1024)        /* bytes of a YAML or JSON file; larger submissions are lines or NDJSON */

/* What is wrong, complete: "nightly.yaml:7:12: job "a/b": retry.max must be ..." */
struct fault {
	int status;             /* the exit status that it means: CTL_REFUSED, CTL_USAGE for a file that cannot be opened */
	char text[2048];
};
/* Always -1. at.line 0: only the file is named; col 0: only the line. */
int fault_set(struct fault *f, const char *file, struct place at, const char *fmt, ...) __attribute__((format(printf, 4, 5)));

struct document {
	const char *file;       /* borrowed; "-" shows as "standard input" */
	json_t *run;            /* the options, without jobs */
	json_t *jobs;           /* list of objects, each with a path */
	json_t *origin;         /* list: the key of each job in `jobs` of the file (its path or its number), for places */
	struct places places;
};

int spec_yaml_read(const char *file, const char *text, size_t len, json_t **ret, struct places *places, struct fault *f);
int spec_json_read(const char *file, const char *text, size_t len, json_t **ret, struct places *places, struct fault *f);

/* document_finish - takes top (what was read) and moves *places into ret. 0, or -1 with *f. */
int document_finish(const char *file, json_t *top, struct places *places, struct document *ret, struct fault *f);
void document_done(struct document *d);
int document_check(const struct document *d, struct fault *f);
/* The place of field (may be NULL or "") of job i. */
struct place document_place(const struct document *d, size_t i, const char *field);

/* inherit_resolve - env_inherit of a job object (or of defaults) into its env; what env says itself stays. 0, or -1 with *ret_bad the
 * name of a variable whose value is not UTF-8. */
int inherit_resolve(json_t *job, const char **ret_bad);

#endif
