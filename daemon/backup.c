/* SPDX-License-Identifier: MIT */
/*
 * Backup - copies of the database, STATE/backups/backup-N.db; the newest `retain_backups` are kept. N counts up, so that no clock
 * decides which is the newest. The copy itself is the store's (store_copy.h): a file of that name is whole.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"
#include "rpc.h"

struct backup {
	struct call *call;              /* NULL: the client has gone; the backup is made all the same */
	unsigned n;
};

static void name_of(char buf[32], unsigned n)
{
	snprintf(buf, 32, "backup-%u.db", n);
}

static int folder_open(struct engine *e)
{
	if (mkdirat(e->state_fd, "backups", 0700) < 0 && errno != EEXIST)
		return -1;
	return openat(e->state_fd, "backups", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* 0: not the name of a backup. */
static unsigned number_of(const char *name)
{
	char again[32];
	unsigned n = 0;

	if (sscanf(name, "backup-%u.db", &n) != 1)
		return 0;
	name_of(again, n);
	return strcmp(again, name) == 0 ? n : 0;
}

/* fn for each backup there is; the highest number. */
static unsigned each(int folder, void (*fn)(int folder, unsigned n, unsigned upto), unsigned upto)
{
	int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	unsigned last = 0;

	while (dir && (entry = readdir(dir))) {
		unsigned n = number_of(entry->d_name);

		last = n > last ? n : last;
		if (n && fn)
			fn(folder, n, upto);
	}
	if (dir)
		closedir(dir);
	return last;
}

static void remove_if_old(int folder, unsigned n, unsigned upto)
{
	char name[32];

	name_of(name, n);
	if (n <= upto && unlinkat(folder, name, 0) < 0)
		log_warn("backups/%s cannot be removed: %s", name, strerror(errno));
}

/* The size of the new one; those that are too many go. */
static int64_t keep_newest(struct engine *e, unsigned n)
{
	int folder = folder_open(e);
	struct stat st = { 0 };
	char name[32];

	if (folder < 0)
		return 0;
	name_of(name, n);
	fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW);
	if (n > e->conf.retain_backups)
		each(folder, remove_if_old, n - e->conf.retain_backups);
	close(folder);
	return st.st_size;
}

static void reply_failed(struct call *call, const char *text)
{
	struct req_error err = { 0 };

	req_fail(&err, "org.jobd.Failed", "%s", text);
	call_fail(call, &err);
}

static void reply_made(struct backup *b, const char *path, int64_t bytes)
{
	if (!b->call)
		return;
	call_on_abort(b->call, NULL, NULL);
	call_reply(b->call, json_pack("{s:s, s:I}", "path", path, "bytes", (json_int_t)bytes));
}

static void made(struct store_op *op)
{
	struct engine *e = op->ctx;
	struct backup *b = op->arg;

	e->backing_up = false;
	if (*op->error) {
		log_error("%s", op->error);
		if (b->call)
			reply_failed(b->call, op->error);
	} else {
		log_info("backup: %s", op->path);
		reply_made(b, op->path, keep_newest(e, b->n));
	}
	free(b);
}

static void client_gone(void *arg, struct call *call)
{
	(void)call;
	((struct backup *)arg)->call = NULL;
}

static void begin(struct engine *e, struct call *call, unsigned n)
{
	struct store_op *op = engine_op(e, ST_BACKUP, NULL);
	struct backup *b = xcalloc(1, sizeof(*b));
	char name[32];

	name_of(name, n);
	if (asprintf(&op->path, "%s/backups/%s", e->state_dir, name) < 0)
		abort();
	*b = (struct backup){ call, n };
	call_on_abort(call, client_gone, b);
	op->urgent = true;
	op->done = made;
	op->arg = b;
	e->backing_up = true;
	engine_post(e, op);
}

static bool may_back_up(struct engine *e, struct call *call)
{
	const struct server_peer *peer = session_peer(call_session(call));
	struct req_error err = { 0 };

	if (peer->uid != 0 && peer->uid != geteuid())
		req_fail(&err, "org.jobd.NotAllowed", "only root and jobd's own user may make a backup");
	else if (e->backing_up)
		req_fail(&err, "org.jobd.Busy", "a backup is being made: try again when it is there");
	else
		return true;
	call_fail(call, &err);
	return false;
}

void rpc_backup(void *ctx, struct call *call, const json_t *params)
{
	static const struct field none[] = { FIELD_END };
	struct engine *e = ctx;
	char nothing, why[128];
	int folder;

	if (!rpc_read(call, params, none, &nothing) || !may_back_up(e, call))
		return;
	folder = folder_open(e);
	if (folder < 0) {
		snprintf(why, sizeof(why), "the folder of backups cannot be opened: %s", strerror(errno));
		reply_failed(call, why);
		return;
	}
	begin(e, call, each(folder, NULL, 0) + 1);
	close(folder);
}
