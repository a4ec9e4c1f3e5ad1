/* SPDX-License-Identifier: MIT */
/* The server among good clients and bad ones: after each, another client still gets its answer. */
#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "server_kit.h"

#define CALL "{\"method\":\"org.test.Echo\",\"parameters\":{\"a\":\"\\u00e9\",\"b\":[1,-2.5e3,null]}}"
#define PING "{\"method\":\"org.test.Echo\"}"
#define PONG "{\"parameters\":{}}"

/* ---- what every varlink service does --------------------------------------------------------------------------------- */

START_TEST(the_service_describes_itself)
{
	struct vl_conn *c;
	char expected[256];

	kit_start(NULL, 0);
	c = kit_open();
	ck_assert_str_eq(kit_call(c, "org.varlink.service.GetInfo", NULL, VL_PLAIN),
			 "{\"interfaces\":[\"org.varlink.service\",\"org.test\"],\"product\":\"test\",\"url\":\"https://example.org/\","
			 "\"vendor\":\"jobd\",\"version\":\"1\"}");
	(void)snprintf(expected, sizeof(expected), "{\"description\":\"interface org.test\\n\\nmethod Echo() -> ()\\n\"}");
	ck_assert_str_eq(kit_call(c, "org.varlink.service.GetInterfaceDescription", "{\"interface\":\"org.test\"}", VL_PLAIN), expected);
	ck_assert_ptr_nonnull(strstr(kit_call(c, "org.varlink.service.GetInterfaceDescription",
					      "{\"interface\":\"org.varlink.service\"}", VL_PLAIN), "method GetInfo"));
	vl_close(c);
}
END_TEST

START_TEST(what_is_not_there_is_named)
{
	static const struct { const char *method, *params; unsigned flags; const char *answer; } v[] = {
		{ "org.test.Nothing", NULL, 0, "org.varlink.service.MethodNotFound {\"method\":\"org.test.Nothing\"}" },
		{ "org.varlink.service.Nothing", NULL, 0, "org.varlink.service.MethodNotFound {\"method\":\"org.varlink.service.Nothing\"}" },
		{ "org.other.Echo", NULL, 0, "org.varlink.service.InterfaceNotFound {\"interface\":\"org.other\"}" },
		{ "Echo", NULL, 0, "org.varlink.service.InvalidParameter {\"parameter\":\"method\"}" },
		{ ".Echo", NULL, 0, "org.varlink.service.InvalidParameter {\"parameter\":\"method\"}" },
		{ "org.test.Missing", NULL, 0, "org.varlink.service.MethodNotImplemented {\"method\":\"org.test.Missing\"}" },
		{ "org.test.Stream", "{\"n\":1,\"size\":1}", 0, "org.varlink.service.ExpectedMore {}" },
		{ "org.test.Stream", "{\"n\":0,\"size\":1}", VL_MORE, "org.varlink.service.InvalidParameter {\"parameter\":\"n\"}" },
		{ "org.test.Echo", NULL, VL_UPGRADE, "org.varlink.service.InvalidParameter {\"parameter\":\"upgrade\"}" },
		{ "org.varlink.service.GetInfo", "{\"x\":1}", 0, "org.varlink.service.InvalidParameter {\"parameter\":\"x\"}" },
		{ "org.varlink.service.GetInterfaceDescription", NULL, 0, "org.varlink.service.InvalidParameter {\"parameter\":\"interface\"}" },
		{ "org.varlink.service.GetInterfaceDescription", "{\"interface\":\"a.b\"}", 0,
		  "org.varlink.service.InterfaceNotFound {\"interface\":\"a.b\"}" },
	};
	struct vl_conn *c;

	kit_start(NULL, 0);
	c = kit_open();
	for (size_t i = 0; i < sizeof(v) / sizeof(*v); i++)
		ck_assert_str_eq(kit_call(c, v[i].method, v[i].params, v[i].flags), v[i].answer);
	vl_close(c);
}
END_TEST

START_TEST(parameters_may_be_absent_null_or_empty)
{
	static const char three[] = PING "\0{\"method\":\"org.test.Echo\",\"parameters\":null}\0{\"method\":\"org.test.Echo\",\"parameters\":{}}";
	int fd;

	kit_start(NULL, 0);
	fd = kit_connect();
	kit_say(fd, three, sizeof(three));
	for (int i = 0; i < 3; i++)
		kit_hear(fd, PONG);
	close(fd);
}
END_TEST

START_TEST(oneway_is_done_and_not_answered)
{
	struct vl_conn *c;

	kit_start(NULL, 0);
	c = kit_open();
	kit_send(c, "org.test.Park", NULL, VL_ONEWAY);
	kit_send(c, "org.test.Nothing", NULL, VL_ONEWAY);
	kit_send(c, "org.test.Echo", "{\"n\":1}", VL_ONEWAY);
	ck_assert_str_eq(kit_call(c, "org.test.Unpark", NULL, VL_PLAIN), "{\"n\":1}");
	vl_close(c);
}
END_TEST

START_TEST(oneway_is_done_even_if_its_client_has_gone)
{
	static const char calls[] = "{\"method\":\"org.test.Echo\",\"oneway\":true}\0{\"method\":\"org.test.StopListening\",\"oneway\":true}";
	struct vl_conn *watcher;
	struct vl_error err;
	int fd;

	kit_start(NULL, 0);
	watcher = kit_open();
	ck_assert_str_eq(kit_call(watcher, "org.test.Echo", NULL, VL_PLAIN), "{}");
	fd = kit_connect();
	kit_say(fd, calls, sizeof(calls));
	close(fd);
	ck_assert_str_eq(kit_call(watcher, "org.test.Wait", "{\"sessions\":1}", VL_PLAIN), "{}");
	vl_close(watcher);
	ck_assert_ptr_null(vl_connect(kit_socket(), 1000, &err));
	kit_stop();
	ck_assert_int_eq(kit_logged("is closed"), 0);
}
END_TEST

START_TEST(more_of_a_method_without_a_stream_is_one_reply)
{
	struct vl_conn *c;

	kit_start(NULL, 0);
	c = kit_open();
	ck_assert_str_eq(kit_call(c, "org.test.Echo", "{\"n\":1}", VL_MORE), "{\"n\":1}");
	vl_close(c);
}
END_TEST

/* ---- order --------------------------------------------------------------------------------------------------------- */

START_TEST(pipelined_calls_are_answered_in_order)
{
	enum { N = 500 };
	struct vl_conn *c;
	char params[32];

	kit_start(NULL, 0);
	c = kit_open();
	for (int i = 0; i < N; i++) {
		(void)snprintf(params, sizeof(params), "{\"n\":%d}", i);
		kit_send(c, "org.test.Echo", params, VL_PLAIN);
	}
	for (int i = 0; i < N; i++) {
		(void)snprintf(params, sizeof(params), "{\"n\":%d}", i);
		ck_assert_str_eq(kit_recv(c), params);
	}
	vl_close(c);
}
END_TEST

START_TEST(a_reply_waits_for_those_before_it)
{
	struct vl_conn *c, *other;

	kit_start(NULL, 0);
	c = kit_open();
	other = kit_open();
	kit_send(c, "org.test.Park", NULL, VL_PLAIN);
	kit_send(c, "org.test.Echo", "{\"n\":\"second\"}", VL_PLAIN);
	kit_send(c, "org.test.Park", NULL, VL_PLAIN);
	kit_send(c, "org.test.Stream", "{\"n\":2,\"size\":1}", VL_MORE);
	ck_assert_str_eq(kit_call(other, "org.test.Wait", "{\"parked\":2}", VL_PLAIN), "{}");
	ck_assert_str_eq(kit_call(other, "org.test.Unpark", NULL, VL_PLAIN), "{\"n\":2}");
	ck_assert_str_eq(kit_recv(c), "{\"n\":1}");
	ck_assert_str_eq(kit_recv(c), "{\"n\":\"second\"}");
	ck_assert_str_eq(kit_recv(c), "{\"n\":2}");
	ck_assert_str_eq(kit_recv(c), "{\"pad\":\"x\"} ...");
	ck_assert_str_eq(kit_recv(c), "{\"pad\":\"x\"}");
	vl_close(c);
	vl_close(other);
}
END_TEST

START_TEST(no_more_calls_are_taken_than_may_be_under_way)
{
	struct vl_conn *c, *other;

	kit_start(NULL, 0);
	c = kit_open();
	other = kit_open();
	for (int i = 0; i < SERVER_PIPELINE + 10; i++)
		kit_send(c, "org.test.Park", NULL, VL_PLAIN);
	ck_assert_str_eq(kit_call(other, "org.test.Wait", "{\"parked\":64}", VL_PLAIN), "{}");
	ck_assert_str_eq(kit_call(other, "org.test.Unpark", NULL, VL_PLAIN), "{\"n\":64}");
	ck_assert_str_eq(kit_call(other, "org.test.Wait", "{\"parked\":10}", VL_PLAIN), "{}");
	ck_assert_str_eq(kit_call(other, "org.test.Unpark", NULL, VL_PLAIN), "{\"n\":10}");
	for (int i = 0; i < SERVER_PIPELINE + 10; i++)
		(void)kit_recv(c);
	vl_close(c);
	vl_close(other);
}
END_TEST

START_TEST(a_client_that_goes_aborts_its_calls)
{
	struct vl_conn *c, *other;

	kit_start(NULL, 0);
	c = kit_open();
	other = kit_open();
	for (int i = 0; i < 3; i++)
		kit_send(c, "org.test.Park", NULL, VL_PLAIN);
	ck_assert_str_eq(kit_call(other, "org.test.Wait", "{\"parked\":3}", VL_PLAIN), "{}");
	vl_close(c);
	ck_assert_str_eq(kit_call(other, "org.test.Wait", "{\"aborted\":3,\"sessions\":1}", VL_PLAIN), "{}");
	vl_close(other);
}
END_TEST

START_TEST(half_closed_clients_get_their_answers)
{
	struct vl_conn *other;
	static const char calls[] = "{\"method\":\"org.test.Park\"}\0" PING;
	int fd;

	kit_start(NULL, 0);
	other = kit_open();
	fd = kit_connect();
	kit_say(fd, calls, sizeof(calls));
	ck_assert_int_eq(shutdown(fd, SHUT_WR), 0);
	ck_assert_str_eq(kit_call(other, "org.test.Wait", "{\"parked\":1}", VL_PLAIN), "{}");
	ck_assert_str_eq(kit_call(other, "org.test.Unpark", NULL, VL_PLAIN), "{\"n\":1}");
	kit_hear(fd, "{\"parameters\":{\"n\":1}}");
	kit_hear(fd, PONG);
	ck_assert_uint_eq(kit_hear_end(fd), 0);
	vl_close(other);
	kit_stop();
	ck_assert_int_eq(kit_logged("is closed"), 0);
}
END_TEST

START_TEST(a_half_closed_client_that_goes_later_is_noticed)
{
	struct vl_conn *other;
	static const char call[] = "{\"method\":\"org.test.Park\"}";
	int fd;

	kit_start(&(struct server_opts){ .heartbeat_s = 1 }, 0);
	other = kit_open();
	fd = kit_connect();
	kit_say(fd, call, sizeof(call));
	ck_assert_int_eq(shutdown(fd, SHUT_WR), 0);
	ck_assert_str_eq(kit_call(other, "org.test.Wait", "{\"parked\":1}", VL_PLAIN), "{}");
	close(fd);
	ck_assert_str_eq(kit_call(other, "org.test.Wait", "{\"aborted\":1}", VL_PLAIN), "{}");
	vl_close(other);
}
END_TEST

START_TEST(a_client_with_too_many_calls_that_goes_is_noticed)
{
	struct vl_conn *c, *other;

	kit_start(&(struct server_opts){ .heartbeat_s = 1 }, 0);
	c = kit_open();
	other = kit_open();
	for (int i = 0; i < SERVER_PIPELINE + 1; i++)
		kit_send(c, "org.test.Park", NULL, VL_PLAIN);
	ck_assert_str_eq(kit_call(other, "org.test.Wait", "{\"parked\":64}", VL_PLAIN), "{}");
	vl_close(c);
	ck_assert_str_eq(kit_call(other, "org.test.Wait", "{\"aborted\":64}", VL_PLAIN), "{}");
	vl_close(other);
}
END_TEST

/* ---- malformed input ------------------------------------------------------------------------------------------------ */

static const struct bad {
	const char *bytes;
	size_t n;
	const char *reason;
} bad[] = {
#define BAD(b, r) { b, sizeof(b), r }
	BAD("", "an empty message"),
	BAD(" ", "'[' or '{' expected"),
	BAD("[]", "a message must be an object, got a list"),
	BAD("{}", "method is missing"),
	BAD("{\"method\":\"org.test.Echo\"} trailing", "end of file expected"),
	BAD("{\"method\":\"org.test.Echo\"}{}", "end of file expected"),
	BAD("{\"method\":\"org.test.Echo\",\"method\":\"org.test.Echo\"}", "duplicate object key"),
	BAD("{\"method\":\"org.test.Echo\",\"parameters\":{\"a\":1,\"a\":2}}", "duplicate object key"),
	BAD("{\"method\":\"org.test.Echo\",\"parameters\":{\"a\":\"\\ud83d\"}}", "invalid Unicode"),
	BAD("{\"method\":\"org.test.Echo\",\"parameters\":{\"a\":\"\\u0000\"}}", "\\u0000 is not allowed"),
	BAD("{\"method\":\"org.test.Echo\",\"parameters\":{\"a\":\"\xff\xfe\"}}", "unable to decode byte 0xff"),
	BAD("{\"method\":\"org.test.Echo\",\"parameters\":{\"a\":9223372036854775808}}", "too big integer"),
	BAD("{\"method\":\"org.test.Echo\",\"parameters\":{\"a\":1e400}}", "real number overflow"),
	BAD("{\"method\":\"org.test.Echo\",\"parameters\":[]}", "parameters must be an object, got a list"),
	BAD("{\"method\":\"org.test.Echo\",\"extra\":1}", "unknown field \"extra\""),
	BAD("{\"method\":17}", "method must be a string that is not empty"),
	BAD("\x16\x03\x01\x02 GET / HTTP/1.1\r\n\r\n", "'[' or '{' expected"),
};

START_TEST(malformed_messages_close_the_connection_with_a_reason)
{
	const struct bad *b = &bad[_i];
	struct vl_conn *bystander;
	int fd;

	kit_start(NULL, 0);
	bystander = kit_open();
	fd = kit_connect();
	kit_say(fd, b->bytes, b->n);
	ck_assert_uint_eq(kit_hear_end(fd), 0);
	ck_assert_str_eq(kit_call(bystander, "org.test.Echo", "{\"n\":1}", VL_PLAIN), "{\"n\":1}");
	vl_close(bystander);
	kit_still_answers();
	kit_stop();
	ck_assert_msg(kit_logged(b->reason) == 1, "\"%s\" was not logged once", b->reason);
	ck_assert_int_eq(kit_logged("is closed"), 1);
}
END_TEST

START_TEST(calls_before_the_malformed_one_are_answered)
{
	static const char both[] = PING "\0{]";
	int fd;

	kit_start(NULL, 0);
	fd = kit_connect();
	kit_say(fd, both, sizeof(both));
	kit_hear(fd, PONG);
	ck_assert_uint_eq(kit_hear_end(fd), 0);
	kit_still_answers();
}
END_TEST

START_TEST(truncation_at_every_byte_harms_nobody)
{
	kit_start(NULL, 0);
	for (size_t n = 0; n < sizeof(CALL); n++) {
		int closes = kit_connect(), half = kit_connect();

		kit_say(closes, CALL, n);
		close(closes);
		kit_say(half, CALL, n);
		ck_assert_int_eq(shutdown(half, SHUT_WR), 0);
		ck_assert_uint_eq(kit_hear_end(half), 0);
	}
	kit_still_answers();
	kit_stop();
	ck_assert_int_eq(kit_logged("in the middle of a message"), 2 * (int)(sizeof(CALL) - 1));
}
END_TEST

START_TEST(messages_cut_anywhere_are_put_together)
{
	int fd;

	kit_start(NULL, 0);
	fd = kit_connect();
	for (size_t n = 0; n <= sizeof(PING); n++) {
		kit_say(fd, PING, n);
		kit_still_answers();
		kit_say(fd, &PING[n], sizeof(PING) - n);
		kit_hear(fd, PONG);
	}
	close(fd);
}
END_TEST

START_TEST(deep_nesting_is_refused_without_recursion)
{
	size_t n = 1000000;
	char *text = malloc(n);
	int fd;

	memset(text, '[', n);
	memcpy(text, "{\"method\":", 10);
	text[n - 1] = '\0';
	kit_start(NULL, 0);
	fd = kit_connect();
	kit_say(fd, text, n);
	ck_assert_uint_eq(kit_hear_end(fd), 0);
	kit_still_answers();
	kit_stop();
	ck_assert_int_eq(kit_logged("more than 32 levels"), 1);
	free(text);
}
END_TEST

/* A call of exactly n bytes, its NUL included. */
static char *call_of(size_t n)
{
	static const char head[] = "{\"method\":\"org.test.Echo\",\"parameters\":{\"a\":\"", tail[] = "\"}}";
	char *text = malloc(n);

	memset(text, 'x', n);
	memcpy(text, head, sizeof(head) - 1);
	memcpy(text + n - sizeof(tail), tail, sizeof(tail));
	return text;
}

START_TEST(a_message_may_have_one_mebibyte)
{
	char *text = call_of(SERVER_FRAME_MAX);
	int fd;

	kit_start(NULL, 0);
	fd = kit_connect();
	kit_say(fd, text, SERVER_FRAME_MAX);
	ck_assert_int_eq(shutdown(fd, SHUT_WR), 0);
	ck_assert_uint_eq(kit_hear_end(fd), SERVER_FRAME_MAX - strlen("\"method\":\"org.test.Echo\","));
	free(text);
}
END_TEST

START_TEST(a_larger_message_closes_the_connection)
{
	char *text = call_of(SERVER_FRAME_MAX + 1);
	int fd;

	kit_start(NULL, 0);
	fd = kit_connect();
	kit_say(fd, text, SERVER_FRAME_MAX + 1);
	ck_assert_uint_eq(kit_hear_end(fd), 0);
	kit_still_answers();
	kit_stop();
	ck_assert_int_eq(kit_logged("a message of more than 1048576 bytes"), 1);
	free(text);
}
END_TEST

/* Bytes changed at random: the server answers or closes. The seed is in the name of a failure. */
START_TEST(mangled_messages_harm_nobody)
{
	unsigned seed = 4711;

	kit_start(NULL, 0);
	for (int round = 0; round < 500; round++) {
		char text[sizeof(CALL)];
		int fd = kit_connect();

		memcpy(text, CALL, sizeof(CALL));
		for (int k = 0; k < 3; k++)
			text[(unsigned)rand_r(&seed) % (sizeof(CALL) - 1)] = (char)rand_r(&seed);
		kit_say(fd, text, sizeof(text));
		ck_assert_int_eq(shutdown(fd, SHUT_WR), 0);
		(void)kit_hear_end(fd);
	}
	kit_still_answers();
}
END_TEST

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
	char *text = call_of(SIZE);
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

/* As a user without privileges: root is not limited. */
static void connect_three(void)
{
	int first = kit_connect(), second = kit_connect(), third;

	kit_say(first, PING, sizeof(PING));
	kit_hear(first, PONG);
	kit_say(second, PING, sizeof(PING));
	kit_hear(second, PONG);
	third = kit_connect();
	ck_assert_uint_eq(kit_hear_end(third), 0);
	close(second);
	close(first);
}

START_TEST(connections_of_a_user_are_counted)
{
	struct server_opts per_uid = { .max_sessions_per_uid = 2 }, total = { .max_sessions = 2 };
	int status;
	pid_t pid;

	kit_start(_i ? &total : &per_uid, 0);
	pid = fork();
	if (pid == 0) {
		if (getuid() == 0 && setresuid(65534, 65534, 65534) < 0)
			_exit(1);
		connect_three();
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	kit_still_answers();
	kit_stop();
	ck_assert_int_eq(kit_logged("too many connections"), 1);
}
END_TEST

START_TEST(no_descriptor_left_is_survived)
{
	enum { N = 40, FREE = 8 };
	int fds[N], answered = 0;
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
	kit_stop();
	ck_assert_int_ge(kit_logged("no file descriptor is free"), 1);
}
END_TEST

static void pass_descriptor(int fd, int passed)
{
	char control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec iov = { .iov_base = (char *)(uintptr_t)PING, .iov_len = sizeof(PING) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &passed, sizeof(int));
	ck_assert_int_eq(sendmsg(fd, &msg, 0), sizeof(PING));
}

START_TEST(descriptors_of_clients_are_not_kept)
{
	int fd, p[2];
	char byte;

	kit_start(NULL, 0);
	ck_assert_int_eq(pipe(p), 0);
	fd = kit_connect();
	pass_descriptor(fd, p[1]);
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

static TCase *new_case(Suite *suite, const char *name)
{
	TCase *tc = tcase_create(name);

	tcase_add_checked_fixture(tc, NULL, kit_done);
	tcase_set_timeout(tc, 100);
	suite_add_tcase(suite, tc);
	return tc;
}

static void add_service(Suite *suite)
{
	TCase *tc = new_case(suite, "service");

	tcase_add_test(tc, the_service_describes_itself);
	tcase_add_test(tc, what_is_not_there_is_named);
	tcase_add_test(tc, parameters_may_be_absent_null_or_empty);
	tcase_add_test(tc, oneway_is_done_and_not_answered);
	tcase_add_test(tc, oneway_is_done_even_if_its_client_has_gone);
	tcase_add_test(tc, more_of_a_method_without_a_stream_is_one_reply);
}

static void add_order(Suite *suite)
{
	TCase *tc = new_case(suite, "order");

	tcase_add_test(tc, pipelined_calls_are_answered_in_order);
	tcase_add_test(tc, a_reply_waits_for_those_before_it);
	tcase_add_test(tc, no_more_calls_are_taken_than_may_be_under_way);
	tcase_add_test(tc, a_client_that_goes_aborts_its_calls);
	tcase_add_test(tc, half_closed_clients_get_their_answers);
	tcase_add_test(tc, a_half_closed_client_that_goes_later_is_noticed);
	tcase_add_test(tc, a_client_with_too_many_calls_that_goes_is_noticed);
}

static void add_malformed(Suite *suite)
{
	TCase *tc = new_case(suite, "malformed");

	tcase_add_loop_test(tc, malformed_messages_close_the_connection_with_a_reason, 0, (int)(sizeof(bad) / sizeof(*bad)));
	tcase_add_test(tc, calls_before_the_malformed_one_are_answered);
	tcase_add_test(tc, truncation_at_every_byte_harms_nobody);
	tcase_add_test(tc, messages_cut_anywhere_are_put_together);
	tcase_add_test(tc, deep_nesting_is_refused_without_recursion);
	tcase_add_test(tc, a_message_may_have_one_mebibyte);
	tcase_add_test(tc, a_larger_message_closes_the_connection);
	tcase_add_test(tc, mangled_messages_harm_nobody);
}

static void add_bounds(Suite *suite)
{
	TCase *tc = new_case(suite, "bounds");

	tcase_add_test(tc, a_message_that_is_never_completed_is_given_up);
	tcase_add_test(tc, a_reader_that_never_reads_is_cut_off);
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
	Suite *suite = suite_create("server");
	SRunner *runner = srunner_create(suite);
	int n_failed;

	add_service(suite);
	add_order(suite);
	add_malformed(suite);
	add_bounds(suite);
	srunner_run_all(runner, CK_ENV);
	n_failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return n_failed != 0;
}
