/* SPDX-License-Identifier: MIT */
/* Gaps in files: head and tail stay as they were written, and the gap is where it is said to be. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "gap.h"
#include "../play.h"

#define MAX 65536
#define HEAD 32768
#define BLOCK 4096

static char name[4096];
static int fd;

static void set_up(void)
{
	const char *tmp = getenv("TMPDIR");

	ck_assert_int_lt(snprintf(name, sizeof(name), "%s/gap-XXXXXX", tmp ? tmp : "/tmp"), (int)sizeof(name));
	fd = mkstemp(name);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fcntl(fd, F_SETFL, O_APPEND), 0);
}

static void tear_down(void)
{
	close(fd);
	unlink(name);
}

/* The byte at each offset tells where it was written. */
static char byte_at(int64_t offset)
{
	return (char)(1 + offset % 251);
}

static int64_t size_now(void)
{
	struct stat st;

	ck_assert_int_eq(fstat(fd, &st), 0);
	return st.st_size;
}

static void grow_to(int64_t size)
{
	int64_t from = size_now();
	char *buf = malloc((size_t)(size - from));

	ck_assert_ptr_nonnull(buf);
	for (int64_t i = from; i < size; i++)
		buf[i - from] = byte_at(i);
	ck_assert_int_eq(write(fd, buf, (size_t)(size - from)), size - from);
	free(buf);
}

static int widen(void)
{
	return gap_widen(fd, MAX, size_now(), GAP_AT_BLOCK);
}

/* Outside of [at, end) every byte is as it was written; inside there are none on the disk, but in blocks that lie across its edges. */
static void expect_gap(int64_t at, int64_t end)
{
	int64_t size = size_now();
	struct gap g = gap_read(fd, size);
	char *buf = malloc((size_t)size);

	ck_assert_ptr_nonnull(buf);
	ck_assert_int_eq(g.at, at);
	ck_assert_int_eq(g.end, end);
	ck_assert_int_eq(pread(fd, buf, (size_t)size, 0), size);
	for (int64_t i = 0; i < size; i++)
		if (buf[i] != (i >= at && i < end ? 0 : byte_at(i)))
			ck_abort_msg("byte %" PRId64 " is %d", i, buf[i]);
	free(buf);
}

START_TEST(what_is_not_too_much_has_none)
{
	grow_to(MAX);
	ck_assert_int_eq(widen(), 0);
	expect_gap(0, 0);
	ck_assert_int_eq(gap_settle(fd, MAX, MAX).end, 0);
}
END_TEST

START_TEST(it_is_widened_by_blocks_and_settled_to_the_byte)
{
	grow_to(MAX + 10000);
	ck_assert_int_eq(widen(), 0);
	expect_gap(HEAD, HEAD + 2 * BLOCK);
	grow_to(5 * MAX + 3);
	ck_assert_int_eq(widen(), 0);
	expect_gap(HEAD, 4 * MAX + HEAD);
	ck_assert_int_eq(gap_widen(fd, MAX, size_now(), GAP_EXACT), 0);
	expect_gap(HEAD, 4 * MAX + HEAD + 3);
}
END_TEST

START_TEST(the_end_makes_one_to_the_byte)
{
	struct gap g;

	grow_to(MAX + 1);
	g = gap_settle(fd, MAX, MAX + 1);
	ck_assert_int_eq(g.end - g.at, 1);
	ck_assert_int_eq(gap_punch(fd, &g), 0);
	expect_gap(HEAD, HEAD + 1);
}
END_TEST

START_TEST(the_end_leaves_one_that_is_there)
{
	struct gap g;

	grow_to(2 * MAX);
	ck_assert_int_eq(widen(), 0);
	g = gap_settle(fd, MAX, 2 * MAX);
	ck_assert_int_eq(g.end, MAX + HEAD);
	expect_gap(HEAD, MAX + HEAD);
}
END_TEST

/* The runner heard of the last growth just before the end was told. */
START_TEST(the_end_widens_one_of_whole_blocks_to_the_byte)
{
	struct gap g;

	grow_to(2 * MAX + 904);
	ck_assert_int_eq(widen(), 0);
	expect_gap(HEAD, MAX + HEAD);
	g = gap_settle(fd, MAX, 2 * MAX + 904);
	ck_assert_int_eq(gap_punch(fd, &g), 0);
	expect_gap(HEAD, MAX + HEAD + 904);
}
END_TEST

START_TEST(one_that_the_end_has_made_is_not_widened_by_who_saw_none)
{
	grow_to(2 * MAX);
	ck_assert_int_eq(gap_settle(fd, MAX, 2 * MAX).end, MAX + HEAD);
	ck_assert_int_eq(fsetxattr(fd, "user.jobd.gap", "x", 1, XATTR_REPLACE), 0);    /* as if it had not been there when it was read */
	ck_assert_int_eq(widen(), -1);
	ck_assert_int_eq(errno, EEXIST);
}
END_TEST

/* The runner learns of the growth when the job has ended already. */
START_TEST(one_that_the_end_has_made_stays_for_who_comes_late)
{
	static const int64_t too_much[] = { 1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK };

	for (size_t i = 0; i < sizeof(too_much) / sizeof(*too_much); i++) {
		int64_t size = MAX + too_much[i];
		struct gap g;

		ck_assert_int_eq(ftruncate(fd, 0), 0);
		ck_assert_int_le(fremovexattr(fd, "user.jobd.gap"), 0);
		grow_to(size);
		g = gap_settle(fd, MAX, size);
		if (widen() < 0)
			ck_assert_int_eq(errno, EEXIST);
		ck_assert_int_eq(gap_punch(fd, &g), 0);
		expect_gap(HEAD, HEAD + too_much[i]);
	}
}
END_TEST

/* It is the job's file: it may write there what it likes. */
START_TEST(one_that_the_job_made_up_keeps_no_more_than_its_own)
{
	static const char *const made_up[] = { "x", "", "0 1", "0 1 settled", "40000 50000", "9 8", "7 settled", "0 9223372036854775807 settled" };

	for (size_t i = 0; i < sizeof(made_up) / sizeof(*made_up); i++) {
		struct gap g;

		ck_assert_int_eq(ftruncate(fd, 0), 0);
		grow_to(3 * MAX);
		ck_assert_int_eq(fsetxattr(fd, "user.jobd.gap", made_up[i], strlen(made_up[i]), 0), 0);
		g = gap_settle(fd, MAX, 3 * MAX);
		ck_assert_int_le(gap_kept(&g, 3 * MAX), MAX);
		if (g.end == 3 * MAX)           /* it gave up all of it */
			continue;
		ck_assert_int_eq(gap_punch(fd, &g), 0);
		expect_gap(HEAD, 2 * MAX + HEAD);
	}
}
END_TEST

START_TEST(an_output_that_begins_anew_has_none)
{
	grow_to(3 * MAX);
	ck_assert_int_eq(widen(), 0);
	ck_assert_int_eq(ftruncate(fd, 0), 0);
	grow_to(100);
	ck_assert_int_eq(widen(), 0);
	expect_gap(0, 0);
	ck_assert_int_lt(fgetxattr(fd, "user.jobd.gap", NULL, 0), 0);
}
END_TEST

START_TEST(what_was_written_anew_is_not_taken_for_what_was_left_out)
{
	grow_to(3 * MAX);
	ck_assert_int_eq(widen(), 0);
	ck_assert_int_eq(ftruncate(fd, 0), 0);
	grow_to(MAX);                                   /* again beyond where the gap began */
	ck_assert_int_eq(widen(), 0);
	expect_gap(0, 0);
}
END_TEST

START_TEST(a_gap_that_was_cut_short_ends_with_the_file)
{
	grow_to(3 * MAX);
	ck_assert_int_eq(widen(), 0);
	ck_assert_int_eq(ftruncate(fd, MAX), 0);
	expect_gap(HEAD, MAX);
	ck_assert_int_eq(widen(), 0);
	grow_to(MAX + 100);
	ck_assert_int_eq(widen(), 0);
	expect_gap(HEAD, MAX);
}
END_TEST

START_TEST(holes_of_the_writer_are_no_gap)
{
	ck_assert_int_eq(ftruncate(fd, MAX), 0);
	ck_assert_int_eq(widen(), 0);
	ck_assert_int_eq(gap_read(fd, MAX).end, 0);
}
END_TEST

static const char *const nonsense[] = { "", "1", "x y", "5 5", "9 5", "-1 5", "0 99999999999999999999", "1 2 3", " ", "4096\t8192" };

START_TEST(nonsense_that_somebody_wrote_there_is_none)
{
	grow_to(100);
	ck_assert_int_eq(fsetxattr(fd, "user.jobd.gap", nonsense[_i], strlen(nonsense[_i]), 0), 0);
	expect_gap(0, 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("gap");
	TCase *tc = tcase_create("gap");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, what_is_not_too_much_has_none);
	tcase_add_test(tc, it_is_widened_by_blocks_and_settled_to_the_byte);
	tcase_add_test(tc, the_end_makes_one_to_the_byte);
	tcase_add_test(tc, the_end_leaves_one_that_is_there);
	tcase_add_test(tc, the_end_widens_one_of_whole_blocks_to_the_byte);
	tcase_add_test(tc, one_that_the_end_has_made_is_not_widened_by_who_saw_none);
	tcase_add_test(tc, one_that_the_end_has_made_stays_for_who_comes_late);
	tcase_add_test(tc, one_that_the_job_made_up_keeps_no_more_than_its_own);
	tcase_add_test(tc, an_output_that_begins_anew_has_none);
	tcase_add_test(tc, what_was_written_anew_is_not_taken_for_what_was_left_out);
	tcase_add_test(tc, a_gap_that_was_cut_short_ends_with_the_file);
	tcase_add_test(tc, holes_of_the_writer_are_no_gap);
	tcase_add_loop_test(tc, nonsense_that_somebody_wrote_there_is_none, 0, (int)(sizeof(nonsense) / sizeof(*nonsense)));
	suite_add_tcase(s, tc);
	return play_suite(s);
}
