/* SPDX-License-Identifier: MIT */
/* The executors: inline and with threads. */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "jobtree.h"
#include "../play.h"

static const char *const tree[] = { "a", "a/x", "a/y", "a/~/prune", "b", "b/x" };
#define N (sizeof(tree) / sizeof(*tree))

static struct jt_error err;

static struct jt_sched *open_tree(void)
{
	struct jt_opts opts = { .slots = 3 };
	struct jt_sched *s = jt_sched_new(&opts, &err);
	for (size_t i = 0; i < N; i++) {
		struct jt_spec spec = { .path = tree[i], .path_len = strlen(tree[i]) };
		ck_assert(jt_sched_add(s, &spec, 1, NULL, NULL, &err) == 0);
	}
	return s;
}

struct seen {
	atomic_int runs[N], order;
	atomic_int at[N];
	struct jt_cancel *cancel;
	const char *fails;
	uint32_t fails_until;
};

static enum jt_outcome work(void *arg, const char *path, jt_job job, uint32_t attempt)
{
	struct seen *w = arg;
	atomic_fetch_add(&w->runs[job], 1);
	atomic_store(&w->at[job], atomic_fetch_add(&w->order, 1));
	if (w->cancel)
		jt_cancel_request(w->cancel);
	return w->fails && strcmp(path, w->fails) == 0 && attempt < w->fails_until ? JT_END_FAIL : JT_END_OK;
}

START_TEST(each_job_runs_once_and_the_barrier_last)
{
	struct seen w = { .fails = NULL };
	struct jt_sched *s = open_tree();
	struct jt_result r;
	ck_assert_msg(jt_run_threads(s, work, &w, NULL, NULL, &r, &err) == 0, "%s", err.text);
	ck_assert(r.done && !r.failed);
	for (size_t i = 0; i < N; i++)
		ck_assert_int_eq(w.runs[i], 1);
	ck_assert(w.at[3] > w.at[1] && w.at[3] > w.at[2] && w.at[1] > w.at[0]);
	jt_sched_free(s);
}
END_TEST

START_TEST(a_failure_is_tried_again_and_the_tree_goes_on)
{
	struct seen w = { .fails = "a/x", .fails_until = 3 };
	struct jt_run_opts opts = { .retry = { .max = 2, .cap_ns = 1000, .max_ns = 1000, .base = 2 } };
	struct jt_sched *s = open_tree();
	struct jt_result r;
	ck_assert(jt_run_threads(s, work, &w, &opts, NULL, &r, &err) == 0);
	ck_assert(!r.failed);
	ck_assert_int_eq(w.runs[1], 3);
	ck_assert_int_eq(w.runs[3], 1);
	jt_sched_free(s);
}
END_TEST

START_TEST(a_request_to_cancel_ends_the_run)
{
	struct seen w = { .cancel = jt_cancel_new() };
	struct jt_sched *s = open_tree();
	struct jt_result r;
	ck_assert(jt_run_threads(s, work, &w, NULL, w.cancel, &r, &err) == 0);
	ck_assert(r.done && r.stopped);
	ck_assert_int_eq(w.runs[3], 0);
	jt_cancel_free(w.cancel);
	jt_sched_free(s);
}
END_TEST

START_TEST(inline_gives_path_order)
{
	struct seen w = { .fails = NULL };
	struct jt_sched *s = open_tree();
	struct jt_result r;
	ck_assert(jt_run_inline(s, work, &w, NULL, NULL, &r, &err) == 0);
	for (size_t i = 0; i < N; i++)
		ck_assert_int_eq(w.at[i], (int)i);
	jt_sched_free(s);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("executors");
	TCase *t = tcase_create("threads and inline");
	tcase_add_test(t, each_job_runs_once_and_the_barrier_last);
	tcase_add_test(t, a_failure_is_tried_again_and_the_tree_goes_on);
	tcase_add_test(t, a_request_to_cancel_ends_the_run);
	tcase_add_test(t, inline_gives_path_order);
	suite_add_tcase(suite, t);
	return play_suite(suite);
}
