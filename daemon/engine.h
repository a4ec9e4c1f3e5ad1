/* SPDX-License-Identifier: MIT */
/*
 * Engine - runs, their schedulers, and what happens to a job between submission and end. Everything here is on the loop thread.
 *
 *   submit*.c   a submission becomes a run: submit.h        slots.c     which run, which job, arming, the start
 *   outcome.c   an end becomes a state, or a retry          verdict.c   how an end is judged
 *   outcome_follows.c  what it takes along; ends of runs    recover.c   what a restart finds, what the runner knows
 *   control.c   cancel, hold, pause, retry, remove          notice.c    events and who watches them
 *   run.c       into memory and out of it, retirement       notice_wait.c  who waits for ends
 *   output.c    files of stdout and stderr                  launch.c    a specification becomes a START
 *   budget.c    what these files take on the disk           quota.c     what a user may have queued
 *   health.c    what is lacking, and what that holds up     refuse.c, missing.c   the words of errors; a path that names no job
 *   progress.c  what a fetch says of itself                 map*.c      runs whose jobs are places for items: map.h
 *
 * A job that is about to run or runs has a struct active:
 *
 *   (available) --arm ahead--> ARMING -> ARMED --picked--+
 *        |                                               v
 *        +--------picked--> ARMING(picked) -commit-> [start is sent] SENT -> RUNNING -> ENDING -commit-> acknowledged, gone
 *
 * A start leaves only when its ARM is durable, in the order of picking within the run (struct run, picks).
 */
#ifndef ENGINE_H
#define ENGINE_H

#include <event2/event.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "health.h"
#include "proto/conf.h"
#include "heap.h"
#include "jobtree.h"
#include "runner_link.h"
#include "server.h"
#include "proto/spec.h"
#include "store.h"
#include "spare.h"
#include "sweep.h"

struct engine;
struct run;
struct map;
struct map_wish;

/* Beside the scheduler, for each job of a run that is in memory. */
struct job_mem {
	uint32_t attempts;              /* begun, as in the store */
	uint32_t budget_ms;             /* when the retry budget began, after the run's submission; 0: it has not */
	uint32_t n_failed;              /* since the retry budget began */
	uint32_t n_lost : 24;
	uint32_t flags : 8;             /* JOB_* */
};
#define STORED_NO_ARM 0x80              /* the same, in the store beside `when` */
#define JOB_NO_ARM 0x01                 /* on_lost is not retry: never armed ahead */
#define JOB_FINISHED 0x02               /* when: finished, which a stop spares */

enum active_state { A_ARMING, A_ARMED, A_SENT, A_RUNNING, A_ENDING, A_RECOVERED };

enum active_todo { TODO_NOTHING, TODO_END, TODO_LOST };

struct active {
	struct run *run;
	jt_job idx;
	uint32_t attempt;
	uint32_t runner;                /* incarnation it was armed for */
	enum active_state state;
	bool picked;                    /* has a slot of its run and of the engine */
	bool killed;                    /* a KILL has been sent, or is to be sent once it is known to run */
	bool at_once;                   /* and that without grace */
	uint8_t end_reason;             /* WHY_CANCELLED, WHY_STOPPED: ends so whatever it does; 0 */
	uint8_t todo;                   /* enum active_todo: once its specification has been read again */
	bool seen;                      /* in the inventory that is being reconciled */
	bool unreadable;                /* its specification was read, and is none */
	uint64_t output_max;            /* that it was started with; 0: by an earlier jobd */
	bool is_short;                  /* sent by us, and nothing of its start was told */
	bool is_read;                   /* somebody had its outputs opened */
	bool is_empty[2];               /* it has ended, and left a file without a byte */
	uint32_t slot;                  /* of a map: the number its command is told, from 1; 0: none */
	const struct store_op *arming;  /* the ARM it waits for, of all that were posted for this job */
	struct rm_end end;              /* TODO_END */
	int32_t pid;
	int64_t started_at_us;
	int64_t told_bytes;             /* of a fetch: as watchers were told last */
	struct arena arena;
	struct spec_job *spec;          /* NULL until the ARM came back */
	struct active *next;            /* in the table */
	TAILQ_ENTRY(active) pick;       /* in run->picks while picked and not sent */
};

/* What a user, or a run, has queued. */
struct quota {
	uid_t uid;
	uint64_t jobs;                  /* that have not ended */
	uint64_t bytes;                 /* of their specifications, as they are stored */
};

TAILQ_HEAD(active_list, active);
LIST_HEAD(waiter_list, wait_target);

/* How the environment of those of its jobs begins that give none themselves: see launch.c. In the arena of the run. */
struct run_env {
	const struct spec_pair *of;     /* the run's own, of which it is made */
	const char *text;               /* n strings, each with its NUL */
	size_t len;
	uint32_t n;                     /* 0: not made yet */
};

struct run {
	struct engine *e;
	uint32_t id;
	char *name, *key;
	struct spec_hash hash;
	uid_t uid;
	gid_t gid;
	char *options;                  /* JSON as given */
	enum run_state state;
	bool stream, sealed, paused;
	bool is_map;
	uint8_t stopped;                /* 0, 1 + enum jt_stop */
	enum jt_stop_why stop_why;
	int64_t submitted_at_us, started_at_us, ended_at_us;
	uint32_t n_jobs;
	uint32_t counts[JT_N_STATES];   /* of an ended run that is not in memory */
	uint64_t spec_bytes;            /* of all its jobs; known while it is in memory */
	struct quota queued;            /* what its user is charged for it */
	int64_t out_bytes;              /* of its outputs in files */

	/* in memory only while it lives, or is looked at */
	struct arena arena;
	struct spec_run *spec;
	struct run_env env;
	struct jt_sched *sched;
	struct map *map;                /* of a map that has not ended */
	struct job_mem *mem;
	size_t mem_cap;
	struct active_list picks;       /* picked, in order, not yet sent */
	uint32_t n_running;             /* slots taken */
	uint32_t n_ahead;               /* armed or arming, not picked */
	uint32_t n_ending;              /* ends that are not durable yet */
	uint32_t slots;
	uint64_t served;                /* when it was served last (a count) */
	size_t heap_pos;                /* in engine->wanting; SIZE_MAX: not in it */
	struct event *timer;            /* pacing, backoff */
	struct event *deadline;
	struct session *bulk_session;   /* RUN_BULK: whose, and since when */
	int64_t bulk_at_ns;
	LIST_ENTRY(run) bulk;           /* in engine->bulks */
	int64_t interval_ns;            /* between starts */
	struct backoff refused;         /* its user may have no more processes: nothing of it is started until then */
	bool ended_noted;               /* RUN_SET of the end is posted */
	bool loading, removing;
	uint32_t n_users;               /* that have looked something up in sched and come back to it: run_use */
	TAILQ_HEAD(, loading_call) loaders;
	struct waiter_list waiters;
	TAILQ_ENTRY(run) lru;           /* ended and in memory */
	bool in_lru;
	struct run *by_name;            /* chain of the name index */
};

/* Fair between runs: the fewest running jobs first; ties to the one served longest ago. */
#define RUN_LESS(ctx, a, b) run_is_before(*(a), *(b))
#define RUN_MOVED(ctx, a, i) ((*(a))->heap_pos = (i))
bool run_is_before(const struct run *a, const struct run *b);
HEAP_DEFINE(run_heap, struct run *, void *, RUN_LESS, RUN_MOVED);

struct engine {
	struct event_base *base;
	struct conf conf;
	const char *state_dir, *socket_path;
	const char *fetch_program;      /* what runs a fetch; it may not be there */
	int state_fd, out_fd;
	struct spares spares;
	struct sweep *sweep;
	int64_t out_bytes;              /* of all outputs in files */
	struct user_bytes *out_users;
	size_t n_out_users;
	bool out_stuck;                 /* too many, and nothing that could go */
	struct store *store;
	struct server *server;
	struct runner_link *link;
	struct health *health;

	struct run **runs;              /* by number; holes NULL */
	uint32_t n_runs_cap, next_run;
	struct index *names, *keys;     /* name -> latest run; uid + key -> run */
	uint64_t last_seq;

	struct quota *quotas;           /* of each user who has something queued */
	size_t n_quotas;
	struct active **active;         /* hash table by job id */
	size_t n_active, active_mask;
	struct run_heap wanting;        /* runs that may have something to start, the next to be served first */
	uint64_t serve_count;
	uint32_t slots, n_running;      /* global */
	bool dispatching, ready;        /* ready: the runner's inventory has been reconciled; before, nothing is started */
	bool draining, stopping;
	uint32_t runner_no;             /* number of the connected incarnation */
	uint64_t n_inventories;         /* that came; only the newest counts */
	struct event *turn;             /* end of a turn: dispatch, acknowledgements, events out */
	TAILQ_HEAD(, run) lru;
	size_t lru_jobs, lru_runs;

	LIST_HEAD(, map) maps;
	TAILQ_HEAD(, map) map_news;     /* that have something to tell at the end of the turn */
	TAILQ_HEAD(, map_next) map_nexts;       /* clients that wait for the end of a map, to go on with it then */
	LIST_HEAD(, run) bulks;
	struct event *hourly;           /* forgotten bulks, retention */
	LIST_HEAD(, watcher) watchers;
	LIST_HEAD(, follower) followers;
	uint64_t n_starts, n_ends;
	int64_t began_ns;
	struct event *progress;         /* who follows is told how far fetches are; NULL: nobody ever did */
	bool backing_up;                /* one at a time */
	struct stop *stop;              /* a shutdown that has been asked for */
};

/* ---- engine.c -------------------------------------------------------------------------------------------------- */
int64_t now_ns(void);                                   /* CLOCK_BOOTTIME */
int64_t now_us(void);                                   /* wall clock */
void *xcalloc(size_t n, size_t size);                   /* crash-only */
void *xrealloc(void *p, size_t n);
char *xstrdup(const char *s);
struct event *xevent(struct event_base *base, int fd, short what, event_callback_fn fn, void *arg);
struct event *xtimer(struct event_base *base, event_callback_fn fn, void *arg);

struct run *engine_run(struct engine *e, uint32_t id);                  /* NULL: none, or an unsealed bulk */
struct run *engine_find(struct engine *e, const char *run);             /* number or name */
struct run *engine_find_key(struct engine *e, uid_t uid, const char *key);
struct run *run_new(struct engine *e, uint32_t id);
void run_index(struct run *r);                                          /* name and key can be found */
void run_forget(struct run *r);                                         /* out of memory, for good */
void run_unload(struct run *r);                                         /* scheduler and job memory only */
struct job_mem *run_mem(struct run *r, jt_job j);
unsigned job_flags(enum jt_when when, bool no_arm);      /* JOB_* */
int run_read_options(struct run *r, struct spec_error *err);            /* fills r->spec from r->options */
void run_record(const struct run *r, struct store_op *op);              /* op->run for ST_RUN_SET */
bool run_is_final(const struct run *r);
enum run_state run_shown_state(const struct run *r);
bool run_is_needed(const struct run *r);                                /* it lives, or is the latest, or the last success, of its name */

struct active *active_find(struct engine *e, uint64_t id);               /* but ENDING ones */
struct active *active_find_attempt(struct engine *e, uint64_t id, uint32_t attempt);     /* ENDING ones too */
struct active *active_new(struct run *r, jt_job j, uint32_t attempt, enum active_state st);
void active_free(struct active *a);

struct store_op *engine_op(struct engine *e, enum store_kind kind, struct run *r);  /* ctx = e, run.run set */
void engine_event(struct store_op *op, struct run *r, uint32_t idx, enum event_kind kind);
void engine_post(struct engine *e, struct store_op *op);
/* engine_settled - fn(arg) once everything posted so far is durable. */
void engine_settled(struct engine *e, void (*fn)(struct store_op *op), void *arg);
/* reply_settled - answer the call with params (taken) once everything posted so far is durable; nothing if it was aborted meanwhile. */
void reply_settled(struct engine *e, struct call *call, json_t *params);
void reply_lazily(struct engine *e, struct call *call, json_t *params);         /* the same, but nobody hurries the commit */
void engine_turn(struct engine *e);                                     /* dispatch at the end of this turn of the loop */

/* ---- slots.c -------------------------------------------------------------------------------------------------- */
void slots_fill(struct engine *e);
void run_wants(struct run *r);                          /* r may have something to start: look at it */
void run_unwant(struct run *r);
void send_picks(struct run *r);                          /* starts whose ARM is durable, in order of picking */
void send_all_picks(struct engine *e);                   /* of every run: the runner takes starts again */
void rearm(struct active *a);                            /* for another incarnation of the runner */
void slot_taken(struct run *r);
void slot_freed(struct active *a);
void disarm(struct active *a);                          /* armed ahead and not wanted any more */

/* ---- launch.c, output.c ---------------------------------------------------------------------------------------- */
int launch(struct active *a);                           /* 0: sent; -1: not now (the link is full or down, something is lacking): ask again */
int output_create(struct engine *e, uint32_t run, const char *name);     /* RUN/...; the run's folder is made with it. -1 with errno */
int output_open(struct active *a, int n, int fds[2]);   /* n: 1 stdout alone, 2 with stderr. 0, or -1 with errno */
void output_collect(struct active *a, struct store_attempt *at);        /* sizes and packed contents */
void output_settled(const struct active *a, const struct store_attempt *at);    /* durable: drop what is packed, count the rest */
bool output_probe(struct engine *e);                    /* whether files for outputs can be made */
int output_fd(struct engine *e, uint64_t id, uint32_t attempt, bool err);      /* -1 errno */
bool output_is_lacking(int error);     /* why a file could not be opened: for want of descriptors or memory, so it may be there */
/* output_tail - the last bytes of what an attempt wrote, at most size. Their number; 0: nothing, or it cannot be read. */
size_t output_tail(struct engine *e, uint64_t id, uint32_t attempt, bool err, char *buf, size_t size);
void output_drop(struct run *r);
void output_remove(struct run *r, uint64_t id, uint32_t attempt);       /* the files of one attempt, whose record has gone or is to have none */
void output_run_ended(struct run *r);                   /* and that is durable */
void output_found(void *ctx, uint32_t run, int64_t bytes);      /* ctx: the engine; a folder that the sweep has come by */

/* ---- progress.c -------------------------------------------------------------------------------------------------- */
json_t *progress_of(const struct active *a);            /* as a row shows it; NULL: it is no fetch, or has said nothing yet */
void progress_wake(struct engine *e);                   /* somebody follows, or something has started */
char *progress_last_words(const struct active *a, int status);  /* of a fetch that failed; the caller frees */

/* ---- budget.c ---------------------------------------------------------------------------------------------------- */
void budget_add(struct run *r, int64_t bytes);          /* so much more is in files of its outputs */
bool budget_takes(struct run *r, int64_t bytes);         /* there is room for so much that must be kept whole */
void budget_forget(struct run *r);                      /* its files go */
void budget_make_room(struct engine *e);                /* when a run has ended: what is in its files may go now; when limits have changed */
uint64_t budget_output_max(const struct run *r);        /* of an attempt that starts now */

/* ---- outcome.c ------------------------------------------------------------------------------------------------- */
void outcome_batch(struct engine *e, struct rm_end *ends, size_t n);    /* ends by the runner, any order */
void outcome_started(struct engine *e, const struct rm_started *st);
void outcome_todo(struct active *a);                    /* a->spec is there now */
void outcome_unstarted(struct active *a);               /* the order never reached the runner */
void outcome_lost(struct active *a);                    /* nobody saw it end; a->spec is there */
void outcome_cancelled(struct active *a);               /* picked, never sent, and cancelled */
bool active_parse(struct active *a, const char *text, size_t len);      /* fills a->spec */
void fill_state(struct active *a, struct store_job_state *st, enum jt_state state);

/* ---- outcome_follows.c ----------------------------------------------------------------------------------------- */
void outcome_changes(struct run *r, struct jt_changes *ch);             /* records ends that followed; empties ch */
void run_check_end(struct run *r);
void run_end(struct run *r, enum run_state state);      /* all of it has ended */

/* ---- recover.c ------------------------------------------------------------------------------------------------- */
int recover(struct engine *e, struct store_error *err);  /* before store_start: every run */
int recover_jobs(struct engine *e, struct store_error *err);            /* and the jobs of those that live */
void engine_limit_slots(struct engine *e);               /* as configured, but not more than the runner holds */
void recover_inventory(struct engine *e, const struct rm_welcome *w, struct rm_end *inv, size_t n);

/* ---- run.c ----------------------------------------------------------------------------------------------------- */
/* run_with_sched - fn(arg, r) when r's jobs are in memory (at once if they are). r->sched is NULL if they can not be read, or the run is
 * being removed. */
void run_with_sched(struct run *r, void (*fn)(void *arg, struct run *r), void *arg);

/* Between these its jobs stay in memory. Every run_use is followed by a run_unuse of the same number, also when the run has gone meanwhile. */
void run_use(struct run *r);
void run_unuse(struct engine *e, uint32_t run);
void run_retire(struct run *r);                         /* it has ended: may be dropped from memory when others need the room */
void run_unretire(struct run *r);                       /* it lives again */
int run_make_sched(struct run *r, struct jt_error *err);                /* r->sched from r->spec */
void run_set_deadline(struct run *r);
void run_set_period(struct run *r);
int run_load_now(struct run *r, struct store_error *err);               /* before store_start */

/* ---- refuse.c: all return -1 ----------------------------------------------------------------------------------- */
struct req_error {
	const char *name;               /* "org.jobd.Refused" */
	char text[1024];
	char field[64], path[256];
	uint32_t run;
};
int req_fail(struct req_error *err, const char *name, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int req_at(struct req_error *err, const char *field, const char *path); /* and what is at fault; path NULL: nothing that has one */
int refuse_spec(struct req_error *err, const struct spec_error *se);
int refuse_tree(struct req_error *err, const struct jt_error *je, const char *path);

/* missing_job - NoSuchJob: r, whose jobs are in memory or gone, has none of this path; names the one that was probably meant. Returns -1. */
int missing_job(struct run *r, const char *path, struct req_error *err);

/* ---- submit.c, submit_map.c: requests of clients, which they answer, but Map ----------------------------------- */
void submit_whole(struct engine *e, struct call *call, const json_t *options, const json_t *jobs);
void submit_open(struct engine *e, struct call *call, const json_t *options, const char *mode);
void submit_add(struct engine *e, struct call *call, struct run *r, const json_t *jobs);
void submit_seal(struct engine *e, struct call *call, struct run *r, const char *path);
struct run *submit_map(struct engine *e, struct call *call, const json_t *options, struct req_error *err);      /* NULL with *err */
char *submit_map_options(const json_t *options);        /* as a run has them; the caller frees */
void submit_map_again(struct run *r);                   /* it goes on with other options, or lives again */
void submit_session_closed(struct engine *e, struct session *s);
void submit_forget_old(struct engine *e);
struct run *submit_find_bulk(struct engine *e, struct session *s, uint32_t id);

/* ---- env_rules.c ----------------------------------------------------------------------------------------------- */
const char *env_refused_for_others(const struct spec_job *s);   /* a variable of a job that another user's must not have; NULL: none */

/* ---- quota.c --------------------------------------------------------------------------------------------------- */
/* quota_check - whether the run's user may queue so much more. 0, or -1 with *err. */
int quota_check(const struct run *r, uint64_t n_jobs, uint64_t bytes, struct req_error *err);
void quota_charge(struct run *r, uint64_t n_jobs, uint64_t bytes);
void quota_release(struct run *r);                      /* the run has ended, or is gone; again: nothing */
void quota_recharge(struct run *r);                     /* for exactly those of its jobs that have not ended */

/* ---- control.c: requests of clients. 0, or -1 with *err filled ------------------------------------------------- */
void control_cancel_job(struct run *r, jt_job j, bool now);     /* of a map; now: without grace, also one that has been told to end */
int control_cancel(struct run *r, const char *path, bool now, uint32_t *ret_n, struct req_error *err);
int control_hold(struct run *r, const char *path, bool hold, uint32_t *ret_n, struct req_error *err);
int control_pause(struct run *r, bool pause, struct req_error *err);
int control_retry(struct run *r, const char *path, bool all, uint32_t *ret_n, struct req_error *err);
int control_remove(struct run *r, struct req_error *err);
void control_retain(struct engine *e);
void control_terminate(struct run *r, enum jt_stop how, enum job_reason why);  /* what runs */
void control_stop_run(struct run *r, enum jt_stop how, enum jt_stop_why why);

/* ---- stop.c ---------------------------------------------------------------------------------------------------- */
enum stop_mode { STOP_DETACH, STOP_DRAIN, STOP_KILL };  /* running jobs stay with the runner; are waited for; are cancelled */
void stop_request(struct engine *e, enum stop_mode mode, struct call *call);    /* call may be NULL */
void stop_answer(struct engine *e);                     /* the lock has been released */
void stop_check(struct engine *e);                      /* each turn: is there anything left to wait for? */

/* ---- notice.c -------------------------------------------------------------------------------------------------- */
void notice_event(struct engine *e, const struct store_event *ev);      /* durable */
void notice_op(struct store_op *op);                                    /* the same, as a `done` */
void notice_progress(const struct active *a, json_t *progress);         /* to those who asked for it; takes progress */
bool notice_wants_progress(const struct engine *e);                     /* there are such */
void notice_turn(struct engine *e);                                     /* send what has gathered */

/* ---- notice_wait.c --------------------------------------------------------------------------------------------- */
bool notice_is_awaited(const struct run *r, jt_job j);                  /* somebody waits for the end of this very job */
void notice_job_ended(struct run *r, jt_job j);                         /* durable: waiters */
void notice_run_ended(struct run *r);
void notice_run_gone(struct run *r);

/* ---- map_open.c, map_client.c ---------------------------------------------------------------------------------- */
int map_recover(struct run *r, struct store_error *err);                /* before store_start */
void map_turn(struct engine *e);                                        /* send what has gathered */

/* ---- rpc_logs.c ------------------------------------------------------------------------------------------------ */
void logs_attempt_changed(struct engine *e, uint64_t id);               /* it has started, or its end is durable */

#endif
