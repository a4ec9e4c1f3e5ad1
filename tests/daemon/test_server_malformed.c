/* SPDX-License-Identifier: MIT */
/* The server and what is not a call: after each, another client still gets its answer. */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server_kit.h"
#include "../play.h"

#define CALL "{\"method\":\"org.test.Echo\",\"parameters\":{\"a\":\"\\u00e9\",\"b\":[1,-2.5e3,null]}}"

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

START_TEST(a_message_may_have_one_mebibyte)
{
	char *text = kit_echo_of(SERVER_FRAME_MAX);
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
	char *text = kit_echo_of(SERVER_FRAME_MAX + 1);
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

/* ---- the whole -------------------------------------------------------------------------------------------------------- */

static void add_malformed(Suite *suite)
{
	TCase *tc = kit_case(suite, "malformed");

	tcase_add_loop_test(tc, malformed_messages_close_the_connection_with_a_reason, 0, (int)(sizeof(bad) / sizeof(*bad)));
	tcase_add_test(tc, calls_before_the_malformed_one_are_answered);
	tcase_add_test(tc, truncation_at_every_byte_harms_nobody);
	tcase_add_test(tc, messages_cut_anywhere_are_put_together);
	tcase_add_test(tc, deep_nesting_is_refused_without_recursion);
	tcase_add_test(tc, a_message_may_have_one_mebibyte);
	tcase_add_test(tc, a_larger_message_closes_the_connection);
	tcase_add_test(tc, mangled_messages_harm_nobody);
}

int main(void)
{
	Suite *suite = suite_create("server_malformed");

	add_malformed(suite);
	return play_suite(suite);
}
