/* SPDX-License-Identifier: MIT */
/* Every SQL text the running store uses, as literals with numbered parameters: no text is ever put together from data. The tables
 * stand in store_schema.c. */
#include "store_sql.h"

#define STATE_COLUMNS \
	"id, state, reason, goes_on, fails_run, cause, attempts, n_failed, n_lost, runner, due_at, budget_at, started_at, ended_at, " \
	"exit_code, signal"
#define ATTEMPT_COLUMNS \
	"attempt, reason, exit_code, signal, pid, started_at, ended_at, wall_ns, cpu_us, maxrss_kb, out_bytes, err_bytes, message, " \
	"out_gap_at, out_gap_end, err_gap_at, err_gap_end"
#define ITEM_COLUMNS "run, tag, key, seq, id, base, last, delivered"
#define EVENT_COLUMNS "seq, at, run, idx, kind, state, reason, attempt, exit_code, signal"

const char *const store_sql[SQL_N] = {
	[SQL_BEGIN] = "BEGIN",
	[SQL_COMMIT] = "COMMIT",
	[SQL_ROLLBACK] = "ROLLBACK",

	[SQL_RUN_NEW] =
		"INSERT INTO runs (run, name, key, hash, uid, gid, options, state, stream, sealed, stopped, stop_why, paused, n_jobs,"
		" submitted_at, started_at, ended_at, counts, first_seq, last_seq)"
		" VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18,"
		" coalesce((SELECT max(seq) FROM events), 0), 0)",
	/* last_seq bounds the search for events of an ended run; 0: more may come */
	[SQL_RUN_SET] =
		"UPDATE runs SET state = ?2, stream = ?3, sealed = ?4, stopped = ?5, stop_why = ?6, paused = ?7, n_jobs = ?8,"
		" submitted_at = ?9, started_at = ?10, ended_at = ?11, counts = ?12,"
		" last_seq = CASE WHEN ?13 THEN coalesce((SELECT max(seq) FROM events), 0) ELSE 0 END,"
		" key = coalesce(?14, key), hash = coalesce(?15, hash), options = coalesce(?16, options) WHERE run = ?1",
	[SQL_JOB_NEW] = "INSERT INTO jobs (id, priority, \"when\", path, after, spec) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
	[SQL_JOB_STATE] =
		"INSERT INTO states (" STATE_COLUMNS ")"
		" VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)"
		" ON CONFLICT (id) DO UPDATE SET state = ?2, reason = ?3, goes_on = ?4, fails_run = ?5, cause = ?6, attempts = ?7,"
		" n_failed = ?8, n_lost = ?9, runner = ?10, due_at = ?11, budget_at = ?12,"
		" started_at = CASE WHEN started_at = 0 THEN ?13 ELSE started_at END, ended_at = ?14, exit_code = ?15, signal = ?16",
	/* REPLACE: the outcome of one attempt may be told again after a restart */
	[SQL_ATTEMPT] =
		"REPLACE INTO attempts (id, " ATTEMPT_COLUMNS ", out, err)"
		" VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20)",
	[SQL_EVENT] = "INSERT INTO events (" EVENT_COLUMNS ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
	[SQL_RUN_LAST_SEQ] = "UPDATE runs SET last_seq = ?2 WHERE run = ?1 AND last_seq > 0",
	[SQL_SEALED_DIR] = "INSERT OR IGNORE INTO sealed (run, path) VALUES (?1, ?2)",
	[SQL_RUNNER_FIND] = "SELECT n FROM runners WHERE runner_id = ?1",
	[SQL_RUNNER_NEW] = "INSERT INTO runners (runner_id, boot_id) VALUES (?1, ?2)",
	[SQL_SETTING] = "REPLACE INTO settings (name, value) VALUES (?1, ?2)",

	[SQL_PLACE_JOB] = "REPLACE INTO jobs (id, priority, \"when\", path, after, spec) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
	[SQL_PLACE_STATE] =
		"REPLACE INTO states (" STATE_COLUMNS ") VALUES (?1, ?2, 0, 0, 0, NULL, ?3, 0, 0, 0, 0, 0, 0, 0, NULL, NULL)",
	[SQL_ITEM_NEW] = "INSERT INTO items (" ITEM_COLUMNS ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
	/* behind the last attempt of an item that is not delivered there is none of another one */
	[SQL_ITEM_OLD_ATTEMPTS] =
		"DELETE FROM attempts WHERE id = (SELECT id FROM items WHERE run = ?1 AND key = ?2)"
		" AND attempt > (SELECT base FROM items WHERE run = ?1 AND key = ?2)"
		" AND attempt <= (SELECT iif(delivered, last, 9223372036854775807) FROM items WHERE run = ?1 AND key = ?2)",
	[SQL_ITEM_OLD] = "DELETE FROM items WHERE run = ?1 AND key = ?2",
	[SQL_ITEM_TAKEN] = "UPDATE items SET tag = ?3, seq = ?4 WHERE run = ?1 AND tag = ?2",
	[SQL_ITEM_KEPT] = "UPDATE items SET delivered = 1, last = ?3 WHERE run = ?1 AND tag = ?2",
	[SQL_ITEM_GONE] = "DELETE FROM items WHERE run = ?1 AND tag = ?2",
	[SQL_ITEM_GONE_ATTEMPTS] = "DELETE FROM attempts WHERE id = ?1 AND attempt > ?2 AND attempt <= ?3",
	[SQL_ITEM_FIND] = "SELECT " ITEM_COLUMNS " FROM items WHERE run = ?1 AND key = ?2",
	[SQL_ITEMS_IN_HAND] = "SELECT " ITEM_COLUMNS ", (SELECT max(out_bytes, 0) + max(err_bytes, 0) FROM attempts"
		" WHERE attempts.id = items.id AND attempt > base ORDER BY attempt DESC LIMIT 1)"
		" FROM items INDEXED BY items_in_hand WHERE run = ?1 AND delivered = 0 ORDER BY tag",
	[SQL_ITEMS_LAST_TAG] = "SELECT coalesce(max(tag), 0) FROM items WHERE run = ?1",

	[SQL_DROP_MARK] =
		"INSERT INTO dropped (run, first_seq, last_seq) SELECT run, first_seq,"
		" CASE WHEN last_seq > 0 THEN last_seq ELSE coalesce((SELECT max(seq) FROM events), 0) END FROM runs WHERE run = ?1",
	[SQL_DROP_RUN] = "DELETE FROM runs WHERE run = ?1",
	/* numbers of events are not used again, though the last ones may be deleted */
	[SQL_DROP_KEEP_SEQ] =
		"REPLACE INTO counters (name, value) SELECT 'last_seq', max(coalesce((SELECT max(seq) FROM events), 0),"
		" coalesce((SELECT value FROM counters WHERE name = 'last_seq'), 0))",
	[SQL_DROP_NEXT] = "SELECT run, first_seq, last_seq FROM dropped ORDER BY run LIMIT 1",
	[SQL_DROP_JOBS_END] =
		"SELECT max(id) FROM (SELECT id FROM jobs WHERE id >= ?1 AND id < ?2 ORDER BY id LIMIT ?3)",
	[SQL_DROP_JOBS] = "DELETE FROM jobs WHERE id >= ?1 AND id <= ?2",
	[SQL_DROP_STATES] = "DELETE FROM states WHERE id >= ?1 AND id <= ?2",
	[SQL_DROP_ATTEMPTS] = "DELETE FROM attempts WHERE id >= ?1 AND id <= ?2",
	[SQL_DROP_ATTEMPTS_END] =
		"SELECT id, attempt FROM attempts WHERE id >= ?1 AND id <= ?2 ORDER BY id, attempt LIMIT 1 OFFSET ?3",
	[SQL_DROP_ATTEMPTS_TO] = "DELETE FROM attempts WHERE id >= ?1 AND (id, attempt) <= (?2, ?3)",
	[SQL_DROP_ITEMS_END] = "SELECT max(tag) FROM (SELECT tag FROM items WHERE run = ?1 ORDER BY tag LIMIT ?2)",
	[SQL_DROP_ITEMS] = "DELETE FROM items WHERE run = ?1 AND tag <= ?2",
	[SQL_DROP_EVENTS_END] =
		"SELECT max(seq) FROM (SELECT seq FROM events WHERE seq >= ?1 AND seq <= ?2 ORDER BY seq LIMIT ?3)",
	[SQL_DROP_EVENTS] = "DELETE FROM events WHERE seq >= ?1 AND seq <= ?2 AND run = ?3",
	[SQL_DROP_EVENTS_DONE] = "UPDATE dropped SET first_seq = ?2 WHERE run = ?1",
	[SQL_DROP_SEALED] = "DELETE FROM sealed WHERE run = ?1",
	[SQL_DROP_DONE] = "DELETE FROM dropped WHERE run = ?1",
	[SQL_NEXT_BULK] = "SELECT run FROM runs WHERE state = ?1 ORDER BY run LIMIT 1",

	[SQL_SPEC] = "SELECT spec FROM jobs WHERE id = ?1",
	[SQL_STATE] = "SELECT " STATE_COLUMNS " FROM states WHERE id = ?1",
	[SQL_ATTEMPTS] = "SELECT " ATTEMPT_COLUMNS " FROM attempts WHERE id = ?1 ORDER BY attempt",
	[SQL_OUTPUT] = "SELECT " ATTEMPT_COLUMNS ", out, err FROM attempts WHERE id = ?1 AND attempt = ?2",
	[SQL_EVENTS] = "SELECT " EVENT_COLUMNS " FROM events WHERE seq > ?1 ORDER BY seq LIMIT ?2",
	[SQL_EVENTS_OF_RUN] =
		"SELECT " EVENT_COLUMNS " FROM events WHERE seq > max(?1, (SELECT first_seq FROM runs WHERE run = ?3))"
		" AND seq <= (SELECT CASE WHEN last_seq > 0 THEN last_seq ELSE 9223372036854775807 END FROM runs WHERE run = ?3)"
		" AND run = ?3 ORDER BY seq LIMIT ?2",

	[SQL_HEADS] =
		"SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'runs'), 0) + 1,"
		" max(coalesce((SELECT max(seq) FROM events), 0), coalesce((SELECT value FROM counters WHERE name = 'last_seq'), 0))",
	[SQL_LOAD_RUNS] =
		"SELECT run, name, key, hash, uid, gid, options, state, stream, sealed, stopped, stop_why, paused, n_jobs,"
		" submitted_at, started_at, ended_at, counts FROM runs ORDER BY run",
	[SQL_LOAD_JOBS] =
		"SELECT id, priority, \"when\", path, after, length(CAST(spec AS BLOB)) FROM jobs WHERE id >= ?1 AND id < ?2 ORDER BY id",
	[SQL_LOAD_STATES] = "SELECT " STATE_COLUMNS " FROM states WHERE id >= ?1 AND id < ?2 ORDER BY id",
	[SQL_LOAD_SEALED] = "SELECT path FROM sealed WHERE run = ?1 ORDER BY path",
	[SQL_LOAD_SETTINGS] = "SELECT name, value FROM settings ORDER BY name",
};
