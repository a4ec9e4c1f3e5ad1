/* SPDX-License-Identifier: MIT */
/* What the files of the store share among themselves. Nobody else includes this. */
#ifndef STORE_PRIV_H
#define STORE_PRIV_H

#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>

#include "store.h"
#include "store_sql.h"

enum { ST_STOP = ST_N_KINDS };          /* the private operation with which store_stop ends the thread */

struct event;
struct store_copy;

struct store_queue {                    /* operations, oldest first */
	struct mail *head, **end;
	size_t n, n_urgent;
	int64_t since_ns;               /* when the oldest came */
};

struct store {
	/* belong to the store's thread while it runs, else to the caller */
	sqlite3 *db;
	sqlite3_stmt *stmts[SQL_N];
	char *path;                     /* of the database */
	struct store_queue queue;
	size_t last_n;                  /* operations in the last batch */
	bool stopping;
	bool drops;                     /* rows of dropped runs are left to be deleted */
	struct store_copy *backup;      /* one is being made ... */
	struct store_op *backup_op;     /* ... for this ST_BACKUP; both or none */
	int64_t retry_at_ns;            /* stuck, as there is no space even without the ballast: when to try again; 0: not stuck */
	int64_t look_at_ns;             /* full: when to look for space again */
	bool has_ballast;
	int64_t ballast_bytes;          /* 0: none can be had */
	char *ballast_path;
	int wal_pages;                  /* pages in the WAL that no checkpoint has copied */
	int page_size;
	int failed_errno;               /* errno as the last failing step left it: SQLite does not keep it for a commit */
	/* belong to the loop's thread */
	struct event *event;
	pthread_t thread;
	bool started;
	char *full_text;                /* what store_trouble says */
	/* the two ways */
	struct mailbox *in, *out;
	/* written by the store's thread, read by anybody */
	atomic_bool full, stuck;        /* stuck: retry_at_ns is set */
	atomic_uint_fast64_t commits, operations, waits, commit_ns_max, checkpoint_ns_max;
	atomic_size_t queued, queued_bytes;
};

/* ---- store_sql.c's texts in use: bind in order from ?1, read in order from the first column ---------------------- */

struct stmt {
	sqlite3_stmt *s;
	int *errno_of;                  /* where the errno of a failure goes */
	int i;
};
struct stmt stmt_of(struct store *st, enum sql q);
void put_int(struct stmt *s, int64_t v);
void put_int_or_null(struct stmt *s, int64_t v, int64_t null);
void put_text(struct stmt *s, const char *v, size_t len);       /* borrowed until stmt_end; NULL is null */
void put_str(struct stmt *s, const char *v);
void put_blob(struct stmt *s, const void *v, size_t len);
int stmt_row(struct stmt *s);           /* SQLITE_ROW, SQLITE_DONE, or the error */
int stmt_end(struct stmt *s);           /* for use again; SQLITE_OK, or the error of the last step */
int stmt_run(struct stmt *s);           /* all steps, and the end */
int64_t get_int(struct stmt *s);
int64_t get_int_or(struct stmt *s, int64_t null);
const char *get_text(struct stmt *s, size_t *ret_len);          /* borrowed until the next step; NULL if null */
char *get_dup(struct stmt *s);          /* a copy, NUL-terminated; NULL if null */
void get_blob(struct stmt *s, void *ret, size_t size);          /* zeroes where the value is shorter */

/* ---- one operation, within a transaction; a result code of SQLite ----------------------------------------------- */

int store_write(struct store *st, struct store_op *op);         /* store_write.c, the kinds before ST_GET_ROWS */
int store_query(struct store *st, struct store_op *op);         /* store_query.c */
int store_load(struct store *st, struct store_op *op);          /* store_load.c: ST_LOAD_JOBS */
int store_drop(struct store *st, uint32_t run);                 /* store_drop.c: make it invisible */
int store_drop_slice(struct store *st);                         /* ... a part of the deletion; clears st->drops at the end */
int store_put_job(struct store *st, enum sql q, uint64_t id, const struct store_new_job *job);      /* SQL_JOB_NEW, SQL_PLACE_JOB */
void get_state(struct stmt *s, struct store_job_state *ret);    /* the columns of SQL_STATE behind id */
void *store_grow(void *array, size_t n, size_t size);           /* array of n, made room for one more; doubles */

/* ---- store_items.c: the same, of the items of maps -------------------------------------------------------------- */

int store_item_new(struct store *st, struct store_op *op);
int store_item_taken(struct store *st, struct store_op *op);
int store_items_delivered(struct store *st, struct store_op *op);
int store_find_items(struct store *st, struct store_op *op);
int store_items_in_hand(struct store *st, struct store_op *op);

/* ---- store_backup.c: outside of a transaction; what they return is at its end, with its error ---------------------- */

struct store_op *store_backup_begin(struct store *st, struct store_op *op);
struct store_op *store_backup_slice(struct store *st);
struct store_op *store_backup_give_up(struct store *st, const char *why);

/* ---- commits ---------------------------------------------------------------------------------------------------- */

int store_begin(struct store *st);
int store_commit(struct store *st);
void store_rollback(struct store *st);
void store_checkpoint(struct store *st);                        /* copies what the WAL holds, if it can */
bool store_is_full(struct store *st, int rc);                   /* is it for want of space? */
_Noreturn void store_die(struct store *st, const char *what);
int64_t store_now_ns(void);
void store_raise(atomic_uint_fast64_t *max, int64_t value);     /* only the store's thread writes */

/* ---- store_space.c ---------------------------------------------------------------------------------------------- */

void store_ballast_open(struct store *st);                      /* found, or made; else the store begins as full */
bool store_ballast_make(struct store *st);                      /* whether it is there now */
bool store_ballast_drop(struct store *st);                      /* whether that gave room */
bool store_wal_is_long(const struct store *st);                 /* time for a checkpoint */

/* ---- store_check.c: what is in the folder, before anything is written; 0, or -1 with *err ------------------------- */

enum store_file { STORE_NEW, STORE_THERE };
int store_check_file(const char *path, enum store_file *ret, struct store_error *err);
int store_check_wal(const char *path, struct store_error *err);         /* store_wal.c */
int store_finish_restore(const char *dir, struct store_error *err);        /* store_restore.c */
int store_check_content(sqlite3 *db, const char *path, struct store_error *err);

#endif
