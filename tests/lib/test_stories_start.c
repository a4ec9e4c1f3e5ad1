/* SPDX-License-Identifier: MIT */
/* Stories of starting: parents, barriers, and who is first. */
#include "story_kit.h"

START_TEST(a_job_waits_for_its_parent)
{
	jobs("a", "a/b", "a/b/c");
	expect("start a");
	finish("a", OK);        expect("start a/b");
	finish("a/b", OK);      expect("start a/b/c");
	expect_result("open, ok");
	finish("a/b/c", OK);    expect(NOTHING);
	expect_result("ok");
}
END_TEST

START_TEST(gaps_delay_nothing)
{
	jobs("a", "a/x/y/z", "p/q/r");
	expect("start a", "start p/q/r");
	finish("a", OK);        expect("start a/x/y/z");
}
END_TEST

START_TEST(a_name_that_begins_alike_is_no_ancestor)
{
	jobs("a", "a-b", "a-b/c", "a.b", "a/c", "ab");
	expect("start a", "start a-b", "start a.b", "start ab");
	finish("a-b", OK);      expect("start a-b/c");
	finish("a", OK);        expect("start a/c");
}
END_TEST

START_TEST(order_is_that_of_unsigned_bytes)
{
	jobs("\xc3\xbc", "z", "Z", "~x", "a", "a/b");
	expect("start Z", "start a", "start z", "start ~x", "start \xc3\xbc");
}
END_TEST

START_TEST(barrier_opens_only_after_every_sibling)
{
	jobs("a", "a/x", "a/y", "a/~/prune");
	expect("start a");
	finish("a", OK);        expect("start a/x", "start a/y");
	finish("a/y", OK);      expect(NOTHING);
	finish("a/x", OK);      expect("start a/~/prune");
}
END_TEST

START_TEST(barriers_wait_for_nested_barriers)
{
	jobs("a", "a/x/1", "a/x/~/2", "a/~/3", "~/4");
	expect("start a");
	finish("a", OK);        expect("start a/x/1");
	finish("a/x/1", OK);    expect("start a/x/~/2");
	finish("a/x/~/2", OK);  expect("start a/~/3");
	finish("a/~/3", OK);    expect("start ~/4");
}
END_TEST

START_TEST(barriers_follow_each_other)
{
	jobs("p/a", "p/~/b", "p/~/~/c", "p/~/~/~/d");
	expect("start p/a");
	finish("p/a", OK);      expect("start p/~/b");
	finish("p/~/b", OK);    expect("start p/~/~/c");
	finish("p/~/~/c", OK);  expect("start p/~/~/~/d");
}
END_TEST

START_TEST(a_barrier_that_is_an_only_child_is_a_directory)
{
	jobs("a", "a/~/b", "p/~/~/c");
	expect("start a", "start p/~/~/c");
	finish("a", OK);        expect("start a/~/b");
}
END_TEST

START_TEST(the_barrier_may_have_another_name)
{
	opts.barrier = "END";
	jobs("a/x", "a/END/y", "a/~/z");
	expect("start a/x", "start a/~/z");
	finish("a/x", OK);      expect(NOTHING);
	finish("a/~/z", OK);    expect("start a/END/y");
}
END_TEST

START_TEST(a_smaller_priority_goes_first)
{
	opts.slots = 1;
	jobs("a priority 1", "b", "c priority -5", "d");
	expect("start c");
	finish("c", OK);        expect("start b");
	finish("b", OK);        expect("start d");
	finish("d", OK);        expect("start a");
}
END_TEST

START_TEST(an_urgent_child_pulls_no_parent_forward)
{
	opts.slots = 1;
	jobs("a", "b", "b/urgent priority -9");
	expect("start a");
	finish("a", OK);        expect("start b");
	finish("b", OK);        expect("start b/urgent");
}
END_TEST

START_TEST(order_depth_prefers_what_stands_high)
{
	opts.slots = 1;
	opts.order = JT_BY_DEPTH;
	jobs("a/b/c", "d/e", "f");
	expect("start f");
	finish("f", OK);        expect("start d/e");
	finish("d/e", OK);      expect("start a/b/c");
}
END_TEST

START_TEST(order_fifo_prefers_what_became_available_first)
{
	opts.slots = 1;
	opts.order = JT_BY_FIFO;
	jobs("a", "a/child", "b");
	expect("start a");
	finish("a", OK);        expect("start b");
	finish("b", OK);        expect("start a/child");
}
END_TEST

START_TEST(priority_comes_before_the_order)
{
	opts.slots = 1;
	opts.order = JT_BY_FIFO;
	jobs("a", "a/urgent priority -1", "b");
	expect("start a");
	finish("a", OK);        expect("start a/urgent");
}
END_TEST

START_TEST(what_a_barrier_releases_competes_on_equal_terms)
{
	opts.slots = 2;
	jobs("a/x", "a/~/y", "b", "c");
	expect("start a/x", "start b");
	finish("a/x", OK);      expect("start a/~/y");
	finish("b", OK);        expect("start c");
}
END_TEST

START_TEST(nothing_starts_between_two_ends_of_a_batch)
{
	opts.slots = 2;
	jobs("x", "y", "y/child", "z");
	expect("start x", "start y");
	finish("x", OK);
	finish("y", OK);        expect("start y/child", "start z");
}
END_TEST

START_TEST(more_slots_start_more_and_fewer_end_nothing)
{
	opts.slots = 1;
	jobs("a", "b", "c", "d");
	expect("start a");
	jt_sched_set_slots(tree, 3);
	expect("start b", "start c");
	jt_sched_set_slots(tree, 1);
	finish("a", OK);        expect(NOTHING);
	finish("b", OK);        expect(NOTHING);
	finish("c", OK);        expect("start d");
}
END_TEST

START_TEST(what_was_not_started_after_all_keeps_its_place)
{
	opts.slots = 1;
	opts.order = JT_BY_FIFO;
	jobs("a", "b");
	expect("start a");
	unstart("a");           expect("start a");
	expect_state("b", "ready");
}
END_TEST

START_TEST(an_attempt_that_ran_and_was_lost_can_be_made_again)
{
	opts.slots = 1;
	jobs("a", "b");
	expect("start a");
	ck_assert(jt_sched_running(tree, job_named("a"), &err) == 0);
	expect_state("a", "running");
	unstart("a");
	expect_state("a", "ready");
	expect("start a");
}
END_TEST

START_TEST(only_what_is_available_can_be_started)
{
	jobs("a", "a/b");
	ck_assert(jt_sched_start(tree, job_named("a/b"), 0, &err) < 0);
	ck_assert_int_eq(err.code, JT_ESTATE);
	expect_text("\"a/b\" is waiting");
	expect("start a");
	refuse(JT_ESTATE, finish("a/b", OK));
}
END_TEST

CHAPTER(stories_of_starting, "starting", a_job_waits_for_its_parent, gaps_delay_nothing, a_name_that_begins_alike_is_no_ancestor,
	order_is_that_of_unsigned_bytes, barrier_opens_only_after_every_sibling, barriers_wait_for_nested_barriers,
	barriers_follow_each_other, a_barrier_that_is_an_only_child_is_a_directory, the_barrier_may_have_another_name,
	a_smaller_priority_goes_first, an_urgent_child_pulls_no_parent_forward, order_depth_prefers_what_stands_high,
	order_fifo_prefers_what_became_available_first, priority_comes_before_the_order, what_a_barrier_releases_competes_on_equal_terms,
	nothing_starts_between_two_ends_of_a_batch, more_slots_start_more_and_fewer_end_nothing,
	what_was_not_started_after_all_keeps_its_place, an_attempt_that_ran_and_was_lost_can_be_made_again,
	only_what_is_available_can_be_started)
