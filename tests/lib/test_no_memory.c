/* SPDX-License-Identifier: MIT */
/* The n-th allocation fails, for every n: each call says JT_ENOMEM, nothing leaks, and what follows a second try is the same. */
#include <stdlib.h>
#include <string.h>

#include "jobtree.h"
#include "jobtree_fetch.h"
#include "jobtree_map.h"
#include "../play.h"

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);

static long left = -1;          /* allocations of the library until the one that fails; -1: none fails */
static bool inside;             /* the library is at work: Check allocates, too */

static bool fails(void)
{
	return inside && left >= 0 && left-- == 0;
}

void *__wrap_malloc(size_t n) { return fails() ? NULL : __real_malloc(n); }
void *__wrap_calloc(size_t n, size_t size) { return fails() ? NULL : __real_calloc(n, size); }
void *__wrap_realloc(void *p, size_t n) { return fails() ? NULL : __real_realloc(p, n); }

static struct jt_error err;
static bool failed_once;

/* A call that fails for want of memory succeeds when it is made again. */
#define twice(call)                                                                                                            \
	do {                                                                                                                   \
		inside = true;                                                                                                 \
		int r_ = (call);                                                                                               \
		inside = false;                                                                                                \
		if (r_ < 0) {                                                                                                  \
			ck_assert_msg(err.code == JT_ENOMEM && !failed_once, "%s", err.text);                                  \
			failed_once = true;                                                                                    \
			ck_assert_msg((call) == 0, "%s", err.text);                                                            \
		}                                                                                                              \
	} while (0)

static const char *const after_b[] = { "b/" };

static struct jt_spec spec(const char *path, enum jt_when when, bool after)
{
	return (struct jt_spec){ .path = path, .path_len = strlen(path), .when = when, .after = after_b, .n_after = after,
				 .priority = after };
}

static void run_out(struct jt_sched *s, struct jt_changes *out)
{
	for (jt_job j; (j = jt_sched_next(s, 0, NULL)) != JT_NONE;) {
		struct jt_end end = jt_end_of(strcmp(jt_job_path(s, j, NULL), "b") == 0 ? JT_END_FAIL : JT_END_OK);
		ck_assert(jt_sched_start(s, j, 0, &err) == 0);
		if (jt_job_path(s, j, NULL)[0] == 'a')
			twice(jt_sched_backoff(s, j, 0, &err));
		else
			twice(jt_sched_end(s, j, &end, out, &err));
		if (jt_job_state(s, j) != JT_BACKOFF)
			continue;
		ck_assert_uint_eq(jt_sched_next(s, 0, NULL), j);
		ck_assert(jt_sched_start(s, j, 0, &err) == 0);
		twice(jt_sched_end(s, j, &end, out, &err));
	}
}

/* One life with the n-th allocation failing. Returns whether one did. */
static bool life(long n, enum jt_mode mode)
{
	struct jt_opts opts = { .slots = 1, .mode = mode };
	struct jt_changes out = { 0 };
	struct jt_spec specs[] = { spec("a", 0, false), spec("b", 0, false), spec("b/~/x/y", 0, false), spec("c", 0, true),
				   spec("d", JT_ON_FINISHED, true) };
	struct jt_spec later[] = { spec("e/f/g", 0, false), spec("h", JT_ON_FAILURE, true) };
	failed_once = false;
	left = n;
	inside = true;
	struct jt_sched *s = jt_sched_new(&opts, &err);
	inside = false;
	if (!s) {
		failed_once = true;
		s = jt_sched_new(&opts, &err);
	}
	twice(jt_sched_add(s, specs, 5, NULL, &out, &err));
	twice(jt_sched_begin(s, &out, &err));
	if (mode == JT_STREAM) {
		twice(jt_sched_add(s, later, 2, NULL, &out, &err));
		twice(jt_sched_seal(s, NULL, 0, &out, &err));
	}
	run_out(s, &out);
	ck_assert(jt_sched_result(s).done);
	ck_assert_uint_eq(jt_sched_counts(s)->n[JT_FAILED], 1);
	ck_assert_uint_eq(jt_sched_counts(s)->n[JT_SKIPPED], 2);
	twice(jt_sched_retry(s, NULL, 0, false, &out, &err));
	left = -1;
	jt_sched_free(s);
	jt_changes_done(&out);
	return failed_once;
}

START_TEST(every_allocation_of_a_bulk_run_may_fail)
{
	long n = 0;
	while (life(n, JT_BULK))
		n++;
	ck_assert_int_gt(n, 10);
}
END_TEST

START_TEST(every_allocation_of_a_stream_may_fail)
{
	long n = 0;
	while (life(n, JT_STREAM))
		n++;
	ck_assert_int_gt(n, 10);
}
END_TEST

START_TEST(a_job_is_renewed_without_memory)
{
	struct jt_opts opts = { .slots = 1, .mode = JT_STREAM, .order = JT_BY_FIFO };
	struct jt_spec specs[] = { spec("1", 0, false), spec("2", 0, false) };
	struct jt_end failed = jt_end_of(JT_END_FAIL);
	struct jt_sched *s = jt_sched_new(&opts, &err);
	ck_assert(jt_sched_add(s, specs, 2, NULL, NULL, &err) == 0 && jt_sched_begin(s, NULL, &err) == 0);
	for (jt_job j = 0; j < 100; j++) {
		ck_assert_uint_eq(jt_sched_next(s, 0, NULL), j % 2);
		ck_assert(jt_sched_start(s, j % 2, 0, &err) == 0 && jt_sched_end(s, j % 2, &failed, NULL, &err) == 0);
		inside = true;
		left = 0;
		int r = jt_sched_renew(s, j % 2, &err);
		inside = false;
		left = -1;
		ck_assert_msg(r == 0, "%s", err.text);
	}
	jt_sched_free(s);
}
END_TEST

static int no_item(void *arg, struct jt_item *ret)
{
	(void)arg;
	(void)ret;
	return 0;
}

static void count_close(void *arg)
{
	(*(int *)arg)++;
}

static int no_work(void *arg, const struct jt_call *call, const struct jt_item *item, struct jt_item *ret)
{
	(void)arg;
	(void)call;
	(void)item;
	(void)ret;
	return 0;
}

/* A zip and the map over it, with the n-th allocation failing. Returns whether one did. The source is closed once, whoever had it. */
static bool map_life(long n)
{
	int closed = 0;
	struct jt_source source = { .next = no_item, .close = count_close, .arg = &closed }, zipped;
	struct jt_work work = { .run = no_work };
	struct jt_map_opts opts = { .threads = 2 };
	struct jt_map *m = NULL;
	err.code = JT_OK;
	left = n;
	inside = true;
	if (jt_zip(&source, 1, JT_ZIP_SHORT, NULL, &zipped, &err) == 0)
		m = jt_map_start(&opts, &zipped, &work, &err);
	inside = false;
	left = -1;
	ck_assert(m ? err.code == JT_OK : err.code == JT_ENOMEM);
	jt_map_free(m);
	ck_assert_int_eq(closed, 1);
	return !m;
}

START_TEST(every_allocation_of_a_map_may_fail)
{
	long n = 0;
	while (map_life(n))
		n++;
	ck_assert_int_gt(n, 5);
}
END_TEST

static struct jt_fetch_plan *plan_new(void)
{
	struct jt_fetch_opts o = { .end = UINT64_C(1) << 30, .probe_end = 8 << 20, .min_part = 8 << 20, .streams = 8 };
	inside = true;
	struct jt_fetch_plan *plan = jt_fetch_plan_new(&o, &err);
	inside = false;
	if (plan)
		return plan;
	ck_assert(err.code == JT_ENOMEM && !failed_once);
	failed_once = true;
	return jt_fetch_plan_new(&o, &err);
}

/* A fetch is planned, split further, written down and read back, with the n-th allocation failing. Returns whether one did. */
static bool fetch_life(long n)
{
	struct jt_fetch_state s = { .url = (char[]){ "u" }, .id = (char[]){ "i" }, .validator = (char[]){ "v" }, .kind = JT_FETCH_ETAG,
				    .checksum = (char[]){ "md5:0" }, .total = UINT64_C(1) << 30, .end = UINT64_C(1) << 30 }, back;
	struct jt_fetch_plan *again = NULL;
	char *text = NULL;
	size_t len;
	failed_once = false;
	left = n;
	struct jt_fetch_plan *plan = plan_new();
	for (uint32_t part; (part = jt_fetch_take(plan)) != JT_FETCH_NONE;)
		twice(jt_fetch_halve(plan, part, &part, &err));
	twice(jt_fetch_state_encode(&s, plan, &text, &len, &err));
	twice(jt_fetch_state_decode(text, len, &back, &again, &err));
	left = -1;
	ck_assert_str_eq(back.checksum, s.checksum);
	jt_fetch_state_done(&back);
	jt_fetch_plan_free(plan);
	jt_fetch_plan_free(again);
	free(text);
	return failed_once;
}

START_TEST(every_allocation_of_a_fetch_may_fail)
{
	long n = 0;
	while (fetch_life(n))
		n++;
	ck_assert_int_gt(n, 10);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("no memory");
	TCase *t = tcase_create("the n-th allocation");
	tcase_add_test(t, every_allocation_of_a_bulk_run_may_fail);
	tcase_add_test(t, every_allocation_of_a_stream_may_fail);
	tcase_add_test(t, a_job_is_renewed_without_memory);
	tcase_add_test(t, every_allocation_of_a_map_may_fail);
	tcase_add_test(t, every_allocation_of_a_fetch_may_fail);
	suite_add_tcase(suite, t);
	return play_suite(suite);
}
