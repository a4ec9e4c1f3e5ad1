/* SPDX-License-Identifier: MIT */
/*
 * libjobtree, maps - one C function, or one command, over a stream of items that may never end: on N threads, at most W items held, in order
 * or as they come.
 *
 *	source --next()--> window of W: waiting, running on N threads, finished --jt_map_next()--> you
 *
 * An item is *admitted* when the source has given it and *delivered* when jt_map_next has returned its result (with jt_map_run: when on_result
 * has returned). What holds at every instant, whoever is blocked:
 *
 *	window       admitted - delivered <= W. The source is asked once for each admission, only while there is room, and never ahead.
 *	order        JT_MAP_ORDERED: results in the order of the source, without a gap. JT_MAP_UNORDERED: in the order in which they finished.
 *	promptness   a result can be taken as soon as it is finished (ordered: and those before it were taken), whatever the source does;
 *	             an item starts as soon as the source has given it and a thread is free.
 *	end          the last status is for ever: every further call returns the same, at once.
 *	errors       an error of the source is told after the results of all items that it gave before. A failed item is a result.
 *
 * Maps in a row (jt_map_as_source) hold together at most the sum of their windows.
 *
 * Threads: a map has N + 1 of its own, with all signals blocked: one asks the source, N work. No wait is a poll: an idle map uses no CPU.
 * Before a thread sleeps it gives way to the others, for 20 us at most and only while that was worth it.
 * Unless said otherwise a map has one consumer at a time (jt_map_next, jt_map_run); jt_map_stop, jt_map_stopping, jt_map_stats: any thread.
 * Memory: about 100 bytes for each of W places, all taken by jt_map_start, and what the items and outputs are themselves. No allocation an
 * item (a zip and jt_map_as_source make one). Cost: 4 us an item with a window of 8, 1 us with one of 64, 0.6 us with one of 128; see doc/performance.md.
 */
#ifndef JOBTREE_MAP_H
#define JOBTREE_MAP_H

#include "jobtree.h"
#include "jobtree_args.h"

#ifdef __cplusplus
extern "C" {
#endif

#define JT_MAP_WINDOW_MAX (UINT32_C(1) << 24)

/* ---- items ------------------------------------------------------------------------------------------------------- */

/* What goes in and what comes out. Whoever holds it owns it, and frees it with jt_item_done; {0} is an item of nothing. */
struct jt_item {
	void *data;
	size_t len;                       /* bytes of data, or what source, work and consumer agree on */
	void (*release)(void *data);      /* frees data; any thread, exactly once, never under a lock of the library. NULL: nothing to free */
};
void jt_item_done(struct jt_item *item);          /* and makes it {0}; O(1) and release */

/* ---- sources ----------------------------------------------------------------------------------------------------- */

/*
 * Where items come from. Whoever takes a source (jt_map_start, jt_zip) copies the struct and owns what is behind `arg`: close is called
 * exactly once, also if the taking function fails. next, fd and close are called on one thread only (close, if that thread could not be
 * started, on the caller's), and next not again after an end or an error.
 *
 * next   1: *ret_item is an item, now the map's. 0: the end. -EAGAIN: nothing now. Another negative errno: an error, and the end.
 *        next should not wait: while it does, results are still delivered and jt_map_stop takes effect, but jt_map_free has to wait for it,
 *        for a function cannot be interrupted. What waits says -EAGAIN instead and has an fd.
 * fd     after -EAGAIN: a descriptor to poll; next is called again when it is readable, hung up or in error. -1, or no function: none;
 *        next is called again after heartbeat_ns. May change from call to call.
 * close  may be NULL. Called as soon as nothing more is wanted: after the end, an error, a stop, jt_map_free.
 */
struct jt_source {
	int (*next)(void *arg, struct jt_item *ret_item);
	int (*fd)(void *arg);
	void (*close)(void *arg);
	void *arg;
};

/*
 * jt_zip - one source of tuples from n sources. An item of it: `data` is an array of `len` = n struct jt_item, one of each source; do not
 * release the parts, jt_item_done of the tuple does.
 *
 * JT_ZIP_SHORT   ends with the first that ends. They are asked from left to right; what those to the left gave for that tuple is released.
 * JT_ZIP_FILL    ends with the last that ends. Before, copies of *fill (borrowed: its data stay valid until close; NULL: {0}) stand for those that ended.
 * JT_ZIP_STRICT  sources of unequal length: the error -ENODATA after the last whole tuple.
 * Takes all sources. Returns 0 with *ret, or -1 with *err, all of them closed: JT_EINVAL (n is 0; fill without JT_ZIP_FILL), JT_ENOMEM.
 * One allocation a tuple; if it fails, next returns -ENOMEM. O(n) a tuple.
 */
enum jt_zip { JT_ZIP_SHORT, JT_ZIP_FILL, JT_ZIP_STRICT };
int jt_zip(const struct jt_source *sources, size_t n, enum jt_zip how, const struct jt_item *fill, struct jt_source *ret, struct jt_error *err);

/*
 * jt_batches - one source of batches. An item of it: `data` is an array of `len` struct jt_item, as jt_zip makes, or with limits.joined the bytes
 * of all with the separator between them. Items are bytes; with limits.columns they are tuples of so many, as jt_zip makes: then `data` has all
 * parts, tuple by tuple, or with limits.joined one item a column, joined. The last batch may be small; an item that fits into no batch is one by itself.
 * A batch is handed on when nothing more fits into it, when no item came for linger_ns, and at the end.
 * Takes the source. Returns 0 with *ret, or -1 with *err, the source closed: JT_ENOMEM, JT_ELIMIT (no descriptor to be had). O(1) an item.
 */
struct jt_batch_opts {
	struct jt_batch_limits limits;
	const struct jt_template *template;       /* what an item costs there; borrowed until close; NULL: one word */
	const char *separator;                    /* limits.join bytes; copied */
	int64_t linger_ns;                        /* 0: wait until it is full, or the end */
	uint32_t spread;                          /* so many slots share what is left at the end evenly; 0: it is one batch */
};
int jt_batches(const struct jt_source *source, const struct jt_batch_opts *opts, struct jt_source *ret, struct jt_error *err);

/* ---- work -------------------------------------------------------------------------------------------------------- */

struct jt_map;

struct jt_call {                          /* which call of run this is */
	const struct jt_map *map;         /* for jt_map_stopping */
	uint64_t seq;                     /* of the item, from 1 */
	uint32_t slot;                    /* of the thread, 0 .. N - 1: two calls at the same time have different ones */
	uint32_t attempt;                 /* from 1 */
};

/*
 * run       called on N threads at the same time. item is borrowed. ret_output is {0} and may be given something, which becomes the map's.
 *           Returns the item's status: 0 is success, all else is a failure and goes into the result as it is.
 * retry_if  whether a failure with that status may be tried again (opts.retry); NULL: each may. Called where run was. The output of an
 *           attempt that is tried again is released; the item keeps its place in the order and in the window.
 */
struct jt_work {
	int (*run)(void *arg, const struct jt_call *call, const struct jt_item *item, struct jt_item *ret_output);
	bool (*retry_if)(void *arg, int status);
	void *arg;
};

/*
 * A command as work: each call starts a process, in a process group of its own, and its output is what the process wrote.
 *
 * Items are bytes: `data` and `len`, no NUL within an argument. With `tuples` they are what jt_zip or jt_batches makes: {1} is the part of the first source.
 * Descriptors of the program reach the process only if they lack FD_CLOEXEC. Standard error is the program's.
 * The output is as many bytes as were written to standard output until the process ended and nobody held it open any more.
 * status  0 .. 255: exited so. JT_COMMAND_SIGNAL + n: killed by signal n. Below 0, an errno: -E2BIG, -ENOENT, -EACCES ... could not be
 *         started; -ETIMEDOUT; -EFBIG: more output than output_max; -ECANCELED: ended by a stop of the map; -ENOMEM, -EMFILE ... ours.
 * A process that has to end (timeout, too much output, JT_MAP_NOW, jt_map_free, the deadline) gets SIGTERM, with its group, and SIGKILL after
 * grace_ns; what left the group is not followed. So a map of commands is freed in grace_ns and a moment, whatever runs.
 */
#define JT_COMMAND_SIGNAL 256

enum jt_command_stdin { JT_COMMAND_NO_STDIN, JT_COMMAND_ITEM_ON_STDIN };

struct jt_command {                       /* {.template = t} is a good choice */
	const struct jt_template *template;
	char *const *envp;                /* NULL: the program's. PATH is looked up in the program's */
	enum jt_command_stdin input;      /* the item on standard input and not in the arguments; else that is /dev/null */
	bool tuples;
	size_t output_max;                /* bytes of one process; 0: no limit */
	int64_t timeout_ns;               /* of one attempt; 0: none */
	int64_t grace_ns;                 /* 0: 10 s */
	uint32_t threads;                 /* for {threads} */
};
/* jt_command_work - all of c, and what it points to, is borrowed until jt_map_free. Cost: a spawn, a pipe, three descriptors an item. */
struct jt_work jt_command_work(const struct jt_command *c);

/* ---- maps -------------------------------------------------------------------------------------------------------- */

enum jt_map_order { JT_MAP_ORDERED, JT_MAP_UNORDERED };

struct jt_map_opts {                      /* {0} is a good choice */
	uint32_t threads;                 /* N; 0: the CPUs this process may use */
	uint32_t window;                  /* W; 0: 4 N, at least 64. Below N it would leave threads idle: JT_EINVAL */
	enum jt_map_order order;
	int64_t deadline_ns;              /* after jt_map_start: as jt_map_stop with JT_MAP_NOW, but the status is JT_MAP_DEADLINE; 0: none */
	int64_t heartbeat_ns;             /* see jt_source.fd; 0: 100 ms */
	struct jt_retry_policy retry;     /* max 0: none; else see JT_RETRY_DEFAULT */
	uint64_t seed;                    /* of the jitter of the retries */
};

/*
 * jt_map_start - begin: the source is asked and the work done in the background from now on. opts may be NULL.
 * Takes the source, also on failure; copies opts and work. Returns NULL with *err: JT_EINVAL (window, retry, times), JT_ENOMEM,
 * JT_ELIMIT (no thread or descriptor to be had).
 */
struct jt_map *jt_map_start(const struct jt_map_opts *opts, const struct jt_source *source, const struct jt_work *work, struct jt_error *err);

struct jt_map_result {
	uint64_t seq;                     /* of the item, from 1 in the order of the source */
	int status;                       /* what run returned at the last attempt */
	uint32_t attempts;
	struct jt_item item;
	struct jt_item output;
};
void jt_map_result_done(struct jt_map_result *r);         /* releases item and output */

enum jt_map_status {
	JT_MAP_RESULT,
	JT_MAP_AGAIN,                     /* nothing within the timeout */
	JT_MAP_END,                       /* the source has ended (or was cut off by JT_MAP_DRAIN), and all was delivered */
	JT_MAP_SOURCE_ERROR,              /* the source failed, all it gave before was delivered; see jt_map_source_error */
	JT_MAP_STOPPED,                   /* jt_map_stop with JT_MAP_NOW, and something was cut off */
	JT_MAP_DEADLINE,
};
const char *jt_map_status_name(enum jt_map_status st);    /* "result" ... "deadline" */

/*
 * jt_map_next - the next result. timeout_ms: -1 waits for one, 0 does not wait.
 * JT_MAP_RESULT: *ret is filled in and the caller's, to be given to jt_map_result_done. All else leaves it untouched. The statuses from
 * JT_MAP_END on are final. Signals that are handled meanwhile do not end the wait. O(1).
 */
enum jt_map_status jt_map_next(struct jt_map *m, struct jt_map_result *ret, int timeout_ms);

/* jt_map_fd - a descriptor that polls readable while jt_map_next would not wait, the end included. Not to be read or closed; valid until
 * jt_map_free. -1: no descriptor left. From the first call on each change between ready and not costs a system call. */
int jt_map_fd(struct jt_map *m);

/* jt_map_run - all results to on_result, here, until the end; *r is released after it. A return other than 0 stops the map (JT_MAP_NOW).
 * Returns the final status. */
enum jt_map_status jt_map_run(struct jt_map *m, int (*on_result)(void *arg, const struct jt_map_result *r), void *arg);

/*
 * jt_map_stop - end early. In both cases the source is asked no more, and an item it gives from now on is released unseen.
 * JT_MAP_DRAIN  what was admitted is worked on and delivered; then JT_MAP_END. It does not matter whether the source is blocked.
 * JT_MAP_NOW    nothing more starts. What is finished can still be taken (ordered: as far as there is no gap), then JT_MAP_STOPPED at once.
 *               Calls of run that are under way see jt_map_stopping; what they return after that end is released. May follow a drain.
 * Idempotent; after the end without effect. jt_map_stop_async is JT_MAP_NOW for signal handlers: async-signal-safe.
 */
enum jt_map_stop_how { JT_MAP_DRAIN, JT_MAP_NOW };
void jt_map_stop(struct jt_map *m, enum jt_map_stop_how how);
void jt_map_stop_async(struct jt_map *m);
bool jt_map_stopping(const struct jt_map *m);             /* for long runs to look at: JT_MAP_NOW, jt_map_free, or the deadline is over */
int jt_map_stop_fd(const struct jt_map *m);               /* for runs that poll: readable from then on. Not to be read or closed */

/* The errno (positive) with which the source ended; 0: none so far. */
int jt_map_source_error(struct jt_map *m);

/*
 * jt_map_as_source - m as the source of the next map, which becomes m's consumer. Its items: `data` is a struct jt_map_result (len is its
 * size), failed ones too; jt_item_done frees it with all in it. Does not wait: it says -EAGAIN and has jt_map_fd.
 * m's end is the end; its JT_MAP_SOURCE_ERROR that error, JT_MAP_STOPPED -ECANCELED, JT_MAP_DEADLINE -ETIME. Closing stops m (JT_MAP_NOW);
 * m stays the caller's, who frees the maps from the last to the first. Out of memory: the error -ENOMEM.
 */
struct jt_source jt_map_as_source(struct jt_map *m);

struct jt_map_counters {
	uint64_t pulled;                  /* items that the source gave; above admitted by one released because of a stop */
	uint64_t admitted, finished, delivered;
	uint64_t failed;                  /* finished with a status other than 0 */
	uint64_t retried;                 /* attempts beyond the first of each item */
	uint64_t running;                 /* now */
	uint64_t held_max;                /* the highest admitted - delivered ever */
	uint64_t output_bytes;            /* sum of output.len that is finished and not taken */
};
void jt_map_stats(struct jt_map *m, struct jt_map_counters *ret);          /* of one instant */

/*
 * jt_map_free - abandon: JT_MAP_NOW, wait for the map's threads, close the source, release all that was not delivered. m may be NULL.
 * Not while another thread is in a function of m. Returns at once if the source waits by -EAGAIN; else as soon as next, and the calls of run
 * that are under way, return. Nothing is left: no thread, descriptor or byte.
 */
void jt_map_free(struct jt_map *m);

/* ---- two at once ------------------------------------------------------------------------------------------------- */

typedef int (*jt_fn)(void *arg);
/* jt_both - f1 here and f2 in a thread of its own at the same time; returns when both have. f1's return if it is not 0, else f2's.
 * -EAGAIN, and neither was called: no thread to be had. */
int jt_both(jt_fn f1, void *arg1, jt_fn f2, void *arg2);

#ifdef __cplusplus
}
#endif
#endif
