/* SPDX-License-Identifier: MIT */
#include "map/gate.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define ASK_AGAIN_NS INT64_C(1000000000)        /* nothing tells when load or memory change */

/* MemAvailable in bytes; UINT64_MAX where the system does not say. */
static uint64_t memory_available(void)
{
	FILE *f = fopen("/proc/meminfo", "re");
	char line[128];
	uint64_t kib = UINT64_MAX / 1024;

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "MemAvailable: %" SCNu64, &kib) == 1)
			break;
	if (f)
		fclose(f);
	return kib * 1024;
}

static bool load_is_above(double max)
{
	double load;

	return getloadavg(&load, 1) == 1 && load > max;
}

int64_t gate_wait_ns(const struct gate *g, const struct map_settings *set, int64_t now_ns)
{
	if (now_ns < g->open_ns)
		return g->open_ns - now_ns;
	if (set->max_load >= 0 && load_is_above(set->max_load))
		return ASK_AGAIN_NS;
	return set->memfree > 0 && memory_available() < set->memfree ? ASK_AGAIN_NS : 0;
}

void gate_passed(struct gate *g, const struct map_settings *set, int64_t now_ns)
{
	if (!set->local)
		return;                 /* --delay is the daemon's */
	g->open_ns = now_ns + set->delay_ns;
}
