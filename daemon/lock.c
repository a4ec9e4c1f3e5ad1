/* SPDX-License-Identifier: MIT */
/* The lock of the state directory. See lock.h. */
#include "lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "log.h"

static void write_number(int fd, const char *dir)
{
	char text[32];
	int n = snprintf(text, sizeof(text), "%d\n", (int)getpid());

	if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)n, 0) != n)
		log_warn("%s/lock: %s", dir, strerror(errno));
}

/*
 * A lock of the process, not of the descriptor (as flock's is): a runner that is being spawned has a copy of the descriptor until it
 * executes, and would hold the lock of a jobd that is killed just then. -1 with errno; *ret_holder if another process has it (0: one of
 * another pid namespace).
 */
static int lock(int fd, pid_t *ret_holder)
{
	struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET }, other;

	while (fcntl(fd, F_SETLK, &whole) < 0) {
		other = whole;
		if ((errno != EAGAIN && errno != EACCES) || fcntl(fd, F_GETLK, &other) < 0)
			return -1;
		if (other.l_type == F_UNLCK)
			continue;       /* gone meanwhile */
		*ret_holder = other.l_pid;
		errno = EAGAIN;
		return -1;
	}
	return 0;
}

int lock_take(int state_fd, const char *dir)
{
	int fd = openat(state_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	pid_t holder = 0;

	if (fd < 0) {
		log_error("%s/lock: %s", dir, strerror(errno));
		return -1;
	}
	if (lock(fd, &holder) == 0) {
		write_number(fd, dir);
		return fd;
	}
	if (errno == EAGAIN)
		log_error("%s is in use by another jobd (process %d): stop that one, or give another --state", dir, (int)holder);
	else
		log_error("%s/lock: %s", dir, strerror(errno));
	close(fd);
	return -1;
}
