/* SPDX-License-Identifier: MIT */
#include "map/keys.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "buf.h"

static const char schema[] =
	"PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;"
	"CREATE TABLE seen(content BLOB PRIMARY KEY, n INTEGER NOT NULL) STRICT, WITHOUT ROWID;";
static const char sql_seen[] = "INSERT INTO seen(content, n) VALUES(?1, 1) ON CONFLICT(content) DO UPDATE SET n = n + 1 RETURNING n";

struct keys {
	sqlite3 *db;                    /* a file without a name */
	sqlite3_stmt *seen;
	XXH128_canonical_t command;
};
_Static_assert(sizeof(XXH128_canonical_t) == KEY_SIZE, "the size of a key");

static void hash_text(XXH3_state_t *st, const void *data, size_t len)
{
	uint64_t n = len;

	XXH3_128bits_update(st, &n, sizeof(n));
	XXH3_128bits_update(st, data, len);
}

static void hash_command(struct keys *k, const struct stage_settings *set, uint64_t number)
{
	XXH3_state_t st;

	XXH3_128bits_reset(&st);
	hash_text(&st, set->item_on_stdin ? "i" : set->shell ? "s" : "a", 1);
	for (size_t i = 0; i < set->n_words; i++)
		hash_text(&st, set->words[i], strlen(set->words[i]));
	if (number > 1)
		hash_text(&st, &number, sizeof(number));
	XXH128_canonicalFromHash(&k->command, XXH3_128bits_digest(&st));
}

static int failed(const struct keys *k)
{
	int error = sqlite3_system_errno(k->db);

	errno = error ? error : EIO;
	return -1;
}

struct keys *keys_new(const struct stage_settings *set, size_t number)
{
	struct keys *k = xcalloc(1, sizeof(*k));

	hash_command(k, set, number);
	if (sqlite3_open_v2("", &k->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL) == SQLITE_OK &&
	    sqlite3_exec(k->db, schema, NULL, NULL, NULL) == SQLITE_OK &&
	    sqlite3_prepare_v3(k->db, sql_seen, -1, SQLITE_PREPARE_PERSISTENT, &k->seen, NULL) == SQLITE_OK)
		return k;
	failed(k);
	keys_free(k);
	return NULL;
}

void keys_free(struct keys *k)
{
	if (!k)
		return;
	sqlite3_finalize(k->seen);
	sqlite3_close(k->db);
	free(k);
}

const unsigned char *keys_command(const struct keys *k)
{
	return k->command.digest;
}

static XXH128_canonical_t hash_item(const struct keys *k, const struct task *t, int64_t occurrence)
{
	XXH128_canonical_t key;
	XXH3_state_t st;

	XXH3_128bits_reset(&st);
	XXH3_128bits_update(&st, &k->command, sizeof(k->command));
	XXH3_128bits_update(&st, &occurrence, sizeof(occurrence));
	for (size_t i = 0; i < task_parts(t); i++)
		hash_text(&st, task_part(t, i).data, task_part(t, i).len);
	XXH128_canonicalFromHash(&key, XXH3_128bits_digest(&st));
	return key;
}

static int64_t occurrence_of(struct keys *k, const struct task *t)
{
	XXH128_canonical_t content = hash_item(k, t, 0);
	int64_t n = -1;

	sqlite3_bind_blob(k->seen, 1, &content, sizeof(content), SQLITE_STATIC);
	if (sqlite3_step(k->seen) == SQLITE_ROW)
		n = sqlite3_column_int64(k->seen, 0);
	sqlite3_reset(k->seen);
	return n;
}

int keys_make(struct keys *k, struct task *t)
{
	int64_t occurrence = occurrence_of(k, t);
	XXH128_canonical_t key;

	if (occurrence < 0)
		return failed(k);
	key = hash_item(k, t, occurrence);
	memcpy(t->key, &key, sizeof(t->key));
	return 0;
}

void keys_of_start(const struct task *t, unsigned char ret[KEY_SIZE])
{
	const uint64_t part[] = { t->part_at, t->n_parts };
	XXH128_canonical_t key;
	XXH3_state_t st;

	memcpy(ret, t->key, KEY_SIZE);
	if (t->n_parts == 0)
		return;
	XXH3_128bits_reset(&st);
	XXH3_128bits_update(&st, t->key, sizeof(t->key));
	XXH3_128bits_update(&st, part, sizeof(part));
	XXH128_canonicalFromHash(&key, XXH3_128bits_digest(&st));
	memcpy(ret, &key, KEY_SIZE);
}
