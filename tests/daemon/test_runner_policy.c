/* SPDX-License-Identifier: MIT */
/* As whom jobs run: what the runner refuses to a jobd that was taken over, and that nothing of the runner's own is left in a job. */
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runner_kit.h"
#include "../play.h"

#define JOBD 65533              /* the user of a jobd, as a number; no entry is needed */
#define NOBODY 65534

static struct kit k;

static void down(void)
{
	kit_down(&k);
}

/* A root runner whose connection is of the user JOBD from now on. */
static void up_bound(const char *const *options)
{
	kit_up(&k, options);
	kit_hang_up(&k);
	ck_assert_int_eq(chmod(k.dir, 0755), 0);
	ck_assert_int_eq(seteuid(JOBD), 0);
	kit_hello(&k);
	ck_assert_int_eq(seteuid(0), 0);
}

static void expect_run(const char *user, const char *group)
{
	struct rm_end e = kit_run(&k, &(struct job){.job = 1, .argv = ARGV("true"), .user = user, .group = group});

	ck_assert_msg(e.how == RM_EXIT && e.code == 0, "as %s: how %d, stage %d, code %d", user ? user : "none", e.how, e.stage, e.code);
}

static void expect_refusal(const char *user, const char *group)
{
	struct rm_end e = kit_run(&k, &(struct job){.job = 1, .argv = ARGV("true"), .user = user, .group = group});

	ck_assert_msg(e.how == RM_SPAWN && e.stage == RM_AT_USER && e.code == EPERM, "as %s: how %d, stage %d, code %d", user ? user : "none",
		      e.how, e.stage, e.code);
}

static const char *name_of(uid_t uid)
{
	const struct passwd *pw = getpwuid(uid);

	return pw ? pw->pw_name : "?";
}

START_TEST(a_bound_jobd_gets_nothing_run_as_root)
{
	up_bound(ARGV("--allow-user", "65533"));
	expect_refusal("root", NULL);
	expect_refusal("0", NULL);
	expect_refusal(NULL, NULL);             /* as the runner */
	expect_refusal("nobody", "root");
	expect_refusal("nobody", "0");
	expect_refusal("daemon", "shadow");
	expect_run("nobody", NULL);
}
END_TEST

START_TEST(users_below_the_smallest_have_to_be_named)
{
	up_bound(ARGV("--allow-user", "65533", "--min-uid", "1000", "--run-as", "daemon"));
	expect_refusal("bin", NULL);
	expect_refusal("2", NULL);
	expect_refusal("root", NULL);
	expect_run("daemon", NULL);
	expect_run("nobody", NULL);
}
END_TEST

START_TEST(where_root_is_named_everything_goes)
{
	up_bound(ARGV("--allow-user", "65533", "--min-uid", "1000", "--run-as", "root"));
	expect_run("root", NULL);
	expect_run("bin", "daemon");
}
END_TEST

START_TEST(a_jobd_of_root_is_not_bound)
{
	kit_up(&k, ARGV("--min-uid", "1000"));
	expect_run(NULL, NULL);
	expect_run("root", "daemon");
	expect_run(name_of(1), NULL);
}
END_TEST

/* ---- what is left in a job ---------------------------------------------------------------------------------------------- */

/* The worst a runner may be started with. */
static void poison(void)
{
	sigset_t set;

	ck_assert(signal(SIGUSR1, SIG_IGN) != SIG_ERR);
	ck_assert(signal(SIGHUP, SIG_IGN) != SIG_ERR);
	ck_assert(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	sigaddset(&set, SIGTERM);
	ck_assert_int_eq(sigprocmask(SIG_BLOCK, &set, NULL), 0);
	ck_assert_int_ge(dup2(open("/etc/hostname", O_RDONLY), 55), 0);        /* inheritable */
	setenv("LD_DEBUG_OUTPUT", "/nowhere", 1);
	setenv("BASH_ENV", "/nowhere", 1);
}

static const char golden[] =
	"Uid:\t65534\t65534\t65534\t65534\n"
	"Gid:\t65534\t65534\t65534\t65534\n"
	"Groups:\t65534 \n"
	"SigPnd:\t0000000000000000\n"
	"ShdPnd:\t0000000000000000\n"
	"SigBlk:\t0000000000000000\n"
	"SigIgn:\t0000000000000000\n"
	"CapInh:\t0000000000000000\n"
	"CapPrm:\t0000000000000000\n"
	"CapEff:\t0000000000000000\n"
	"CapAmb:\t0000000000000000\n";

START_TEST(a_job_of_another_user_has_nothing_of_the_runner)
{
	static const char *const fields = "^(Uid|Gid|Groups|Sig(Pnd|Blk|Ign)|ShdPnd|Cap(Inh|Prm|Eff|Amb)):";
	struct job status = {.job = 1, .argv = ARGV("grep", "-E", fields, "/proc/self/status"), .user = "nobody"};

	poison();
	kit_up(&k, NULL);
	ck_assert_int_eq(chmod(k.dir, 0755), 0);
	ck_assert_int_eq(kit_run(&k, &status).code, 0);
	ck_assert_str_eq(kit_output(&k, 1, "out"), golden);
}
END_TEST

START_TEST(a_job_has_three_descriptors_a_session_of_its_own_and_no_terminal)
{
	poison();
	kit_up(&k, NULL);
	ck_assert_int_eq(kit_run(&k, &(struct job){.job = 1, .argv = ARGV("ls", "/proc/self/fd")}).code, 0);
	ck_assert_str_eq(kit_output(&k, 1, "out"), "0\n1\n2\n3\n");            /* 3 is the folder that ls reads */
	ck_assert_int_eq(kit_run(&k, &(struct job){.job = 2, .shell = "read -r pid name state ppid pgrp session tty rest </proc/self/stat; "
						   "echo $((pid - pgrp)) $((pid - session)) $tty"}).code, 0);
	ck_assert_str_eq(kit_output(&k, 2, "out"), "0 0 0\n");
	ck_assert_int_eq(kit_run(&k, &(struct job){.job = 3, .argv = ARGV("env")}).code, 0);
	ck_assert_str_eq(kit_output(&k, 3, "out"), "PATH=/usr/bin:/bin\n");
	ck_assert_int_eq(kit_run(&k, &(struct job){.job = 4, .shell = "cat /proc/self/oom_score_adj; readlink /proc/self/fd/0"}).code, 0);
	ck_assert_str_eq(kit_output(&k, 4, "out"), "0\n/dev/null\n");
}
END_TEST

/* Packets that no jobd sends cost their sender the connection; the runner serves the next. */
START_TEST(garbage_costs_only_its_sender_the_connection)
{
	unsigned char packet[256];
	unsigned seed = 4711;

	kit_up(&k, NULL);
	for (int i = 0; i < 2000; i++) {
		int sock = kit_connect(&k);
		size_t n = 1 + (unsigned)rand_r(&seed) % sizeof(packet);

		for (size_t j = 0; j < n; j++)
			packet[j] = (unsigned char)rand_r(&seed);
		packet[0] = (unsigned char)(1 + i % 13);
		if (i % 2)
			memset(packet + 1, 0, 3);
		ck_assert_int_eq(send(sock, packet, n, MSG_NOSIGNAL), (ssize_t)n);
		kit_expect_eof(sock);
	}
	kit_hello(&k);
	expect_run(NULL, NULL);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("runner_policy");
	TCase *tc = tcase_create("policy");

	tcase_add_checked_fixture(tc, NULL, down);
	tcase_set_timeout(tc, 60);
	if (geteuid() == 0) {
		tcase_add_test(tc, a_bound_jobd_gets_nothing_run_as_root);
		tcase_add_test(tc, users_below_the_smallest_have_to_be_named);
		tcase_add_test(tc, where_root_is_named_everything_goes);
		tcase_add_test(tc, a_jobd_of_root_is_not_bound);
		tcase_add_test(tc, a_job_of_another_user_has_nothing_of_the_runner);
	} else {
		puts("SKIP: becoming another user needs root");
	}
	tcase_add_test(tc, a_job_has_three_descriptors_a_session_of_its_own_and_no_terminal);
	tcase_add_test(tc, garbage_costs_only_its_sender_the_connection);
	suite_add_tcase(suite, tc);
	return play_suite(suite);
}
