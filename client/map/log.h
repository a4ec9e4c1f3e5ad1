/* SPDX-License-Identifier: MIT */
/*
 * Log - the results of a map in a file of its own, so that a later map goes on where this one was when it died.
 *
 *	item ends --log_finish: row with status and output--> committed --sink took it, log_delivered--> committed
 *
 * The key of an item is made of its stage, the command, the item's bytes, and which occurrence of these bytes it is; not of its number.
 * Of stages before the last there is no delivery: their results are the items of the next, which has them by their own keys. Rows survive
 * a kill of this process; with --durable a loss of power, too. One process has a file at a time.
 */
#ifndef MAP_LOG_H
#define MAP_LOG_H

#include "map/settings.h"
#include "map/task.h"

struct log;

/* log_open - 0 with *ret, or an exit status, complained: the file is no log, is in use, or has results though nothing is to be resumed. */
int log_open(const struct map_settings *m, struct log **ret);
void log_close(struct log *l);

/* All of these: -1 with errno, the text of the database is in log_error. */
/* log_meet - t was admitted: gives it its key. 1: its result is there and counts; *ret_delivered: and was delivered. 0: it has to run. */
int log_meet(struct log *l, struct task *t, bool *ret_delivered);
/* log_load - that result into t. with_output: what it wrote, too. */
int log_load(struct log *l, struct task *t, struct chunk_store *store, bool with_output);
int log_finish(struct log *l, const struct task *t, struct chunk_store *store);
int log_delivered(struct log *l, const struct task *t);
const char *log_error(const struct log *l);

#endif
