/* SPDX-License-Identifier: MIT */
/*
 * Spares - output files that are used again. Most jobs write nothing to one of them at least, and to make and to remove two files for each job can
 * cost a file system more than all that jobd does itself.
 *
 * A spare becomes the output of another job only if nobody has it open: a write lease, which the kernel gives to who is the only one that has the
 * file open, is the proof. So what an earlier job left behind (a process that got away, a descriptor that it sent to somebody) can neither write
 * into the output of a later one nor read it. Where the file system has no leases there are no spares, and nobody notices but the clock.
 *
 * To rename a file is most of what this costs. So some keep their name until they are taken, or until their run has ended; then they go into the folder
 * of the spares, as those did for which there was no room. A jobd that is killed leaves them, empty, in the folder of their run.
 */
#ifndef SPARE_H
#define SPARE_H

#include <stdbool.h>
#include <stdint.h>

#define SPARES_KEPT 64
#define SPARE_NAME 48

struct spares {
	int out, dir;                   /* the folder of the outputs, borrowed; that of the spares, -1: there is none */
	unsigned n;                     /* files 0 .. n - 1 */
	struct spare_kept {
		uint32_t run;
		char name[SPARE_NAME];
	} kept[SPARES_KEPT];            /* under the name that they had, below out */
	unsigned n_kept;
	bool off;                       /* there is nothing to be had here: all are made and removed */
};

/* spares_open - a folder for them below `out`. What an earlier jobd left there is removed. */
void spares_open(struct spares *s, int out);
/*
 * spare_give - the file `name`, below out, of an attempt in this run, in which nothing was written: it becomes a spare, or is removed. One that was cut
 * short would be none: ext4 writes out at once what comes into it next, which costs far more than a new file.
 */
void spare_give(struct spares *s, uint32_t run, const char *name);
/* spares_leave - the folder of the run is to be empty, or goes: no spare is kept there. */
void spares_leave(struct spares *s, uint32_t run);
/*
 * spare_take - a spare becomes the file `name`, below out, in the place of one that has this name already: empty, mode 0600, open for
 * appending. Its descriptor, or -1 with errno: EAGAIN there is none, ENOENT the folder that `name` has is not there.
 */
int spare_take(struct spares *s, const char *name);
void spares_drop(struct spares *s);                     /* none is kept: what they take is wanted elsewhere */
void spares_close(struct spares *s);                    /* they are removed */

#endif
