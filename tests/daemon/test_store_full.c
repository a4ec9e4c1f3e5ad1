/* SPDX-License-Identifier: MIT */
/* A full disk: what is recorded stays, the rest waits, and goes on by itself when there is space. On a small tmpfs of its own, in
 * a mount namespace of its own, so that nothing is left behind. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "store_kit.h"
#include "../play.h"

#define SIZE "size=64m"
static char filler[PATH_MAX + 16];

static bool write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		close(fd);
	return ok;
}

/* Somebody who is not root mounts as the root of a user namespace. */
static bool become_own_root(void)
{
	unsigned uid = getuid(), gid = getgid();
	char users[32], groups[32];

	snprintf(users, sizeof(users), "0 %u 1", uid);
	snprintf(groups, sizeof(groups), "0 %u 1", gid);
	return unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0 && write_text("/proc/self/setgroups", "deny") &&
	       write_text("/proc/self/uid_map", users) && write_text("/proc/self/gid_map", groups);
}

/* false: this machine does not let us; errno says why */
static bool own_mounts(void)
{
	if (unshare(CLONE_NEWNS) && !become_own_root())
		return false;
	return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

static void setup_small(void)
{
	kit_setup_folder();
	ck_assert_int_eq(mount("none", kit_dir, "tmpfs", 0, SIZE), 0);
	snprintf(filler, sizeof(filler), "%s/filler", kit_dir);
}

static void teardown_small(void)
{
	kit_close();
	umount2(kit_dir, MNT_DETACH);
	kit_teardown();
}

/* Leaves so many KB. */
static void fill_but(int left_kb)
{
	char block[1024] = "x";
	struct statvfs sv;
	int fd = open(filler, O_WRONLY | O_CREAT | O_APPEND, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(statvfs(kit_dir, &sv), 0);
	for (long kb = (long)(sv.f_bavail * sv.f_bsize / 1024) - left_kb; kb > 0; kb--) {
		if (write(fd, block, sizeof(block)) < 0)
			break;
	}
	close(fd);
}

static void make_space(void)
{
	ck_assert_int_eq(unlink(filler), 0);
}

/* ---- the tests -------------------------------------------------------------------------------------------------- */

static bool written;

static void on_written(struct store_op *op)
{
	(void)op;
	written = true;
}

#define BIG 200000               /* jobs: more than the ballast holds */

static void post_big(uint32_t run)
{
	struct store_op *op = kit_jobs_new(run, 1, BIG);

	written = false;
	op->urgent = true;
	op->done = on_written;
	store_post(kit_store, op);
}

/* A query that comes back before what was posted ahead of it: so that had no space. */
static void assert_stuck(void)
{
	struct store_op *op = kit_get_job(JOB_ID(1, 0));

	ck_assert(!written);
	ck_assert_str_eq(op->error, "");
	ck_assert_ptr_nonnull(op->rows);
	store_op_free(op);
	ck_assert_ptr_nonnull(store_trouble(kit_store));
	ck_assert_ptr_nonnull(strstr(store_trouble(kit_store), "disk full: "));
}

static void wait_written(void)
{
	while (!written)
		event_base_loop(kit_base, EVLOOP_ONCE);
}

START_TEST(it_waits_for_space_and_goes_on)
{
	kit_open();
	ck_assert_ptr_null(store_trouble(kit_store));
	kit_run(kit_jobs_new(1, 0, 1));
	fill_but(40);
	post_big(1);
	assert_stuck();
	make_space();
	wait_written();
	kit_close();
	ck_assert_int_eq(kit_sql("SELECT count(*) FROM jobs"), BIG + 1);
}
END_TEST

START_TEST(the_ballast_makes_room_for_ends)
{
	kit_open();
	kit_run(kit_jobs_new(1, 0, 50));
	ck_assert(store_has_room(kit_store, 1000));
	fill_but(0);
	ck_assert(!store_has_room(kit_store, 1000));
	for (uint32_t i = 0; i < 50; i++)
		kit_run(kit_end(1, i, 1));
	ck_assert_ptr_nonnull(store_trouble(kit_store));
	ck_assert(!store_is_stuck(kit_store));
	kit_close();
	ck_assert_int_eq(kit_sql("SELECT count(*) FROM states"), 50);
}
END_TEST

static long free_kb(void)
{
	struct statvfs sv;

	ck_assert_int_eq(statvfs(kit_dir, &sv), 0);
	return (long)(sv.f_bavail * sv.f_bsize / 1024);
}

/* The log is emptied before there is no room left to empty it into. */
START_TEST(a_small_disk_is_not_eaten_up_by_the_log)
{
	kit_open();
	kit_run(kit_jobs_new(1, 0, 1));
	for (uint32_t i = 0; i < 3000; i++)
		kit_run(kit_end(1, 0, i + 1));
	ck_assert_ptr_null(store_trouble(kit_store));
	ck_assert_int_ge(free_kb(), 16384);
}
END_TEST

/* The tree of a run is not built from what may be stale: loads keep their place. */
START_TEST(what_was_posted_behind_stays_in_order)
{
	kit_open();
	kit_run(kit_jobs_new(1, 0, 1));
	fill_but(40);
	post_big(1);
	for (uint32_t i = 0; i < 1000; i++)
		kit_post(kit_end(1, i, 1));
	assert_stuck();
	make_space();
	kit_wait_all();
	ck_assert(written);
	kit_close();
	ck_assert_int_eq(kit_sql("SELECT count(*) FROM states"), 1000);
}
END_TEST

static bool asked, found;

static void on_asked(struct store_op *op)
{
	asked = true;
	found = op->rows != NULL;
}

/* What is posted from now on stands in one batch, for the thread begins when all is there: start_asked. */
static void open_filled(void)
{
	struct store_error err;

	asked = found = false;
	kit_base = event_base_new();
	kit_store = store_open(kit_dir, &err);
	ck_assert_msg(kit_store != NULL, "%s", err.text);
	fill_but(40);
}

/* A query, and behind it more than there is room for; until the query is answered. */
static void start_asked(void)
{
	struct store_op *ask = store_op_new(ST_GET_JOB);
	struct store_error err;

	ask->id = JOB_ID(1, 0);
	ask->done = on_asked;
	store_post(kit_store, ask);
	post_big(2);
	ck_assert_msg(store_start(kit_store, kit_base, &err) == 0, "%s", err.text);
	while (!asked)
		event_base_loop(kit_base, EVLOOP_ONCE);
}

START_TEST(a_query_is_not_answered_from_what_was_rolled_back)
{
	open_filled();
	store_post(kit_store, kit_jobs_new(1, 0, 1));
	start_asked();
	ck_assert(!written);
	ck_assert(!found);
	make_space();
	wait_written();
}
END_TEST

static size_t n_items;          /* that were loaded; SIZE_MAX: not yet */

static void on_items(struct store_op *op)
{
	n_items = op->n_items;
}

/* What is in hand is known only with all that was posted before: a map would put an item a second time. */
START_TEST(the_items_of_a_map_are_waited_for)
{
	struct store_op *item = kit_jobs_new(1, 0, 1), *load = store_op_new(ST_LOAD_ITEMS);

	n_items = SIZE_MAX;
	open_filled();
	item->kind = ST_ITEM_NEW;
	item->item = (struct store_item){ .run = 1, .tag = 1, .id = JOB_ID(1, 0) };
	store_post(kit_store, item);
	load->run.run = 1;
	load->done = on_items;
	store_post(kit_store, load);
	start_asked();
	ck_assert(!written && n_items == SIZE_MAX);
	make_space();
	wait_written();
	while (n_items == SIZE_MAX)
		event_base_loop(kit_base, EVLOOP_ONCE);
	ck_assert_uint_eq(n_items, 1);
}
END_TEST

START_TEST(a_crash_while_it_is_full_loses_nothing_acknowledged)
{
	struct store_error err;

	kit_open();
	kit_run(kit_jobs_new(1, 0, 1));
	fill_but(40);
	post_big(1);
	assert_stuck();
	kit_close();            /* gives up what has no space */
	ck_assert(!written);
	kit_store = store_open(kit_dir, &err);
	ck_assert_msg(kit_store != NULL, "%s", err.text);
	store_close(kit_store);
	kit_store = NULL;
	make_space();
	ck_assert_int_eq(kit_sql("SELECT count(*) FROM jobs"), 1);
}
END_TEST

static void fill_and_free(uint32_t run)
{
	kit_run(kit_run_new(run, NULL, NULL));
	fill_but((int)(random() % 60));
	for (uint32_t i = 1; i <= 300; i++)
		kit_post(kit_end(run, i, 1));
	post_big(run);
	assert_stuck();
	make_space();
	kit_wait_all();
	wait_written();
}

START_TEST(again_and_again)
{
	srandom(3);
	kit_open();
	kit_run(kit_jobs_new(1, 0, 1));
	for (uint32_t run = 2; run <= 5; run++)
		fill_and_free(run);
	kit_close();
	ck_assert_int_eq(kit_sql("SELECT count(*) FROM pragma_integrity_check WHERE integrity_check = 'ok'"), 1);
}
END_TEST

START_TEST(a_store_that_can_not_be_made_is_made_later)
{
	struct store_error err = { "" };

	fill_but(8);
	ck_assert_ptr_null(store_open(kit_dir, &err));
	ck_assert_msg(strstr(err.text, "full") != NULL, "%s", err.text);
	make_space();
	kit_open();
	kit_run(kit_jobs_new(1, 0, 1));
}
END_TEST

static TCase *full(void)
{
	TCase *tc = tcase_create("full");

	tcase_add_checked_fixture(tc, setup_small, teardown_small);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, it_waits_for_space_and_goes_on);
	tcase_add_test(tc, the_ballast_makes_room_for_ends);
	tcase_add_test(tc, a_small_disk_is_not_eaten_up_by_the_log);
	tcase_add_test(tc, what_was_posted_behind_stays_in_order);
	tcase_add_test(tc, a_query_is_not_answered_from_what_was_rolled_back);
	tcase_add_test(tc, the_items_of_a_map_are_waited_for);
	tcase_add_test(tc, a_crash_while_it_is_full_loses_nothing_acknowledged);
	tcase_add_test(tc, again_and_again);
	tcase_add_test(tc, a_store_that_can_not_be_made_is_made_later);
	return tc;
}

int main(void)
{
	Suite *suite;

	if (!own_mounts()) {
		printf("SKIP: a small file system can not be mounted: %s\n", strerror(errno));
		return 77;
	}
	suite = suite_create("store_full");
	suite_add_tcase(suite, full());
	return play_suite(suite);
}
