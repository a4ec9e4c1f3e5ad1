/* SPDX-License-Identifier: MIT */
/* What the tests of the store share: a store in a folder of its own, and operations that are waited for. */
#ifndef STORE_KIT_H
#define STORE_KIT_H

#include <check.h>
#include <event2/event.h>
#include <limits.h>

#include "daemon/store.h"
#include "jobtree.h"

extern char kit_dir[PATH_MAX];          /* the state folder */
extern char kit_db[PATH_MAX];           /* the database in it */
extern struct store *kit_store;         /* open and started, or NULL */
extern struct event_base *kit_base;

void kit_setup(void);                   /* a checked fixture: a folder, and a store in it */
void kit_setup_folder(void);            /* the folder alone */
void kit_teardown(void);
void kit_open(void);
void kit_close(void);
void kit_reopen(void);

void kit_post(struct store_op *op);     /* and do not wait; counted by kit_wait_all */
void kit_wait_all(void);
struct store_op *kit_do(struct store_op *op);   /* urgent; back when done. To be freed */
void kit_run(struct store_op *op);      /* the same, and freed */

struct store_op *kit_run_new(uint32_t run, const char *name, const char *key);
struct store_op *kit_run_set(uint32_t run, enum run_state state);
struct store_op *kit_run_drop(uint32_t run);
/* n jobs from index `first`: path "p<idx>", specification {"argv":["true"]} */
struct store_op *kit_jobs_new(uint32_t run, uint32_t first, size_t n);
struct store_op *kit_arm(uint32_t run, uint32_t idx, uint32_t attempt);
struct store_op *kit_end(uint32_t run, uint32_t idx, uint32_t attempt);
struct store_op *kit_get_job(uint64_t id);
void kit_event(struct store_op *op, uint64_t seq, uint32_t run, uint32_t idx, enum event_kind kind);

/* A query to the database of a closed store: the first column of the first row. */
int64_t kit_sql(const char *sql);

#endif
