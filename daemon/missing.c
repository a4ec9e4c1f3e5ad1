/* SPDX-License-Identifier: MIT */
/* Missing - what is said of a path that names no job: it may be a slip of the finger. */
#include <stdio.h>
#include <string.h>

#include "engine.h"
#include "proto/nearest.h"

#define LOOKED_AT 256           /* jobs of a folder, at most: a million of them are not compared while others wait */

/* How much of the path is the folder that it stands in. */
static size_t parent_len(const char *path, size_t len)
{
	while (len && path[len - 1] != '/')
		len--;
	return len ? len - 1 : 0;
}

/* From the folder that was named upwards: the slip is in the last name, or in one before. Lent by the scheduler; NULL: nothing is near. */
static const char *nearest_path(struct run *r, const char *path)
{
	size_t len = strlen(path), n;
	struct nearest near;
	jt_job v[LOOKED_AT];

	nearest_init(&near, path);
	do {
		len = parent_len(path, len);
		n = jt_sched_list(r->sched, len ? path : NULL, len, NULL, 0, v, LOOKED_AT);
		for (size_t i = 0; i < n; i++)
			nearest_offer(&near, jt_job_path(r->sched, v[i], NULL));
	} while (len && !nearest_get(&near));
	return nearest_get(&near);
}

int missing_job(struct run *r, const char *path, struct req_error *err)
{
	const char *meant = r->sched ? nearest_path(r, path) : NULL;

	snprintf(err->path, sizeof(err->path), "%.255s", path);
	err->run = r->id;
	if (meant)
		return req_fail(err, "org.jobd.NoSuchJob", "run %u has no job \"%.500s\"; did you mean \"%s\"?", r->id, path, meant);
	return req_fail(err, "org.jobd.NoSuchJob", "run %u has no job \"%.500s\": `jobctl ls %u` lists its jobs", r->id, path, r->id);
}
