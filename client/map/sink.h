/* SPDX-License-Identifier: MIT */
/*
 * Sink - where results go: standard output, and a folder with --results. It never blocks, and notices at any time that nobody reads it any more.
 *
 * A FIFO is opened once more, without blocking, so that the description that we share with others stays as it is; other things that can
 * block are asked before each write, which is a small one then; a regular file is written to.
 */
#ifndef MAP_SINK_H
#define MAP_SINK_H

#include <event2/event.h>
#include <stdbool.h>

#include "buf.h"
#include "map/jsonl.h"
#include "map/results.h"
#include "map/settings.h"

struct map_loop;
struct stage;
struct task;

struct sink {
	struct map_loop *loop;
	struct stage *stage;
	int fd, epoll;                  /* epoll: tells when the reader has gone */
	size_t write_max;               /* of one write; 0: any size */
	struct event *gone_ev, *write_ev;
	struct buf pending;
	size_t at;
	struct task *current;           /* bytes of it are under way */
	bool ends, waits, gone;         /* ends: with what is pending it is all there */
	bool in_line;                   /* --out tag: a line has begun */
	struct jsonl jsonl;
	struct results results;
};

/* sink_init - 0 or an exit status, complained. */
int sink_init(struct sink *s, struct map_loop *loop, struct stage *stage);
void sink_done(struct sink *s);
/* sink_pump - hand on what can be. Returns whether something moved. */
bool sink_pump(struct sink *s);
/* Nothing is under way. */
bool sink_is_idle(const struct sink *s);

#endif
