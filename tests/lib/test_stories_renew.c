/* SPDX-License-Identifier: MIT */
/* Stories of renewal: jobs of a stream that are places for what comes one after the other. */
#include "story_kit.h"

START_TEST(what_is_renewed_starts_again)
{
	stream("1");
	expect("start 1");
	finish("1", OK);        expect(NOTHING);
	renew("1");             expect("start 1");
	finish("1", OK);
	expect_result("open, ok");
	renew("1");
	seal("");               expect("start 1");
	finish("1", OK);
	expect_result("ok");
}
END_TEST

START_TEST(only_the_last_end_counts_for_the_run)
{
	stream("1", "2");
	expect("start 1", "start 2");
	finish("1", FAIL);
	expect_result("open, failed");
	renew("1");
	expect_result("open, ok");
	expect("start 1");
	finish("1", OK);
	finish("2", WARN);
	renew("2");             expect("start 2");
	finish("2", IGNORE);
	seal("");
	expect_result("ok");
	ck_assert_uint_eq(jt_sched_counts(tree)->total, 2);
	ck_assert_uint_eq(jt_sched_counts(tree)->n[JT_WARNED], 1);
	ck_assert_uint_eq(jt_sched_counts(tree)->n[JT_SOK], 1);
}
END_TEST

START_TEST(another_that_failed_still_fails_the_run)
{
	stream("1", "2");
	expect("start 1", "start 2");
	finish("1", FAIL);
	finish("2", LOST);
	renew("2");             expect("start 2");
	finish("2", OK);
	expect_result("open, failed");
}
END_TEST

START_TEST(in_fifo_order_it_goes_behind_all_others)
{
	opts.order = JT_BY_FIFO;
	opts.slots = 1;
	stream("1", "2", "3");
	expect("start 1");
	finish("1", OK);
	renew("1");             expect("start 2");
	finish("2", OK);
	renew("2");
	add("0");               expect("start 3");
	finish("3", OK);        expect("start 1");
	finish("1", OK);        expect("start 2");
	finish("2", OK);        expect("start 0");
}
END_TEST

START_TEST(in_any_other_order_it_has_its_key)
{
	opts.slots = 1;
	stream("1", "2", "3 priority -1");
	expect("start 3");
	finish("3", OK);        expect("start 1");
	finish("1", OK);
	renew("1");
	renew("3");             expect("start 3");
	finish("3", OK);        expect("start 1");
}
END_TEST

START_TEST(nothing_is_left_of_hold_and_backoff)
{
	stream("1", "2");
	expect("start 1", "start 2");
	backoff("1", 100);
	hold("1");
	cancel("1");
	renew("1");
	hold("1");
	release("1");           expect("start 1");
	backoff("1", 100);
	at(100);                expect("start 1");
	lose("1");
	cancel("1");
	renew("1");             expect("start 1");
}
END_TEST

/* A barrier that comes later is shut by what has failed, and by nothing that was taken back. */
START_TEST(a_later_barrier_knows_the_last_end_alone)
{
	stream("1", "2");
	expect("start 1", "start 2");
	finish("1", FAIL);
	finish("2", SKIP);
	renew("1");
	renew("2");             expect("start 1", "start 2");
	finish("1", OK);
	finish("2", OK);
	add("~/end");
	seal("");               expect("start ~/end");
}
END_TEST

START_TEST(what_is_added_below_waits_for_the_new_end)
{
	stream("1", "2", "beside when finished");
	expect("start 1", "start 2", "start beside");
	finish("1", OK);
	finish("2", FAIL);
	renew("1");
	renew("2");             expect("start 1", "start 2");
	add("1/x", "1/f when finished", "2/x", "2/f when failure");
	expect(NOTHING);
	finish("1", OK);        expect("start 1/f", "start 1/x");
	finish("2", OK);        expect("skip 2/f, not needed", "start 2/x");
}
END_TEST

/* Here needs are kept account of: a barrier with a job that runs in any case waits for what runs again. */
START_TEST(a_later_barrier_waits_for_what_was_renewed)
{
	stream("1", "beside when finished");
	expect("start 1", "start beside");
	finish("beside", OK);
	finish("1", FAIL);
	renew("1");             expect("start 1");
	add("~/all when finished", "~/bad when failure");
	seal("");               expect(NOTHING);
	finish("1", OK);        expect("skip ~/bad, not needed", "start ~/all");
}
END_TEST

START_TEST(a_later_barrier_stays_shut_because_of_another)
{
	stream("1", "2", "d/x");
	expect("start 1", "start 2", "start d/x");
	finish("1", FAIL);
	finish("2", FAIL);
	finish("d/x", SKIP);
	renew("1");             expect("start 1");
	renew("2");             expect("start 2");
	finish("1", OK);
	finish("2", OK);
	add("~/end");           expect("skip ~/end because of d/x");
}
END_TEST

START_TEST(jobs_with_needs_of_their_own_stand_beside_it)
{
	stream("1", "p/a", "b after p/", "c after p/a when failure");
	expect("start 1", "start p/a");
	finish("1", CANCEL);
	renew("1");             expect("start 1");
	finish("p/a", FAIL);    expect("skip b because of p/a", "start c");
	finish("1", OK);
	renew("1");             expect("start 1");
	finish("c", OK);
	seal("");
	finish("1", OK);
	expect_result("failed");
}
END_TEST

START_TEST(what_has_not_ended_is_not_renewed)
{
	stream("1", "2");
	expect("start 1", "start 2");
	refuse(JT_ESTATE, renew("1"));
	expect_text("job \"1\" is starting, only what has ended");
	backoff("1", 100);
	refuse(JT_ESTATE, renew("1"));
	hold("1");
	refuse(JT_ESTATE, renew("1"));
	finish("2", OK);
	renew("2");
	refuse(JT_ESTATE, renew("2"));
	expect("start 2");
}
END_TEST

START_TEST(where_nothing_can_be_added_nothing_is_renewed)
{
	stream("1", "2", "3");
	expect("start 1", "start 2", "start 3");
	finish("1", OK);
	finish("2", OK);
	seal("1");
	refuse(JT_ESTATE, renew("1"));
	expect_text("\"1\": cannot be renewed, the tree is sealed here");
	stop(JT_STOP, JT_STOP_CANCEL);
	refuse(JT_ESTATE, renew("2"));
	expect_text("stopped");
}
END_TEST

START_TEST(a_tree_that_does_not_grow_renews_nothing)
{
	jobs("1");
	expect("start 1");
	finish("1", OK);
	refuse(JT_ESTATE, renew("1"));
	expect_text("sealed");
}
END_TEST

START_TEST(what_others_have_to_do_with_is_not_renewed)
{
	stream("d/x", "p", "p/x", "a", "b after a", "w when finished", "t", "u after t/");
	expect("start a", "start d/x", "start p", "start t", "start w");
	finish("d/x", OK);
	finish("p", OK);
	finish("a", OK);
	finish("w", OK);
	finish("t", OK);        expect("start b", "start p/x");
	finish("b", OK);
	refuse(JT_EINVAL, renew("d/x"));
	expect_text("top level");
	refuse(JT_EINVAL, renew("p"));
	expect_text("below it");
	refuse(JT_EINVAL, renew("a"));
	refuse(JT_EINVAL, renew("b"));
	refuse(JT_EINVAL, renew("w"));
	refuse(JT_EINVAL, renew("t"));
	expect_text("waits for others, or others for it");
}
END_TEST

START_TEST(what_the_barrier_of_the_top_level_waits_for_is_not_renewed)
{
	stream("1", "~/end");
	expect("start 1");
	finish("1", OK);
	refuse(JT_EINVAL, renew("1"));
	expect_text("barrier");
	seal("");               expect("start ~/end");
}
END_TEST

CHAPTER(stories_of_renewal, "renewal", what_is_renewed_starts_again, only_the_last_end_counts_for_the_run, another_that_failed_still_fails_the_run,
	in_fifo_order_it_goes_behind_all_others, in_any_other_order_it_has_its_key, nothing_is_left_of_hold_and_backoff,
	what_is_added_below_waits_for_the_new_end, a_later_barrier_waits_for_what_was_renewed, a_later_barrier_knows_the_last_end_alone, a_later_barrier_stays_shut_because_of_another, jobs_with_needs_of_their_own_stand_beside_it,
	what_has_not_ended_is_not_renewed, where_nothing_can_be_added_nothing_is_renewed, a_tree_that_does_not_grow_renews_nothing,
	what_others_have_to_do_with_is_not_renewed, what_the_barrier_of_the_top_level_waits_for_is_not_renewed)
