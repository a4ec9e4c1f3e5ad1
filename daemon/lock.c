/* SPDX-License-Identifier: MIT */
/* The lock of the state directory. See lock.h. */
#include "lock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "log.h"

#define PATIENCE_MS 200         /* until the number of who has just taken the lock stands in it */

/* 0: there is none. */
static int read_number(int fd)
{
	char text[32] = "";
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
	long value = n > 0 ? strtol(text, NULL, 10) : 0;

	return value > 0 && value <= INT_MAX ? (int)value : 0;
}

/* Who has just taken the lock writes its number in a moment; until then that of the one before stands there, or none. */
static int holder(int fd)
{
	const struct timespec ms = { 0, 1000000 };
	int pid = 0;

	for (int i = 0; i < PATIENCE_MS; i++) {
		pid = read_number(fd);
		if (pid && (kill(pid, 0) == 0 || errno == EPERM))
			break;
		nanosleep(&ms, NULL);
	}
	return pid;
}

static void write_number(int fd, const char *dir)
{
	char text[32];
	int n = snprintf(text, sizeof(text), "%d\n", (int)getpid());

	if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)n, 0) != n)
		log_warn("%s/lock: %s", dir, strerror(errno));
}

int lock_take(int state_fd, const char *dir)
{
	int fd = openat(state_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0) {
		log_error("%s/lock: %s", dir, strerror(errno));
		return -1;
	}
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		log_error("%s is in use by another jobd (process %d): stop that one, or give another --state", dir, holder(fd));
		close(fd);
		return -1;
	}
	write_number(fd, dir);
	return fd;
}
