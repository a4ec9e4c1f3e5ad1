/* SPDX-License-Identifier: MIT */
/*
 * Child - from vfork to exec, for the processes of a local map: a process group of its own, which gets SIGTERM when this process dies.
 * All code that runs in the child stands in child.c.
 */
#ifndef MAP_CHILD_H
#define MAP_CHILD_H

#include <signal.h>
#include <sys/types.h>

struct child_plan {
	char **argv;                    /* argv[0] is looked up in PATH */
	char **envp;
	int in, out, err;               /* descriptors; 0, 1, 2 there. None of them is below 3, but `err` may be 2 itself */
	const sigset_t *mask;           /* of the child */
};

/* child_start - 0 with *ret_pid, *ret_pidfd; or the errno with which it could not be started, and nothing is left to reap. */
int child_start(const struct child_plan *p, pid_t *ret_pid, int *ret_pidfd);

/* child_plumbing - a pipe, close-on-exec, both ends above standard error. 0 or -1 with errno. */
int child_plumbing(int ret_ends[2]);
/* child_above_stdio - fd itself, or a duplicate above standard error in its place. -1 stays -1. */
int child_above_stdio(int fd);

#endif
