/* SPDX-License-Identifier: MIT */
/* Log pump - what a job has written, copied to descriptors, byte for byte unless it is to be escaped, one stream at a time or as it comes. */
#ifndef LOG_PUMP_H
#define LOG_PUMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/varlink.h"

struct log_stream {
	struct vl_conn *conn;   /* of its own, while it follows */
	const char *run, *path;
	const char *name;       /* "out" or "err" */
	int64_t attempt;        /* INT64_MIN: the last one */
	int fd;                 /* where the bytes go */
	bool escape;            /* fd is a terminal that they must not control */
	char begun[4];          /* a character of which only the beginning has come, to be escaped with its rest */
	size_t n_begun;
	bool ended;
	bool mid_line;          /* what was written last did not end in a newline */
};

/* log_copy - all there is now, and not what is written while it is being read. 0 or a status. */
int log_copy(struct log_stream *s);
/* log_follow_begin - ask for everything, and for what comes until the attempt has ended. Then, whenever conn is readable, log_follow_next
 * until s->ended. 0 or a status. */
int log_follow_begin(struct log_stream *s);
int log_follow_next(struct log_stream *s);
/* log_follow_all - n (at most 2) streams at once, until all of them have ended. */
int log_follow_all(struct log_stream *streams, size_t n);

#endif
