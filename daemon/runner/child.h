/* SPDX-License-Identifier: MIT */
/*
 * Child - from clone to exec. The child shares our memory until it executes (as vfork does): nothing of a runner's size is copied,
 * and what went wrong is simply written down. All code that runs in the child stands in child.c.
 */
#ifndef RUNNER_CHILD_H
#define RUNNER_CHILD_H

#include <sys/resource.h>
#include <sys/types.h>

#include "order.h"
#include "proto/runner_msg.h"
#include "user.h"

/* What every child of this process gets; filled in once. */
struct child_base {
	pid_t pid;                      /* the runner's */
	int null_fd;                    /* /dev/null, for reading */
	int nice;                       /* the runner's own */
	struct rlimit nofile;           /* as it was before the runner raised its own */
	int reset_oom_score;            /* the runner's is below 0, a job's is not */
	const struct policy *policy;    /* as whom jobs may run */
};
/* child_base_init - look at this process. 0, or -1 with errno. Before child_raise_nofile. */
int child_base_init(struct child_base *b);
/* child_raise_nofile - raise our own limit of descriptors to the hard one. Returns it. */
rlim_t child_raise_nofile(void);

struct child {
	pid_t pid;
	int pidfd;                      /* readable when it has ended; the caller's to close */
};

/* How a spawn failed: RM_AGAIN or RM_SPAWN, an errno and a stage. */
struct child_error {
	enum rm_how how;
	enum rm_stage stage;
	int code;
};

/*
 * child_how - RM_AGAIN or RM_SPAWN, by the errno with which a start failed. What was lacking is no fault of the job, wherever it was
 * met: a user who may have no more processes is told so by setresuid or execve (and the job has then not run as somebody else). ETXTBSY is
 * a fault: nothing here has programs open for writing, so who has may have it long.
 */
enum rm_how child_how(int code);

/*
 * child_spawn - start the order's command as a session of its own, in the control group whose directory is open as cage_fd (-1: in ours).
 * Returns 0 once it has executed. -1: nothing runs, nothing is left
 * to reap, *err says why. Every signal must be blocked in the calling thread and have its default action in the process, so that
 * no handler of ours can run in the child, and none is ignored there.
 */
int child_spawn(const struct child_base *b, const struct order *o, const struct user_ids *ids, int cage_fd, struct child *ret,
		struct child_error *err);

#endif
