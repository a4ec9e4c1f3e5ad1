/* SPDX-License-Identifier: MIT */
/*
 * Store - the database, its thread, and the group commit. Only store*.c include sqlite3.h.
 *
 * The loop thread posts operations; the store thread executes all that has queued up in one transaction and commits it with one
 * fsync; then the operations come back, in the order of posting, and each one's `done` is called on the loop thread. So an effect
 * (a reply, an event, a start) placed in `done` can not leave before the transaction that justifies it: commit before effect.
 *
 *   loop:  store_post(op) ........ op->done(op) ..... store_op_free(op)
 *   store:        [ BEGIN exec exec exec COMMIT ]^
 *
 * When it commits: at once if an operation of the batch is urgent (a client or a free slot waits for it), else when 5 ms have passed
 * since the first (10 ms where they come densely: 16 and more in the last batch) or 256 operations are together. A batch that takes longer than 20 ms to execute is cut, so that those behind it
 * wait no longer than that. Queries are operations too: they see everything posted before them, and are always urgent.
 *
 * Errors. A commit that fails for want of space is rolled back; the ballast is released (store_space.c), and it is executed again: at once,
 * then every 250 ms until it succeeds. store_trouble tells, until there is room for a ballast again. While even that does not help,
 * writes queue up in order; queries are answered out of their turn, from what is committed, but for ST_LOAD_JOBS, ST_FIND_ITEMS
 * and ST_LOAD_ITEMS.
 * Any other failure of a write or fsync ends the process, with a line in the log: nothing is acknowledged, and the start recovers.
 * An fsync is never repeated. So does a breach of a rule of the tables (a number or a key used twice): a mistake of our own.
 *
 * Files: jobd.db, jobd.db-wal and ballast, mode 0600, in the state directory. What the tables are: store_schema.c.
 */
#ifndef STORE_H
#define STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "gap.h"
#include "mailbox.h"
#include "proto/arena.h"

struct store;
struct event_base;

#define JOB_ID(run, idx) ((uint64_t)(run) << 32 | (uint32_t)(idx))
#define JOB_RUN(id) ((uint32_t)((id) >> 32))
#define JOB_IDX(id) ((uint32_t)(id))

/* States of a run as stored (and, but for BULK, as shown). */
enum run_state { RUN_BULK, RUN_OPEN, RUN_RUNNING, RUN_PAUSED, RUN_OK, RUN_FAILED, RUN_CANCELLED, RUN_N_STATES };

/* State of a job as stored: only what can not be derived. JT_WAITING stands for waiting and ready; JT_STARTING is "armed: may have been
 * started as attempt `attempts` by incarnation `runner`" (the intent, rule 1). Times: wall clock, microseconds; 0 = none. */
struct store_job_state {
	uint8_t state;                  /* enum jt_state */
	uint8_t reason;                 /* enum job_reason */
	uint8_t goes_on, fails_run;     /* facts of a final state */
	uint32_t cause;                 /* index of the job that caused the skip, JT_NONE */
	uint32_t attempts;              /* begun, lost ones too */
	uint32_t n_failed;              /* of them failed since the retry budget began */
	uint32_t n_lost;                /* of them lost since the last release */
	uint32_t runner;                /* number of the runner incarnation; 0 none */
	int64_t due_at_us;              /* BACKOFF, and HELD while it backed off; else 0 */
	int64_t budget_at_us;           /* when the retry budget began (first start) */
	int64_t started_at_us;          /* first attempt's start: what is there stays; 0: unknown */
	int64_t ended_at_us;
	int32_t exit_code;              /* -1: null */
	int32_t signal;                 /* 0: null */
};

/* reason of an end (JOBSPEC) */
enum job_reason {
	WHY_NONE, WHY_EXIT, WHY_SIGNAL, WHY_TIMEOUT, WHY_SPAWN, WHY_OUTPUT, WHY_LOST, WHY_CANCELLED, WHY_UPSTREAM, WHY_NOT_NEEDED, WHY_STOPPED,
	WHY_N
};

struct store_attempt {
	uint32_t attempt;
	uint8_t reason;                 /* enum job_reason */
	int32_t exit_code, signal;      /* -1, 0: null */
	int32_t pid;
	int64_t started_at_us, ended_at_us, wall_ns, cpu_us, maxrss_kb;
	int64_t out_bytes, err_bytes;   /* what was written; -1: unknown */
	struct gap out_gap, err_gap;    /* what of it was not kept */
	char *out, *err;                /* packed outputs (small ones), what is kept of them, owned by the op; NULL: in a file, or empty */
	char *message;                  /* of a spawn error and such; NULL */
};

enum event_kind { EV_SUBMITTED, EV_SEALED, EV_STARTED, EV_ENDED, EV_RETRYING, EV_SKIPPED, EV_CANCELLED, EV_HELD, EV_RELEASED, EV_LOST,
		  EV_PAUSED, EV_RESUMED, EV_RUN_ENDED, EV_RETRIED, EV_N };
struct store_event {
	uint64_t seq;                   /* counted by the loop thread; 0: no event */
	int64_t at_us;
	uint32_t run, idx;              /* idx JT_NONE: of the run */
	uint8_t kind, state, reason;    /* state: enum jt_state (job) or run_state (run) */
	uint32_t attempt;
	int32_t exit_code, signal;
};

struct store_run {                      /* strings owned by the op or the receiver of a load */
	uint32_t run;
	char *name, *key;               /* NULL: none */
	uint64_t hash[2];
	uid_t uid;
	gid_t gid;
	char *options;                  /* NULL, or JSON of RunOptions as given */
	uint8_t state;                  /* enum run_state */
	uint8_t stream;                 /* opened as a stream */
	uint8_t sealed;
	uint8_t stopped;                /* 0, 1 + enum jt_stop */
	uint8_t stop_why;               /* enum jt_stop_why */
	uint8_t paused;
	uint32_t n_jobs;
	int64_t submitted_at_us, started_at_us, ended_at_us;
	uint32_t counts[12];            /* by enum jt_state, when ended */
};

struct store_new_job {                  /* strings borrowed from the op's arena */
	const char *path;  uint32_t path_len;
	const char *spec;  uint32_t spec_len;   /* JSON without path */
	const char *after; uint32_t after_len;  /* the `after` paths, each NUL-terminated; NULL: none */
	int32_t priority;
	uint8_t when;
};

/*
 * An item of a map: a run of a stream with `map` in its options, whose jobs are places for items, one after the other. `id` is the place; its
 * attempts go on counting, and those of the item are base + 1 .. last. The row of the place, its specification and state, is that of
 * the item that is, or was last, in it.
 */
#define STORE_ITEM_KEY 16
struct store_item {
	uint32_t run;
	uint64_t tag;                   /* from 1 on, below 2^63; not used twice in a run */
	uint64_t seq, id;
	uint32_t base, last;            /* last: known once it is delivered */
	bool delivered, has_key;
	int64_t bytes;                  /* that its last attempt wrote; of those not delivered, where they are loaded */
	unsigned char key[STORE_ITEM_KEY];      /* at most one item of a run has it */
};

enum store_kind {
	ST_RUN_NEW,             /* in: run */
	ST_RUN_SET,             /* in: run (all but name, uid, gid; key with hash, and options, only if not
				 * NULL: those of a bulk are known at its seal, those of a map change with its client). To a final state: behind the ends
				 * of its jobs, for it bounds the search for the run's events */
	ST_RUN_DROP,            /* in: run.run: the run, its jobs, attempts, items and events. Gone at once, and the key free; the space
				 * comes back later, in slices, also after a restart */
	ST_JOBS_NEW,            /* in: id of the first, jobs (in the arena), n_jobs (all WAITING) */
	ST_SEALED_DIR,          /* in: run.run, path: a directory of a stream is sealed */
	ST_JOB_STATE,           /* in: id, job */
	ST_JOB_STATES,          /* in: rows, n_ids (how many), event: ends that follow from another, many at once; see
				 * store_event_of_row */
	ST_ARM,                 /* in: id, job (state JT_STARTING, attempts, runner); out: text = spec, text_len */
	ST_END,                 /* in: id, job, attempt (number 0: none was made) */
	ST_EVENT,               /* in: event alone */
	ST_RUNNER_NEW,          /* in: runner_id, boot_id; out: n = its number (an old one if known) */
	ST_SETTING,             /* in: path = name, text = value */
	ST_ITEM_NEW,            /* in: item (last, delivered: not looked at), jobs (1, in the arena), n_jobs 1: the row of the place item.id is
				 * made, or replaced; it waits, with item.base attempts. An item that had the same key is forgotten
				 * with its attempts */
	ST_ITEM_TAKEN,          /* in: item (run; tag and seq: new), n = the tag until now; one that is not there: nothing */
	ST_ITEMS_DELIVERED,     /* in: items (run, tag, id, base, last), n_items; of each, delivered: the item and its attempts are kept, and it is
				 * marked; else they are deleted */
	/* queries */
	ST_GET_ROWS,            /* in: ids, n_ids; out: rows (n_ids); a job that is not there looks like one that waits */
	ST_GET_JOB,             /* in: id; out: rows (1), text = spec, attempts, n_attempts (without outputs); rows NULL: no such job */
	ST_GET_OUTPUT,          /* in: id, attempt.attempt; out: attempts (1, with outputs), n_attempts 0 if there is none */
	ST_GET_EVENTS,          /* in: since, run.run (0: all), limit; out: events, n_events (seq > since, ascending) */
	ST_LOAD_JOBS,           /* in: run.run; row() is called for each job, on the store's thread, in index order; sealed directories then by dir() */
	ST_FIND_ITEMS,          /* in: run.run, items (key), n_items; out: items, tag 0 where no item has the key. How one stands: the last
				 * attempt (ST_GET_OUTPUT) if it is delivered, else the state of its place */
	ST_LOAD_ITEMS,          /* in: run.run; out: items, n_items: those not delivered, by tag; n = the highest tag of the run, 0: none */
	ST_BACKUP,              /* in: path; out: error. Written beside it and renamed: replaces a file only by a whole one. What was posted
				 * before it is in it. Made in slices between the commits: comes back when it is there, behind others
				 * that were posted later; one at a time */
	ST_N_KINDS
};

struct store_row {                      /* a job for show */
	uint64_t id;
	struct store_job_state job;
};
struct store_load_row {                 /* borrowed for the call of row() */
	uint32_t idx;
	const char *path; size_t path_len;
	const char *after; size_t after_len;
	size_t spec_len;
	int32_t priority;
	uint8_t when;
	struct store_job_state job;
};

/* The op owns what its pointers point to: what lies in the arena, and for all others memory of malloc, which store_op_free frees.
 * A `done` that keeps something takes it and leaves NULL. */
struct store_op {
	struct mail mail;
	uint8_t kind;
	bool urgent;                    /* somebody waits for the commit */
	void (*done)(struct store_op *op);      /* loop thread, after the commit; may be NULL. The op is freed after it */
	void *ctx, *arg;                /* for done */
	uint64_t id;
	uint64_t n;
	struct store_event event;       /* written with the operation if seq is not 0 */
	struct store_job_state job;
	int sync_fd;                    /* ITEM_NEW: what has to be on the disk before the record is; -1: nothing. Closed with the op */
	struct store_attempt attempt;
	struct store_run run;
	struct store_item item;
	struct arena arena;             /* freed with the op */
	size_t bytes;                   /* roughly what it adds to the database, if that is much: see store_has_room */
	struct store_new_job *jobs;  size_t n_jobs;
	char *path, *text;  size_t text_len;
	uint8_t runner_id[16], boot_id[16];
	uint64_t *ids;  size_t n_ids;
	struct store_row *rows;
	struct store_attempt *attempts;  size_t n_attempts;
	struct store_event *events;  size_t n_events;
	struct store_item *items;  size_t n_items;
	uint64_t since;  size_t limit;
	void (*row)(struct store_op *op, const struct store_load_row *row);
	void (*dir)(struct store_op *op, const char *path);
	char error[256];                /* of a query (what it gives is then incomplete) or backup; "" = none */
};

struct store_op *store_op_new(enum store_kind kind);    /* zeroed */
void store_op_free(struct store_op *op);                /* with everything it owns; NULL is fine */
struct store_event store_event_of_row(const struct store_op *op, size_t i);     /* of ST_JOB_STATES */
void store_run_done(struct store_run *run);             /* frees its strings */

struct store_error { char text[512]; };

/*
 * store_open - open or create DIR/jobd.db, check it, migrate it forward. The caller holds the lock of the state directory. Before
 * an older database is migrated, it is copied to DIR/backups/schema-N.db (N: its version), where it stays.
 * store_load* and store_forget_bulks work until store_start, on the caller's thread.
 *
 * Returns NULL with *err: not a database, of another program, of a newer schema, damaged, in use, no space. The file and its log
 * then have the bytes they had. Damaged is: a header or b-tree that is wrong (quick_check), acknowledged commits in the log behind
 * a broken one, a database that is empty or gone while its log is not. quick_check reads every page, 2 ms a MB: above 128 MB only
 * the small tables are checked, so that a million jobs are served soon after a start; the jobs of runs that go on are read anyway, and what
 * else is damaged is found when it is read.
 *
 * synchronous=FULL is read back; a store on which a commit would not be durable is not opened.
 */
struct store *store_open(const char *dir, struct store_error *err);
struct store_heads { uint32_t next_run; uint64_t last_seq; };
int store_load_heads(struct store *st, struct store_heads *ret, struct store_error *err);
/* Every run, ascending. The strings of *run are given to fn. */
int store_load_runs(struct store *st, void (*fn)(void *arg, struct store_run *run), void *arg, struct store_error *err);
/* The same as ST_LOAD_JOBS, now. op->row, op->dir, op->run.run. */
int store_load_jobs(struct store *st, struct store_op *op, struct store_error *err);
/* The items of a run that are not delivered, by tag, and the highest tag of all (0: none). *item is borrowed for the call. */
int store_load_items(struct store *st, uint32_t run, void (*fn)(void *arg, const struct store_item *item), void *arg, uint64_t *ret_last_tag,
		     struct store_error *err);
/* The strings are borrowed for the call. */
int store_load_settings(struct store *st, void (*fn)(void *arg, const char *name, const char *value), void *arg,
			struct store_error *err);
/* Deletes unsealed bulks (a restart makes them disappear). */
int store_forget_bulks(struct store *st, struct store_error *err);

/*
 * store_restore - FILE, a backup of this version or an older one, takes the place of DIR/jobd.db. The caller holds the lock of the
 * directory, and no runner lives that runs jobs of the old database.
 *
 * FILE is checked (integrity_check, all of it) and not changed. The old database with its log stays as ret->kept (NULL: there was none;
 * the caller frees it), also one that is damaged. Numbers of runs and events are not given out again; runs that had not ended are
 * paused. Killed in the middle: the old database is untouched, or the next store_open ends what was begun.
 * 0; or -1 with *err, and everything is as it was.
 */
struct store_restored {
	int64_t runs, paused;
	char *kept;
};
int store_restore(const char *dir, const char *file, struct store_restored *ret, struct store_error *err);

/* store_start - from now on the database belongs to the store's thread; `done`s are called from base's loop. */
int store_start(struct store *st, struct event_base *base, struct store_error *err);
/* store_post - gives the op away. What is posted between store_open and store_start is executed first thing after the start. */
void store_post(struct store *st, struct store_op *op);
/* store_stop - commits what is queued and what the remaining `done`s post, calls them, closes, frees. Without space it gives up
 * what could not be committed, without a `done`, with a line in the log. */
void store_stop(struct store *st);
/* store_close - closes and frees a store that was not started. */
void store_close(struct store *st);

struct store_stats {
	uint64_t commits, operations, waits;
	double commit_ms_max, checkpoint_ms_max;
	size_t queued;
};
void store_stats(const struct store *st, struct store_stats *ret);
/* NULL: well. Else a sentence: "disk full: ... ". */
const char *store_trouble(const struct store *st);
/* store_is_stuck - even without the ballast there is no room: what is posted waits, and may be given up with store_stop. */
bool store_is_stuck(const struct store *st);
/* store_has_room - whether the disk will probably hold `bytes` more, beside what is queued. Asks the file system: a microsecond. */
bool store_has_room(const struct store *st, size_t bytes);
/* store_is_short - whether the disk is as good as full, noticed by a write or not: a quarter of a ballast is not free. As cheap. */
bool store_is_short(const struct store *st);

#endif
