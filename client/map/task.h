/* SPDX-License-Identifier: MIT */
/*
 * Task - an item that has a place in the window, and one attempt at it, which has one of two homes: a process of our own (task.c), or the
 * daemon, which then makes all attempts (remote_task.c). Of a process:
 *
 *	task_start -> runs -> exited and both pipes at their end -> reaped -> stage_task_ended
 *	                \-- told to end: SIGTERM --grace--> SIGKILL --half a second--> its pipes are closed
 *
 * The process is reaped only when its output has ended, too: until then its group is its own, and can be killed.
 */
#ifndef MAP_TASK_H
#define MAP_TASK_H

#include <event2/event.h>
#include <sys/types.h>

#include "buf.h"
#include "jobtree_map.h"
#include "map/chunks.h"

struct stage;

/* How a task ended, beside an exit status (0 .. 255) and TASK_SIGNAL + n. */
enum { TASK_SIGNAL = 256, TASK_TIMEOUT = 1000, TASK_E2BIG, TASK_NUL, TASK_OUTPUT, TASK_LOST, TASK_STOPPED };
enum task_state { TASK_FREE, TASK_WAITS, TASK_RUNS, TASK_READS, TASK_ENDED, TASK_CUT_OFF };

/* One of the two outputs of an item that the daemon runs. */
struct task_stream {
	uint64_t at, asked;             /* so many bytes have come; and were asked for */
	uint64_t size;                  /* known at the end; UINT64_MAX */
	bool ended;                     /* there is no more than that */
};

/* Of an item that the daemon runs. */
struct task_there {
	uint64_t tag;                   /* by which it knows the item, or the part of it that runs; 0: it was not told yet */
	uint64_t whole_tag;             /* of the item that was found too long and runs in parts; 0: none */
	struct task_stream out, err;
	bool is_put;                    /* wholly; not only a part of its standard input */
	bool in_hand, whole_in_hand;    /* the daemon has said that it has the tags */
	bool whole_silent;              /* all its parts were delivered by an earlier map */
	bool all_known;                 /* so were those of its parts that have ended, or their results were there: whether it is silent the last one says */
	bool gathers;                   /* a part has ended, and its output is read before the next one begins */
};

struct task {
	struct stage *stage;
	STAILQ_ENTRY(task) next_ended, next_waiting;
	enum task_state state;
	uint64_t seq;
	uint32_t place, slot, attempt;
	const struct jt_item *item;     /* the window's */
	size_t part_at, n_parts;        /* of a batch that exec finds too long: the parts of this start; n_parts 0: all that are left */
	pid_t pid;                      /* 0: no process */
	struct event *exit_ev, *out_ev, *err_ev, *timer;
	struct chunks out, err;
	struct chunks gone;             /* of `out`, what has left while it runs, where all of it is wanted once more for the log */
	struct buf line;                /* --line-buffer: begins a line */
	unsigned char key[16];          /* of its result in the log, or in the daemon */
	bool exited, paused, killed;
	bool has_folder;                /* of --results, begun */
	bool recorded, silent;          /* recorded: its result is there already; silent: and was delivered by an earlier map */
	int earlier;                    /* the status of those of its parts that have run already */
	int status, why;                /* why: it was told to end for that, a TASK_ status; 0: it was not */
	double start, end;              /* epoch seconds */
	int64_t first_ns;               /* start of the first attempt */
	struct task_there there;
};

/* What a stage asks of the home of its tasks. */
struct task_home {
	/* 0, and stage_task_ended follows; or an errno: nothing runs. */
	int (*start)(struct task *t);
	/* SIGTERM to the group, SIGKILL after the grace; why: a TASK_ status that its end gets. Once. */
	void (*tell_to_end)(struct task *t, int why);
	void (*kill)(struct task *t);
	/* What was not read of a task's output may have room now. */
	void (*read_on)(struct stage *s);
	/* It is delivered. */
	void (*leave)(struct task *t);
	/* Ends what still runs, and gives everything back. */
	void (*clear)(struct task *t);
};
extern const struct task_home task_here, task_there;

/* task_is_whole - all it has written is here. Of a process of ours that has ended it always is. */
bool task_is_whole(const struct task *t);

/* task_parts - how many items it has: those of a batch or a tuple. */
size_t task_parts(const struct task *t);
struct jt_bytes task_part(const struct task *t, size_t i);
/* task_can_divide - whether it is a batch, and what is started of it is more than the least that can be. */
bool task_can_divide(const struct task *t);
/* task_words - the items of this start, *ret_n of them. NULL: a NUL is in one, which no argument can hold. Freed by the caller. */
struct jt_bytes *task_words(const struct task *t, size_t *ret_n);

/* In stage.c: the attempt is over; status and output are in the task. */
void stage_task_ended(struct task *t);
/* What could be started nevertheless did not: with errno. */
void stage_task_not_started(struct task *t, int error);
/* Whether a chunk of t may be read now. */
bool stage_may_read(struct task *t);
/* Whether what t writes can leave before its end. */
bool stage_can_stream(const struct task *t);
/* Whether it does so now: t is the first. */
bool stage_leaves(struct task *t);
/* Whether what t has written may turn out to be what an earlier map delivered: a batch in parts, of which none has run again so far. */
bool stage_may_be_silent(const struct task *t);

#endif
