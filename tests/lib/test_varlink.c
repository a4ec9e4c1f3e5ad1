/* SPDX-License-Identifier: MIT */
/* Messages: what is parsed and what is not; and the client's connection against a peer that the test plays itself. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/varlink.h"
#include "../play.h"

static const char *parse(const char *text, size_t len)
{
	static struct vl_why why;
	json_t *obj = vl_parse(text, len, &why);

	json_decref(obj);
	return obj ? NULL : why.text;
}

static void refuses(const char *text, const char *words)
{
	const char *why = parse(text, strlen(text));

	ck_assert_msg(why && strstr(why, words), "%s: %s, not %s", text, why ? why : "was taken", words);
}

START_TEST(what_is_not_strict_json_is_refused)
{
	refuses("", "an empty message");
	refuses("[]", "must be an object");
	refuses("3", "'[' or '{' expected");
	refuses("{} x", "end of file expected");
	refuses("{}{}", "end of file expected");
	refuses("{\"a\":1,\"a\":1}", "duplicate object key");
	refuses("{\"a\":{\"b\":1,\"b\":1}}", "duplicate object key");
	refuses("{\"a\":\"\\u0000\"}", "\\u0000");
	refuses("{\"a\\u0000\":1}", "\\u0000");
	refuses("{\"a\":\"\\ud800\"}", "invalid Unicode");
	refuses("{\"a\":\"\\udc00x\"}", "invalid Unicode");
	refuses("{\"a\":\"\\ud800\\u0041\"}", "invalid Unicode");
	refuses("{\"a\":\"\xff\"}", "unable to decode byte");
	refuses("{\"a\":\"\xc0\x80\"}", "unable to decode byte");
	refuses("{\"a\":\"\xed\xa0\x80\"}", "unable to decode byte");
	refuses("{\"a\":\"\x01\"}", "control character");
	refuses("{\"a\":9223372036854775808}", "too big integer");
	refuses("{\"a\":-9223372036854775809}", "too big negative integer");
	refuses("{\"a\":1e400}", "real number overflow");
	refuses("{\"a\":NaN}", "invalid token");
	refuses("{\"a\":01}", "invalid token");
	refuses("{\"a\":\"", "premature end of input");
}
END_TEST

START_TEST(every_truncation_is_refused)
{
	static const char text[] = "{\"method\":\"a.b.C\",\"parameters\":{\"x\":[1,-2.5e3,null,true,\"\\u00e9\\ud83d\\ude00é\"]}}";
	size_t len = strlen(text);

	ck_assert_ptr_null(parse(text, len));
	for (size_t n = 0; n < len; n++)
		ck_assert_msg(parse(text, n) != NULL, "%zu bytes were taken", n);
}
END_TEST

static char *nested(size_t n, const char *open, const char *close)
{
	char *text = malloc(n * (strlen(open) + strlen(close)) + 8), *to = text;

	ck_assert_ptr_nonnull(text);
	to = stpcpy(to, "{\"a\":");
	for (size_t i = 1; i < n; i++)
		to = stpcpy(to, open);
	to = stpcpy(to, "1");
	for (size_t i = 1; i < n; i++)
		to = stpcpy(to, close);
	stpcpy(to, "}");
	return text;
}

START_TEST(depth_is_bounded_before_anything_recurses)
{
	char *text = nested(VL_DEPTH_MAX, "[", "]");

	ck_assert_ptr_null(parse(text, strlen(text)));
	free(text);
	text = nested(VL_DEPTH_MAX + 1, "[", "]");
	refuses(text, "more than 32 levels");
	free(text);
	text = nested(100000, "{\"a\":", "}");
	refuses(text, "more than 32 levels");
	free(text);
	ck_assert_ptr_null(parse("{\"a\":\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\\\"[[[\"}", 57));
}
END_TEST

static const char *read_call(const char *text, struct vl_call *ret)
{
	static struct vl_why why;
	static json_t *msg;
	int rc;

	json_decref(msg);
	msg = vl_parse(text, strlen(text), &why);
	ck_assert_msg(msg != NULL, "%s", why.text);
	rc = vl_call_read(msg, ret, &why);
	return rc < 0 ? why.text : NULL;
}

START_TEST(calls_are_read)
{
	struct vl_call c;

	ck_assert_ptr_null(read_call("{\"method\":\"a.B\"}", &c));
	ck_assert(!strcmp(c.method, "a.B") && !c.params && c.flags == 0);
	ck_assert_ptr_null(read_call("{\"method\":\"a.B\",\"parameters\":null,\"more\":true,\"oneway\":false}", &c));
	ck_assert(!c.params && c.flags == VL_MORE);
	ck_assert_ptr_null(read_call("{\"method\":\"a.B\",\"parameters\":{},\"oneway\":true,\"upgrade\":true}", &c));
	ck_assert(c.params && c.flags == (VL_ONEWAY | VL_UPGRADE));
	ck_assert_str_eq(read_call("{}", &c), "method is missing");
	ck_assert_str_eq(read_call("{\"method\":3}", &c), "method must be a string that is not empty");
	ck_assert_str_eq(read_call("{\"method\":\"a.B\",\"parameters\":[]}", &c), "parameters must be an object, got a list");
	ck_assert_str_eq(read_call("{\"method\":\"a.B\",\"more\":1}", &c), "more must be true or false, got 1");
	ck_assert_str_eq(read_call("{\"method\":\"a.B\",\"id\":1}", &c), "unknown field \"id\"");
	ck_assert_str_eq(read_call("{\"method\":\"a.B\",\"more\":true,\"oneway\":true}", &c), "more and oneway exclude each other");
}
END_TEST

START_TEST(messages_have_no_key_that_a_client_might_refuse)
{
	struct { json_t *msg; const char *text; } v[] = {
		{ vl_reply_new(NULL, false), "{\"parameters\":{}}" },
		{ vl_reply_new(json_pack("{s:i}", "a", 1), true), "{\"parameters\":{\"a\":1},\"continues\":true}" },
		{ vl_error_new("a.E", NULL), "{\"error\":\"a.E\",\"parameters\":{}}" },
		{ vl_call_new("a.B", NULL, VL_PLAIN), "{\"method\":\"a.B\"}" },
		{ vl_call_new("a.B", json_object(), VL_MORE), "{\"method\":\"a.B\",\"parameters\":{},\"more\":true}" },
	};

	for (size_t i = 0; i < sizeof(v) / sizeof(*v); i++) {
		size_t len;
		char *text = vl_pack(v[i].msg, &len);

		ck_assert_str_eq(text, v[i].text);
		ck_assert_uint_eq(len, strlen(text) + 1);
		free(text);
		json_decref(v[i].msg);
	}
}
END_TEST

/* ---- the connection: sv[1] is played by the test ------------------------------------------------------------------- */

static int sv[2];
static struct vl_conn *conn;
static struct vl_error err;
static struct vl_reply reply;

static void connect_pair(void)
{
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	conn = vl_conn_new(sv[0]);
}

static void disconnect_pair(void)
{
	vl_close(conn);
	if (sv[1] >= 0)
		close(sv[1]);
}

static void peer_says(const char *bytes, size_t n)
{
	ck_assert_int_eq(write(sv[1], bytes, n), (ssize_t)n);
}

START_TEST(replies_come_in_order_however_they_are_cut)
{
	static const char two[] = "{\"parameters\":{\"n\":1},\"continues\":true}\0{\"error\":\"a.E\"}";

	peer_says(two, 10);
	ck_assert(!vl_pending(conn));
	ck_assert_int_eq(vl_recv(conn, 0, &reply, &err), -1);
	ck_assert_int_eq(err.code, VL_ETIME);
	peer_says(two + 10, sizeof(two) - 10);
	ck_assert_int_eq(vl_recv(conn, -1, &reply, &err), 0);
	ck_assert(reply.continues && !reply.error && json_integer_value(json_object_get(reply.params, "n")) == 1);
	vl_reply_done(&reply);
	ck_assert(vl_pending(conn));
	ck_assert_int_eq(vl_recv(conn, -1, &reply, &err), 0);
	ck_assert_str_eq(reply.error, "a.E");
	ck_assert(json_is_object(reply.params) && !reply.continues);
	vl_reply_done(&reply);
	vl_reply_done(&reply);
}
END_TEST

START_TEST(the_end_of_the_peer_is_told)
{
	peer_says("{}\0{", 4);
	close(sv[1]);
	sv[1] = -1;
	ck_assert_int_eq(vl_recv(conn, -1, &reply, &err), 0);
	vl_reply_done(&reply);
	ck_assert_int_eq(vl_recv(conn, -1, &reply, &err), -1);
	ck_assert_int_eq(err.code, VL_ECLOSED);
	ck_assert_int_eq(vl_send(conn, "a.B", NULL, VL_PLAIN, -1, &err), -1);
	ck_assert_int_eq(err.code, VL_ECLOSED);
}
END_TEST

START_TEST(what_is_not_varlink_is_told)
{
	static const char two[] = "{\"parameters\":3}\0[]";

	peer_says(two, sizeof(two));
	ck_assert_int_eq(vl_recv(conn, -1, &reply, &err), -1);
	ck_assert_int_eq(err.code, VL_EPROTO);
	ck_assert_str_eq(err.text, "a reply that is not varlink: parameters must be an object, got 3");
	ck_assert_int_eq(vl_recv(conn, -1, &reply, &err), -1);
	ck_assert_int_eq(err.code, VL_EPROTO);
}
END_TEST

START_TEST(a_wake_ends_what_blocks)
{
	int p[2];

	ck_assert_int_eq(pipe(p), 0);
	vl_conn_wake(conn, p[0]);
	ck_assert_int_eq(write(p[1], "x", 1), 1);
	ck_assert_int_eq(vl_recv(conn, -1, &reply, &err), -1);
	ck_assert_int_eq(err.code, VL_EWOKEN);
	vl_conn_wake(conn, -1);
	peer_says("{}", 3);
	ck_assert_int_eq(vl_recv(conn, -1, &reply, &err), 0);
	vl_reply_done(&reply);
	close(p[0]);
	close(p[1]);
}
END_TEST

/* A peer that answers each call with as many bytes, and does not read on before it has written. */
static void echo_peer(int fd)
{
	static char buf[1 << 16];
	ssize_t n;

	while ((n = read(fd, buf, sizeof(buf))) > 0)
		for (ssize_t done = 0, w; done < n; done += w)
			if ((w = write(fd, buf + done, (size_t)(n - done))) < 0)
				_exit(1);
	_exit(0);
}

START_TEST(many_calls_before_the_first_reply_do_not_deadlock)
{
	const int n = 2000;
	char *text = malloc(5000);
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		close(sv[0]);
		echo_peer(sv[1]);
	}
	close(sv[1]);
	sv[1] = -1;
	memset(text, ' ', 5000);
	memcpy(text, "{\"parameters\":{}", 16);
	memcpy(text + 4998, "}", 2);
	for (int i = 0; i < n; i++)
		ck_assert_int_eq(vl_send_text(conn, text, 5000, -1, &err), 0);
	for (int i = 0; i < n; i++) {
		ck_assert_int_eq(vl_recv(conn, -1, &reply, &err), 0);
		vl_reply_done(&reply);
	}
	free(text);
	vl_close(conn);
	conn = NULL;
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
}
END_TEST

START_TEST(nobody_at_the_path_is_told_with_the_path)
{
	char *longer = malloc(500);

	ck_assert_ptr_null(vl_connect("/nonexistent/jobd", 1000, &err));
	ck_assert_int_eq(err.code, VL_ECONNECT);
	ck_assert_str_eq(err.text, "cannot connect to /nonexistent/jobd: No such file or directory");
	memset(longer, 'x', 499);
	longer[499] = '\0';
	ck_assert_ptr_null(vl_connect(longer, 1000, &err));
	ck_assert_int_eq(err.code, VL_ECONNECT);
	free(longer);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("varlink");
	TCase *messages = tcase_create("messages"), *connection = tcase_create("connection");

	tcase_add_test(messages, what_is_not_strict_json_is_refused);
	tcase_add_test(messages, every_truncation_is_refused);
	tcase_add_test(messages, depth_is_bounded_before_anything_recurses);
	tcase_add_test(messages, calls_are_read);
	tcase_add_test(messages, messages_have_no_key_that_a_client_might_refuse);
	tcase_add_checked_fixture(connection, connect_pair, disconnect_pair);
	tcase_set_timeout(connection, 60);
	tcase_add_test(connection, replies_come_in_order_however_they_are_cut);
	tcase_add_test(connection, the_end_of_the_peer_is_told);
	tcase_add_test(connection, what_is_not_varlink_is_told);
	tcase_add_test(connection, a_wake_ends_what_blocks);
	tcase_add_test(connection, many_calls_before_the_first_reply_do_not_deadlock);
	tcase_add_test(connection, nobody_at_the_path_is_told_with_the_path);
	suite_add_tcase(suite, messages);
	suite_add_tcase(suite, connection);
	return play_suite(suite);
}
