/* SPDX-License-Identifier: MIT */
/* Record - JSON lines about a fetch, each one object. The caller frees. */
#ifndef FETCH_RECORD_H
#define FETCH_RECORD_H

struct fetch;

char *record_progress(const struct fetch *f);
char *record_event(const char *event, const char *text);
char *record_end(struct fetch *f);

#endif
