/* SPDX-License-Identifier: MIT */
/* Tuples: where they end, what is released, who is asked in which order. No thread: a source is a struct of functions. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "jobtree_map.h"
#include "../play.h"

/* A source of 1 ... n. Says -EAGAIN once before item `again`, and ends with `end`. */
struct row {
	uint64_t n, given, again;
	int end, closed, asked_after_end, released, fd;
	bool ended;
};
static struct row row[3];

static void release(void *data)
{
	(*(int *)data)++;
}

static int row_next(void *arg, struct jt_item *ret)
{
	struct row *r = arg;
	r->asked_after_end += r->ended;
	if (r->again && r->given + 1 == r->again) {
		r->again = 0;
		return -EAGAIN;
	}
	r->ended = r->given == r->n;
	if (r->ended)
		return r->end;
	*ret = (struct jt_item){ &r->released, ++r->given, release };
	return 1;
}

static int row_fd(void *arg)
{
	return ((struct row *)arg)->fd;
}

static void row_close(void *arg)
{
	((struct row *)arg)->closed++;
}

static struct jt_source zipped(size_t n, enum jt_zip how, const struct jt_item *fill)
{
	struct jt_source s[3], ret;
	struct jt_error err;
	for (size_t i = 0; i < n; i++)
		s[i] = (struct jt_source){ row_next, row_fd, row_close, &row[i] };
	ck_assert_msg(jt_zip(s, n, how, fill, &ret, &err) == 0, "%s", err.text);
	return ret;
}

static void rows(uint64_t a, uint64_t b, uint64_t c)
{
	row[0] = (struct row){ .n = a, .fd = 10 };
	row[1] = (struct row){ .n = b, .fd = 11 };
	row[2] = (struct row){ .n = c, .fd = 12 };
}

/* The lengths of the parts stand for what they are: "1,1,1 2,2,2". Returns what next said in the end. */
static int read_all(struct jt_source *z, char *text, size_t size)
{
	struct jt_item t;
	size_t at = 0;
	int r;
	text[0] = 0;
	while ((r = z->next(z->arg, &t)) == 1) {
		const struct jt_item *part = t.data;
		for (size_t i = 0; i < t.len; i++)
			at += (size_t)snprintf(text + at, size - at, "%s%zu", i ? "," : at ? " " : "", part[i].len);
		jt_item_done(&t);
	}
	return r;
}

static void expect(enum jt_zip how, const struct jt_item *fill, int end, const char *want)
{
	char text[256];
	struct jt_source z = zipped(3, how, fill);
	ck_assert_int_eq(read_all(&z, text, sizeof(text)), end);
	ck_assert_str_eq(text, want);
	z.close(z.arg);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(row[i].closed, 1);
		ck_assert_int_eq(row[i].asked_after_end, 0);
		ck_assert_uint_eq((uint64_t)row[i].released, row[i].given);
	}
}

START_TEST(short_ends_with_the_first_that_ends)
{
	rows(3, 2, 9);
	expect(JT_ZIP_SHORT, NULL, 0, "1,1,1 2,2,2");
	ck_assert_uint_eq(row[0].given, 3);            /* from left to right: the third is not asked for what the second has not */
	ck_assert_uint_eq(row[2].given, 2);
	rows(0, 2, 9);
	expect(JT_ZIP_SHORT, NULL, 0, "");
	ck_assert_uint_eq(row[1].given + row[2].given, 0);
}
END_TEST

START_TEST(fill_ends_with_the_last_and_may_fill_with_nothing)
{
	struct jt_item fill = { NULL, 7, NULL };
	rows(1, 3, 0);
	expect(JT_ZIP_FILL, &fill, 0, "1,1,7 7,2,7 7,3,7");
	rows(1, 2, 0);
	expect(JT_ZIP_FILL, NULL, 0, "1,1,0 0,2,0");
	rows(0, 0, 0);
	expect(JT_ZIP_FILL, NULL, 0, "");
}
END_TEST

START_TEST(strict_tells_unequal_lengths_after_the_last_whole_tuple)
{
	rows(2, 2, 2);
	expect(JT_ZIP_STRICT, NULL, 0, "1,1,1 2,2,2");
	rows(2, 2, 3);
	expect(JT_ZIP_STRICT, NULL, -ENODATA, "1,1,1 2,2,2");
	rows(3, 2, 3);
	expect(JT_ZIP_STRICT, NULL, -ENODATA, "1,1,1 2,2,2");
	rows(3, 3, 0);
	expect(JT_ZIP_STRICT, NULL, -ENODATA, "");
}
END_TEST

START_TEST(an_error_of_one_source_is_the_error_of_the_zip)
{
	rows(5, 2, 5);
	row[1].end = -EIO;
	expect(JT_ZIP_FILL, NULL, -EIO, "1,1,1 2,2,2");
}
END_TEST

START_TEST(a_tuple_waits_for_the_source_that_has_nothing_now)
{
	char text[64];
	rows(2, 2, 2);
	row[1].again = 2;
	struct jt_source z = zipped(3, JT_ZIP_SHORT, NULL);
	ck_assert_int_eq(read_all(&z, text, sizeof(text)), -EAGAIN);
	ck_assert_str_eq(text, "1,1,1");
	ck_assert_int_eq(z.fd(z.arg), 11);
	ck_assert_int_eq(read_all(&z, text, sizeof(text)), 0);
	ck_assert_str_eq(text, "2,2,2");
	z.close(z.arg);
}
END_TEST

START_TEST(closing_in_the_middle_of_a_tuple_releases_its_parts)
{
	struct jt_item t;
	rows(2, 2, 2);
	row[2].again = 1;
	struct jt_source z = zipped(3, JT_ZIP_SHORT, NULL);
	ck_assert_int_eq(z.next(z.arg, &t), -EAGAIN);
	z.close(z.arg);
	ck_assert_int_eq(row[0].released + row[1].released, 2);
}
END_TEST

START_TEST(wrong_calls_are_refused_and_close_the_sources)
{
	struct jt_item fill = { 0 };
	struct jt_error err;
	rows(1, 1, 1);
	struct jt_source s = { row_next, row_fd, row_close, &row[0] }, z;
	ck_assert_int_eq(jt_zip(&s, 1, JT_ZIP_SHORT, &fill, &z, &err), -1);
	ck_assert_int_eq(err.code, JT_EINVAL);
	ck_assert_int_eq(row[0].closed, 1);
	ck_assert_int_eq(jt_zip(NULL, 0, JT_ZIP_SHORT, NULL, &z, &err), -1);
	ck_assert_str_eq(err.text, "zip: no source");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("zip");
	TCase *t = tcase_create("zip");
	tcase_add_test(t, short_ends_with_the_first_that_ends);
	tcase_add_test(t, fill_ends_with_the_last_and_may_fill_with_nothing);
	tcase_add_test(t, strict_tells_unequal_lengths_after_the_last_whole_tuple);
	tcase_add_test(t, an_error_of_one_source_is_the_error_of_the_zip);
	tcase_add_test(t, a_tuple_waits_for_the_source_that_has_nothing_now);
	tcase_add_test(t, closing_in_the_middle_of_a_tuple_releases_its_parts);
	tcase_add_test(t, wrong_calls_are_refused_and_close_the_sources);
	suite_add_tcase(suite, t);
	return play_suite(suite);
}
