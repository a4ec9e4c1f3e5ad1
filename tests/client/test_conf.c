/* SPDX-License-Identifier: MIT */
/* jobd.conf: what is read, what is refused and at which line. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/conf.h"
#include "proto/nearest.h"
#include "../play.h"

static struct conf conf;
static struct conf_error err;

static void setup(void)
{
	conf_init(&conf);
	memset(&err, 0, sizeof(err));
}

static void teardown(void)
{
	conf_done(&conf);
}

static int parse(const char *text)
{
	return conf_parse("jobd.conf", text, strlen(text), &conf, &err);
}

static void refused(const char *text, const char *expected)
{
	ck_assert_int_eq(parse(text), -1);
	ck_assert_str_eq(err.text, expected);
}

START_TEST(an_empty_file_gives_the_defaults)
{
	ck_assert_int_eq(parse(""), 0);
	ck_assert_uint_eq(conf.slots, 0);
	ck_assert_uint_eq(conf.socket_mode, 0600);
	ck_assert_ptr_null(conf.admin_group);
	ck_assert_int_eq(conf.log_level, CONF_LOG_INFO);
	ck_assert_uint_eq(conf.output_max, 64 << 20);
}
END_TEST

START_TEST(every_key_is_read)
{
	ck_assert_int_eq(parse("# a comment\n\nslots = 8 # eight\nsocket_mode=0660\n  socket_group =  users \nadmin_group = wheel\r\n"
			       "log_level = debug\noutput_max = 2M\nmax_sessions = 10\nmax_sessions_per_uid = 3\nretain_days = 0\n"
			       "retain_runs = 7"), 0);
	ck_assert_uint_eq(conf.slots, 8);
	ck_assert_uint_eq(conf.socket_mode, 0660);
	ck_assert_str_eq(conf.socket_group, "users");
	ck_assert_str_eq(conf.admin_group, "wheel");
	ck_assert_int_eq(conf.log_level, CONF_LOG_DEBUG);
	ck_assert_uint_eq(conf.output_max, 2 << 20);
	ck_assert_uint_eq(conf.max_sessions, 10);
	ck_assert_uint_eq(conf.max_sessions_per_uid, 3);
	ck_assert_uint_eq(conf.retain_days, 0);
	ck_assert_uint_eq(conf.retain_runs, 7);
}
END_TEST

START_TEST(what_is_printed_is_read_again)
{
	char *text, *again;

	ck_assert_int_eq(parse("slots = 8\nsocket_group = users\noutput_max = 3G\n"), 0);
	text = conf_print(&conf);
	ck_assert_int_eq(parse(text), 0);
	again = conf_print(&conf);
	ck_assert_str_eq(text, again);
	ck_assert_ptr_nonnull(strstr(text, "socket_mode = 0600\n"));
	free(text);
	free(again);
}
END_TEST

START_TEST(mistakes_are_named_with_their_line)
{
	refused("slots = 8\nslot = 9\n", "jobd.conf:2: unknown key \"slot\"; did you mean \"slots\"?");
	refused("zebra = 9\n", "jobd.conf:1: unknown key \"zebra\"; the keys are described in jobd.conf(5)");
	refused("\n\nslots\n", "jobd.conf:3: expected \"key = value\", got \"slots\"");
	refused("slots =\n", "jobd.conf:1: slots has no value; to use the default, remove the line");
	refused("slots = 8x\n", "jobd.conf:1: slots must be a number, got \"8x\"");
	refused("slots = -8\n", "jobd.conf:1: slots must be a number, got \"-8\"");
	refused("slots = 0\n", "jobd.conf:1: slots must be 1..100000, got \"0\"");
	refused("slots = 99999999999999999999999\n", "jobd.conf:1: slots must be a number, got \"99999999999999999999999\"");
	refused("slots = 1\nslots = 2\n", "jobd.conf:2: slots was set in line 1 already; remove one of them");
	refused("socket_mode = 0999\n", "jobd.conf:1: socket_mode must be an octal mode such as 0660, got \"0999\"");
	refused("socket_mode = 1777\n", "jobd.conf:1: socket_mode must be 0..777, got \"1777\"");
	refused("log_level = loud\n", "jobd.conf:1: log_level must be error, warning, info or debug, got \"loud\"");
	refused("output_max = 5T\n", "jobd.conf:1: output_max must be a number of bytes such as 64M, got \"5T\"");
}
END_TEST

START_TEST(a_refused_file_changes_nothing)
{
	ck_assert_int_eq(parse("slots = 8\nsocket_group = users\n"), 0);
	ck_assert_int_eq(parse("slots = 9\nsocket_group = staff\nnonsense\n"), -1);
	ck_assert_uint_eq(conf.slots, 8);
	ck_assert_str_eq(conf.socket_group, "users");
}
END_TEST

START_TEST(nul_bytes_and_missing_files_are_refused)
{
	ck_assert_int_eq(conf_parse("f", "slots = 1\n\0", 11, &conf, &err), -1);
	ck_assert_str_eq(err.text, "f: contains a NUL byte; this is not a text file");
	ck_assert_int_eq(conf_read("/nonexistent/jobd.conf", &conf, &err), -1);
	ck_assert_str_eq(err.text, "/nonexistent/jobd.conf: cannot be opened: No such file or directory");
	ck_assert_int_eq(err.line, 0);
}
END_TEST

START_TEST(a_file_is_read)
{
	char path[] = "/tmp/jobd-conf-XXXXXX";
	int fd = mkstemp(path);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(dprintf(fd, "slots = 3\n"), 10);
	ck_assert_int_eq(conf_read(path, &conf, &err), 0);
	ck_assert_uint_eq(conf.slots, 3);
	close(fd);
	unlink(path);
}
END_TEST

static const char *nearest(const char *typed)
{
	static const char *const names[] = { "submit", "seal", "status", "stats", "ls" };
	struct nearest n;

	nearest_init(&n, typed);
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		nearest_offer(&n, names[i]);
	return nearest_get(&n);
}

START_TEST(slips_are_recognised_and_strangers_are_not)
{
	ck_assert_str_eq(nearest("submti"), "submit");
	ck_assert_str_eq(nearest("sbmit"), "submit");
	ck_assert_str_eq(nearest("sl"), "ls");
	ck_assert_str_eq(nearest("STATUS"), "status");
	ck_assert_ptr_null(nearest("xyzzy"));
	ck_assert_ptr_null(nearest(""));
	ck_assert_ptr_null(nearest("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("conf");
	TCase *t = tcase_create("conf");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, an_empty_file_gives_the_defaults);
	tcase_add_test(t, every_key_is_read);
	tcase_add_test(t, what_is_printed_is_read_again);
	tcase_add_test(t, mistakes_are_named_with_their_line);
	tcase_add_test(t, a_refused_file_changes_nothing);
	tcase_add_test(t, nul_bytes_and_missing_files_are_refused);
	tcase_add_test(t, a_file_is_read);
	tcase_add_test(t, slips_are_recognised_and_strangers_are_not);
	suite_add_tcase(s, t);
	return play_suite(s);
}
