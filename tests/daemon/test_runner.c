/* SPDX-License-Identifier: MIT */
/* What a job gets from jobd-runner, and how its end is told. */
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runner_kit.h"
#include "../play.h"

static struct kit k;

static void up(void)
{
	kit_up(&k, NULL);
}

static void down(void)
{
	kit_down(&k);
}

static void expect_end(struct rm_end e, enum rm_how how, int code)
{
	ck_assert_int_eq(e.how, how);
	ck_assert_int_eq(e.code, code);
}

static void expect_spawn_error(struct rm_end e, enum rm_stage stage, int code)
{
	expect_end(e, RM_SPAWN, code);
	ck_assert_int_eq(e.stage, stage);
	ck_assert_int_eq(e.started_at_us, 0);
}

START_TEST(exit_codes_and_signals_are_told_as_they_were)
{
	struct rm_end e = kit_run(&k, &(struct job){.job = 1, .argv = ARGV("true")});

	expect_end(e, RM_EXIT, 0);
	ck_assert_int_gt(e.pid, 0);
	ck_assert_int_gt(e.started_at_us, 0);
	ck_assert_int_ge(e.ended_at_us, e.started_at_us);
	ck_assert_int_gt(e.wall_ns, 0);
	ck_assert_int_gt(e.maxrss_kb, 0);
	expect_end(kit_run(&k, &(struct job){.job = 2, .shell = "exit 255"}), RM_EXIT, 255);
	expect_end(kit_run(&k, &(struct job){.job = 3, .shell = "kill -USR1 $$"}), RM_SIGNAL, SIGUSR1);
	expect_end(kit_run(&k, &(struct job){.job = 4, .shell = "kill -KILL $$"}), RM_SIGNAL, SIGKILL);
}
END_TEST

START_TEST(a_start_is_told_before_the_end_of_a_job_that_lasts)
{
	struct rm_started s;

	ck_assert_int_eq(mkfifo(kit_path(&k, "go"), 0600), 0);
	kit_start(&k, &(struct job){.job = 1, .argv = ARGV("cat", kit_path(&k, "go"))});
	s = kit_started(&k);
	ck_assert_uint_eq(s.job, 1);
	ck_assert_int_eq(kill(s.pid, 0), 0);
	close(open(kit_path(&k, "go"), O_WRONLY | O_CLOEXEC));
	ck_assert_int_eq(kit_end(&k).pid, s.pid);
}
END_TEST

START_TEST(environment_arguments_directory_and_output_are_exactly_those_of_the_order)
{
	expect_end(kit_run(&k, &(struct job){.job = 1, .argv = ARGV("/usr/bin/env"), .env = ARGV("A=1", "B=two words", "PATH=/nowhere")}), RM_EXIT, 0);
	ck_assert_str_eq(kit_output(&k, 1, "out"), "A=1\nB=two words\nPATH=/nowhere\n");
	expect_end(kit_run(&k, &(struct job){.job = 2, .argv = ARGV("printf", "[%s]", "", "a b", "*")}), RM_EXIT, 0);
	ck_assert_str_eq(kit_output(&k, 2, "out"), "[][a b][*]");
	expect_end(kit_run(&k, &(struct job){.job = 3, .shell = "pwd; echo oops >&2", .cwd = "/usr/bin"}), RM_EXIT, 0);
	ck_assert_str_eq(kit_output(&k, 3, "out"), "/usr/bin\n");
	ck_assert_str_eq(kit_output(&k, 3, "err"), "oops\n");
}
END_TEST

START_TEST(a_command_is_searched_in_the_path_of_the_job)
{
	const char *dir = kit_path(&k, "bin"), *env[] = {NULL, NULL};
	char path[512];
	FILE *f;

	ck_assert_int_eq(mkdir(dir, 0755), 0);
	f = fopen(kit_path(&k, "bin/mine"), "we");
	fputs("#!/bin/sh\necho mine\n", f);
	fclose(f);
	chmod(kit_path(&k, "bin/mine"), 0755);
	snprintf(path, sizeof(path), "PATH=/nowhere:%s:/bin", dir);
	env[0] = path;
	expect_end(kit_run(&k, &(struct job){.job = 1, .argv = ARGV("mine"), .env = env}), RM_EXIT, 0);
	ck_assert_str_eq(kit_output(&k, 1, "out"), "mine\n");
	expect_spawn_error(kit_run(&k, &(struct job){.job = 2, .argv = ARGV("mine")}), RM_AT_EXEC, ENOENT);
	expect_end(kit_run(&k, &(struct job){.job = 3, .argv = ARGV("mine"), .env = ARGV("PATH="), .cwd = dir}), RM_EXIT, 0);
	expect_end(kit_run(&k, &(struct job){.job = 4, .argv = ARGV("./mine"), .cwd = dir}), RM_EXIT, 0);
	expect_end(kit_run(&k, &(struct job){.job = 5, .argv = ARGV("true"), .env = ARGV("A=1")}), RM_EXIT, 0);
}
END_TEST

START_TEST(what_cannot_be_executed_says_why_and_where)
{
	const char *plain = kit_path(&k, "plain"), *headless = kit_path(&k, "headless");
	FILE *f = fopen(headless, "we");

	fputs("echo no header\n", f);
	fclose(f);
	chmod(headless, 0755);
	close(open(plain, O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
	expect_spawn_error(kit_run(&k, &(struct job){.job = 1, .argv = ARGV("/nowhere/at/all")}), RM_AT_EXEC, ENOENT);
	expect_spawn_error(kit_run(&k, &(struct job){.job = 2, .argv = ARGV(plain)}), RM_AT_EXEC, EACCES);
	expect_spawn_error(kit_run(&k, &(struct job){.job = 3, .argv = ARGV("/tmp")}), RM_AT_EXEC, EACCES);
	expect_spawn_error(kit_run(&k, &(struct job){.job = 4, .argv = ARGV(headless)}), RM_AT_EXEC, ENOEXEC);
	expect_spawn_error(kit_run(&k, &(struct job){.job = 5, .argv = ARGV("")}), RM_AT_EXEC, ENOENT);
	expect_spawn_error(kit_run(&k, &(struct job){.job = 6, .argv = ARGV("true"), .cwd = "/nowhere"}), RM_AT_CWD, ENOENT);
	expect_spawn_error(kit_run(&k, &(struct job){.job = 7, .argv = ARGV("true"), .stdin_file = "/nowhere"}), RM_AT_STDIN, ENOENT);
	expect_spawn_error(kit_run(&k, &(struct job){.job = 8, .argv = ARGV("true"), .user = "nobody-of-that-name"}), RM_AT_USER, ENOENT);
	expect_spawn_error(kit_run(&k, &(struct job){.job = 9, .argv = ARGV("true"), .group = "no-group-of-that-name"}), RM_AT_USER, ENOENT);
}
END_TEST

START_TEST(standard_input_is_null_a_file_or_a_passed_descriptor)
{
	FILE *f = fopen(kit_path(&k, "in"), "we");
	int fd;

	fputs("from the file\n", f);
	fclose(f);
	expect_end(kit_run(&k, &(struct job){.job = 1, .argv = ARGV("cat")}), RM_EXIT, 0);
	ck_assert_str_eq(kit_output(&k, 1, "out"), "");
	expect_end(kit_run(&k, &(struct job){.job = 2, .argv = ARGV("cat"), .stdin_file = kit_path(&k, "in")}), RM_EXIT, 0);
	ck_assert_str_eq(kit_output(&k, 2, "out"), "from the file\n");
	expect_end(kit_run(&k, &(struct job){.job = 3, .argv = ARGV("cat"), .stdin_file = "in", .cwd = k.dir}), RM_EXIT, 0);
	ck_assert_str_eq(kit_output(&k, 3, "out"), "from the file\n");
	fd = open(kit_path(&k, "in"), O_RDONLY | O_CLOEXEC);
	expect_end(kit_run(&k, &(struct job){.job = 4, .argv = ARGV("cat"), .stdin_fd = fd}), RM_EXIT, 0);
	close(fd);
	ck_assert_str_eq(kit_output(&k, 4, "out"), "from the file\n");
}
END_TEST

/* With one worker: a FIFO that nobody writes to would hold up every other job. */
START_TEST(a_fifo_as_standard_input_holds_up_nobody)
{
	ck_assert_int_eq(mkfifo(kit_path(&k, "fifo"), 0600), 0);
	kit_start(&k, &(struct job){.job = 1, .argv = ARGV("cat"), .stdin_file = kit_path(&k, "fifo")});
	for (uint64_t job = 2; job < 8; job++)
		kit_start(&k, &(struct job){.job = job, .argv = ARGV("true")});
	for (int i = 0; i < 7; i++)
		expect_end(kit_end(&k), RM_EXIT, 0);
}
END_TEST

START_TEST(mask_and_niceness_are_set)
{
	int own = getpriority(PRIO_PROCESS, 0);
	char expected[32];

	snprintf(expected, sizeof(expected), "0027\n%d\n", own + 5);
	expect_end(kit_run(&k, &(struct job){.job = 1, .shell = "umask; nice", .umask_set = 1, .umask = 027, .nice = 5}), RM_EXIT, 0);
	ck_assert_str_eq(kit_output(&k, 1, "out"), expected);
}
END_TEST

START_TEST(a_job_sees_three_descriptors_no_blocked_or_ignored_signal_and_a_session_of_its_own)
{
	expect_end(kit_run(&k, &(struct job){.job = 1, .argv = ARGV("ls", "/proc/self/fd")}), RM_EXIT, 0);
	ck_assert_str_eq(kit_output(&k, 1, "out"), "0\n1\n2\n3\n");     /* 3 is ls's own, for the folder */
	expect_end(kit_run(&k, &(struct job){.job = 2, .argv = ARGV("grep", "-E", "^Sig(Blk|Ign)|^ShdPnd", "/proc/self/status")}), RM_EXIT, 0);
	ck_assert_str_eq(kit_output(&k, 2, "out"), "ShdPnd:\t0000000000000000\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
	expect_end(kit_run(&k, &(struct job){.job = 3, .shell = "set -- $(cat /proc/$$/stat); test $$ = $5 && test $$ = $6"}), RM_EXIT, 0);
}
END_TEST

START_TEST(the_limit_of_descriptors_is_the_one_the_runner_was_given)
{
	struct rlimit l;
	char expected[32];

	getrlimit(RLIMIT_NOFILE, &l);
	snprintf(expected, sizeof(expected), "%llu\n", (unsigned long long)l.rlim_cur);
	expect_end(kit_run(&k, &(struct job){.job = 1, .shell = "ulimit -n"}), RM_EXIT, 0);
	ck_assert_str_eq(kit_output(&k, 1, "out"), expected);
}
END_TEST

START_TEST(a_job_becomes_its_user_with_the_users_groups_before_it_touches_files)
{
	struct passwd *pw = getpwnam("nobody");
	char expected[64];

	if (geteuid() || !pw) {
		puts("SKIP: becoming another user needs root");
		return;
	}
	snprintf(expected, sizeof(expected), "%u %u %u\n", pw->pw_uid, pw->pw_gid, pw->pw_gid);
	chmod(k.dir, 0755);
	expect_end(kit_run(&k, &(struct job){.job = 1, .shell = "echo $(id -u) $(id -g) $(id -G)", .user = "nobody"}), RM_EXIT, 0);
	ck_assert_str_eq(kit_output(&k, 1, "out"), expected);
	expect_end(kit_run(&k, &(struct job){.job = 2, .shell = "echo $(id -u) $(id -g)", .user = "65533", .group = "12345"}), RM_EXIT, 0);
	ck_assert_str_eq(kit_output(&k, 2, "out"), "65533 12345\n");
	expect_spawn_error(kit_run(&k, &(struct job){.job = 3, .argv = ARGV("true"), .user = "65533"}), RM_AT_USER, ENOENT);
	ck_assert_int_eq(mkdir(kit_path(&k, "private"), 0700), 0);
	expect_spawn_error(kit_run(&k, &(struct job){.job = 4, .argv = ARGV("true"), .user = "nobody", .cwd = kit_path(&k, "private")}),
			   RM_AT_CWD, EACCES);
	expect_spawn_error(kit_run(&k, &(struct job){.job = 5, .argv = ARGV("cat"), .user = "nobody", .stdin_file = "/etc/shadow"}),
			   RM_AT_STDIN, EACCES);
	expect_end(kit_run(&k, &(struct job){.job = 6, .shell = "grep -E '^Cap(Prm|Eff)' /proc/self/status", .user = "nobody"}), RM_EXIT, 0);
	ck_assert_str_eq(kit_output(&k, 6, "out"), "CapPrm:\t0000000000000000\nCapEff:\t0000000000000000\n");
}
END_TEST

START_TEST(arguments_larger_than_a_packet_travel_in_a_memfd)
{
	static char big[100001], bigger[100001], env[100003];

	memset(big, 'x', 100000);
	memset(bigger, 'y', 100000);
	memset(env, 'z', 100002);
	memcpy(env, "E=", 2);
	expect_end(kit_run(&k, &(struct job){.job = 1, .shell = "exit 3"}), RM_EXIT, 3);
	expect_end(kit_run(&k, &(struct job){.job = 2, .argv = ARGV("sh", "-c", "echo ${#1} ${#2} ${#E}", "sh", big, bigger),
					     .env = ARGV(env, "PATH=/bin:/usr/bin")}), RM_EXIT, 0);
	ck_assert_str_eq(kit_output(&k, 2, "out"), "100000 100000 100000\n");
}
END_TEST

START_TEST(a_timeout_terminates_and_says_so)
{
	struct rm_end e = kit_run(&k, &(struct job){.job = 1, .argv = ARGV("sleep", "1000"), .timeout_ms = 50, .grace_ms = 60000});

	expect_end(e, RM_SIGNAL, SIGTERM);
	ck_assert_int_eq(e.cause, RM_BY_TIMEOUT);
	ck_assert_int_ge(e.wall_ns, 50000000);
}
END_TEST

START_TEST(one_that_ignores_term_is_killed_after_the_grace)
{
	static const char shell[] = "trap '' TERM; while :; do sleep 1000; done";
	struct rm_end e = {.code = SIGTERM};

	for (int ms = 100; e.code == SIGTERM && ms <= 10000; ms *= 10)         /* it may take long to have set the trap */
		e = kit_run(&k, &(struct job){.job = (uint64_t)ms, .shell = shell, .timeout_ms = ms, .grace_ms = 100});
	expect_end(e, RM_SIGNAL, SIGKILL);
	ck_assert_int_eq(e.cause, RM_BY_TIMEOUT);
	ck_assert_int_ge(e.wall_ns, 200000000);
}
END_TEST

START_TEST(a_kill_terminates_and_one_without_grace_kills)
{
	struct rm_end e;
	char deaf[512];

	ck_assert_int_eq(mkfifo(kit_path(&k, "deaf"), 0600), 0);
	snprintf(deaf, sizeof(deaf), "trap '' TERM; echo >%s; while :; do sleep 1000; done", kit_path(&k, "deaf"));
	kit_start(&k, &(struct job){.job = 1, .argv = ARGV("sleep", "1000")});
	kit_started(&k);
	kit_kill(&k, 1, 60000);
	e = kit_end(&k);
	expect_end(e, RM_SIGNAL, SIGTERM);
	ck_assert_int_eq(e.cause, RM_BY_KILL);
	kit_start(&k, &(struct job){.job = 2, .shell = deaf});
	kit_fifo_wait(kit_path(&k, "deaf"));
	kit_kill(&k, 2, 60000);
	kit_kill(&k, 2, 0);
	expect_end(kit_end(&k), RM_SIGNAL, SIGKILL);
}
END_TEST

START_TEST(a_kill_right_behind_its_start_is_not_lost)
{
	for (uint64_t job = 1; job <= 20; job++) {
		kit_start(&k, &(struct job){.job = job, .argv = ARGV("sleep", "1000")});
		kit_kill(&k, job, 60000);
	}
	for (int i = 0; i < 20; i++) {
		struct rm_end e = kit_end(&k);

		expect_end(e, RM_SIGNAL, SIGTERM);
		kit_ack(&k, &e);
		kit_kill(&k, e.job, 0);
	}
}
END_TEST

START_TEST(a_stopped_job_can_be_terminated)
{
	struct rm_started s;

	kit_start(&k, &(struct job){.job = 1, .argv = ARGV("sleep", "1000")});
	s = kit_started(&k);
	kill(s.pid, SIGSTOP);
	kit_kill(&k, 1, 60000);
	expect_end(kit_end(&k), RM_SIGNAL, SIGTERM);
}
END_TEST

/* The child in the background holds the FIFO open for writing: end of file means that it is dead. */
START_TEST(the_rest_of_the_group_dies_with_the_main_process)
{
	const char *fifo = kit_path(&k, "fifo");
	char shell[512], c;
	int fd;

	ck_assert_int_eq(mkfifo(fifo, 0600), 0);
	fd = open(fifo, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	snprintf(shell, sizeof(shell), "exec 5>%s; (trap '' TERM HUP; sleep 1000) & exit 4", fifo);
	expect_end(kit_run(&k, &(struct job){.job = 1, .shell = shell}), RM_EXIT, 4);
	fcntl(fd, F_SETFL, 0);
	ck_assert_int_eq(read(fd, &c, 1), 0);
	close(fd);
}
END_TEST

START_TEST(a_thousand_jobs_run_at_once)
{
	enum { N = 1000 };
	int fd;

	ck_assert_int_eq(mkfifo(kit_path(&k, "go"), 0600), 0);
	fd = open(kit_path(&k, "go"), O_RDWR | O_CLOEXEC);
	for (uint64_t job = 0; job < N; job++)
		kit_start(&k, &(struct job){.job = job, .argv = ARGV("cat"), .stdin_fd = fd});
	for (int i = 0; i < N; i++)
		kit_started(&k);
	for (uint64_t job = 0; job < N; job++)
		kit_kill(&k, job, 0);
	for (int i = 0; i < N; i++) {
		struct rm_end e = kit_end(&k);

		expect_end(e, RM_SIGNAL, SIGKILL);
		kit_ack(&k, &e);
	}
	close(fd);
	kit_send(&k, &(struct rm_msg){.type = RM_PING});        /* what is in flight when a connection ends may be dropped whole */
	ck_assert_int_eq(kit_next(&k).type, RM_PONG);
	kit_hello(&k);
	ck_assert_uint_eq(k.n_inventory, 0);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("runner: jobs");
	TCase *tc = tcase_create("jobs");

	tcase_set_timeout(tc, 120);
	tcase_add_checked_fixture(tc, up, down);
	tcase_add_test(tc, exit_codes_and_signals_are_told_as_they_were);
	tcase_add_test(tc, a_start_is_told_before_the_end_of_a_job_that_lasts);
	tcase_add_test(tc, environment_arguments_directory_and_output_are_exactly_those_of_the_order);
	tcase_add_test(tc, a_command_is_searched_in_the_path_of_the_job);
	tcase_add_test(tc, what_cannot_be_executed_says_why_and_where);
	tcase_add_test(tc, standard_input_is_null_a_file_or_a_passed_descriptor);
	tcase_add_test(tc, a_fifo_as_standard_input_holds_up_nobody);
	tcase_add_test(tc, mask_and_niceness_are_set);
	tcase_add_test(tc, a_job_sees_three_descriptors_no_blocked_or_ignored_signal_and_a_session_of_its_own);
	tcase_add_test(tc, the_limit_of_descriptors_is_the_one_the_runner_was_given);
	tcase_add_test(tc, a_job_becomes_its_user_with_the_users_groups_before_it_touches_files);
	tcase_add_test(tc, arguments_larger_than_a_packet_travel_in_a_memfd);
	tcase_add_test(tc, a_timeout_terminates_and_says_so);
	tcase_add_test(tc, one_that_ignores_term_is_killed_after_the_grace);
	tcase_add_test(tc, a_kill_terminates_and_one_without_grace_kills);
	tcase_add_test(tc, a_kill_right_behind_its_start_is_not_lost);
	tcase_add_test(tc, a_stopped_job_can_be_terminated);
	tcase_add_test(tc, the_rest_of_the_group_dies_with_the_main_process);
	tcase_add_test(tc, a_thousand_jobs_run_at_once);
	suite_add_tcase(s, tc);
	return s;
}

int main(void)
{
	return play_suite(suite());
}
