/* SPDX-License-Identifier: MIT */
/* Listen: see listen.h. */
#include "listen.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "log.h"
#include "place.h"

#define BACKLOG 16

/*
 * A lock of the process, not of the descriptor (as flock's is): a job that is being spawned has a copy of the descriptor for a moment, and
 * would hold the lock of a runner that is killed just then. An open, locked file; -1 with errno, EAGAIN when another process has it locked.
 */
static int lock_for(const char *path)
{
	struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	char *name;
	int fd, saved;

	if (asprintf(&name, "%s.lock", path) < 0)
		return -1;
	fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	saved = errno;
	free(name);
	if (fd >= 0 && fcntl(fd, F_SETLK, &whole) < 0) {
		saved = errno == EACCES ? EAGAIN : errno;
		close(fd);
		fd = -1;
	}
	errno = saved;
	return fd;
}

static int bind_to(int fd, const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	size_t len = strlen(path);

	if (len >= sizeof(addr.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(addr.sun_path, path, len);
	return bind(fd, (struct sockaddr *)&addr, sizeof(addr));
}

/* The lock is ours, so what stands under these names is left over. */
static int publish(int fd, const char *path, uid_t allow_uid)
{
	char *fresh;
	mode_t mask;
	int rc, saved;

	if (asprintf(&fresh, "%s.new", path) < 0)
		return -1;
	unlink(fresh);
	mask = umask(0177);
	rc = bind_to(fd, fresh);
	umask(mask);
	if (!rc && allow_uid != NO_UID && geteuid() == 0)
		rc = place_give_socket(fresh, allow_uid, (gid_t)-1, 0600);
	if (!rc)
		rc = listen(fd, BACKLOG);
	if (!rc)
		rc = rename(fresh, path);
	saved = errno;
	if (rc)
		unlink(fresh);
	free(fresh);
	errno = saved;
	return rc;
}

/* Beside the socket stand the lock and the ends that are kept: nobody else may put something in their place. */
static int check_folder(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *folder = slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");
	int fd = folder ? place_open_dir(folder, PLACE_OURS_OR_ROOTS) : -1, saved = errno;

	if (fd >= 0)
		close(fd);
	if (fd < 0 && saved == EPERM)
		log_error("%s: it belongs to another user, or others can write to it: the socket needs a folder of our own, mode 0700", folder);
	free(folder);
	errno = saved;
	return fd < 0 ? -1 : 0;
}

int listen_at(const char *path, uid_t allow_uid, struct listener *ret)
{
	struct listener l = {.fd = -1, .lock_fd = -1, .path = path, .owned = true};
	int saved;

	if (check_folder(path) < 0)
		return -1;
	l.lock_fd = lock_for(path);
	if (l.lock_fd < 0)
		return errno == EAGAIN ? 1 : -1;
	l.fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (l.fd < 0 || publish(l.fd, path, allow_uid) < 0) {
		saved = errno;
		if (l.fd >= 0)
			close(l.fd);
		close(l.lock_fd);
		errno = saved;
		return -1;
	}
	*ret = l;
	return 0;
}

int listen_passed(int fd, struct listener *ret)
{
	int type, listening, flags = fcntl(fd, F_GETFL);
	socklen_t len = sizeof(int);

	if (flags < 0 || getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0)
		return -1;
	len = sizeof(int);
	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) < 0)
		return -1;
	if (type != SOCK_SEQPACKET || !listening) {
		errno = EINVAL;
		return -1;
	}
	if (fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -1;
	*ret = (struct listener){.fd = fd, .lock_fd = -1};
	return 0;
}

void listen_close(struct listener *l)
{
	if (l->owned)
		unlink(l->path);
	close(l->fd);
	if (l->lock_fd >= 0)
		close(l->lock_fd);
}

static bool may_speak(int fd, uid_t allow_uid, uid_t *ret_uid)
{
	struct ucred who;
	socklen_t len = sizeof(who);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) < 0)
		return false;
	*ret_uid = who.uid;
	if (who.uid == geteuid() || who.uid == 0 || (allow_uid != NO_UID && who.uid == allow_uid))
		return true;
	log_warn("connection of user %u (process %d) refused", (unsigned)who.uid, (int)who.pid);
	return false;
}

int listen_accept(const struct listener *l, uid_t allow_uid, uid_t *ret_uid)
{
	for (;;) {
		int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd >= 0 && may_speak(fd, allow_uid, ret_uid))
			return fd;
		if (fd >= 0) {
			close(fd);
			continue;
		}
		if (errno == EINTR || errno == ECONNABORTED)
			continue;
		return -1;
	}
}
