/* SPDX-License-Identifier: MIT */
/*
 * A zoo of process shapes: nothing of a job runs any more once its end has been told, or once the next runner answers. Every animal
 * holds a FIFO open for writing, so the FIFO is at its end exactly when none is left.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runner_kit.h"
#include "../play.h"

#define TIMEOUT_MS 1500

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
	"nohup setsid sh -c 'echo >$UP; exec sleep 1000' >/dev/null 2>&1 &",
	/* shapes of tests/daemon/animal.c */
	"$ANIMAL daemon", "$ANIMAL chain", "$ANIMAL vforked", "$ANIMAL own-group", "$ANIMAL others-group", "$ANIMAL traced", "$ANIMAL leaderless",
	"$ANIMAL leaderless-crowd", "$ANIMAL reaper", "$ANIMAL reforker", "$ANIMAL stopped-group", "$ANIMAL bomb", "$ANIMAL deaf", "$ANIMAL zombies", "$ANIMAL bare",
	"$ANIMAL bare-below", "$ANIMAL renamed", "$ANIMAL idle", "$ANIMAL pid-namespace", "$ANIMAL writer", "$ANIMAL spawner", "$ANIMAL nameless",
	"$ANIMAL output", "exec $ANIMAL sibling", "exec $ANIMAL siblings", "$ANIMAL execs",
};
#define N_ANIMALS (sizeof(zoo) / sizeof(*zoo))

/* What empties its environment is found by nobody once its runner is dead: only a control group holds it. */
static bool is_bare(const char *animal)
{
	return strstr(animal, " bare") != NULL;
}

static struct kit k;
static int alive;               /* the FIFO's end for reading */
static const char *const *options;

static void up(void)
{
	kit_up(&k, options);
	ck_assert_int_eq(mkfifo(kit_path(&k, "alive"), 0600), 0);
	ck_assert_int_eq(mkfifo(kit_path(&k, "up"), 0600), 0);
	alive = open(kit_path(&k, "alive"), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	ck_assert_int_ge(alive, 0);
}

static void up_in_cages(void)
{
	options = NULL;
	up();
}

static void up_without_cages(void)
{
	static const char *const none[] = {"--no-cgroups", NULL};

	options = none;
	up();
	ck_assert_uint_eq(k.welcome.held_by, RM_HELD_BY_SUBREAPER);
}

static void down(void)
{
	close(alive);
	kit_down(&k);
}

/* Without cages nothing is missing: that is what is tried. */
static int can_hold(void)
{
	if (options || k.welcome.held_by == RM_HELD_BY_CGROUP)
		return 1;
	puts("SKIP: there is no control group to write to");
	return 0;
}

static const char *animal_program(void)
{
	static char text[1100];
	const char *dir = getenv("JOBD_BUILDDIR");

	snprintf(text, sizeof(text), "ANIMAL=%s/tests/daemon/animal", dir ? dir : ".");
	return text;
}

/* The job lets an animal out, waits until it has its shape, and says so itself with a second line. */
static void start_with(uint64_t job, const char *animal, const char *up_fifo, const char *then, int64_t timeout_ms)
{
	char shell[2048], env_up[128], rest[1024];

	snprintf(env_up, sizeof(env_up), "UP=%s", up_fifo);
	snprintf(rest, sizeof(rest), "REST=read x <$UP; %s", then);
	snprintf(shell, sizeof(shell), "exec 5>%s; %s\neval \"$REST\"", kit_path(&k, "alive"), animal);
	kit_start(&k, &(struct job){.job = job, .shell = shell, .env = ARGV("PATH=/usr/bin:/bin", env_up, rest, animal_program()),
				    .timeout_ms = timeout_ms, .grace_ms = 1});
}

static void start(uint64_t job, const char *animal, const char *then)
{
	start_with(job, animal, kit_path(&k, "up"), then, 0);
}

static void expect_nothing_left(const char *animal)
{
	char c;
	ssize_t n = read(alive, &c, 1);

	ck_assert_msg(n == 0, "survived: %s", animal);
}

/* Not even as a zombie: no thread of the runner has a child. */
static void expect_no_children(const char *animal)
{
	char path[64];
	const struct dirent *de;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)k.pid);
	d = opendir(path);
	ck_assert_ptr_nonnull(d);
	while ((de = readdir(d))) {
		char children[sizeof(path) + sizeof(de->d_name) + 16], first[32] = "";
		FILE *f;

		if (de->d_name[0] == '.')
			continue;
		snprintf(children, sizeof(children), "%s/%s/children", path, de->d_name);
		f = fopen(children, "re");
		ck_assert_ptr_nonnull(f);
		ck_assert_msg(!fgets(first, sizeof(first), f), "not reaped: %s: process %s", animal, first);
		fclose(f);
	}
	closedir(d);
}

START_TEST(nothing_survives_the_end_of_its_job)
{
	struct rm_end e;

	if (!can_hold())
		return;
	start(1, zoo[_i], "exit 3");
	e = kit_end(&k);
	expect_nothing_left(zoo[_i]);
	expect_no_children(zoo[_i]);
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
	start(1, animal, then);
	kit_fifo_wait(kit_path(&k, "ready"));
}

START_TEST(nothing_survives_a_kill)
{
	if (!can_hold())
		return;
	start_lasting(zoo[_i]);
	kit_kill(&k, 1, 1);
	ck_assert_int_eq(kit_end(&k).cause, RM_BY_KILL);
	expect_nothing_left(zoo[_i]);
}
END_TEST

/* All at once, so that each has to be told from the others'; and the time is lost once. */
START_TEST(nothing_survives_a_timeout)
{
	char name[32];

	if (!can_hold())
		return;
	for (uint64_t i = 0; i < N_ANIMALS; i++) {
		snprintf(name, sizeof(name), "up%d", (int)i);
		ck_assert_int_eq(mkfifo(kit_path(&k, name), 0600), 0);
		start_with(i + 1, zoo[i], kit_path(&k, name), "while :; do sleep 1000; done", TIMEOUT_MS);
	}
	for (size_t i = 0; i < N_ANIMALS; i++) {
		struct rm_end e = kit_end(&k);

		ck_assert_msg(e.cause == RM_BY_TIMEOUT, "%s: how %d, code %d", zoo[e.job - 1], e.how, e.code);
	}
	expect_nothing_left("all");
}
END_TEST

START_TEST(nothing_survives_until_the_next_runner_answers)
{
	if (!can_hold())
		return;
	if (options && is_bare(zoo[_i]))
		return;
	start_lasting(zoo[_i]);
	kill(k.pid, SIGKILL);
	kit_wait_exit(&k);
	kit_spawn(&k, options);
	kit_hello(&k);
	expect_nothing_left(zoo[_i]);
	ck_assert_uint_eq(k.n_inventory, 0);
}
END_TEST

START_TEST(a_slot_serves_one_job_after_the_other)
{
	if (!can_hold())
		return;
	for (uint64_t job = 1; job <= 3 * N_ANIMALS; job++) {
		start(job, zoo[job % N_ANIMALS], "exit 0");
		ck_assert_int_eq(kit_end(&k).code, 0);
		expect_nothing_left(zoo[job % N_ANIMALS]);
	}
}
END_TEST

/* Without cages nobody catches up with them. */
START_TEST(nobody_forks_ahead_of_the_kill)
{
	if (!can_hold())
		return;
	for (uint64_t job = 1; job <= 5; job++) {
		start(job, "$ANIMAL leaderless-lines", "exit 0");
		ck_assert_int_eq(kit_end(&k).code, 0);
		expect_nothing_left("$ANIMAL leaderless-lines");
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
	if (!can_hold())
		return;
	for (uint64_t job = 1; job <= 8; job++) {
		ck_assert_int_eq(kit_run(&k, &(struct job){.job = job, .shell = "exit 4"}).code, 4);
		remove_cage(0);
		remove_cage(1);
	}
	start(9, zoo[1], "exit 0");
	ck_assert_int_eq(kit_end(&k).code, 0);
	expect_nothing_left(zoo[1]);
}
END_TEST

START_TEST(a_runner_that_leaves_takes_its_cages_along)
{
	const char *path;

	if (!can_hold())
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

static TCase *zoo_case(const char *name, void (*fixture)(void))
{
	TCase *tc = tcase_create(name);
	int all = (int)N_ANIMALS;

	tcase_set_timeout(tc, 120);
	tcase_add_checked_fixture(tc, fixture, down);
	tcase_add_loop_test(tc, nothing_survives_the_end_of_its_job, 0, all);
	tcase_add_loop_test(tc, nothing_survives_a_kill, 0, all);
	tcase_add_test(tc, nothing_survives_a_timeout);
	tcase_add_loop_test(tc, nothing_survives_until_the_next_runner_answers, 0, all);
	tcase_add_test(tc, a_slot_serves_one_job_after_the_other);
	return tc;
}

static TCase *cages(void)
{
	TCase *tc = tcase_create("cages");

	tcase_add_checked_fixture(tc, up_in_cages, down);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, nobody_forks_ahead_of_the_kill);
	tcase_add_test(tc, a_cage_that_somebody_removed_is_made_anew);
	tcase_add_test(tc, a_runner_that_leaves_takes_its_cages_along);
	tcase_add_test(tc, a_note_that_names_no_group_of_ours_is_ignored);
	return tc;
}

static int run_once(void)
{
	Suite *s = suite_create("runner: zoo");

	suite_add_tcase(s, zoo_case("with control groups", up_in_cages));
	suite_add_tcase(s, zoo_case("without control groups", up_without_cages));
	suite_add_tcase(s, cages());
	return play_suite(s);
}

int main(void)
{
	int rounds = getenv("JOBD_SOAK") ? 100 : 1, failed = 0;

	while (rounds-- && !failed)
		failed = run_once();
	return failed ? 1 : 0;
}
