/* SPDX-License-Identifier: MIT */
/* Stories of `after` and `when`. */
#include "story_kit.h"

START_TEST(after_a_job_waits_for_that_job_only)
{
	jobs("a", "a/x", "b after a");
	expect("start a");
	finish("a", OK);        expect("start a/x", "start b");
}
END_TEST

START_TEST(after_a_subtree_waits_for_all_of_it_barriers_included)
{
	jobs("a", "a/x", "a/~/y", "b after a/");
	expect("start a");
	finish("a", OK);        expect("start a/x");
	finish("a/x", OK);      expect("start a/~/y");
	finish("a/~/y", OK);    expect("start b");
}
END_TEST

START_TEST(after_a_gap_waits_for_what_is_below)
{
	jobs("dir/x", "dir/y", "b after dir/");
	expect("start dir/x", "start dir/y");
	finish("dir/y", OK);    expect(NOTHING);
	finish("dir/x", OK);    expect("start b");
}
END_TEST

START_TEST(after_is_on_top_of_the_tree)
{
	jobs("a", "b", "c", "c/d after a after b");
	expect("start a", "start b", "start c");
	finish("a", OK);
	finish("b", OK);        expect(NOTHING);
	finish("c", OK);        expect("start c/d");
}
END_TEST

START_TEST(a_failure_skips_what_comes_after_it)
{
	jobs("a", "b after a", "b/c", "d after b/", "~/end");
	expect("start a");
	finish("a", FAIL);
	expect("skip b because of a", "skip b/c because of a", "skip ~/end because of a", "skip d because of a");
	expect_result("failed");
}
END_TEST

START_TEST(a_failure_below_skips_at_once_what_comes_after_the_subtree)
{
	jobs("a/x", "a/y", "b after a/", "c after a/y");
	expect("start a/x", "start a/y");
	finish("a/x", FAIL);    expect("skip b because of a/x");
	finish("a/y", OK);      expect("start c");
}
END_TEST

START_TEST(after_that_names_nothing_is_refused)
{
	refuse(JT_ENOENT, jobs("a", "b after c"));
	expect_text("\"b\": after \"c\" names no job");
}
END_TEST

START_TEST(a_directory_without_a_job_is_no_job_to_wait_for)
{
	refuse(JT_ENOENT, jobs("dir/a", "b after dir"));
	expect_text("names no job");
}
END_TEST

START_TEST(after_its_own_subtree_is_refused_with_a_better_name)
{
	refuse(JT_ECYCLE, jobs("p/a", "p/b after p/"));
	expect_text("\"p/~/b\"");
}
END_TEST

START_TEST(a_cycle_over_tree_and_after_is_refused)
{
	refuse(JT_ECYCLE, jobs("a after b/c", "b after a", "b/c"));
	expect_text("\"b/c\"");
}
END_TEST

START_TEST(a_cycle_through_a_barrier_is_refused)
{
	refuse(JT_ECYCLE, jobs("p/x after p/~/y", "p/~/y"));
	expect_text("\"p/x\"");
	expect_text("\"p/~/y\"");
}
END_TEST

START_TEST(a_failure_job_runs_if_something_failed)
{
	jobs("a", "b", "alarm after a after b when failure");
	expect("start a", "start b");
	finish("a", FAIL);      expect(NOTHING);
	finish("b", OK);        expect("start alarm");
	finish("alarm", OK);
	expect_result("failed");
}
END_TEST

START_TEST(a_failure_job_is_not_needed_if_all_went_well)
{
	jobs("a", "alarm after a when failure", "alarm/more", "b after alarm/", "~/end");
	expect("start a");
	finish("a", OK);
	expect("skip alarm, not needed", "skip alarm/more, not needed", "start b");
	finish("b", OK);        expect("start ~/end");
	finish("~/end", OK);
	expect_result("ok");
}
END_TEST

START_TEST(warned_and_skipped_by_itself_are_no_failures)
{
	jobs("a", "b", "b/c", "alarm after a after b/ when failure");
	expect("start a", "start b");
	finish("a", WARN);
	finish("b", SKIP);      expect("skip b/c because of b", "skip alarm, not needed");
}
END_TEST

START_TEST(cancelled_lost_and_skipped_because_of_them_are_failures)
{
	jobs("a", "a/x", "b", "1 after a when failure", "2 after b when failure", "3 after a/x when failure");
	expect("start a", "start b");
	cancel("a");            expect("skip a/x because of a", "start 1", "start 3");
	finish("b", LOST);      expect("start 2");
}
END_TEST

START_TEST(when_applies_to_ancestors)
{
	jobs("a", "a/alarm when failure", "a/always when finished", "a/x");
	expect("start a");
	finish("a", FAIL);      expect("skip a/x because of a", "start a/alarm", "start a/always");
}
END_TEST

START_TEST(when_applies_to_the_members_of_a_barrier)
{
	jobs("p/a", "p/b", "p/~/alarm when failure", "p/~/always when finished", "p/~/prune");
	expect("start p/a", "start p/b");
	finish("p/a", FAIL);    expect("skip p/~/prune because of p/a");
	finish("p/b", OK);      expect("start p/~/alarm", "start p/~/always");
	expect_state("p/~/prune", "skipped");
}
END_TEST

START_TEST(a_finished_job_behind_a_shut_barrier_opens_it_for_nobody)
{
	jobs("p/a", "p/~/f when finished", "p/~/f/child", "p/~/~/g");
	expect("start p/a");
	finish("p/a", FAIL);
	expect("skip p/~/~/g because of p/a", "skip p/~/f/child because of p/a", "start p/~/f");
	finish("p/~/f", OK);    expect(NOTHING);
	expect_result("failed");
}
END_TEST

START_TEST(a_failing_finished_job_makes_a_green_run_red)
{
	jobs("a", "f after a when finished");
	expect("start a");
	finish("a", OK);        expect("start f");
	finish("f", FAIL);
	expect_result("failed");
}
END_TEST

START_TEST(a_finished_job_waits_for_the_retry_to_be_over)
{
	jobs("a", "f after a when finished");
	expect("start a");
	backoff("a", 10);       expect(NOTHING);
	at(10);                 expect("start a");
	finish("a", FAIL);      expect("start f");
}
END_TEST

START_TEST(cancel_of_a_finished_job_ends_it_before_it_is_judged)
{
	jobs("a", "f after a when finished", "f/x");
	expect("start a");
	cancel("f");            expect("skip f/x because of f");
	finish("a", OK);        expect(NOTHING);
	expect_result("failed");
}
END_TEST

START_TEST(a_held_finished_job_runs_when_released)
{
	jobs("a", "f after a when finished", "g after a when failure");
	hold("f");
	hold("g");              expect("start a");
	finish("a", OK);        expect("skip g, not needed");
	release("f");           expect("start f");
}
END_TEST

CHAPTER(stories_of_after, "after and when", after_a_job_waits_for_that_job_only, after_a_subtree_waits_for_all_of_it_barriers_included,
	after_a_gap_waits_for_what_is_below, after_is_on_top_of_the_tree, a_failure_skips_what_comes_after_it,
	a_failure_below_skips_at_once_what_comes_after_the_subtree, after_that_names_nothing_is_refused,
	a_directory_without_a_job_is_no_job_to_wait_for, after_its_own_subtree_is_refused_with_a_better_name,
	a_cycle_over_tree_and_after_is_refused, a_cycle_through_a_barrier_is_refused, a_failure_job_runs_if_something_failed,
	a_failure_job_is_not_needed_if_all_went_well, warned_and_skipped_by_itself_are_no_failures,
	cancelled_lost_and_skipped_because_of_them_are_failures, when_applies_to_ancestors, when_applies_to_the_members_of_a_barrier,
	a_finished_job_behind_a_shut_barrier_opens_it_for_nobody, a_failing_finished_job_makes_a_green_run_red,
	a_finished_job_waits_for_the_retry_to_be_over, cancel_of_a_finished_job_ends_it_before_it_is_judged,
	a_held_finished_job_runs_when_released)
