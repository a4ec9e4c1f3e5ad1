/* SPDX-License-Identifier: MIT */
/* The parts of a local map: records, the store of outputs, halt, sizes. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/map/chunks.h"
#include "client/map/halt.h"
#include "client/map/records.h"
#include "client/options.h"
#include "kit.h"

/* ---- records ---- */

static int ends[2];
static struct jt_source source;

static void open_source(struct records_opts o)
{
	ck_assert_int_eq(pipe(ends), 0);
	source = records_source(ends[0], &o);
}

static void arrives(const char *text)
{
	ck_assert_int_eq(write(ends[1], text, strlen(text)), (ssize_t)strlen(text));
}

static void expect_item(const char *text)
{
	struct jt_item item;

	ck_assert_int_eq(source.next(source.arg, &item), 1);
	ck_assert_uint_eq(item.len, strlen(text));
	ck_assert_mem_eq(item.data, text, item.len);
	jt_item_done(&item);
}

static void expect(int rc)
{
	struct jt_item item;

	ck_assert_int_eq(source.next(source.arg, &item), rc);
}

START_TEST(an_item_is_there_with_its_terminator_and_the_last_without)
{
	open_source((struct records_opts){ .terminator = '\n' });
	expect(-EAGAIN);
	arrives("a");
	expect(-EAGAIN);
	arrives("b\n\nc");
	expect_item("ab");
	expect_item("");
	expect(-EAGAIN);
	close(ends[1]);
	expect_item("c");
	expect(0);
	expect(0);
	source.close(source.arg);
}
END_TEST

START_TEST(skipped_empty_and_further_records_are_no_items)
{
	open_source((struct records_opts){ .terminator = ',', .skip_empty = true, .skip = 1, .max = 2 });
	arrives(",a,,b,c,d,");
	expect_item("b");
	expect_item("c");
	expect(0);
	close(ends[1]);
	source.close(source.arg);
}
END_TEST

START_TEST(blocks_have_whole_records)
{
	open_source((struct records_opts){ .terminator = '\n', .block = 4 });
	arrives("a\nb\nc\nlonger\nd");
	close(ends[1]);
	expect_item("a\nb\n");
	expect_item("c\n");
	expect_item("longer\n");
	expect_item("d");
	expect(0);
	source.close(source.arg);
}
END_TEST

START_TEST(a_record_that_is_not_to_be_held_is_an_error)
{
	open_source((struct records_opts){ .terminator = '\n', .longest = 4 });
	arrives("a\nlonger");
	expect_item("a");
	expect(-EFBIG);
	close(ends[1]);
	source.close(source.arg);
}
END_TEST

/* ---- the store ---- */

static const char *folder(void)
{
	return getenv("TMPDIR") ? getenv("TMPDIR") : P_tmpdir;
}

static void put(struct chunk_store *s, struct chunks *c, size_t n, char fill)
{
	char *data = malloc(n);

	memset(data, fill, n);
	ck_assert_int_eq(chunks_put(s, c, data, n), 0);
	free(data);
}

static void expect_bytes(struct chunk_store *s, struct chunks *c, size_t n, char fill)
{
	char *data = malloc(n);

	ck_assert_int_eq(chunks_take(s, c, data, n), (ssize_t)n);
	for (size_t i = 0; i < n; i++)
		ck_assert_int_eq(data[i], fill);
	free(data);
}

START_TEST(what_memory_does_not_hold_comes_back_from_the_spool)
{
	struct chunk_store s;
	struct chunks a, b;

	chunk_store_init(&s, 2 * CHUNK_MAX, 10 * CHUNK_MAX, folder());
	chunks_init(&a);
	chunks_init(&b);
	put(&s, &a, 4 * CHUNK_MAX, 'a');
	put(&s, &b, 2 * CHUNK_MAX, 'b');
	ck_assert_uint_le(s.in_memory, 2 * CHUNK_MAX);
	ck_assert_uint_gt(s.in_spool, 0);
	expect_bytes(&s, &b, 2 * CHUNK_MAX, 'b');
	expect_bytes(&s, &a, 4 * CHUNK_MAX, 'a');
	ck_assert_uint_eq(s.in_memory + s.in_spool + s.end, 0);
	chunk_store_done(&s);
}
END_TEST

START_TEST(a_full_memory_leaves_the_spool_open)
{
	for (uint64_t memory = CHUNK_MAX; memory <= 4 * CHUNK_MAX; memory += CHUNK_MAX / 2) {
		struct chunk_store s;
		struct chunks c;

		chunk_store_init(&s, memory, 32 * CHUNK_MAX, folder());
		chunks_init(&c);
		while (chunk_store_has_room(&s))
			put(&s, &c, CHUNK_MAX, 'x');
		ck_assert_uint_eq(s.in_spool, 32 * CHUNK_MAX);
		ck_assert_uint_le(s.memory_peak, memory);
		chunks_drop(&s, &c);
		chunk_store_done(&s);
	}
}
END_TEST

START_TEST(small_chunks_count_with_what_they_really_take)
{
	struct chunk_store s;
	struct chunks c;

	chunk_store_init(&s, 2 * CHUNK_MAX, 0, folder());
	chunks_init(&c);
	for (int i = 0; chunk_store_has_room(&s); i++) {
		put(&s, &c, 1, 'x');
		ck_assert_int_lt(i, CHUNK_MAX);
	}
	ck_assert_uint_lt(c.bytes * 20, CHUNK_MAX);
	chunks_drop(&s, &c);
	ck_assert_uint_eq(s.in_memory, 0);
	chunk_store_done(&s);
}
END_TEST

/* ---- words ---- */

START_TEST(halt_is_read_whole_or_not_at_all)
{
	static const char *const bad[] = { "", "now", "now,", "now,fail", "now,fail=", "now,fail=0", "soon,done=3%", "soon,fail=101%", "now,fail=1x", "later,fail=1" };
	struct halt h;

	ck_assert_int_eq(halt_parse("never", &h), 0);
	ck_assert_int_eq(h.when, HALT_NEVER);
	ck_assert_int_eq(halt_parse("soon,fail=10%", &h), 0);
	ck_assert(h.when == HALT_SOON && h.what == HALT_FAIL && h.percent > 9.9);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		ck_assert_msg(halt_parse(bad[i], &h) < 0, "%s", bad[i]);
}
END_TEST

START_TEST(a_share_of_failures_counts_from_three_on)
{
	struct halt h;

	ck_assert_int_eq(halt_parse("now,fail=50%", &h), 0);
	ck_assert(!halt_is_due(&h, &(struct stage_counts){ .finished = 2, .failed = 2 }));
	ck_assert(halt_is_due(&h, &(struct stage_counts){ .finished = 6, .failed = 3 }));
	ck_assert(!halt_is_due(&h, &(struct stage_counts){ .finished = 7, .failed = 3 }));
}
END_TEST

START_TEST(sizes_have_units_and_do_not_wrap)
{
	int64_t v;

	ck_assert_int_eq(size_parse("64K", &v), 0);
	ck_assert_int_eq(v, 65536);
	ck_assert_int_eq(size_parse("2G", &v), 0);
	ck_assert_int_eq(v, INT64_C(2) << 30);
	ck_assert_int_lt(size_parse("9999999999G", &v), 0);
	ck_assert_int_lt(size_parse("1k", &v), 0);
	ck_assert_int_lt(size_parse("-1", &v), 0);
	ck_assert_int_lt(size_parse("1KB", &v), 0);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		an_item_is_there_with_its_terminator_and_the_last_without, skipped_empty_and_further_records_are_no_items, blocks_have_whole_records,
		a_record_that_is_not_to_be_held_is_an_error,
		what_memory_does_not_hold_comes_back_from_the_spool, a_full_memory_leaves_the_spool_open,
		small_chunks_count_with_what_they_really_take, halt_is_read_whole_or_not_at_all,
		a_share_of_failures_counts_from_three_on, sizes_have_units_and_do_not_wrap, NULL
	};

	return kit_run("map", tests);
}
