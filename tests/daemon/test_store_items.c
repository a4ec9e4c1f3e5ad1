/* SPDX-License-Identifier: MIT */
/* Items of maps: in places, by key, delivered, taken over, and gone with their run. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/store_priv.h"
#include "store_kit.h"
#include "../play.h"

/* ---- items ------------------------------------------------------------------------------------------------------ */

static struct store_item item_of(uint32_t run, uint64_t tag, uint32_t place, uint32_t base)
{
	return (struct store_item){ .run = run, .tag = tag, .seq = tag + 100, .id = JOB_ID(run, place), .base = base, .last = base };
}

static struct store_item with_key(struct store_item item, unsigned key)
{
	item.has_key = true;
	memset(item.key, (int)key, sizeof(item.key));
	return item;
}

/* The specification is the tag. */
static struct store_op *put(struct store_item item)
{
	struct store_op *op = kit_jobs_new(item.run, JOB_IDX(item.id), 1);
	char spec[32];
	int len = snprintf(spec, sizeof(spec), "{\"argv\":[\"%llu\"]}", (unsigned long long)item.tag);

	op->kind = ST_ITEM_NEW;
	op->item = item;
	op->jobs[0].spec = arena_strndup(&op->arena, spec, (size_t)len);
	op->jobs[0].spec_len = (uint32_t)len;
	return op;
}

static struct store_op *delivered(struct store_item item, uint32_t last, bool keep)
{
	struct store_op *op = store_op_new(ST_ITEMS_DELIVERED);

	op->items = malloc(sizeof(*op->items));
	op->n_items = 1;
	op->items[0] = item;
	op->items[0].last = last;
	op->items[0].delivered = keep;
	return op;
}

static struct store_op *taken(struct store_item item, uint64_t tag)
{
	struct store_op *op = store_op_new(ST_ITEM_TAKEN);

	op->n = item.tag;
	op->item = item;
	op->item.tag = tag;
	op->item.seq = tag + 100;
	return op;
}

static struct store_item find(uint32_t run, unsigned key)
{
	struct store_op *op = store_op_new(ST_FIND_ITEMS);
	struct store_item ret;

	op->run.run = run;
	op->items = malloc(sizeof(*op->items));
	op->n_items = 1;
	op->items[0] = with_key(item_of(0, 99, 0, 0), key);
	op = kit_do(op);
	ck_assert_str_eq(op->error, "");
	ret = op->items[0];
	store_op_free(op);
	return ret;
}

static struct store_op *in_hand(uint32_t run)
{
	struct store_op *op = store_op_new(ST_LOAD_ITEMS);

	op->run.run = run;
	op = kit_do(op);
	ck_assert_str_eq(op->error, "");
	return op;
}

static bool has_attempt(struct store_item item, uint32_t attempt)
{
	struct store_op *op = store_op_new(ST_GET_OUTPUT);
	bool there;

	op->id = item.id;
	op->attempt.attempt = attempt;
	op = kit_do(op);
	there = op->n_attempts == 1;
	store_op_free(op);
	return there;
}

static void assert_same(const struct store_item *a, const struct store_item *b)
{
	ck_assert_uint_eq(a->run, b->run);
	ck_assert_uint_eq(a->tag, b->tag);
	ck_assert_uint_eq(a->seq, b->seq);
	ck_assert_uint_eq(a->id, b->id);
	ck_assert_uint_eq(a->base, b->base);
	ck_assert_uint_eq(a->last, b->last);
	ck_assert_int_eq(a->delivered, b->delivered);
	ck_assert_int_eq(a->has_key, b->has_key);
	ck_assert(!a->has_key || memcmp(a->key, b->key, sizeof(a->key)) == 0);
}

static struct store_op *map_new(uint32_t run)
{
	struct store_op *op = kit_run_new(run, NULL, NULL);

	op->run.stream = 1;
	op->run.state = RUN_OPEN;
	op->run.options = strdup("{\"map\":{\"window\":8}}");
	return op;
}

static void setup(void)
{
	kit_setup();
	kit_run(map_new(1));
}

/* ---- a place ---------------------------------------------------------------------------------------------------- */

static void assert_waits(struct store_item item, uint32_t attempts, const char *spec)
{
	static const struct store_job_state waits = { .state = JT_WAITING, .cause = JT_NONE, .exit_code = -1 };
	struct store_op *job = kit_get_job(item.id);
	struct store_job_state expected = waits;

	expected.attempts = attempts;
	ck_assert_str_eq(job->text, spec);
	ck_assert_mem_eq(&job->rows->job, &expected, sizeof(expected));
	store_op_free(job);
}

START_TEST(an_item_makes_its_place_and_the_next_one_finds_it_as_new)
{
	struct store_item first = item_of(1, 1, 0, 0), second = item_of(1, 2, 0, 3);
	struct store_op *end = kit_end(1, 0, 3);

	kit_run(put(first));
	assert_waits(first, 0, "{\"argv\":[\"1\"]}");
	kit_run(kit_arm(1, 0, 1));
	end->job.state = JT_FAILED;
	end->job.cause = 7;
	end->job.n_failed = end->job.n_lost = 2;
	end->job.due_at_us = end->job.budget_at_us = 11;
	end->job.exit_code = 9;
	end->job.signal = 6;
	kit_run(end);
	kit_run(delivered(first, 3, false));
	kit_run(put(second));
	assert_waits(second, 3, "{\"argv\":[\"2\"]}");
	kit_reopen();
	assert_waits(second, 3, "{\"argv\":[\"2\"]}");
}
END_TEST

/* What stands first as its start is that of the item, not of those that were in its place before. */
START_TEST(an_item_has_its_own_first_start)
{
	struct store_op *arm = kit_arm(1, 0, 2), *job;

	kit_run(put(item_of(1, 1, 0, 0)));
	kit_run(kit_end(1, 0, 1));
	kit_run(put(item_of(1, 2, 0, 1)));
	arm->job.started_at_us = 50;
	kit_run(arm);
	job = kit_get_job(JOB_ID(1, 0));
	ck_assert_int_eq(job->rows->job.started_at_us, 50);
	store_op_free(job);
}
END_TEST

/* ---- delivered -------------------------------------------------------------------------------------------------- */

START_TEST(of_an_item_that_is_not_kept_nothing_is_left)
{
	struct store_item first = with_key(item_of(1, 1, 0, 0), 'a'), second = item_of(1, 2, 0, 2);

	kit_run(put(first));
	kit_run(kit_end(1, 0, 1));
	kit_run(kit_end(1, 0, 2));
	kit_run(put(second));
	kit_run(kit_end(1, 0, 3));
	kit_run(delivered(first, 2, false));
	ck_assert(!has_attempt(first, 1) && !has_attempt(first, 2) && has_attempt(second, 3));
	ck_assert_uint_eq(find(1, 'a').tag, 0);
	kit_close();
	ck_assert_int_eq(kit_sql("SELECT count(*) FROM items"), 1);
	ck_assert_int_eq(kit_sql("SELECT tag FROM items"), 2);
}
END_TEST

START_TEST(an_item_that_is_kept_is_found_with_its_attempts)
{
	struct store_item item = with_key(item_of(1, 1, 0, 4), 'a'), found;

	kit_run(put(item));
	kit_run(kit_end(1, 0, 5));
	kit_run(delivered(item, 5, true));
	kit_run(put(item_of(1, 2, 0, 5)));
	kit_reopen();
	item.delivered = true;
	item.last = 5;
	found = find(1, 'a');
	assert_same(&found, &item);
	ck_assert(has_attempt(found, found.last));
}
END_TEST

START_TEST(many_are_delivered_at_once_each_its_way)
{
	struct store_op *op = store_op_new(ST_ITEMS_DELIVERED), *left;

	op->items = calloc(10, sizeof(*op->items));
	op->n_items = 10;
	for (uint32_t i = 0; i < 10; i++) {
		op->items[i] = item_of(1, i + 1, i, 0);
		kit_run(put(op->items[i]));
		kit_run(kit_end(1, i, 1));
		op->items[i].last = 1;
		op->items[i].delivered = i % 2;
	}
	kit_run(op);
	left = in_hand(1);
	ck_assert_uint_eq(left->n_items, 0);
	ck_assert_uint_eq(left->n, 10);
	store_op_free(left);
	for (uint32_t i = 0; i < 10; i++)
		ck_assert_int_eq(has_attempt(item_of(1, i + 1, i, 0), 1), i % 2);
}
END_TEST

/* ---- keys ------------------------------------------------------------------------------------------------------- */

START_TEST(a_key_is_found_in_its_own_run_only)
{
	kit_run(map_new(2));
	kit_run(put(with_key(item_of(1, 1, 0, 0), 'a')));
	kit_run(put(with_key(item_of(2, 8, 0, 0), 'a')));
	kit_run(put(item_of(1, 2, 1, 0)));      /* without a key, like the next */
	kit_run(put(item_of(1, 3, 2, 0)));
	ck_assert_uint_eq(find(1, 'a').tag, 1);
	ck_assert_uint_eq(find(2, 'a').tag, 8);
	ck_assert_uint_eq(find(1, 'b').tag, 0);
	ck_assert_uint_eq(find(3, 'a').tag, 0);
	ck_assert_uint_eq(find(1, 0).tag, 0);
}
END_TEST

START_TEST(an_item_replaces_the_one_that_had_its_key)
{
	struct store_item old = with_key(item_of(1, 1, 0, 0), 'a'), other = item_of(1, 2, 0, 2), again = with_key(item_of(1, 3, 1, 0), 'a');

	kit_run(put(old));
	kit_run(kit_end(1, 0, 1));
	kit_run(kit_end(1, 0, 2));
	kit_run(delivered(old, 2, true));
	kit_run(put(other));
	kit_run(kit_end(1, 0, 3));
	kit_run(put(again));
	ck_assert(!has_attempt(old, 1) && !has_attempt(old, 2) && has_attempt(other, 3));
	ck_assert_uint_eq(find(1, 'a').tag, 3);
	kit_close();
	ck_assert_int_eq(kit_sql("SELECT count(*) FROM items"), 2);
}
END_TEST

/* Also one in hand, whose last attempt nobody has written down. */
START_TEST(one_in_hand_that_is_replaced_leaves_no_attempt)
{
	struct store_item old = with_key(item_of(1, 1, 0, 0), 'a');

	kit_run(put(old));
	kit_run(kit_end(1, 0, 1));
	kit_run(kit_end(1, 0, 2));
	kit_run(put(with_key(item_of(1, 2, 1, 0), 'a')));
	kit_close();
	ck_assert_int_eq(kit_sql("SELECT count(*) FROM attempts"), 0);
	ck_assert_int_eq(kit_sql("SELECT sum(tag) FROM items"), 2);
}
END_TEST

START_TEST(an_item_is_taken_over_under_another_number)
{
	struct store_item item = with_key(item_of(1, 5, 0, 0), 'a'), found;

	kit_run(put(item));
	kit_run(kit_end(1, 0, 1));
	kit_run(taken(item, 9));
	kit_run(taken(item, 10));       /* 5 is not there */
	found = find(1, 'a');
	item.tag = 9;
	item.seq = 109;
	assert_same(&found, &item);
	ck_assert(has_attempt(item, 1));
}
END_TEST

/* ---- loads ------------------------------------------------------------------------------------------------------ */

static struct store_item loaded[8];
static size_t n_loaded;

static void keep(void *arg, const struct store_item *item)
{
	ck_assert_ptr_eq(arg, loaded);
	ck_assert_uint_lt(n_loaded, 8);
	loaded[n_loaded++] = *item;
}

START_TEST(those_in_hand_are_loaded_by_number)
{
	struct store_item two = with_key(item_of(1, 2, 1, 6), 'b'), seven = item_of(1, 7, 0, 1), nine = item_of(1, 9, 2, 0);
	struct store_error err;
	struct store_op *op;
	uint64_t last = 0;

	kit_run(map_new(2));
	kit_run(put(seven));
	kit_run(put(nine));
	kit_run(put(two));
	kit_run(put(item_of(2, 30, 0, 0)));
	kit_run(delivered(nine, 1, true));
	op = in_hand(1);
	ck_assert_uint_eq(op->n_items, 2);
	assert_same(&op->items[0], &two);
	assert_same(&op->items[1], &seven);
	ck_assert_uint_eq(op->n, 9);
	store_op_free(op);
	kit_close();
	kit_store = store_open(kit_dir, &err);
	ck_assert_int_eq(store_load_items(kit_store, 1, keep, loaded, &last, &err), 0);
	store_close(kit_store);
	kit_store = NULL;
	ck_assert_uint_eq(n_loaded, 2);
	assert_same(&loaded[0], &two);
	assert_same(&loaded[1], &seven);
	ck_assert_uint_eq(last, 9);
}
END_TEST

START_TEST(a_map_without_items_has_no_number)
{
	struct store_op *op = in_hand(1);

	ck_assert_uint_eq(op->n_items, 0);
	ck_assert_uint_eq(op->n, 0);
	store_op_free(op);
}
END_TEST

/* Each line of the plan of statement q. */
static void assert_plan(sqlite3 *db, enum sql q)
{
	char *text = sqlite3_mprintf("EXPLAIN QUERY PLAN %s", store_sql[q]);
	sqlite3_stmt *stmt;

	ck_assert_int_eq(sqlite3_prepare_v2(db, text, -1, &stmt, NULL), SQLITE_OK);
	sqlite3_free(text);
	while (sqlite3_step(stmt) == SQLITE_ROW) {
		const char *line = (const char *)sqlite3_column_text(stmt, 3);

		ck_assert_msg(strncmp(line, "SCAN", 4) != 0, "%s\n%s", store_sql[q], line);
		ck_assert_msg(strstr(line, "TEMP B-TREE") == NULL, "%s\n%s", store_sql[q], line);
		if (q == SQL_ITEMS_IN_HAND && strstr(line, "items"))
			ck_assert_msg(strstr(line, "items_in_hand") != NULL, "%s\n%s", store_sql[q], line);
	}
	sqlite3_finalize(stmt);
}

/* However many were delivered: none of them is looked at for those in hand, or to find another one. */
START_TEST(no_statement_walks_through_all_items)
{
	static const enum sql all[] = {
		SQL_ITEM_OLD, SQL_ITEM_TAKEN, SQL_ITEM_KEPT, SQL_ITEM_GONE, SQL_ITEM_FIND, SQL_ITEMS_IN_HAND, SQL_ITEMS_LAST_TAG, SQL_DROP_ITEMS,
		SQL_ITEM_OLD_ATTEMPTS, SQL_ITEM_GONE_ATTEMPTS, SQL_DROP_ATTEMPTS_END, SQL_DROP_ATTEMPTS_TO,
	};
	sqlite3 *db;

	kit_close();
	ck_assert_int_eq(sqlite3_open(kit_db, &db), SQLITE_OK);
	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
		assert_plan(db, all[i]);
	sqlite3_close(db);
}
END_TEST

/* ---- the rest of the store -------------------------------------------------------------------------------------- */

START_TEST(places_are_no_jobs_of_a_history)
{
	kit_run(kit_run_new(2, NULL, NULL));
	kit_run(kit_jobs_new(2, 0, 1));
	kit_run(put(item_of(1, 1, 0, 0)));
	kit_run(delivered(item_of(1, 1, 0, 0), 1, false));
	kit_close();
	ck_assert_int_eq(kit_sql("SELECT count(*) FROM jobs"), 2);
	ck_assert_int_eq(kit_sql("SELECT count(*) FROM check_view"), 1);
	ck_assert_int_eq(kit_sql("SELECT id >> 32 FROM check_view"), 2);
}
END_TEST

#define MANY 25000              /* more than two slices */

static void many_items(uint32_t run)
{
	for (uint32_t i = 1; i <= MANY; i++) {
		struct store_item item = with_key(item_of(run, i, i % 2, i / 2), 0);

		memcpy(item.key, &i, sizeof(i));
		kit_post(put(item));
		kit_post(kit_end(run, i % 2, i / 2 + 1));
		kit_post(delivered(item, i / 2 + 1, true));
	}
	kit_wait_all();
}

static int64_t n_rows_of(uint32_t run)
{
	char sql[256];

	snprintf(sql, sizeof(sql),
		 "SELECT (SELECT count(*) FROM jobs WHERE id >> 32 = %1$u) + (SELECT count(*) FROM states WHERE id >> 32 = %1$u)"
		 " + (SELECT count(*) FROM attempts WHERE id >> 32 = %1$u) + (SELECT count(*) FROM items WHERE run = %1$u)", run);
	return kit_sql(sql);
}

/* The database after one slice more of the deletion. */
static void one_slice(void)
{
	struct store_error err;

	kit_store = store_open(kit_dir, &err);
	ck_assert_int_eq(store_begin(kit_store), 0);
	ck_assert_int_eq(store_drop_slice(kit_store), 0);
	ck_assert_int_eq(store_commit(kit_store), 0);
	store_close(kit_store);
	kit_store = NULL;
}

START_TEST(a_dropped_map_goes_in_slices_though_it_has_few_places)
{
	int64_t left, now, before;

	kit_run(map_new(2));
	many_items(1);
	many_items(2);
	kit_run(kit_run_drop(1));
	kit_close();
	before = n_rows_of(2);
	ck_assert_int_eq(before, 2 * MANY + 4);
	for (left = n_rows_of(1); left > 0; left = now) {
		one_slice();
		now = n_rows_of(1);
		ck_assert_int_lt(now, left);
		ck_assert_int_le(left - now, 10100);
	}
	for (int i = 0; i < 3; i++)
		one_slice();
	ck_assert_int_eq(n_rows_of(2), before);
	ck_assert_int_eq(kit_sql("SELECT count(*) FROM dropped"), 0);
}
END_TEST

/* ---- any history ------------------------------------------------------------------------------------------------ */

#define PLACES 5
#define KEYS 12
#define STEPS 1500

/* What is said of the store, in arrays: the items of keys, and which of them stands in each place. */
static struct store_item known[KEYS];
static int in_place[PLACES];            /* a key, or -1 */
static uint32_t attempts[PLACES];
static uint64_t last_tag;

static void begin_item(int key, int place)
{
	known[key] = with_key(item_of(1, ++last_tag, (uint32_t)place, attempts[place]), (unsigned)key + 1);
	in_place[place] = key;
	kit_post(put(known[key]));
}

static void end_attempt(int place)
{
	kit_post(kit_end(1, (uint32_t)place, ++attempts[place]));
}

static void deliver(int place, bool keep_it)
{
	struct store_item *item = &known[in_place[place]];

	kit_post(delivered(*item, attempts[place], keep_it));
	item->delivered = true;
	item->last = attempts[place];
	if (!keep_it)
		*item = (struct store_item){ 0 };
	in_place[place] = -1;
}

static void take_over(int key)
{
	kit_post(taken(known[key], ++last_tag));
	known[key].tag = last_tag;
	known[key].seq = last_tag + 100;
}

static void any_step(void)
{
	int place = (int)(random() % PLACES), key = (int)(random() % KEYS);

	if (in_place[place] < 0 && (!known[key].tag || known[key].delivered))
		begin_item(key, place);
	else if (in_place[place] >= 0 && random() % 2)
		end_attempt(place);
	else if (in_place[place] >= 0)
		deliver(place, random() % 3);
	else
		take_over(key);
}

static void assert_key(int key)
{
	struct store_item found = find(1, (unsigned)key + 1);

	if (known[key].tag)
		assert_same(&found, &known[key]);
	else
		ck_assert_uint_eq(found.tag, 0);
	for (uint32_t a = known[key].base + 1; known[key].delivered && a <= known[key].last; a++)
		ck_assert(has_attempt(found, a));
}

static size_t n_attempts_known(void)
{
	size_t n = 0;

	for (int key = 0; key < KEYS; key++)
		n += known[key].delivered ? known[key].last - known[key].base : 0;
	for (int place = 0; place < PLACES; place++)
		n += in_place[place] >= 0 ? attempts[place] - known[in_place[place]].base : 0;
	return n;
}

START_TEST(any_history_is_as_it_was_said)
{
	srandom((unsigned)_i + 1);
	memset(in_place, -1, sizeof(in_place));
	for (int step = 0; step < STEPS; step++) {
		any_step();
		if (step % 150 < 148)
			continue;
		kit_wait_all();
		for (int key = 0; key < KEYS; key++)
			assert_key(key);
		kit_close();
		ck_assert_int_eq(kit_sql("SELECT count(*) FROM attempts"), (int64_t)n_attempts_known());
		kit_open();
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("store_items");
	TCase *tc = tcase_create("items");

	tcase_add_checked_fixture(tc, setup, kit_teardown);
	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, an_item_makes_its_place_and_the_next_one_finds_it_as_new);
	tcase_add_test(tc, an_item_has_its_own_first_start);
	tcase_add_test(tc, of_an_item_that_is_not_kept_nothing_is_left);
	tcase_add_test(tc, an_item_that_is_kept_is_found_with_its_attempts);
	tcase_add_test(tc, many_are_delivered_at_once_each_its_way);
	tcase_add_test(tc, a_key_is_found_in_its_own_run_only);
	tcase_add_test(tc, an_item_replaces_the_one_that_had_its_key);
	tcase_add_test(tc, one_in_hand_that_is_replaced_leaves_no_attempt);
	tcase_add_test(tc, an_item_is_taken_over_under_another_number);
	tcase_add_test(tc, those_in_hand_are_loaded_by_number);
	tcase_add_test(tc, a_map_without_items_has_no_number);
	tcase_add_test(tc, no_statement_walks_through_all_items);
	tcase_add_test(tc, places_are_no_jobs_of_a_history);
	tcase_add_test(tc, a_dropped_map_goes_in_slices_though_it_has_few_places);
	tcase_add_loop_test(tc, any_history_is_as_it_was_said, 0, 4);
	suite_add_tcase(suite, tc);
	return play_suite(suite);
}
