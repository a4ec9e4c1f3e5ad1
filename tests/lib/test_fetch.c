/* SPDX-License-Identifier: MIT */
/*
 * The plan of a fetch, over thousands of seeded lives: streams come and go, parts are halved and taken over, bytes come in any order, processes die.
 * A failure names the seed; `JOBTREE_SEED=n test_fetch` plays that one alone.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crc.h"
#include "dice.h"
#include "jobtree_fetch.h"
#include "../play.h"

#define SEEDS 4000
#define SEEDS_SOAK 100000
#define MIB (UINT64_C(1) << 20)

static uint64_t seed_now, state;
static struct jt_error err;

#define claim(what) ck_assert_msg(what, "seed %llu: not so: %s (%s)", (unsigned long long)seed_now, #what, err.text)

static uint64_t below(uint64_t n)
{
	state += 0x9e3779b97f4a7c15u;
	uint64_t x = (state ^ (state >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return (x ^ (x >> 31)) % n;
}

static int by_start(const void *a, const void *b)
{
	const struct jt_fetch_part *x = a, *y = b;
	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	return (x->end > y->end) - (x->end < y->end);
}

/* The parts tile the range, and the counters are what the parts say. */
static void check_tiling(struct jt_fetch_plan *plan, uint64_t first, uint64_t end)
{
	uint32_t n;
	const struct jt_fetch_part *lent = jt_fetch_parts(plan, &n);
	struct jt_fetch_part *part = malloc((n + 1) * sizeof(*part));
	uint64_t lacking = 0, in_file = 0, from = first, frontier = first;
	memcpy(part, lent, n * sizeof(*part));
	qsort(part, n, sizeof(*part), by_start);
	for (uint32_t i = 0; i < n; i++) {
		claim(part[i].start == from);
		claim(part[i].start <= part[i].written && part[i].written <= part[i].at && part[i].at <= part[i].end);
		if (frontier == part[i].start)
			frontier = part[i].written;
		lacking += part[i].end - part[i].at;
		in_file += part[i].written - part[i].start;
		from = part[i].end;
	}
	claim(from == end);
	claim(jt_fetch_lacking(plan) == lacking && jt_fetch_in_file(plan) == in_file);
	claim(jt_fetch_frontier(plan) == frontier);
	free(part);
}

/* ---- one life: an object of small bytes is fetched into a map of what is written, with deaths in between -------------- */

struct life {
	uint64_t first, end;
	struct jt_fetch_plan *plan;
	uint32_t stream[8];                     /* its part, or JT_FETCH_NONE */
	uint32_t streams;
	char *saved;
	size_t saved_len;
};

static const struct jt_fetch_state texts = {
	.url = (char[]){ "https://example.org/a" }, .id = (char[]){ "0123" }, .validator = (char[]){ "\"v1\"" }, .kind = JT_FETCH_ETAG, .total = UINT64_MAX,
};

static void save(struct life *l)
{
	struct jt_fetch_state s = texts;
	free(l->saved);
	s.first = l->first;
	s.end = l->end;
	claim(jt_fetch_state_encode(&s, l->plan, &l->saved, &l->saved_len, &err) == 0);
}

/* A process that dies knows what the last state says; each part resumes where it was written, not where it was received. */
static void die_and_resume(struct life *l)
{
	struct jt_fetch_state s;
	uint64_t in_file = jt_fetch_in_file(l->plan);
	save(l);
	jt_fetch_plan_free(l->plan);
	claim(jt_fetch_state_decode(l->saved, l->saved_len, &s, &l->plan, &err) == 0);
	claim(strcmp(s.url, texts.url) == 0 && strcmp(s.validator, texts.validator) == 0 && !s.checksum && s.first == l->first && s.end == l->end);
	claim(jt_fetch_in_file(l->plan) == in_file && jt_fetch_lacking(l->plan) == l->end - l->first - in_file);
	jt_fetch_state_done(&s);
	for (uint32_t i = 0; i < l->streams; i++)
		l->stream[i] = JT_FETCH_NONE;
}

static uint32_t largest(const struct jt_fetch_plan *plan)
{
	uint32_t n, best = JT_FETCH_NONE;
	const struct jt_fetch_part *p = jt_fetch_parts(plan, &n);
	for (uint32_t i = 0; i < n; i++)
		if (p[i].taken && p[i].at < p[i].end && (best == JT_FETCH_NONE || p[i].end - p[i].at > p[best].end - p[best].at))
			best = i;
	return best;
}

static void find_work(struct life *l, uint32_t i)
{
	uint32_t slowest;
	l->stream[i] = jt_fetch_take(l->plan);
	if (l->stream[i] != JT_FETCH_NONE || (slowest = largest(l->plan)) == JT_FETCH_NONE)
		return;
	if (jt_fetch_halve(l->plan, slowest, &l->stream[i], &err) != 0) {
		claim(err.code == JT_ESTATE);
		if (below(4) == 0)
			claim(jt_fetch_take_over(l->plan, slowest, &l->stream[i], &err) == 0);
	}
}

static void receive(struct life *l, uint32_t i)
{
	uint32_t n, part = l->stream[i];
	const struct jt_fetch_part *p = &jt_fetch_parts(l->plan, &n)[part];
	uint64_t rest = p->end - p->at, come = 1 + below(rest + MIB), taken = jt_fetch_received(l->plan, part, come);
	claim(taken == (come < rest ? come : rest));
	p = &jt_fetch_parts(l->plan, &n)[part];
	if (p->at == p->end || below(10) == 0) {
		jt_fetch_release(l->plan, part);
		l->stream[i] = JT_FETCH_NONE;
	}
}

/* What was received and not yet written is written in order within a part, in any order across parts. */
static void write_some(struct life *l)
{
	uint32_t n, part;
	const struct jt_fetch_part *p = jt_fetch_parts(l->plan, &n);
	if (n == 0)
		return;
	part = (uint32_t)below(n);
	jt_fetch_written(l->plan, part, below(p[part].at - p[part].written + 1));
}

static void write_all(struct life *l)
{
	uint32_t n;
	const struct jt_fetch_part *p = jt_fetch_parts(l->plan, &n);
	for (uint32_t i = 0; i < n; i++)
		jt_fetch_written(l->plan, i, p[i].at - p[i].written);
}

static void step(struct life *l)
{
	uint32_t i = (uint32_t)below(l->streams);
	if (l->stream[i] == JT_FETCH_NONE)
		find_work(l, i);
	else
		receive(l, i);
	write_some(l);
	if (below(40) == 0)
		die_and_resume(l);
	check_tiling(l->plan, l->first, l->end);
}

static void live(void)
{
	struct life l = { .first = below(3) ? 0 : below(100 * MIB), .streams = 1 + (uint32_t)below(8) };
	struct jt_fetch_opts o = { .first = l.first, .streams = l.streams, .min_part = 1 + below(9 * MIB) };
	l.end = o.end = l.first + below(below(5) ? 200 * MIB : 10000);
	o.probe_end = l.first + (o.end - l.first < o.min_part ? o.end - l.first : o.min_part);
	if (below(4) == 0)
		o.probe_end = l.first;
	l.plan = jt_fetch_plan_new(&o, &err);
	claim(l.plan != NULL);
	check_tiling(l.plan, l.first, l.end);
	for (uint32_t i = 0; i < l.streams; i++)
		l.stream[i] = JT_FETCH_NONE;
	while (jt_fetch_lacking(l.plan) > 0)
		step(&l);
	write_all(&l);
	claim(jt_fetch_frontier(l.plan) == l.end);
	die_and_resume(&l);
	claim(jt_fetch_frontier(l.plan) == l.end && jt_fetch_take(l.plan) == JT_FETCH_NONE);
	jt_fetch_plan_free(l.plan);
	free(l.saved);
}

START_TEST(random_lives_keep_the_tiling_and_end_complete)
{
	const char *one = getenv("JOBTREE_SEED");
	uint64_t from = one ? strtoull(one, NULL, 10) : 1, to = one ? from + 1 : dice_seeds(SEEDS, SEEDS_SOAK) + 1;
	for (seed_now = from; seed_now < to; seed_now++) {
		state = seed_now * 0x9e3779b97f4a7c15u;
		live();
	}
}
END_TEST

/* ---- single claims ------------------------------------------------------------------------------------------------- */

static struct jt_fetch_plan *plan_of(uint64_t end, uint64_t probe_end, uint64_t min_part, uint32_t streams)
{
	struct jt_fetch_opts o = { .end = end, .probe_end = probe_end, .min_part = min_part, .streams = streams };
	struct jt_fetch_plan *plan = jt_fetch_plan_new(&o, &err);
	ck_assert_msg(plan != NULL, "%s", err.text);
	return plan;
}

START_TEST(the_rest_is_split_evenly_at_aligned_borders)
{
	uint32_t n;
	struct jt_fetch_plan *plan = plan_of(100 * MIB, 8 * MIB, 8 * MIB, 4);
	const struct jt_fetch_part *p = jt_fetch_parts(plan, &n);
	ck_assert_uint_eq(n, 5);
	for (uint32_t i = 1; i < n; i++) {
		ck_assert_uint_eq(p[i].start % JT_FETCH_ALIGN, 0);
		ck_assert(p[i].end - p[i].start >= 23 * MIB - 2 * JT_FETCH_ALIGN && p[i].end - p[i].start <= 23 * MIB + 2 * JT_FETCH_ALIGN);
	}
	jt_fetch_plan_free(plan);
}
END_TEST

START_TEST(a_rest_smaller_than_two_parts_is_one_part)
{
	uint32_t n;
	struct jt_fetch_plan *plan = plan_of(8 * MIB + 1, 8 * MIB, 8 * MIB, 8);
	jt_fetch_parts(plan, &n);
	ck_assert_uint_eq(n, 2);
	jt_fetch_plan_free(plan);
}
END_TEST

START_TEST(the_owner_of_a_halved_part_is_cut)
{
	uint32_t n, new;
	struct jt_fetch_plan *plan = plan_of(10 * MIB, 0, 8 * MIB, 1);
	ck_assert_uint_eq(jt_fetch_take(plan), 0);
	ck_assert_uint_eq(jt_fetch_received(plan, 0, 2 * MIB), 2 * MIB);
	ck_assert_int_eq(jt_fetch_halve(plan, 0, &new, &err), 0);
	ck_assert_uint_eq(jt_fetch_parts(plan, &n)[new].start, 6 * MIB);
	ck_assert_uint_eq(jt_fetch_received(plan, 0, 8 * MIB), 4 * MIB);
	ck_assert_uint_eq(jt_fetch_received(plan, 0, 1), 0);
	jt_fetch_plan_free(plan);
}
END_TEST

START_TEST(a_small_remainder_is_taken_over_but_not_halved)
{
	uint32_t n, new;
	struct jt_fetch_plan *plan = plan_of(JT_FETCH_HALVE_MIN - 1, 0, 1, 1);
	ck_assert_uint_eq(jt_fetch_take(plan), 0);
	jt_fetch_received(plan, 0, 1000);
	ck_assert_int_eq(jt_fetch_halve(plan, 0, &new, &err), -1);
	ck_assert_int_eq(err.code, JT_ESTATE);
	ck_assert_int_eq(jt_fetch_take_over(plan, 0, &new, &err), 0);
	ck_assert_uint_eq(jt_fetch_parts(plan, &n)[new].start, 1000);
	ck_assert_uint_eq(jt_fetch_received(plan, 0, 1), 0);
	ck_assert_int_eq(jt_fetch_take_over(plan, 0, &n, &err), -1);
	jt_fetch_plan_free(plan);
}
END_TEST

START_TEST(an_object_of_unknown_length_ends_where_it_ended)
{
	struct jt_fetch_plan *plan = plan_of(INT64_MAX, 0, INT64_MAX, 1);
	uint32_t part = jt_fetch_take(plan);
	jt_fetch_received(plan, part, 12345);
	jt_fetch_close(plan, part);
	ck_assert_uint_eq(jt_fetch_lacking(plan), 0);
	jt_fetch_written(plan, part, 12345);
	check_tiling(plan, 0, 12345);
	jt_fetch_plan_free(plan);
}
END_TEST

START_TEST(impossible_plans_are_refused)
{
	static const struct jt_fetch_opts bad[] = {
		{ .end = 1, .probe_end = 0, .min_part = 1, .streams = 0 }, { .end = 1, .min_part = 1, .streams = JT_FETCH_STREAMS_MAX + 1 },
		{ .end = 1, .min_part = 0, .streams = 1 }, { .end = 1, .probe_end = 2, .min_part = 1, .streams = 1 },
		{ .first = 2, .probe_end = 1, .end = 3, .min_part = 1, .streams = 1 },
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		ck_assert_ptr_null(jt_fetch_plan_new(&bad[i], &err));
		ck_assert_int_eq(err.code, JT_EINVAL);
	}
}
END_TEST

/* ---- the state ----------------------------------------------------------------------------------------------------- */

static char *state_of(size_t *ret_len)
{
	struct jt_fetch_state s = texts;
	struct jt_fetch_plan *plan = plan_of(40 * MIB, 8 * MIB, 8 * MIB, 4);
	char *text;
	s.end = 40 * MIB;
	s.checksum = (char[]){ "sha1:00 md5:11" };
	s.version = (char[]){ "v=7" };
	jt_fetch_received(plan, jt_fetch_take(plan), 8 * MIB);
	jt_fetch_written(plan, 0, 8 * MIB);
	jt_fetch_received(plan, jt_fetch_take(plan), 3 * MIB);
	jt_fetch_written(plan, 1, 2 * MIB);
	ck_assert_int_eq(jt_fetch_state_encode(&s, plan, &text, ret_len, &err), 0);
	jt_fetch_plan_free(plan);
	return text;
}

static int decode(const char *text, size_t len)
{
	struct jt_fetch_state s;
	struct jt_fetch_plan *plan;
	int rc = jt_fetch_state_decode(text, len, &s, &plan, &err);
	if (rc == 0) {
		jt_fetch_state_done(&s);
		jt_fetch_plan_free(plan);
	} else {
		ck_assert_int_eq(err.code, JT_EINVAL);
	}
	return rc;
}

START_TEST(the_state_claims_what_is_written_and_not_what_is_on_its_way)
{
	size_t len;
	char *text = state_of(&len);
	ck_assert_msg(strstr(text, "\npart 0 10485760 16777216\npart 16777216 16777216 ") != NULL, "%s", text);
	ck_assert_int_eq(decode(text, len), 0);
	free(text);
}
END_TEST

START_TEST(a_state_with_any_byte_changed_or_cut_off_is_refused)
{
	size_t len;
	char *text = state_of(&len);
	for (size_t i = 0; i < len; i++) {
		for (int bit = 0; bit < 8; bit++) {
			text[i] ^= (char)(1 << bit);
			ck_assert_msg(decode(text, len) == -1, "bit %d of byte %zu", bit, i);
			text[i] ^= (char)(1 << bit);
		}
		ck_assert_int_eq(decode(text, i), -1);
	}
	ck_assert_int_eq(decode(text, len), 0);
	free(text);
}
END_TEST

/* A right checksum over wrong facts: what a foreign writer could leave. */
static int decode_sealed(const char *body)
{
	char text[1024];
	struct jti_crc crc;
	jti_crc_init(&crc, JTI_CRC32);
	jti_crc_add(&crc, body, strlen(body));
	int n = snprintf(text, sizeof(text), "%scrc %08llx\n", body, (unsigned long long)jti_crc_value(&crc));
	ck_assert(n > 0 && (size_t)n < sizeof(text));
	return decode(text, (size_t)n);
}

START_TEST(a_state_that_makes_no_sense_is_refused)
{
#define HEAD "jobd-fetch 1\nurl u\nid i\n"
	static const char *const bad[] = {
		"", "jobd-fetch 2\nurl u\nid i\nobject 9\nrange 0 9\npart 0 0 9\n", HEAD "object 9\nrange 0 9\n",
		HEAD "object 9\nrange 0 9\npart 0 0 8\n", HEAD "object 9\nrange 0 9\npart 0 0 10\n", HEAD "object 9\nrange 0 9\npart 1 1 9\n",
		HEAD "object 9\nrange 0 9\npart 0 5 4\npart 4 4 9\n", HEAD "object 9\nrange 0 9\npart 0 0 4\npart 5 5 9\n",
		HEAD "object 9\nrange 0 9\npart 0 0 9 \n", HEAD "object 9\nrange 0 9\npart 00 0 9\n", HEAD "object 9\nrange 0 9\npart -0 0 9\n",
		HEAD "object 8\nrange 0 9\npart 0 0 9\n", HEAD "object 9\nrange 5 4\n", HEAD "object 9\nrange 0 9\npart 0 0 9\nextra 1\n",
		HEAD "object 99999999999999999999\nrange 0 9\npart 0 0 9\n", HEAD "object 9\nrange 0 9\netag \npart 0 0 9\n",
		"jobd-fetch 1\nid i\nobject 9\nrange 0 9\npart 0 0 9\n", "jobd-fetch 1\nurl u\nobject 9\nrange 0 9\npart 0 0 9\n",
		HEAD "object 9\nrange 0 9\netag \"a\"\ndate b\npart 0 0 9\n", HEAD "object 9\nrange 0 9\npart 0 0 0\npart 0 0 9\n",
	};
	ck_assert_int_eq(decode_sealed(HEAD "object 9\nrange 0 9\npart 0 3 9\n"), 0);
	ck_assert_int_eq(decode_sealed(HEAD "object 9\nrange 4 4\n"), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		ck_assert_msg(decode_sealed(bad[i]) == -1, "taken: %s", bad[i]);
}
END_TEST

START_TEST(a_text_that_would_forge_a_line_is_not_written)
{
	struct jt_fetch_state s = texts;
	struct jt_fetch_plan *plan = plan_of(1, 0, 1, 1);
	char *text;
	size_t len;
	s.url = (char[]){ "u\npart 0 1 1" };
	ck_assert_int_eq(jt_fetch_state_encode(&s, plan, &text, &len, &err), -1);
	ck_assert_int_eq(err.code, JT_EINVAL);
	jt_fetch_plan_free(plan);
}
END_TEST

/* ---- sums that others publish ------------------------------------------------------------------------------------- */

START_TEST(the_crcs_have_their_published_check_values)
{
	static const uint64_t expected[] = { 0xcbf43926u, 0xe3069283u, 0xae8b14860a799888u };
	struct jti_crc crc;
	for (int kind = JTI_CRC32; kind <= JTI_CRC64NVME; kind++)
		for (size_t first = 0; first <= 9; first++) {
			jti_crc_init(&crc, (enum jti_crc_kind)kind);
			jti_crc_add(&crc, "123456789", first);
			jti_crc_add(&crc, &"123456789"[first], 9 - first);
			ck_assert_uint_eq(jti_crc_value(&crc), expected[kind]);
		}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("fetch");
	TCase *t = tcase_create("fetch");
	tcase_set_timeout(t, getenv("JOBD_SOAK") ? 3600 : 120);
	tcase_add_test(t, random_lives_keep_the_tiling_and_end_complete);
	tcase_add_test(t, the_rest_is_split_evenly_at_aligned_borders);
	tcase_add_test(t, a_rest_smaller_than_two_parts_is_one_part);
	tcase_add_test(t, the_owner_of_a_halved_part_is_cut);
	tcase_add_test(t, a_small_remainder_is_taken_over_but_not_halved);
	tcase_add_test(t, an_object_of_unknown_length_ends_where_it_ended);
	tcase_add_test(t, impossible_plans_are_refused);
	tcase_add_test(t, the_state_claims_what_is_written_and_not_what_is_on_its_way);
	tcase_add_test(t, a_state_with_any_byte_changed_or_cut_off_is_refused);
	tcase_add_test(t, a_state_that_makes_no_sense_is_refused);
	tcase_add_test(t, a_text_that_would_forge_a_line_is_not_written);
	tcase_add_test(t, the_crcs_have_their_published_check_values);
	suite_add_tcase(suite, t);
	return play_suite(suite);
}
