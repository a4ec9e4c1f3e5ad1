/* SPDX-License-Identifier: MIT */
/* Exit statuses of a fetch; doc/jobctl-fetch.1 tells them to people. A signal is raised again instead. */
#ifndef FETCH_STATUS_H
#define FETCH_STATUS_H

enum fetch_status {
	FETCH_OK = 0,
	FETCH_USAGE = 2,
	FETCH_HTTP = 10,        /* a status that no repetition mends, a redirect without end */
	FETCH_NET = 11,         /* attempts used up; a certificate that is not trusted */
	FETCH_SHORT = 12,       /* attempts used up, and the last one ended early */
	FETCH_SUM = 13,         /* the checksum differs */
	FETCH_CHANGED = 14,     /* the object changed more often than --restarts */
	FETCH_IO = 15,          /* the target: full, not writable, no such place */
	FETCH_RANGE = 16,       /* the range reaches beyond the object */
	FETCH_LOCKED = 17,      /* somebody else fetches to this name */
	FETCH_DEADLINE = 18,
};

/* Why a fetch ends. The first reason counts; status FETCH_OK: none yet. */
struct fail {
	enum fetch_status status;
	char text[1024];
};

/* fail_set - returns -1, so that a function can end with it. */
int fail_set(struct fail *f, enum fetch_status status, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#endif
