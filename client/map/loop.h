/* SPDX-License-Identifier: MIT */
/*
 * Loop - what the stages, the sink and the signals of a local map share. One thread, one event loop; after each round of events the pump
 * moves items from the last stage to the first until nothing moves.
 */
#ifndef MAP_LOOP_H
#define MAP_LOOP_H

#include <event2/event.h>
#include <signal.h>

#include "map/chunks.h"
#include "map/count.h"
#include "map/gate.h"
#include "map/log.h"
#include "map/settings.h"
#include "map/sink.h"
#include "map/stage.h"

struct map_loop {
	const struct map_settings *set;
	struct event_base *base;
	struct chunk_store store;
	struct stage *stage;
	struct sink sink;
	struct gate gate;
	struct count count;
	struct log *log;                /* NULL: none */
	bool keeps;                     /* results are kept, by the log or the daemon: nothing leaves before its end */
	struct event *signal_ev, *deadline_ev, *grace_ev, *progress_ev;
	sigset_t mask;                  /* of the children: as it was when we were started */
	int null_fd, stdout_fd;         /* above standard error */
	char **envp, **env_of_attempt;  /* the latter: its last four */
	int stop;                       /* JTI_: how the map was ended early */
	int exit_status;                /* and with which status; 0: the one of its items */
	int signal;                     /* that ended it; 0: none */
	char *trouble;                  /* of the daemon, that standard error told last; NULL: none */
	unsigned n_told;                /* items of whose end standard error has told */
	bool killed;                    /* a second signal came */
	bool grace_over;                /* of a stop: what was not taken yet is not delivered any more */
};

/* map_run - all of a local map. Returns its exit status; death by a signal is re-raised. */
int map_run(const struct map_settings *set);

/* loop_stop - end all stages; how: JTI_DRAINS, JTI_STOPPED, JTI_DEADLINE. The first exit status stays. */
void loop_stop(struct map_loop *l, int how, int exit_status);
/* loop_io_failed - with errno: stops the map; `what` of ours, at `where`, is broken. */
void loop_io_failed(struct map_loop *l, const char *what, const char *where);
/* loop_log_failed - as loop_io_failed, with what the database says. */
void loop_log_failed(struct map_loop *l);
/* loop_remote_failed - the daemon does not go on with a stage: the map ends. Has complained. */
void loop_remote_failed(struct map_loop *l, int exit_status);
/* loop_sink_gone - nobody reads any more. */
void loop_sink_gone(struct map_loop *l);
/* loop_item_ended - an item of s came to its end for good: halt counts it. */
void loop_item_ended(struct map_loop *l, const struct stage *s);

struct timeval loop_timeval(int64_t ns);
int64_t loop_now_ns(void);       /* since some time */
double loop_epoch_now(void);

#endif
