/* SPDX-License-Identifier: MIT */
/* The server among good clients: what every varlink service does, and replies in the order of the calls. */
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server_kit.h"
#include "../play.h"

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

START_TEST(oneway_calls_behind_one_that_goes_on_are_over_when_they_have_ended)
{
	struct vl_conn *c;

	kit_start(NULL, 0);
	c = kit_open();
	kit_send(c, "org.test.Park", NULL, VL_PLAIN);
	for (int i = 0; i < 3 * SERVER_PIPELINE; i++)
		kit_send(c, "org.test.Echo", "{\"n\":1}", VL_ONEWAY);
	kit_send(c, "org.test.Unpark", NULL, VL_PLAIN);        /* is read only if those do not count as under way */
	ck_assert_str_eq(kit_recv(c), "{\"n\":1}");
	ck_assert_str_eq(kit_recv(c), "{\"n\":1}");
	vl_close(c);
}
END_TEST

/* The other client said StopListening and went: both have been noticed, and neither is told as a mistake of its. */
static void expect_heard_and_gone(struct vl_conn *watcher)
{
	struct vl_error err;

	ck_assert_str_eq(kit_call(watcher, "org.test.Wait", "{\"sessions\":1}", VL_PLAIN), "{}");
	vl_close(watcher);
	ck_assert_ptr_null(vl_connect(kit_socket(), 1000, &err));
	kit_stop();
	ck_assert_int_eq(kit_logged("is closed"), 0);
}

START_TEST(oneway_is_done_even_if_its_client_has_gone)
{
	static const char calls[] = "{\"method\":\"org.test.Echo\",\"oneway\":true}\0{\"method\":\"org.test.StopListening\",\"oneway\":true}";
	struct vl_conn *watcher;
	int fd;

	kit_start(NULL, 0);
	watcher = kit_open();
	ck_assert_str_eq(kit_call(watcher, "org.test.Echo", NULL, VL_PLAIN), "{}");
	fd = kit_connect();
	kit_say(fd, calls, sizeof(calls));
	close(fd);
	expect_heard_and_gone(watcher);
}
END_TEST

START_TEST(what_a_client_had_said_before_it_went_is_done)
{
	static const char answered[] = "{\"method\":\"org.test.Echo\"}";
	static const char last[] = "{\"method\":\"org.test.StopListening\",\"oneway\":true}";
	char padding[8192] = { 0 };
	struct vl_conn *watcher;
	int fd;

	kit_start(NULL, 0);
	watcher = kit_open();
	ck_assert_str_eq(kit_call(watcher, "org.test.Echo", NULL, VL_PLAIN), "{}");
	fd = kit_connect();
	kit_say(fd, answered, sizeof(answered));       /* its answer cannot be written, while not all is read that follows */
	memset(padding, ' ', sizeof(padding) - 1);
	kit_say(fd, padding, sizeof(padding) - 1);
	kit_say(fd, last, sizeof(last));
	close(fd);
	expect_heard_and_gone(watcher);
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

/* ---- the whole -------------------------------------------------------------------------------------------------------- */

static void add_service(Suite *suite)
{
	TCase *tc = kit_case(suite, "service");

	tcase_add_test(tc, the_service_describes_itself);
	tcase_add_test(tc, what_is_not_there_is_named);
	tcase_add_test(tc, parameters_may_be_absent_null_or_empty);
	tcase_add_test(tc, oneway_is_done_and_not_answered);
	tcase_add_test(tc, oneway_calls_behind_one_that_goes_on_are_over_when_they_have_ended);
	tcase_add_test(tc, oneway_is_done_even_if_its_client_has_gone);
	tcase_add_test(tc, what_a_client_had_said_before_it_went_is_done);
	tcase_add_test(tc, more_of_a_method_without_a_stream_is_one_reply);
}

static void add_order(Suite *suite)
{
	TCase *tc = kit_case(suite, "order");

	tcase_add_test(tc, pipelined_calls_are_answered_in_order);
	tcase_add_test(tc, a_reply_waits_for_those_before_it);
	tcase_add_test(tc, no_more_calls_are_taken_than_may_be_under_way);
	tcase_add_test(tc, a_client_that_goes_aborts_its_calls);
	tcase_add_test(tc, half_closed_clients_get_their_answers);
	tcase_add_test(tc, a_half_closed_client_that_goes_later_is_noticed);
	tcase_add_test(tc, a_client_with_too_many_calls_that_goes_is_noticed);
}

int main(void)
{
	Suite *suite = suite_create("server");

	add_service(suite);
	add_order(suite);
	return play_suite(suite);
}
