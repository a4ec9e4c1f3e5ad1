/* SPDX-License-Identifier: MIT */
/* The tables, and the steps by which an older database becomes the one of today. */
#ifndef STORE_SCHEMA_H
#define STORE_SCHEMA_H

#include <stdint.h>

struct sqlite3;
struct store_error;

#define STORE_APPLICATION_ID 0x6a6f6264         /* "jobd" */

/* Step i leads from user_version i to i + 1. A step that was ever released never changes. */
extern const char *const store_steps[];
extern const int store_n_steps;

/* store_schema_rehearse - the steps from version `from` on in one transaction that is rolled back: whether they can be taken at all. */
int store_schema_rehearse(struct sqlite3 *db, const char *const *steps, int from, int n_steps, struct store_error *err);

/*
 * store_schema_migrate - run the steps from the database's user_version up to n_steps, each in a transaction of its own, so that
 * an end in the middle leaves a database of one of the versions. 0, or -1 with *err.
 */
int store_schema_migrate(struct sqlite3 *db, const char *const *steps, int n_steps, struct store_error *err);

/* The value of a pragma that is an integer; -1 with *err if it can not be read. */
int64_t store_pragma(struct sqlite3 *db, const char *sql, struct store_error *err);

#endif
