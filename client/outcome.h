/* SPDX-License-Identifier: MIT */
/* Outcome - waiting for the end of a run or a job, silently or with its progress, and the exit status that it means. */
#ifndef OUTCOME_H
#define OUTCOME_H

#include "options.h"
#include "proto/varlink.h"

enum outcome_output { OUTCOME_TO_STDOUT, OUTCOME_TO_STDERR };   /* where the lines of progress go */

/* outcome_wait - until the run has ended. CTL_OK, CTL_JOB_FAILED, or a status of the connection. */
int outcome_wait(struct vl_conn *conn, const char *run);

/* outcome_follow - the same with its progress: a live line on a terminal, else a line an event. Interrupted, it says how to come back
 * and returns CTL_INTERRUPTED; the run goes on. */
int outcome_follow(const struct options *o, struct vl_conn *conn, const char *run, enum outcome_output output);

/* outcome_exit - the exit status of a run in that state; -1: it has not ended. */
int outcome_exit(const char *state);

#endif
