/* SPDX-License-Identifier: MIT */
/*
 * Kept - ends that nobody has acknowledged, in a mapped file beside the socket, so that they survive this process: what has been reaped can
 * be asked of nobody else. The next runner at this socket finds them, and tells them in its inventory.
 *
 * The file is a header and a table of records. A record is taken with the attempt, written by the worker before the end is told, and
 * given back when the end is acknowledged. The main thread takes and gives back; a record in use belongs to its attempt.
 */
#ifndef RUNNER_KEPT_H
#define RUNNER_KEPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/runner_msg.h"

/* sum is written last, and taken away first: a record whose sum is not that of its end was never completed. */
struct kept_record {
	struct rm_end end;
	uint64_t sum;
};

struct kept {
	char *path;
	int fd;                                 /* -1: ends are not kept */
	struct kept_file *file;
	size_t n_records;                       /* that have room on the file system */
	struct kept_record **free;
	size_t n_free;
	bool said_full;
};

/*
 * kept_open - the file of the socket at this path, made when there is none. The caller is the only runner of that socket. The records
 * that another life of this boot completed are passed to `found`, in use; all others are free. Without a file (it is logged why) the runner
 * works, and its ends die with it.
 */
void kept_open(struct kept *k, const char *socket_path, const uint8_t boot_id[16], void (*found)(void *arg, struct kept_record *rec),
	       void *arg);
/* kept_take - a free record; NULL: there is no room. O(1), but for every 4096th, which asks the file system for more. */
struct kept_record *kept_take(struct kept *k);
/* kept_write - from now on the end survives us. Any thread; NULL record: nothing. No system call, cannot fail. */
void kept_write(struct kept_record *rec, const struct rm_end *end);
/* kept_give_back - its end is acknowledged. NULL: nothing. */
void kept_give_back(struct kept *k, struct kept_record *rec);
/* kept_close - the file goes when no record in it is in use. */
void kept_close(struct kept *k);

#endif
