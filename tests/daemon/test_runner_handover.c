/* SPDX-License-Identifier: MIT */
/* The hand-over rules on the runner's side: what it keeps, repeats, drops and refuses when jobds come and go. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runner/listen.h"
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

/* A job that lasts until release(): it reads from a FIFO. */
static void start_held(uint64_t job)
{
	const char *fifo = kit_path(&k, "hold");

	if (access(fifo, F_OK))
		ck_assert_int_eq(mkfifo(fifo, 0600), 0);
	kit_start(&k, &(struct job){.job = job, .argv = ARGV("cat", fifo)});
	kit_started(&k);
}

static void release(void)
{
	close(open(kit_path(&k, "hold"), O_WRONLY | O_CLOEXEC));
}

/* Makes the test wait until the job has ended without asking the runner: the job holds the FIFO open. */
static void start_watched(uint64_t job, const char *fifo, const char *shell)
{
	char text[512];

	ck_assert_int_eq(mkfifo(fifo, 0600), 0);
	snprintf(text, sizeof(text), "exec 5>%s; %s", fifo, shell);
	kit_start(&k, &(struct job){.job = job, .shell = text});
}

START_TEST(a_repeated_start_is_dropped)
{
	struct rm_end e;

	start_held(1);
	kit_start(&k, &(struct job){.job = 1, .shell = "echo again"});
	release();
	e = kit_end(&k);
	kit_start(&k, &(struct job){.job = 1, .shell = "echo and again"});
	kit_ack(&k, &e);
	kit_hello(&k);
	ck_assert_uint_eq(k.n_inventory, 0);
	ck_assert_str_eq(kit_output(&k, 1, "out"), "");
}
END_TEST

START_TEST(another_attempt_of_the_same_job_is_another_one)
{
	struct rm_end e = kit_run(&k, &(struct job){.job = 1, .attempt = 1, .shell = "exit 1"});

	ck_assert_uint_eq(e.attempt, 1);
	e = kit_run(&k, &(struct job){.job = 1, .attempt = 2, .shell = "exit 2"});
	ck_assert_uint_eq(e.attempt, 2);
	ck_assert_int_eq(e.code, 2);
}
END_TEST

START_TEST(the_inventory_tells_what_runs_and_what_has_ended)
{
	struct rm_end ended, *inv;
	uint8_t id[16];

	memcpy(id, k.welcome.runner_id, sizeof(id));
	kit_start(&k, &(struct job){.job = 1, .shell = "exit 9"});
	ended = kit_end(&k);
	start_held(2);
	kit_hello(&k);
	ck_assert_mem_eq(k.welcome.runner_id, id, sizeof(id));
	ck_assert_uint_eq(k.n_inventory, 2);
	inv = k.inventory[0].job == 1 ? k.inventory : k.inventory + 1;
	ck_assert_mem_eq(inv, &ended, sizeof(ended));
	inv = k.inventory[0].job == 2 ? k.inventory : k.inventory + 1;
	ck_assert_int_eq(inv->how, RM_RUNNING);
	ck_assert_int_eq(kill(inv->pid, 0), 0);
	release();
	ck_assert_uint_eq(kit_end(&k).job, 2);
}
END_TEST

START_TEST(an_end_is_repeated_until_it_is_acknowledged)
{
	struct rm_end e;

	kit_start(&k, &(struct job){.job = 5, .shell = "exit 6"});
	e = kit_end(&k);
	for (int i = 0; i < 3; i++) {
		kit_hello(&k);
		ck_assert_uint_eq(k.n_inventory, 1);
		ck_assert_int_eq(k.inventory[0].code, 6);
	}
	kit_ack(&k, &e);
	kit_hello(&k);
	ck_assert_uint_eq(k.n_inventory, 0);
}
END_TEST

START_TEST(ends_are_kept_while_no_jobd_is_there)
{
	const char *fifo = kit_path(&k, "alive");
	struct rm_end e;

	start_watched(1, fifo, "exit 3");
	kit_hang_up(&k);
	kit_fifo_wait(fifo);
	kit_hello(&k);
	ck_assert_uint_eq(k.n_inventory, 1);
	e = k.inventory[0];
	if (e.how == RM_RUNNING)
		e = kit_end(&k);
	ck_assert_int_eq(e.how, RM_EXIT);
	ck_assert_int_eq(e.code, 3);
}
END_TEST

/* A jobd that starts a job and dies by SIGKILL. */
static void __attribute__((noreturn)) jobd_that_dies(void)
{
	kit_hello(&k);
	start_held(1);
	kill(getpid(), SIGKILL);
	_exit(1);
}

START_TEST(jobs_run_on_when_jobd_is_killed)
{
	int status;
	pid_t pid = fork();

	if (!pid)
		jobd_that_dies();
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFSIGNALED(status));
	kit_hello(&k);
	ck_assert_uint_eq(k.n_inventory, 1);
	ck_assert_int_eq(k.inventory[0].how, RM_RUNNING);
	release();
	ck_assert_int_eq(kit_end(&k).code, 0);
}
END_TEST

START_TEST(a_newer_hello_ends_the_older_connection)
{
	struct rm_msg ping = {.type = RM_PING};
	int older = dup(k.sock);

	kit_hello(&k);
	kit_expect_eof(older);
	close(older);
	kit_send(&k, &ping);
	ck_assert_int_eq(kit_next(&k).type, RM_PONG);
}
END_TEST

START_TEST(a_connection_that_says_nothing_disturbs_nobody)
{
	struct rm_msg ping = {.type = RM_PING};
	int silent[40];

	for (int i = 0; i < 40; i++)
		silent[i] = kit_connect(&k);
	kit_send(&k, &ping);
	ck_assert_int_eq(kit_next(&k).type, RM_PONG);
	kit_expect_eof(silent[0]);      /* the oldest made room */
	for (int i = 0; i < 40; i++)
		close(silent[i]);
}
END_TEST

START_TEST(malformed_packets_cost_the_connection_and_nothing_else)
{
	static const char *const packets[] = {"x", "\1\0\0\0\377\377\377\377", "\5\0\0\0\0\0\0\0", "\12\0\0\0\0\0\0\0junk", "\143\0\0\0\0\0\0\0"};
	static const size_t lens[] = {1, 8, 8, 12, 8};

	start_held(1);
	for (size_t i = 0; i < sizeof(lens) / sizeof(*lens); i++) {
		ck_assert_int_eq(send(k.sock, packets[i], lens[i], 0), (ssize_t)lens[i]);
		kit_expect_eof(k.sock);
		kit_hello(&k);
		ck_assert_uint_eq(k.n_inventory, 1);
	}
	release();
	ck_assert_int_eq(kit_end(&k).code, 0);
}
END_TEST

START_TEST(messages_before_hello_and_those_of_a_runner_are_refused)
{
	static struct rm_packet p;
	struct rm_msg ping = {.type = RM_PING}, pong = {.type = RM_PONG}, hello = {.type = RM_HELLO, .u.hello.version = 99};
	int fd = kit_connect(&k);

	rm_put(&p, &ping);
	rm_send(fd, &p);
	kit_expect_eof(fd);
	close(fd);
	fd = kit_connect(&k);
	rm_put(&p, &hello);
	rm_send(fd, &p);
	kit_expect_eof(fd);
	close(fd);
	kit_send(&k, &pong);
	kit_expect_eof(k.sock);
	kit_hello(&k);
}
END_TEST

START_TEST(unknown_kills_and_acknowledgements_are_ignored)
{
	struct rm_end unknown = {.job = 99, .attempt = 1};
	struct rm_msg ping = {.type = RM_PING};

	kit_ack(&k, &unknown);
	kit_kill(&k, 99, 0);
	start_held(1);
	kit_ack(&k, &(struct rm_end){.job = 1, .attempt = 1});  /* it has not ended: nothing to acknowledge */
	kit_send(&k, &ping);
	ck_assert_int_eq(kit_next(&k).type, RM_PONG);           /* read before it ends */
	release();
	ck_assert_uint_eq(kit_end(&k).job, 1);
}
END_TEST

static int connect_as(uid_t uid)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	char c;
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", k.socket);
	if (setresuid(uid, uid, uid) || connect(fd, (struct sockaddr *)&addr, sizeof(addr)))
		return 3;
	return recv(fd, &c, 1, 0) == 0 ? 0 : 4;
}

START_TEST(users_who_are_not_allowed_are_refused_whatever_the_mode_of_the_socket)
{
	struct rm_msg ping = {.type = RM_PING};
	int status;
	pid_t pid;

	if (geteuid()) {
		puts("SKIP: becoming another user needs root");
		return;
	}
	chmod(k.dir, 0755);
	chmod(k.socket, 0666);
	pid = fork();
	if (!pid)
		_exit(connect_as(65533));
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	kit_send(&k, &ping);
	ck_assert_int_eq(kit_next(&k).type, RM_PONG);
}
END_TEST

START_TEST(a_second_runner_at_one_path_leaves_in_peace)
{
	const char *dir = getenv("JOBD_BUILDDIR");
	char program[1024];
	int status;
	pid_t pid;

	snprintf(program, sizeof(program), "%s/jobd-runner", dir ? dir : ".");
	pid = fork();
	if (!pid) {
		execl(program, program, "--socket", k.socket, "--state", k.dir, "--log-level", "error", (char *)NULL);
		_exit(127);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	kit_hello(&k);
}
END_TEST

START_TEST(a_runner_that_was_killed_leaves_its_path_to_the_next)
{
	uint8_t id[16];

	memcpy(id, k.welcome.runner_id, sizeof(id));
	kill(k.pid, SIGKILL);
	kit_wait_exit(&k);
	kit_spawn(&k, NULL);
	kit_hello(&k);
	ck_assert_mem_ne(k.welcome.runner_id, id, sizeof(id));
}
END_TEST

/* Nobody could tell how they end, and the next runner may be asked to run them again. */
/* In place of a runner: takes the path, begins to spawn a job - a process with copies of all descriptors - and dies. */
static _Noreturn void die_while_spawning(const char *path, int until)
{
	struct listener l;
	char c;

	if (listen_at(path, NO_UID, &l))
		_exit(1);
	if (fork())
		_exit(0);
	_exit(read(until, &c, 1) != 0);
}

START_TEST(a_job_that_is_being_spawned_does_not_keep_the_path_of_a_dead_runner)
{
	const char *path = kit_path(&k, "another");
	struct listener l;
	int until[2], status;
	pid_t pid;

	ck_assert_int_eq(pipe(until), 0);
	pid = fork();
	if (!pid) {
		close(until[1]);
		die_while_spawning(path, until[0]);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	ck_assert_int_eq(listen_at(path, NO_UID, &l), 0);
	listen_close(&l);
	close(until[0]);
	close(until[1]);
}
END_TEST

START_TEST(jobs_die_with_a_runner_that_is_killed)
{
	const char *fifo = kit_path(&k, "alive");
	char shell[512], c;
	int fd;

	ck_assert_int_eq(mkfifo(fifo, 0600), 0);
	snprintf(shell, sizeof(shell), "exec 5>%s; exec sleep 1000", fifo);
	kit_start(&k, &(struct job){.job = 1, .shell = shell});
	fd = open(fifo, O_RDONLY | O_CLOEXEC);  /* returns once the job has it open too */
	kill(k.pid, SIGKILL);
	kit_wait_exit(&k);
	ck_assert_int_eq(read(fd, &c, 1), 0);
	close(fd);
}
END_TEST

/* kill -9 of the runner, and the next one. */
static void replace_runner(void)
{
	kill(k.pid, SIGKILL);
	kit_wait_exit(&k);
	kit_spawn(&k, NULL);
	kit_hello(&k);
}

static const struct rm_end *in_inventory(uint64_t job)
{
	for (size_t i = 0; i < k.n_inventory; i++)
		if (k.inventory[i].job == job)
			return &k.inventory[i];
	return NULL;
}

START_TEST(an_end_that_was_told_survives_the_runner_until_it_is_acknowledged)
{
	struct rm_end kept;

	kit_run(&k, &(struct job){.job = 1, .shell = "exit 1"});
	kit_start(&k, &(struct job){.job = 2, .shell = "exit 9"});
	kept = kit_end(&k);
	for (int i = 0; i < 3; i++) {
		replace_runner();
		ck_assert_uint_eq(k.n_inventory, 1);
		ck_assert_mem_eq(k.inventory, &kept, sizeof(kept));
	}
	kit_ack(&k, &kept);
	kit_hello(&k);
	replace_runner();
	ck_assert_uint_eq(k.n_inventory, 0);
}
END_TEST

START_TEST(every_end_that_was_told_survives_a_runner_that_is_killed_while_others_end)
{
	enum { N = 300, HEARD = 120 };
	static struct rm_end heard[HEARD];

	for (uint64_t job = 1; job <= N; job++)
		kit_start(&k, &(struct job){.job = job, .shell = job % 2 ? "exit 5" : "kill -9 $$"});
	for (int i = 0; i < HEARD; i++)
		heard[i] = kit_end(&k);
	replace_runner();
	ck_assert_uint_ge(k.n_inventory, HEARD);
	for (int i = 0; i < HEARD; i++) {
		const struct rm_end *e = in_inventory(heard[i].job);

		ck_assert_msg(e, "job %d was told and is forgotten", (int)heard[i].job);
		ck_assert_mem_eq(e, &heard[i], sizeof(*e));
	}
}
END_TEST

START_TEST(an_end_of_an_earlier_runner_is_no_reason_to_run_it_again)
{
	kit_start(&k, &(struct job){.job = 1, .shell = "echo once"});
	kit_end(&k);
	replace_runner();
	kit_start(&k, &(struct job){.job = 1, .shell = "echo twice"});
	kit_run(&k, &(struct job){.job = 2, .shell = "exit 0"});
	ck_assert_str_eq(kit_output(&k, 1, "out"), "once\n");
}
END_TEST

/* The file of the ends: opened between two runners. */
static int kept_file(void)
{
	int fd;

	kill(k.pid, SIGKILL);
	kit_wait_exit(&k);
	fd = open(kit_path(&k, "socket.ends"), O_RDWR | O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	return fd;
}

START_TEST(half_an_end_is_no_end)
{
	const uint64_t torn = UINT64_C(0x123456789abcdef0);
	struct rm_end whole;
	char bytes[4096], *at;
	int fd;

	kit_start(&k, &(struct job){.job = torn, .shell = "exit 1"});
	kit_end(&k);
	kit_start(&k, &(struct job){.job = 2, .shell = "exit 2"});
	whole = kit_end(&k);
	fd = kept_file();
	ck_assert_int_eq(pread(fd, bytes, sizeof(bytes), 0), (ssize_t)sizeof(bytes));
	at = memmem(bytes, sizeof(bytes), &torn, sizeof(torn));
	ck_assert_ptr_nonnull(at);
	ck_assert_int_eq(pwrite(fd, "\x13", 1, at - bytes), 1);
	close(fd);
	kit_spawn(&k, NULL);
	kit_hello(&k);
	ck_assert_uint_eq(k.n_inventory, 1);
	ck_assert_mem_eq(k.inventory, &whole, sizeof(whole));
}
END_TEST

START_TEST(a_file_of_ends_that_is_none_is_made_anew)
{
	char rubbish[5000];
	int fd;

	memset(rubbish, 0x5a, sizeof(rubbish));
	fd = kept_file();
	ck_assert_int_eq(ftruncate(fd, 0), 0);
	ck_assert_int_eq(write(fd, rubbish, sizeof(rubbish)), (ssize_t)sizeof(rubbish));
	close(fd);
	kit_spawn(&k, NULL);
	kit_hello(&k);
	ck_assert_uint_eq(k.n_inventory, 0);
	kit_start(&k, &(struct job){.job = 1, .shell = "exit 4"});
	kit_end(&k);
	replace_runner();
	ck_assert_uint_eq(k.n_inventory, 1);
	ck_assert_int_eq(k.inventory[0].code, 4);
}
END_TEST

START_TEST(a_runner_without_a_file_for_its_ends_works_all_the_same)
{
	close(kept_file());
	ck_assert_int_eq(unlink(kit_path(&k, "socket.ends")), 0);
	ck_assert_int_eq(mkdir(kit_path(&k, "socket.ends"), 0700), 0);
	kit_spawn(&k, NULL);
	kit_hello(&k);
	ck_assert_int_eq(kit_run(&k, &(struct job){.job = 1, .shell = "exit 4"}).code, 4);
}
END_TEST

START_TEST(a_runner_that_leaves_with_nothing_to_tell_leaves_no_file)
{
	struct rm_msg quit = {.type = RM_QUIT};

	kit_run(&k, &(struct job){.job = 1, .shell = "exit 4"});
	kit_send(&k, &quit);
	ck_assert_int_eq(kit_wait_exit(&k), 0);
	ck_assert_int_ne(access(kit_path(&k, "socket.ends"), F_OK), 0);
}
END_TEST

START_TEST(a_user_can_be_allowed_by_name)
{
	int status;
	pid_t pid;

	if (geteuid()) {
		puts("SKIP: becoming another user needs root");
		return;
	}
	kit_down(&k);
	kit_up(&k, ARGV("--allow-user", "nobody"));
	chmod(k.dir, 0755);
	pid = fork();
	if (!pid) {
		if (setresuid(65534, 65534, 65534))
			_exit(1);
		kit_hello(&k);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
}
END_TEST

START_TEST(an_idle_runner_leaves_only_when_nobody_needs_it)
{
	struct rm_end e;
	int status;

	kit_down(&k);
	kit_up(&k, ARGV("--idle-exit", "1"));
	kit_start(&k, &(struct job){.job = 1, .argv = ARGV("true")});
	e = kit_end(&k);
	kit_ack(&k, &e);
	kit_hang_up(&k);
	status = kit_wait_exit(&k);
	ck_assert(WIFEXITED(status) && !WEXITSTATUS(status));
	ck_assert_int_ne(access(k.socket, F_OK), 0);
}
END_TEST

START_TEST(quit_waits_for_what_runs_and_for_its_acknowledgement)
{
	struct rm_msg quit = {.type = RM_QUIT};
	struct rm_end e;

	start_held(1);
	kit_send(&k, &quit);
	release();
	e = kit_end(&k);
	kit_ack(&k, &e);
	ck_assert_int_eq(kit_wait_exit(&k), 0);
}
END_TEST

START_TEST(term_ends_all_jobs_and_reports_before_it_leaves)
{
	struct rm_end e;

	start_held(1);
	kill(k.pid, SIGTERM);
	e = kit_end(&k);
	ck_assert_int_eq(e.how, RM_SIGNAL);
	ck_assert_int_eq(e.cause, RM_BY_KILL);
	kit_ack(&k, &e);
	ck_assert_int_eq(kit_wait_exit(&k), 0);
}
END_TEST

/* A hard limit of descriptors leaves room for few jobs; what comes beyond was not tried. */
START_TEST(more_than_the_capacity_are_refused_as_no_attempt)
{
	struct rlimit old, small;
	int n_refused = 0;

	kit_down(&k);
	getrlimit(RLIMIT_NOFILE, &old);
	small = (struct rlimit){.rlim_cur = 120, .rlim_max = old.rlim_max};
	if (geteuid() == 0)
		small.rlim_max = 120;
	setrlimit(RLIMIT_NOFILE, &small);
	kit_up(&k, NULL);
	if (small.rlim_max == 120) {
		ck_assert_uint_eq(k.welcome.capacity, 6);
		for (uint64_t job = 1; job <= 10; job++)
			kit_start(&k, &(struct job){.job = job, .argv = ARGV("sleep", "1000")});
		for (; n_refused < 4; n_refused++) {
			struct rm_end e = kit_end(&k);

			ck_assert_int_eq(e.how, RM_AGAIN);
			ck_assert_int_eq(e.code, EMFILE);
			kit_ack(&k, &e);
		}
	}
	setrlimit(RLIMIT_NOFILE, &old);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("runner: hand-over");
	TCase *tc = tcase_create("hand-over");

	tcase_set_timeout(tc, 120);
	tcase_add_checked_fixture(tc, up, down);
	tcase_add_test(tc, a_repeated_start_is_dropped);
	tcase_add_test(tc, another_attempt_of_the_same_job_is_another_one);
	tcase_add_test(tc, the_inventory_tells_what_runs_and_what_has_ended);
	tcase_add_test(tc, an_end_is_repeated_until_it_is_acknowledged);
	tcase_add_test(tc, ends_are_kept_while_no_jobd_is_there);
	tcase_add_test(tc, jobs_run_on_when_jobd_is_killed);
	tcase_add_test(tc, a_newer_hello_ends_the_older_connection);
	tcase_add_test(tc, a_connection_that_says_nothing_disturbs_nobody);
	tcase_add_test(tc, malformed_packets_cost_the_connection_and_nothing_else);
	tcase_add_test(tc, messages_before_hello_and_those_of_a_runner_are_refused);
	tcase_add_test(tc, unknown_kills_and_acknowledgements_are_ignored);
	tcase_add_test(tc, users_who_are_not_allowed_are_refused_whatever_the_mode_of_the_socket);
	tcase_add_test(tc, a_second_runner_at_one_path_leaves_in_peace);
	tcase_add_test(tc, a_runner_that_was_killed_leaves_its_path_to_the_next);
	tcase_add_test(tc, a_job_that_is_being_spawned_does_not_keep_the_path_of_a_dead_runner);
	tcase_add_test(tc, jobs_die_with_a_runner_that_is_killed);
	tcase_add_test(tc, an_end_that_was_told_survives_the_runner_until_it_is_acknowledged);
	tcase_add_test(tc, every_end_that_was_told_survives_a_runner_that_is_killed_while_others_end);
	tcase_add_test(tc, an_end_of_an_earlier_runner_is_no_reason_to_run_it_again);
	tcase_add_test(tc, half_an_end_is_no_end);
	tcase_add_test(tc, a_file_of_ends_that_is_none_is_made_anew);
	tcase_add_test(tc, a_runner_without_a_file_for_its_ends_works_all_the_same);
	tcase_add_test(tc, a_runner_that_leaves_with_nothing_to_tell_leaves_no_file);
	tcase_add_test(tc, a_user_can_be_allowed_by_name);
	tcase_add_test(tc, an_idle_runner_leaves_only_when_nobody_needs_it);
	tcase_add_test(tc, quit_waits_for_what_runs_and_for_its_acknowledgement);
	tcase_add_test(tc, term_ends_all_jobs_and_reports_before_it_leaves);
	tcase_add_test(tc, more_than_the_capacity_are_refused_as_no_attempt);
	suite_add_tcase(s, tc);
	return play_suite(s);
}
