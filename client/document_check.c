/* SPDX-License-Identifier: MIT */
/* A document held against the rules of specifications, with the place of the field in each refusal. */
#include "document.h"

#include "proto/arena.h"
#include "proto/spec.h"

int document_check(const struct document *d, struct fault *f)
{
	struct spec_error err;
	struct spec_run run;
	struct spec_job job;
	struct arena a, scratch;
	json_t *obj;
	size_t i;
	int rc;

	arena_init(&a);
	arena_init(&scratch);
	rc = spec_run_read(d->run, &a, &run, &err);
	if (rc != 0)
		rc = fault_set(f, d->file, places_of_field(&d->places, NULL, 0, err.field), "%s", err.text);
	json_array_foreach(d->jobs, i, obj) {
		if (rc != 0)
			break;
		rc = spec_job_read(obj, &run, &scratch, &job, &err);
		if (rc != 0)
			rc = fault_set(f, d->file, document_place(d, i, err.field), "%s", err.text);
		arena_reset(&scratch);
	}
	arena_done(&scratch);
	arena_done(&a);
	return rc;
}
