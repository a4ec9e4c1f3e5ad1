/* SPDX-License-Identifier: MIT */
/* A copy of a database in steps. See store_copy.h. */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "failpoint.h"
#include "store.h"
#include "store_copy.h"

struct store_copy {
	char *path, *name;              /* what it will be called, and what it is called until then */
	int fd;                         /* of the file, to sync it */
	bool there;                     /* `name` is ours to remove */
	sqlite3 *to;
	sqlite3_backup *backup;
};

static int fail(const struct store_copy *c, const char *what, const char *why, struct store_error *err)
{
	snprintf(err->text, sizeof(err->text), "backup to %.120s: %s: %.200s", c->path, what, why);
	return -1;
}

int store_sync_parent(const char *path)
{
	char *copy_of = strdup(path);
	int fd = copy_of ? open(dirname(copy_of), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	int rc = fd < 0 ? -1 : fsync(fd);

	if (fd >= 0)
		close(fd);
	free(copy_of);
	return rc;
}

/* It is a new file, so that nothing that stood there is read, followed or mixed in. */
static int create(struct store_copy *c, struct store_error *err)
{
	unlink(c->name);
	c->fd = open(c->name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (c->fd < 0)
		return fail(c, "can not create it", strerror(errno), err);
	c->there = true;
	return 0;
}

static int begin(struct store_copy *c, sqlite3 *from, struct store_error *err)
{
	int rc = sqlite3_open_v2(c->name, &c->to, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);

	/* it is synced once, when whole */
	if (!rc)
		rc = sqlite3_exec(c->to, "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF", NULL, NULL, NULL);
	if (!rc)
		c->backup = sqlite3_backup_init(c->to, "main", from, "main");
	return c->backup ? 0 : fail(c, "can not copy", sqlite3_errmsg(c->to), err);
}

struct store_copy *store_copy_begin(sqlite3 *from, const char *path, struct store_error *err)
{
	struct store_copy *c = calloc(1, sizeof(*c));

	if (!c || !(c->path = strdup(path)) || asprintf(&c->name, "%s.new", path) < 0)
		abort();
	c->fd = -1;
	if (create(c, err) == 0 && begin(c, from, err) == 0)
		return c;
	store_copy_free(c);
	return NULL;
}

/* The last pages leave SQLite's cache when it closes the file. */
static int finish(struct store_copy *c, struct store_error *err)
{
	int rc = sqlite3_backup_finish(c->backup);

	c->backup = NULL;
	if (rc)
		return fail(c, "can not copy", sqlite3_errstr(rc), err);
	if (sqlite3_close(c->to))
		return fail(c, "can not copy", sqlite3_errmsg(c->to), err);
	c->to = NULL;
	if (FAILS("before_backup_rename") || fsync(c->fd) || rename(c->name, c->path))
		return fail(c, "can not make it durable", strerror(errno), err);
	c->there = false;
	FAILPOINT("after_backup_rename");
	if (store_sync_parent(c->path))
		return fail(c, "can not make it durable", strerror(errno), err);
	return STORE_COPY_DONE;
}

int store_copy_step(struct store_copy *c, int n_pages, struct store_error *err)
{
	int rc = FAILS("before_backup_copy") ? SQLITE_IOERR : sqlite3_backup_step(c->backup, n_pages);

	FAILPOINT("after_backup_copy");
	if (rc == SQLITE_DONE)
		return finish(c, err);
	if (rc != SQLITE_OK)
		return fail(c, "can not copy", sqlite3_errstr(rc), err);
	/* on its way to the disk already, so that the sync at the end has little left to wait for */
	sync_file_range(c->fd, 0, 0, SYNC_FILE_RANGE_WRITE);
	return STORE_COPY_MORE;
}

void store_copy_free(struct store_copy *c)
{
	if (!c)
		return;
	sqlite3_backup_finish(c->backup);
	sqlite3_close(c->to);
	if (c->fd >= 0)
		close(c->fd);
	if (c->there)
		unlink(c->name);
	free(c->name);
	free(c->path);
	free(c);
}

int store_copy_now(sqlite3 *from, const char *path, struct store_error *err)
{
	struct store_copy *c = store_copy_begin(from, path, err);
	int rc = c ? store_copy_step(c, -1, err) : -1;

	store_copy_free(c);
	return rc == STORE_COPY_DONE ? 0 : -1;
}
