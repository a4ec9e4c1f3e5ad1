/* SPDX-License-Identifier: MIT */
/*
 * Remote - the map of one stage in the daemon: items go there as they are started, their ends and what they wrote come back.
 *
 *	REMOTE_ASKS -> REMOTE_ON -> REMOTE_ENDS -> REMOTE_OVER
 *	          \      |  ^           |
 *	           \     v  |           |
 *	            -> REMOTE_AWAY <----/     jobd has gone: the stage waits for it to come back, 10 seconds; the user's own it starts again
 *
 * An item is known there by its tag, n times the window + its place: so tags grow, and say the place. Output that is not small stays there
 * until it can leave, and is then asked for piece by piece.
 */
#ifndef MAP_REMOTE_H
#define MAP_REMOTE_H

#include <jansson.h>
#include <sys/queue.h>

#include "map/keys.h"
#include "map/peer.h"
#include "map/stage.h"

enum remote_state { REMOTE_ASKS, REMOTE_ON, REMOTE_AWAY, REMOTE_ENDS, REMOTE_OVER };
enum remote_stop { REMOTE_GOES_ON, REMOTE_TERMINATES, REMOTE_KILLS };

struct remote {
	struct stage *stage;
	struct peer peer;
	enum remote_state state;
	char *socket;                   /* where jobd was, to come back to */
	int64_t run;                    /* its number there; 0: not known yet */
	uint64_t n_tags, first_tag;     /* the next tag is made of n_tags; first_tag: of this process */
	STAILQ_HEAD(, task) waiting;    /* to be put, in order, behind one that is large */
	uint64_t input_at;              /* of the first of them: so much of its standard input has been told */
	struct buf puts, left;          /* what the next MapPut and MapDelivered say: elements of a JSON list */
	enum remote_stop stop;          /* what was asked for */
	bool is_ending, failed;         /* all is delivered, or given up; failed: what it ends as */
	struct event *again_ev, *live_ev, *ending_ev;
	int64_t away_ns;                /* since when */
	bool has_started;               /* jobd, in this outage */
	struct keys *keys;              /* NULL: a map without a name */
	uint64_t head_seq;              /* of the item that leaves next */
	bool live;                      /* it has been running for a while: what it writes is asked for meanwhile */
	uint32_t n_gathers;
};

/* remote_new - asks the daemon, which is started if need be, for a map. 0 or an exit status, complained. */
int remote_new(struct stage *s, struct remote **ret);
void remote_free(struct remote *r);
/* remote_window - what the daemon is asked for: a batch that is too long is there as a whole, and one of its parts. */
uint32_t remote_window(const struct stage_settings *set);
/* remote_meet - t was admitted: gives it its key, if the map has a name. 0, or -1 with errno. */
int remote_meet(struct remote *r, struct task *t);
/* remote_end - nothing more will be put. failed: that the run failed. */
void remote_end(struct remote *r, bool failed);
bool remote_is_over(const struct remote *r);
/* Whether results have to wait: the daemon does not know yet that those before were delivered. */
bool remote_is_behind(const struct remote *r);

/* ---- among the files of the remote part -------------------------------------------------------------------------------- */

/* remote_hear - a frame from the daemon (remote_hear.c). */
void remote_hear(void *arg, const char *text, size_t len);
/* remote_began - the daemon has the map, under r->run; in_hand: the tags it knows, a JSON list or NULL. */
void remote_began(struct remote *r, const json_t *in_hand);
/* remote_new_tag - t gets the next one. */
void remote_new_tag(struct remote *r, struct task *t);
/* remote_waits_for_end - an earlier client's map of this name is just ending; then this one begins. */
void remote_waits_for_end(struct remote *r);
/* remote_give_up - the map cannot go on. Has complained. */
void remote_give_up(struct remote *r, int exit_status);

/* What the daemon is told (remote_tell.c); all but the first need a run that is attached. */
int remote_tell_map(struct remote *r);   /* 0 or an exit status, complained */
void remote_tell_put(struct remote *r, struct task *t);
void remote_tell_input(struct remote *r, struct task *t, uint64_t at, size_t n);      /* so many bytes of its standard input */
void remote_tell_read(struct remote *r, struct task *t, const char *name, struct task_stream *s, uint64_t max);
void remote_tell_delivered(struct remote *r, uint64_t tag);
void remote_tell_stop(struct remote *r);
void remote_tell_end(struct remote *r, bool failed);
void remote_tell_all(struct remote *r); /* sends what was gathered: deliveries, then items */

/* remote_put - t under a new tag, in its turn; large ones part by part, as the connection takes them (remote_input.c). */
void remote_put(struct remote *r, struct task *t);
void remote_put_waiting(struct remote *r);      /* there may be room now */
void remote_drop_waiting(struct remote *r);     /* nothing is put any more */
bool remote_is_large(const struct task *t);

/* The options of a map, as the interface has them; NULL: complained (remote_options.c). */
json_t *remote_options(const struct stage *s);
/* Whether the item can be put at all. */
bool remote_can_carry(const struct task *t);

#endif
