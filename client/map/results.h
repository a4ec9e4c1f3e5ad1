/* SPDX-License-Identifier: MIT */
/*
 * Results - --results DIR: each result in files of its own, DIR/SEQ/stdout, stderr (if that is kept apart) and status, written as it leaves.
 */
#ifndef MAP_RESULTS_H
#define MAP_RESULTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct task;

enum results_stream { RESULTS_OUT, RESULTS_ERR, RESULTS_STREAMS };

struct results {
	int dir;                        /* -1: not wanted */
	int item, stream[RESULTS_STREAMS];      /* of the item `seq`; -1: none */
	uint64_t seq;                   /* 0: none is open */
	int error;                      /* of a write; 0: none */
};
#define RESULTS_NONE { .dir = -1, .item = -1, .stream = { -1, -1 } }

/* results_init - dir may be NULL. 0 or an exit status, complained. */
int results_init(struct results *r, const char *dir);
void results_done(struct results *r);
/* results_write - more of what t wrote. An error is kept for results_end. */
void results_write(struct results *r, struct task *t, enum results_stream which, const char *data, size_t n);
/* results_end - t is whole. 0, or -1 with errno. */
int results_end(struct results *r, struct task *t);

#endif
