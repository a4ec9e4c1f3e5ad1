/* SPDX-License-Identifier: MIT */
/*
 * A backup takes the place of the database.
 *
 *   FILE -copy-> jobd.db.new -checked, prepared, synced-> jobd.db.restored -> jobd.db
 *                                jobd.db, jobd.db-wal -link-> backups/replaced-N.db, -wal       (before: both names of the old one)
 *
 * The name jobd.db.restored is the point of no return: up to there the old database is untouched, from there the next store_open ends
 * what was begun (store_finish_restore). At no instant does a log stand beside a database that it does not belong to and is opened.
 *
 * What is prepared in the copy: numbers of runs and events go on behind those that were given out since the backup was made; what had
 * not ended is paused, for nobody knows what of it has run since then.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"
#include "store_copy.h"
#include "store_priv.h"
#include "store_schema.h"

#define UNKNOWN_RUNS 10000              /* the old database can not be read: so many runs may have been given out */
#define UNKNOWN_EVENTS 100000000

struct restore {
	const char *dir, *file;
	char *db, *new, *restored;      /* DIR/jobd.db, ... */
	char *folder;                   /* DIR/backups */
	struct store_error *err;
};

static int fail(struct restore *r, const char *path, const char *why)
{
	snprintf(r->err->text, sizeof(r->err->text), "%.200s: %.300s", path, why);
	return -1;
}

static char *name_of(const char *a, const char *b)
{
	char *ret;

	if (asprintf(&ret, "%s%s", a, b) < 0)
		abort();
	return ret;
}

static bool is_there(const char *a, const char *suffix)
{
	char *name = name_of(a, suffix);
	struct stat st;
	bool there = lstat(name, &st) == 0 && st.st_size > 0;

	free(name);
	return there;
}

/* ---- the copy ----------------------------------------------------------------------------------------------------------- */

static int copy_bytes(struct restore *r, int from, int to)
{
	ssize_t n;

	do
		n = sendfile(to, from, NULL, 1 << 24);
	while (n > 0);
	return n < 0 ? fail(r, r->new, strerror(errno)) : 0;
}

/* A log that an earlier try has left would be taken for one of the next copy. */
static void remove_new(struct restore *r)
{
	char *wal = name_of(r->new, "-wal"), *journal = name_of(r->new, "-journal");

	unlink(wal);
	unlink(journal);
	unlink(r->new);
	free(wal);
	free(journal);
}

static int copy(struct restore *r)
{
	int from, to, rc;

	if (is_there(r->file, "-wal") || is_there(r->file, "-journal"))
		return fail(r, r->file, "not a backup: a log stands beside it, so it is, or was, in use; open it once with sqlite3 and `VACUUM INTO` a copy");
	from = open(r->file, O_RDONLY | O_CLOEXEC);
	if (from < 0)
		return fail(r, r->file, strerror(errno));
	remove_new(r);
	to = open(r->new, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	rc = to < 0 ? fail(r, r->new, strerror(errno)) : copy_bytes(r, from, to);
	if (to >= 0)
		close(to);
	close(from);
	return rc;
}

static int check(struct restore *r)
{
	enum store_file file;
	struct store_error cause;

	if (store_check_file(r->file, &file, &cause))
		return fail(r, "not restored", cause.text);
	return file == STORE_THERE ? 0 : fail(r, r->file, "not a backup: there is nothing in it");
}

static sqlite3 *open_alone(const char *path)
{
	sqlite3 *db = NULL;

	if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOFOLLOW, NULL) == SQLITE_OK &&
	    sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL) == SQLITE_OK &&
	    sqlite3_exec(db, "PRAGMA locking_mode = EXCLUSIVE", NULL, NULL, NULL) == SQLITE_OK)
		return db;
	sqlite3_close(db);
	return NULL;
}

/* ---- numbers that were given out ---------------------------------------------------------------------------------------- */

struct heads { int64_t run, seq; };

static int read_heads(sqlite3 *db, struct heads *ret)
{
	struct store_error err;
	int64_t run = store_pragma(db, "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'runs'), 0)", &err);
	int64_t seq = store_pragma(db, "SELECT max(coalesce((SELECT max(seq) FROM events), 0),"
				   " coalesce((SELECT value FROM counters WHERE name = 'last_seq'), 0))", &err);

	if (run < 0 || seq < 0)
		return -1;
	*ret = (struct heads){ run, seq };
	return 0;
}

/* The highest number that has a folder of outputs. */
static int64_t last_output(const char *dir)
{
	char *name = name_of(dir, "/out");
	DIR *d = opendir(name);
	struct dirent *entry;
	int64_t last = 0;

	while (d && (entry = readdir(d))) {
		int64_t n = strtoll(entry->d_name, NULL, 10);

		last = n > last && n < UINT32_MAX ? n : last;
	}
	if (d)
		closedir(d);
	free(name);
	return last;
}

/* Of the database that goes; of one that can not be read a guess that is high enough. */
static struct heads heads_given_out(struct restore *r, const struct heads *backup)
{
	struct heads ret = { backup->run + UNKNOWN_RUNS, backup->seq + UNKNOWN_EVENTS };
	sqlite3 *db = is_there(r->db, "") ? open_alone(r->db) : NULL;
	int64_t last = last_output(r->dir);
	struct store_error err;

	if (!db || store_check_wal(r->db, &err) || read_heads(db, &ret))
		log_warn("%s can not be read; numbers of runs go on at %" PRId64, r->db, (ret.run > last ? ret.run : last) + 1);
	sqlite3_close(db);
	ret.run = ret.run > backup->run ? ret.run : backup->run;
	ret.run = ret.run > last ? ret.run : last;
	return ret;
}

/* ---- the copy is made ready ---------------------------------------------------------------------------------------------- */

static int run(sqlite3 *db, const char *sql, int64_t value)
{
	sqlite3_stmt *stmt = NULL;
	int rc = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL);

	if (!rc)
		rc = sqlite3_bind_int64(stmt, 1, value);
	if (!rc)
		sqlite3_step(stmt);
	return sqlite3_finalize(stmt) || rc ? -1 : 0;
}

static int set_heads(sqlite3 *db, const struct heads *heads)
{
	if (sqlite3_exec(db, "DELETE FROM sqlite_sequence WHERE name = 'runs'", NULL, NULL, NULL))
		return -1;
	if (run(db, "INSERT INTO sqlite_sequence (name, seq) VALUES ('runs', ?1)", heads->run))
		return -1;
	return run(db, "REPLACE INTO counters (name, value) VALUES ('last_seq', ?1)", heads->seq);
}

static int pause_all(sqlite3 *db)
{
	return run(db, "UPDATE runs SET paused = 1 WHERE state < ?1", RUN_OK);
}

static int check_whole(struct restore *r, sqlite3 *db)
{
	struct store_error cause;

	if (store_check_content(db, r->file, &cause))
		return fail(r, "not restored", cause.text);
	if (store_pragma(db, "SELECT count(*) FROM pragma_integrity_check(1) WHERE integrity_check = 'ok'", &cause) != 1)
		return fail(r, r->file, "damaged: `sqlite3 FILE 'PRAGMA integrity_check'` says more; nothing is restored");
	return 0;
}

/* Once it is known to be whole. It is a copy: no half transaction matters, and no log is to stand beside it. */
static int change(struct restore *r, sqlite3 *db, struct store_restored *ret)
{
	struct store_error cause;
	struct heads heads;

	if (sqlite3_exec(db, "PRAGMA journal_mode = MEMORY", NULL, NULL, NULL) || read_heads(db, &heads))
		return fail(r, r->new, sqlite3_errmsg(db));
	heads = heads_given_out(r, &heads);
	if (set_heads(db, &heads) || pause_all(db))
		return fail(r, r->new, sqlite3_errmsg(db));
	ret->runs = store_pragma(db, "SELECT count(*) FROM runs", &cause);
	ret->paused = sqlite3_changes(db);
	return 0;
}

static int prepare(struct restore *r, struct store_restored *ret)
{
	sqlite3 *db = open_alone(r->new);
	int rc;

	if (!db)
		return fail(r, r->file, "can not be opened");
	rc = check_whole(r, db);
	if (!rc)
		rc = change(r, db, ret);
	sqlite3_close(db);
	return rc;
}

static int sync_file(struct restore *r)
{
	int fd = open(r->new, O_RDONLY | O_CLOEXEC);
	int rc = fd < 0 || fsync(fd) ? fail(r, r->new, strerror(errno)) : 0;

	if (fd >= 0)
		close(fd);
	return rc;
}

/* ---- the old one is kept -------------------------------------------------------------------------------------------------- */

static int link_if_there(struct restore *r, const char *suffix, const char *kept)
{
	char *from = name_of(r->db, suffix), *to = name_of(kept, suffix);
	int rc = link(from, to) == 0 || errno == ENOENT ? 0 : fail(r, to, strerror(errno));

	free(from);
	free(to);
	return rc;
}

static char *free_name(struct restore *r)
{
	struct stat st;
	char *name;

	for (unsigned n = 1;; n++) {
		if (asprintf(&name, "%s/replaced-%u.db", r->folder, n) < 0)
			abort();
		if (lstat(name, &st) < 0)
			return name;
		free(name);
	}
}

static int keep_old(struct restore *r, struct store_restored *ret)
{
	char *kept;
	int rc;

	if (!is_there(r->db, "") && !is_there(r->db, "-wal"))
		return 0;
	if (mkdir(r->folder, 0700) < 0 && errno != EEXIST)
		return fail(r, r->folder, strerror(errno));
	kept = free_name(r);
	rc = link_if_there(r, "-wal", kept);
	if (!rc)
		rc = link_if_there(r, "", kept);
	if (!rc && (store_sync_parent(kept) || store_sync_parent(r->folder)))
		rc = fail(r, r->folder, strerror(errno));
	ret->kept = kept;
	return rc;
}

/* ---- all of it ------------------------------------------------------------------------------------------------------------ */

int store_finish_restore(const char *dir, struct store_error *err)
{
	char *db = name_of(dir, "/jobd.db"), *restored = name_of(db, ".restored"), *wal = name_of(db, "-wal"), *journal = name_of(db, "-journal");
	struct stat st;
	int rc = 0;

	if (lstat(restored, &st) == 0) {
		unlink(wal);
		unlink(journal);
		if (store_sync_parent(db) || rename(restored, db) || store_sync_parent(db)) {
			snprintf(err->text, sizeof(err->text), "%.300s: can not take its place: %s", restored, strerror(errno));
			rc = -1;
		}
	}
	free(db);
	free(restored);
	free(wal);
	free(journal);
	return rc;
}

static int restore(struct restore *r, struct store_restored *ret)
{
	if (store_finish_restore(r->dir, r->err))
		return -1;
	if (check(r) || copy(r) || prepare(r, ret) || sync_file(r) || keep_old(r, ret))
		return -1;
	if (rename(r->new, r->restored) || store_sync_parent(r->restored))
		return fail(r, r->restored, strerror(errno));
	return store_finish_restore(r->dir, r->err);
}

int store_restore(const char *dir, const char *file, struct store_restored *ret, struct store_error *err)
{
	struct restore r = { .dir = dir, .file = file, .db = name_of(dir, "/jobd.db"), .folder = name_of(dir, "/backups"), .err = err };
	int rc;

	*ret = (struct store_restored){ 0 };
	r.new = name_of(r.db, ".new");
	r.restored = name_of(r.db, ".restored");
	rc = restore(&r, ret);
	if (rc) {
		remove_new(&r);
		free(ret->kept);
		ret->kept = NULL;
	}
	free(r.db);
	free(r.new);
	free(r.restored);
	free(r.folder);
	return rc;
}
