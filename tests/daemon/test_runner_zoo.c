/* SPDX-License-Identifier: MIT */
/*
 * A zoo of process shapes: nothing of a job runs any more once its end has been told, or once the next runner answers. Every animal
 * holds a FIFO open for writing, so the FIFO is at its end exactly when none is left.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runner_kit.h"

/* Each says "up" when it has its shape. $UP is a FIFO. */
static const char *const zoo[] = {
	"sh -c 'echo >$UP; exec sleep 1000' &",                                                 /* in the group */
	"setsid -f sh -c 'echo >$UP; exec sleep 1000'",                                         /* a session of its own */
	"setsid -f sh -c 'setsid -f sh -c \"echo >\\$UP; exec sleep 1000\"'",                   /* and once more */
	"(cd /; setsid -f sh -c 'echo >$UP; exec sleep 1000' </dev/null >/dev/null 2>&1)",      /* as daemon(3) does */
	"setsid -f sh -c 'trap \"\" TERM HUP INT QUIT; echo >$UP; sleep 1000'",                 /* deaf */
	"setsid -f sh -c 'echo >$UP; kill -STOP $$; sleep 1000'",                               /* stopped */
	"setsid -f sh -c 'echo >$UP; while :; do setsid sh -c :; done'",                        /* never the same */
	"setsid -f sh -c 'echo >$UP; for i in 1 2 3 4 5 6 7 8; do setsid -f sleep 1000; done'", /* many */
	"trap '' TERM; sh -c 'echo >$UP; exec sleep 1000' &",                                   /* deaf in the group */
	"setsid -f sh -c 'echo >$UP; exec >/dev/null; sleep 1000 & exec sleep 1000'",           /* orphans of orphans */
};
#define N_ANIMALS (sizeof(zoo) / sizeof(*zoo))

static struct kit k;
static int alive;               /* the FIFO's end for reading */

static void up(void)
{
	kit_up(&k, NULL);
	ck_assert_int_eq(mkfifo(kit_path(&k, "alive"), 0600), 0);
	ck_assert_int_eq(mkfifo(kit_path(&k, "up"), 0600), 0);
	alive = open(kit_path(&k, "alive"), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	ck_assert_int_ge(alive, 0);
}

static void down(void)
{
	close(alive);
	kit_down(&k);
}

static int has_cages(void)
{
	if (k.welcome.held_by == RM_HELD_BY_CGROUP)
		return 1;
	puts("SKIP: there is no control group to write to");
	return 0;
}

/* The job lets an animal out, waits until it has its shape, and says so itself with a second line. */
static void start(uint64_t job, const char *animal, const char *then, int64_t timeout_ms)
{
	char shell[2048], env_up[128];

	snprintf(env_up, sizeof(env_up), "UP=%s", kit_path(&k, "up"));
	snprintf(shell, sizeof(shell), "exec 5>%s; %s\nread x <$UP; %s", kit_path(&k, "alive"), animal, then);
	kit_start(&k, &(struct job){.job = job, .shell = shell, .env = ARGV("PATH=/usr/bin:/bin", env_up), .timeout_ms = timeout_ms,
				    .grace_ms = 1});
}

static void expect_nothing_left(const char *animal)
{
	char c;
	ssize_t n = read(alive, &c, 1);

	ck_assert_msg(n == 0, "survived: %s", animal);
}

START_TEST(nothing_survives_the_end_of_its_job)
{
	struct rm_end e;

	if (!has_cages())
		return;
	start(1, zoo[_i], "exit 3", 0);
	e = kit_end(&k);
	expect_nothing_left(zoo[_i]);
	ck_assert_int_eq(e.how, RM_EXIT);
	ck_assert_int_eq(e.code, 3);
	ck_assert_int_eq(e.cause, RM_BY_ITSELF);
}
END_TEST

/* The job says that it is ready by ending its output's wait: it opens the second FIFO. */
static void start_lasting(const char *animal)
{
	char then[512];

	ck_assert_int_eq(mkfifo(kit_path(&k, "ready"), 0600), 0);
	snprintf(then, sizeof(then), "echo >%s; while :; do sleep 1000; done", kit_path(&k, "ready"));
	start(1, animal, then, 0);
	kit_fifo_wait(kit_path(&k, "ready"));
}

START_TEST(nothing_survives_a_kill)
{
	if (!has_cages())
		return;
	start_lasting(zoo[_i]);
	kit_kill(&k, 1, 1);
	ck_assert_int_eq(kit_end(&k).cause, RM_BY_KILL);
	expect_nothing_left(zoo[_i]);
}
END_TEST

START_TEST(nothing_survives_a_timeout)
{
	if (!has_cages())
		return;
	start(1, zoo[_i], "while :; do sleep 1000; done", 300);
	ck_assert_int_eq(kit_end(&k).cause, RM_BY_TIMEOUT);
	expect_nothing_left(zoo[_i]);
}
END_TEST

START_TEST(nothing_survives_until_the_next_runner_answers)
{
	if (!has_cages())
		return;
	start_lasting(zoo[_i]);
	kill(k.pid, SIGKILL);
	kit_wait_exit(&k);
	kit_spawn(&k, NULL);
	kit_hello(&k);
	expect_nothing_left(zoo[_i]);
	ck_assert_uint_eq(k.n_inventory, 0);
}
END_TEST

START_TEST(a_cage_serves_one_job_after_the_other)
{
	if (!has_cages())
		return;
	for (uint64_t job = 1; job <= 3 * N_ANIMALS; job++) {
		start(job, zoo[job % N_ANIMALS], "exit 0", 0);
		ck_assert_int_eq(kit_end(&k).code, 0);
		expect_nothing_left(zoo[job % N_ANIMALS]);
	}
}
END_TEST

/* Where the cages are, as the note says. */
static const char *cage_root(void)
{
	static char path[512];
	FILE *f = fopen(kit_path(&k, "socket.cgroup"), "re");

	ck_assert_ptr_nonnull(f);
	ck_assert_ptr_nonnull(fgets(path, sizeof(path), f));
	fclose(f);
	return path;
}

static void remove_cage(unsigned worker)
{
	char path[600];

	snprintf(path, sizeof(path), "%s/%u.0", cage_root(), worker);
	ck_assert(rmdir(path) == 0 || errno == ENOENT);
}

START_TEST(a_cage_that_somebody_removed_is_made_anew)
{
	if (!has_cages())
		return;
	for (uint64_t job = 1; job <= 8; job++) {
		ck_assert_int_eq(kit_run(&k, &(struct job){.job = job, .shell = "exit 4"}).code, 4);
		remove_cage(0);
		remove_cage(1);
	}
	start(9, zoo[1], "exit 0", 0);
	ck_assert_int_eq(kit_end(&k).code, 0);
	expect_nothing_left(zoo[1]);
}
END_TEST

START_TEST(a_runner_that_leaves_takes_its_cages_along)
{
	const char *path;

	if (!has_cages())
		return;
	path = cage_root();
	kit_run(&k, &(struct job){.job = 1, .argv = ARGV("true")});
	ck_assert_int_eq(access(path, F_OK), 0);
	kit_hang_up(&k);
	kill(k.pid, SIGTERM);
	ck_assert_int_eq(kit_wait_exit(&k), 0);
	ck_assert_int_ne(access(path, F_OK), 0);
	ck_assert_int_ne(access(kit_path(&k, "socket.cgroup"), F_OK), 0);
}
END_TEST

/* A note that somebody else wrote must not make us kill their group. */
START_TEST(a_note_that_names_no_group_of_ours_is_ignored)
{
	int fd;

	kill(k.pid, SIGKILL);
	kit_wait_exit(&k);
	fd = open(kit_path(&k, "socket.cgroup"), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	ck_assert_int_eq(write(fd, k.dir, strlen(k.dir)), (ssize_t)strlen(k.dir));
	close(fd);
	kit_spawn(&k, NULL);
	kit_hello(&k);
	ck_assert_int_eq(kit_run(&k, &(struct job){.job = 1, .shell = "exit 4"}).code, 4);
	ck_assert_int_eq(access(k.dir, F_OK), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("runner: zoo");
	TCase *tc = tcase_create("zoo");
	SRunner *r;
	int failed;

	tcase_set_timeout(tc, 120);
	tcase_add_checked_fixture(tc, up, down);
	tcase_add_loop_test(tc, nothing_survives_the_end_of_its_job, 0, (int)N_ANIMALS);
	tcase_add_loop_test(tc, nothing_survives_a_kill, 0, (int)N_ANIMALS);
	tcase_add_loop_test(tc, nothing_survives_a_timeout, 0, (int)N_ANIMALS);
	tcase_add_loop_test(tc, nothing_survives_until_the_next_runner_answers, 0, (int)N_ANIMALS);
	tcase_add_test(tc, a_cage_serves_one_job_after_the_other);
	tcase_add_test(tc, a_cage_that_somebody_removed_is_made_anew);
	tcase_add_test(tc, a_runner_that_leaves_takes_its_cages_along);
	tcase_add_test(tc, a_note_that_names_no_group_of_ours_is_ignored);
	suite_add_tcase(s, tc);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? 1 : 0;
}
