/* SPDX-License-Identifier: MIT */
/*
 * Task - an item that has a place in the window, and one attempt at it: its process, its pipes, its end.
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
enum { TASK_SIGNAL = 256, TASK_TIMEOUT = 1000, TASK_E2BIG, TASK_NUL, TASK_STOPPED };
enum task_state { TASK_FREE, TASK_WAITS, TASK_RUNS, TASK_ENDED, TASK_CUT_OFF };

struct task {
	struct stage *stage;
	STAILQ_ENTRY(task) next_ended;
	enum task_state state;
	uint64_t seq;
	uint32_t place, slot, attempt;
	const struct jt_item *item;     /* the window's */
	size_t part_at, n_parts;        /* of a batch that exec finds too long: the parts of this start; n_parts 0: all that are left */
	pid_t pid;                      /* 0: no process */
	struct event *exit_ev, *out_ev, *err_ev, *timer;
	struct chunks out, err;
	struct buf line;                /* --line-buffer: begins a line */
	unsigned char key[16];          /* of its result in the log */
	bool exited, paused, killed;
	bool recorded, silent;          /* recorded: its result is in the log; silent: and was delivered by an earlier map */
	int earlier;                    /* the status of those of its parts that have run already */
	int status, why;                /* why: it was told to end for that, a TASK_ status; 0: it was not */
	double start, end;              /* epoch seconds */
	int64_t first_ns;               /* start of the first attempt */
};

/* task_start - 0; or an errno: nothing runs. */
int task_start(struct task *t);
/* task_tell_to_end - SIGTERM to the group, SIGKILL after the grace; why: a TASK_ status that its end gets. Once. */
void task_tell_to_end(struct task *t, int why);
void task_kill(struct task *t);
/* task_read_on - its pipes are read again. */
void task_read_on(struct task *t);
/* task_clear - kills and reaps what still runs, and gives everything back. */
void task_clear(struct task *t);

/* task_parts - how many items it has: those of a batch or a tuple. */
size_t task_parts(const struct task *t);
struct jt_bytes task_part(const struct task *t, size_t i);

/* In stage.c: the attempt is over; status and output are in the task. */
void stage_task_ended(struct task *t);
/* Whether a chunk of t may be read now. */
bool stage_may_read(struct task *t);
/* Whether what t writes can leave before its end. */
bool stage_can_stream(const struct task *t);

#endif
