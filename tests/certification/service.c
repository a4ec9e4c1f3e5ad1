/* SPDX-License-Identifier: MIT */
/*
 * service SOCKET - the interface org.varlink.certification on jobd's server layer, for clients that nobody here wrote.
 *
 * Each test takes what the one before it answered. What a client sends is compared with what is due as a whole. `ready` on standard
 * output says that the socket can be connected to; the service ends when its standard input is closed.
 */
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon/server.h"

#define INTERFACE "org.varlink.certification"

static const char description[] =
	"# Interface to test varlink implementations against.\n"
	"interface org.varlink.certification\n"
	"\n"
	"type Interface (foo: ?[]?[string](foo, bar, baz), anon: (foo: bool, bar: bool))\n"
	"type MyType (\n"
	"  object: object,\n"
	"  enum: (one, two, three),\n"
	"  struct: (first: int, second: string),\n"
	"  array: []string,\n"
	"  dictionary: [string]string,\n"
	"  stringset: [string](),\n"
	"  nullable: ?string,\n"
	"  nullable_array_struct: ?[](first: int, second: string),\n"
	"  interface: Interface\n"
	")\n"
	"method Start() -> (client_id: string)\n"
	"method Test01(client_id: string) -> (bool: bool)\n"
	"method Test02(client_id: string, bool: bool) -> (int: int)\n"
	"method Test03(client_id: string, int: int) -> (float: float)\n"
	"method Test04(client_id: string, float: float) -> (string: string)\n"
	"method Test05(client_id: string, string: string) -> (bool: bool, int: int, float: float, string: string)\n"
	"method Test06(client_id: string, bool: bool, int: int, float: float, string: string)\n"
	"  -> (struct: (bool: bool, int: int, float: float, string: string))\n"
	"method Test07(client_id: string, struct: (bool: bool, int: int, float: float, string: string)) -> (map: [string]string)\n"
	"method Test08(client_id: string, map: [string]string) -> (set: [string]())\n"
	"method Test09(client_id: string, set: [string]()) -> (mytype: MyType)\n"
	"method Test10(client_id: string, mytype: MyType) -> (string: string)\n"
	"method Test11(client_id: string, last_more_replies: []string) -> ()\n"
	"method End(client_id: string) -> (all_ok: bool)\n"
	"error ClientIdError ()\n"
	"error CertificationError (wants: object, got: object)\n";

#define PI "3.141592653589793"
#define FIELDS(x) "{\"bool\":" x ",\"int\":2,\"float\":" PI ",\"string\":\"a lot of string\"}"
#define MAP "{\"foo\":\"Foo\",\"bar\":\"Bar\"}"
#define SET "{\"one\":{},\"two\":{},\"three\":{}}"
#define MYTYPE \
	"{\"object\":{\"method\":\"org.varlink.certification.Test09\",\"parameters\":{\"map\":" MAP "}},\"enum\":\"two\"," \
	"\"struct\":{\"first\":1,\"second\":\"2\"},\"array\":[\"one\",\"two\",\"three\"],\"dictionary\":" MAP ",\"stringset\":" SET "," \
	"\"nullable\":null,\"nullable_array_struct\":null,\"interface\":{\"foo\":[null,{\"Foo\":\"foo\",\"Bar\":\"bar\"},null," \
	"{\"one\":\"foo\",\"two\":\"bar\"}],\"anon\":{\"foo\":true,\"bar\":false}}}"
#define REPLIES \
	"\"Reply number 1\",\"Reply number 2\",\"Reply number 3\",\"Reply number 4\",\"Reply number 5\",\"Reply number 6\"," \
	"\"Reply number 7\",\"Reply number 8\",\"Reply number 9\",\"Reply number 10\""

/* What each test wants, and what it answers. */
static const struct step {
	const char *wants, *answers;
} steps[] = {
	{ "{}", "{\"bool\":true}" },
	{ "{\"bool\":true}", "{\"int\":1}" },
	{ "{\"int\":1}", "{\"float\":1.0}" },
	{ "{\"float\":1.0}", "{\"string\":\"ping\"}" },
	{ "{\"string\":\"ping\"}", FIELDS("false") },
	{ FIELDS("false"), "{\"struct\":" FIELDS("false") "}" },
	{ "{\"struct\":" FIELDS("false") "}", "{\"map\":" MAP "}" },
	{ "{\"map\":" MAP "}", "{\"set\":" SET "}" },
	{ "{\"set\":" SET "}", "{\"mytype\":" MYTYPE "}" },
	{ "{\"mytype\":" MYTYPE "}", NULL },
	{ "{\"last_more_replies\":[" REPLIES "]}", "{}" },
};

static unsigned n_clients, n_oneway;    /* client ids are "1", "2", ... */
static bool failed;

static json_t *parse(const char *text)
{
	json_error_t err;
	json_t *v = json_loads(text, 0, &err);

	if (!v) {
		fprintf(stderr, "%s: %s\n", text, err.text);
		abort();
	}
	return v;
}

static bool same(const json_t *a, const json_t *b);

/* Members that are null and members that are absent are the same. */
static bool same_members(const json_t *a, const json_t *b)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)a, key, value)
		if (!same(value, json_object_get(b, key)))
			return false;
	return true;
}

/* Equal, where 1 and 1.0 are one number. */
static bool same(const json_t *a, const json_t *b)
{
	size_t n = json_array_size(a);

	if (!a || json_is_null(a))
		return !b || json_is_null(b);
	if (json_is_number(a) && json_is_number(b))
		return json_number_value(a) >= json_number_value(b) && json_number_value(a) <= json_number_value(b);
	if (json_is_object(a) && json_is_object(b))
		return same_members(a, b) && same_members(b, a);
	if (!json_is_array(a) || !json_is_array(b))
		return json_equal(a, b);
	for (size_t i = 0; i < n; i++)
		if (!same(json_array_get(a, i), json_array_get(b, i)))
			return false;
	return n == json_array_size(b);
}

static void refuse(struct call *c, const json_t *wants, const json_t *got)
{
	failed = true;
	call_error(c, INTERFACE ".CertificationError", json_pack("{s:O, s:O}", "wants", wants, "got", got));
}

/* The client's own parameters, without its id; NULL: the id is unknown and the call has been answered. */
static json_t *take_params(struct call *c, const json_t *params)
{
	const char *id = json_string_value(json_object_get(params, "client_id"));
	json_t *rest;

	if (!id || strspn(id, "0123456789") != strlen(id) || strtoul(id, NULL, 10) - 1 >= n_clients) {
		call_error(c, INTERFACE ".ClientIdError", NULL);
		return NULL;
	}
	rest = json_copy((json_t *)(uintptr_t)params);
	json_object_del(rest, "client_id");
	return rest;
}

static void stream(struct call *c)
{
	char text[32];

	for (int i = 1; i <= 10; i++) {
		(void)snprintf(text, sizeof(text), "Reply number %d", i);
		if (i < 10)
			call_continue(c, json_pack("{s:s}", "string", text));
		else
			call_reply(c, json_pack("{s:s}", "string", text));
	}
}

static void step(struct call *c, const json_t *params, int n)
{
	json_t *wants = parse(steps[n].wants), *got = take_params(c, params);

	if (!got)
		failed = true;
	else if (!same(wants, got))
		refuse(c, wants, got);
	else if (steps[n].answers)
		call_reply(c, parse(steps[n].answers));
	else if (call_wants_more(c))
		stream(c);
	else
		call_error(c, SERVER_EXPECTED_MORE, NULL);
	json_decref(got);
	json_decref(wants);
}

#define STEP(n) \
	static void test_##n(void *ctx, struct call *c, const json_t *params) \
	{ \
		(void)ctx; \
		step(c, params, n - 1); \
	}
STEP(1) STEP(2) STEP(3) STEP(4) STEP(5) STEP(6) STEP(7) STEP(8) STEP(9) STEP(10)

static void test_11(void *ctx, struct call *c, const json_t *params)
{
	(void)ctx;
	n_oneway++;
	step(c, params, 10);
}

static void start(void *ctx, struct call *c, const json_t *params)
{
	char id[16];

	(void)ctx, (void)params;
	(void)snprintf(id, sizeof(id), "%u", ++n_clients);
	call_reply(c, json_pack("{s:s}", "client_id", id));
}

static void end(void *ctx, struct call *c, const json_t *params)
{
	json_t *got = take_params(c, params);

	(void)ctx;
	if (got)
		call_reply(c, json_pack("{s:b}", "all_ok", !failed && n_oneway == 1));
	json_decref(got);
}

#define METHOD(n, f, s) { .name = INTERFACE "." n, .fn = f, .streams = s }
static const struct server_method methods[] = {
	METHOD("Start", start, false), METHOD("Test01", test_1, false), METHOD("Test02", test_2, false), METHOD("Test03", test_3, false),
	METHOD("Test04", test_4, false), METHOD("Test05", test_5, false), METHOD("Test06", test_6, false), METHOD("Test07", test_7, false),
	METHOD("Test08", test_8, false), METHOD("Test09", test_9, false), METHOD("Test10", test_10, true), METHOD("Test11", test_11, false),
	METHOD("End", end, false), { .name = NULL },
};

static int listen_at(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || strlen(path) >= sizeof(a.sun_path))
		return -1;
	memcpy(a.sun_path, path, strlen(path));
	return bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, 16) < 0 ? -1 : fd;
}

static void on_stdin(evutil_socket_t fd, short what, void *arg)
{
	char c;

	(void)what;
	if (read(fd, &c, 1) <= 0)
		event_base_loopbreak(arg);
}

int main(int argc, char **argv)
{
	struct server_opts opts = { .vendor = "jobd", .product = "certification", .version = "1", .url = "https://varlink.org/",
				    .interface = INTERFACE, .description = description, .methods = methods };
	struct event_config *config = event_config_new();
	struct event_base *base;
	struct event *in;
	struct server *srv;
	int fd = argc == 2 ? listen_at(argv[1]) : -1;

	if (fd < 0 || event_config_avoid_method(config, "epoll") < 0) {        /* epoll takes no regular file as standard input */
		fprintf(stderr, "usage: service SOCKET\n");
		return 2;
	}
	base = event_base_new_with_config(config);
	event_config_free(config);
	srv = server_new(base, &opts);
	in = event_new(base, 0, EV_READ | EV_PERSIST, on_stdin, base);
	if (server_listen(srv, fd) < 0 || event_add(in, NULL) < 0)
		return 1;
	puts("ready");
	fflush(stdout);
	event_base_dispatch(base);
	event_free(in);
	server_free(srv);
	event_base_free(base);
	return failed;
}
