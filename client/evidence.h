/* SPDX-License-Identifier: MIT */
/* Evidence - what a job that did not go well has left: why it could not start, the end of its standard error. For `why` and `run`. */
#ifndef EVIDENCE_H
#define EVIDENCE_H

#include <stdio.h>

#include "proto/varlink.h"

/* evidence_message - what jobd-runner said about the last attempt of a job ("cannot execute x: No such file or directory"); the caller
 * frees. NULL: nothing, or it cannot be asked now. */
char *evidence_message(struct vl_conn *conn, const char *run, const char *path);

/* evidence_print - the message and the last lines of standard error, indented and escaped; nothing about a job that runs, waits or went
 * well, nor what this user may not read. */
enum evidence {
	EVIDENCE_NONE,          /* nothing that a retry would take up */
	EVIDENCE_SILENT,        /* it failed without a word */
	EVIDENCE_OUTPUT,        /* it failed, and `jobctl logs` has more */
};
enum evidence evidence_print(FILE *out, struct vl_conn *conn, const char *run, const char *path);

#endif
