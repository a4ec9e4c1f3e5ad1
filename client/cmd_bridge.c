/* SPDX-License-Identifier: MIT */
/* bridge: stdin and stdout become a connection to the daemon, for varlink clients that start a command (also through ssh). */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "conn.h"
#include "status.h"
#include "talk.h"
#include "verbs.h"

/* 1: copied; 0: end of file; -1: errno. */
static int copy_some(int from, int to)
{
	char block[65536];
	ssize_t n;

	do {
		n = read(from, block, sizeof(block));
	} while (n < 0 && errno == EINTR);
	for (ssize_t at = 0; at < n;) {
		ssize_t w = write(to, block + at, (size_t)(n - at));

		if (w < 0 && errno != EINTR)
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
