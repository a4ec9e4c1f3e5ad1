/* SPDX-License-Identifier: MIT */
/*
 * What the files of the outputs know of each other: outputs.c (the thread: whom it hears, when it looks), outputs_files.c (the files it looks at),
 * outputs_cut.c (who punches).
 */
#ifndef RUNNER_OUTPUTS_IMPL_H
#define RUNNER_OUTPUTS_IMPL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/queue.h>
#include <sys/stat.h>

#include "gap.h"
#include "outputs.h"

#define N_SLOTS 4096            /* of the table of inotify's numbers */
#define CUTTERS_MAX 64

struct output_file {
	struct watched *of;
	dev_t dev;
	ino_t ino;
	int64_t size, blocks;           /* when it was looked at last */
	unsigned idle;                  /* looks since it grew */
	int wd;                         /* QUIET: inotify's number; -1 */
	bool growing;
	bool cutting;                   /* a cutter has it: it is not looked at */
	bool settled;                   /* the last cut has been begun */
	bool barred;                    /* somebody else wrote down a gap */
	TAILQ_ENTRY(output_file) growing_link;
	LIST_ENTRY(output_file) wd_link;
};

enum request { WATCH, FORGET, CUT, HAS_CUT, LEAVE };

struct letter {
	struct mail mail;               /* first */
	enum request what;
	struct watched *about;
	struct cutter *by;              /* HAS_CUT */
};

struct watched {
	struct letter watch, forget;
	uint64_t job, max;
	bool whole;                     /* nothing is cut out: beyond max the job is ended */
	uint32_t attempt;
	bool forgotten;                 /* goes when no cutter has a file of it any more */
	atomic_bool cut;                /* set by the thread, before the first gap is made */
	struct note *settled;           /* set by the main thread with the letter that says forget; NULL: nobody waits */
	struct output_file file[2];
	LIST_ENTRY(watched) link;
};

/*
 * A thread that does nothing but punch. Many file systems write out first what they are to throw away, and hold up the writer meanwhile: so each
 * output that is too large needs one of its own, or the others would grow as long.
 */
struct cutter {
	struct letter cut, has_cut, leave;
	pthread_t thread;
	struct mailbox *in, *out;
	struct output_file *file;       /* the other thread's; NULL: idle */
	int fd;
	uint64_t max;
	int64_t size, blocks;           /* blocks: when it had cut */
	enum gap_edge edge;
	int err;
};

TAILQ_HEAD(growing_list, output_file);
LIST_HEAD(wd_list, output_file);

struct outputs {
	pthread_t thread;
	struct mailbox *in, *to;
	const char *state_dir;
	bool leaving, said_no_dir, said_no_inotify;
	int dir, inotify;               /* dir -1: not opened yet; inotify -1: none, everything is looked at all the time */
	int64_t tick_ns;                /* of the last round of looks */
	struct cutter *cutters[CUTTERS_MAX];
	int n_cutters;
	struct growing_list growing;
	struct wd_list by_wd[N_SLOTS];
	LIST_HEAD(, watched) all;
};

int64_t outputs_now_ns(void);                           /* CLOCK_MONOTONIC */
void outputs_tell_to_end(struct outputs *o, struct output_file *f);     /* its job is to be ended; the file is looked at no more */

/* ---- outputs_files.c ---- */
bool file_have_dir(struct outputs *o);                  /* it is made by jobd, and may not be there yet when we start */
/* -1: it can not be opened, or is not the one that was passed to us. */
int file_open(struct outputs *o, const struct output_file *f, int flags);
bool file_stat(struct outputs *o, const struct output_file *f, struct stat *st);        /* false: it is not that one any more */
void file_set_growing(struct outputs *o, struct output_file *f);
void file_set_quiet(struct outputs *o, struct output_file *f);
void file_rest(struct outputs *o, struct output_file *f);       /* quiet from now on, if it can be told when that ends */
void file_forget(struct outputs *o, struct output_file *f);     /* look at it no more */
void file_read_inotify(struct outputs *o);

/* ---- outputs_cut.c ---- */
/* When all are busy it is looked at again in the next round; at the end of a job (GAP_EXACT) there is none, and it is done here. */
void cutter_cut(struct outputs *o, struct output_file *f, enum gap_edge edge);
void cutter_has_cut(struct outputs *o, struct cutter *c);       /* what it told us */
void cutter_end(struct cutter *c);                      /* its thread; the caller frees it, when no letter of it is on the way any more */

#endif
