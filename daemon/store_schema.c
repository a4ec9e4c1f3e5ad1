/* SPDX-License-Identifier: MIT */
/* The tables of the database and their migration. Numbers in columns are those of the enums in store.h and jobtree.h. */
#include <sqlite3.h>
#include <stdio.h>

#include "failpoint.h"
#include "store.h"
#include "store_schema.h"

/*
 * runs       a row a run. AUTOINCREMENT: a number is never used again, even if the row is gone.
 * jobs       what was submitted: written once, never changed. id = run << 32 | index.
 * states     how a job stands: a row once it is no longer simply waiting. Apart from jobs because a state changes often and is
 *            small, while a specification never changes and may have half a megabyte.
 * attempts   a row an ended attempt, outputs last.
 * events     the log, by number; no index: the events of a run lie between the run's first_seq and last_seq.
 * sealed     directories of streams to which nothing is added any more.
 * runners    incarnations of jobd-runner.
 * dropped    runs of which rows are still to be deleted (see store_drop.c).
 * items      of maps: what stands, or stood, in a place of one. A place is a row of jobs and states that many items use one after the other.
 *
 * This is how the tables were at first; the steps below change them.
 */
static const char step_1[] =
	"CREATE TABLE runs (run INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT, key TEXT, hash BLOB NOT NULL, uid INTEGER NOT NULL,"
	" gid INTEGER NOT NULL, cwd TEXT, options TEXT, state INTEGER NOT NULL, stream INTEGER NOT NULL, sealed INTEGER NOT NULL,"
	" stopped INTEGER NOT NULL, stop_why INTEGER NOT NULL, paused INTEGER NOT NULL, n_jobs INTEGER NOT NULL,"
	" submitted_at INTEGER NOT NULL, started_at INTEGER NOT NULL, ended_at INTEGER NOT NULL, counts BLOB NOT NULL,"
	" first_seq INTEGER NOT NULL, last_seq INTEGER NOT NULL) STRICT;"
	"CREATE UNIQUE INDEX runs_key ON runs (uid, key) WHERE key IS NOT NULL;"

	"CREATE TABLE jobs (id INTEGER PRIMARY KEY, priority INTEGER NOT NULL, \"when\" INTEGER NOT NULL, path TEXT NOT NULL,"
	" after BLOB, spec TEXT NOT NULL) STRICT;"

	"CREATE TABLE states (id INTEGER PRIMARY KEY, state INTEGER NOT NULL, reason INTEGER NOT NULL, goes_on INTEGER NOT NULL,"
	" fails_run INTEGER NOT NULL, cause INTEGER, attempts INTEGER NOT NULL, n_failed INTEGER NOT NULL, n_lost INTEGER NOT NULL,"
	" runner INTEGER NOT NULL, due_at INTEGER NOT NULL, budget_at INTEGER NOT NULL, started_at INTEGER NOT NULL,"
	" ended_at INTEGER NOT NULL, exit_code INTEGER, signal INTEGER) STRICT;"

	"CREATE TABLE attempts (id INTEGER NOT NULL, attempt INTEGER NOT NULL, reason INTEGER NOT NULL, exit_code INTEGER,"
	" signal INTEGER, pid INTEGER NOT NULL, started_at INTEGER NOT NULL, ended_at INTEGER NOT NULL, wall_ns INTEGER NOT NULL,"
	" cpu_us INTEGER NOT NULL, maxrss_kb INTEGER NOT NULL, out_bytes INTEGER NOT NULL, err_bytes INTEGER NOT NULL,"
	" message TEXT, out BLOB, err BLOB, PRIMARY KEY (id, attempt)) STRICT, WITHOUT ROWID;"

	"CREATE TABLE events (seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, run INTEGER NOT NULL, idx INTEGER, kind INTEGER NOT NULL,"
	" state INTEGER NOT NULL, reason INTEGER NOT NULL, attempt INTEGER NOT NULL, exit_code INTEGER, signal INTEGER) STRICT;"

	"CREATE TABLE sealed (run INTEGER NOT NULL, path TEXT NOT NULL, PRIMARY KEY (run, path)) STRICT, WITHOUT ROWID;"
	"CREATE TABLE runners (n INTEGER PRIMARY KEY AUTOINCREMENT, runner_id BLOB NOT NULL UNIQUE, boot_id BLOB NOT NULL) STRICT;"
	"CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT) STRICT, WITHOUT ROWID;"
	"CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
	"CREATE TABLE dropped (run INTEGER PRIMARY KEY, first_seq INTEGER NOT NULL, last_seq INTEGER NOT NULL) STRICT;"

	/* for tools that judge a history; a bulk that is not sealed yet was not acknowledged and does not count */
	"CREATE VIEW check_view (key, id, state, exit_code, attempts) AS SELECT"
	" coalesce(CASE WHEN json_valid(j.spec) THEN json_extract(j.spec, '$.labels.key') END,"
	"  CASE WHEN r.n_jobs = 1 THEN r.key END, r.run || '/' || j.path),"
	" j.id,"
	" CASE coalesce(s.state, 0) WHEN 0 THEN 'waiting' WHEN 1 THEN 'ready' WHEN 2 THEN 'held' WHEN 3 THEN 'starting'"
	"  WHEN 4 THEN 'running' WHEN 5 THEN 'backoff' WHEN 6 THEN 'ok' WHEN 7 THEN 'warned' WHEN 8 THEN 'failed'"
	"  WHEN 9 THEN 'skipped' WHEN 10 THEN 'cancelled' WHEN 11 THEN 'lost' ELSE 'unknown' END,"
	" s.exit_code, coalesce(s.attempts, 0)"
	" FROM jobs j JOIN runs r ON r.run = j.id >> 32 LEFT JOIN states s ON s.id = j.id WHERE r.state <> 0;"

	"PRAGMA application_id = 0x6a6f6264;";

/*
 * What a run's client had as its working directory was stored and never used: each job has its own. What is not kept of an output is
 * from .._gap_at to .._gap_end of what was written; both 0: everything is.
 */
static const char step_2[] =
	"ALTER TABLE runs DROP COLUMN cwd;"
	"ALTER TABLE attempts ADD COLUMN out_gap_at INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE attempts ADD COLUMN out_gap_end INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE attempts ADD COLUMN err_gap_at INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE attempts ADD COLUMN err_gap_end INTEGER NOT NULL DEFAULT 0;";

/*
 * Items of maps, found by number, by key, and those that are not delivered whatever the number of the others. The places of a map are
 * no jobs of a history: which items were in them depends on what ended first.
 */
static const char step_3[] =
	"CREATE TABLE items (run INTEGER NOT NULL, tag INTEGER NOT NULL, key BLOB, seq INTEGER NOT NULL, id INTEGER NOT NULL,"
	" base INTEGER NOT NULL, last INTEGER NOT NULL, delivered INTEGER NOT NULL, PRIMARY KEY (run, tag)) STRICT, WITHOUT ROWID;"
	"CREATE UNIQUE INDEX items_key ON items (run, key) WHERE key IS NOT NULL;"
	"CREATE INDEX items_in_hand ON items (run, tag) WHERE delivered = 0;"

	"DROP VIEW check_view;"
	"CREATE VIEW check_view (key, id, state, exit_code, attempts) AS SELECT"
	" coalesce(CASE WHEN json_valid(j.spec) THEN json_extract(j.spec, '$.labels.key') END,"
	"  CASE WHEN r.n_jobs = 1 THEN r.key END, r.run || '/' || j.path),"
	" j.id,"
	" CASE coalesce(s.state, 0) WHEN 0 THEN 'waiting' WHEN 1 THEN 'ready' WHEN 2 THEN 'held' WHEN 3 THEN 'starting'"
	"  WHEN 4 THEN 'running' WHEN 5 THEN 'backoff' WHEN 6 THEN 'ok' WHEN 7 THEN 'warned' WHEN 8 THEN 'failed'"
	"  WHEN 9 THEN 'skipped' WHEN 10 THEN 'cancelled' WHEN 11 THEN 'lost' ELSE 'unknown' END,"
	" s.exit_code, coalesce(s.attempts, 0)"
	" FROM jobs j JOIN runs r ON r.run = j.id >> 32 LEFT JOIN states s ON s.id = j.id"
	" WHERE r.state <> 0 AND CASE WHEN json_valid(r.options) THEN json_type(r.options, '$.map') END IS NULL;";

const char *const store_steps[] = { step_1, step_2, step_3 };
const int store_n_steps = sizeof(store_steps) / sizeof(*store_steps);

static int fail(sqlite3 *db, const char *what, struct store_error *err)
{
	snprintf(err->text, sizeof(err->text), "%s: %s", what, sqlite3_errmsg(db));
	return -1;
}

int64_t store_pragma(sqlite3 *db, const char *sql, struct store_error *err)
{
	sqlite3_stmt *stmt;
	int64_t value = -1;

	if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) == SQLITE_OK && sqlite3_step(stmt) == SQLITE_ROW)
		value = sqlite3_column_int64(stmt, 0);
	else
		fail(db, sql, err);
	sqlite3_finalize(stmt);
	return value;
}

static int run_step(sqlite3 *db, const char *step, int to, struct store_error *err)
{
	char version[48];
	char what[48];

	snprintf(version, sizeof(version), "PRAGMA user_version = %d; COMMIT", to);
	snprintf(what, sizeof(what), "step to version %d of the schema", to);
	if (sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL) || sqlite3_exec(db, step, NULL, NULL, NULL) ||
	    FAILS("before_commit_migration") || sqlite3_exec(db, version, NULL, NULL, NULL)) {
		fail(db, what, err);
		if (!sqlite3_get_autocommit(db))
			sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
		return -1;
	}
	return 0;
}

int store_schema_rehearse(sqlite3 *db, const char *const *steps, int from, int n_steps, struct store_error *err)
{
	int rc = sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL);

	for (int i = from; !rc && i < n_steps; i++)
		rc = sqlite3_exec(db, steps[i], NULL, NULL, NULL);
	if (rc)
		fail(db, "its tables do not go with its version", err);
	if (!sqlite3_get_autocommit(db))
		sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
	return rc ? -1 : 0;
}

int store_schema_migrate(sqlite3 *db, const char *const *steps, int n_steps, struct store_error *err)
{
	int64_t from = store_pragma(db, "PRAGMA user_version", err);

	if (from < 0)
		return -1;
	for (int i = (int)from; i < n_steps; i++) {
		FAILPOINT("before_migrate");
		if (run_step(db, steps[i], i + 1, err))
			return -1;
		FAILPOINT("after_migrate_step");
	}
	return 0;
}
