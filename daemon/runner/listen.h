/* SPDX-License-Identifier: MIT */
/* Listen - the runner's socket: one server a path, and who may speak to it. */
#ifndef RUNNER_LISTEN_H
#define RUNNER_LISTEN_H

#include <stdbool.h>
#include <sys/types.h>

struct listener {
	int fd;                 /* non-blocking */
	int lock_fd;            /* -1: the socket was passed to us */
	const char *path;
	bool owned;             /* the path is ours to remove */
};

#define NO_UID ((uid_t)-1)

/*
 * listen_at - lock path.lock, bind and listen at path. The socket appears there ready for use: it is bound under another name and
 * renamed. Its folder must be ours or root's and not be written to by others (EPERM). allow_uid (NO_UID: nobody) becomes its owner, if we
 * may. Returns 0; 1: another runner holds the lock; -1: errno.
 */
int listen_at(const char *path, uid_t allow_uid, struct listener *ret);
/* listen_passed - use a socket of the service manager. -1 with errno when it is not a listening SOCK_SEQPACKET one. */
int listen_passed(int fd, struct listener *ret);
/* listen_close - and remove the path, if it is ours. The lock file stays: removing it would let two hold "it" at once. */
void listen_close(struct listener *l);

/* listen_accept - a connection of our own user, root or allow_uid, and whose it is; others are refused and logged. -1: none now. */
int listen_accept(const struct listener *l, uid_t allow_uid, uid_t *ret_uid);

#endif
