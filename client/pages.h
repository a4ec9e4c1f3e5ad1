/* SPDX-License-Identifier: MIT */
/* Pages - a listing of runs or jobs, page after page, row after row. */
#ifndef PAGES_H
#define PAGES_H

#include <jansson.h>
#include <stdint.h>

#include "proto/varlink.h"

struct listing {
	const char *run, *path;         /* run NULL: runs */
	const char *states;             /* "failed,lost"; NULL: all */
	int64_t limit;                  /* INT64_MIN: all */
	int (*row)(void *arg, const json_t *row);       /* borrowed; other than 0 ends the listing with that status */
	void (*page_end)(void *arg);    /* may be NULL */
	void *arg;
};

/* pages_walk - 0, a status of the connection, or what row returned. */
int pages_walk(struct vl_conn *conn, const struct listing *l);

#endif
