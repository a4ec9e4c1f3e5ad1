/* SPDX-License-Identifier: MIT */
/* Gate - when the next process may start: --delay, --load, --memfree. */
#ifndef MAP_GATE_H
#define MAP_GATE_H

#include "map/settings.h"

struct gate { int64_t open_ns; };       /* not before, by loop_now_ns */

/* gate_wait_ns - 0: a process may start now; else ask again after so long. */
int64_t gate_wait_ns(const struct gate *g, const struct map_settings *set, int64_t now_ns);
/* gate_passed - one was started. */
void gate_passed(struct gate *g, const struct map_settings *set, int64_t now_ns);

#endif
