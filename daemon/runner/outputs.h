/* SPDX-License-Identifier: MIT */
/*
 * Outputs - a thread that looks at the outputs of running jobs, and punches out the middle of those that grow beyond what is kept of them
 * (gap.h). Nothing is kept open for it: what was passed with the START is known by device and inode, and found again by its name below
 * STATE/out, where jobd made it. (Through /proc/PID/fd we might find what the job has put there instead.)
 *
 *   QUIET -inotify: written to-> GROWING -not grown for 3 looks-> QUIET          looked at every 10 ms while it grows
 *
 * So one that nobody writes to costs nothing. At most 256 are looked at every 10 ms, in turn: as long as no more grow at once, what lies on
 * the disk is at most what is kept and what is written in 10 ms; with n of them it is n / 256 times that. The punching is done by threads of
 * its own, up to 64, made when they are needed: a writer that waits for its disk holds the file, and some file systems write out what they
 * are to throw away, while they hold up the writer.
 */
#ifndef RUNNER_OUTPUTS_H
#define RUNNER_OUTPUTS_H

#include <stdint.h>
#include <sys/types.h>

#include "attempt.h"
#include "mailbox.h"

struct outputs;

/* outputs_identify - regular files that are open for writing. Two system calls each. */
struct output_ids outputs_identify(const int fds[2]);

/* outputs_new - start the thread. state_dir is borrowed. Its stuck_notes go to `to`. NULL: errno. */
struct outputs *outputs_new(const char *state_dir, struct mailbox *to);
/* outputs_watch - from now on, of a job that runs: at most max bytes of each; with RM_OUTPUT_WHOLE in max nothing is left out, and a stuck_note comes
 * instead. Running out of memory ends the process. */
struct watched *outputs_watch(struct outputs *o, uint64_t job, uint32_t attempt, uint64_t max, const struct output_ids *ids);
/*
 * outputs_forget - it has ended. Returns whether something was left out: then its end is not to be told before `settled` has come back, by when
 * exactly max bytes of each output are kept. NULL: nothing.
 */
bool outputs_forget(struct outputs *o, struct watched *w, struct note *settled);
/* outputs_free - end the thread; everything is forgotten. */
void outputs_free(struct outputs *o);

#endif
