/* SPDX-License-Identifier: MIT */
#include "map/child.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

int child_above_stdio(int fd)
{
	int higher;

	if (fd < 0 || fd > STDERR_FILENO)
		return fd;
	higher = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	close(fd);
	return higher;
}

int child_plumbing(int ret_ends[2])
{
	if (pipe2(ret_ends, O_CLOEXEC) < 0)
		return -1;
	ret_ends[0] = child_above_stdio(ret_ends[0]);
	ret_ends[1] = child_above_stdio(ret_ends[1]);
	return ret_ends[0] >= 0 && ret_ends[1] >= 0 ? 0 : -1;
}

/* In the child, which has our memory until it executes. Returns only with what went wrong. */
static int execute(const struct child_plan *p, pid_t parent)
{
	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		return ECHILD;          /* it died before the line above */
	if (dup2(p->in, STDIN_FILENO) < 0 || dup2(p->out, STDOUT_FILENO) < 0)
		return errno;
	if (p->err != STDERR_FILENO && dup2(p->err, STDERR_FILENO) < 0)
		return errno;
	signal(SIGPIPE, SIG_DFL);
	sigprocmask(SIG_SETMASK, p->mask, NULL);
	execvpe(p->argv[0], p->argv, p->envp);
	return errno;
}

int child_start(const struct child_plan *p, pid_t *ret_pid, int *ret_pidfd)
{
	volatile int failed = 0;
	pid_t parent = getpid(), pid = vfork();

	if (pid == 0) {
		failed = execute(p, parent);
		_exit(127);
	}
	if (pid < 0)
		return errno;
	if (failed == 0)
		*ret_pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (failed == 0 && *ret_pidfd >= 0) {
		*ret_pid = pid;
		return 0;
	}
	if (failed == 0) {              /* nobody could wait for it */
		failed = errno;
		kill(pid, SIGKILL);
	}
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return failed;
}
