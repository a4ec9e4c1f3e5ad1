/* SPDX-License-Identifier: MIT */
/* The items of maps, which come and go in places: see struct store_item. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "jobtree.h"
#include "store_priv.h"

static void put_key(struct stmt *s, const struct store_item *item)
{
	put_blob(s, item->has_key ? item->key : NULL, sizeof(item->key));
}

static int run_with_key(struct store *st, enum sql q, const struct store_item *item)
{
	struct stmt s = stmt_of(st, q);

	put_int(&s, item->run);
	put_key(&s, item);
	return stmt_run(&s);
}

/* ---- writes ----------------------------------------------------------------------------------------------------- */

static int forget_key(struct store *st, const struct store_item *item)
{
	int rc;

	if (!item->has_key)
		return SQLITE_OK;
	rc = run_with_key(st, SQL_ITEM_OLD_ATTEMPTS, item);
	return rc ? rc : run_with_key(st, SQL_ITEM_OLD, item);
}

static int place_waits(struct store *st, const struct store_item *item)
{
	struct stmt s = stmt_of(st, SQL_PLACE_STATE);

	put_int(&s, (int64_t)item->id);
	put_int(&s, JT_WAITING);
	put_int(&s, item->base);
	return stmt_run(&s);
}

static int insert(struct store *st, const struct store_item *item)
{
	struct stmt s = stmt_of(st, SQL_ITEM_NEW);

	put_int(&s, item->run);
	put_int(&s, (int64_t)item->tag);
	put_key(&s, item);
	put_int(&s, (int64_t)item->seq);
	put_int(&s, (int64_t)item->id);
	put_int(&s, item->base);
	put_int(&s, item->base);
	put_int(&s, false);
	return stmt_run(&s);
}

/* What it is to read must not be lost where its record is not. */
static int sync_input(int fd)
{
	if (fd < 0 || fdatasync(fd) == 0)
		return SQLITE_OK;
	return errno == ENOSPC || errno == EDQUOT ? SQLITE_FULL : SQLITE_IOERR_FSYNC;
}

int store_item_new(struct store *st, struct store_op *op)
{
	int rc = sync_input(op->sync_fd);

	if (!rc)
		rc = forget_key(st, &op->item);
	if (!rc)
		rc = store_put_job(st, SQL_PLACE_JOB, op->item.id, op->jobs);
	if (!rc)
		rc = place_waits(st, &op->item);
	return rc ? rc : insert(st, &op->item);
}

int store_item_taken(struct store *st, struct store_op *op)
{
	struct stmt s = stmt_of(st, SQL_ITEM_TAKEN);

	put_int(&s, op->item.run);
	put_int(&s, (int64_t)op->n);
	put_int(&s, (int64_t)op->item.tag);
	put_int(&s, (int64_t)op->item.seq);
	return stmt_run(&s);
}

static int kept(struct store *st, const struct store_item *item)
{
	struct stmt s = stmt_of(st, SQL_ITEM_KEPT);

	put_int(&s, item->run);
	put_int(&s, (int64_t)item->tag);
	put_int(&s, item->last);
	return stmt_run(&s);
}

static int gone(struct store *st, const struct store_item *item)
{
	struct stmt s = stmt_of(st, SQL_ITEM_GONE);
	struct stmt attempts = stmt_of(st, SQL_ITEM_GONE_ATTEMPTS);
	int rc;

	put_int(&s, item->run);
	put_int(&s, (int64_t)item->tag);
	rc = stmt_run(&s);
	if (rc)
		return rc;
	put_int(&attempts, (int64_t)item->id);
	put_int(&attempts, item->base);
	put_int(&attempts, item->last);
	return stmt_run(&attempts);
}

int store_items_delivered(struct store *st, struct store_op *op)
{
	for (size_t i = 0; i < op->n_items; i++) {
		int rc = (op->items[i].delivered ? kept : gone)(st, &op->items[i]);

		if (rc)
			return rc;
	}
	return SQLITE_OK;
}

/* ---- queries ---------------------------------------------------------------------------------------------------- */

static void get_item(struct stmt *s, struct store_item *ret)
{
	*ret = (struct store_item){ .run = (uint32_t)get_int(s) };
	ret->tag = (uint64_t)get_int(s);
	ret->has_key = sqlite3_column_type(s->s, s->i) != SQLITE_NULL;
	get_blob(s, ret->key, sizeof(ret->key));
	ret->seq = (uint64_t)get_int(s);
	ret->id = (uint64_t)get_int(s);
	ret->base = (uint32_t)get_int(s);
	ret->last = (uint32_t)get_int(s);
	ret->delivered = get_int(s);
}

static int find(struct store *st, uint32_t run, struct store_item *item)
{
	struct stmt s = stmt_of(st, SQL_ITEM_FIND);
	unsigned char key[STORE_ITEM_KEY];

	memcpy(key, item->key, sizeof(key));
	item->tag = 0;
	put_int(&s, run);
	put_blob(&s, key, sizeof(key));
	if (stmt_row(&s) == SQLITE_ROW)
		get_item(&s, item);
	return stmt_end(&s);
}

int store_find_items(struct store *st, struct store_op *op)
{
	for (size_t i = 0; i < op->n_items; i++) {
		int rc = find(st, op->run.run, &op->items[i]);

		if (rc)
			return rc;
	}
	return SQLITE_OK;
}

static int in_hand(struct store *st, uint32_t run, void (*fn)(void *arg, const struct store_item *item), void *arg)
{
	struct stmt s = stmt_of(st, SQL_ITEMS_IN_HAND);

	put_int(&s, run);
	while (stmt_row(&s) == SQLITE_ROW) {
		struct store_item item;

		get_item(&s, &item);
		item.bytes = get_int(&s);
		fn(arg, &item);
	}
	return stmt_end(&s);
}

static void append(void *arg, const struct store_item *item)
{
	struct store_op *op = arg;

	op->items = store_grow(op->items, op->n_items, sizeof(*op->items));
	op->items[op->n_items++] = *item;
}

static int last_tag(struct store *st, uint32_t run, uint64_t *ret)
{
	struct stmt s = stmt_of(st, SQL_ITEMS_LAST_TAG);

	put_int(&s, run);
	if (stmt_row(&s) == SQLITE_ROW)
		*ret = (uint64_t)get_int(&s);
	return stmt_end(&s);
}

int store_items_in_hand(struct store *st, struct store_op *op)
{
	int rc;

	free(op->items);
	op->items = NULL;
	op->n_items = 0;
	rc = in_hand(st, op->run.run, append, op);
	return rc ? rc : last_tag(st, op->run.run, &op->n);
}

int store_load_items(struct store *st, uint32_t run, void (*fn)(void *arg, const struct store_item *item), void *arg, uint64_t *ret_last_tag,
		     struct store_error *err)
{
	if (in_hand(st, run, fn, arg) == SQLITE_OK && last_tag(st, run, ret_last_tag) == SQLITE_OK)
		return 0;
	snprintf(err->text, sizeof(err->text), "%s: can not read the items of a map: %s", st->path, sqlite3_errmsg(st->db));
	return -1;
}
