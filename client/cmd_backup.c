/* SPDX-License-Identifier: MIT */
/* backup: the daemon copies its database; to FILE it is copied from there, under a temporary name until it is whole. */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "call.h"
#include "conn.h"
#include "render.h"
#include "status.h"
#include "talk.h"
#include "verbs.h"

/* 0, or -1 with errno. */
static int copy_bytes(int from, int to)
{
	ssize_t n;

	do
		n = sendfile(to, from, NULL, 1 << 24);
	while (n > 0);
	return n < 0 || fsync(to) < 0 ? -1 : 0;
}

static int sync_folder_of(const char *path)
{
	char *copy = strdup(path);
	int fd = copy ? open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	int rc = fd < 0 ? -1 : fsync(fd);

	if (fd >= 0)
		close(fd);
	free(copy);
	return rc;
}

/* What stands at `path` is replaced by a whole one, or not at all. */
static int put_at(int from, const char *path)
{
	char *name;
	int to, rc = -1;

	if (asprintf(&name, "%s.new", path) < 0)
		abort();
	unlink(name);
	to = open(name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (to >= 0) {
		rc = copy_bytes(from, to) == 0 && rename(name, path) == 0 ? sync_folder_of(path) : -1;
		close(to);
	}
	if (rc < 0) {
		rc = complain(CTL_REFUSED, "%s: %s", path, strerror(errno));
		unlink(name);
	}
	free(name);
	return rc;
}

static int copy_to(const char *made, const char *path)
{
	int from = open(made, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	int rc;

	if (from < 0)
		return complain(CTL_REFUSED, "the backup is made, and can not be read from here: %s: %s; fetch it from the daemon's machine", made,
				strerror(errno));
	rc = put_at(from, path);
	close(from);
	return rc;
}

int cmd_backup(const struct options *o)
{
	struct vl_conn *conn;
	json_t *reply = NULL;
	const char *path;
	int rc = conn_open(o, CONN_ONLY_IF_RUNNING, &conn);

	if (rc)
		return rc;
	rc = call(conn, "Backup", json_object(), &reply);
	path = reply_text(reply, "path");
	if (rc == 0 && path && o->n_args)
		rc = copy_to(path, o->args[0]);
	if (rc == 0 && path) {
		render_text(stdout, o->n_args ? o->args[0] : path);
		putchar('\n');
	}
	json_decref(reply);
	vl_close(conn);
	return rc;
}
