/* SPDX-License-Identifier: MIT */
/*
 * Writer - the one thread that writes. Work goes in by writer_give and comes back, done or failed, through `done`, in order. After the first
 * failure no data is written any more; the state still is. The data are in buffers of a fixed pool: who finds none waits for one to come back,
 * which is what holds the network back.
 */
#ifndef FETCH_WRITER_H
#define FETCH_WRITER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "digest.h"
#include "keep.h"
#include "options.h"
#include "post.h"
#include "target.h"

#define BUFFER_SIZE (256u << 10)
#define BUFFERS_PER_STREAM 3

enum work_kind {
	WORK_WRITE,             /* len bytes of data at offset of the file (a stream: next) */
	WORK_ALLOC,             /* room for the state, and for offset bytes of the file */
	WORK_EMPTY,             /* the file has no bytes, and there is no state */
	WORK_MARK,              /* nothing: says that all before it is done */
	WORK_SAVE,              /* the text of a state; data is synced before it with --durable */
	WORK_SYNC,              /* fdatasync */
	WORK_END,
};

struct work {
	enum work_kind kind;
	uint32_t part;
	uint64_t offset;
	size_t len;
	unsigned char *data;    /* BUFFER_SIZE bytes */
	char *text;             /* of WORK_SAVE; freed by the writer */
	int error;              /* an errno, when it comes back */
	int64_t took_us;
	struct work *next;      /* in the pool */
};

struct writer {
	const struct fetch_options *o;
	const struct target *target;
	struct keep *keep;
	struct digest_run *digest;      /* of a stream: what is written is what is summed. NULL: nothing is */
	struct post todo, done;
	pthread_t thread;
	bool started;
	int error;                      /* the writer's own */
	/* the giver's */
	struct work *pool;
	uint32_t n_pool, max_pool, peak;
	uint32_t given;                 /* not come back yet */
};

/* writer_start - 0, or -1 with errno. buffers: how many the pool may have. */
int writer_start(struct writer *w, const struct fetch_options *o, const struct target *t, struct keep *keep, uint32_t buffers);
/* writer_end - waits for the thread: only when nothing is given, else it is left behind with what it waits for. */
void writer_end(struct writer *w);

struct work *writer_buffer(struct writer *w);           /* NULL: all are under way */
void writer_return(struct writer *w, struct work *work);        /* a buffer that came back, or was not used */
void writer_give(struct writer *w, struct work *work);
/* writer_ask - work without data. text: WORK_SAVE, given away. */
void writer_ask(struct writer *w, enum work_kind kind, uint64_t offset, char *text, size_t len);
struct work *writer_take(struct writer *w);             /* one that came back; waits */

#endif
