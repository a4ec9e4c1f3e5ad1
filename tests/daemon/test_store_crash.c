/* SPDX-License-Identifier: MIT */
/* What was acknowledged is there after a kill -9, at any instant; and what is there is a prefix of what was posted. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/store_priv.h"
#include "store_kit.h"
#include "../play.h"

#define ROUNDS 100
#define WINDOW 40

/* ---- the victim: posts operations without end, each with the event of the next number, and writes the number when done ------- */

static int ack_fd;
static uint64_t seq;

static struct store_op *next_op(void)
{
	uint64_t i = ++seq;
	uint32_t idx = (uint32_t)(i / 4);
	struct store_op *op;

	switch (i % 4) {
	case 0:
		op = kit_jobs_new(1, idx, 1);
		break;
	case 1:
		op = idx ? kit_arm(1, idx, 1) : store_op_new(ST_EVENT);
		break;
	case 2:
		op = idx ? kit_end(1, idx, 1) : store_op_new(ST_EVENT);
		break;
	default:
		op = kit_run_new((uint32_t)i, NULL, NULL);
		break;
	}
	kit_event(op, i, 1, idx, EV_STARTED);
	op->urgent = i % 3 == 0;
	return op;
}

static void post_next(void);

static void on_done(struct store_op *op)
{
	if (write(ack_fd, &op->event.seq, sizeof(op->event.seq)) != sizeof(op->event.seq))
		_exit(1);
	post_next();
}

static void post_next(void)
{
	struct store_op *op = next_op();

	op->done = on_done;
	store_post(kit_store, op);
}

static _Noreturn void victim(int fd, uint64_t from)
{
	ack_fd = fd;
	seq = from;
	kit_open();
	for (int i = 0; i < WINDOW; i++)
		post_next();
	event_base_dispatch(kit_base);
	_exit(1);
}

/* ---- the judge -------------------------------------------------------------------------------------------------- */

static uint64_t read_acks(int fd, size_t n, uint64_t from)
{
	uint64_t last = from, ack;

	while ((n == 0 || n-- > 1) && read(fd, &ack, sizeof(ack)) == sizeof(ack)) {
		ck_assert_uint_eq(ack, last + 1);
		last = ack;
	}
	return last;
}

/* Returns the last number acknowledged. */
static uint64_t run_and_kill(size_t acks, uint64_t from)
{
	int fds[2];
	pid_t pid;
	uint64_t last;

	ck_assert_int_eq(pipe(fds), 0);
	pid = fork();
	if (pid == 0)
		victim(fds[1], from);
	close(fds[1]);
	last = acks > 1 ? read_acks(fds[0], acks, from) : from;
	kill(pid, SIGKILL);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	last = read_acks(fds[0], 0, last);
	close(fds[0]);
	return last;
}

static size_t n_ended, n_jobs;

static void count_ended(struct store_op *op, const struct store_load_row *row)
{
	(void)op;
	n_jobs++;
	n_ended += row->job.state == JT_SOK;
}

/* The events that are there are 1..last without a gap, and the tables agree with the last number. */
static uint64_t recover(void)
{
	struct store_error err;
	struct store_heads heads;
	struct store_op *op = store_op_new(ST_LOAD_JOBS);
	struct store *st = store_open(kit_dir, &err);

	ck_assert_msg(st != NULL, "%s", err.text);
	ck_assert_int_eq(store_load_heads(st, &heads, &err), 0);
	op->run.run = 1;
	op->row = count_ended;
	n_ended = n_jobs = 0;
	ck_assert_int_eq(store_load_jobs(st, op, &err), 0);
	store_op_free(op);
	store_close(st);
	ck_assert_uint_eq(n_jobs, heads.last_seq / 4);
	ck_assert_uint_eq(n_ended, heads.last_seq >= 2 ? (heads.last_seq - 2) / 4 : 0);
	return heads.last_seq;
}

START_TEST(what_was_acknowledged_survives_kill_9)
{
	uint64_t last = 0;

	srandom(1);
	for (int i = 0; i < ROUNDS; i++) {
		uint64_t acknowledged = run_and_kill((size_t)random() % 300, last);
		uint64_t found = recover();

		ck_assert_uint_ge(found, acknowledged);
		ck_assert_uint_le(found, acknowledged + WINDOW);
		last = found;
	}
	ck_assert_int_eq(kit_sql("SELECT count(*) = max(seq) FROM events"), 1);
	ck_assert_uint_gt(last, ROUNDS);
}
END_TEST

/* Any other error than a lack of space: here a file that may not grow (EFBIG). */
START_TEST(a_write_that_fails_ends_the_process_and_acknowledges_nothing)
{
	int fds[2], status;
	pid_t pid;
	uint64_t last;

	ck_assert_int_eq(pipe(fds), 0);
	pid = fork();
	if (pid == 0) {
		signal(SIGXFSZ, SIG_IGN);
		ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &(struct rlimit){ 400000, 400000 }), 0);
		close(fds[0]);
		victim(fds[1], 0);
	}
	close(fds[1]);
	last = read_acks(fds[0], 0, 0);
	close(fds[0]);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == EXIT_FAILURE);
	ck_assert_uint_gt(last, 0);
	ck_assert_uint_ge(recover(), last);
}
END_TEST

static bool next_read_fails;

/* In place of libc's, for SQLite. */
ssize_t pread64(int fd, void *buf, size_t n, off64_t at)
{
	if (next_read_fails) {
		next_read_fails = false;
		errno = ENOMEM;
		return -1;
	}
	return syscall(SYS_pread64, fd, buf, n, at);
}

static void fail_next_read(struct store_op *op, const struct store_load_row *row)
{
	(void)op;
	if (row->idx > 0)
		return;
	sqlite3_db_release_memory(kit_store->db);       /* else there is nothing to be read */
	next_read_fails = true;
}

static void leave(struct store_op *op)
{
	(void)op;
	_exit(10);
}

static _Noreturn void read_between_two_runs(void)
{
	struct store_op *op = store_op_new(ST_LOAD_JOBS);
	struct store_error err;

	op->run.run = 1;
	op->row = fail_next_read;
	op->done = leave;
	kit_base = event_base_new();
	kit_store = store_open(kit_dir, &err);
	store_post(kit_store, kit_run_new(2, NULL, NULL));
	store_post(kit_store, op);
	store_post(kit_store, kit_run_new(3, NULL, NULL));
	if (store_start(kit_store, kit_base, &err) == 0)
		event_base_dispatch(kit_base);
	_exit(11);
}

/* SQLite takes back all of the transaction then, and what follows would be committed one by one. */
START_TEST(a_read_that_fails_takes_its_batch_with_it)
{
	int status;
	pid_t pid;

	kit_open();
	kit_run(kit_run_new(1, NULL, NULL));
	kit_run(kit_jobs_new(1, 0, 1000));
	kit_close();
	pid = fork();
	if (pid == 0)
		read_between_two_runs();
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, EXIT_FAILURE << 8);
	ck_assert_int_eq(kit_sql("SELECT count(*) FROM runs"), 1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("store_crash");
	TCase *tc = tcase_create("kill");

	tcase_add_checked_fixture(tc, kit_setup_folder, kit_teardown);
	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, what_was_acknowledged_survives_kill_9);
	tcase_add_test(tc, a_write_that_fails_ends_the_process_and_acknowledges_nothing);
	tcase_add_test(tc, a_read_that_fails_takes_its_batch_with_it);
	suite_add_tcase(suite, tc);
	return play_suite(suite);
}
