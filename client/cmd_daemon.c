/* SPDX-License-Identifier: MIT */
/* status, stats, ping, shutdown: the daemon itself. None of them starts one. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "call.h"
#include "conn.h"
#include "escape.h"
#include "render.h"
#include "status.h"
#include "talk.h"
#include "times.h"
#include "verbs.h"

static int get_stats(const struct options *o, struct vl_conn **ret_conn, json_t **ret)
{
	int rc = conn_open(o, CONN_ONLY_IF_RUNNING, ret_conn);

	if (rc)
		return rc;
	rc = call(*ret_conn, "Stats", json_object(), ret);
	if (rc) {
		vl_close(*ret_conn);
		*ret_conn = NULL;
	}
	return rc;
}

/* "jobd 1.2, pid 77, " */
static void print_who(const json_t *stats)
{
	const char *version = reply_text(stats, "version");

	fputs("jobd ", stdout);
	render_text(stdout, version ? version : "?");
	printf(", pid %" JSON_INTEGER_FORMAT ", ", reply_int(stats, "pid", 0));
}

static void print_troubles(const json_t *troubles)
{
	json_t *trouble;
	size_t i;

	json_array_foreach(troubles, i, trouble) {
		printf("since %.19sZ: ", reply_text(trouble, "since") ? reply_text(trouble, "since") : "?");
		render_text(stdout, reply_text(trouble, "text") ? reply_text(trouble, "text") : "?");
		putchar('\n');
	}
}

static void print_status(const json_t *s)
{
	const json_t *t = json_object_get(s, "totals");
	char up[64];

	print_who(s);
	printf("up %s: ", times_show_seconds(reply_real(s, "uptime_s", -1), up, sizeof(up)));
	render_state(stdout, reply_text(s, "state") ? reply_text(s, "state") : "?");
	printf("%s\n", json_is_true(json_object_get(s, "idle")) ? ", idle" : "");
	printf("%" JSON_INTEGER_FORMAT " open run%s; jobs: %" JSON_INTEGER_FORMAT " running in %" JSON_INTEGER_FORMAT " slots, %"
	       JSON_INTEGER_FORMAT " waiting, %" JSON_INTEGER_FORMAT " backing off, %" JSON_INTEGER_FORMAT " held\n",
	       reply_int(t, "runs_open", 0), reply_int(t, "runs_open", 0) == 1 ? "" : "s", reply_int(t, "running", 0), reply_int(t, "slots", 0),
	       reply_int(t, "waiting", 0), reply_int(t, "backoff", 0), reply_int(t, "held", 0));
	print_troubles(json_object_get(s, "troubles"));
}

static void print_total(const char *key, const json_t *value)
{
	char *name = escape_new(key);

	if (json_is_integer(value))
		printf("%-20s %" JSON_INTEGER_FORMAT "\n", name, json_integer_value(value));
	else if (json_is_real(value))
		printf("%-20s %.3f\n", name, json_real_value(value));
	free(name);
}

static void print_totals(const json_t *s)
{
	const char *key;
	json_t *value;

	json_object_foreach(json_object_get(s, "totals"), key, value)
		print_total(key, value);
}

static int show_stats(const struct options *o, void (*print)(const json_t *))
{
	struct vl_conn *conn;
	json_t *stats = NULL;
	int rc = get_stats(o, &conn, &stats);

	if (rc)
		return rc;
	if (o->json)
		render_json(stdout, stats);
	else
		print(stats);
	json_decref(stats);
	vl_close(conn);
	return 0;
}

int cmd_status(const struct options *o)
{
	return show_stats(o, print_status);
}

int cmd_stats(const struct options *o)
{
	return show_stats(o, print_totals);
}

int cmd_ping(const struct options *o)
{
	struct timespec before, after;
	struct vl_conn *conn;
	json_t *stats = NULL;
	double ms;
	int rc;

	clock_gettime(CLOCK_MONOTONIC, &before);
	rc = get_stats(o, &conn, &stats);
	clock_gettime(CLOCK_MONOTONIC, &after);
	if (rc)
		return rc;
	ms = (double)(after.tv_sec - before.tv_sec) * 1e3 + (double)(after.tv_nsec - before.tv_nsec) / 1e6;
	if (o->json) {
		printf("{\"pid\":%" JSON_INTEGER_FORMAT ",\"ms\":%.3f}\n", reply_int(stats, "pid", 0), ms);
	} else {
		print_who(stats);
		printf("answered in %.2f ms\n", ms);
	}
	json_decref(stats);
	vl_close(conn);
	return 0;
}

/* ---- shutdown --------------------------------------------------------------------------------------------------------- */

#define EXIT_MS 10000           /* from its last word to its end */

/* Until the process has gone, and with it its locks. What the daemon said of its number may be wrong: that is no reason to wait for ever. */
static void await_exit(int pidfd)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };

	while (poll(&p, 1, EXIT_MS) < 0 && errno == EINTR)
		;
}

/* The end of the connection comes with the end of the daemon. */
static void await_close(struct vl_conn *conn)
{
	struct vl_reply r = { 0 };
	struct vl_error err;

	while (vl_recv(conn, -1, &r, &err) == 0)
		vl_reply_done(&r);
}

/* A daemon in another pid namespace tells a number that means another process here, or none. */
static int open_process(const struct vl_conn *conn, pid_t pid)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (getsockopt(vl_conn_fd(conn), SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0 || peer.pid != pid)
		return -1;
	return pidfd_open(pid, 0);
}

static int shut_down(const struct options *o, struct vl_conn *conn, pid_t pid)
{
	int pidfd = open_process(conn, pid), rc;
	json_t *params = o->drain || o->kill ? json_pack("{s:s}", "mode", o->kill ? "kill" : "drain") : json_object(), *reply = NULL;
	json_int_t running;

	rc = call(conn, "Shutdown", params, &reply);
	running = reply_int(reply, "running", 0);
	json_decref(reply);
	if (rc == 0)
		await_close(conn);
	if (rc == 0 && pidfd >= 0)
		await_exit(pidfd);
	if (rc == 0 && running > 0 && !o->kill && !o->drain)
		mention("%" JSON_INTEGER_FORMAT " %s on; the next daemon takes %s over", running, running == 1 ? "job runs" : "jobs run",
			running == 1 ? "it" : "them");
	if (pidfd >= 0)
		close(pidfd);
	return rc;
}

int cmd_shutdown(const struct options *o)
{
	struct vl_conn *conn;
	json_t *stats = NULL;
	int rc;

	if (o->drain && o->kill)
		return complain(CTL_USAGE, "--drain waits for what runs, --kill cancels it; choose one");
	rc = get_stats(o, &conn, &stats);
	if (rc)
		return rc;
	rc = shut_down(o, conn, (pid_t)reply_int(stats, "pid", 0));
	json_decref(stats);
	vl_close(conn);
	return rc;
}
