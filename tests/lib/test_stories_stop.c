/* SPDX-License-Identifier: MIT */
/* Stories of stopping a run: what runs, what waits, and what runs all the same. */
#include "story_kit.h"

START_TEST(a_stop_cancels_the_available_and_skips_the_waiting)
{
	opts.slots = 1;
	jobs("a", "a/x", "b", "b/x");
	expect("start a");
	stop(JT_STOP, JT_STOP_CANCEL);
	expect("skip a/x, stopped", "cancel b", "skip b/x, stopped");
	expect_result("open, cancelled");
	finish("a", CANCEL);    expect(NOTHING);
	expect_result("cancelled");
}
END_TEST

START_TEST(a_stop_cancels_what_is_held_and_what_backs_off)
{
	jobs("a", "b", "c");
	hold("a");              expect("start b", "start c");
	backoff("b", 10);
	stop(JT_STOP, JT_STOP_CANCEL);
	expect("cancel a", "cancel b");
	at(20);                 expect(NOTHING);
	finish("c", CANCEL);
	expect_result("cancelled");
}
END_TEST

START_TEST(a_stop_for_a_failure_makes_the_run_failed)
{
	jobs("a", "b");
	expect("start a", "start b");
	finish("a", ABORT);
	stop(JT_STOP, JT_STOP_FAIL);
	expect(NOTHING);
	finish("b", CANCEL);
	expect_result("failed");
}
END_TEST

START_TEST(a_deadline_fails_a_run_in_which_nothing_had_failed)
{
	jobs("a", "a/b");
	expect("start a");
	stop(JT_STOP, JT_STOP_FAIL);
	expect("skip a/b, stopped");
	finish("a", OK);        expect(NOTHING);
	expect_result("failed");
}
END_TEST

START_TEST(a_stop_that_finds_nothing_left_changes_no_result)
{
	jobs("a");
	expect("start a");
	finish("a", OK);
	stop(JT_STOP, JT_STOP_CANCEL);
	expect_result("ok");
}
END_TEST

START_TEST(the_first_stop_says_why)
{
	jobs("a", "b");
	expect("start a", "start b");
	stop(JT_STOP, JT_STOP_CANCEL);
	stop(JT_STOP, JT_STOP_FAIL);
	finish("a", CANCEL);
	finish("b", CANCEL);
	expect_result("cancelled");
}
END_TEST

START_TEST(a_finished_job_still_runs_after_a_stop)
{
	jobs("a", "a/b", "cleanup after a/ when finished");
	expect("start a");
	stop(JT_STOP, JT_STOP_CANCEL);
	expect("skip a/b, stopped");
	expect_state("cleanup", "waiting");
	finish("a", CANCEL);    expect("start cleanup");
	finish("cleanup", OK);
	expect_result("cancelled");
}
END_TEST

START_TEST(a_failure_job_does_not)
{
	jobs("a", "alarm after a when failure");
	expect("start a");
	stop(JT_STOP, JT_STOP_CANCEL);
	expect("skip alarm, stopped");
	finish("a", CANCEL);    expect(NOTHING);
	expect_result("cancelled");
}
END_TEST

START_TEST(now_takes_the_finished_jobs_too)
{
	jobs("a", "cleanup after a when finished");
	expect("start a");
	stop(JT_STOP, JT_STOP_CANCEL);
	expect(NOTHING);
	stop(JT_STOP_NOW, JT_STOP_CANCEL);
	expect("skip cleanup, stopped");
	finish("a", CANCEL);    expect(NOTHING);
	expect_result("cancelled");
}
END_TEST

START_TEST(a_finished_job_behind_a_barrier_runs_once_all_are_terminated)
{
	jobs("p/a", "p/b", "p/c", "p/~/cleanup when finished", "p/~/prune");
	hold("p/c");            expect("start p/a", "start p/b");
	stop(JT_STOP, JT_STOP_CANCEL);
	expect("cancel p/c", "skip p/~/prune, stopped");
	finish("p/a", CANCEL);  expect(NOTHING);
	finish("p/b", CANCEL);  expect("start p/~/cleanup");
}
END_TEST

START_TEST(what_was_not_started_after_all_does_not_start_after_a_stop)
{
	jobs("a");
	expect("start a");
	stop(JT_STOP, JT_STOP_CANCEL);
	unstart("a");
	expect_state("a", "ready");
	stop(JT_STOP, JT_STOP_CANCEL);
	expect("cancel a");
	expect_result("cancelled");
}
END_TEST

START_TEST(a_stop_seals_a_stream)
{
	stream("a");
	expect("start a");
	stop(JT_STOP, JT_STOP_CANCEL);
	refuse(JT_ESTATE, add("b"));
	finish("a", CANCEL);
	expect_result("cancelled");
}
END_TEST

CHAPTER(stories_of_stopping, "stopping", a_stop_cancels_the_available_and_skips_the_waiting,
	a_stop_cancels_what_is_held_and_what_backs_off, a_stop_for_a_failure_makes_the_run_failed,
	a_deadline_fails_a_run_in_which_nothing_had_failed, a_stop_that_finds_nothing_left_changes_no_result, the_first_stop_says_why,
	a_finished_job_still_runs_after_a_stop, a_failure_job_does_not, now_takes_the_finished_jobs_too,
	a_finished_job_behind_a_barrier_runs_once_all_are_terminated, what_was_not_started_after_all_does_not_start_after_a_stop,
	a_stop_seals_a_stream)
