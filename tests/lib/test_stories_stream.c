/* SPDX-License-Identifier: MIT */
/* Stories of streams: trees that grow while they run. */
#include "story_kit.h"

START_TEST(what_is_added_starts_at_once)
{
	stream("a");
	expect("start a");
	add("b", "a/x");        expect("start b");
	finish("a", OK);        expect("start a/x");
}
END_TEST

START_TEST(a_stream_may_begin_empty_and_is_done_only_when_sealed)
{
	stream(NOTHING);
	add("a");               expect("start a");
	finish("a", OK);        expect(NOTHING);
	expect_result("open, ok");
	seal("");
	expect_result("ok");
	refuse(JT_ESTATE, add("b"));
}
END_TEST

START_TEST(an_add_is_all_or_nothing)
{
	stream("a");
	expect("start a");
	refuse(JT_EEXIST, add("b", "c/d", "a"));
	expect_text("\"a\"");
	expect(NOTHING);
	ck_assert_uint_eq(jt_sched_find(tree, "b", 1), JT_NONE);
	ck_assert(!jt_sched_is_dir(tree, "c", 1));
	add("b");               expect("start b");
}
END_TEST

START_TEST(below_a_finished_parent_it_starts_at_once)
{
	stream("a", "w");
	expect("start a", "start w");
	finish("a", OK);
	finish("w", WARN);
	add("a/x", "w/gap/y");  expect("start a/x", "start w/gap/y");
}
END_TEST

START_TEST(below_what_did_not_go_on_it_is_refused)
{
	stream("a", "b", "b/x", "c", "n when failure");
	expect("skip n, not needed", "start a", "start b", "start c");
	finish("a", FAIL);
	finish("b", SKIP);
	cancel("c");
	expect("skip b/x because of b");
	refuse(JT_ESTATE, add("a/x"));
	expect_text("stands below \"a\", which has ended failed");
	refuse(JT_ESTATE, add("b/gap/y"));
	refuse(JT_ESTATE, add("b/x/y"));
	refuse(JT_ESTATE, add("c/x"));
	refuse(JT_ESTATE, add("n/x"));
}
END_TEST

START_TEST(a_barrier_opens_only_once_its_directory_is_sealed)
{
	stream("p/a", "p/~/end");
	expect("start p/a");
	finish("p/a", OK);      expect(NOTHING);
	add("p/b");             expect("start p/b");
	seal("p");              expect(NOTHING);
	refuse(JT_ESTATE, add("p/c"));
	expect_text("\"p\" is sealed");
	refuse(JT_ESTATE, add("p/b/c"));
	finish("p/b", OK);      expect("start p/~/end");
}
END_TEST

START_TEST(behind_the_barrier_of_a_sealed_directory_jobs_can_be_added)
{
	stream("p/a", "p/~/x", "q");
	expect("start p/a", "start q");
	seal("p");
	add("p/~/y");
	finish("p/a", OK);      expect("start p/~/x", "start p/~/y");
	finish("p/~/x", OK);
	add("p/~/z");           expect("start p/~/z");
	seal("");
	refuse(JT_ESTATE, add("p/~/w"));
}
END_TEST

START_TEST(sealing_the_whole_opens_all_barriers)
{
	stream("p/a", "p/~/x", "~/end");
	expect("start p/a");
	finish("p/a", OK);      expect(NOTHING);
	seal("");               expect("start p/~/x");
	finish("p/~/x", OK);    expect("start ~/end");
	finish("~/end", OK);
	expect_result("ok");
}
END_TEST

START_TEST(sealing_twice_is_as_once_and_of_nothing_is_refused)
{
	stream("p/a");
	refuse(JT_ENOENT, seal("q"));
	expect_text("\"q\"");
	seal("p");
	seal("p");
	seal("");
	seal("");
	expect("start p/a");
}
END_TEST

START_TEST(behind_a_barrier_that_is_shut_it_is_taken_and_skipped)
{
	stream("p/a", "p/~/x", "q");
	expect("start p/a", "start q");
	finish("p/a", FAIL);    expect("skip p/~/x because of p/a");
	add("p/~/y");           expect("skip p/~/y because of p/a");
	add("~/end");           expect("skip ~/end because of p/a");
	add("p/b");             expect("start p/b");
}
END_TEST

START_TEST(behind_a_first_barrier_of_a_sealed_and_failed_directory_too)
{
	stream("p/a", "q", "f after p/ when finished", "~/last when finished");
	expect("start p/a", "start q");
	seal("p");
	finish("p/a", FAIL);    expect("start f");
	add("p/~/y");           expect("skip p/~/y because of p/a");
	add("g after p/ when finished");
	seal("");               expect("start g");
	finish("f", OK);
	finish("g", OK);        expect(NOTHING);        /* q runs on */
	finish("q", OK);        expect("start ~/last");
	finish("~/last", OK);
	expect_result("failed");
}
END_TEST

START_TEST(a_job_is_put_above_others_as_long_as_none_has_begun)
{
	opts.slots = 1;
	stream("0", "a/x", "b/x");
	expect("start 0");
	add("b");
	finish("0", OK);        expect("start a/x");
	refuse(JT_ESTATE, add("a"));
	expect_text("\"a/x\"");
	finish("a/x", OK);      expect("start b");
	finish("b", OK);        expect("start b/x");
}
END_TEST

START_TEST(after_a_subtree_waits_for_its_seal)
{
	stream("p/a", "b after p/", "c after p/a");
	expect("start p/a");
	finish("p/a", OK);      expect("start c");
	add("p/d");             expect("start p/d");
	finish("p/d", OK);      expect(NOTHING);
	seal("p");              expect("start b");
	refuse(JT_ESTATE, add("p/~/late"));             /* p/ was complete */
}
END_TEST

START_TEST(after_names_what_stands_in_the_same_add_or_before)
{
	stream("a");
	expect("start a");
	refuse(JT_ENOENT, add("b after c"));
	expect_text("\"c\"");
	add("b after c", "c after a");
	expect(NOTHING);
	finish("a", OK);        expect("start c");
	finish("c", OK);        expect("start b");
}
END_TEST

START_TEST(after_what_has_ended_already)
{
	stream("a", "b");
	expect("start a", "start b");
	finish("a", OK);
	finish("b", FAIL);
	add("c after a", "d after b", "e after b when failure", "f after a when failure");
	expect("skip f, not needed", "skip d because of b", "start c", "start e");
}
END_TEST

START_TEST(a_finished_job_behind_a_barrier_waits_for_the_seal)
{
	stream("p/a", "p/~/f when finished");
	expect("start p/a");
	finish("p/a", FAIL);    expect(NOTHING);
	add("p/b");             expect("start p/b");
	finish("p/b", OK);
	seal("p");              expect("start p/~/f");
}
END_TEST

START_TEST(hold_and_backoff_survive_growth)
{
	stream("a", "b");
	expect("start a", "start b");
	backoff("a", 100);
	add("c");               expect("start c");
	hold("a");
	add("d/e after b");
	release("a");           expect(NOTHING);
	at(100);                expect("start a");
}
END_TEST

CHAPTER(stories_of_streams, "streams", what_is_added_starts_at_once, a_stream_may_begin_empty_and_is_done_only_when_sealed,
	an_add_is_all_or_nothing, below_a_finished_parent_it_starts_at_once, below_what_did_not_go_on_it_is_refused,
	a_barrier_opens_only_once_its_directory_is_sealed, behind_the_barrier_of_a_sealed_directory_jobs_can_be_added,
	sealing_the_whole_opens_all_barriers, sealing_twice_is_as_once_and_of_nothing_is_refused,
	behind_a_barrier_that_is_shut_it_is_taken_and_skipped, behind_a_first_barrier_of_a_sealed_and_failed_directory_too,
	a_job_is_put_above_others_as_long_as_none_has_begun, after_a_subtree_waits_for_its_seal,
	after_names_what_stands_in_the_same_add_or_before, after_what_has_ended_already, a_finished_job_behind_a_barrier_waits_for_the_seal,
	hold_and_backoff_survive_growth)
