/* SPDX-License-Identifier: MIT */
/*
 * Keys - by what a later map knows an item again: the command, the item's bytes, and which occurrence of these bytes it is; not its number.
 * So lines may be inserted, removed and moved, and equal ones stay distinct.
 */
#ifndef MAP_KEYS_H
#define MAP_KEYS_H

#include "map/settings.h"
#include "map/task.h"

#define KEY_SIZE 16

struct keys;

/* keys_new - for the items of one stage, the number-th from 1: what one has done does not count in another. NULL with errno: nothing can be noted. */
struct keys *keys_new(const struct stage_settings *set, size_t number);
void keys_free(struct keys *k);
/* keys_command - KEY_SIZE bytes that stand for the command alone. */
const unsigned char *keys_command(const struct keys *k);
/* keys_make - t is the next item of the input: gives it its key. 0, or -1 with errno. What was seen is noted outside of memory. */
int keys_make(struct keys *k, struct task *t);
/* keys_of_start - of what is started of t: its own key, or, of a part of a batch, one that follows from it. */
void keys_of_start(const struct task *t, unsigned char ret[KEY_SIZE]);

#endif
