/* SPDX-License-Identifier: MIT */
/* Halt - when enough items have failed, succeeded or ended. */
#ifndef MAP_HALT_H
#define MAP_HALT_H

#include "map/settings.h"
#include "map/stage.h"

/* halt_parse - "never", or WHEN,WHAT=N[%]: now|soon, fail|success|done. 0 or -1. */
int halt_parse(const char *text, struct halt *ret);
bool halt_is_due(const struct halt *h, const struct stage_counts *n);

#endif
