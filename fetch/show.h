/* SPDX-License-Identifier: MIT */
/* Show - what a fetch says: to people on standard error, to programs as JSON lines (doc/jobctl-fetch.1 lists the members). Never a secret. */
#ifndef FETCH_SHOW_H
#define FETCH_SHOW_H

struct fetch;

int show_open(struct fetch *f);                 /* 0, or FETCH_USAGE and it has complained */
void show_progress(struct fetch *f);            /* one beat */
void show_restart(struct fetch *f);
void show_note(struct fetch *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void show_end(struct fetch *f);                 /* the final record, or the reason of the failure */

#endif
