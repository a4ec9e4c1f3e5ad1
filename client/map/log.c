/* SPDX-License-Identifier: MIT */
#include "map/log.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "map/end_status.h"
#include "map/keys.h"
#include "map/stage.h"
#include "status.h"
#include "talk.h"

#define LOG_MARK 0x6d61706c             /* application_id of a log */
#define BUSY_MS 2000                    /* patience with one that is just ending */
#define PIECE_BYTES ((size_t)1 << 20)   /* of an output stand with its result; what is more follows in pieces of that size */

enum query { Q_FIND, Q_LOAD, Q_FINISH, Q_DELIVERED, Q_COMMAND, Q_COMMANDS, Q_PIECE, Q_PIECES, Q_NO_PIECES, N_QUERIES };

static const char *const sql[] = {
	[Q_FIND] = "SELECT status, delivered FROM result WHERE key = ?1",
	[Q_LOAD] = "SELECT status, attempts, began, ended, out, err FROM result WHERE key = ?1",
	[Q_FINISH] = "INSERT OR REPLACE INTO result(key, status, attempts, began, ended, out, err, delivered) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, 0)",
	[Q_DELIVERED] = "UPDATE result SET delivered = 1 WHERE key = ?1",
	[Q_COMMAND] = "INSERT OR IGNORE INTO command(hash) VALUES(?1)",
	[Q_COMMANDS] =
		"SELECT (SELECT count(*) FROM command WHERE hash <> ?1), (SELECT count(*) FROM command WHERE hash = ?1), EXISTS(SELECT 1 FROM result)",
	[Q_PIECE] = "INSERT INTO piece(key, err, n, data) VALUES(?1, ?2, ?3, ?4)",
	[Q_PIECES] = "SELECT data FROM piece WHERE key = ?1 AND err = ?2 ORDER BY n",
	[Q_NO_PIECES] = "DELETE FROM piece WHERE key = ?1",
};
_Static_assert(sizeof(sql) / sizeof(*sql) == N_QUERIES, "a query without a text");

static const char schema[] =
	"CREATE TABLE IF NOT EXISTS result(key BLOB PRIMARY KEY, status INTEGER NOT NULL, attempts INTEGER NOT NULL, began REAL NOT NULL,"
	" ended REAL NOT NULL, out BLOB, err BLOB, delivered INTEGER NOT NULL);"
	"CREATE TABLE IF NOT EXISTS piece(key BLOB NOT NULL, err INTEGER NOT NULL, n INTEGER NOT NULL, data BLOB NOT NULL, PRIMARY KEY(key, err, n));"
	"CREATE TABLE IF NOT EXISTS command(hash BLOB PRIMARY KEY);"
	"PRAGMA application_id = 1835102316;";
_Static_assert(LOG_MARK == 1835102316, "the mark in the schema");

struct log {
	sqlite3 *db;
	sqlite3_stmt *q[N_QUERIES];
	struct keys **keys;             /* of the stages */
	size_t n_keys;
	bool resumes, runs_failed;
};

static int failed(const struct log *l)
{
	int error = sqlite3_system_errno(l->db);

	errno = error ? error : EIO;
	return -1;
}

const char *log_error(const struct log *l)
{
	int rc = sqlite3_errcode(l->db);

	return rc == SQLITE_OK || rc == SQLITE_ROW || rc == SQLITE_DONE ? strerror(errno) : sqlite3_errmsg(l->db);
}

/* ---- open and close ---- */

static int exec(struct log *l, const char *text)
{
	return sqlite3_exec(l->db, text, NULL, NULL, NULL) == SQLITE_OK ? 0 : -1;
}

/* A log of ours, or a file with nothing in it. */
static bool can_be_log(struct log *l)
{
	sqlite3_stmt *q = NULL;
	bool can = false;

	if (sqlite3_prepare_v2(l->db, "SELECT application_id = ?1 OR NOT EXISTS(SELECT 1 FROM sqlite_master) FROM pragma_application_id", -1, &q, NULL)
	    == SQLITE_OK) {
		sqlite3_bind_int(q, 1, LOG_MARK);
		can = sqlite3_step(q) == SQLITE_ROW && sqlite3_column_int(q, 0);
	}
	sqlite3_finalize(q);
	return can;
}

static int prepare(struct log *l, bool durable)
{
	if (exec(l, "PRAGMA locking_mode = EXCLUSIVE") < 0 || exec(l, "PRAGMA journal_mode = WAL") < 0)
		return -1;
	if (exec(l, durable ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL") < 0 || exec(l, schema) < 0)
		return -1;
	for (int i = 0; i < N_QUERIES; i++)
		if (sqlite3_prepare_v3(l->db, sql[i], -1, SQLITE_PREPARE_PERSISTENT, &l->q[i], NULL) != SQLITE_OK)
			return -1;
	return 0;
}

/* How many commands there were beside this one, whether it was one of them, and whether there are results at all. */
static int ask_commands(struct log *l, const struct keys *k, int ret[3])
{
	sqlite3_stmt *q = l->q[Q_COMMANDS];
	int rc;

	sqlite3_bind_blob(q, 1, keys_command(k), KEY_SIZE, SQLITE_STATIC);
	rc = sqlite3_step(q);
	for (int i = 0; i < 3; i++)
		ret[i] = sqlite3_column_int(q, i);
	sqlite3_reset(q);
	return rc == SQLITE_ROW ? 0 : -1;
}

static int note_command(struct log *l, const struct keys *k)
{
	sqlite3_bind_blob(l->q[Q_COMMAND], 1, keys_command(k), KEY_SIZE, SQLITE_STATIC);
	sqlite3_step(l->q[Q_COMMAND]);
	return sqlite3_reset(l->q[Q_COMMAND]) == SQLITE_OK ? 0 : -1;
}

/* Whether these commands were here before, and whether that is what was asked for. */
static int check_commands(struct log *l, const struct map_settings *m)
{
	for (size_t i = 0; i < l->n_keys; i++) {
		int n[3];

		if (ask_commands(l, l->keys[i], n) < 0)
			return complain(MAP_IO_ERROR, "--log %s: %s", m->log, log_error(l));
		if (n[2] && !l->resumes)
			return complain(CTL_USAGE, "--log %s has results of an earlier map: go on with --resume, or remove it", m->log);
		if (n[0] && !n[1] && l->n_keys == 1)
			mention("--log %s has results of another command only: nothing of it matches", m->log);
		else if (n[0] && !n[1])
			mention("--log %s has no result of the command of stage %zu: all of its items run", m->log, i + 1);
	}
	for (size_t i = 0; i < l->n_keys; i++)
		if (note_command(l, l->keys[i]) < 0)
			return complain(MAP_IO_ERROR, "--log %s: %s", m->log, log_error(l));
	return 0;
}

static int make_keys(struct log *l, const struct map_settings *m)
{
	l->keys = xcalloc(m->n_stages, sizeof(struct keys *));
	for (; l->n_keys < m->n_stages; l->n_keys++) {
		l->keys[l->n_keys] = keys_new(&m->stage[l->n_keys], l->n_keys + 1);
		if (!l->keys[l->n_keys])
			return -1;
	}
	return 0;
}

int log_open(const struct map_settings *m, struct log **ret)
{
	struct log *l = xcalloc(1, sizeof(*l));
	int rc = 0;

	l->resumes = m->resume != RESUME_NOT;
	l->runs_failed = m->resume == RESUME_FAILED;
	if (make_keys(l, m) < 0)
		rc = complain(MAP_IO_ERROR, "--log %s: what was seen cannot be noted: %s", m->log, strerror(errno));
	else if (sqlite3_open_v2(m->log, &l->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK)
		rc = complain(CTL_USAGE, "--log %s: %s", m->log, log_error(l));
	else if (sqlite3_busy_timeout(l->db, BUSY_MS) != SQLITE_OK || !can_be_log(l))
		rc = complain(CTL_USAGE, "--log %s is in use, or is no log of a map: %s", m->log, log_error(l));
	else if (prepare(l, m->durable) < 0)
		rc = complain(MAP_IO_ERROR, "--log %s: %s", m->log, log_error(l));
	else
		rc = check_commands(l, m);
	if (rc == 0)
		*ret = l;
	else
		log_close(l);
	return rc;
}

void log_close(struct log *l)
{
	if (!l)
		return;
	for (int i = 0; i < N_QUERIES; i++)
		sqlite3_finalize(l->q[i]);
	sqlite3_close(l->db);
	for (size_t i = 0; i < l->n_keys; i++)
		keys_free(l->keys[i]);
	free(l->keys);
	free(l);
}

/* ---- items ---- */

static sqlite3_stmt *with_key(struct log *l, enum query which, const struct task *t)
{
	sqlite3_bind_blob(l->q[which], 1, t->key, sizeof(t->key), SQLITE_STATIC);
	return l->q[which];
}

int log_meet(struct log *l, struct task *t, bool *ret_delivered)
{
	sqlite3_stmt *q;
	int counts = 0;

	if (keys_make(l->keys[t->stage->number - 1], t) < 0)
		return -1;
	if (!l->resumes)
		return 0;
	q = with_key(l, Q_FIND, t);
	if (sqlite3_step(q) == SQLITE_ROW && (sqlite3_column_int(q, 0) == 0 || !l->runs_failed)) {
		counts = 1;
		*ret_delivered = t->stage->last && sqlite3_column_int(q, 1) != 0;
	}
	return sqlite3_reset(q) == SQLITE_OK ? counts : failed(l);
}

/* ---- outputs ---- */

/* What has left already (NULL: nothing), and the rest. */
struct text {
	struct chunk_store *store;
	const struct chunks *gone, *rest;
	uint64_t n_gone, len;
	int err;                        /* of the two outputs, that one */
};

static struct text text_of(struct chunk_store *store, const struct chunks *gone, const struct chunks *rest, int err)
{
	uint64_t n_gone = gone ? gone->bytes : 0;

	return (struct text){ store, gone, rest, n_gone, n_gone + rest->bytes, err };
}

static int text_copy(const struct text *x, uint64_t at, size_t n, char *buf)
{
	size_t first = at >= x->n_gone ? 0 : x->n_gone - at < n ? (size_t)(x->n_gone - at) : n;

	if (first > 0 && chunks_copy(x->store, x->gone, at, first, buf) < 0)
		return -1;
	return first == n ? 0 : chunks_copy(x->store, x->rest, at + first - x->n_gone, n - first, buf + first);
}

static int bind_piece(sqlite3_stmt *q, int parameter, const struct text *x, uint64_t at)
{
	size_t n = x->len - at < PIECE_BYTES ? (size_t)(x->len - at) : PIECE_BYTES;
	char *data = xcalloc(1, n + 1);

	if (text_copy(x, at, n, data) < 0) {
		free(data);
		return -1;
	}
	return sqlite3_bind_blob64(q, parameter, data, n, free) == SQLITE_OK ? 0 : -1;
}

static int run_query(sqlite3_stmt *q)
{
	int rc;

	sqlite3_step(q);
	rc = sqlite3_reset(q);
	sqlite3_clear_bindings(q);
	return rc == SQLITE_OK ? 0 : -1;
}

static int write_pieces(struct log *l, const struct task *t, const struct text *x)
{
	for (uint64_t at = PIECE_BYTES; at < x->len; at += PIECE_BYTES) {
		sqlite3_stmt *q = with_key(l, Q_PIECE, t);

		sqlite3_bind_int(q, 2, x->err);
		sqlite3_bind_int64(q, 3, (int64_t)(at / PIECE_BYTES));
		if (bind_piece(q, 4, x, at) < 0 || run_query(q) < 0)
			return -1;
	}
	return 0;
}

static int put_column(sqlite3_stmt *q, int column, struct chunk_store *store, struct chunks *c)
{
	const char *data = sqlite3_column_blob(q, column);
	size_t n = (size_t)sqlite3_column_bytes(q, column);

	return n > 0 ? chunks_put(store, c, data, n) : 0;
}

static int load_pieces(struct log *l, const struct task *t, int err, struct chunk_store *store, struct chunks *c)
{
	sqlite3_stmt *q = with_key(l, Q_PIECES, t);
	int rc = 0;

	sqlite3_bind_int(q, 2, err);
	while (rc == 0 && sqlite3_step(q) == SQLITE_ROW)
		rc = put_column(q, 0, store, c);
	return sqlite3_reset(q) == SQLITE_OK ? rc : failed(l);
}

/* ---- results ---- */

int log_load(struct log *l, struct task *t, struct chunk_store *store, bool with_output)
{
	sqlite3_stmt *q = with_key(l, Q_LOAD, t);
	int rc = 0;

	if (sqlite3_step(q) != SQLITE_ROW) {
		sqlite3_reset(q);
		return failed(l);
	}
	t->status = sqlite3_column_int(q, 0);
	t->attempt = (uint32_t)sqlite3_column_int(q, 1);
	t->start = sqlite3_column_double(q, 2);
	t->end = sqlite3_column_double(q, 3);
	if (with_output && (put_column(q, 4, store, &t->out) < 0 || put_column(q, 5, store, &t->err) < 0))
		rc = -1;
	sqlite3_reset(q);
	if (with_output && rc == 0)
		rc = load_pieces(l, t, 0, store, &t->out) < 0 || load_pieces(l, t, 1, store, &t->err) < 0 ? -1 : 0;
	return rc;
}

static int write_result(struct log *l, const struct task *t, const struct text *out, const struct text *err)
{
	sqlite3_stmt *q = with_key(l, Q_FINISH, t);

	sqlite3_bind_int(q, 2, t->status);
	sqlite3_bind_int64(q, 3, t->attempt);
	sqlite3_bind_double(q, 4, t->start);
	sqlite3_bind_double(q, 5, t->end);
	return bind_piece(q, 6, out, 0) < 0 || bind_piece(q, 7, err, 0) < 0 ? -1 : run_query(q);
}

/* A result that may replace another, whose pieces go, or has pieces itself, is a transaction of its own. */
static int write_in_pieces(struct log *l, const struct task *t, const struct text *out, const struct text *err)
{
	if (exec(l, "BEGIN") < 0)
		return failed(l);
	if (run_query(with_key(l, Q_NO_PIECES, t)) == 0 && write_result(l, t, out, err) == 0 && write_pieces(l, t, out) == 0 &&
	    write_pieces(l, t, err) == 0 && exec(l, "COMMIT") == 0)
		return 0;
	failed(l);
	(void)exec(l, "ROLLBACK");      /* what there is to say of it has been noted */
	return -1;
}

int log_finish(struct log *l, const struct task *t, struct chunk_store *store)
{
	struct text out = text_of(store, &t->gone, &t->out, 0), err = text_of(store, NULL, &t->err, 1);

	if (l->runs_failed || out.len > PIECE_BYTES || err.len > PIECE_BYTES)
		return write_in_pieces(l, t, &out, &err);
	return write_result(l, t, &out, &err) == 0 ? 0 : failed(l);
}

int log_delivered(struct log *l, const struct task *t)
{
	return run_query(with_key(l, Q_DELIVERED, t)) == 0 ? 0 : failed(l);
}
