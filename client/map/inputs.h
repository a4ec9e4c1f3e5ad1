/* SPDX-License-Identifier: MIT */
/* Inputs - the files and descriptors that the items come from, as one source. */
#ifndef MAP_INPUTS_H
#define MAP_INPUTS_H

#include <stdbool.h>

#include "map/settings.h"

/* inputs_open - 0 with *ret, or an exit status, complained. *ret_can_count: the total is wanted and can be had, by reading *ret_count, which is the
 * same source again, and the caller's, too. */
int inputs_open(const struct map_settings *m, struct jt_source *ret, struct jt_source *ret_count, bool *ret_can_count);
/* inputs_complain - say that this source failed, by its errno, and return the exit status for it. */
int inputs_complain(const struct map_settings *m, int error);

#endif
