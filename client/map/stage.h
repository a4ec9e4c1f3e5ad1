/* SPDX-License-Identifier: MIT */
/*
 * Stage - one command over one stream, by one event loop: the source is asked while the window has room, processes start while slots are
 * free, what they write is gathered, and the results leave in order.
 *
 *	source -> TASK_WAITS -> TASK_RUNS -> TASK_ENDED -> accepted by the sink, or admitted by the next stage: delivered
 *	                ^          |  \        ^
 *	                \- backoff /   \        \- TASK_READS (what it wrote is not all here yet)
 *	                                \-> TASK_CUT_OFF (by a stop: never delivered)
 *
 * Which item has which place, and how far the map has come, lib/map.h decides (window, course); here is what acts.
 */
#ifndef MAP_STAGE_H
#define MAP_STAGE_H

#include <event2/event.h>

#include "map.h"
#include "map/settings.h"
#include "map/task.h"

struct map_loop;
struct remote;

/* known: of those that finished, what an earlier map had done. */
struct stage_counts { uint64_t running, finished, failed, delivered, retried, known; };

struct stage {
	struct map_loop *loop;
	const struct task_home *home;
	struct remote *remote;          /* the daemon's part of it; NULL: the home is here */
	const struct stage_settings *set;
	size_t number;                  /* from 1 */
	char *name;                     /* of the map; behind a --then with a number; NULL: it has none */
	char *env_name;                 /* JOBD_MAP=... */
	bool last, ordered;
	struct jt_source source;
	bool source_closed, waits_for_source, ever_started;
	struct event *source_ev, *due_ev;
	struct jti_window window;
	struct jti_course course;
	struct task *task;              /* by place */
	STAILQ_HEAD(, task) ended;      /* unordered: in the order of their ends */
	struct task *live;              /* unordered: leaves before its end, as there is no room */
	uint32_t *free_slot, n_slots, n_free_slots, n_paused;   /* where the slots are the daemon's, each place of the window has one */
	uint64_t rnd;
	struct stage_counts n;
};

/* stage_init - takes the source, also on failure. 0 or an exit status, complained. */
int stage_init(struct stage *s, struct map_loop *loop, const struct stage_settings *set, const struct jt_source *source);
void stage_done(struct stage *s);

/* stage_pump - admit and start what may be. Returns whether something moved. */
bool stage_pump(struct stage *s);
/* stage_stop - admit nothing more; JTI_DRAINS: go on with what was admitted; JTI_STOPPED, JTI_DEADLINE: terminate what runs. */
void stage_stop(struct stage *s, int how);
/* stage_kill - a second signal: what runs is killed at once. */
void stage_kill(struct stage *s);

/* stage_head - the task whose output leaves next: ended, or (of the last stage) running, with no further attempt. NULL: none. */
struct task *stage_head(struct stage *s);
/* stage_first - the one that is to leave next, whatever its state is. NULL: none. */
struct task *stage_first(struct stage *s);
/* Whether something can still leave without a further end. */
bool stage_has_results(struct stage *s);
/* stage_task_known - of the item that was put: its result was there; counts as finished, and for nothing else. */
void stage_task_known(struct task *t);
/* stage_task_whole - t, in TASK_READS, is all here. */
void stage_task_whole(struct task *t);
/* stage_task_lost - its home is no more. */
void stage_task_lost(struct task *t);
/* stage_deliver - the head, ended, has left: its place is free. */
void stage_deliver(struct stage *s, struct task *head);
/* Nothing runs, and nothing will ever leave again. */
bool stage_is_over(struct stage *s);

/* stage_as_source - the results of s less one newline, for the next stage; those that failed are left out. */
struct jt_source stage_as_source(struct stage *s);

#endif
