/* SPDX-License-Identifier: MIT */
/* Notify: see notify.h; sd_notify(3) and sd_listen_fds(3) describe the protocols. */
#include "notify.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "log.h"

static char *manager;           /* the address of the service manager; NULL: there is none */

void notify_init(void)
{
	const char *name = getenv("NOTIFY_SOCKET");

	manager = name ? strdup(name) : NULL;
	if (name && !manager)
		log_die("out of memory");
	unsetenv("NOTIFY_SOCKET");
}

/* A path, or with a leading '@' an abstract name. Returns its length, or -1 with errno. */
static int notify_address(const char *name, struct sockaddr_un *ret)
{
	size_t len = strlen(name);

	if ((name[0] != '/' && name[0] != '@') || len < 2 || len >= sizeof(ret->sun_path)) {
		errno = EINVAL;
		return -1;
	}
	*ret = (struct sockaddr_un){.sun_family = AF_UNIX};
	memcpy(ret->sun_path, name, len);
	if (name[0] == '@')
		ret->sun_path[0] = '\0';
	return (int)(offsetof(struct sockaddr_un, sun_path) + len);
}

/* The socket stays: the watchdog is to be fed when there are no descriptors left, too. One thread says things. */
static int send_to(const struct sockaddr_un *addr, int addr_len, const char *text, size_t len)
{
	static int fd = -1;

	if (fd < 0)
		fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -1;
	return sendto(fd, text, len, MSG_NOSIGNAL, (const struct sockaddr *)addr, (socklen_t)addr_len) < 0 ? -1 : 0;
}

int notify_send(const char *fmt, ...)
{
	struct sockaddr_un addr;
	char text[512];
	va_list ap;
	int addr_len, len;

	if (!manager)
		return 0;
	addr_len = notify_address(manager, &addr);
	if (addr_len < 0)
		return -1;
	va_start(ap, fmt);
	len = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (len < 0 || (size_t)len >= sizeof(text)) {
		errno = EMSGSIZE;
		return -1;
	}
	return send_to(&addr, addr_len, text, (size_t)len);
}

/* A number in the environment; -1 when it is absent or not one. */
static long env_number(const char *name)
{
	const char *text = getenv(name);
	char *end;
	long n;

	if (!text || *text < '0' || *text > '9')
		return -1;
	errno = 0;
	n = strtol(text, &end, 10);
	return errno || *end ? -1 : n;
}

int64_t notify_watchdog_us(void)
{
	long pid = env_number("WATCHDOG_PID"), us = env_number("WATCHDOG_USEC");

	return us > 0 && (pid < 0 || pid == getpid()) ? us : 0;
}

int notify_listen_fds(void)
{
	long pid = env_number("LISTEN_PID"), n = env_number("LISTEN_FDS");

	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	if (pid != getpid() || n <= 0 || n > INT_MAX - NOTIFY_LISTEN_START)
		return 0;
	for (int fd = NOTIFY_LISTEN_START; fd < NOTIFY_LISTEN_START + (int)n; fd++)
		if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
			return 0;
	return (int)n;
}
