/* SPDX-License-Identifier: MIT */
/*
 * libjobtree - trees of jobs: which may start, in which order, and what an end means for the rest.
 *
 * A job is named by a path. `a/b` waits for `a`; `a/~/c` waits for everything else below `a`. The library computes: it does
 * no I/O, reads no clock, starts no thread (but in jt_run_threads, whose purpose that is, and in the maps of jobtree_map.h). Time comes in
 * as nanoseconds of a clock that never goes back; the rules are those of "What the scheduler does" in doc/semantics.md.
 *
 * Thread safety: an object belongs to one thread at a time. Nothing is global.
 * Algorithm: pending-counters over the path tree with barriers, after W. Hoschek's bzfs parallel_tasktree; the queue of
 * available jobs is a d-ary heap (Johnson 1975); cycles by Kahn's algorithm (1962); backoff with full jitter (Brooker 2015).
 */
#ifndef JOBTREE_H
#define JOBTREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define JT_PATH_MAX 4096          /* bytes of a path */
#define JT_NONE UINT32_MAX        /* no job */
#define JT_NEVER INT64_MAX        /* a time that does not come */

/* ---- errors ---------------------------------------------------------------------------------------------------- */

enum jt_code {
	JT_OK = 0,
	JT_EINVAL,     /* an argument or a path is not of the form asked for */
	JT_EEXIST,     /* two jobs of one path */
	JT_ENOENT,     /* a path that names nothing */
	JT_ECYCLE,     /* jobs that wait for each other */
	JT_ESTATE,     /* not legal in the state it is in */
	JT_ELIMIT,     /* more than this library holds */
	JT_ENOMEM,     /* out of memory; the object is as before */
};

/* The text is complete and names the thing at fault: `job "a//b": empty component`. Always NUL-terminated, valid UTF-8 as
 * long as the input was. `path` functions truncate long paths in the middle. */
struct jt_error {
	enum jt_code code;
	uint32_t job;             /* index, within the call's own array, of the job at fault; JT_NONE if none is */
	char text[1024];
};

const char *jt_code_name(enum jt_code);

/* ---- a tree of jobs -------------------------------------------------------------------------------------------- */

typedef uint32_t jt_job;          /* handle of a job: 0, 1, 2 ... in the order of adding; stable for the life of the tree */

enum jt_order { JT_BY_PATH, JT_BY_DEPTH, JT_BY_FIFO };                 /* SEMANTICS 2: second part of the key */
enum jt_when { JT_ON_SUCCESS, JT_ON_FAILURE, JT_ON_FINISHED };         /* SEMANTICS 6 */
enum jt_names { JT_NAMES_STRICT, JT_NAMES_LOOSE };                     /* loose: empty inner and trailing components, control
                                                                          characters and any bytes are names; no limit of length */
enum jt_mode { JT_BULK, JT_STREAM };                                   /* stream: may grow after the start, until sealed */
enum jt_input { JT_ANY_ORDER, JT_SORTED };                             /* sorted: a path not above the one before is refused */
enum jt_barriers { JT_BARRIERS, JT_NO_BARRIERS };                      /* no: a path with a barrier component is refused */

struct jt_opts {
	const char *barrier;      /* NULL: "~". Copied. Non-empty, without '/' */
	enum jt_order order;
	enum jt_names names;
	enum jt_mode mode;
	uint32_t slots;           /* jobs at once; at least 1 */
	int64_t interval_ns;      /* pacing: next += interval; 0: none */
	int64_t jitter_ns;        /* each start's interval is lengthened by a uniformly random part of this; 0: none */
	uint64_t seed;            /* for the jitter */
	int64_t (*interval)(void *arg, jt_job job);   /* instead of interval_ns, if not NULL */
	void *interval_arg;
	enum jt_input input;
	enum jt_barriers barriers;
};

struct jt_spec {                  /* borrowed for the call */
	const char *path;
	size_t path_len;
	int32_t priority;         /* smaller first */
	enum jt_when when;
	const char *const *after; /* paths; a trailing slash means the subtree */
	size_t n_after;
};

struct jt_sched;

/* jt_path_check - the rules of submission for one path (SEMANTICS 1). 0, or -1 with *err. barrier as in jt_opts. */
int jt_path_check(const char *path, size_t len, const char *barrier, struct jt_error *err);

/* Returns NULL with *err: JT_EINVAL (slots 0, bad barrier name, negative interval), JT_ENOMEM. */
struct jt_sched *jt_sched_new(const struct jt_opts *opts, struct jt_error *err);
void jt_sched_free(struct jt_sched *s);

/* What a call changed that the caller did not ask for by name, in order. Appended to, never cleared by the library;
 * jt_changes_done frees. Every entry is an end: `state` SKIPPED or CANCELLED, with the reason. (Jobs that became available
 * are not listed: ask jt_sched_next.) */
enum jt_reason { JT_BY_ITSELF, JT_UPSTREAM, JT_NOT_NEEDED, JT_STOPPED, JT_CANCEL };
struct jt_change {
	jt_job job;
	uint8_t state;            /* enum jt_state */
	uint8_t reason;           /* enum jt_reason */
	jt_job cause;             /* JT_UPSTREAM: the job that itself ended without going on, the first to do so */
};
struct jt_changes {
	struct jt_change *v;
	size_t n, cap;
};
void jt_changes_done(struct jt_changes *c);

/*
 * jt_sched_add - add jobs. Any order. All or nothing.
 *
 * Before the start (JT_BULK, or JT_STREAM before jt_sched_begin): paths are checked one by one here; duplicates, `after` that
 * names nothing, and cycles are found by jt_sched_begin. In a stream that has begun everything is checked here, and the
 * jobs may become available at once. JT_ESTATE: below a sealed directory, below a job that failed or was skipped, or above
 * a job that has begun already. A job behind a barrier that is shut for good is taken, and is skipped at once.
 * ret_first: handle of specs[0]; the others follow. O(1) a job before the start.
 */
int jt_sched_add(struct jt_sched *s, const struct jt_spec *specs, size_t n, jt_job *ret_first, struct jt_changes *out,
		 struct jt_error *err);

/*
 * jt_sched_begin - sort, build, check, and make the first jobs available. Once. O(n log n).
 * Before it, jt_sched_restore may say how jobs stood before a restart; begin derives everything else from that.
 * On error nothing has begun; with JT_BULK the tree can only be freed.
 */
int jt_sched_begin(struct jt_sched *s, struct jt_changes *out, struct jt_error *err);

/* jt_sched_seal - no further adds. path NULL (len 0): the whole; else the directory (or job) `path` and all below it but
 * what stands behind its own barrier: below `path/~` jobs can still be added until that, or the whole, is sealed.
 * A JT_BULK tree is sealed by begin. */
int jt_sched_seal(struct jt_sched *s, const char *path, size_t len, struct jt_changes *out, struct jt_error *err);

/* ---- states ---------------------------------------------------------------------------------------------------- */

/* WAITING -> READY -> STARTING -> RUNNING -> OK | WARNED | FAILED | SKIPPED | CANCELLED | LOST
 * STARTING | RUNNING -> BACKOFF | READY | HELD;   BACKOFF -> READY;   WAITING | READY | BACKOFF <-> HELD;   any not begun -> SKIPPED | CANCELLED */
enum jt_state {
	JT_WAITING, JT_READY, JT_HELD, JT_STARTING, JT_RUNNING, JT_BACKOFF,
	JT_SOK, JT_WARNED, JT_FAILED, JT_SKIPPED, JT_CANCELLED, JT_LOST,
	JT_N_STATES
};
const char *jt_state_name(enum jt_state st);                    /* "waiting" ... "lost" */
int jt_state_parse(const char *name, enum jt_state *ret);       /* 0 or -1 */
bool jt_state_is_final(enum jt_state st);

/* How a job ended for good: the state to show, and two independent facts (SEMANTICS 3). */
struct jt_end {
	enum jt_state state;      /* one of the final ones */
	bool goes_on;             /* children and barriers go on */
	bool fails_run;
	bool stops_run;           /* abort: see jt_sched_stop */
};
/* The five outcomes of the table in SEMANTICS 3, and cancel and lost. ok: goes on. warn: goes on, fails the run. ignore: goes on.
 * skip: does not go on. fail, cancel, lost: do not go on, fail the run. abort: stops the run too. */
enum jt_outcome { JT_END_OK, JT_END_WARN, JT_END_IGNORE, JT_END_SKIP, JT_END_FAIL, JT_END_ABORT, JT_END_CANCEL, JT_END_LOST };
struct jt_end jt_end_of(enum jt_outcome o);

/* ---- running --------------------------------------------------------------------------------------------------- */

/*
 * jt_sched_next - the job that is to start now: the smallest available one, if a slot is free and pacing allows.
 * Returns JT_NONE if none; then *ret_at (may be NULL) is the time at which to ask again (pacing, backoff), or JT_NEVER.
 * First moves jobs whose backoff is over to the available ones. Does not change the state otherwise. O(1) amortised.
 */
jt_job jt_sched_next(struct jt_sched *s, int64_t now_ns, int64_t *ret_at);

/* jt_sched_peek - up to n of the smallest available jobs in order, regardless of slots and pacing. O(n log n). */
size_t jt_sched_peek(struct jt_sched *s, jt_job *ret, size_t n);

/* READY -> STARTING; takes a slot; pacing's next += interval. The caller starts it. */
int jt_sched_start(struct jt_sched *s, jt_job j, int64_t now_ns, struct jt_error *err);
int jt_sched_running(struct jt_sched *s, jt_job j, struct jt_error *err);             /* STARTING -> RUNNING (for show) */
/* STARTING|RUNNING -> READY: it was not started after all, or nobody will see how it ends. Gives the slot back, keeps its key; pacing is not
 * undone. */
int jt_sched_unstart(struct jt_sched *s, jt_job j, struct jt_error *err);

/* jt_sched_end - STARTING|RUNNING (or HELD, READY, WAITING, BACKOFF with CANCELLED: cancel of what has not begun) ended for good.
 * Jobs that can never start any more are appended to out. A batch of ends is handled in path order by the caller (jt_sched_cmp),
 * nothing being started in between. O(log n) for each job made available, O(1) amortised for the rest. */
int jt_sched_end(struct jt_sched *s, jt_job j, const struct jt_end *end, struct jt_changes *out, struct jt_error *err);

/* STARTING|RUNNING -> BACKOFF until due_ns. Gives the slot back. due_ns <= now is legal. */
int jt_sched_backoff(struct jt_sched *s, jt_job j, int64_t due_ns, struct jt_error *err);

/* Any not begun -> HELD and back to what it would be: a release shortens no backoff. Hold of a STARTING or RUNNING job: JT_ESTATE. A job
 * whose attempts were lost goes STARTING|RUNNING -> HELD with jt_sched_hold_lost (gives its slot back). Idempotent. */
int jt_sched_hold(struct jt_sched *s, jt_job j, struct jt_error *err);
int jt_sched_hold_lost(struct jt_sched *s, jt_job j, struct jt_error *err);
int jt_sched_release(struct jt_sched *s, jt_job j, struct jt_error *err);

/* jt_sched_pause - jt_sched_next gives nothing until resumed. */
void jt_sched_pause(struct jt_sched *s, bool paused);
void jt_sched_set_slots(struct jt_sched *s, uint32_t slots);

/* jt_sched_stop - end the run early (SEMANTICS 5): available, held and backed-off jobs CANCELLED, waiting ones SKIPPED with JT_STOPPED.
 * Running ones stay: the caller terminates them and reports CANCELLED. Jobs with `when: finished` still run as they are judged,
 * unless how is JT_STOP_NOW. failed: the run counts as failed (abort, deadline) rather than cancelled. Idempotent; NOW may follow. */
enum jt_stop { JT_STOP, JT_STOP_NOW };
enum jt_stop_why { JT_STOP_CANCEL, JT_STOP_FAIL };
int jt_sched_stop(struct jt_sched *s, enum jt_stop how, enum jt_stop_why why, struct jt_changes *out, struct jt_error *err);

/* jt_sched_retry - put back what has ended (SEMANTICS 6). path: job or directory; len 0: the whole run. all: ok ones too.
 * ret: appended with every job that went back to waiting (state WAITING in the change). JT_ENOENT: names nothing. O(n). */
int jt_sched_retry(struct jt_sched *s, const char *path, size_t len, bool all, struct jt_changes *out, struct jt_error *err);

/*
 * jt_sched_renew - in a stream, a job that has ended becomes a new one under its path and handle: a stream of any length runs in a tree of
 * bounded size. It waits as one that was just added does, behind all others where the order is fifo; what its end meant for the run, and for
 * jobs that are added later, is taken back. Priority is kept. O(log n), allocates nothing.
 * JT_ESTATE: it has not ended; it, or the tree, is sealed or stopped. JT_EINVAL: it is not at the top level, or has to do with other jobs: some stand
 * below it, it has `after` or `when`, another one waits for it, be it behind the barrier of the top level.
 */
int jt_sched_renew(struct jt_sched *s, jt_job j, struct jt_error *err);

/* ---- restart --------------------------------------------------------------------------------------------------- */

/* Before jt_sched_begin: job j stood so. WAITING needs no call. Final states: `end` facts and cause as they were reported.
 * STARTING, RUNNING: it has a slot (even above `slots`). BACKOFF: due_ns. HELD: due_ns if it was held while it backed off, else 0. */
struct jt_restore {
	enum jt_state state;
	struct jt_end end;
	enum jt_reason reason;
	jt_job cause;
	int64_t due_ns;
};
/* JT_EINVAL: the state is none, `end` is of another state, or the cause is no job. JT_ENOENT, JT_ESTATE: no such job; begun. */
int jt_sched_restore(struct jt_sched *s, jt_job j, const struct jt_restore *r, struct jt_error *err);

/* ---- looking --------------------------------------------------------------------------------------------------- */

struct jt_counts {
	uint32_t n[JT_N_STATES];
	uint32_t total;
};
const struct jt_counts *jt_sched_counts(const struct jt_sched *s);
struct jt_result {
	bool done;                /* nothing waits, runs or can be added: every job has a final state and the tree is sealed */
	bool failed;              /* an outcome has marked it failed */
	bool stopped;             /* jt_sched_stop found something left */
	enum jt_stop_why why;
};
struct jt_result jt_sched_result(const struct jt_sched *s);

enum jt_state jt_job_state(const struct jt_sched *s, jt_job j);
/* End facts of a job in a final state, and why it was skipped or cancelled. cause may be JT_NONE. */
void jt_job_end(const struct jt_sched *s, jt_job j, struct jt_end *ret, enum jt_reason *ret_reason, jt_job *ret_cause);
/* NUL-terminated, borrowed from the tree until it is freed or added to. */
const char *jt_job_path(const struct jt_sched *s, jt_job j, size_t *ret_len);
jt_job jt_sched_find(const struct jt_sched *s, const char *path, size_t len);       /* JT_NONE if no job has that path */
bool jt_sched_is_dir(const struct jt_sched *s, const char *path, size_t len);       /* some job stands strictly below path */
int jt_sched_cmp(const struct jt_sched *s, jt_job a, jt_job b);                     /* path order: <0, 0, >0 */

/* jt_sched_list - handles in path order: of the jobs at or below `prefix` (len 0: all), those whose path is greater than `after` (after_len 0:
 * from the start). At most n; returns how many. O(log total + n); after adds to a stream, once O(total log total). */
size_t jt_sched_list(struct jt_sched *s, const char *prefix, size_t len, const char *after, size_t after_len, jt_job *ret, size_t n);

/* jt_sched_why - what a job that has not ended waits for, nearest cause first. A job with `when` waits for its ancestors, barriers and `after`
 * like the others and is told so; WHEN is left for what is none of these. NOT: it runs, has ended, or may start now. */
enum jt_wait { JT_WAITS_NOT, JT_WAITS_PARENT, JT_WAITS_BARRIER, JT_WAITS_AFTER, JT_WAITS_WHEN, JT_WAITS_HELD, JT_WAITS_SLOT,
	       JT_WAITS_PACE, JT_WAITS_BACKOFF, JT_WAITS_PAUSED, JT_WAITS_SEAL };
#define JT_WHY_JOBS 20
struct jt_why {
	enum jt_wait what;
	char dir[JT_PATH_MAX + 2];   /* BARRIER, SEAL: the barrier's directory, "P/~"; AFTER: the dependency as it was written */
	jt_job jobs[JT_WHY_JOBS];    /* PARENT: the nearest job ancestor; BARRIER, AFTER: up to 20 that have not ended or shut it */
	size_t n_jobs;
	uint32_t n_open;             /* BARRIER, AFTER: how many have not ended, in all */
	bool shut;                   /* BARRIER: shut for good (only for a job with when: finished) */
	int64_t at_ns;               /* BACKOFF, PACE: due */
};
void jt_sched_why(struct jt_sched *s, jt_job j, struct jt_why *ret);

/* What the tree is: levels of waiting, for `plan`. O(jobs + edges). level of a job = 1 + the highest of what it needs, 1 if it needs nothing. */
struct jt_shape {
	uint32_t n_jobs, n_barriers, n_levels, widest_level, widest;
};
int jt_sched_shape(const struct jt_sched *s, uint32_t *ret_level_of_job, struct jt_shape *ret, struct jt_error *err);

/* ---- retry (SEMANTICS 4) ----------------------------------------------------------------------------------------- */

struct jt_retry_policy {
	uint32_t max;                       /* further attempts */
	int64_t min_ns, cap_ns, max_ns;     /* bounds of the delay: first cap, highest cap */
	double base;
	int64_t elapsed_ns;                 /* 0: no budget */
};
#define JT_RETRY_DEFAULT { .max = 0, .min_ns = 0, .cap_ns = 125000000, .max_ns = 10000000000, .base = 2.0, .elapsed_ns = 0 }
/* 0, or -1 with *err. Normalises min <= cap <= max as SEMANTICS 4 says. */
int jt_retry_check(struct jt_retry_policy *p, struct jt_error *err);
/* jt_retry_delay - delay before attempt `failed` + 1, after `failed` failed attempts since the budget began; -1: no more.
 * since_first_ns: time since the first start. rnd: 64 uniformly random bits. Pure. */
int64_t jt_retry_delay(const struct jt_retry_policy *p, uint32_t failed, int64_t since_first_ns, uint64_t rnd);

/* ---- executors --------------------------------------------------------------------------------------------------- */

/* An executor runs a begun (or not yet begun: it begins it) scheduler to its end.
 * jt_run_inline: work() is called here, one job at a time. jt_run_threads: on opts->slots threads of its own (the only
 * threads of this library); work() may run at the same time for different jobs; everything else is called on the caller's thread.
 * Retries: jt_run_threads waits out the delays of the policy; jt_run_inline has no clock and calls work() again at once.
 * Returns 0 with *ret, or -1 with *err (JT_EINVAL: not sealed). */
typedef enum jt_outcome (*jt_work_fn)(void *arg, const char *path, jt_job job, uint32_t attempt);
struct jt_run_opts {
	struct jt_retry_policy retry;       /* for outcomes JT_END_FAIL, JT_END_WARN and JT_END_SKIP-free failures: see doc */
	void (*on_end)(void *arg, jt_job job, const struct jt_end *end);   /* may be NULL; caller's thread, path order within a batch */
	void *on_end_arg;
};
struct jt_cancel;                                          /* asks a jt_run_threads or jt_run_inline to end early, from any thread */
struct jt_cancel *jt_cancel_new(void);
void jt_cancel_request(struct jt_cancel *c);               /* async-signal-safe */
bool jt_cancel_requested(const struct jt_cancel *c);       /* for work() to look at */
void jt_cancel_free(struct jt_cancel *c);
int jt_run_inline(struct jt_sched *s, jt_work_fn work, void *arg, const struct jt_run_opts *opts, struct jt_cancel *cancel,
		  struct jt_result *ret, struct jt_error *err);
int jt_run_threads(struct jt_sched *s, jt_work_fn work, void *arg, const struct jt_run_opts *opts, struct jt_cancel *cancel,
		   struct jt_result *ret, struct jt_error *err);

/* jt_sim_run - under virtual time, tie rules of tests/vectors/README.md. Time starts at 0. */
struct jt_sim {
	int64_t (*duration_ns)(void *arg, jt_job job);
	enum jt_outcome (*outcome)(void *arg, jt_job job);
	void (*on_start)(void *arg, jt_job job, int64_t at_ns);       /* may be NULL */
	void (*on_end)(void *arg, jt_job job, int64_t at_ns, int64_t ended_ns);  /* at: handled; ended: really ended; may be NULL */
	void *arg;
	int64_t terminate_at_ns;                                      /* from then on a stop is visible; JT_NEVER: none */
};
struct jt_sim_result {
	struct jt_result result;
	int64_t makespan_ns;
	int64_t idle_ns;          /* slots x makespan - time spent in jobs */
};
int jt_sim_run(struct jt_sched *s, const struct jt_sim *sim, struct jt_sim_result *ret, struct jt_error *err);

#ifdef __cplusplus
}
#endif
#endif
