/* SPDX-License-Identifier: MIT */
/*
 * Seeded random lives of a stream whose jobs are renewed. After each step the scheduler is as one that has just begun from the states
 * of all jobs, and as one that counts naively. A failure names the seed; `JOBTREE_SEED=n test_random_renewal` plays that one alone.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "jobtree.h"
#include "dice.h"
#include "../play.h"

#define SEEDS 1500              /* for each of the two stories */
#define SEEDS_SOAK 50000
#define STEPS 120
#define JOBS_MAX 64

static uint64_t seed_now, state;
static int64_t now;
static struct jt_opts opts;
static struct jt_sched *s;
static struct jt_spec specs[JOBS_MAX];
static char paths[JOBS_MAX][24];
static bool plain[JOBS_MAX];            /* has nothing to do with others */
static bool with_needs;                 /* there are jobs that have `after` or `when` */
static uint32_t n_jobs;
static int64_t due[JOBS_MAX];           /* of a job that backs off, or was held while it did */
static jt_job order[JOBS_MAX];          /* available, or once so and under way: in the order in which they came to be */
static uint32_t n_order;
static struct jt_changes out;
static struct jt_error err;

#define claim(what) ck_assert_msg(what, "seed %llu: not so: %s (%s)", (unsigned long long)seed_now, #what, err.text)

static unsigned pick(unsigned n)
{
	return dice_pick(&state, n);
}

/* ---- the stream -------------------------------------------------------------------------------------------------- */

static void name(const char *path, bool is_plain)
{
	snprintf(paths[n_jobs], sizeof(paths[0]), "%s", path);
	specs[n_jobs] = (struct jt_spec){ .path = paths[n_jobs], .path_len = strlen(path), .priority = (int32_t)pick(3) };
	plain[n_jobs++] = is_plain;
}

static void name_places(unsigned n)
{
	for (; n > 0; n--) {
		char path[16];
		snprintf(path, sizeof(path), "%u", n_jobs);
		name(path, true);
	}
}

/* Jobs of every kind that stand beside: directories, a barrier, needs. */
static void name_others(void)
{
	static const char *const after_d[] = { "d/" }, *const after_e[] = { "e" };
	name("d/a", false);
	name("d/~/b", false);
	name("e", false);
	name("e/x", false);
	name("f", false);
	specs[n_jobs - 1].after = after_d;
	specs[n_jobs - 1].n_after = 1;
	name("g", false);
	specs[n_jobs - 1].after = after_e;
	specs[n_jobs - 1].n_after = 1;
	specs[n_jobs - 1].when = JT_ON_FAILURE;
	name("h/i", false);
	specs[n_jobs - 1].when = JT_ON_FINISHED;
}

static struct jt_sched *begun(void)
{
	struct jt_sched *ret = jt_sched_new(&opts, &err);
	claim(ret && jt_sched_add(ret, specs, n_jobs, NULL, &out, &err) == 0);
	return ret;
}

static void open_life(bool others)
{
	static const enum jt_order orders[] = { JT_BY_PATH, JT_BY_DEPTH, JT_BY_FIFO, JT_BY_FIFO };
	opts = (struct jt_opts){ .slots = 1 + pick(8), .mode = JT_STREAM, .order = orders[pick(4)] };
	n_jobs = n_order = 0;
	now = 0;
	memset(due, 0, sizeof(due));
	name_places(1 + pick(12));
	with_needs = others;
	if (others)
		name_others();
	s = begun();
	claim(jt_sched_begin(s, &out, &err) == 0);
}

static void close_life(void)
{
	jt_sched_free(s);
	s = NULL;
	jt_changes_done(&out);
}

/* ---- steps ------------------------------------------------------------------------------------------------------- */

static enum jt_state state_of(jt_job j)
{
	return jt_job_state(s, j);
}

static bool is_under_way(jt_job j)
{
	return state_of(j) == JT_STARTING || state_of(j) == JT_RUNNING;
}

static void forget(jt_job j)
{
	for (uint32_t i = 0; i < n_order; i++)
		if (order[i] == j) {
			memmove(order + i, order + i + 1, (n_order - i - 1) * sizeof(*order));
			n_order--;
			return;
		}
}

static void start(void)
{
	jt_job j = jt_sched_next(s, now, NULL);
	if (j == JT_NONE)
		return;
	claim(jt_sched_start(s, j, now, &err) == 0);
	if (pick(2))
		claim(jt_sched_running(s, j, &err) == 0);
}

static void end(jt_job j, enum jt_outcome outcome)
{
	struct jt_end e = jt_end_of(outcome);
	jt_changes_done(&out);
	claim(jt_sched_end(s, j, &e, &out, &err) == 0);
}

/* One of a job's own moves. */
static void move(jt_job j)
{
	unsigned how = pick(10);
	if (is_under_way(j) && how < 5)
		end(j, (enum jt_outcome)pick(8));
	else if (is_under_way(j) && how < 7)
		claim(jt_sched_backoff(s, j, due[j] = now + 1 + pick(20), &err) == 0);
	else if (is_under_way(j) && how < 8)
		claim(jt_sched_unstart(s, j, &err) == 0);
	else if (is_under_way(j) && how < 9)
		claim(jt_sched_hold_lost(s, j, &err) == 0);
	else if (state_of(j) == JT_HELD)
		claim(jt_sched_release(s, j, &err) == 0);
	else if (!is_under_way(j) && state_of(j) != JT_WAITING && how < 3)
		claim(jt_sched_hold(s, j, &err) == 0);
	else if (!is_under_way(j) && state_of(j) != JT_WAITING && how < 4)
		end(j, JT_END_CANCEL);
}

static void renew(jt_job j)
{
	claim(jt_sched_renew(s, j, &err) == 0);
	forget(j);
	order[n_order++] = j;
	due[j] = 0;
}

/* What stands below a place waits for its present end; the place is one no longer. */
static bool name_below(jt_job j)
{
	char path[24];
	struct jt_end e = { .goes_on = true };
	if (jt_state_is_final(state_of(j)))
		jt_job_end(s, j, &e, NULL, NULL);
	if (!plain[j] || !e.goes_on)
		return false;
	snprintf(path, sizeof(path), "%s/x", paths[j]);
	name(path, false);
	specs[n_jobs - 1].when = (enum jt_when)(with_needs ? pick(3) : 0);
	plain[j] = false;
	return true;
}

static void grow(void)
{
	uint32_t first = n_jobs;
	jt_job got;
	if (pick(4) || !name_below(pick(n_jobs)))
		name_places(1 + pick(2));
	claim(jt_sched_add(s, specs + first, n_jobs - first, &got, &out, &err) == 0 && got == first);
}

static void step(void)
{
	jt_job j = pick(n_jobs);
	unsigned what = pick(20);
	if (what < 6)
		start();
	else if (what == 6)
		now += 1 + pick(10);
	else if (what == 7 && n_jobs < JOBS_MAX - 10)
		grow();
	else if (jt_state_is_final(state_of(j)) && plain[j])
		renew(j);
	else if (!jt_state_is_final(state_of(j)))
		move(j);
	jt_sched_next(s, now, NULL);            /* who is due wakes up */
}

/* ---- the naive ones ---------------------------------------------------------------------------------------------- */

/* One that has just begun, from what can be seen of the other. */
static struct jt_sched *restored(void)
{
	struct jt_sched *ret = begun();
	for (jt_job j = 0; j < n_jobs; j++) {
		struct jt_restore r = { .state = state_of(j), .cause = JT_NONE };
		if (jt_state_is_final(r.state))
			jt_job_end(s, j, &r.end, &r.reason, &r.cause);
		else if (r.state == JT_BACKOFF || r.state == JT_HELD)
			r.due_ns = due[j];
		if (r.state != JT_WAITING && r.state != JT_READY)
			claim(jt_sched_restore(ret, j, &r, &err) == 0);
	}
	claim(jt_sched_begin(ret, &out, &err) == 0);
	return ret;
}

static bool is_in_order(jt_job j)
{
	for (uint32_t i = 0; i < n_order; i++)
		if (order[i] == j)
			return true;
	return false;
}

/* Who became available joins the order as the queue has it; who has ended leaves it; the others keep their places. */
static void follow(const jt_job *peeked, size_t n)
{
	for (jt_job j = 0; j < n_jobs; j++) {
		if (jt_state_is_final(state_of(j)))
			forget(j);
		if (state_of(j) == JT_READY || is_under_way(j))
			due[j] = 0;
	}
	for (size_t i = 0; i < n; i++)
		if (!is_in_order(peeked[i]))
			order[n_order++] = peeked[i];
}

static int32_t priority_of(jt_job j)
{
	return specs[j].priority;
}

static void compare_fifo(const jt_job *peeked, size_t n)
{
	size_t at = 0;
	for (int32_t p = 0; p < 3; p++)
		for (uint32_t i = 0; i < n_order; i++)
			if (priority_of(order[i]) == p && state_of(order[i]) == JT_READY)
				claim(at < n && peeked[at++] == order[i]);
	claim(at == n);
}

static void compare_counts(struct jt_sched *fresh)
{
	struct jt_counts naive = { .total = n_jobs };
	bool failed = false;
	for (jt_job j = 0; j < n_jobs; j++) {
		struct jt_end e = { 0 };
		naive.n[state_of(j)]++;
		if (jt_state_is_final(state_of(j)))
			jt_job_end(s, j, &e, NULL, NULL);
		failed = failed || e.fails_run;
		claim(jt_job_state(fresh, j) == state_of(j));
	}
	claim(memcmp(&naive, jt_sched_counts(s), sizeof(naive)) == 0);
	claim(memcmp(&naive, jt_sched_counts(fresh), sizeof(naive)) == 0);
	claim(jt_sched_result(s).failed == failed && jt_sched_result(fresh).failed == failed);
}

static void compare(void)
{
	struct jt_sched *fresh = restored();
	jt_job a[JOBS_MAX], b[JOBS_MAX];
	size_t n = jt_sched_peek(s, a, JOBS_MAX);
	int64_t at_a, at_b;
	jt_job next = jt_sched_next(s, now, &at_a), other = jt_sched_next(fresh, now, &at_b);
	claim(at_a == at_b && (next == JT_NONE) == (other == JT_NONE));
	claim(jt_sched_peek(fresh, b, JOBS_MAX) == n);
	follow(a, n);
	if (opts.order == JT_BY_FIFO)
		compare_fifo(a, n);
	else
		claim(memcmp(a, b, n * sizeof(*a)) == 0);
	compare_counts(fresh);
	jt_sched_free(fresh);
}

/* ---- the way to the end, which shows what is kept of all that was ------------------------------------------------- */

static void add_barrier(struct jt_sched *t)
{
	static const struct jt_spec last[] = {
		{ .path = "~/end", .path_len = 5 }, { .path = "~/bad", .path_len = 5, .when = JT_ON_FAILURE },
		{ .path = "~/all", .path_len = 5, .when = JT_ON_FINISHED },
	};
	claim(jt_sched_add(t, last, with_needs ? 3 : 1, NULL, &out, &err) == 0);
}

static void seal_it(struct jt_sched *t)
{
	claim(jt_sched_seal(t, NULL, 0, &out, &err) == 0);
}

static void release_all(struct jt_sched *t)
{
	for (jt_job j = 0; j < n_jobs; j++)
		if (jt_job_state(t, j) == JT_HELD)
			claim(jt_sched_release(t, j, &err) == 0);
}

static void end_those_under_way(struct jt_sched *t)
{
	struct jt_end ok = jt_end_of(JT_END_OK);
	for (jt_job j = 0; j < n_jobs; j++)
		if (jt_job_state(t, j) == JT_STARTING || jt_job_state(t, j) == JT_RUNNING)
			claim(jt_sched_end(t, j, &ok, &out, &err) == 0);
}

static void run_the_rest(struct jt_sched *t)
{
	struct jt_end ok = jt_end_of(JT_END_OK);
	for (jt_job j; (j = jt_sched_next(t, now + 100, NULL)) != JT_NONE;)
		claim(jt_sched_start(t, j, now + 100, &err) == 0 && jt_sched_end(t, j, &ok, &out, &err) == 0);
	claim(jt_sched_result(t).done);
}

static void compare_ends(void)
{
	static void (*const phases[])(struct jt_sched *t) = { add_barrier, seal_it, release_all, end_those_under_way, run_the_rest };
	struct jt_sched *fresh = restored();
	for (size_t i = 0; i < sizeof(phases) / sizeof(*phases); i++) {
		phases[i](fresh);
		phases[i](s);
		for (jt_job j = 0; j < jt_sched_counts(s)->total; j++)
			claim(state_of(j) == jt_job_state(fresh, j));
	}
	claim(jt_sched_result(s).failed == jt_sched_result(fresh).failed);
	jt_sched_free(fresh);
}

/* ---- tests ------------------------------------------------------------------------------------------------------- */

static void each_seed(bool others)
{
	const char *one = getenv("JOBTREE_SEED");
	uint64_t seeds = dice_seeds(SEEDS, SEEDS_SOAK);
	uint64_t first = one ? strtoull(one, NULL, 10) : 1, last = one ? first : seeds;
	for (seed_now = first; seed_now <= last; seed_now++) {
		state = seed_now * 0x9E3779B97F4A7C15u + 1;
		open_life(others);
		compare();
		for (unsigned n = pick(STEPS); n > 0; n--) {
			step();
			compare();
		}
		compare_ends();
		close_life();
	}
}

START_TEST(places_alone_are_as_if_just_begun)
{
	each_seed(false);
}
END_TEST

START_TEST(places_beside_others_are_as_if_just_begun)
{
	each_seed(true);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("random renewal");
	TCase *t = tcase_create("against those that have just begun");
	tcase_set_timeout(t, getenv("JOBD_SOAK") ? 600 : 120);
	tcase_add_test(t, places_alone_are_as_if_just_begun);
	tcase_add_test(t, places_beside_others_are_as_if_just_begun);
	suite_add_tcase(suite, t);
	return play_suite(suite);
}
