/* SPDX-License-Identifier: MIT */
/*
 * Sweep - a thread for what takes the file system long: measuring and removing the outputs of runs, which may be very many files, and giving
 * back the middle of large ones. Nobody waits for it, and nothing is lost with it: what it has not done the next start finds again.
 */
#ifndef SWEEP_H
#define SWEEP_H

#include <stdint.h>

#include "gap.h"

struct event_base;
struct sweep;

/* Called from base's loop: OUT has a folder of this run, with so many bytes in files. */
typedef void sweep_found(void *ctx, uint32_t run, int64_t bytes);

/*
 * sweep_new - start the thread, and have it look for what there is. out_fd is borrowed. Without memory or a thread for it
 * the process ends.
 */
struct sweep *sweep_new(struct event_base *base, int out_fd, sweep_found *found, void *ctx);
#define SWEEP_INPUT ".in-"             /* in the folder of a run: .in-ERA.TAG, a file that is of no use to another process */
/* sweep_era - of this process. What an earlier one has left is removed. */
uint64_t sweep_era(const struct sweep *s);
/* sweep_remove - the folder of a run. It is out of the way at once: under another name until its files are gone. */
void sweep_remove(struct sweep *s, uint32_t run);
/* sweep_punch - the gap of an open file; takes fd over. */
void sweep_punch(struct sweep *s, int fd, const struct gap *gap);
/* sweep_free - end the thread after what it is about to do now. NULL is fine. */
void sweep_free(struct sweep *s);

#endif
