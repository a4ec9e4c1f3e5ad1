/* SPDX-License-Identifier: MIT */
/*
 * Seeded random maps: threads, windows, orders, rows of one to three maps, sources that wait and fail, work that fails, retries, stops in the
 * middle. A failure names the seed; `JOBTREE_SEED=n test_map_random` plays that one alone (how the threads interleave is not part of it).
 */
#include <errno.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "map_kit.h"
#include "../play.h"

#define PARTS 8                 /* each has the time of a test */
#define SEEDS_A_PART 50
#define STAGES 3

static uint64_t seed_now, state;
static struct feed f;
static uint64_t failing;                 /* one in so many attempts fails; 0: none */

#define claim(what) ck_assert_msg(what, "seed %llu: not so: %s", (unsigned long long)seed_now, #what)

static uint64_t mixed(uint64_t x)
{
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

static uint64_t below(uint64_t n)
{
	state += 0x9e3779b97f4a7c15u;
	return mixed(state) % n;
}

/* The number that an item began as: an item of a later stage is a result. */
static uint64_t origin_of(const struct jt_item *item)
{
	while (item->len == sizeof(struct jt_map_result))
		item = &((const struct jt_map_result *)item->data)->output;
	return number_of(item);
}

static int work(void *arg, const struct jt_call *call, const struct jt_item *item, struct jt_item *ret)
{
	uint64_t origin = origin_of(item), dice = mixed(seed_now ^ (origin << 8) ^ call->attempt);
	(void)arg;
	for (uint64_t n = dice % 4; n > 0; n--)
		sched_yield();
	*ret = counted_item(&f, origin);
	return failing > 0 && dice % failing == 0;
}

static struct jt_map *stage(struct jt_map *before, uint64_t *bound, bool *ordered)
{
	struct jt_work w = { .run = work };
	struct jt_map_opts o = { .threads = 1 + (uint32_t)below(3), .order = below(2) ? JT_MAP_ORDERED : JT_MAP_UNORDERED, .seed = seed_now };
	o.window = o.threads + (uint32_t)below(20);
	o.retry = (struct jt_retry_policy){ .max = (uint32_t)below(3), .cap_ns = 1000, .max_ns = 10000, .base = 2 };
	*bound += o.window;
	*ordered = *ordered && o.order == JT_MAP_ORDERED;
	struct jt_source s = before ? jt_map_as_source(before) : feed_source(&f);
	struct jt_map *m = jt_map_start(&o, &s, &w, NULL);
	claim(m != NULL);
	return m;
}

struct sink {
	uint64_t n, stop_at;
	bool ordered;
	unsigned char seen[512];
};

static int take(void *arg, const struct jt_map_result *r)
{
	struct sink *s = arg;
	uint64_t origin = origin_of(&r->output);
	claim(!s->seen[origin]);
	s->seen[origin] = 1;
	s->n++;
	claim(!s->ordered || origin == s->n);
	atomic_fetch_add(&f.taken, 1);
	return s->n == s->stop_at;
}

static void prepare_feed(void)
{
	feed_init(&f, below(300));
	f.end = below(3) ? 0 : -EIO;
	f.again_at = below(100);
	f.fd = eventfd(1, EFD_CLOEXEC);
	failing = below(6);
}

static void play(void)
{
	struct jt_map *m[STAGES] = { NULL };
	struct sink sink = { .ordered = true };
	uint64_t n_stages = 1 + below(STAGES), bound = 0;
	prepare_feed();
	sink.stop_at = below(3) ? 0 : 1 + below(300);
	for (uint64_t i = 0; i < n_stages; i++)
		m[i] = stage(i ? m[i - 1] : NULL, &bound, &sink.ordered);
	enum jt_map_status st = jt_map_run(m[n_stages - 1], take, &sink);
	bool cut = sink.n == sink.stop_at && sink.stop_at > 0;
	claim(cut || sink.n == f.n);
	claim(cut || st == (f.end ? JT_MAP_SOURCE_ERROR : JT_MAP_END));
	expect_for_ever(m[n_stages - 1], st);
	claim(f.held_max <= bound);
	for (uint64_t i = n_stages; i-- > 0;)
		jt_map_free(m[i]);
	close(f.fd);
	claim(f.broken == 0 && f.closed == 1 && f.released == f.made);
	feed_done(&f);
}

START_TEST(random_maps_lose_nothing_and_keep_their_bounds)
{
	const char *one = getenv("JOBTREE_SEED");
	uint64_t first = one ? strtoull(one, NULL, 10) : 1 + (uint64_t)_i * SEEDS_A_PART, last = one ? first : first + SEEDS_A_PART - 1;
	for (seed_now = first; seed_now <= last; seed_now++) {
		state = mixed(seed_now);
		play();
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("random maps");
	TCase *tc = tcase_create("seeds");
	tcase_add_loop_test(tc, random_maps_lose_nothing_and_keep_their_bounds, 0, getenv("JOBTREE_SEED") ? 1 : PARTS);
	suite_add_tcase(s, tc);
	return play_suite(s);
}
