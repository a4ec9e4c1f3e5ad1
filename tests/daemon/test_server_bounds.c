/* SPDX-License-Identifier: MIT */
/* The server and clients that take too much, too long, or too many at once: they are cut off or refused, and others are served. */
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "server_kit.h"
#include "../play.h"

/* ---- bounds ----------------------------------------------------------------------------------------------------------- */

START_TEST(a_message_that_is_never_completed_is_given_up)
{
	struct vl_conn *slow;
	int fd;

	kit_start(&(struct server_opts){ .frame_deadline_ms = 100 }, 0);
	slow = kit_open();
	ck_assert_str_eq(kit_call(slow, "org.test.Echo", NULL, VL_PLAIN), "{}");
	fd = kit_connect();
	kit_say(fd, PING, 5);
	ck_assert_uint_eq(kit_hear_end(fd), 0);
	ck_assert_str_eq(kit_call(slow, "org.test.Echo", "{\"between_messages\":\"no deadline\"}", VL_PLAIN),
			 "{\"between_messages\":\"no deadline\"}");
	vl_close(slow);
	kit_still_answers();
	kit_stop();
	ck_assert_int_eq(kit_logged("a message was not completed in time"), 1);
}
END_TEST

START_TEST(a_reader_that_never_reads_is_cut_off)
{
	struct vl_conn *other;
	static const char call[] = "{\"method\":\"org.test.Flood\",\"parameters\":{\"n\":1000,\"size\":100000},\"more\":true}";
	int fd;

	kit_start(&(struct server_opts){ .out_max = 1000000 }, 0);
	other = kit_open();
	fd = kit_connect();
	kit_say(fd, call, sizeof(call));
	ck_assert_str_eq(kit_call(other, "org.test.Wait", "{\"sessions\":1}", VL_PLAIN), "{}");
	ck_assert_uint_lt(kit_hear_end(fd), 2000000);
	vl_close(other);
	kit_still_answers();
	kit_stop();
	ck_assert_int_eq(kit_logged("it does not read its replies"), 1);
}
END_TEST

/* It lags by less than it may, but for too long. */
START_TEST(a_reader_that_has_stopped_reading_is_cut_off_in_time)
{
	struct vl_conn *other;
	static const char call[] = "{\"method\":\"org.test.Stream\",\"parameters\":{\"n\":1,\"size\":900000},\"more\":true}";
	int fd;

	kit_start(&(struct server_opts){ .heartbeat_s = 1, .write_deadline_ms = 100 }, 0);
	other = kit_open();
	fd = kit_connect();
	kit_say(fd, call, sizeof(call));
	ck_assert_str_eq(kit_call(other, "org.test.Wait", "{\"sessions\":1}", VL_PLAIN), "{}");
	ck_assert_uint_lt(kit_hear_end(fd), 900000);
	vl_close(other);
	kit_stop();
	ck_assert_int_eq(kit_logged("it has not read its replies for too long"), 1);
}
END_TEST

START_TEST(a_connection_without_a_call_is_closed_in_time)
{
	struct vl_conn *busy;
	int fd;

	kit_start(&(struct server_opts){ .heartbeat_s = 1, .idle_ms = 500 }, 0);
	fd = kit_connect();
	kit_say(fd, PING, sizeof(PING));
	kit_hear(fd, PONG);
	busy = kit_open();
	kit_send(busy, "org.test.Park", NULL, VL_PLAIN);
	ck_assert_uint_eq(kit_hear_end(fd), 0);
	kit_still_answers();
	fd = kit_connect();
	ck_assert_uint_eq(kit_hear_end(fd), 0);
	fd = kit_connect();
	kit_say(fd, "{\"method\":\"org.test.Unpark\"}", 29);
	kit_hear(fd, "{\"parameters\":{\"n\":1}}");
	close(fd);
	ck_assert_str_eq(kit_recv(busy), "{\"n\":1}");
	vl_close(busy);
	kit_stop();
	ck_assert_int_eq(kit_logged("nothing was asked for too long"), 2);
}
END_TEST

START_TEST(a_stream_goes_as_fast_as_it_is_read)
{
	enum { N = 300 };
	struct vl_conn *c;

	kit_start(&(struct server_opts){ .out_max = 1000000 }, 0);
	c = kit_open();
	kit_send(c, "org.test.Park", NULL, VL_PLAIN);
	kit_send(c, "org.test.Stream", "{\"n\":300,\"size\":100000}", VL_MORE);
	kit_send(c, "org.test.Echo", "{\"after\":true}", VL_PLAIN);
	kit_still_answers();
	{
		struct vl_conn *other = kit_open();

		ck_assert_str_eq(kit_call(other, "org.test.Wait", "{\"parked\":1}", VL_PLAIN), "{}");
		ck_assert_str_eq(kit_call(other, "org.test.Unpark", NULL, VL_PLAIN), "{\"n\":1}");
		vl_close(other);
	}
	ck_assert_str_eq(kit_recv(c), "{\"n\":1}");
	for (int i = 0; i < N; i++)
		ck_assert_uint_ge(strlen(kit_recv(c)), 100000);
	ck_assert_str_eq(kit_recv(c), "{\"after\":true}");
	vl_close(c);
}
END_TEST

START_TEST(many_large_answers_to_a_slow_reader_all_arrive)
{
	enum { N = 60, SIZE = 200000 };
	char *text = kit_echo_of(SIZE);
	int fd;
	pid_t pid;

	kit_start(&(struct server_opts){ .out_max = 1000000 }, 0);
	fd = kit_connect();
	pid = fork();
	if (pid == 0) {
		for (int i = 0; i < N; i++)
			kit_say(fd, text, SIZE);
		shutdown(fd, SHUT_WR);
		_exit(0);
	}
	kit_still_answers();
	ck_assert_uint_eq(kit_hear_end(fd), N * (SIZE - strlen("\"method\":\"org.test.Echo\",")));
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	free(text);
}
END_TEST

START_TEST(a_lone_reply_may_be_larger_than_the_lag_allowed)
{
	struct vl_conn *c;

	kit_start(&(struct server_opts){ .out_max = 100000 }, 0);
	c = kit_open();
	ck_assert_uint_gt(strlen(kit_call(c, "org.test.Stream", "{\"n\":1,\"size\":3000000}", VL_MORE)), 3000000);
	vl_close(c);
}
END_TEST

START_TEST(idle_streams_have_a_heartbeat)
{
	struct vl_conn *c;

	kit_start(&(struct server_opts){ .heartbeat_s = 1 }, 0);
	c = kit_open();
	ck_assert_str_eq(kit_call(c, "org.test.Beat", NULL, VL_MORE), "{\"beat\":true} ...");
	ck_assert_str_eq(kit_recv(c), "{\"beat\":true} ...");
	vl_close(c);
	kit_still_answers();
}
END_TEST

START_TEST(a_thousand_connections_are_served)
{
	enum { N = 1000 };
	struct rlimit r = { 0 };
	struct server_opts opts = { .max_sessions = N + 10, .max_sessions_per_uid = N + 10 };
	int fds[N];

	getrlimit(RLIMIT_NOFILE, &r);
	r.rlim_cur = r.rlim_max;
	setrlimit(RLIMIT_NOFILE, &r);
	if (r.rlim_max < N + 50) {
		printf("SKIP: the limit of open files is below %d\n", N + 50);
		return;
	}
	kit_start(&opts, 0);
	for (int i = 0; i < N; i++)
		fds[i] = kit_connect();
	for (int i = 0; i < N; i++)
		kit_say(fds[i], PING, sizeof(PING));
	for (int i = 0; i < N; i++)
		kit_hear(fds[i], PONG);
	kit_still_answers();
	for (int i = 0; i < N; i++)
		close(fds[i]);
	kit_still_answers();
}
END_TEST

/* The third is told why, whether it asks first or listens first. */
static void connect_three(const char *why)
{
	int first = kit_connect(), second = kit_connect(), listens;
	struct vl_reply reply = { 0 };
	struct vl_conn *asks;
	struct vl_error err;

	kit_say(first, PING, sizeof(PING));
	kit_hear(first, PONG);
	kit_say(second, PING, sizeof(PING));
	kit_hear(second, PONG);
	listens = kit_connect();
	kit_hear(listens, why);
	ck_assert_uint_eq(kit_hear_end(listens), 0);
	asks = kit_open();
	ck_assert_int_eq(vl_call(asks, "org.test.Echo", NULL, VL_PLAIN, 10000, &reply, &err), 0);
	ck_assert_str_eq(reply.error, "org.test.Busy");
	vl_reply_done(&reply);
	vl_close(asks);
	close(second);
	close(first);
}

/* As a user without privileges: root is not limited. */
START_TEST(connections_of_a_user_are_counted)
{
	struct server_opts of_a_user = { .max_sessions_per_uid = 2, .busy = "org.test.Busy" }, of_all = { .max_sessions = 2, .busy = "org.test.Busy" };
	char why[200];
	int status;
	pid_t pid;

	kit_start(_i ? &of_all : &of_a_user, 0);
	pid = fork();
	if (pid == 0) {
		if (getuid() == 0 && setresuid(65534, 65534, 65534) < 0)
			_exit(1);
		(void)snprintf(why, sizeof(why), _i ? "{\"error\":\"org.test.Busy\",\"parameters\":{\"message\":\"there are 2 connections already (max_sessions)\"}}"
			 : "{\"error\":\"org.test.Busy\",\"parameters\":{\"message\":\"user %u has 2 connections already (max_sessions_per_uid)\"}}", getuid());
		connect_three(why);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	if (getuid() == 0)
		kit_still_answers();
	kit_stop();
	ck_assert_int_eq(kit_logged("2 connections already"), 1);
}
END_TEST

START_TEST(no_descriptor_left_is_survived)
{
	enum { N = 40, FREE = 8 };
	int fds[N], answered = 0;
	struct vl_conn *c;
	char byte;

	kit_start(NULL, FREE);
	for (int i = 0; i < N; i++) {
		fds[i] = kit_connect();
		kit_say(fds[i], PING, sizeof(PING));
	}
	for (int i = 0; i < N; i++)
		answered += recv(fds[i], &byte, 1, 0) == 1;
	ck_assert_int_ge(answered, 1);
	ck_assert_int_le(answered, FREE);
	for (int i = 0; i < N; i++)
		close(fds[i]);
	for (bool served = false; !served;) {
		int fd = kit_connect();

		kit_say(fd, PING, sizeof(PING));
		served = recv(fd, &byte, 1, 0) == 1;
		close(fd);
	}
	c = kit_open();
	ck_assert_str_eq(kit_call(c, "org.test.OutOfFds", NULL, VL_PLAIN), "{\"seen\":true}");
	vl_close(c);
}
END_TEST

#define PASSED 200

/* The same descriptor, many times over. */
static void pass_descriptors(int fd, int passed)
{
	char control[CMSG_SPACE(PASSED * sizeof(int))] = { 0 };
	struct iovec iov = { .iov_base = (char *)(uintptr_t)PING, .iov_len = sizeof(PING) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(PASSED * sizeof(int));
	for (int i = 0; i < PASSED; i++)
		memcpy(CMSG_DATA(c) + (size_t)i * sizeof(int), &passed, sizeof(int));
	ck_assert_int_eq(sendmsg(fd, &msg, 0), sizeof(PING));
}

START_TEST(descriptors_of_clients_are_not_kept)
{
	int fd, p[2];
	char byte;

	kit_start(NULL, 0);
	ck_assert_int_eq(pipe(p), 0);
	fd = kit_connect();
	pass_descriptors(fd, p[1]);
	close(p[1]);
	kit_hear(fd, PONG);
	ck_assert_int_eq(read(p[0], &byte, 1), 0);
	close(p[0]);
	close(fd);
}
END_TEST

START_TEST(sessions_outlive_the_listening)
{
	struct vl_conn *c;
	struct vl_error err;

	kit_start(NULL, 0);
	c = kit_open();
	ck_assert_str_eq(kit_call(c, "org.test.StopListening", NULL, VL_PLAIN), "{}");
	ck_assert_ptr_null(vl_connect(kit_socket(), 1000, &err));
	ck_assert_int_eq(err.code, VL_ECONNECT);
	ck_assert_str_eq(kit_call(c, "org.test.Echo", "{\"n\":1}", VL_PLAIN), "{\"n\":1}");
	vl_close(c);
}
END_TEST

/* ---- the whole -------------------------------------------------------------------------------------------------------- */

static void add_bounds(Suite *suite)
{
	TCase *tc = kit_case(suite, "bounds");

	tcase_add_test(tc, a_message_that_is_never_completed_is_given_up);
	tcase_add_test(tc, a_reader_that_never_reads_is_cut_off);
	tcase_add_test(tc, a_reader_that_has_stopped_reading_is_cut_off_in_time);
	tcase_add_test(tc, a_connection_without_a_call_is_closed_in_time);
	tcase_add_test(tc, a_stream_goes_as_fast_as_it_is_read);
	tcase_add_test(tc, many_large_answers_to_a_slow_reader_all_arrive);
	tcase_add_test(tc, a_lone_reply_may_be_larger_than_the_lag_allowed);
	tcase_add_test(tc, idle_streams_have_a_heartbeat);
	tcase_add_test(tc, a_thousand_connections_are_served);
	tcase_add_loop_test(tc, connections_of_a_user_are_counted, 0, 2);
	tcase_add_test(tc, no_descriptor_left_is_survived);
	tcase_add_test(tc, descriptors_of_clients_are_not_kept);
	tcase_add_test(tc, sessions_outlive_the_listening);
}

int main(void)
{
	Suite *suite = suite_create("server_bounds");

	add_bounds(suite);
	return play_suite(suite);
}
