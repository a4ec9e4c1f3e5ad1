/* SPDX-License-Identifier: MIT */
/*
 * Jsonl - a result as one line of JSON, piece by piece: it may be longer than memory.
 *
 *	JSONL_HEAD -> JSONL_OUT -> (JSONL_ERR, with --stderr field) -> JSONL_HEAD of the next
 */
#ifndef MAP_JSONL_H
#define MAP_JSONL_H

#include "buf.h"
#include "map/task.h"

struct map_loop;

struct jsonl {                          /* {0} between two lines */
	enum { JSONL_HEAD, JSONL_OUT, JSONL_ERR } step;
	bool is_text;                   /* the string that is under way; else base64 */
	char kept[4];                   /* taken and not yet written: a character, or a group of base64, that goes on in the next piece */
	size_t n_kept;
};

/* jsonl_add - more of the line of t, which has ended; takes its output. 1: there is more to come; 0: that was all of it; -1 with errno: the spool
 * cannot be read. At most six times CHUNK_MAX bytes, and the item. */
int jsonl_add(struct jsonl *j, struct buf *b, struct map_loop *l, struct task *t);
/* jsonl_status - "status": of t, as it stands there. */
void jsonl_status(struct buf *b, const struct task *t);

#endif
