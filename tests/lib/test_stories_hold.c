/* SPDX-License-Identifier: MIT */
/* Stories of holding: hold, release, lost attempts, and the pause of a run. */
#include "story_kit.h"

START_TEST(a_held_job_does_not_start_until_released)
{
	jobs("a", "b");
	hold("a");      expect("start b");
	expect_state("a", "held");
	release("a");   expect("start a");
}
END_TEST

START_TEST(a_job_held_while_it_waits_is_let_go_when_its_turn_has_come)
{
	jobs("a", "a/b");
	hold("a/b");    expect("start a");
	finish("a", OK);
	expect(NOTHING);
	release("a/b"); expect("start a/b");
}
END_TEST

START_TEST(a_job_released_before_its_turn_waits_on)
{
	jobs("a", "a/b");
	hold("a/b");
	expect("start a");
	release("a/b"); expect(NOTHING);
	expect_state("a/b", "waiting");
	finish("a", OK);
	expect("start a/b");
}
END_TEST

START_TEST(a_held_job_keeps_the_barrier_shut)
{
	jobs("p/a", "p/b", "p/~/end");
	hold("p/a");    expect("start p/b");
	finish("p/b", OK);
	expect(NOTHING);
	release("p/a"); expect("start p/a");
	finish("p/a", OK);
	expect("start p/~/end");
}
END_TEST

START_TEST(holding_and_releasing_twice_is_as_once)
{
	jobs("a", "b");
	hold("a");
	hold("a");      expect("start b");
	release("a");
	release("a");   expect("start a");
	release("a");   expect(NOTHING);
}
END_TEST

START_TEST(what_has_begun_or_ended_is_not_held)
{
	jobs("a", "a/b");
	expect("start a");
	refuse(JT_ESTATE, hold("a"));
	expect_text("\"a\" is starting");
	finish("a", FAIL);
	refuse(JT_ESTATE, hold("a"));
	refuse(JT_ESTATE, hold("a/b"));
	refuse(JT_ESTATE, release("a"));
}
END_TEST

START_TEST(a_held_job_is_skipped_with_the_others)
{
	jobs("a", "a/b");
	hold("a/b");    expect("start a");
	finish("a", FAIL);
	expect("skip a/b because of a");
	expect_result("failed");
}
END_TEST

START_TEST(a_release_does_not_shorten_the_backoff)
{
	jobs("a");
	expect("start a");
	backoff("a", 100);
	hold("a");
	release("a");   expect(NOTHING);
	expect_state("a", "backoff");
	at(100);        expect("start a");
}
END_TEST

START_TEST(a_backoff_that_ended_under_the_hold_is_over_at_the_release)
{
	jobs("a");
	expect("start a");
	backoff("a", 100);
	hold("a");
	at(200);        expect(NOTHING);
	release("a");   expect("start a");
	finish("a", OK);
	expect_result("ok");
}
END_TEST

START_TEST(an_old_backoff_does_not_come_back_with_a_later_hold)
{
	jobs("a", "a/b");
	expect("start a");
	backoff("a", 100);
	hold("a");
	cancel("a");    expect("skip a/b because of a");
	retry("");
	hold("a");      expect("again a", "again a/b");
	release("a");   expect("start a");
}
END_TEST

START_TEST(a_job_whose_attempts_were_lost_is_held_and_gives_its_slot_back)
{
	opts.slots = 1;
	jobs("a", "b");
	expect("start a");
	lose("a");      expect("start b");
	expect_state("a", "held");
	finish("b", OK);
	expect(NOTHING);
	release("a");   expect("start a");
	finish("a", OK);
	expect_result("ok");
}
END_TEST

START_TEST(only_an_attempt_can_be_lost)
{
	jobs("a", "a/b");
	refuse(JT_ESTATE, lose("a/b"));
	expect_text("\"a/b\" is waiting");
}
END_TEST

START_TEST(a_held_job_keeps_its_place_in_fifo)
{
	opts.slots = 1;
	opts.order = JT_BY_FIFO;
	jobs("a", "b", "c");
	hold("a");      expect("start b");
	release("a");
	finish("b", OK);
	expect("start a");
}
END_TEST

START_TEST(a_paused_run_starts_nothing)
{
	jobs("a", "a/b", "c");
	expect("start a", "start c");
	jt_sched_pause(tree, true);
	finish("a", OK);
	backoff("c", 10);
	at(20);
	expect(NOTHING);
	expect_state("a/b", "ready");
	jt_sched_pause(tree, false);
	expect("start a/b", "start c");
}
END_TEST

CHAPTER(stories_of_holding, "holding", a_held_job_does_not_start_until_released,
	a_job_held_while_it_waits_is_let_go_when_its_turn_has_come, a_job_released_before_its_turn_waits_on,
	a_held_job_keeps_the_barrier_shut, holding_and_releasing_twice_is_as_once, what_has_begun_or_ended_is_not_held,
	a_held_job_is_skipped_with_the_others, a_release_does_not_shorten_the_backoff,
	a_backoff_that_ended_under_the_hold_is_over_at_the_release, an_old_backoff_does_not_come_back_with_a_later_hold,
	a_job_whose_attempts_were_lost_is_held_and_gives_its_slot_back, only_an_attempt_can_be_lost,
	a_held_job_keeps_its_place_in_fifo, a_paused_run_starts_nothing)
