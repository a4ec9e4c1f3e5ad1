/* SPDX-License-Identifier: MIT */
/* Stories of `jobctl retry`: what has ended goes back to waiting, and what needs it. */
#include "story_kit.h"

START_TEST(retry_puts_back_what_failed_and_what_was_skipped)
{
	jobs("a", "a/x", "b");
	expect("start a", "start b");
	finish("a", FAIL);
	finish("b", OK);        expect("skip a/x because of a");
	retry("");              expect("again a", "again a/x", "start a");
	expect_result("open, ok");
	finish("a", OK);        expect("start a/x");
	finish("a/x", OK);
	expect_state("b", "ok");
	expect_result("ok");
}
END_TEST

START_TEST(retry_recomputes_the_barriers_above)
{
	jobs("p/a", "p/b", "p/~/end", "~/last");
	expect("start p/a", "start p/b");
	finish("p/a", FAIL);    expect("skip p/~/end because of p/a", "skip ~/last because of p/a");
	retry("p/a");           expect("again p/a", "again p/~/end", "again ~/last", "start p/a");
	finish("p/a", OK);      expect(NOTHING);
	finish("p/b", OK);      expect("start p/~/end");
}
END_TEST

START_TEST(retry_of_a_sub_path_leaves_the_others)
{
	jobs("a/x", "b/x", "~/end");
	expect("start a/x", "start b/x");
	finish("a/x", FAIL);
	finish("b/x", FAIL);    expect("skip ~/end because of a/x");
	retry("a");             expect("again a/x", "again ~/end", "skip ~/end because of b/x", "start a/x");
	expect_state("b/x", "failed");
	finish("a/x", OK);
	expect_result("failed");
}
END_TEST

START_TEST(retry_of_what_is_below_a_failure_is_skipped_again)
{
	jobs("a", "a/x");
	expect("start a");
	finish("a", FAIL);      expect("skip a/x because of a");
	retry("a/x");           expect("again a/x", "skip a/x because of a");
	expect_result("failed");
}
END_TEST

START_TEST(ok_stays_ok_unless_all_is_asked_for)
{
	jobs("a", "a/x", "b");
	expect("start a", "start b");
	finish("a", OK);        expect("start a/x");
	finish("a/x", OK);
	finish("b", WARN);
	retry("");              expect(NOTHING);
	expect_result("failed");
	retry_all("a");         expect("again a", "again a/x", "start a");
	expect_state("b", "warned");
}
END_TEST

START_TEST(what_went_well_and_needs_it_stays)
{
	jobs("a", "b after a", "c after b");
	expect("start a");
	finish("a", OK);        expect("start b");
	finish("b", OK);        expect("start c");
	retry_all("a");         expect("again a", "start a");
	finish("a", OK);
	finish("c", OK);        expect(NOTHING);
	expect_result("ok");
}
END_TEST

START_TEST(finished_and_failure_jobs_run_again)
{
	jobs("a", "f after a when finished", "g after a when failure");
	expect("start a");
	finish("a", FAIL);      expect("start f", "start g");
	finish("f", OK);
	finish("g", OK);
	retry("a");             expect("again a", "again g", "again f", "start a");
	finish("a", OK);        expect("skip g, not needed", "start f");
}
END_TEST

START_TEST(retry_is_allowed_while_the_run_runs)
{
	jobs("a", "a/x", "b", "~/end");
	expect("start a", "start b");
	finish("a", FAIL);      expect("skip a/x because of a", "skip ~/end because of a");
	retry("a");             expect("again a", "again a/x", "again ~/end", "start a");
	finish("b", OK);
	finish("a", OK);        expect("start a/x");
	finish("a/x", OK);      expect("start ~/end");
}
END_TEST

START_TEST(retry_puts_back_a_backoff_that_needs_it)
{
	jobs("a", "a/x");
	expect("start a");
	finish("a", OK);        expect("start a/x");
	backoff("a/x", 100);
	retry_all("a");         expect("again a", "again a/x", "start a");
	at(200);                expect(NOTHING);
	finish("a", OK);        expect("start a/x");
}
END_TEST

START_TEST(held_jobs_stay_held)
{
	jobs("a", "b", "b/x");
	hold("b");              expect("start a");
	finish("a", FAIL);
	retry("");              expect("again a", "start a");
	expect_state("b", "held");
	release("b");           expect("start b");
}
END_TEST

START_TEST(others_keep_their_place_in_fifo)
{
	opts.slots = 1;
	opts.order = JT_BY_FIFO;
	jobs("a", "a/late", "b", "c");
	expect("start a");
	finish("a", OK);        expect("start b");
	finish("b", FAIL);
	retry("b");             expect("again b", "start c");
	finish("c", OK);        expect("start a/late");
	finish("a/late", OK);   expect("start b");
}
END_TEST

START_TEST(a_cancelled_run_goes_on_from_where_it_was)
{
	opts.slots = 1;
	jobs("a", "a/x", "b");
	expect("start a");
	stop(JT_STOP_NOW, JT_STOP_CANCEL);
	expect("skip a/x, stopped", "cancel b");
	finish("a", CANCEL);
	expect_result("cancelled");
	retry("");              expect("again a", "again a/x", "again b", "start a");
	finish("a", OK);        expect("start a/x");
	finish("a/x", OK);      expect("start b");
	finish("b", OK);
	expect_result("ok");
}
END_TEST

START_TEST(retry_of_nothing_is_refused)
{
	jobs("a/x");
	refuse(JT_ENOENT, retry("b"));
	expect_text("\"b\" names no job and no directory");
}
END_TEST

START_TEST(retry_in_a_stream_keeps_its_seals)
{
	stream("p/a", "p/~/end", "q");
	expect("start p/a", "start q");
	seal("p");
	finish("p/a", FAIL);    expect("skip p/~/end because of p/a");
	retry("p");             expect("again p/~/end", "again p/a", "start p/a");
	refuse(JT_ESTATE, add("p/b"));
	finish("p/a", OK);      expect("start p/~/end");
	add("q/x");
	finish("q", OK);        expect("start q/x");
}
END_TEST

CHAPTER(stories_of_retry, "retry", retry_puts_back_what_failed_and_what_was_skipped, retry_recomputes_the_barriers_above,
	retry_of_a_sub_path_leaves_the_others, retry_of_what_is_below_a_failure_is_skipped_again, ok_stays_ok_unless_all_is_asked_for,
	what_went_well_and_needs_it_stays, finished_and_failure_jobs_run_again, retry_is_allowed_while_the_run_runs,
	retry_puts_back_a_backoff_that_needs_it, held_jobs_stay_held, others_keep_their_place_in_fifo,
	a_cancelled_run_goes_on_from_where_it_was, retry_of_nothing_is_refused, retry_in_a_stream_keeps_its_seals)
