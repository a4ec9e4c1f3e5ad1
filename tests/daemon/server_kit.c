/* SPDX-License-Identifier: MIT */
#include "server_kit.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <poll.h>
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

#include "proto/arena.h"
#include "proto/fields.h"

const char kit_description[] = "interface org.test\n\nmethod Echo() -> ()\n";

/* ---- in the server's process ---------------------------------------------------------------------------------------- */

#define PARKED_MAX 256

static struct event_base *base;
static struct server *server;
static struct call *parked[PARKED_MAX];
static int64_t n_parked, n_aborted;

struct wait_params {
	int64_t parked, aborted, sessions;
};
static struct call *waiting;
static struct wait_params waiting_for;

/* Whatever changes a count comes here. */
static void look_at_waiting(void)
{
	struct call *c = waiting;

	if (!c || n_parked < waiting_for.parked || n_aborted < waiting_for.aborted)
		return;
	if (waiting_for.sessions && server_sessions(server) != waiting_for.sessions)
		return;
	waiting = NULL;
	call_reply(c, NULL);
}

static void echo(void *ctx, struct call *c, const json_t *params)
{
	(void)ctx;
	call_reply(c, json_incref((json_t *)(uintptr_t)params));
}

static void on_parked_abort(void *arg, struct call *c)
{
	(void)arg;
	for (int64_t i = 0; i < n_parked; i++)
		if (parked[i] == c)
			parked[i] = parked[--n_parked];
	n_aborted++;
	look_at_waiting();
}

static void park(void *ctx, struct call *c, const json_t *params)
{
	(void)ctx, (void)params;
	if (n_parked == PARKED_MAX)
		abort();
	parked[n_parked++] = c;
	call_on_abort(c, on_parked_abort, NULL);
	look_at_waiting();
}

/* The youngest first: it is the server that keeps the order. */
static void unpark(void *ctx, struct call *c, const json_t *params)
{
	int64_t n = n_parked;

	(void)ctx, (void)params;
	for (int64_t i = n; i > 0; i--) {
		n_parked--;
		call_reply(parked[i - 1], json_pack("{s:I}", "n", (json_int_t)i));
	}
	call_reply(c, json_pack("{s:I}", "n", (json_int_t)n));
}

static void on_waiting_abort(void *arg, struct call *c)
{
	(void)arg, (void)c;
	waiting = NULL;
}

static void wait_for_counts(void *ctx, struct call *c, const json_t *params)
{
	static const struct field fields[] = {
		FIELD_INT("parked", struct wait_params, parked, 0, PARKED_MAX, 0),
		FIELD_INT("aborted", struct wait_params, aborted, 0, 1000000, 0),
		FIELD_INT("sessions", struct wait_params, sessions, 0, 1000000, 0),
		FIELD_END
	};
	struct field_error err;

	(void)ctx;
	waiting_for = (struct wait_params){ 0 };
	if (fields_read(fields, params, &waiting_for, NULL, &err) < 0) {
		call_invalid(c, err.field);
		return;
	}
	waiting = c;
	call_on_abort(c, on_waiting_abort, NULL);
	look_at_waiting();
}

struct stream {
	int64_t n, size;
	bool polite;
};

static json_t *padding(int64_t size)
{
	char *text = malloc((size_t)size + 1);
	json_t *params;

	memset(text, 'x', (size_t)size);
	text[size] = '\0';
	params = json_pack("{s:s}", "pad", text);
	free(text);
	return params;
}

static void stop_streaming(void *arg, struct call *c)
{
	(void)c;
	n_aborted++;
	free(arg);
	look_at_waiting();
}

static void go_on_streaming(void *arg, struct call *c)
{
	struct stream *st = arg;

	for (; st->n > 1; st->n--) {
		if (st->polite && call_is_full(c)) {
			call_on_drain(c, go_on_streaming, st);
			return;
		}
		call_continue(c, padding(st->size));
	}
	call_reply(c, padding(st->size));
	free(st);
}

static void start_streaming(struct call *c, const json_t *params, bool polite)
{
	static const struct field fields[] = {
		FIELD_INT("n", struct stream, n, 1, 1000000, FIELD_REQUIRED),
		FIELD_INT("size", struct stream, size, 0, 10000000, FIELD_REQUIRED),
		FIELD_END
	};
	struct stream *st = calloc(1, sizeof(*st));
	struct field_error err;

	st->polite = polite;
	if (fields_read(fields, params, st, NULL, &err) < 0) {
		call_invalid(c, err.field);
		free(st);
	} else if (!call_wants_more(c)) {
		call_error(c, SERVER_EXPECTED_MORE, NULL);
		free(st);
	} else {
		call_on_abort(c, stop_streaming, st);
		go_on_streaming(st, c);
	}
}

static void stream(void *ctx, struct call *c, const json_t *params)
{
	(void)ctx;
	start_streaming(c, params, true);
}

static void flood(void *ctx, struct call *c, const json_t *params)
{
	(void)ctx;
	start_streaming(c, params, false);
}

static json_t *make_beat(void *arg)
{
	(void)arg;
	return json_pack("{s:b}", "beat", 1);
}

static void beat(void *ctx, struct call *c, const json_t *params)
{
	(void)ctx, (void)params;
	call_set_heartbeat(c, make_beat, NULL);
}

static void out_of_fds(void *ctx, struct call *call, const json_t *params)
{
	(void)ctx, (void)params;
	call_reply(call, json_pack("{s:b}", "seen", server_out_of_fds_ms(server) >= 0));
}

static void stop_listening(void *ctx, struct call *c, const json_t *params)
{
	(void)ctx, (void)params;
	server_stop_listening(server);
	call_reply(c, NULL);
}

static void on_close(void *ctx, struct session *s)
{
	(void)ctx, (void)s;
}

static const struct server_method methods[] = {
	{ .name = "org.test.Echo", .fn = echo },
	{ .name = "org.test.Park", .fn = park },
	{ .name = "org.test.Unpark", .fn = unpark },
	{ .name = "org.test.Wait", .fn = wait_for_counts },
	{ .name = "org.test.Stream", .fn = stream, .streams = true },
	{ .name = "org.test.Flood", .fn = flood, .streams = true },
	{ .name = "org.test.Beat", .fn = beat, .streams = true },
	{ .name = "org.test.Missing" },
	{ .name = "org.test.OutOfFds", .fn = out_of_fds },
	{ .name = "org.test.StopListening", .fn = stop_listening },
	{ .name = NULL },
};

static void on_term(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what, (void)arg;
	event_base_loopbreak(base);
}

/* Counts of sessions change without a call: look at them in every round of the loop. */
static void run_loop(void)
{
	while (!event_base_got_break(base) && event_base_loop(base, EVLOOP_ONCE) == 0)
		look_at_waiting();
}

static int count_files(void)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	close(fd);
	return fd;
}

static void limit_files(int max_files)
{
	struct rlimit r = { 0 };

	getrlimit(RLIMIT_NOFILE, &r);
	r.rlim_cur = max_files ? (rlim_t)(count_files() + max_files) : r.rlim_max;
	setrlimit(RLIMIT_NOFILE, &r);
}

static void serve(const struct server_opts *given, int max_files, int listen_fd)
{
	struct server_opts opts = given ? *given : (struct server_opts){ 0 };
	struct event *term;

	opts.vendor = "jobd";
	opts.product = "test";
	opts.version = "1";
	opts.url = "https://example.org/";
	opts.interface = "org.test";
	opts.description = kit_description;
	opts.methods = methods;
	opts.on_close = on_close;
	base = event_base_new();
	server = server_new(base, &opts);
	term = evsignal_new(base, SIGTERM, on_term, NULL);
	if (server_listen(server, listen_fd) < 0 || event_add(term, NULL) < 0)
		_exit(1);
	limit_files(max_files);
	run_loop();
	event_free(term);
	server_free(server);
	event_base_free(base);
}

/* ---- in the test's process ------------------------------------------------------------------------------------------ */

static char folder[64] = "", path[128], log_path[128];
static pid_t server_pid;

const char *kit_socket(void)
{
	return path;
}

static int listen_here(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memcpy(a.sun_path, path, strlen(path) + 1);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	ck_assert_int_eq(listen(fd, 4096), 0);
	ck_assert_int_eq(chmod(path, 0777), 0);
	return fd;
}

void kit_start(const struct server_opts *opts, int max_files)
{
	const char *tmp = getenv("TMPDIR");
	int fd;

	(void)snprintf(folder, sizeof(folder), "%s/jobd.XXXXXX", tmp && strlen(tmp) < 40 ? tmp : "/tmp");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	ck_assert_int_eq(chmod(folder, 0755), 0);
	(void)snprintf(path, sizeof(path), "%s/socket", folder);
	(void)snprintf(log_path, sizeof(log_path), "%s/log", folder);
	fd = listen_here();
	server_pid = fork();
	if (server_pid == 0) {
		int log = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

		dup2(log, STDERR_FILENO);
		serve(opts, max_files, fd);
		exit(0);
	}
	close(fd);
}

static void check_status(int status)
{
	char line[512];
	FILE *f = fopen(log_path, "r");

	while (status && f && fgets(line, sizeof(line), f))
		fputs(line, stderr);
	if (f)
		fclose(f);
	ck_assert_msg(status == 0, "the server ended with status %#x", (unsigned)status);
}

void kit_stop(void)
{
	int status;

	kill(server_pid, SIGTERM);
	ck_assert_int_eq(waitpid(server_pid, &status, 0), server_pid);
	server_pid = 0;
	check_status(status);
}

int kit_logged(const char *words)
{
	char line[4096];
	FILE *f = fopen(log_path, "r");
	int n = 0;

	ck_assert_ptr_nonnull(f);
	while (fgets(line, sizeof(line), f))
		n += strstr(line, words) != NULL;
	fclose(f);
	return n;
}

void kit_done(void)
{
	if (server_pid > 0)
		kit_stop();
	if (!folder[0])
		return;
	unlink(log_path);
	unlink(path);
	rmdir(folder);
}

/* ---- clients ---------------------------------------------------------------------------------------------------------- */

int kit_connect(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_ge(fd, 0);
	memcpy(a.sun_path, path, strlen(path) + 1);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

/* A server that has closed already has heard enough. */
void kit_say(int fd, const char *bytes, size_t n)
{
	while (n) {
		ssize_t done = send(fd, bytes, n, MSG_NOSIGNAL);

		if (done < 0 && (errno == EPIPE || errno == ECONNRESET))
			return;
		ck_assert_int_gt(done, 0);
		bytes += done;
		n -= (size_t)done;
	}
}

size_t kit_hear_end(int fd)
{
	char buf[65536];
	size_t total = 0;
	ssize_t n;

	while ((n = recv(fd, buf, sizeof(buf), 0)) > 0)
		total += (size_t)n;
	ck_assert_msg(n == 0 || errno == ECONNRESET, "recv: %s", strerror(errno));
	close(fd);
	return total;
}

void kit_hear(int fd, const char *text)
{
	size_t len = strlen(text) + 1, have = 0;
	char *buf = calloc(1, len + 1);

	while (have < len) {
		ssize_t n = recv(fd, buf + have, len - have, 0);

		ck_assert_msg(n > 0, "the connection ended after \"%s\"", buf);
		have += (size_t)n;
	}
	ck_assert_str_eq(buf, text);
	free(buf);
}

struct vl_conn *kit_open(void)
{
	struct vl_error err;
	struct vl_conn *c = vl_connect(path, 60000, &err);

	ck_assert_msg(c != NULL, "%s", err.text);
	return c;
}

void kit_send(struct vl_conn *c, const char *method, const char *params, unsigned flags)
{
	struct vl_error err;
	json_error_t jerr;
	int rc = vl_send(c, method, params ? json_loads(params, 0, &jerr) : NULL, flags, 60000, &err);

	ck_assert_msg(rc == 0, "%s", err.text);
}

const char *kit_recv(struct vl_conn *c)
{
	static char *text, *both;
	struct vl_reply r = { 0 };
	struct vl_error err;
	int rc = vl_recv(c, 60000, &r, &err), n;

	ck_assert_msg(rc == 0, "%s", err.text);
	free(text);
	free(both);
	text = json_dumps(r.params, JSON_COMPACT | JSON_SORT_KEYS);
	n = asprintf(&both, "%s%s%s%s", r.error ? r.error : "", r.error ? " " : "", text, r.continues ? " ..." : "");
	ck_assert_int_gt(n, 0);
	vl_reply_done(&r);
	return both;
}

const char *kit_call(struct vl_conn *c, const char *method, const char *params, unsigned flags)
{
	kit_send(c, method, params, flags);
	return kit_recv(c);
}

void kit_still_answers(void)
{
	struct vl_conn *c = kit_open();

	ck_assert_str_eq(kit_call(c, "org.test.Echo", "{\"still\":true}", VL_PLAIN), "{\"still\":true}");
	vl_close(c);
}

char *kit_echo_of(size_t n)
{
	static const char head[] = "{\"method\":\"org.test.Echo\",\"parameters\":{\"a\":\"", tail[] = "\"}}";
	char *text = malloc(n);

	memset(text, 'x', n);
	memcpy(text, head, sizeof(head) - 1);
	memcpy(text + n - sizeof(tail), tail, sizeof(tail));
	return text;
}

TCase *kit_case(Suite *suite, const char *name)
{
	TCase *tc = tcase_create(name);

	tcase_add_checked_fixture(tc, NULL, kit_done);
	tcase_set_timeout(tc, 100);
	suite_add_tcase(suite, tc);
	return tc;
}
