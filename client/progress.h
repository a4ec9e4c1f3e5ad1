/* SPDX-License-Identifier: MIT */
/*
 * Progress - the one line that says how a run stands: done/total, running, failed, rate, eta, newest. Pure: it is fed with counts, event
 * paths and times and gives text; where the text goes is its user's business.
 */
#ifndef PROGRESS_H
#define PROGRESS_H

#include <jansson.h>
#include <stdint.h>

#include "buf.h"

struct progress {
	int64_t total, done, running, failed, skipped, cancelled;
	int64_t first_done;     /* done when the watching began */
	double began_s, now_s;  /* of a clock that never goes back */
	char *newest;           /* path of the job that started last; owned */
};

void progress_init(struct progress *p, double now_s);
void progress_done(struct progress *p);
/* progress_counts - Counts of the interface. */
void progress_counts(struct progress *p, const json_t *counts, double now_s);
void progress_newest(struct progress *p, const char *path);
/* progress_line - "12/40 done, 4 running, 1 failed, 2 skipped, 3.2/s, eta 9s, a/b" (skipped and cancelled only if there are any), at most
 * width columns (0: no limit), appended to out. */
void progress_line(const struct progress *p, size_t width, struct buf *out);

#endif
