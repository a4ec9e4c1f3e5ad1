/* SPDX-License-Identifier: MIT */
/* Prepared statements: parameters are bound and columns read one after the other, so that the order of the calls is the order in
 * the text. A bind fails only for want of memory or by our own mistake; both end the process. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store_priv.h"

struct stmt stmt_of(struct store *st, enum sql q)
{
	return (struct stmt){ .s = st->stmts[q], .errno_of = &st->failed_errno };
}

static void must(int rc)
{
	if (rc != SQLITE_OK)
		abort();
}

void put_int(struct stmt *s, int64_t v)
{
	must(sqlite3_bind_int64(s->s, ++s->i, v));
}

void put_int_or_null(struct stmt *s, int64_t v, int64_t null)
{
	if (v == null)
		must(sqlite3_bind_null(s->s, ++s->i));
	else
		put_int(s, v);
}

void put_text(struct stmt *s, const char *v, size_t len)
{
	must(sqlite3_bind_text64(s->s, ++s->i, v, len, SQLITE_STATIC, SQLITE_UTF8));
}

void put_str(struct stmt *s, const char *v)
{
	put_text(s, v, v ? strlen(v) : 0);
}

void put_blob(struct stmt *s, const void *v, size_t len)
{
	must(sqlite3_bind_blob64(s->s, ++s->i, v, len, SQLITE_STATIC));
}

int stmt_row(struct stmt *s)
{
	int rc;

	s->i = 0;
	errno = 0;
	rc = sqlite3_step(s->s);
	if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		*s->errno_of = errno;
	return rc;
}

int stmt_end(struct stmt *s)
{
	s->i = 0;
	return sqlite3_reset(s->s);
}

int stmt_run(struct stmt *s)
{
	while (stmt_row(s) == SQLITE_ROW)
		;
	return stmt_end(s);
}

int64_t get_int(struct stmt *s)
{
	return sqlite3_column_int64(s->s, s->i++);
}

int64_t get_int_or(struct stmt *s, int64_t null)
{
	if (sqlite3_column_type(s->s, s->i) == SQLITE_NULL) {
		s->i++;
		return null;
	}
	return get_int(s);
}

const char *get_text(struct stmt *s, size_t *ret_len)
{
	int i = s->i++;
	int type = sqlite3_column_type(s->s, i);
	const char *v = NULL;

	*ret_len = 0;
	if (type == SQLITE_NULL)
		return NULL;
	v = type == SQLITE_BLOB ? sqlite3_column_blob(s->s, i) : (const char *)sqlite3_column_text(s->s, i);
	*ret_len = (size_t)sqlite3_column_bytes(s->s, i);
	return v ? v : "";
}

char *get_dup(struct stmt *s)
{
	size_t len;
	const char *v = get_text(s, &len);
	char *copy;

	if (!v)
		return NULL;
	copy = malloc(len + 1);
	if (!copy)
		abort();
	memcpy(copy, v, len);
	copy[len] = 0;
	return copy;
}

void get_blob(struct stmt *s, void *ret, size_t size)
{
	size_t len;
	const char *v = get_text(s, &len);

	memset(ret, 0, size);
	if (v)
		memcpy(ret, v, len < size ? len : size);
}
