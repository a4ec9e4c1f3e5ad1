/* SPDX-License-Identifier: MIT */
/*
 * Seeded random trees against the oracle. A failure names the seed; `JOBTREE_SEED=n test_random_trees` plays that one alone.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jobtree.h"
#include "oracle.h"
#include "dice.h"
#include "../play.h"

#define SEEDS 4000              /* for each of the eight stories */
#define SEEDS_SOAK 125000
#define BIG_EVERY 64            /* trees of up to 250 jobs */

static uint64_t seed_now, state;
static int64_t now;
#define LATER 1000              /* by then nobody backs off any more */
static struct oracle o;
static struct jt_sched *s;
static struct jt_changes out;
static struct jt_error err;
static enum jt_mode mode;
static bool sealed, ran[ORACLE_MAX];
static int in_flight[ORACLE_MAX], n_flight;

#define claim(what) ck_assert_msg(what, "seed %llu: not so: %s (%s)", (unsigned long long)seed_now, #what, err.text)

static unsigned pick(unsigned n)
{
	return dice_pick(&state, n);
}

/* ---- making a tree ---- */

static bool has(const char *path)
{
	for (int i = 0; i < o.n; i++)
		if (strcmp(o.job[i].path, path) == 0)
			return true;
	return false;
}

static void make_path(char p[64])
{
	static const char *const names[] = { "a", "a-b", "b", "c", "~" };
	unsigned depth = 1 + pick(4);
	int len = 0;
	for (unsigned i = 0; i < depth; i++)
		len += snprintf(p + len, 64 - (size_t)len, "%s%s", i ? "/" : "", names[pick(i + 1 == depth ? 4 : 5)]);
}

static bool leaf(int j)
{
	size_t n = strlen(o.job[j].path);
	for (int k = 0; k < o.n; k++)
		if (strncmp(o.job[k].path, o.job[j].path, n) == 0 && o.job[k].path[n] == '/')
			return false;
	return true;
}

/* Jobs with `when: failure` are leaves, and nothing is skipped by itself beside them: what a job was skipped by first would matter. */
static void make_edges(void)
{
	for (int j = 0; j < o.n; j++) {
		struct oracle_job *x = &o.job[j];
		unsigned what = pick(8);
		x->when = what == 0 ? O_ON_FINISHED : what == 1 && leaf(j) ? O_ON_FAILURE : O_ON_SUCCESS;
		if (x->outcome == O_SKIP)
			x->outcome = O_FAIL;
		if (pick(4) != 0)
			continue;
		char path[sizeof(x->path) - 2];
		snprintf(path, sizeof(path), "%s", o.job[pick((unsigned)o.n)].path);
		snprintf(x->after, sizeof(x->after), "%s%s", path, pick(2) ? "/" : "");
		if (oracle_has_cycle(&o))
			x->after[0] = 0;
	}
}

static void make_tree(bool edges, bool failures)
{
	memset(&o, 0, sizeof(o));
	for (unsigned want = 1 + pick(seed_now % BIG_EVERY ? 30 : 250); want > 0; want--) {
		char path[64];
		make_path(path);
		if (has(path))
			continue;
		snprintf(o.job[o.n].path, sizeof(path), "%s", path);
		unsigned luck = pick(12);
		o.job[o.n].outcome = luck == 0 && failures ? O_FAIL : luck == 1 && failures ? O_SKIP : luck == 2 ? O_WARN : O_OK;
		o.n++;
	}
	if (edges)
		make_edges();
}

/* ---- playing it ---- */

static void open_sched(enum jt_mode as)
{
	mode = as;
	struct jt_opts opts = { .slots = 1 + pick(4), .mode = mode, .order = (enum jt_order)pick(3) };
	s = jt_sched_new(&opts, &err);
	claim(s);
}

static int add(int j)
{
	const char *after[] = { o.job[j].after };
	struct jt_spec spec = { .path = o.job[j].path, .path_len = strlen(o.job[j].path), .when = (enum jt_when)o.job[j].when,
				.after = after, .n_after = o.job[j].after[0] != 0, .priority = (int32_t)pick(3) };
	return jt_sched_add(s, &spec, 1, NULL, &out, &err);
}

static enum jt_outcome outcome_of(int j)
{
	static const enum jt_outcome map[] = { JT_END_OK, JT_END_WARN, JT_END_SKIP, JT_END_FAIL, JT_END_CANCEL };
	return map[o.job[j].outcome];
}

static bool final(int j)
{
	return jt_state_is_final(jt_job_state(s, (jt_job)j));
}

static void start_all(void)
{
	for (jt_job j; (j = jt_sched_next(s, now, NULL)) != JT_NONE;) {
		claim(!ran[j]);
		for (int k = 0; k < (int)jt_sched_counts(s)->total; k++)
			claim(!oracle_needs(&o, (int)j, k) || final(k));
		claim(jt_sched_start(s, j, now, &err) == 0);
		ran[j] = true;
		in_flight[n_flight++] = (int)j;
	}
}

static int take_flying(void)
{
	int i = (int)pick((unsigned)n_flight), j = in_flight[i];
	in_flight[i] = in_flight[--n_flight];
	return j;
}

static void end_one(void)
{
	int j = take_flying();
	struct jt_end end = jt_end_of(outcome_of(j));
	jt_changes_done(&out);          /* a call makes its own room: none is left of the last one */
	claim(jt_sched_end(s, (jt_job)j, &end, &out, &err) == 0);
}

static void play(int steps)
{
	for (start_all(); n_flight > 0 && steps-- != 0; start_all())
		end_one();
}

static void close_sched(void)
{
	jt_sched_free(s);
	jt_changes_done(&out);
	memset(ran, 0, sizeof(ran));
	n_flight = 0;
	sealed = false;
	now = 0;
}

static void compare(void)
{
	oracle_judge(&o);
	claim(jt_sched_result(s).done);
	for (int j = 0; j < o.n; j++) {
		struct jt_end end;
		jt_job_end(s, (jt_job)j, &end, NULL, NULL);
		ck_assert_msg(ran[j] == o.runs[j] && end.goes_on == o.goes_on[j],
			      "seed %llu: job %s (after \"%s\", when %d): ran %d, want %d; goes on %d, want %d", (unsigned long long)seed_now,
			      o.job[j].path, o.job[j].after, o.job[j].when, ran[j], o.runs[j], end.goes_on, o.goes_on[j]);
	}
}

static void begin_with(bool edges, enum jt_mode as)
{
	make_tree(edges, true);
	open_sched(as);
	for (int j = 0; j < o.n; j++)
		claim(add(j) == 0);
	claim(jt_sched_begin(s, &out, &err) == 0);
}

static void each_seed(void (*story)(void))
{
	const char *one = getenv("JOBTREE_SEED");
	uint64_t seeds = dice_seeds(SEEDS, SEEDS_SOAK);
	uint64_t first = one ? strtoull(one, NULL, 10) : 1, last = one ? first : seeds;
	for (seed_now = first; seed_now <= last; seed_now++) {
		state = seed_now * 0x9e3779b97f4a7c15u;
		story();
		close_sched();
	}
}

/* ---- the stories ---- */

static void plain_tree(void)
{
	begin_with(false, JT_BULK);
	play(-1);
	compare();
}

static void tree_with_edges(void)
{
	begin_with(true, JT_BULK);
	play(-1);
	compare();
}

static void restart(void)
{
	struct jt_restore r[ORACLE_MAX];
	for (int j = 0; j < o.n; j++) {
		r[j] = (struct jt_restore){ .state = jt_job_state(s, (jt_job)j) };
		if (final(j))
			jt_job_end(s, (jt_job)j, &r[j].end, &r[j].reason, &r[j].cause);
		struct jt_why w;
		jt_sched_why(s, (jt_job)j, &w);
		r[j].due_ns = w.at_ns;
	}
	jt_sched_free(s);
	open_sched(mode);
	for (int j = 0; j < o.n; j++)
		claim(add(j) == 0);
	for (int j = 0; j < o.n; j++)
		claim(jt_sched_restore(s, (jt_job)j, &r[j], &err) == 0);
	claim(jt_sched_begin(s, &out, &err) == 0);
	if (sealed)
		claim(jt_sched_seal(s, NULL, 0, &out, &err) == 0);
}

static void restart_in_between(void)
{
	begin_with(true, JT_BULK);
	play((int)pick(20));
	restart();
	play(-1);
	compare();
}

/* ---- what people do in between: none of it changes what the closed form says, but a cancel, and that is told to the oracle ---- */

static bool waits(int j)
{
	return jt_job_state(s, (jt_job)j) < JT_STARTING || jt_job_state(s, (jt_job)j) == JT_BACKOFF;
}

static void cancel_one(int j)
{
	struct jt_end end = jt_end_of(JT_END_CANCEL);
	if (!waits(j))
		return;
	o.job[j].outcome = O_CANCELLED;
	claim(jt_sched_end(s, (jt_job)j, &end, &out, &err) == 0);
}

static void hold_or_release(int j)
{
	if (jt_job_state(s, (jt_job)j) == JT_HELD)
		claim(jt_sched_release(s, (jt_job)j, &err) == 0);
	else if (waits(j))
		claim(jt_sched_hold(s, (jt_job)j, &err) == 0);
}

static void release_all(void)
{
	now = LATER;
	for (int j = 0; j < o.n; j++)
		if (jt_job_state(s, (jt_job)j) == JT_HELD)
			hold_or_release(j);
}

static void attempt_again(void)
{
	if (n_flight == 0)
		return;
	int j = take_flying();
	unsigned how = pick(3);
	int r = how == 0 ? jt_sched_backoff(s, (jt_job)j, pick(LATER), &err) : how == 1 ? jt_sched_unstart(s, (jt_job)j, &err) :
		jt_sched_hold_lost(s, (jt_job)j, &err);
	claim(r == 0);
	ran[j] = false;
}

static void seal_all(void)
{
	claim(jt_sched_seal(s, NULL, 0, &out, &err) == 0);
	sealed = true;
}

static void meddle(void)
{
	int j = (int)pick((unsigned)o.n);
	now += pick(50);
	switch (pick(8)) {
	case 0:
		cancel_one(j);
		break;
	case 1:
		attempt_again();
		break;
	case 2:
		restart();
		break;
	case 3:
		seal_all();
		break;
	default:
		hold_or_release(j);
	}
}

static void play_meddled(unsigned steps)
{
	for (start_all(); steps-- > 0; start_all())
		if (pick(2) || n_flight == 0)
			meddle();
		else
			end_one();
}

static void meddled_with(void)
{
	begin_with(pick(2), pick(2) ? JT_BULK : JT_STREAM);
	play_meddled(pick(60));
	seal_all();
	release_all();
	play(-1);
	compare();
}

/* A terminated job ends as a failed one does. Returns whether the stop finds anything. */
static bool tell_stop(enum jt_stop how)
{
	bool any = n_flight > 0;
	for (int i = 0; i < n_flight; i++)
		o.job[in_flight[i]].outcome = O_FAIL;
	for (int j = 0; j < o.n; j++)
		if (waits(j) && (how == JT_STOP_NOW || o.job[j].when != O_ON_FINISHED)) {
			o.job[j].outcome = O_CANCELLED;
			any = true;
		}
	return any;
}

static void stopped_at_some_moment(void)
{
	enum jt_stop how = pick(2) ? JT_STOP : JT_STOP_NOW;
	begin_with(pick(2), pick(2) ? JT_BULK : JT_STREAM);
	play_meddled(pick(30));
	bool any = tell_stop(how);
	claim(jt_sched_stop(s, how, JT_STOP_CANCEL, &out, &err) == 0);
	release_all();
	play(-1);
	compare();
	claim(jt_sched_result(s).stopped == any);
}

static void retried_until_green(void)
{
	begin_with(true, JT_BULK);
	play(-1);
	for (int j = 0; j < o.n; j++) {
		enum jt_state st = jt_job_state(s, (jt_job)j);
		o.job[j].outcome = st == JT_WARNED ? O_WARN : O_OK;
	}
	out.n = 0;
	claim(jt_sched_retry(s, NULL, 0, false, &out, &err) == 0);
	for (size_t i = 0; i < out.n; i++)
		if (out.v[i].state == JT_WAITING)
			ran[out.v[i].job] = false;
	play(-1);
	compare();
}

static void stream_of_good_jobs(void)
{
	make_tree(false, false);
	open_sched(JT_STREAM);
	claim(jt_sched_begin(s, &out, &err) == 0);
	int refused = 0;
	for (int j = 0; j < o.n && !refused; j++) {
		refused = add(j) < 0;
		claim(!refused || err.code == JT_ESTATE);
		if (refused)
			o.n = j;        /* stands above a job that has begun */
		play((int)pick(3));
	}
	claim(jt_sched_seal(s, NULL, 0, &out, &err) == 0);
	play(-1);
	compare();
}

/* Everything comes in one add after the start, the seal somewhere during the run. */
static void stream_with_edges(void)
{
	struct jt_spec specs[ORACLE_MAX];
	const char *after[ORACLE_MAX];
	make_tree(true, true);
	open_sched(JT_STREAM);
	claim(jt_sched_begin(s, &out, &err) == 0);
	for (int j = 0; j < o.n; j++) {
		after[j] = o.job[j].after;
		specs[j] = (struct jt_spec){ .path = o.job[j].path, .path_len = strlen(o.job[j].path), .after = &after[j],
					     .when = (enum jt_when)o.job[j].when, .n_after = after[j][0] != 0 };
	}
	claim(jt_sched_add(s, specs, (size_t)o.n, NULL, &out, &err) == 0);
	play((int)pick(10));
	claim(jt_sched_seal(s, NULL, 0, &out, &err) == 0);
	play(-1);
	compare();
}

START_TEST(a_tree_runs_as_the_closed_form_says) { each_seed(plain_tree); } END_TEST
START_TEST(so_it_does_with_after_and_when) { each_seed(tree_with_edges); } END_TEST
START_TEST(a_restart_in_between_changes_nothing) { each_seed(restart_in_between); } END_TEST
START_TEST(holds_lost_attempts_and_cancels_change_no_more_than_they_say) { each_seed(meddled_with); } END_TEST
START_TEST(a_stop_leaves_the_finished_jobs) { each_seed(stopped_at_some_moment); } END_TEST
START_TEST(retry_of_what_failed_runs_what_needed_it) { each_seed(retried_until_green); } END_TEST
START_TEST(a_stream_runs_what_is_added) { each_seed(stream_of_good_jobs); } END_TEST
START_TEST(a_stream_obeys_after_and_when) { each_seed(stream_with_edges); } END_TEST

int main(void)
{
	Suite *suite = suite_create("random trees");
	TCase *t = tcase_create("against the oracle");
	tcase_set_timeout(t, getenv("JOBD_SOAK") ? 3600 : 120);
	tcase_add_test(t, a_tree_runs_as_the_closed_form_says);
	tcase_add_test(t, so_it_does_with_after_and_when);
	tcase_add_test(t, a_restart_in_between_changes_nothing);
	tcase_add_test(t, holds_lost_attempts_and_cancels_change_no_more_than_they_say);
	tcase_add_test(t, a_stop_leaves_the_finished_jobs);
	tcase_add_test(t, retry_of_what_failed_runs_what_needed_it);
	tcase_add_test(t, a_stream_runs_what_is_added);
	tcase_add_test(t, a_stream_obeys_after_and_when);
	suite_add_tcase(suite, t);
	return play_suite(suite);
}
