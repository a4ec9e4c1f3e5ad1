/* SPDX-License-Identifier: MIT */
/* Endpoint: see endpoint.h. */
#include "endpoint.h"

#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "log.h"
#include "place.h"

static int set_socket_group(const char *path, const struct conf *c)
{
	struct group *gr = c->socket_group ? getgrnam(c->socket_group) : NULL;

	if (c->socket_group && !gr)
		log_warn("socket_group: there is no group \"%s\"", c->socket_group);
	return place_give_socket(path, (uid_t)-1, gr ? gr->gr_gid : (gid_t)-1, c->socket_mode);
}

/* The default folder in /tmp may be made by anybody before us: only one that is ours, and closed to others, will do. */
static int check_socket_dir(const char *dir)
{
	char ours[64];
	struct stat st;

	snprintf(ours, sizeof(ours), "/tmp/jobd-%u", (unsigned)geteuid());
	if (strcmp(dir, ours) != 0)
		return 0;
	if (lstat(dir, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid() && (st.st_mode & 077) == 0)
		return 0;
	log_error("%s must be a folder of user %u, mode 0700: remove it, or give another --socket", dir, (unsigned)geteuid());
	errno = EPERM;
	return -1;
}

#define LEAVING_MS 500          /* from the death of a jobd, seen by its lock, to the end of its listener */

/* Where path and end go into an address; options_read has seen that they fit. */
static struct sockaddr_un address_of(const char *path, const char *end)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };

	if ((size_t)snprintf(un.sun_path, sizeof(un.sun_path), "%s%s", path, end) >= sizeof(un.sun_path))
		abort();
	return un;
}

bool endpoint_is_served(const char *path, int type)
{
	struct sockaddr_un un = address_of(path, "");
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct pollfd p = { .fd = fd, .events = POLLIN };
	bool served;

	served = fd >= 0 && (connect(fd, (struct sockaddr *)&un, sizeof(un)) == 0 || errno == EAGAIN) && poll(&p, 1, LEAVING_MS) == 0;
	if (fd >= 0)
		close(fd);
	return served;
}

/* Bound under a temporary name and renamed: who connects to the name finds a listener. */
int endpoint_bind(const char *path, const struct conf *c)
{
	struct sockaddr_un un = address_of(path, ".new");
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	char dir[PATH_MAX];

	snprintf(dir, sizeof(dir), "%s", path);
	*strrchr(dir, '/') = '\0';
	if (fd < 0 || (*dir && (place_make_dirs(dir) < 0 || check_socket_dir(dir) < 0)))
		goto fail;
	unlink(un.sun_path);
	if (bind(fd, (struct sockaddr *)&un, sizeof(un)) < 0 || set_socket_group(un.sun_path, c) < 0 || listen(fd, 4096) < 0 ||
	    rename(un.sun_path, path) < 0)
		goto fail;
	return fd;
fail:
	log_error("socket %s: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
	return -1;
}
