/* SPDX-License-Identifier: MIT */
/* Sizes at which recursion, quadratic walks and careless counters show. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jobtree.h"
#include "../play.h"

static struct jt_sched *s;
static struct jt_changes out;
static struct jt_error err;

static void open_tree(void)
{
	struct jt_opts opts = { .slots = 4 };
	s = jt_sched_new(&opts, &err);
	ck_assert(s);
}

static void close_tree(void)
{
	jt_sched_free(s);
	jt_changes_done(&out);
}

static void job(const char *path)
{
	struct jt_spec spec = { .path = path, .path_len = strlen(path) };
	ck_assert_msg(jt_sched_add(s, &spec, 1, NULL, &out, &err) == 0, "%s", err.text);
}

static void begin(void)
{
	ck_assert_msg(jt_sched_begin(s, &out, &err) == 0, "%s", err.text);
}

static size_t run_all(enum jt_outcome outcome)
{
	struct jt_end end = jt_end_of(outcome);
	size_t n = 0;
	for (jt_job j; (j = jt_sched_next(s, 0, NULL)) != JT_NONE; n++) {
		ck_assert(jt_sched_start(s, j, 0, &err) == 0);
		ck_assert(jt_sched_end(s, j, &end, &out, &err) == 0);
	}
	return n;
}

static void chain_of(unsigned depth)
{
	char path[JT_PATH_MAX + 1] = "";
	int len = 0;
	for (unsigned i = 0; i < depth; i++) {
		len += snprintf(path + len, sizeof(path) - (size_t)len, "%s", i ? "/d" : "d");
		job(path);
	}
}

START_TEST(two_thousand_components_run_one_after_the_other)
{
	open_tree();
	chain_of(2000);
	begin();
	ck_assert_uint_eq(run_all(JT_END_OK), 2000);
	ck_assert(jt_sched_result(s).done);
	close_tree();
}
END_TEST

START_TEST(a_failure_at_the_top_skips_two_thousand_below)
{
	open_tree();
	chain_of(2000);
	begin();
	ck_assert_uint_eq(run_all(JT_END_FAIL), 1);
	ck_assert_uint_eq(jt_sched_counts(s)->n[JT_SKIPPED], 1999);
	ck_assert_uint_eq(out.n, 1999);
	ck_assert_uint_eq(out.v[1998].cause, 0);
	close_tree();
}
END_TEST

static void children(unsigned n, const char *dir)
{
	char path[64];
	for (unsigned i = 0; i < n; i++) {
		snprintf(path, sizeof(path), "%s%u", dir, i);
		job(path);
	}
}

START_TEST(a_barrier_waits_for_a_hundred_thousand_children)
{
	open_tree();
	job("top");
	children(100000, "top/");
	job("top/~/end");
	begin();
	ck_assert_uint_eq(run_all(JT_END_OK), 100002);
	ck_assert(jt_sched_result(s).done);
	ck_assert(!jt_sched_result(s).failed);
	close_tree();
}
END_TEST

START_TEST(a_million_failures_cost_a_million_steps)
{
	open_tree();
	children(1000000, "");
	job("~/end");
	begin();
	ck_assert_uint_eq(run_all(JT_END_FAIL), 1000000);
	ck_assert_uint_eq(jt_sched_counts(s)->n[JT_SKIPPED], 1);
	close_tree();
}
END_TEST

START_TEST(a_cycle_is_refused_with_its_names)
{
	const char *after_b[] = { "b" }, *after_a[] = { "a" };
	struct jt_spec specs[] = { { .path = "a", .path_len = 1, .after = after_b, .n_after = 1 },
				   { .path = "b", .path_len = 1, .after = after_a, .n_after = 1 } };
	open_tree();
	ck_assert(jt_sched_add(s, specs, 2, NULL, NULL, &err) == 0);
	ck_assert(jt_sched_begin(s, NULL, &err) < 0);
	ck_assert_int_eq(err.code, JT_ECYCLE);
	ck_assert(strstr(err.text, "\"a\"") && strstr(err.text, "\"b\""));
	close_tree();
}
END_TEST

START_TEST(bad_paths_are_refused_by_name)
{
	static const char *const bad[] = { "", "/a", "a/", "a//b", "~", "a/~", "a\nb", "\xff", "\xed\xa0\x80", "12345678\x1f" };
	static const char *const good[] = { "a", "~/a", "a~/b", "\xc3\xbc", "12345678/9", "a b" };
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		ck_assert_msg(jt_path_check(bad[i], strlen(bad[i]), NULL, &err) < 0, "%s was accepted", bad[i]);
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
		ck_assert_msg(jt_path_check(good[i], strlen(good[i]), NULL, &err) == 0, "%s: %s", good[i], err.text);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("extremes");
	TCase *t = tcase_create("sizes");
	tcase_set_timeout(t, 60);
	tcase_add_test(t, two_thousand_components_run_one_after_the_other);
	tcase_add_test(t, a_failure_at_the_top_skips_two_thousand_below);
	tcase_add_test(t, a_barrier_waits_for_a_hundred_thousand_children);
	tcase_add_test(t, a_million_failures_cost_a_million_steps);
	tcase_add_test(t, a_cycle_is_refused_with_its_names);
	tcase_add_test(t, bad_paths_are_refused_by_name);
	suite_add_tcase(suite, t);
	return play_suite(suite);
}
