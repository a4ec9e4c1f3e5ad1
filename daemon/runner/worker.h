/* SPDX-License-Identifier: MIT */
/*
 * Worker - a thread that owns the children it started, from spawn to reap: their pidfds, their timeouts, the way from TERM to KILL. As
 * nobody else waits for them, a pid it signals is always still its child's.
 *
 * At the end of a job's main process the rest of its process group is killed, before the main process is reaped, while its
 * number cannot have passed to somebody else. What left the group (a daemon of its own session) is killed in the job's cage, where there
 * are cages, else by the main thread, whose child it has become (sweep.h). What the job made a child of this thread is killed and
 * reaped here (siblings.h). The end is told when nothing of the job runs any more.
 */
#ifndef RUNNER_WORKER_H
#define RUNNER_WORKER_H

#include "attempt.h"
#include "cage.h"
#include "child.h"

struct worker;

/*
 * worker_new - start thread number `number` of the runner of that socket (cage_socket_number); its notes go to `to`. NULL: errno. base and
 * cages are borrowed for the worker's life.
 */
struct worker *worker_new(unsigned number, uint64_t socket, const struct child_base *base, const struct cage_root *cages, struct mailbox *to);
/* worker_post - give a note away; of the caller's thread it is the last use of what it says the worker owns. */
void worker_post(struct worker *w, struct note *n);
/* worker_queued - starts that were posted and have not been spawned yet: each keeps its descriptors open. Any thread. */
unsigned worker_queued(const struct worker *w);
/* worker_free - end the thread; it must have no children. */
void worker_free(struct worker *w);

#endif
