/* SPDX-License-Identifier: MIT */
/*
 * Hasher - the thread that sums the file behind the writer: it reads what is complete from the first byte on, mostly from the page cache.
 */
#ifndef FETCH_HASHER_H
#define FETCH_HASHER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "digest.h"

struct hasher {
	int fd;                         /* borrowed */
	int wake, ended;                /* eventfds; `ended` is readable when the result is there */
	uint64_t from;                  /* offset in the file */
	_Atomic uint64_t upto;
	atomic_bool last;               /* `upto` is the end */
	atomic_bool stop;
	struct digest_run *run;
	pthread_t thread;
	bool started;
	/* the result, after hasher_take */
	int error;                      /* errno of a read */
	bool same;
	struct digest wanted, is;
	int64_t took_us;
};

int hasher_start(struct hasher *h, int fd, uint64_t from, const struct digests *wanted);        /* 0, or -1 with errno */
void hasher_reach(struct hasher *h, uint64_t upto);     /* [from, upto) of the file is complete; O(1) */
void hasher_finish(struct hasher *h);                   /* and that was all: the result comes */
void hasher_take(struct hasher *h);                     /* takes the result over; waits until `ended` is readable. Once */
void hasher_end(struct hasher *h);                      /* now, with or without a result */

#endif
