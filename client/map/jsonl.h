/* SPDX-License-Identifier: MIT */
/* Jsonl - a result as one line of JSON. */
#ifndef MAP_JSONL_H
#define MAP_JSONL_H

#include "buf.h"
#include "map/results.h"
#include "map/task.h"

struct map_loop;

/* jsonl_add - the line of t, which has ended; takes its output. 0, or -1 with errno: the spool cannot be read. */
int jsonl_add(struct buf *b, struct map_loop *l, struct task *t, struct results *results);
/* jsonl_status - "status": of t, as it stands there. */
void jsonl_status(struct buf *b, const struct task *t);

#endif
