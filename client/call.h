/* SPDX-License-Identifier: MIT */
/* Call - one method of org.jobd, its reply, and what an error means for the exit status. */
#ifndef CALL_H
#define CALL_H

#include <jansson.h>

#include "proto/varlink.h"

/* call - takes params (NULL: they could not be made, because an argument is not UTF-8). method without "org.jobd.".
 * 0 with *ret (the caller releases), or an exit status and it has complained. */
int call(struct vl_conn *c, const char *method, json_t *params, json_t **ret);

/* call_try - what is good to know but not needed: the reply's parameters, or NULL without a word. */
json_t *call_try(struct vl_conn *c, const char *method, json_t *params);

/* call_more - the same with `more`: each reply goes to fn (params borrowed) until the last one, or until fn returns other than 0; that is
 * returned, and the connection is then of no use for further calls. */
int call_more(struct vl_conn *c, const char *method, json_t *params, int (*fn)(void *arg, const json_t *params), void *arg);

/* call_begin - sends only; with VL_MORE the replies come one by one by call_next. 0 or a status. */
int call_begin(struct vl_conn *c, const char *method, json_t *params, unsigned flags);
/* call_next - one reply. 0 with *ret; or a status. *ret_last: no more replies follow. */
int call_next(struct vl_conn *c, json_t **ret, int *ret_last);

/* call_failed - complains about an error reply; returns the exit status. */
int call_failed(const struct vl_reply *r);
/* call_status - the exit status alone: "org.jobd.Busy" and DiskFull are CTL_BUSY. */
int call_status(const char *error);
/* call_broken - complains about a connection that does not work; returns the exit status. Of one that was woken (vl_conn_wake) nothing is
 * said: CTL_INTERRUPTED. */
int call_broken(const struct vl_error *err);

/* ---- addresses -------------------------------------------------------------------------------------------------------- */

struct address {
	char *run;
	const char *path;       /* NULL: the run; points into run's memory */
};

/* address_read - RUN or RUN/PATH. 0, or CTL_USAGE and it has complained. */
int address_read(const char *text, struct address *ret);
/* The same, where a job is needed / where only a run will do. */
int address_read_job(const char *text, struct address *ret);
int address_read_run(const char *text, struct address *ret);
void address_done(struct address *a);

#endif
