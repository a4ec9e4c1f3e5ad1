/* SPDX-License-Identifier: MIT */
/* Stage settings - of one command, out of the options in front of it. */
#ifndef MAP_STAGE_SETTINGS_H
#define MAP_STAGE_SETTINGS_H

#include "map/settings.h"

/* stage_settings_read - n words are the command. columns: its items are tuples of so many, 0: they are none. local: it runs here. 0, or an exit status, and it has complained;
 * stage_settings_done in both cases. */
int stage_settings_read(struct stage_settings *s, const struct options *o, const char *const *words, size_t n, uint32_t columns,
			bool local);
void stage_settings_done(struct stage_settings *s);

/* What exec takes here, for all arguments and variables; and what of it the environment of a map's commands takes. */
size_t exec_limit(void);
size_t exec_environment(void);

#endif
