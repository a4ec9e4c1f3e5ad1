/* SPDX-License-Identifier: MIT */
/*
 * Attempt - one try of a job, from its START to its ACK, and the table of all of them.
 *
 *   QUEUED -> RUNNING -> ENDED -> (acknowledged: freed)        QUEUED -> ENDED (it could not be spawned)
 *
 * Made, listed and freed by the main thread. From NOTE_START to NOTE_ENDED the worker owns the part that says so; what
 * it writes to `end` the main thread reads only after the note that tells of it.
 */
#ifndef RUNNER_ATTEMPT_H
#define RUNNER_ATTEMPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "kept.h"
#include "mailbox.h"
#include "order.h"
#include "proto/runner_msg.h"

/* What main thread and workers tell each other. A note belongs to its attempt, but for kills, which are made for the occasion. */
enum note_kind {
	NOTE_START,             /* main -> worker: spawn it */
	NOTE_KILL,              /* main -> worker: see kill_note; comes back to main when it has been dealt with */
	NOTE_STARTED,           /* worker -> main: it runs; left out when it ended within moments */
	NOTE_ENDED,             /* worker -> main: the worker knows nothing of it any more */
	NOTE_SETTLED,           /* outputs -> main: see outputs_forget */
	NOTE_STUCK,             /* outputs -> main: see stuck_note */
	NOTE_LEAVE,             /* main -> worker: end the thread */
};

struct note {
	struct mail mail;       /* first */
	enum note_kind kind;
	struct attempt *about;
};

struct kill_note {
	struct note note;       /* first */
	enum rm_cause cause;
	uint32_t grace_ms;
};

/* An output can be kept in bounds in no other way than by ending the job, which may have ended meanwhile. The receiver frees it. */
struct stuck_note {
	struct note note;       /* first; about: NULL */
	uint64_t job;
	uint32_t attempt;
};

/* Which files were passed as stdout and stderr. ino 0: none to look after. */
struct output_ids {
	struct {
		dev_t dev;
		ino_t ino;
	} file[2];
};

enum news { NEWS_NONE, NEWS_INVENTORY, NEWS_CHANGED };

struct attempt {
	struct rm_end end;
	uint32_t grace_ms;
	struct kept_record *record;             /* where the end is kept; NULL: nowhere */

	/* the worker's */
	struct order *order;                    /* until it has been spawned */
	int pidfd;                              /* -1: does not run */
	int64_t started_ns, due_ns;             /* monotonic; due: next act of the escalation */
	size_t due_at;                          /* place in the heap; SIZE_MAX: nowhere */
	struct cage *cage;                      /* NULL: none */
	int events_fd;                          /* reaped; tells when the cage has emptied. -1: not waiting for that */
	int sibling_fd;                         /* reaped; tells when one of its siblings is dead. -1: not waiting for that */
	bool told_to_end;                       /* TERM has been sent; KILL is next */
	bool fresh;                             /* in the list of those whose start has not been told */
	TAILQ_ENTRY(attempt) running_link;      /* its main process is there and not reaped */
	TAILQ_ENTRY(attempt) fresh_link;
	TAILQ_ENTRY(attempt) unwatched_link;
	struct kill_note *early_kill;           /* came before the spawn */

	/* between the threads */
	struct note start, started, ended, settled;

	/* the main thread's */
	unsigned worker;                        /* its number */
	bool has_started, has_ended, acked;
	TAILQ_ENTRY(attempt) sweep_link;        /* ended, and what it left behind is being killed */
	unsigned n_kills;                       /* kill notes that are under way */
	uint64_t output_max;                    /* 0: nobody looks at its outputs */
	struct output_ids outputs;
	struct watched *watched;                /* from NOTE_STARTED to NOTE_ENDED; NULL: not watched */
	enum news news;                         /* why it is in the queue of what jobd is to be told */
	TAILQ_ENTRY(attempt) news_link;
	struct attempt *hash_next;
	LIST_ENTRY(attempt) all_link;
};

TAILQ_HEAD(attempt_queue, attempt);
LIST_HEAD(attempt_list, attempt);

struct attempt_table {
	struct attempt **slots;
	size_t n_slots, n;                      /* n_slots: a power of two */
	struct attempt_list all;
};

void attempts_init(struct attempt_table *t);
/* attempts_find - NULL: there is none. O(1). */
struct attempt *attempts_find(const struct attempt_table *t, uint64_t job, uint32_t attempt);
/* attempts_add - a new attempt, QUEUED; it takes the order over. There is none of this job and number. */
struct attempt *attempts_add(struct attempt_table *t, const struct rm_start *st, struct order *order);
/* attempts_adopt - one that has ended, in an earlier life of the runner. There is none of this job and number. */
struct attempt *attempts_adopt(struct attempt_table *t, const struct rm_end *end);
/* attempts_remove - forget and free it. */
void attempts_remove(struct attempt_table *t, struct attempt *a);
void attempts_done(struct attempt_table *t);

#endif
