/* SPDX-License-Identifier: MIT */
/* What the files behind spec.h share: values that are more than one JSON value, and the overlay of a job on a base. */
#ifndef SPEC_IMPL_H
#define SPEC_IMPL_H

#include "proto/arena.h"
#include "proto/fields.h"
#include "proto/spec.h"

#define SPEC_SECONDS_MAX 1000000000     /* of any duration: 31 years */

/* Names and values, sorted by name: so that overlaying and comparing is linear. */
struct spec_pairs {
	const struct spec_pair *v;
	size_t n;
};
struct spec_stdin {
	const char *file, *text;
};

/* Custom readers of field tables; the type of dst stands behind each. */
int spec_read_env(const struct field_at *at, const json_t *value, void *dst, struct arena *a);          /* spec_pairs */
int spec_read_labels(const struct field_at *at, const json_t *value, void *dst, struct arena *a);       /* spec_pairs */
int spec_read_statuses(const struct field_at *at, const json_t *value, void *dst, struct arena *a);     /* spec_set */
int spec_read_umask(const struct field_at *at, const json_t *value, void *dst, struct arena *a);        /* int32_t */
int spec_read_stdin(const struct field_at *at, const json_t *value, void *dst, struct arena *a);        /* spec_stdin */
int spec_read_cwd(const struct field_at *at, const json_t *value, void *dst, struct arena *a);          /* const char * */
int spec_read_base64_list(const struct field_at *at, const json_t *value, void *dst, struct arena *a);  /* spec_strings */
int spec_read_name(const struct field_at *at, const json_t *value, void *dst, struct arena *a);         /* const char *: of a run */

extern const struct field spec_retry_fields[];  /* into a spec_job */
/* spec_check_retry - puts the bounds of a job's retries in order. 0, or -1 with *err. */
int spec_check_retry(struct spec_job *job, struct spec_error *err);

/* What is given is laid over *dst, where that is not NULL, in a copy. */
int spec_read_fetch(const struct field_at *at, const json_t *value, void *dst, struct arena *a);        /* const struct spec_fetch * */
/* spec_fetch_check - whether a fetch that nothing will be added to can be done. 0, or -1 with *err. */
int spec_fetch_check(const struct spec_job *job, struct spec_error *err);

/* Both sorted; where a name is in both, over wins. */
struct spec_pairs spec_pairs_merge(struct spec_pairs base, struct spec_pairs over, struct arena *a);
size_t spec_env_bytes(struct spec_pairs env);
bool spec_set_empty(const struct spec_set *s);

/* spec_job_overlay - *job is the base and becomes the job; its path is checked against barrier where there is one.
 * below: name of the field that holds obj ("defaults"), or NULL. 0, or -1 with *err. */
int spec_job_overlay(const json_t *obj, const char *below, const char *barrier, struct arena *a, struct spec_job *job,
		     struct spec_error *err);

/* spec_fail - *err for an error of a field in the thing called `who` (`job "a/b"`, `run`); always -1. */
int spec_fail_field(struct spec_error *err, const char *path, const struct field_error *ferr);
int spec_fail(struct spec_error *err, enum jt_code code, const char *path, const char *field, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));

#endif
