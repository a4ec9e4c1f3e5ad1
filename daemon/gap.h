/* SPDX-License-Identifier: MIT */
/*
 * Gap - what is left out of an output that grew beyond what is kept of it. Offsets stay those of what the job wrote:
 *
 *   0 ......... at ............... end ......... size
 *     the head       left out           the tail
 *
 * The first half of output_max is the head, the rest the tail. The gap stands in an extended attribute of the file before a byte of it is
 * punched out. So who reads bytes first, and then the gap, and finds that it does not cover them, has what the job wrote; and the hole
 * itself says nothing: what a job leaves out itself (a sparse output) is no gap.
 *
 * jobd-runner makes and widens gaps while the job runs, and jobd settles one at its end only where there is none. The runner may hear of the
 * last growth when the job has ended already: it leaves a settled one alone, and what it makes just before is within the one that is settled.
 * The job itself can write that attribute, too: one that leaves in too much is not believed.
 */
#ifndef GAP_H
#define GAP_H

#include <stdint.h>

struct gap {
	int64_t at, end;                /* at == end: there is none */
};

/* gap_kept - what is there of size bytes. */
static inline int64_t gap_kept(const struct gap *g, int64_t size)
{
	return size - (g->end - g->at);
}

/* gap_read - the gap of an open file, as far as it reaches below size. None where the file system has no such attributes. */
struct gap gap_read(int fd, int64_t size);

/*
 * gap_widen - keep head and tail of an output of which size bytes have been seen: write the gap down and punch it out. While the job runs
 * whole blocks go, so that up to a block more than max is kept; at its end exactly max. A job that has cut its own output short, and written
 * anew, has no gap to begin with. fd is open for writing.
 * Returns 0, or -1 with errno; EEXIST: the gap is settled, or what stands there is none; EOPNOTSUPP: the file system can not do it.
 */
enum gap_edge { GAP_AT_BLOCK, GAP_EXACT };
int gap_widen(int fd, uint64_t max, int64_t size, enum gap_edge edge);

/*
 * gap_settle - the same at the end of a job, exactly max bytes, and only if there is no gap yet that leaves in no more; it is written down
 * and left to gap_punch. Returns what is left out in the end: none when it could not be written down.
 */
struct gap gap_settle(int fd, uint64_t max, int64_t size);
int gap_punch(int fd, const struct gap *gap);

#endif
