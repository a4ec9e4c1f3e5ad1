/* SPDX-License-Identifier: MIT */
/* Stories of ending: the table of outcomes, cancel of one job, and the barriers above. */
#include "story_kit.h"

START_TEST(a_warning_goes_on_and_fails_the_run)
{
	jobs("a", "a/b", "a/~/c");
	expect("start a");
	finish("a", WARN);      expect("start a/b");
	finish("a/b", WARN);    expect("start a/~/c");
	finish("a/~/c", OK);    expect(NOTHING);
	expect_result("failed");
}
END_TEST

START_TEST(an_ignored_failure_goes_on_and_fails_nothing)
{
	jobs("a", "a/b");
	expect("start a");
	finish("a", IGNORE);    expect("start a/b");
	finish("a/b", OK);
	expect_state("a", "warned");
	expect_result("ok");
}
END_TEST

START_TEST(a_skip_ends_its_subtree_and_fails_nothing)
{
	jobs("a", "a/b", "a/b/c", "b");
	expect("start a", "start b");
	finish("a", SKIP);      expect("skip a/b because of a", "skip a/b/c because of a");
	finish("b", OK);
	expect_result("ok");
}
END_TEST

START_TEST(a_failure_ends_its_subtree_and_stops_no_sibling)
{
	jobs("a", "a/b", "b", "b/c");
	expect("start a", "start b");
	finish("a", FAIL);      expect("skip a/b because of a");
	finish("b", OK);        expect("start b/c");
	finish("b/c", OK);
	expect_result("failed");
}
END_TEST

START_TEST(a_failure_shuts_the_barriers_of_all_ancestors)
{
	jobs("p", "p/q/x", "p/q/y", "p/q/~/1", "p/~/2", "~/3");
	expect("start p");
	finish("p", OK);        expect("start p/q/x", "start p/q/y");
	finish("p/q/x", FAIL);  expect("skip p/q/~/1 because of p/q/x", "skip p/~/2 because of p/q/x", "skip ~/3 because of p/q/x");
	finish("p/q/y", OK);    expect(NOTHING);
	expect_result("failed");
}
END_TEST

START_TEST(a_barrier_shut_from_within_is_still_killed_from_without)
{
	jobs("a", "~/x", "~/~/y");
	expect("start a");
	cancel("~/~/y");        expect(NOTHING);
	finish("a", FAIL);      expect("skip ~/x because of a");
	expect_result("failed");
}
END_TEST

START_TEST(a_skip_shuts_the_barriers_of_all_ancestors)
{
	jobs("p/x", "p/y", "p/~/1", "~/2");
	expect("start p/x", "start p/y");
	finish("p/x", SKIP);    expect("skip p/~/1 because of p/x", "skip ~/2 because of p/x");
	finish("p/y", OK);      expect(NOTHING);
	expect_result("ok");
}
END_TEST

START_TEST(a_failure_touches_no_neighbour_s_barrier)
{
	jobs("p/x", "p/~/end", "q/x", "q/~/end");
	expect("start p/x", "start q/x");
	finish("p/x", FAIL);    expect("skip p/~/end because of p/x");
	finish("q/x", OK);      expect("start q/~/end");
}
END_TEST

START_TEST(a_failure_behind_a_barrier_shuts_the_outer_ones_only)
{
	jobs("p/x", "p/~/y", "p/~/~/z", "p/~/n", "~/end");
	expect("start p/x");
	finish("p/x", OK);      expect("start p/~/n", "start p/~/y");
	finish("p/~/y", FAIL);  expect("skip p/~/~/z because of p/~/y", "skip ~/end because of p/~/y");
	finish("p/~/n", OK);    expect(NOTHING);
	expect_result("failed");
}
END_TEST

START_TEST(what_was_skipped_names_the_first_cause)
{
	jobs("a", "a/b", "c", "~/end");
	expect("start a", "start c");
	finish("c", FAIL);      expect("skip ~/end because of c");
	finish("a", FAIL);      expect("skip a/b because of a");
}
END_TEST

START_TEST(a_lost_job_ends_like_a_failed_one)
{
	jobs("a", "a/b");
	expect("start a");
	finish("a", LOST);      expect("skip a/b because of a");
	expect_state("a", "lost");
	expect_result("failed");
}
END_TEST

START_TEST(an_abort_fails_the_run_and_says_so)
{
	struct jt_end end;
	jobs("a", "b");
	expect("start a", "start b");
	finish("a", ABORT);     expect(NOTHING);
	jt_job_end(tree, job_named("a"), &end, NULL, NULL);
	ck_assert(end.stops_run && end.fails_run && !end.goes_on);
	finish("b", CANCEL);
	expect_result("failed");
}
END_TEST

START_TEST(cancel_of_a_running_job_skips_its_subtree)
{
	jobs("a", "a/b", "b", "~/end");
	expect("start a", "start b");
	cancel("a");            expect("skip a/b because of a", "skip ~/end because of a");
	finish("b", OK);
	expect_state("a", "cancelled");
	expect_result("failed");
}
END_TEST

START_TEST(cancel_of_an_available_job_takes_it_from_the_queue)
{
	opts.slots = 1;
	jobs("a", "b", "b/c");
	expect("start a");
	cancel("b");            expect("skip b/c because of b");
	finish("a", OK);        expect(NOTHING);
	expect_result("failed");
}
END_TEST

START_TEST(cancel_of_a_waiting_job_leaves_the_rest_to_run)
{
	jobs("a", "a/b", "a/b/c", "a/d", "a/~/end");
	expect("start a");
	cancel("a/b");          expect("skip a/b/c because of a/b", "skip a/~/end because of a/b");
	finish("a", OK);        expect("start a/d");
	finish("a/d", OK);      expect(NOTHING);
	expect_result("failed");
}
END_TEST

START_TEST(cancel_of_a_held_job_and_of_one_that_backs_off)
{
	jobs("a", "a/x", "b", "b/x");
	hold("a");
	expect("start b");
	backoff("b", 10);
	cancel("a");            expect("skip a/x because of a");
	cancel("b");            expect("skip b/x because of b");
	at(20);                 expect(NOTHING);
	expect_result("failed");
}
END_TEST

START_TEST(cancel_of_what_waits_behind_a_barrier_shuts_the_outer_one)
{
	jobs("p/x", "p/~/y", "~/end");
	expect("start p/x");
	cancel("p/~/y");        expect("skip ~/end because of p/~/y");
	finish("p/x", OK);      expect(NOTHING);
	expect_result("failed");
}
END_TEST

START_TEST(an_end_already_recorded_wins)
{
	jobs("a");
	expect("start a");
	finish("a", OK);
	refuse(JT_ESTATE, cancel("a"));
	expect_text("\"a\" is ok");
	expect_result("ok");
}
END_TEST

CHAPTER(stories_of_ending, "ending", a_warning_goes_on_and_fails_the_run, an_ignored_failure_goes_on_and_fails_nothing,
	a_skip_ends_its_subtree_and_fails_nothing, a_failure_ends_its_subtree_and_stops_no_sibling,
	a_failure_shuts_the_barriers_of_all_ancestors, a_barrier_shut_from_within_is_still_killed_from_without,
	a_skip_shuts_the_barriers_of_all_ancestors, a_failure_touches_no_neighbour_s_barrier,
	a_failure_behind_a_barrier_shuts_the_outer_ones_only, what_was_skipped_names_the_first_cause,
	a_lost_job_ends_like_a_failed_one, an_abort_fails_the_run_and_says_so, cancel_of_a_running_job_skips_its_subtree,
	cancel_of_an_available_job_takes_it_from_the_queue, cancel_of_a_waiting_job_leaves_the_rest_to_run,
	cancel_of_a_held_job_and_of_one_that_backs_off, cancel_of_what_waits_behind_a_barrier_shuts_the_outer_one,
	an_end_already_recorded_wins)
