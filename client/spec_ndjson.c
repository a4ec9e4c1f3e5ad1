/* SPDX-License-Identifier: MIT */
#include "spec_ndjson.h"

#include <stdlib.h>
#include <string.h>

json_t *ndjson_read(const char *file, unsigned long number, const char *line, size_t len, struct fault *f)
{
	json_error_t err;
	json_t *obj = json_loadb(line, len, JSON_REJECT_DUPLICATES, &err);

	if (!obj)
		fault_set(f, file, (struct place){ number, (unsigned long)(err.column > 0 ? err.column : 0) }, "%s", err.text);
	else if (!json_is_object(obj))
		fault_set(f, file, (struct place){ number, 1 }, "expected an object, one job a line");
	else
		return obj;
	json_decref(obj);
	return NULL;
}

int ndjson_job(const char *file, unsigned long number, const char *line, size_t len, json_t *obj, struct buf *out, struct fault *f)
{
	const char *bad;
	char *text;

	if (!json_is_string(json_object_get(obj, "path")))
		return fault_set(f, file, (struct place){ number, 1 }, "path is missing: every job needs one%s",
				 number == 1 ? "" : " (only the first line may hold options of the run)");
	if (!json_object_get(obj, "env_inherit") && !json_object_get(obj, "env-inherit")) {
		buf_add(out, line, len);
		return 0;
	}
	if (inherit_resolve(obj, &bad) != 0)
		return fault_set(f, file, (struct place){ number, 1 }, "env_inherit: the value of %s is not UTF-8; pass it in another way",
				 bad);
	text = json_dumps(obj, JSON_COMPACT);
	buf_puts(out, text ? text : "{}");
	free(text);
	return 0;
}
