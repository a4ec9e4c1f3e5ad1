/* SPDX-License-Identifier: MIT */
/*
 * Sweep - what holds a job where there are no control groups. The runner is a subreaper: whatever a job leaves behind, in a session of its own
 * or not, becomes a child of the runner's main thread when its parent dies (the jobs themselves are children of the workers, and so are their
 * siblings: see siblings.h). So a job that left nothing costs one look at an empty list, and what it did leave is killed generation by
 * generation: an orphan is killed, its children become orphans, until there are none.
 *
 * Whose an orphan is, its environment says (JOBD_TOKEN=SOCKET.JOB.ATTEMPT, which the runner adds), else its session; one that has
 * neither any more is killed when no job runs. A runner that was killed has no orphans: what carries its socket's token is looked for in
 * all of /proc by the next one, before it answers (rule 7). What has also emptied its environment outlives it; only a control group holds
 * that.
 *
 * One thread only, the one whose children it looks at: a child's number is its own until this thread reaps it, so no signal goes astray.
 */
#ifndef RUNNER_SWEEP_H
#define RUNNER_SWEEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct sweep {
	bool on;                /* off: there are control groups, or the kernel tells nobody his children */
	uint64_t socket;        /* in the tokens */
	int children_fd;
	char *text;             /* scratch */
	size_t cap;
	int lacking;            /* the errno of a look that failed for want of descriptors or memory; 0: none did */
};

#define SWEEP_TOKEN_MAX 80

/*
 * sweep_clear - rule 7: kill what an earlier runner of this socket left that had no control groups, whether we have or not, and wait until it
 * is gone, however long that takes. The caller has one thread, and is the only runner of that socket (whose number `socket` is, see
 * cage_socket_number). 0; -1: something of it may live, and it has been logged why: nothing may be started.
 */
int sweep_clear(uint64_t socket);
/* sweep_open - become a subreaper. */
void sweep_open(struct sweep *s, uint64_t socket);
/* sweep_open_thread - only for the children of the calling thread. */
void sweep_open_thread(struct sweep *s, uint64_t socket);
void sweep_close(struct sweep *s);

/* sweep_token - what a job has in its environment, "JOBD_TOKEN=...". NULL: it needs none. */
const char *sweep_token(const struct sweep *s, uint64_t job, uint32_t attempt, char buf[SWEEP_TOKEN_MAX]);

struct sweep_job {
	uint64_t job;
	uint32_t attempt;
	pid_t pid;              /* of its main process, which has been reaped: its session */
	bool alone;             /* no other job runs that a child of this thread could be of: each is its */
};
/*
 * sweep_step - reap orphans that are dead, kill those of the job (NULL: of none). Returns how many of them live, or may live: to be called
 * again after each SIGCHLD (which it raises where none may come) until there are none.
 */
size_t sweep_step(struct sweep *s, const struct sweep_job *job);

/* The two halves of it, for who has children that are no orphans. */
/* sweep_list - the children as they are now; the caller's to free. NULL with *ret_n 0: none. s is on. */
pid_t *sweep_list(struct sweep *s, size_t *ret_n);
/* sweep_one - reap it if it is dead, else kill it if it is of the job (NULL: of none). Whether it was killed and is yet to be reaped. */
bool sweep_one(struct sweep *s, pid_t pid, const struct sweep_job *job);

#endif
