/* SPDX-License-Identifier: MIT */
/* Opening and closing the database. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "failpoint.h"
#include "log.h"
#include "store_copy.h"
#include "store_priv.h"
#include "store_schema.h"

static int fail(struct store *st, const char *what, struct store_error *err)
{
	int rc = st->db ? sqlite3_errcode(st->db) : SQLITE_OK;

	if (rc == SQLITE_BUSY)
		snprintf(err->text, sizeof(err->text), "%s: in use by another program", st->path);
	else
		snprintf(err->text, sizeof(err->text), "%s: %s: %s", st->path, what, st->db ? sqlite3_errmsg(st->db) : strerror(errno));
	return -1;
}

/* Makes the entry of a new file durable. */
static int sync_dir(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc = fd < 0 ? -1 : fsync(fd);

	if (fd >= 0)
		close(fd);
	return rc;
}

/* An empty file of the right mode: SQLite gives the files beside it the same one. */
static int create(struct store *st, const char *dir, struct store_error *err)
{
	int fd = open(st->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return fail(st, "can not create it", err);
	close(fd);
	return sync_dir(dir) ? fail(st, "can not make it durable", err) : 0;
}

static int configure(sqlite3 *db)
{
	static const int set[][2] = {
		{ SQLITE_DBCONFIG_DEFENSIVE, 1 },
		{ SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0 },
		{ SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0 },
		{ SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1 },        /* until it is known to be ours and whole */
	};

	for (size_t i = 0; i < sizeof(set) / sizeof(*set); i++) {
		int rc = sqlite3_db_config(db, set[i][0], set[i][1], NULL);

		if (rc)
			return rc;
	}
	return sqlite3_exec(db,
		"PRAGMA locking_mode = EXCLUSIVE;"      /* before WAL: then there is no shared memory, and one connection only */
		"PRAGMA mmap_size = 0;"
		"PRAGMA cache_size = -16000;"
		"PRAGMA temp_store = MEMORY;"
		"PRAGMA secure_delete = ON;"
		"PRAGMA auto_vacuum = NONE;"
		"PRAGMA synchronous = FULL;", NULL, NULL, NULL);
}

static int open_db(struct store *st, struct store_error *err)
{
	/* no counters of memory: they cost a mutex an allocation. Refused, without harm, once SQLite is in use. */
	sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
	if (sqlite3_open_v2(st->path, &st->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW |
			    SQLITE_OPEN_EXRESCODE, NULL) || configure(st->db))
		return fail(st, "can not open it", err);
	return 0;
}

/* The journal mode is what it was where a WAL can not be had: that is no error to SQLite. */
static bool use_wal(sqlite3 *db)
{
	sqlite3_stmt *stmt;
	const char *mode = NULL;
	bool ok;

	if (sqlite3_prepare_v2(db, "PRAGMA journal_mode = WAL", -1, &stmt, NULL) == SQLITE_OK && sqlite3_step(stmt) == SQLITE_ROW)
		mode = (const char *)sqlite3_column_text(stmt, 0);
	ok = mode && !strcmp(mode, "wal");
	sqlite3_finalize(stmt);
	return ok && sqlite3_exec(db, "PRAGMA wal_autocheckpoint = 0; PRAGMA journal_size_limit = 67108864", NULL, NULL, NULL) == SQLITE_OK;
}

/* What the last life left in the WAL moves to the database: store_wal.c wants to find one life in it. */
static int new_log(struct store *st)
{
	int rc = FAILS("before_new_log") ? SQLITE_IOERR : sqlite3_wal_checkpoint_v2(st->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);

	FAILPOINT("after_new_log");
	return rc;
}

static int fail_for(struct store *st, const struct store_error *cause, struct store_error *err)
{
	snprintf(err->text, sizeof(err->text), "%s: %.400s", st->path, cause->text);
	return -1;
}

static int keep_older(struct store *st, const char *dir, int64_t version, struct store_error *err)
{
	char *folder, *name;
	int rc;

	if (asprintf(&folder, "%s/backups", dir) < 0 || asprintf(&name, "%s/schema-%d.db", folder, (int)version) < 0)
		abort();
	mkdir(folder, 0700);    /* a failure is that of the copy */
	rc = store_copy_now(st->db, name, err);
	if (rc == 0)
		rc = store_sync_parent(folder) ? fail(st, "can not make its backup durable", err) : 0;
	free(name);
	free(folder);
	return rc;
}

/*
 * A file that is new gets its tables before it gets a WAL: so the file alone always says whose it is. An older one is copied first, and
 * has an empty WAL before it is changed: a migration that is cut short must not write over the last life's frames.
 */
static int migrate(struct store *st, const char *dir, struct store_error *err)
{
	struct store_error cause;
	int64_t version = store_pragma(st->db, "PRAGMA user_version", &cause);

	if (version < 0)
		return fail_for(st, &cause, err);
	if (version == store_n_steps)
		return 0;
	if (version > 0 && store_schema_rehearse(st->db, store_steps, (int)version, store_n_steps, &cause))
		return fail_for(st, &cause, err);
	if (version > 0 && (!use_wal(st->db) || new_log(st)))
		return fail(st, "can not be made ready for its migration", err);
	if (version > 0 && keep_older(st, dir, version, &cause))
		return fail_for(st, &cause, err);
	if (store_schema_migrate(st->db, store_steps, store_n_steps, &cause))
		return fail_for(st, &cause, err);
	if (version > 0)
		log_info("%s: schema %d became %d; as it was, it is kept in %s/backups", st->path, (int)version, store_n_steps, dir);
	return 0;
}

/* Fails where the text of a table is damaged in a way that is still well-formed. */
static int prepare_all(struct store *st, struct store_error *err)
{
	for (int i = 0; i < SQL_N; i++) {
		if (sqlite3_prepare_v3(st->db, store_sql[i], -1, SQLITE_PREPARE_PERSISTENT, &st->stmts[i], NULL))
			return fail(st, "damaged, and left as it is: its tables are not those of its version", err);
	}
	return 0;
}

/* Everything is looked at before the log is emptied: what is refused keeps its bytes. */
static int make_ready(struct store *st, const char *dir, struct store_error *err)
{
	struct store_error cause;
	int rc;

	if (migrate(st, dir, err) || prepare_all(st, err))
		return -1;
	if (!use_wal(st->db))
		return fail(st, "can not use a write-ahead log", err);
	rc = new_log(st);
	if (rc && !store_is_full(st, rc))       /* for lack of space the last life's frames may stay */
		return fail(st, "can not begin a new write-ahead log", err);
	if (store_pragma(st->db, "PRAGMA synchronous", &cause) != 2)
		return fail(st, "synchronous is not FULL: commits would not be durable", err);
	if (MUTANT("synchronous_normal"))
		sqlite3_exec(st->db, "PRAGMA synchronous = NORMAL", NULL, NULL, NULL);
	st->page_size = (int)store_pragma(st->db, "PRAGMA page_size", &cause);
	return 0;
}

/* How far the WAL has grown, told after each commit. */
static int count_wal(void *arg, sqlite3 *db, const char *name, int pages)
{
	struct store *st = arg;

	(void)db;
	(void)name;
	st->wal_pages = pages;
	return SQLITE_OK;
}

/* A FIFO would be waited for when it is opened; nothing but files belongs here. */
static int check_kind(const struct store *st, const char *ending, struct store_error *err)
{
	char path[PATH_MAX];
	struct stat sb;

	if ((size_t)snprintf(path, sizeof(path), "%s%s", st->path, ending) >= sizeof(path) || lstat(path, &sb) < 0 || S_ISREG(sb.st_mode))
		return 0;
	snprintf(err->text, sizeof(err->text), "%.400s: is not a regular file; move it out of the way", path);
	return -1;
}

static int open_checked(struct store *st, const char *dir, struct store_error *err)
{
	enum store_file file;

	if (check_kind(st, "", err) || check_kind(st, "-wal", err) || check_kind(st, "-journal", err))
		return -1;
	if (store_finish_restore(dir, err) || store_check_file(st->path, &file, err) || store_check_wal(st->path, err))
		return -1;
	if (file == STORE_NEW && create(st, dir, err))
		return -1;
	if (open_db(st, err) || store_check_content(st->db, st->path, err) || make_ready(st, dir, err))
		return -1;
	if (sqlite3_db_config(st->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL))
		return fail(st, "can not be configured", err);
	sqlite3_wal_hook(st->db, count_wal, st);
	st->drops = true;       /* perhaps; the first slice finds out */
	store_ballast_open(st);
	return 0;
}

static struct store *new_store(const char *dir)
{
	struct store *st = calloc(1, sizeof(*st));

	if (!st || asprintf(&st->path, "%s/jobd.db", dir) < 0 ||
	    asprintf(&st->ballast_path, "%s/ballast", dir) < 0 ||
	    asprintf(&st->full_text, "disk full: nothing is submitted or started until there is room in %s; what runs goes on", dir) < 0)
		abort();
	st->in = mailbox_new(0);
	st->out = mailbox_new(0);
	if (!st->in || !st->out)
		log_die("the store's mailboxes can not be made: %s", strerror(errno));
	st->queue.end = &st->queue.head;
	return st;
}

struct store *store_open(const char *dir, struct store_error *err)
{
	struct store *st = new_store(dir);

	if (open_checked(st, dir, err) == 0)
		return st;
	store_close(st);
	return NULL;
}

/* What was posted to a store that was never started. */
static void free_mail(struct mailbox *in)
{
	struct mail *next;

	for (struct mail *m = mailbox_take(in); m; m = next) {
		next = m->next;
		store_op_free((struct store_op *)(void *)((char *)m - offsetof(struct store_op, mail)));
	}
}

void store_close(struct store *st)
{
	if (!st)
		return;
	for (int i = 0; i < SQL_N; i++)
		sqlite3_finalize(st->stmts[i]);
	sqlite3_close(st->db);
	free_mail(st->in);
	mailbox_free(st->in);
	mailbox_free(st->out);
	free(st->full_text);
	free(st->ballast_path);
	free(st->path);
	free(st);
}
