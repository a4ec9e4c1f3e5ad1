/* SPDX-License-Identifier: MIT */
/*
 * fetch: jobctl becomes jobd-fetch, which does all of it. The URL goes over a descriptor, as it may hold a password or a signature and arguments
 * can be read by everybody.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "buf.h"
#include "status.h"
#include "talk.h"
#include "verbs.h"

/* Where the variable says, else beside this jobctl, else where it is installed. The caller frees. */
static char *find_program(void)
{
	const char *folder = getenv("JOBD_LIBEXEC");
	char exe[4096], *path;
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);

	if (folder && *folder)
		return xasprintf("%s/jobd-fetch", folder);
	if (n > 0) {
		exe[n] = '\0';
		path = xasprintf("%.*s/jobd-fetch", (int)(strrchr(exe, '/') - exe), exe);
		if (access(path, X_OK) == 0)
			return path;
		free(path);
	}
	return xstrdup(PKGLIBEXECDIR "/jobd-fetch");
}

/* A descriptor to read the text from; -1 with errno. It is inherited. */
static int descriptor_of(const char *text)
{
	size_t len = strlen(text);
	int fd = memfd_create("url", 0);

	if (fd < 0)
		return -1;
	if (write(fd, text, len) == (ssize_t)len && lseek(fd, 0, SEEK_SET) == 0)
		return fd;
	close(fd);
	return -1;
}

static char **arguments(const struct options *o, int url_fd)
{
	char **argv = xcalloc(o->pass.n + 3, sizeof(*argv));
	size_t n = 0;

	argv[n++] = xstrdup("jobd-fetch");
	argv[n++] = xasprintf("--url-fd=%d", url_fd);
	for (size_t i = 0; i < o->pass.n; i++)
		argv[n++] = xstrdup(o->pass.v[i]);
	return argv;
}

static void arguments_free(char **argv)
{
	for (char **word = argv; *word; word++)
		free(*word);
	free(argv);
}

int cmd_fetch(const struct options *o)
{
	char *program = find_program(), **argv;
	int fd = descriptor_of(o->args[0]), rc;

	if (fd < 0) {
		free(program);
		return complain(CTL_REFUSED, "cannot hand the URL over: %s", strerror(errno));
	}
	argv = arguments(o, fd);
	execv(program, argv);
	if (errno == ENOENT)
		rc = complain(CTL_REFUSED, "there is no %s: this jobctl was built without libcurl", program);
	else
		rc = complain(CTL_REFUSED, "cannot start %s: %s", program, strerror(errno));
	arguments_free(argv);
	close(fd);
	free(program);
	return rc;
}
