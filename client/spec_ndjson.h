/* SPDX-License-Identifier: MIT */
/* NDJSON - one job object a line; a first line without `path` is the run's options. */
#ifndef SPEC_NDJSON_H
#define SPEC_NDJSON_H

#include <jansson.h>

#include "buf.h"
#include "document.h"

/* ndjson_read - one line as an object; NULL with *f. */
json_t *ndjson_read(const char *file, unsigned long number, const char *line, size_t len, struct fault *f);

/* ndjson_job - obj (from ndjson_read of this line) as the text to send: the line itself, but where env_inherit must be resolved.
 * 0 with the text appended to out, or -1 with *f. */
int ndjson_job(const char *file, unsigned long number, const char *line, size_t len, json_t *obj, struct buf *out, struct fault *f);

#endif
