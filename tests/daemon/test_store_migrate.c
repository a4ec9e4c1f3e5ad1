/* SPDX-License-Identifier: MIT */
/*
 * The database of each released schema becomes today's, whole, also when jobd is killed at any write on the way; and as it was, it
 * is kept in the folder of backups.
 */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/log.h"
#include "daemon/store_schema.h"
#include "store_kit.h"
#include "../play.h"

#define WRITES_MAX 2000         /* more than a migration makes */

/* ---- a database of version `from`, as a jobd of that time left it ------------------------------------------------------ */

static char *golden_text(int from)
{
	const char *source = getenv("JOBD_SRCDIR");
	char path[PATH_MAX];
	char *text = NULL;
	size_t cap = 0;
	FILE *f;

	snprintf(path, sizeof(path), "%s/tests/daemon/data/schema_%d.sql", source ? source : ".", from);
	f = fopen(path, "r");
	ck_assert_msg(f != NULL, "%s can not be read", path);
	ck_assert_int_gt(getdelim(&text, &cap, '\0', f), 0);
	fclose(f);
	return text;
}

static void exec(const char *path, const char *sql)
{
	sqlite3 *db;
	char *why = NULL;

	ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
	ck_assert_msg(sqlite3_exec(db, sql, NULL, NULL, &why) == SQLITE_OK, "%s", why);
	sqlite3_close(db);
}

static void make_golden(const char *path, int from)
{
	char *text = golden_text(from);

	unlink(path);
	exec(path, text);
	exec(path, "PRAGMA journal_mode = WAL");
	free(text);
}

/* ---- dying at the n-th write ------------------------------------------------------------------------------------------- */

static int writes_left;

static ssize_t deadly_pwrite(int fd, const void *p, size_t n, off_t at)
{
	if (--writes_left > 0)
		return pwrite(fd, p, n, at);
	if (n / 2 && pwrite(fd, p, n / 2, at) < 0)
		abort();
	raise(SIGKILL);
	return -1;
}

static int deadly_ftruncate(int fd, off_t size)
{
	if (--writes_left <= 0)
		raise(SIGKILL);
	return ftruncate(fd, size);
}

static void die_at_write(int n)
{
	sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);

	writes_left = n;
	ck_assert_int_eq(vfs->xSetSystemCall(vfs, "pwrite", (sqlite3_syscall_ptr)deadly_pwrite), SQLITE_OK);
	vfs->xSetSystemCall(vfs, "pwrite64", (sqlite3_syscall_ptr)deadly_pwrite);
	ck_assert_int_eq(vfs->xSetSystemCall(vfs, "ftruncate", (sqlite3_syscall_ptr)deadly_ftruncate), SQLITE_OK);
}

/* Whether the start was over before its n-th write. */
static bool start_until_write(int n)
{
	struct store_error err;
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		struct store *st;

		die_at_write(n);
		st = store_open(kit_dir, &err);
		if (!st)
			fprintf(stderr, "%s\n", err.text);
		_exit(st ? EXIT_SUCCESS : EXIT_FAILURE);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	if (WIFSIGNALED(status))
		return false;
	ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS);
	return true;
}

/* ---- the judge --------------------------------------------------------------------------------------------------------- */

static int64_t ask(sqlite3 *db, const char *sql)
{
	sqlite3_stmt *stmt;
	int64_t ret;

	ck_assert_msg(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) == SQLITE_OK, "%s: %s", sql, sqlite3_errmsg(db));
	ck_assert_int_eq(sqlite3_step(stmt), SQLITE_ROW);
	ret = sqlite3_column_int64(stmt, 0);
	sqlite3_finalize(stmt);
	return ret;
}

/* The rows of a table are those of the same table in the database that is attached as `other`, in the columns that both have. */
static void assert_same_rows(sqlite3 *db, const char *table, const char *columns)
{
	char *sql = sqlite3_mprintf("SELECT count(*) FROM (SELECT %s FROM main.%s EXCEPT SELECT %s FROM other.%s)", columns, table, columns, table);

	ck_assert_msg(ask(db, sql) == 0, "%s has rows that were not there", table);
	sqlite3_free(sql);
	sql = sqlite3_mprintf("SELECT (SELECT count(*) FROM main.%s) - (SELECT count(*) FROM other.%s)", table, table);
	ck_assert_msg(ask(db, sql) == 0, "%s has more or fewer rows", table);
	sqlite3_free(sql);
}

static void assert_same(const char *path, const char *golden, int version)
{
	char *attach = sqlite3_mprintf("ATTACH %Q AS other", golden);
	sqlite3 *db;

	ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
	ck_assert_int_eq(sqlite3_exec(db, attach, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_free(attach);
	ck_assert_int_eq(ask(db, "PRAGMA main.user_version"), version);
	ck_assert_int_eq(ask(db, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check <> 'ok'"), 0);
	assert_same_rows(db, "runs", "run, name, key, hash, uid, gid, options, state, stream, sealed, stopped, paused, n_jobs, counts, first_seq, last_seq");
	assert_same_rows(db, "jobs", "*");
	assert_same_rows(db, "states", "id, state, reason, cause, attempts, n_failed, n_lost, runner, started_at, ended_at, exit_code, signal");
	assert_same_rows(db, "attempts", "id, attempt, reason, exit_code, signal, pid, out_bytes, err_bytes, message, out, err");
	assert_same_rows(db, "events", "*");
	assert_same_rows(db, "sealed", "*");
	assert_same_rows(db, "runners", "*");
	assert_same_rows(db, "check_view", "key, id, state, exit_code, attempts");
	assert_same_rows(db, "sqlite_sequence", "name, seq");
	sqlite3_close(db);
}

static bool is_temporary(const char *name)
{
	size_t n = strlen(name);

	return n > 4 && strcmp(name + n - 4, ".new") == 0;
}

/* Nothing half is left under a name that says it is whole. */
static void assert_kept(const char *golden, int from)
{
	char folder[PATH_MAX], kept[PATH_MAX + 32];
	struct dirent *d;
	DIR *dir;

	snprintf(folder, sizeof(folder), "%.4000s/backups", kit_dir);
	dir = opendir(folder);
	ck_assert_ptr_nonnull(dir);
	while ((d = readdir(dir)) != NULL)
		ck_assert_msg(!is_temporary(d->d_name), "%s is left", d->d_name);
	closedir(dir);
	snprintf(kept, sizeof(kept), "%s/schema-%d.db", folder, from);
	assert_same(kept, golden, from);
}

static void remove_all(void)
{
	char wal[PATH_MAX + 8];

	snprintf(wal, sizeof(wal), "%s-wal", kit_db);
	unlink(kit_db);
	unlink(wal);
}

/* ---- tests ------------------------------------------------------------------------------------------------------------- */

START_TEST(each_released_schema_becomes_todays)
{
	char golden[PATH_MAX + 16];

	snprintf(golden, sizeof(golden), "%s/golden.db", kit_dir);
	for (int from = 1; from < store_n_steps; from++) {
		remove_all();
		make_golden(kit_db, from);
		make_golden(golden, from);
		kit_open();
		kit_close();
		assert_same(kit_db, golden, store_n_steps);
		assert_kept(golden, from);
	}
}
END_TEST

START_TEST(a_migration_is_killed_at_every_write)
{
	char golden[PATH_MAX + 16];
	bool over = false;
	int n;

	snprintf(golden, sizeof(golden), "%s/golden.db", kit_dir);
	make_golden(golden, 1);
	for (n = 1; !over; n++) {
		ck_assert_int_lt(n, WRITES_MAX);
		remove_all();
		make_golden(kit_db, 1);
		over = start_until_write(n);
		kit_open();
		kit_close();
		assert_same(kit_db, golden, store_n_steps);
		assert_kept(golden, 1);
	}
	ck_assert_int_gt(n, 10);
}
END_TEST

/* Killed once, and again on the way out of it. */
START_TEST(the_start_after_a_killed_migration_is_killed_too)
{
	char golden[PATH_MAX + 16];

	snprintf(golden, sizeof(golden), "%s/golden.db", kit_dir);
	make_golden(golden, 1);
	for (int first = 1; first < 60; first += 7) {
		remove_all();
		make_golden(kit_db, 1);
		start_until_write(first);
		for (int n = 1; !start_until_write(n); n += 3)
			ck_assert_int_lt(n, WRITES_MAX);
		kit_open();
		kit_close();
		assert_same(kit_db, golden, store_n_steps);
	}
}
END_TEST

START_TEST(without_its_backup_nothing_is_migrated)
{
	struct store_error err;
	char folder[PATH_MAX + 16];

	make_golden(kit_db, 1);
	snprintf(folder, sizeof(folder), "%s/backups", kit_dir);
	ck_assert_int_eq(close(open(folder, O_CREAT | O_WRONLY, 0600)), 0);
	ck_assert_ptr_null(store_open(kit_dir, &err));
	ck_assert_msg(strstr(err.text, "backup to ") && strstr(err.text, "Not a directory"), "%s", err.text);
	ck_assert_int_eq(kit_sql("PRAGMA user_version"), 1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("store_migrate");
	TCase *tc = tcase_create("migration");

	log_set_level(LOG_LEVEL_WARN);
	tcase_add_checked_fixture(tc, kit_setup_folder, kit_teardown);
	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, each_released_schema_becomes_todays);
	tcase_add_test(tc, a_migration_is_killed_at_every_write);
	tcase_add_test(tc, the_start_after_a_killed_migration_is_killed_too);
	tcase_add_test(tc, without_its_backup_nothing_is_migrated);
	suite_add_tcase(suite, tc);
	return play_suite(suite);
}
