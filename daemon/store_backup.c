/* SPDX-License-Identifier: MIT */
/*
 * ST_BACKUP: a copy of the database, a slice after each batch, so that a commit waits for a slice and never for the whole. It is
 * given up when the store is out of space (what is recorded goes first) and when the store stops.
 */
#include <stdio.h>

#include "store_copy.h"
#include "store_priv.h"

#define SLICE_PAGES 256                 /* 1 MiB: a few milliseconds */

static struct store_op *end(struct store *st, const char *error)
{
	struct store_op *op = st->backup_op;

	snprintf(op->error, sizeof(op->error), "%.255s", error);
	store_copy_free(st->backup);
	st->backup = NULL;
	st->backup_op = NULL;
	return op;
}

struct store_op *store_backup_begin(struct store *st, struct store_op *op)
{
	struct store_error err;

	if (st->backup) {
		snprintf(op->error, sizeof(op->error), "another backup is being made: wait for its end");
		return op;
	}
	st->backup_op = op;
	st->backup = store_copy_begin(st->db, op->path, &err);
	return st->backup ? NULL : end(st, err.text);
}

struct store_op *store_backup_slice(struct store *st)
{
	struct store_error err;
	int rc = store_copy_step(st->backup, SLICE_PAGES, &err);

	if (rc == STORE_COPY_MORE)
		return NULL;
	return end(st, rc == STORE_COPY_DONE ? "" : err.text);
}

struct store_op *store_backup_give_up(struct store *st, const char *why)
{
	struct store_error err;

	snprintf(err.text, sizeof(err.text), "backup to %.120s: %s", st->backup_op->path, why);
	return end(st, err.text);
}
