/* SPDX-License-Identifier: MIT */
/*
 * Cage - control groups (cgroup v2) that hold what jobs start: whatever a process does, it does not leave its group. One directory for this
 * runner below its own group, in it one a slot, used again and again: making one for each job would cost more than the job.
 *
 *   OURS/jobd-HASH/           the root; its path stands in SOCKET.cgroup, so that the next runner finds it wherever that one is
 *   OURS/jobd-HASH/2.7        the seventh slot of worker 2
 *
 * Where there is no such hierarchy, or we may not write to it, there are no cages: see sweep.h.
 */
#ifndef RUNNER_CAGE_H
#define RUNNER_CAGE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct cage_root {
	int fd;                 /* of the directory; -1: no cages */
	char *path;
	char *note;             /* SOCKET.cgroup */
};

enum cage_wish { CAGE_IF_POSSIBLE, CAGE_NEVER };

/*
 * cage_open - rule 7: kill everything that an earlier runner of this socket left in its cages, wait until it is gone, however long
 * that takes, then make a root of our own. The caller is the only runner of that socket, and has one thread. -1: something of it may live, and
 * it has been logged why: nothing may be started.
 */
int cage_open(struct cage_root *root, const char *socket_path, enum cage_wish wish);
/* cage_socket_number - one number for one socket, wherever it is called from: of its directory and its name there. */
uint64_t cage_socket_number(const char *socket_path);
/* cage_close - remove it; nothing runs in any cage. */
void cage_close(struct cage_root *root);

struct cage {
	unsigned n;
	SLIST_ENTRY(cage) link;
};

/* The cages of one worker. */
struct cages {
	const struct cage_root *root;
	unsigned worker, n_made;
	SLIST_HEAD(, cage) free;
};

void cages_init(struct cages *c, const struct cage_root *root, unsigned worker);
void cages_done(struct cages *c);
/* cages_take - an empty one; NULL: there are no cages, or (it is logged why) no more of them. */
struct cage *cages_take(struct cages *c);
/* cages_give_back - it is empty. NULL: nothing. */
void cages_give_back(struct cages *c, struct cage *cage);
/* cages_discard - instead: it is not used again, and removed if it is empty. For one that cage_kill has been called for: kernels that count
 * the kills of a group take a child that is cloned into it later for one that should have been killed. */
void cages_discard(struct cages *c, struct cage *cage);
/* cage_dir - a descriptor of its directory, to clone into and to close. -1: errno. */
int cage_dir(const struct cages *c, const struct cage *cage);
/* cage_is_empty - no process is in it. */
bool cage_is_empty(const struct cages *c, const struct cage *cage);
/*
 * cage_kill - SIGKILL to all that is in it, at once and together with what they fork meanwhile. Returns a descriptor that has EPOLLPRI when
 * cage_has_emptied may have changed its answer; the caller's to close. -1 with errno.
 */
int cage_kill(const struct cages *c, const struct cage *cage);
bool cage_has_emptied(int events_fd);

#endif
