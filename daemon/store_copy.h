/* SPDX-License-Identifier: MIT */
/*
 * A copy of an open database, made in steps under another name, synced, and given its name at the end: a copy that is there is whole.
 *
 * What the same connection commits between two steps is in the copy too: it shows the database at its last step, and what was
 * committed before it began is in it. Only store*.c include this.
 */
#ifndef STORE_COPY_H
#define STORE_COPY_H

struct sqlite3;
struct store_copy;
struct store_error;

/*
 * store_copy_begin - makes PATH.new, mode 0600; one that stands there from an earlier attempt is replaced. `from` is borrowed until
 * store_copy_free, and has no transaction open whenever a step is made. NULL with *err: the file can not be made.
 */
struct store_copy *store_copy_begin(struct sqlite3 *from, const char *path, struct store_error *err);

/* STORE_COPY_MORE until PATH is there, whole and durable; -1 with *err. Never more than n_pages pages at once; n_pages -1: all. */
enum { STORE_COPY_MORE, STORE_COPY_DONE };
int store_copy_step(struct store_copy *copy, int n_pages, struct store_error *err);

/* Removes what is not finished. NULL is fine. */
void store_copy_free(struct store_copy *copy);

/* All at once; 0, or -1 with *err. */
int store_copy_now(struct sqlite3 *from, const char *path, struct store_error *err);

/* Syncs the directory in which PATH is. 0, or -1 with errno. */
int store_sync_parent(const char *path);

#endif
