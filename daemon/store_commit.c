/* SPDX-License-Identifier: MIT */
/* Transactions and checkpoints: the only place where something becomes durable, and what is done when it does not. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "failpoint.h"
#include "log.h"
#include "store_priv.h"

int64_t store_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

void store_raise(atomic_uint_fast64_t *max, int64_t value)
{
	if ((uint64_t)value > atomic_load_explicit(max, memory_order_relaxed))
		atomic_store_explicit(max, (uint64_t)value, memory_order_relaxed);
}

/* Crash-only: nothing that is not committed was acknowledged, and the next start recovers. No handlers, no flushing. */
void store_die(struct store *st, const char *what)
{
	log_error("%s: %s: %s (%d; %s); nothing more is acknowledged, ending: see that its disk is well, then start jobd again; what was "
		  "acknowledged is there, and the runner keeps the ends of jobs", st->path, what, sqlite3_errmsg(st->db),
		  sqlite3_extended_errcode(st->db), strerror(st->failed_errno));
	_exit(EXIT_FAILURE);
}

bool store_is_full(struct store *st, int rc)
{
	return (rc & 0xff) == SQLITE_FULL || (rc == SQLITE_IOERR_WRITE && st->failed_errno == EDQUOT);
}

int store_begin(struct store *st)
{
	struct stmt s = stmt_of(st, SQL_BEGIN);

	return stmt_run(&s);
}

int store_commit(struct store *st)
{
	struct stmt s = stmt_of(st, SQL_COMMIT);
	int64_t before = store_now_ns();
	int rc = FAILS("before_commit") ? SQLITE_IOERR : stmt_run(&s);

	FAILPOINT("after_commit");
	if (rc == SQLITE_OK)
		store_raise(&st->commit_ns_max, store_now_ns() - before);
	return rc;
}

/* A transaction that met an error may be gone already. */
void store_rollback(struct store *st)
{
	struct stmt s = stmt_of(st, SQL_ROLLBACK);

	if (!sqlite3_get_autocommit(st->db) && stmt_run(&s))
		store_die(st, "rollback");
}

/* Passive never waits; as the only connection it copies everything, and the next commit writes at the WAL's beginning. On a full disk the
 * WAL's own space is given back as well. Without space for the database file everything stays in the WAL, which is as good. */
void store_checkpoint(struct store *st)
{
	int64_t before = store_now_ns();
	int pages, copied;
	int rc;

	errno = 0;
	FAILPOINT("before_checkpoint");
	rc = sqlite3_wal_checkpoint_v2(st->db, NULL, atomic_load(&st->full) ? SQLITE_CHECKPOINT_TRUNCATE : SQLITE_CHECKPOINT_PASSIVE, &pages,
				       &copied);
	st->failed_errno = errno;
	FAILPOINT("after_checkpoint");
	if (rc == SQLITE_OK)
		st->wal_pages = pages - copied;
	else if (!store_is_full(st, rc))
		store_die(st, "checkpoint");
	store_raise(&st->checkpoint_ns_max, store_now_ns() - before);
}
