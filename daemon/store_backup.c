/* SPDX-License-Identifier: MIT */
/* A copy of the database, made under another name, synced, and given its name at the end: a backup that is there is whole. */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store_priv.h"

static void fail(struct store_op *op, const char *what, const char *why)
{
	snprintf(op->error, sizeof(op->error), "backup to %.120s: %s: %s", op->path, what, why);
}

/* It is a new file, so that nothing that stood there is read, followed or mixed in. */
static int create(struct store_op *op, const char *name)
{
	int fd;

	unlink(name);
	fd = open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		fail(op, "can not create it", strerror(errno));
	return fd;
}

static int copy(struct store *st, struct store_op *op, const char *name)
{
	sqlite3 *to = NULL;
	sqlite3_backup *backup = NULL;
	int rc = sqlite3_open_v2(name, &to, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);

	/* it is synced once, when whole */
	if (!rc)
		rc = sqlite3_exec(to, "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF", NULL, NULL, NULL);
	if (!rc)
		backup = sqlite3_backup_init(to, "main", st->db, "main");
	if (backup)
		sqlite3_backup_step(backup, -1);
	if (!backup || sqlite3_backup_finish(backup)) {
		fail(op, "can not copy", sqlite3_errmsg(to));
		rc = -1;
	}
	sqlite3_close(to);
	return rc;
}

static int sync_parent(const char *path)
{
	char *copy_of = strdup(path);
	int fd = copy_of ? open(dirname(copy_of), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	int rc = fd < 0 ? -1 : fsync(fd);

	if (fd >= 0)
		close(fd);
	free(copy_of);
	return rc;
}

static void backup_as(struct store *st, struct store_op *op, const char *name)
{
	int fd = create(op, name);

	if (fd < 0)
		return;
	if (copy(st, op, name) == 0 && (fsync(fd) || rename(name, op->path) || sync_parent(op->path)))
		fail(op, "can not make it durable", strerror(errno));
	close(fd);
	if (op->error[0])
		unlink(name);
}

int store_backup(struct store *st, struct store_op *op)
{
	char *name;

	if (asprintf(&name, "%s.new", op->path) < 0)
		abort();
	backup_as(st, op, name);
	free(name);
	return SQLITE_OK;
}
