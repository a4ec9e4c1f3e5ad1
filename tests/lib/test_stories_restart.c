/* SPDX-License-Identifier: MIT */
/* Stories of restarts: a tree is told how its jobs stood, and derives the rest. */
#include "story_kit.h"

#define ENDED(outcome) .state = jt_end_of((enum jt_outcome)(outcome)).state, .end = jt_end_of((enum jt_outcome)(outcome))

START_TEST(a_running_job_keeps_its_slot)
{
	opts.slots = 1;
	named("a", "a/x", "b");
	restore("a", .state = JT_RUNNING);
	begin();                expect(NOTHING);
	expect_state("a", "running");
	expect_state("b", "ready");
	finish("a", OK);        expect("start a/x");
}
END_TEST

START_TEST(more_may_run_than_there_are_slots_now)
{
	opts.slots = 1;
	named("a", "b", "c");
	restore("a", .state = JT_RUNNING);
	restore("b", .state = JT_STARTING);
	begin();                expect(NOTHING);
	finish("a", OK);        expect(NOTHING);
	finish("b", OK);        expect("start c");
}
END_TEST

START_TEST(ends_open_and_shut_what_they_did)
{
	named("a", "a/x", "p/a", "p/b", "p/~/end", "q/a", "q/~/end");
	restore("a", ENDED(OK));
	restore("p/a", ENDED(FAIL));
	restore("p/~/end", .state = JT_SKIPPED, .end = { .state = JT_SKIPPED }, .reason = JT_UPSTREAM, .cause = 2);
	restore("q/a", ENDED(WARN));
	begin();                expect("start a/x", "start p/b", "start q/~/end");
	expect_state("p/~/end", "skipped");
	expect_result("open, failed");
}
END_TEST

START_TEST(what_had_not_been_skipped_yet_is_skipped_now)
{
	named("a", "a/x", "~/end");
	restore("a", ENDED(FAIL));
	begin();                expect("skip a/x because of a", "skip ~/end because of a");
	expect_result("failed");
}
END_TEST

START_TEST(held_jobs_stay_held)
{
	named("a", "b", "b/x");
	restore("a", .state = JT_HELD);
	restore("b/x", .state = JT_HELD);
	begin();                expect("start b");
	release("a");           expect("start a");
	release("b/x");         expect(NOTHING);
	finish("b", OK);        expect("start b/x");
}
END_TEST

START_TEST(due_times_survive)
{
	named("a", "b");
	restore("a", .state = JT_BACKOFF, .due_ns = 100);
	begin();                expect("start b");
	at(99);                 expect(NOTHING);
	at(100);                expect("start a");
}
END_TEST

START_TEST(a_hold_over_the_restart_keeps_the_due_time)
{
	named("a", "b");
	restore("a", .state = JT_HELD, .due_ns = 100);
	begin();                expect("start b");
	release("a");           expect(NOTHING);
	at(100);                expect("start a");
}
END_TEST

START_TEST(what_ran_over_the_restart_can_back_off_and_be_held)
{
	named("a", "b after a", "c after a when finished");
	restore("a", ENDED(OK));
	restore("b", .state = JT_RUNNING);
	restore("c", .state = JT_RUNNING);
	begin();                expect(NOTHING);
	backoff("b", 10);
	backoff("c", 10);
	hold("b");
	hold("c");
	release("b");
	release("c");
	at(10);                 expect("start b", "start c");
}
END_TEST

START_TEST(a_ready_job_is_ready_again)
{
	named("a", "a/x");
	restore("a", .state = JT_READY);
	begin();                expect("start a");
}
END_TEST

START_TEST(when_is_judged_from_restored_ends)
{
	named("a", "alarm after a when failure", "b", "f after b when finished");
	restore("a", ENDED(FAIL));
	restore("b", .state = JT_RUNNING);
	begin();                expect("start alarm");
	finish("b", OK);        expect("start f");
}
END_TEST

START_TEST(a_stream_is_restored_open)
{
	opts.mode = JT_STREAM;
	named("p/a", "p/~/end");
	restore("p/a", ENDED(OK));
	begin();                expect(NOTHING);
	add("p/b");             expect("start p/b");
	seal("p");
	finish("p/b", OK);      expect("start p/~/end");
}
END_TEST

START_TEST(a_state_that_contradicts_itself_is_refused)
{
	named("a", "b");
	refuse(JT_EINVAL, restore("a", .state = JT_SOK, .end = { .state = JT_FAILED }));
	expect_text("\"a\"");
	refuse(JT_EINVAL, restore("a", .state = JT_SKIPPED, .end = { .state = JT_SKIPPED }, .reason = JT_UPSTREAM, .cause = 2));
	refuse(JT_EINVAL, restore("a", .state = JT_N_STATES));
	begin();
	refuse(JT_ESTATE, restore("a", .state = JT_HELD));
	expect("start a", "start b");
}
END_TEST

CHAPTER(stories_of_restarts, "restarts", a_running_job_keeps_its_slot, more_may_run_than_there_are_slots_now,
	ends_open_and_shut_what_they_did, what_had_not_been_skipped_yet_is_skipped_now, held_jobs_stay_held, due_times_survive,
	a_hold_over_the_restart_keeps_the_due_time, what_ran_over_the_restart_can_back_off_and_be_held,
	a_ready_job_is_ready_again, when_is_judged_from_restored_ends, a_stream_is_restored_open,
	a_state_that_contradicts_itself_is_refused)
