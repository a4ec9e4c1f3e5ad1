/* SPDX-License-Identifier: MIT */
/*
 * Siblings - what a job made with CLONE_PARENT: a child not of the job but of the thread that spawned it, beside the job itself. A cage holds it like
 * everything else, but nobody would reap it; without cages it would also outlive the job, for it never becomes an orphan.
 *
 * The thread that spawns looks itself, between two spawns: so what is among its children and is no main process that runs is a sibling.
 * Whose, is told as for orphans (sweep.h). Cost: without cages the list of the thread's children at each end, about 0.2 us a job that
 * runs; with cages now and then, so that there are never more zombies about than jobs.
 *
 * A worker's thread only.
 */
#ifndef RUNNER_SIBLINGS_H
#define RUNNER_SIBLINGS_H

#include "attempt.h"
#include "sweep.h"

enum siblings_home { SIBLINGS_IN_CAGES, SIBLINGS_AT_LARGE };

struct siblings {
	struct sweep sweep;             /* of this thread */
	enum siblings_home home;
	struct attempt_queue running;
	size_t n_running;
	size_t n_unlooked;              /* ends since the last look */
};

void siblings_open(struct siblings *s, uint64_t socket, enum siblings_home home);
void siblings_close(struct siblings *s);

/* siblings_born, siblings_reaped - the main process of an attempt is among the children, and is not any more. */
void siblings_born(struct siblings *s, struct attempt *a);
void siblings_reaped(struct siblings *s, struct attempt *a);

/*
 * siblings_kill - the attempt's main process has been reaped: reap siblings that are dead, kill those of the attempt. Returns a pidfd of one
 * that was killed, the caller's to close: to be called again when that one is dead. -1: none is left.
 */
int siblings_kill(struct siblings *s, const struct attempt *a);
/* siblings_end - the first time for an attempt: only if it is worth a look. */
int siblings_end(struct siblings *s, const struct attempt *a);

#endif
