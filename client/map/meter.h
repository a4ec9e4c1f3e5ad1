/* SPDX-License-Identifier: MIT */
/*
 * Meter - how far a map has come, on standard error: --progress, and --stats at the end. It looks at counters and never at the input;
 * what is counted there, count.h says.
 */
#ifndef MAP_METER_H
#define MAP_METER_H

#include "map/loop.h"

struct meter {
	struct map_loop *loop;
	struct event *ev;               /* NULL: nothing is shown */
	int64_t began_ns;
};

void meter_init(struct meter *m, struct map_loop *l);
void meter_done(struct meter *m);       /* shows the end */
void meter_stats(const struct map_loop *l);

#endif
