/* SPDX-License-Identifier: MIT */
#include "interrupt.h"

#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

static int hold(sigset_t *ret)
{
	sigemptyset(ret);
	sigaddset(ret, SIGINT);
	sigaddset(ret, SIGTERM);
	return sigprocmask(SIG_BLOCK, ret, NULL);
}

void interrupt_hold(void)
{
	sigset_t set;

	hold(&set);
}

int interrupt_fd(void)
{
	sigset_t set;

	if (hold(&set) != 0)
		return -1;
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

int interrupt_take(int fd)
{
	struct signalfd_siginfo info;

	return read(fd, &info, sizeof(info)) == sizeof(info) ? (int)info.ssi_signo : 0;
}
