/* SPDX-License-Identifier: MIT */
/* Files that are not ours, newer or damaged are refused and left as they are; older ones are migrated. */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/store_schema.h"
#include "store_kit.h"
#include "../play.h"

/* ---- files as bytes --------------------------------------------------------------------------------------------- */

struct bytes {
	char *p;
	size_t n;
};

static struct bytes slurp(const char *path)
{
	struct bytes ret = { 0 };
	FILE *f = fopen(path, "r");
	struct stat sb;

	ck_assert_ptr_nonnull(f);
	ck_assert_int_eq(fstat(fileno(f), &sb), 0);
	ret.n = (size_t)sb.st_size;
	ret.p = malloc(ret.n + 1);
	ck_assert_uint_eq(fread(ret.p, 1, ret.n, f), ret.n);
	fclose(f);
	return ret;
}

static void spill(const char *path, const void *p, size_t n)
{
	FILE *f = fopen(path, "w");

	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(p, 1, n, f), n);
	ck_assert_int_eq(fclose(f), 0);
}

static void overwrite(const char *path, long at, const void *p, size_t n)
{
	FILE *f = fopen(path, "r+");

	ck_assert_ptr_nonnull(f);
	ck_assert_int_eq(fseek(f, at, SEEK_SET), 0);
	ck_assert_uint_eq(fwrite(p, 1, n, f), n);
	ck_assert_int_eq(fclose(f), 0);
}

static void exec(const char *sql)
{
	sqlite3 *db;

	ck_assert_int_eq(sqlite3_open(kit_db, &db), SQLITE_OK);
	ck_assert_int_eq(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

static void assert_refused(const char *why)
{
	struct bytes before = slurp(kit_db);
	struct bytes after;
	struct store_error err;

	ck_assert_ptr_null(store_open(kit_dir, &err));
	ck_assert_msg(strstr(err.text, why) != NULL, "\"%s\" does not say \"%s\"", err.text, why);
	ck_assert_msg(strstr(err.text, kit_db) != NULL, "\"%s\" does not name the file", err.text);
	after = slurp(kit_db);
	ck_assert_uint_eq(after.n, before.n);
	ck_assert_mem_eq(after.p, before.p, before.n);
	free(before.p);
	free(after.p);
}

/* A closed store with some rows. */
static void some_store(void)
{
	kit_open();
	kit_run(kit_run_new(1, "n", "k"));
	kit_run(kit_jobs_new(1, 0, 2000));
	for (uint32_t i = 0; i < 500; i++)
		kit_post(kit_end(1, i, 1));
	kit_wait_all();
	kit_close();
}

/* The same without the clean end: the rows are in the WAL. */
static void some_store_killed(void)
{
	char wal[PATH_MAX + 8];
	struct bytes db, log;

	snprintf(wal, sizeof(wal), "%s-wal", kit_db);
	kit_open();
	kit_run(kit_run_new(1, "n", "k"));
	for (uint32_t i = 0; i < 2000; i += 200)
		kit_run(kit_jobs_new(1, i, 200));
	db = slurp(kit_db);
	log = slurp(wal);
	kit_close();
	spill(kit_db, db.p, db.n);
	spill(wal, log.p, log.n);
	free(db.p);
	free(log.p);
}

/* ---- not ours --------------------------------------------------------------------------------------------------- */

START_TEST(a_text_is_not_a_database)
{
	char text[300];

	memset(text, 'x', sizeof(text));
	spill(kit_db, text, sizeof(text));
	assert_refused("not a database");
	spill(kit_db, "hello", 5);
	assert_refused("not a database");
}
END_TEST

START_TEST(a_database_of_another_program_is_refused)
{
	exec("CREATE TABLE t (a); INSERT INTO t VALUES (1)");
	assert_refused("a database of another program");
	exec("PRAGMA application_id = 7; PRAGMA journal_mode = WAL");
	assert_refused("a database of another program");
}
END_TEST

START_TEST(a_newer_schema_is_refused)
{
	some_store();
	exec("PRAGMA user_version = 999");
	assert_refused("written by a newer jobd (schema 999");
}
END_TEST

START_TEST(a_newer_schema_that_is_only_in_the_log_is_refused)
{
	char wal[PATH_MAX + 8];
	struct bytes db, log;
	sqlite3 *other;

	some_store();
	snprintf(wal, sizeof(wal), "%s-wal", kit_db);
	ck_assert_int_eq(sqlite3_open(kit_db, &other), SQLITE_OK);
	ck_assert_int_eq(sqlite3_exec(other, "PRAGMA user_version = 999", NULL, NULL, NULL), SQLITE_OK);
	db = slurp(kit_db);
	log = slurp(wal);
	sqlite3_close(other);
	spill(kit_db, db.p, db.n);
	spill(wal, log.p, log.n);
	assert_refused("written by a newer jobd (schema 999");
	free(db.p);
	free(log.p);
	db = slurp(wal);
	ck_assert_uint_gt(db.n, 0);
	free(db.p);
}
END_TEST

START_TEST(a_database_in_use_is_refused)
{
	struct store_error err;

	kit_open();
	ck_assert_ptr_null(store_open(kit_dir, &err));
	ck_assert_msg(strstr(err.text, "in use by another program") != NULL, "%s", err.text);
}
END_TEST

/* ---- damaged ---------------------------------------------------------------------------------------------------- */

START_TEST(damaged_pages_are_reported)
{
	static const char garbage[4096] = "garbage";

	some_store();
	overwrite(kit_db, 20 * 4096, garbage, sizeof(garbage));
	assert_refused("damaged");
}
END_TEST

START_TEST(a_truncated_database_is_reported)
{
	struct bytes db;

	some_store();
	db = slurp(kit_db);
	spill(kit_db, db.p, db.n / 2);
	assert_refused("malformed");
	free(db.p);
}
END_TEST

START_TEST(an_emptied_database_is_not_made_anew_beside_its_log)
{
	some_store_killed();
	spill(kit_db, "", 0);
	assert_refused("damaged");
	ck_assert_int_eq(unlink(kit_db), 0);
	ck_assert_ptr_null(store_open(kit_dir, &(struct store_error){ "" }));
	ck_assert_int_ne(access(kit_db, F_OK), 0);
}
END_TEST

/* A byte of the n-th frame from the end of the log. */
static void break_frame(const char *wal, const struct bytes *log, long n)
{
	char byte = 1;

	overwrite(wal, (long)log->n - n * (4096 + 24) + 300, &byte, 1);
}

START_TEST(a_log_that_breaks_before_acknowledged_commits_is_reported)
{
	char wal[PATH_MAX + 8];
	struct bytes log, after;

	some_store_killed();
	snprintf(wal, sizeof(wal), "%s-wal", kit_db);
	log = slurp(wal);
	break_frame(wal, &log, (long)log.n / 4120 / 2);
	free(log.p);
	log = slurp(wal);
	assert_refused("acknowledged commits stand behind a broken one");
	after = slurp(wal);
	ck_assert_uint_eq(after.n, log.n);
	ck_assert_mem_eq(after.p, log.p, log.n);
	free(log.p);
	free(after.p);
}
END_TEST

/* As after a power loss: the commit that was being written is gone, those before it are there. */
START_TEST(a_log_with_a_torn_end_is_read_up_to_it)
{
	char wal[PATH_MAX + 8];
	struct bytes log;

	some_store_killed();
	snprintf(wal, sizeof(wal), "%s-wal", kit_db);
	log = slurp(wal);
	break_frame(wal, &log, 1);
	free(log.p);
	kit_open();
	kit_close();
	ck_assert_int_eq(kit_sql("SELECT count(*) FROM jobs"), 1800);
}
END_TEST

static void count_row(struct store_op *op, const struct store_load_row *row)
{
	op->n += row->path_len < 100;
}

static void free_run(void *arg, struct store_run *run)
{
	(void)arg;
	store_run_done(run);
}

/* Whatever the bytes: an answer, no crash. */
static void open_and_read(void)
{
	struct store_error err = { "" };
	struct store *st = store_open(kit_dir, &err);
	struct store_op *op = store_op_new(ST_LOAD_JOBS);
	struct store_heads heads;

	op->run.run = 1;
	op->row = count_row;
	if (!st)
		ck_assert_str_ne(err.text, "");
	else if (store_load_heads(st, &heads, &err) || store_load_runs(st, free_run, NULL, &err) || store_load_jobs(st, op, &err))
		ck_assert_str_ne(err.text, "");
	store_op_free(op);
	store_close(st);
}

static void flip_some(const struct bytes *b, const char *path)
{
	spill(path, b->p, b->n);
	for (long n = 1 + random() % 8; n > 0; n--) {
		char byte = (char)random();

		overwrite(path, random() % (long)b->n, &byte, 1);
	}
}

START_TEST(random_damage_never_crashes_the_start)
{
	char wal[PATH_MAX + 8];
	struct bytes db, log;

	srandom(2);
	some_store_killed();
	snprintf(wal, sizeof(wal), "%s-wal", kit_db);
	db = slurp(kit_db);
	log = slurp(wal);
	for (int i = 0; i < (getenv("JOBD_SOAK") ? 10000 : 500); i++) {
		flip_some(&db, kit_db);
		flip_some(&log, wal);
		open_and_read();
	}
	free(db.p);
	free(log.p);
}
END_TEST

/* ---- ours ------------------------------------------------------------------------------------------------------- */

START_TEST(what_is_in_the_log_is_read_back)
{
	some_store_killed();
	kit_open();
	kit_close();
	ck_assert_int_eq(kit_sql("SELECT count(*) FROM jobs"), 2000);
}
END_TEST

START_TEST(an_empty_file_becomes_a_database)
{
	spill(kit_db, "", 0);
	kit_open();
	kit_close();
	ck_assert_int_eq(kit_sql("PRAGMA user_version"), store_n_steps);
	ck_assert_int_eq(kit_sql("PRAGMA application_id"), STORE_APPLICATION_ID);
}
END_TEST

/* ---- migration -------------------------------------------------------------------------------------------------- */

static sqlite3 *memory(void)
{
	sqlite3 *db;

	ck_assert_int_eq(sqlite3_open(":memory:", &db), SQLITE_OK);
	return db;
}

START_TEST(all_steps_run_from_nothing_and_once)
{
	struct store_error err = { "" };
	sqlite3 *db = memory();

	ck_assert_msg(store_schema_migrate(db, store_steps, store_n_steps, &err) == 0, "%s", err.text);
	ck_assert_int_eq(store_pragma(db, "PRAGMA user_version", &err), store_n_steps);
	ck_assert_msg(store_schema_migrate(db, store_steps, store_n_steps, &err) == 0, "%s", err.text);
	ck_assert_int_eq(store_pragma(db, "SELECT count(*) FROM check_view", &err), 0);
	sqlite3_close(db);
}
END_TEST

static const char *const good_steps[] = {
	"CREATE TABLE t (a); INSERT INTO t VALUES (1)",
	"ALTER TABLE t ADD COLUMN b; UPDATE t SET b = a + 1",
	"UPDATE t SET a = 7",
};
static const char *const bad_steps[] = {
	"CREATE TABLE t (a); INSERT INTO t VALUES (1)",
	"UPDATE t SET a = 2; no such statement",
};

START_TEST(an_older_database_gets_the_steps_it_lacks)
{
	struct store_error err = { "" };
	sqlite3 *db = memory();

	ck_assert_int_eq(store_schema_migrate(db, good_steps, 1, &err), 0);
	ck_assert_int_eq(store_schema_migrate(db, good_steps, 3, &err), 0);
	ck_assert_int_eq(store_pragma(db, "PRAGMA user_version", &err), 3);
	ck_assert_int_eq(store_pragma(db, "SELECT a * 10 + b FROM t", &err), 72);
	sqlite3_close(db);
}
END_TEST

START_TEST(a_step_that_fails_leaves_the_version_before_it)
{
	struct store_error err = { "" };
	sqlite3 *db = memory();

	ck_assert_int_eq(store_schema_migrate(db, bad_steps, 2, &err), -1);
	ck_assert_msg(strstr(err.text, "step to version 2") != NULL, "%s", err.text);
	ck_assert_int_eq(store_pragma(db, "PRAGMA user_version", &err), 1);
	ck_assert_int_eq(store_pragma(db, "SELECT a FROM t", &err), 1);
	ck_assert_int_eq(sqlite3_get_autocommit(db), 1);
	sqlite3_close(db);
}
END_TEST

static TCase *refusals(void)
{
	TCase *tc = tcase_create("refusals");

	tcase_add_checked_fixture(tc, kit_setup_folder, kit_teardown);
	tcase_set_timeout(tc, getenv("JOBD_SOAK") ? 3600 : 60);
	tcase_add_test(tc, a_text_is_not_a_database);
	tcase_add_test(tc, a_database_of_another_program_is_refused);
	tcase_add_test(tc, a_newer_schema_is_refused);
	tcase_add_test(tc, a_newer_schema_that_is_only_in_the_log_is_refused);
	tcase_add_test(tc, a_database_in_use_is_refused);
	tcase_add_test(tc, damaged_pages_are_reported);
	tcase_add_test(tc, a_truncated_database_is_reported);
	tcase_add_test(tc, an_emptied_database_is_not_made_anew_beside_its_log);
	tcase_add_test(tc, a_log_that_breaks_before_acknowledged_commits_is_reported);
	tcase_add_test(tc, a_log_with_a_torn_end_is_read_up_to_it);
	tcase_add_test(tc, random_damage_never_crashes_the_start);
	return tc;
}

static TCase *ours(void)
{
	TCase *tc = tcase_create("ours");

	tcase_add_checked_fixture(tc, kit_setup_folder, kit_teardown);
	tcase_add_test(tc, what_is_in_the_log_is_read_back);
	tcase_add_test(tc, an_empty_file_becomes_a_database);
	tcase_add_test(tc, all_steps_run_from_nothing_and_once);
	tcase_add_test(tc, an_older_database_gets_the_steps_it_lacks);
	tcase_add_test(tc, a_step_that_fails_leaves_the_version_before_it);
	return tc;
}

int main(void)
{
	Suite *suite = suite_create("store_file");

	suite_add_tcase(suite, refusals());
	suite_add_tcase(suite, ours());
	return play_suite(suite);
}
