/* SPDX-License-Identifier: MIT */
/*
 * Is this our database, and is it whole? Asked before anything is written, so that what is not ours, newer or damaged is left
 * as it was found.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store_priv.h"
#include "store_schema.h"

#define HEADER_SIZE 100                 /* of a database file of SQLite */
#define AT_USER_VERSION 60
#define AT_APPLICATION_ID 68
#define WHOLE_CHECK_MAX (128LL << 20)   /* bytes of the database; above, only the small tables: see store_open in store.h */

static int fail(struct store_error *err, const char *path, const char *why)
{
	snprintf(err->text, sizeof(err->text), "%s: %.400s", path, why);
	return -1;
}

static uint32_t big_endian(const unsigned char *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static int check_version(const char *path, int64_t version, struct store_error *err)
{
	if (version <= store_n_steps)
		return 0;
	snprintf(err->text, sizeof(err->text), "%s: written by a newer jobd (schema %" PRId64 ", this one knows up to %d); "
		 "install that version again, or give another state directory", path, version, store_n_steps);
	return -1;
}

/* The size of PATH with a suffix; 0 if there is no such file. */
static off_t size_beside(const char *path, const char *suffix)
{
	char *name;
	struct stat sb;
	off_t size = 0;

	if (asprintf(&name, "%s%s", path, suffix) < 0)
		abort();
	if (stat(name, &sb) == 0)
		size = sb.st_size;
	free(name);
	return size;
}

static int check_empty(const char *path, enum store_file *ret, struct store_error *err)
{
	if (size_beside(path, "-wal"))
		return fail(err, path, "damaged: it is empty, but its write-ahead log is not; restore a backup of both");
	*ret = STORE_NEW;
	return 0;
}

/* The header as the file has it. With a rollback journal beside it, it may be half of the first step: SQLite undoes it, and
 * store_check_content asks again. */
static int check_header(const char *path, const unsigned char *h, struct store_error *err)
{
	if (size_beside(path, "-journal"))
		return 0;
	if (memcmp(h, "SQLite format 3", 16))
		return fail(err, path, "not a database; it is left as it is, move it away or give another state directory");
	if (big_endian(h + AT_APPLICATION_ID) != STORE_APPLICATION_ID)
		return fail(err, path, "a database of another program; it is left as it is, give another state directory");
	return check_version(path, big_endian(h + AT_USER_VERSION), err);
}

int store_check_file(const char *path, enum store_file *ret, struct store_error *err)
{
	unsigned char header[HEADER_SIZE];
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	ssize_t n;

	if (fd < 0 && errno == ENOENT)
		return check_empty(path, ret, err);
	if (fd < 0)
		return fail(err, path, strerror(errno));
	n = pread(fd, header, sizeof(header), 0);
	close(fd);
	if (n < 0)
		return fail(err, path, strerror(errno));
	if (n == 0)
		return check_empty(path, ret, err);
	if (n < HEADER_SIZE)
		return fail(err, path, "not a database; it is left as it is, move it away or give another state directory");
	if (check_header(path, header, err))
		return -1;
	*ret = STORE_THERE;
	return 0;
}

/* 0: "ok". The first complaint becomes the error. */
static int quick_check(sqlite3 *db, const char *path, const char *sql, struct store_error *err)
{
	sqlite3_stmt *stmt;
	const char *text = NULL;
	int rc = -1;

	if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) == SQLITE_OK && sqlite3_step(stmt) == SQLITE_ROW)
		text = (const char *)sqlite3_column_text(stmt, 0);
	if (text && !strcmp(text, "ok"))
		rc = 0;
	else
		snprintf(err->text, sizeof(err->text), "%s: damaged, and left as it is: %s; restore a backup, or save what can be "
			 "read with sqlite3's .recover", path, text ? text : sqlite3_errmsg(db));
	sqlite3_finalize(stmt);
	return rc;
}

static int check_pages(sqlite3 *db, const char *path, struct store_error *err)
{
	static const char *const small[] = {
		"PRAGMA quick_check('runs')", "PRAGMA quick_check('runners')", "PRAGMA quick_check('sealed')",
		"PRAGMA quick_check('settings')", "PRAGMA quick_check('counters')", "PRAGMA quick_check('dropped')",
	};
	int64_t pages = store_pragma(db, "PRAGMA page_count", err);
	int64_t size = store_pragma(db, "PRAGMA page_size", err);

	if (pages < 0 || size < 0)
		return -1;
	if (pages * size <= WHOLE_CHECK_MAX)
		return quick_check(db, path, "PRAGMA quick_check(1)", err);
	for (size_t i = 0; i < sizeof(small) / sizeof(*small); i++) {
		if (quick_check(db, path, small[i], err))
			return -1;
	}
	return 0;
}

int store_check_content(sqlite3 *db, const char *path, struct store_error *err)
{
	struct store_error cause;
	int64_t version = store_pragma(db, "PRAGMA user_version", &cause);
	int64_t id = store_pragma(db, "PRAGMA application_id", &cause);

	if (version < 0 || id < 0)
		return fail(err, path, cause.text);
	if (version == 0 && id == 0 && store_pragma(db, "PRAGMA page_count", &cause) <= 1)
		return 0;       /* its first step was undone */
	if (id != STORE_APPLICATION_ID)
		return fail(err, path, "a database of another program; it is left as it is, give another state directory");
	if (check_version(path, version, err))
		return -1;
	return check_pages(db, path, err);
}
