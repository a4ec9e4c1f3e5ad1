/* SPDX-License-Identifier: MIT */
/* Stories of looking: why, shape, lists, names and the next ones. */
#include <stdio.h>
#include <string.h>

#include "story_kit.h"

/* ---- why ---- */

START_TEST(why_a_job_waits_for_its_nearest_ancestor)
{
	jobs("a", "a/gap/b", "a/gap/b/c");
	expect_why("a/gap/b", "parent: a");
	expect_why("a/gap/b/c", "parent: a/gap/b");
	expect("start a");
	expect_why("a", "not");
}
END_TEST

START_TEST(why_a_barrier_is_not_open)
{
	jobs("p/a", "p/b", "p/b/c", "p/~/end");
	expect("start p/a", "start p/b");
	finish("p/a", OK);
	expect_why("p/~/end", "barrier p/~: p/b p/b/c, 2 open");
	finish("p/b", OK);
	expect_why("p/~/end", "barrier p/~: p/b/c, 1 open");
}
END_TEST

START_TEST(why_a_finished_job_waits_behind_a_shut_barrier)
{
	jobs("p/a", "p/b", "p/~/f when finished");
	expect("start p/a", "start p/b");
	finish("p/a", FAIL);
	expect_why("p/~/f", "barrier p/~: p/a p/b, 1 open, shut");
}
END_TEST

START_TEST(why_a_finished_job_waits_when_all_members_have_ended)
{
	jobs("p", "p/a", "p/~/f when finished");
	expect("start p");
	cancel("p/a");
	expect_why("p/~/f", "parent: p");
}
END_TEST

START_TEST(why_a_job_waits_for_its_after)
{
	jobs("a", "b/x", "b/y", "c after a", "d after b/");
	expect_why("c", "after a: a, 1 open");
	expect_why("d", "after b/: b/x b/y, 2 open");
}
END_TEST

START_TEST(why_a_job_is_held_or_backs_off)
{
	jobs("a", "b");
	hold("a");
	expect("start b");
	backoff("b", 50);
	expect_why("a", "held");
	expect_why("b", "backoff until 50");
}
END_TEST

START_TEST(why_an_available_job_does_not_start)
{
	opts.slots = 1;
	opts.interval_ns = 100;
	jobs("a", "b");
	expect("start a");
	expect_why("b", "slot");
	finish("a", OK);
	expect_why("b", "pace until 100");
	jt_sched_pause(tree, true);
	expect_why("b", "paused");
}
END_TEST

START_TEST(why_a_barrier_of_a_stream_is_not_open)
{
	stream("p/a", "p/~/end", "b after p/");
	expect("start p/a");
	finish("p/a", OK);
	expect_why("p/~/end", "seal p/~");
	expect_why("b", "after p/: p/~/end, 1 open");
}
END_TEST

START_TEST(why_after_a_subtree_of_a_stream)
{
	stream("p/a", "b after p/");
	expect("start p/a");
	finish("p/a", OK);
	expect_why("b", "seal p/");
}
END_TEST

START_TEST(why_shows_twenty_and_counts_all)
{
	char path[32];
	struct jt_why w;
	named("~/end");
	for (int i = 0; i < 30; i++) {
		snprintf(path, sizeof(path), "job%02d", i);
		add(path);
	}
	begin();
	jt_sched_why(tree, job_named("~/end"), &w);
	ck_assert_uint_eq(w.n_jobs, JT_WHY_JOBS);
	ck_assert_uint_eq(w.n_open, 30);
	ck_assert_str_eq(jt_job_path(tree, w.jobs[0], NULL), "job00");
}
END_TEST

/* ---- shape ---- */

static struct jt_shape shape_of(uint32_t *level)
{
	struct jt_shape sh;
	ck_assert_msg(jt_sched_shape(tree, level, &sh, &err) == 0, "%s", err.text);
	return sh;
}

START_TEST(levels_follow_the_tree_and_its_barriers)
{
	uint32_t level[6];
	jobs("a", "a/b", "a/~/c", "a/~/~/d", "e", "~/f");
	struct jt_shape sh = shape_of(level);
	ck_assert_uint_eq(sh.n_jobs, 6);
	ck_assert_uint_eq(sh.n_barriers, 3);
	ck_assert_uint_eq(sh.n_levels, 5);
	ck_assert_uint_eq(sh.widest, 2);
	ck_assert_uint_eq(sh.widest_level, 1);
	const uint32_t want[] = { 1, 2, 3, 4, 1, 5 };
	for (size_t i = 0; i < 6; i++)
		ck_assert_uint_eq(level[i], want[i]);
}
END_TEST

START_TEST(levels_follow_after_in_both_directions)
{
	uint32_t level[4];
	jobs("a after d", "b", "c after b/", "d after c");
	struct jt_shape sh = shape_of(level);
	ck_assert_uint_eq(sh.n_levels, 4);
	const uint32_t want[] = { 4, 1, 2, 3 };
	for (size_t i = 0; i < 4; i++)
		ck_assert_uint_eq(level[i], want[i]);
}
END_TEST

START_TEST(a_long_chain_against_the_order_has_as_many_levels_as_jobs)
{
	enum { N = 50000 };
	char path[16], after[16];
	const char *dep[] = { after };
	tree = jt_sched_new(&opts, &err);
	for (int i = 0; i < N; i++) {
		snprintf(path, sizeof(path), "j%06d", i);
		snprintf(after, sizeof(after), "j%06d", i + 1);
		struct jt_spec spec = { .path = path, .path_len = strlen(path), .after = dep, .n_after = i + 1 < N };
		ck_assert(jt_sched_add(tree, &spec, 1, NULL, NULL, &err) == 0);
	}
	begin();
	ck_assert_uint_eq(shape_of(NULL).n_levels, N);
}
END_TEST

START_TEST(the_shape_of_an_empty_tree)
{
	jobs(NOTHING);
	ck_assert_uint_eq(shape_of(NULL).n_levels, 0);
	expect_result("ok");
}
END_TEST

/* ---- lists and names ---- */

static void expect_list(const char *prefix, const char *after, size_t n, const char *want)
{
	jt_job v[16];
	char is[256] = "";
	size_t got = jt_sched_list(tree, prefix, strlen(prefix), after, strlen(after), v, n), len = 0;
	for (size_t i = 0; i < got; i++)
		len += (size_t)snprintf(is + len, sizeof(is) - len, "%s%s", i ? " " : "", jt_job_path(tree, v[i], NULL));
	ck_assert_str_eq(is, want);
}

static void lists_are_right(void)
{
	expect_list("", "", 16, "a a-b a-b/c a/b a/b/c a0 d/e");
	expect_list("a", "", 16, "a a/b a/b/c");
	expect_list("a", "a", 16, "a/b a/b/c");
	expect_list("a", "a-z", 16, "a/b a/b/c");
	expect_list("a", "a/b", 1, "a/b/c");
	expect_list("a", "a0", 16, "");
	expect_list("d", "", 16, "d/e");
	expect_list("", "a-b/c", 2, "a/b a/b/c");
	expect_list("", "d/e", 16, "");
	expect_list("nowhere", "", 16, "");
	expect_list("", "", 0, "");
}

START_TEST(lists_are_in_path_order_with_prefix_and_cursor)
{
	jobs("a0", "a/b/c", "a", "a-b", "d/e", "a-b/c", "a/b");
	lists_are_right();
}
END_TEST

START_TEST(lists_of_a_stream_are_as_good)
{
	stream("d/e", "a-b/c", "a");
	expect_list("", "", 16, "a a-b/c d/e");
	add("a0", "a/b/c");
	add("a/b", "a-b");
	lists_are_right();
}
END_TEST

static void names_are_right(void)
{
	ck_assert_uint_ne(jt_sched_find(tree, "a/b", 3), JT_NONE);
	ck_assert_uint_eq(jt_sched_find(tree, "d", 1), JT_NONE);
	ck_assert_uint_eq(jt_sched_find(tree, "a/bc", 4), JT_NONE);
	ck_assert_uint_eq(jt_sched_find(tree, "", 0), JT_NONE);
	ck_assert(jt_sched_is_dir(tree, "", 0));
	ck_assert(jt_sched_is_dir(tree, "a", 1));
	ck_assert(jt_sched_is_dir(tree, "d", 1));
	ck_assert(jt_sched_is_dir(tree, "d/~", 3));
	ck_assert(!jt_sched_is_dir(tree, "a/b", 3));
	ck_assert(!jt_sched_is_dir(tree, "x", 1));
}

START_TEST(jobs_and_directories_are_found_by_name)
{
	jobs("a", "a/b", "a-b", "d/~/e");
	names_are_right();
}
END_TEST

START_TEST(so_they_are_in_a_stream)
{
	stream("a/b", "a-b");
	add("a", "d/~/e");
	names_are_right();
}
END_TEST

static void expect_peek(size_t n, const char *want)
{
	jt_job v[16];
	char is[256] = "";
	size_t got = jt_sched_peek(tree, v, n), len = 0;
	for (size_t i = 0; i < got; i++)
		len += (size_t)snprintf(is + len, sizeof(is) - len, "%s%s", i ? " " : "", jt_job_path(tree, v[i], NULL));
	ck_assert_str_eq(is, want);
}

START_TEST(peek_shows_the_next_ones_in_order_whatever_the_slots)
{
	opts.slots = 1;
	jobs("a", "b priority 1", "c priority -1", "d", "d/x");
	expect_peek(16, "c a d b");
	expect_peek(2, "c a");
	expect("start c");
	hold("d");
	expect_peek(16, "a b");
	expect_peek(0, "");
	finish("c", OK);
	expect("start a");
}
END_TEST

START_TEST(peek_takes_nothing_from_a_heap)
{
	opts.slots = 1;
	opts.order = JT_BY_FIFO;
	stream("c", "b", "a");
	add("0");
	expect_peek(3, "a b c");
	expect_peek(16, "a b c 0");
	expect("start a");
	expect_peek(16, "b c 0");
}
END_TEST

START_TEST(counts_follow_the_states)
{
	jobs("a", "a/b", "c", "d", "e");
	hold("d");
	expect("start a", "start c", "start e");
	finish("a", FAIL);
	backoff("c", 9);
	const struct jt_counts *c = jt_sched_counts(tree);
	ck_assert_uint_eq(c->total, 5);
	ck_assert_uint_eq(c->n[JT_FAILED], 1);
	ck_assert_uint_eq(c->n[JT_SKIPPED], 1);
	ck_assert_uint_eq(c->n[JT_BACKOFF], 1);
	ck_assert_uint_eq(c->n[JT_HELD], 1);
	ck_assert_uint_eq(c->n[JT_STARTING], 1);
}
END_TEST

START_TEST(states_have_names_that_can_be_read_back)
{
	enum jt_state st;
	for (unsigned i = 0; i < JT_N_STATES; i++) {
		ck_assert(jt_state_parse(jt_state_name((enum jt_state)i), &st) == 0);
		ck_assert_uint_eq(st, i);
	}
	ck_assert(jt_state_parse("asleep", &st) < 0);
}
END_TEST

CHAPTER(stories_of_looking, "looking", why_a_job_waits_for_its_nearest_ancestor, why_a_barrier_is_not_open,
	why_a_finished_job_waits_behind_a_shut_barrier, why_a_finished_job_waits_when_all_members_have_ended,
	why_a_job_waits_for_its_after, why_a_job_is_held_or_backs_off, why_an_available_job_does_not_start,
	why_a_barrier_of_a_stream_is_not_open, why_after_a_subtree_of_a_stream, why_shows_twenty_and_counts_all,
	levels_follow_the_tree_and_its_barriers, levels_follow_after_in_both_directions,
	a_long_chain_against_the_order_has_as_many_levels_as_jobs, the_shape_of_an_empty_tree,
	lists_are_in_path_order_with_prefix_and_cursor, lists_of_a_stream_are_as_good, jobs_and_directories_are_found_by_name,
	so_they_are_in_a_stream, peek_shows_the_next_ones_in_order_whatever_the_slots, peek_takes_nothing_from_a_heap,
	counts_follow_the_states, states_have_names_that_can_be_read_back)
