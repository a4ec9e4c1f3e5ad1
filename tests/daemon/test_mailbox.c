/* SPDX-License-Identifier: MIT */
/* Mailboxes: mail comes in order, and what waits for it is woken, whatever the eventfd says. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include "mailbox.h"
#include "../play.h"

static struct mailbox *mb;

/* In place of libc's: the next n_failing writes to the mailbox's eventfd fail. */
static int n_failing, failing_with, n_failed;

ssize_t write(int fd, const void *buf, size_t n)
{
	if (mb && fd == mailbox_fd(mb) && n_failing > 0) {
		n_failing--;
		n_failed++;
		errno = failing_with;
		return -1;
	}
	return syscall(SYS_write, fd, buf, n);
}

static void fail_writes(int n, int error)
{
	n_failing = n;
	n_failed = 0;
	failing_with = error;
}

static void set_up(void)
{
	mb = mailbox_new(0);
	ck_assert_ptr_nonnull(mb);
	fail_writes(0, 0);
}

static void tear_down(void)
{
	mailbox_take(mb);
	mailbox_free(mb);
	mb = NULL;
}

static bool is_woken(void)
{
	struct pollfd p = {.fd = mailbox_fd(mb), .events = POLLIN};

	return poll(&p, 1, 0) == 1;
}

START_TEST(mail_comes_in_order_and_its_wake_up_is_cleared)
{
	struct mail a, b;

	ck_assert(!is_woken());
	ck_assert(mailbox_post(mb, &a));
	ck_assert(mailbox_post(mb, &b));
	ck_assert(is_woken());
	ck_assert_ptr_eq(mailbox_take(mb), &a);
	ck_assert_ptr_eq(a.next, &b);
	ck_assert_ptr_null(b.next);
	ck_assert(!is_woken());
	ck_assert_ptr_null(mailbox_take(mb));
}
END_TEST

static const int passing[] = {EINTR, EAGAIN};

START_TEST(a_wake_up_that_does_not_get_through_is_given_again)
{
	struct mail m;

	fail_writes(1000, passing[_i]);
	ck_assert(mailbox_post(mb, &m));
	ck_assert_int_eq(n_failed, 1000);
	ck_assert(is_woken());
}
END_TEST

/* Else the receiver would sleep on, and the mail behind, which finds the box not empty, would not wake it either. */
START_TEST(a_wake_up_that_can_not_be_given_ends_the_process)
{
	struct mail m;

	fail_writes(1, EIO);
	mailbox_post(mb, &m);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("mailbox");
	TCase *tc = tcase_create("mailbox");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, mail_comes_in_order_and_its_wake_up_is_cleared);
	tcase_add_loop_test(tc, a_wake_up_that_does_not_get_through_is_given_again, 0, sizeof(passing) / sizeof(*passing));
	tcase_add_test_raise_signal(tc, a_wake_up_that_can_not_be_given_ends_the_process, SIGABRT);
	suite_add_tcase(s, tc);
	return s;
}

int main(void)
{
	return play_suite(suite());
}
