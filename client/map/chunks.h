/* SPDX-License-Identifier: MIT */
/*
 * Chunks - the output of one child as a queue of bytes, and the store that all queues of a map share: memory up to a limit, then one spool
 * file up to another. What is taken out is forgotten in both.
 *
 * The spool file has no name. It is appended to at its end, and holes are punched behind what was read: it takes no more of the disk than
 * is waiting.
 */
#ifndef MAP_CHUNKS_H
#define MAP_CHUNKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "escape.h"

#define CHUNK_MAX ((size_t)65536)       /* of one read of a pipe */

struct chunk_store {
	uint64_t memory_max, spool_max;
	const char *dir;                /* of the spool; borrowed */
	int fd;                         /* the spool; -1: not yet needed */
	uint64_t in_memory, in_spool, end;      /* in_memory: with what the queues themselves take */
	uint64_t memory_peak;           /* the highest in_memory ever */
	uint64_t spooled;               /* bytes that ever went there */
	char *scratch;                  /* CHUNK_MAX bytes */
	bool looks_for_text;            /* whether a queue is told to be text (chunks.text) */
};

struct chunk;
struct chunks {                         /* {0} is no queue: chunks_init */
	STAILQ_HEAD(, chunk) head;
	uint64_t bytes;
	struct utf8_stream text;        /* of all that came in since it was empty at first, or dropped */
};

void chunk_store_init(struct chunk_store *s, uint64_t memory_max, uint64_t spool_max, const char *dir);
void chunk_store_done(struct chunk_store *s);
/* Whether the next chunk finds room within the limits. */
bool chunk_store_has_room(const struct chunk_store *s);

void chunks_init(struct chunks *c);
void chunks_drop(struct chunk_store *s, struct chunks *c);
/* chunks_read - one read of fd, at most CHUNK_MAX bytes, into the queue; if there is no room, beyond the limit that `excess` names, so ask before.
 * Returns what read returned: 0 is its end. -1 with errno: of read, or, where the spool failed, of that (*ret_spool is set then). */
enum chunk_excess { EXCESS_MEMORY, EXCESS_SPOOL };
ssize_t chunks_read(struct chunk_store *s, struct chunks *c, int fd, enum chunk_excess excess, bool *ret_spool);
/* chunks_put - n bytes of ours into the queue, to the spool if there is no room. 0, or -1 with errno. */
int chunks_put(struct chunk_store *s, struct chunks *c, const char *data, size_t n);
/* chunks_copy - n bytes, behind the first `from`, into buf; they are there, and the queue stays as it is. 0, or -1 with errno. */
int chunks_copy(const struct chunk_store *s, const struct chunks *c, uint64_t from, size_t n, char *buf);
/* chunks_take - at most n bytes from the head of the queue into buf. Returns how many, or -1 with errno: the spool cannot be read. */
ssize_t chunks_take(struct chunk_store *s, struct chunks *c, char *buf, size_t n);

#endif
