/* SPDX-License-Identifier: MIT */
/* Templates and batches: what they make, and that the kernel takes the largest batch they allow, and not much more. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "jobtree_args.h"
#include "../play.h"

extern char **environ;

#define N(a) (sizeof(a) / sizeof(*(a)))

/* ---- templates ---- */

static struct jt_template *template_of(const char *words, enum jt_template_append append)
{
	static char buf[512];
	char *argv[16];
	size_t n = 0;
	struct jt_error err;

	snprintf(buf, sizeof(buf), "%s", words);
	for (char *w = strtok(buf, " "); w; w = strtok(NULL, " "))
		argv[n++] = w;
	struct jt_template *t = jt_template_new(argv, n, append, &err);
	ck_assert_msg(t != NULL, "%s: %s", words, err.text);
	return t;
}

/* The words of the expansion with item number 7 on slot 3 of CPUs / N = 2, each in brackets. */
static const char *expansion(const char *words, const char *const *items, size_t n_items)
{
	static char out[1024];
	struct jt_bytes v[8];
	struct jt_template *t = template_of(words, JT_TEMPLATE_APPEND);
	size_t argc, at = 0;

	for (size_t i = 0; i < n_items; i++)
		v[i] = (struct jt_bytes){ items[i], strlen(items[i]) };
	struct jt_template_values values = { v, n_items, 7, 3, 2, 0 };
	char **argv = jt_template_expand(t, &values, &argc);
	out[0] = 0;
	for (size_t i = 0; i < argc; i++)
		at += (size_t)snprintf(out + at, sizeof(out) - at, "[%s]", argv[i]);
	ck_assert_ptr_null(argv[argc]);
	free(argv);
	jt_template_free(t);
	return out;
}

START_TEST(places_are_filled)
{
	static const char *const one[] = { "a b" }, *const two[] = { "x", "y" };
	static const struct {
		const char *words, *want;
	} single[] = {
		{ "echo", "[echo][a b]" },
		{ "echo {} end", "[echo][a b][end]" },
		{ "cp {} {}.bak", "[cp][a b][a b.bak]" },
		{ "echo {1}", "[echo][a b]" },
		{ "echo {1}{1}", "[echo][a ba b]" },
		{ "echo {2}", "[echo][]" },
		{ "echo {#}/{%}/{threads}", "[echo][7/3/2][a b]" },
		{ "echo {0} {x} { } {{}}", "[echo][{0}][{x}][{][}][{a b}]" },
		{ "echo {", "[echo][{][a b]" },
	}, pairs[] = {
		{ "echo", "[echo][x][y]" },
		{ "echo <{}>", "[echo][<x y>]" },
		{ "echo {2}-{1}", "[echo][y-x]" },
		{ "{} -v", "[x][y][-v]" },
	};
	for (size_t i = 0; i < N(single); i++)
		ck_assert_str_eq(expansion(single[i].words, one, 1), single[i].want);
	for (size_t i = 0; i < N(pairs); i++)
		ck_assert_str_eq(expansion(pairs[i].words, two, 2), pairs[i].want);
	ck_assert_str_eq(expansion("echo -- {}", NULL, 0), "[echo][--]");
}
END_TEST

START_TEST(an_empty_word_and_an_empty_item_stay_words)
{
	char prog[] = "prog", *argv[] = { prog, prog + 4 };
	struct jt_bytes empty = { "", 0 };
	struct jt_template_values v = { &empty, 1, 1, 1, 1, 0 };
	size_t argc;
	struct jt_template *t = jt_template_new(argv, 2, JT_TEMPLATE_APPEND, NULL);
	char **got = jt_template_expand(t, &v, &argc);

	ck_assert_uint_eq(argc, 3);
	ck_assert_str_eq(got[1], "");
	ck_assert_str_eq(got[2], "");
	free(got);
	jt_template_free(t);
}
END_TEST

START_TEST(bad_templates_are_refused)
{
	char echo[] = "echo", beyond[] = "{10000}", last[] = "{9999}", *far[] = { echo, beyond }, *edge[] = { echo, last };
	struct jt_error err;
	ck_assert_ptr_null(jt_template_new(NULL, 0, JT_TEMPLATE_APPEND, &err));
	ck_assert_int_eq(err.code, JT_EINVAL);
	ck_assert_ptr_null(jt_template_new(far, 2, JT_TEMPLATE_APPEND, &err));
	ck_assert_str_eq(err.text, "template: {10000} is beyond the last placeholder, {9999}");
	struct jt_template *t = jt_template_new(edge, 2, JT_TEMPLATE_APPEND, &err);
	ck_assert_uint_eq(jt_template_columns(t), 9999);
	jt_template_free(t);
}
END_TEST

/* Costs are never too small, and exact where no number stands and no item is left out. */
START_TEST(costs_cover_the_expansion)
{
	static const struct {
		const char *words;
		bool exact;
	} cases[] = { { "echo", true },	  { "cp -t /x {} {}", true }, { "a {}b", false },
		      { "a {#} {}", false }, { "a {1} {2}x", false },	   { "a {threads}", false } };
	char text[200];
	memset(text, 'q', sizeof(text));
	for (size_t i = 0; i < N(cases); i++) {
		for (size_t n = 0; n <= 5; n++) {
			struct jt_template *t = template_of(cases[i].words, JT_TEMPLATE_APPEND);
			struct jt_bytes items[5];
			size_t said = jt_template_head_cost(t), argc;
			for (size_t k = 0; k < n; k++) {
				items[k] = (struct jt_bytes){ text, k * 40 };
				said += jt_template_item_cost(t, items[k].len);
			}
			struct jt_template_values v = { items, n, UINT64_MAX, UINT32_MAX, 1, 0 };
			char **argv = jt_template_expand(t, &v, &argc);
			size_t is = jt_arg_strings_cost(argv);
			ck_assert_msg(cases[i].exact ? is == said : is <= said, "%s with %zu: %zu said, is %zu", cases[i].words, n, said, is);
			free(argv);
			jt_template_free(t);
		}
	}
}
END_TEST

/* ---- limits ---- */

/* Items a1 a2 b1 b2: two tuples. */
START_TEST(a_batch_of_tuples_has_columns)
{
	static const struct {
		const char *words, *want;
	} cases[] = { { "c", "[c][a][1][bb][22]" }, { "c {2} {1}", "[c][1][22][a][bb]" }, { "c x{1} {}y", "[c][xa bb][a 1 bb 22y]" },
		      { "c {3} z{3}", "[c][][z]" }, { "c {1}{2}", "[c][a bb1 22]" } };
	static const struct jt_bytes items[] = { { "a", 1 }, { "1", 1 }, { "bb", 2 }, { "22", 2 } };
	for (size_t i = 0; i < N(cases); i++) {
		struct jt_template *t = template_of(cases[i].words, JT_TEMPLATE_APPEND);
		struct jt_template_values v = { .items = items, .n_items = 4, .columns = 2 };
		size_t said = jt_template_head_cost(t), argc, at = 0;
		char **argv = jt_template_expand(t, &v, &argc), got[256] = "";
		for (size_t k = 0; k < argc; k++)
			at += (size_t)snprintf(got + at, sizeof(got) - at, "[%s]", argv[k]);
		for (size_t k = 0; k < N(items); k++)
			said += jt_template_column_cost(t, (uint32_t)(k % 2 + 1), items[k].len);
		ck_assert_str_eq(got, cases[i].want);
		ck_assert_uint_le(jt_arg_strings_cost(argv), said);
		free(argv);
		jt_template_free(t);
	}
}
END_TEST

START_TEST(limits_of_systems)
{
	ck_assert_uint_eq(jt_arg_max_linux(0), 131072);
	ck_assert_uint_eq(jt_arg_max_linux(8 << 20), 2 << 20);
	ck_assert_uint_eq(jt_arg_max_linux(UINT64_MAX), 6 << 20);
	ck_assert_uint_eq(jt_arg_max_of("Linux"), 2 << 20);
	ck_assert_uint_eq(jt_arg_max_of("POSIX"), 4096);
	ck_assert_uint_eq(jt_arg_max_of("plan9"), 0);
	ck_assert_uint_eq(jt_arg_budget(4096, 0, 0), 0);
	ck_assert_uint_eq(jt_arg_budget(131072, 1000, 72), 131072 - 1072 - 4096 - 2 * sizeof(void *));
	/* The usual sum forgets the pointers: a million arguments of one byte do not fit into 2 MiB. */
	ck_assert_uint_eq(jt_arg_budget(2 << 20, 0, 0) / jt_arg_cost(1), 209304);
}
END_TEST

/* ---- batches ---- */

/* Sizes of the batches of n items of len bytes each. */
static const char *batches_of(const struct jt_batch_limits *l, size_t n, size_t len)
{
	static char out[256];
	struct jt_batch b;
	size_t at = 0;

	out[0] = 0;
	jt_batch_init(&b, l);
	while (n > 0) {
		enum jt_batch_verdict v = jt_batch_offer(&b, NULL, len);
		if (v == JT_BATCH_TOO_LONG)
			return "too long";
		n -= v == JT_BATCH_TAKEN;
		if (v == JT_BATCH_FULL || n == 0) {
			at += (size_t)snprintf(out + at, sizeof(out) - at, "%zu ", b.n);
			jt_batch_reset(&b);
		}
	}
	return out;
}

START_TEST(a_batch_ends_where_a_limit_says)
{
	ck_assert_str_eq(batches_of(&(struct jt_batch_limits){ .items = 3 }, 7, 1), "3 3 1 ");
	ck_assert_str_eq(batches_of(&(struct jt_batch_limits){ .bytes = 30 }, 7, 1), "3 3 1 ");
	ck_assert_str_eq(batches_of(&(struct jt_batch_limits){ .bytes = 29 }, 3, 1), "2 1 ");
	ck_assert_str_eq(batches_of(&(struct jt_batch_limits){ .bytes = 9 }, 1, 1), "too long");
	ck_assert_str_eq(batches_of(&(struct jt_batch_limits){ .string = 5 }, 1, 6), "too long");
	ck_assert_str_eq(batches_of(&(struct jt_batch_limits){ .bytes = 11, .joined = true, .join = 1 }, 5, 5), "2 2 1 ");
	ck_assert_str_eq(batches_of(&(struct jt_batch_limits){ .string = 10, .joined = true, .join = 1 }, 3, 5), "1 1 1 ");
	ck_assert_str_eq(batches_of(&(struct jt_batch_limits){ .budget = jt_arg_cost(5) * 2 }, 3, 5), "2 1 ");
}
END_TEST

START_TEST(a_full_batch_need_not_wait_for_the_item_that_does_not_fit)
{
	struct jt_batch b;
	jt_batch_init(&b, &(struct jt_batch_limits){ .items = 2, .bytes = 100 });
	ck_assert(!jt_batch_is_full(&b, NULL));
	ck_assert_int_eq(jt_batch_offer(&b, NULL, 1), JT_BATCH_TAKEN);
	ck_assert(!jt_batch_is_full(&b, NULL));
	ck_assert_int_eq(jt_batch_offer(&b, NULL, 1), JT_BATCH_TAKEN);
	ck_assert(jt_batch_is_full(&b, NULL));
	jt_batch_reset(&b);
	ck_assert_int_eq(jt_batch_offer(&b, NULL, 90), JT_BATCH_TAKEN);
	ck_assert(jt_batch_is_full(&b, NULL));
}
END_TEST

START_TEST(what_is_left_is_shared_evenly)
{
	size_t n = 10, given[4], k = 0;
	while (n > 0) {
		given[k] = jt_batch_share(n, (uint32_t)(4 - k));
		n -= given[k++];
	}
	ck_assert_uint_eq(k, 4);
	ck_assert(given[0] == 3 && given[1] == 3 && given[2] == 2 && given[3] == 2);
	ck_assert_uint_eq(jt_batch_share(0, 4), 0);
	ck_assert_uint_eq(jt_batch_share(3, 8), 1);
}
END_TEST

/* ---- the kernel's word on it ---- */

static int try_exec(uint64_t stack, char *const *argv)
{
	int status;
	pid_t pid = fork();
	if (pid == 0) {
		struct rlimit r;
		getrlimit(RLIMIT_STACK, &r);
		r.rlim_cur = stack;
		if (setrlimit(RLIMIT_STACK, &r) < 0)
			_exit(99);
		execve("/bin/true", argv, environ);
		_exit(errno == E2BIG ? 7 : 98);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* A batch filled to the last item, and `more` items beyond it. */
static char **largest(struct jt_template *t, size_t budget, const char *item, size_t len, size_t more)
{
	struct jt_batch b;
	jt_batch_init(&b, &(struct jt_batch_limits){ .budget = budget, .string = JT_ARG_STRING_MAX });
	while (jt_batch_offer(&b, t, len) == JT_BATCH_TAKEN)
		;
	size_t n = b.n + more, argc;
	struct jt_bytes *items = calloc(n + 1, sizeof(*items));
	for (size_t i = 0; i < n; i++)
		items[i] = (struct jt_bytes){ item, len };
	struct jt_template_values v = { items, n, 1, 1, 1, 0 };
	char **argv = jt_template_expand(t, &v, &argc);
	free(items);
	return argv;
}

static const uint64_t stacks[] = { 256 << 10, 1 << 20, 8 << 20, 64 << 20, RLIM_INFINITY };
static const size_t lengths[] = { 1, 8, 50, 100, 250, JT_ARG_STRING_MAX };

START_TEST(the_kernel_takes_the_largest_batch_and_not_much_more)
{
	uint64_t stack = stacks[_i / (int)N(lengths)];
	size_t len = lengths[_i % (int)N(lengths)];
	char *item = malloc(len + 1);
	struct jt_template *t = template_of("/bin/true", JT_TEMPLATE_APPEND);
	size_t head = jt_arg_cost(strlen("/bin/true")) + jt_template_head_cost(t);
	size_t budget = jt_arg_budget(jt_arg_max_linux(stack), jt_arg_strings_cost(environ), head);
	struct rlimit hard;

	getrlimit(RLIMIT_STACK, &hard);
	memset(item, 'x', len);
	item[len] = 0;
	if (stack <= hard.rlim_max) {
		char **argv = largest(t, budget, item, len, 0);
		ck_assert_int_eq(try_exec(stack, argv), 0);
		free(argv);
		argv = largest(t, budget, item, len, (JT_ARG_RESERVE + 512) / jt_arg_cost(len) + 1);
		ck_assert_int_eq(try_exec(stack, argv), 7);
		free(argv);
	}
	jt_template_free(t);
	free(item);
}
END_TEST

START_TEST(one_string_has_its_own_limit)
{
	char prog[] = "true", *item = malloc(JT_ARG_STRING_MAX + 2), *argv[] = { prog, item, NULL };
	memset(item, 'x', JT_ARG_STRING_MAX + 1);
	item[JT_ARG_STRING_MAX] = 0;
	ck_assert_int_eq(try_exec(8 << 20, argv), 0);
	item[JT_ARG_STRING_MAX] = 'x';
	item[JT_ARG_STRING_MAX + 1] = 0;
	ck_assert_int_eq(try_exec(8 << 20, argv), 7);
	free(item);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("arguments");
	TCase *c = tcase_create("arguments");
	static const TTest *const *const tests[] = { &places_are_filled, &an_empty_word_and_an_empty_item_stay_words, &bad_templates_are_refused,
						     &costs_cover_the_expansion, &a_batch_of_tuples_has_columns, &limits_of_systems, &a_batch_ends_where_a_limit_says,
						     &a_full_batch_need_not_wait_for_the_item_that_does_not_fit, &what_is_left_is_shared_evenly,
						     &one_string_has_its_own_limit };
	for (size_t i = 0; i < N(tests); i++)
		tcase_add_test(c, *tests[i]);
	tcase_add_loop_test(c, the_kernel_takes_the_largest_batch_and_not_much_more, 0, (int)(N(stacks) * N(lengths)));
	suite_add_tcase(s, c);
	return play_suite(s);
}
