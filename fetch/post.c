/* SPDX-License-Identifier: MIT */
#include "post.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

int post_init(struct post *p)
{
	int fd[2];

	if (pipe2(fd, O_CLOEXEC) != 0)
		return -1;
	*p = (struct post){ .in = fd[1], .out = fd[0] };
	return 0;
}

void post_done(struct post *p)
{
	close(p->in);
	close(p->out);
}

/* A pointer is shorter than PIPE_BUF: it is written whole or not at all. */
void post_send(const struct post *p, void *message)
{
	ssize_t n;

	do {
		n = write(p->in, &message, sizeof(message));
	} while (n < 0 && errno == EINTR);
	if (n != sizeof(message))
		abort();
}

void *post_take(const struct post *p)
{
	void *message;
	ssize_t n;

	do {
		n = read(p->out, &message, sizeof(message));
	} while (n < 0 && errno == EINTR);
	if (n != sizeof(message))
		abort();
	return message;
}

int post_wait(const struct post *p, int also_fd, int timeout_ms)
{
	struct pollfd fds[] = { { .fd = p->out, .events = POLLIN }, { .fd = also_fd, .events = POLLIN } };
	int n = poll(fds, 2, timeout_ms);

	return n > 0 && fds[0].revents != 0;
}
