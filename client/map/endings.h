/* SPDX-License-Identifier: MIT */
/* Endings - what a command cannot say itself: that it was killed, ran too long, wrote too much or could not be started with its item. */
#ifndef MAP_ENDINGS_H
#define MAP_ENDINGS_H

#include <stdint.h>

struct task;

/* endings_tell - of t, which has left, on standard error; the first ones of a map alone, and nothing where the result itself tells. */
void endings_tell(const struct task *t);
/* endings_tell_lost - so many bytes of what t wrote cannot be had any more. The map fails with that. */
void endings_tell_lost(const struct task *t, uint64_t bytes);

#endif
