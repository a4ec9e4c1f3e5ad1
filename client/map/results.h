/* SPDX-License-Identifier: MIT */
/* Results - --results DIR: each result in files of its own, DIR/SEQ/stdout and DIR/SEQ/status, written as it leaves. */
#ifndef MAP_RESULTS_H
#define MAP_RESULTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>


struct task;

struct results {
	int dir;                        /* -1: not wanted */
	int item, out;                  /* of the item `seq` */
	uint64_t seq;                   /* 0: none is open */
	int error;                      /* of a write; 0: none */
};

/* results_init - dir may be NULL. 0 or an exit status, complained. */
int results_init(struct results *r, const char *dir);
void results_done(struct results *r);
/* results_write - more of what t wrote. An error is kept for results_end. */
void results_write(struct results *r, const struct task *t, const char *data, size_t n);
/* results_end - t is whole. 0, or -1 with errno. */
int results_end(struct results *r, const struct task *t);

#endif
