/* SPDX-License-Identifier: MIT */
/* bridge: stdin and stdout become a connection to the daemon, for varlink clients that start a command (also through ssh). */
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "conn.h"
#include "status.h"
#include "talk.h"
#include "verbs.h"

/* The socket has a time limit, and either end of ours may be one that others made not block: both only mean that it takes longer. */
static bool is_to_be_repeated(int fd, short events)
{
	if (errno == EAGAIN)
		poll(&(struct pollfd){ .fd = fd, .events = events }, 1, -1);
	return errno == EAGAIN || errno == EINTR;
}

/* 1: copied; 0: end of file; -1: errno. */
static int copy_some(int from, int to)
{
	char block[65536];
	ssize_t n;

	do {
		n = read(from, block, sizeof(block));
	} while (n < 0 && is_to_be_repeated(from, POLLIN));
	for (ssize_t at = 0; at < n;) {
		ssize_t w = write(to, block + at, (size_t)(n - at));

		if (w < 0 && !is_to_be_repeated(to, POLLOUT))
			return -1;
		at += w > 0 ? w : 0;
	}
	return n < 0 ? -1 : n > 0;
}

static int bridge(int sock)
{
	struct pollfd p[] = { { .fd = STDIN_FILENO, .events = POLLIN }, { .fd = sock, .events = POLLIN } };

	for (;;) {
		int got = 1;

		if (poll(p, 2, -1) < 0 && errno != EINTR)
			return complain(CTL_NO_DAEMON, "cannot wait: %s", strerror(errno));
		if (p[1].revents)
			got = copy_some(sock, STDOUT_FILENO);
		if (got == 0)
			return CTL_OK;
		if (got > 0 && p[0].revents && copy_some(STDIN_FILENO, sock) <= 0) {
			shutdown(sock, SHUT_WR);
			p[0].fd = -1;
		}
		if (got < 0)
			return complain(CTL_NO_DAEMON, "the bridge broke: %s", strerror(errno));
	}
}

int cmd_bridge(const struct options *o)
{
	struct vl_conn *conn;
	int rc = conn_open(o, CONN_MAY_START, &conn);

	if (rc)
		return rc;
	rc = bridge(vl_conn_fd(conn));
	vl_close(conn);
	return rc;
}
