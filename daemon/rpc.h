/* SPDX-License-Identifier: MIT */
/*
 * RPC - the methods of org.jobd: parameters by field tables, who may, the engine's functions, the reply.
 * rpc.c table and helpers; rpc_access.c who may; rpc_list.c, rpc_show.c (Get), rpc_explain.c, rpc_logs.c what is read;
 * rpc_control.c what is changed.
 */
#ifndef RPC_H
#define RPC_H

#include "engine.h"
#include "proto/fields.h"

extern const struct server_method rpc_methods[];

/* What a peer may do with a run; one table, in rpc_access.c */
enum access { MAY_SEE, MAY_READ, MAY_CHANGE };
bool may(const struct engine *e, const struct server_peer *peer, const struct run *r, enum access what);

void call_fail(struct call *call, const struct req_error *err);

/* rpc_read - the parameters by a table. False: the call has been answered. Strings stay until the next rpc_read. */
bool rpc_read(struct call *call, const json_t *params, const struct field *table, void *ret);
/* A run by number or name that the peer may ...; a job by path. NULL, false: the call has been answered. */
struct run *rpc_run(struct engine *e, struct call *call, const char *name, enum access what);
bool rpc_job(struct call *call, struct run *r, const char *path, jt_job *ret);

/* rpc_on_run - fn(call, r, arg) when the run's jobs are in memory; arg is freed afterwards (NULL is fine). */
typedef void (*run_fn)(struct call *call, struct run *r, void *arg);
void rpc_on_run(struct call *call, struct run *r, run_fn fn, void *arg);
/* rpc_ask - posts a query about r, whose jobs stay in memory until its `done` has called rpc_answered. */
void rpc_ask(struct run *r, struct store_op *op, void (*done)(struct store_op *op), void *arg);
/* The run that was asked about. NULL: there is nothing to tell, and the call (NULL: aborted) has been answered. */
struct run *rpc_answered(struct store_op *op, struct call *call);

/* What a reply may hold of a list, roughly; the rest is another page. */
#define RPC_PAGE_BYTES (512 * 1024)

const char *state_name_run(enum run_state st);
const char *reason_name(enum job_reason why);
const char *event_name(enum event_kind kind);
json_t *json_time(int64_t us);                          /* RFC 3339, UTC; null for 0 */
json_t *json_opt(const char *s);                        /* null for NULL */
json_t *json_lossy(const char *s);                      /* what is not UTF-8 becomes `?` */
json_t *rpc_reason(const struct run *r, enum job_reason why, jt_job cause);     /* "upstream: PATH" */
/* A Result of Wait; job JT_NONE: of the run; row may be NULL. */
json_t *rpc_result(struct run *r, jt_job j, const struct store_row *row);
json_t *rpc_run_row(struct run *r, bool owner);
json_t *rpc_job_row(struct run *r, jt_job j, const struct store_job_state *st);

void rpc_submit(void *ctx, struct call *call, const json_t *params);
void rpc_open(void *ctx, struct call *call, const json_t *params);
void rpc_add(void *ctx, struct call *call, const json_t *params);
void rpc_seal(void *ctx, struct call *call, const json_t *params);
void rpc_list(void *ctx, struct call *call, const json_t *params);
void rpc_get(void *ctx, struct call *call, const json_t *params);
void rpc_explain(void *ctx, struct call *call, const json_t *params);
void rpc_watch(void *ctx, struct call *call, const json_t *params);
void rpc_wait(void *ctx, struct call *call, const json_t *params);
void rpc_logs(void *ctx, struct call *call, const json_t *params);
void rpc_cancel(void *ctx, struct call *call, const json_t *params);
void rpc_hold(void *ctx, struct call *call, const json_t *params);
void rpc_release(void *ctx, struct call *call, const json_t *params);
void rpc_pause(void *ctx, struct call *call, const json_t *params);
void rpc_resume(void *ctx, struct call *call, const json_t *params);
void rpc_retry(void *ctx, struct call *call, const json_t *params);
void rpc_remove(void *ctx, struct call *call, const json_t *params);
void rpc_map(void *ctx, struct call *call, const json_t *params);
void rpc_map_put(void *ctx, struct call *call, const json_t *params);
void rpc_map_input(void *ctx, struct call *call, const json_t *params);
void rpc_map_read(void *ctx, struct call *call, const json_t *params);
void rpc_map_delivered(void *ctx, struct call *call, const json_t *params);
void rpc_map_stop(void *ctx, struct call *call, const json_t *params);
void rpc_map_end(void *ctx, struct call *call, const json_t *params);
void rpc_map_list(void *ctx, struct call *call, const json_t *params);
void rpc_map_control(void *ctx, struct call *call, const json_t *params);
void rpc_stats(void *ctx, struct call *call, const json_t *params);
void rpc_backup(void *ctx, struct call *call, const json_t *params);
void rpc_shutdown(void *ctx, struct call *call, const json_t *params);

#endif
