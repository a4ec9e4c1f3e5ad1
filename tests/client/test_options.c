/* SPDX-License-Identifier: MIT */
/* The command line: what is understood, and that every verb's table is sound. */
#include <ctype.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "client/options.h"
#include "client/status.h"
#include "client/verbs.h"
#include "kit.h"

static const struct opt opts[] = {
	FLAG("follow", 'f', follow, ""),
	FLAG("detach", 'd', detach, ""),
	TEXT("name", 'n', name, "NAME", ""),
	INT("workers", 'j', workers, 1, 100, "N", ""),
	SECONDS("timeout", 't', timeout_s, "TIME", ""),
	LIST("env", 'e', env, "NAME=VALUE", ""),
	OPTS_END
};

static struct options o;

/* Complaints are looked at by the end-to-end tests. */
static void silence(void)
{
	int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	dup2(fd, STDERR_FILENO);
	close(fd);
}

static int parse(enum opt_stop stop, const char *const *words)
{
	char *argv[16];
	int argc = 0;

	for (; words[argc]; argc++)
		argv[argc] = (char *)(uintptr_t)words[argc];
	options_done(&o);
	return options_parse(&o, "verb", opts, stop, argc, argv);
}
#define MIXED(...) parse(OPTS_MIXED, (const char *const[]){ __VA_ARGS__, NULL })
#define STOPS(...) parse(OPTS_STOP_AT_ARG, (const char *const[]){ __VA_ARGS__, NULL })

START_TEST(options_and_arguments_may_be_mixed)
{
	ck_assert_int_eq(MIXED("a", "-f", "--name=x", "b", "-j", "4", "--env", "A=1", "-eB=2", "--timeout", "1.5"), 0);
	ck_assert(o.follow && !o.detach);
	ck_assert_str_eq(o.name, "x");
	ck_assert_int_eq(o.workers, 4);
	ck_assert_uint_eq(o.env.n, 2);
	ck_assert_str_eq(o.env.v[1], "B=2");
	ck_assert_double_eq(o.timeout_s, 1.5);
	ck_assert_uint_eq(o.n_args, 2);
	ck_assert_str_eq(o.args[1], "b");
}
END_TEST

START_TEST(letters_can_be_bundled)
{
	ck_assert_int_eq(MIXED("-fdj7", "-nname"), 0);
	ck_assert(o.follow && o.detach);
	ck_assert_int_eq(o.workers, 7);
	ck_assert_str_eq(o.name, "name");
}
END_TEST

START_TEST(two_dashes_and_a_first_argument_end_the_options)
{
	ck_assert_int_eq(MIXED("-f", "--", "-d", "--", "-"), 0);
	ck_assert(!o.detach);
	ck_assert_uint_eq(o.n_args, 3);
	ck_assert_int_eq(STOPS("-f", "prog", "-d", "--name", "--"), 0);
	ck_assert(o.follow && !o.detach);
	ck_assert_uint_eq(o.n_args, 4);
	ck_assert_int_eq(STOPS("--", "-d"), 0);
	ck_assert_str_eq(o.args[0], "-d");
	ck_assert_int_eq(MIXED("-"), 0);
	ck_assert_str_eq(o.args[0], "-");
}
END_TEST

START_TEST(what_is_wrong_is_usage)
{
	silence();
	ck_assert_int_eq(MIXED("--nonsense"), CTL_USAGE);
	ck_assert_int_eq(MIXED("-x"), CTL_USAGE);
	ck_assert_int_eq(MIXED("--follow=yes"), CTL_USAGE);
	ck_assert_int_eq(MIXED("--name"), CTL_USAGE);
	ck_assert_int_eq(MIXED("-n"), CTL_USAGE);
	ck_assert_int_eq(MIXED("-j", "0"), CTL_USAGE);
	ck_assert_int_eq(MIXED("-j", "101"), CTL_USAGE);
	ck_assert_int_eq(MIXED("-j", "4x"), CTL_USAGE);
	ck_assert_int_eq(MIXED("-j", ""), CTL_USAGE);
	ck_assert_int_eq(MIXED("-j", "99999999999999999999"), CTL_USAGE);
	ck_assert_int_eq(MIXED("-t", "soon"), CTL_USAGE);
	ck_assert_int_eq(MIXED("-t", "-1"), CTL_USAGE);
	ck_assert_int_eq(MIXED("-t", "1w"), CTL_USAGE);
	ck_assert_int_eq(MIXED("-t", "nan"), CTL_USAGE);
}
END_TEST

START_TEST(times_have_units)
{
	double s;

	ck_assert(seconds_parse("90", &s) == 0 && s == 90);
	ck_assert(seconds_parse("250ms", &s) == 0 && s == 0.25);
	ck_assert(seconds_parse("2m", &s) == 0 && s == 120);
	ck_assert(seconds_parse("1.5h", &s) == 0 && s == 5400);
	ck_assert(seconds_parse("1d", &s) == 0 && s == 86400);
	ck_assert_int_eq(seconds_parse("", &s), -1);
	ck_assert_int_eq(seconds_parse("0x10", &s), -1);
	ck_assert_int_eq(seconds_parse("1e999", &s), -1);
}
END_TEST

static void check_table(const struct verb *v)
{
	for (const struct opt *a = v->opts; a->kind != OPT_NO_MORE; a++) {
		ck_assert_msg(a->help[0] != 0, "%s --%s", v->name, a->name);
		ck_assert_msg(opt_is_flag(a) == (a->arg == NULL), "%s --%s", v->name, a->name);
		for (const struct opt *b = a + 1; b->kind != OPT_NO_MORE; b++) {
			ck_assert_msg(strcmp(a->name, b->name) != 0, "%s --%s", v->name, a->name);
			ck_assert_msg(!a->letter || a->letter != b->letter, "%s -%c", v->name, a->letter);
		}
	}
}

START_TEST(every_verb_has_a_sound_table)
{
	for (const struct verb *v = verbs; v->name; v++) {
		ck_assert(v->fn && v->summary[0] && v->min_args <= v->max_args);
		ck_assert_ptr_eq(verb_find(v->name), v);
		check_table(v);
	}
	ck_assert_str_eq(verb_nearest("cancle"), "cancel");
	ck_assert_ptr_null(verb_find("cancle"));
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		options_and_arguments_may_be_mixed, letters_can_be_bundled, two_dashes_and_a_first_argument_end_the_options,
		what_is_wrong_is_usage, times_have_units, every_verb_has_a_sound_table, NULL
	};

	options_init(&o);
	return kit_run("options", tests);
}
