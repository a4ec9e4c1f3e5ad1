/* SPDX-License-Identifier: MIT */
/* A runner that runs nothing: see engine_kit.h. */
#include <event2/event.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "engine_kit.h"
#include "fuzz.h"
#include "proto/runner_msg.h"

#define SLEEPERS_MAX 64
#define SEND_BUFFER (4 * 1024 * 1024)

static struct fake {
	struct event_base *base;
	struct rm_kill sleepers[SLEEPERS_MAX];  /* that have been started and not been killed */
	size_t n_sleepers;
	struct rm_packet out;
} fake;

static void say(const struct rm_msg *m)
{
	must(rm_put(&fake.out, m) == 0);
}

static void say_end(uint64_t job, uint32_t attempt, enum rm_how how, int code, enum rm_cause cause)
{
	struct rm_msg m = { .type = RM_ENDED };

	m.u.end = (struct rm_end){ .job = job, .attempt = attempt, .how = (uint8_t)how, .code = code, .cause = (uint8_t)cause, .pid = 2,
				   .started_at_us = 1, .ended_at_us = 2, .wall_ns = 1000 };
	say(&m);
}

static bool says(const struct rm_start *st, const char *word)
{
	return memmem(st->argv, st->argv_len, word, strlen(word)) != NULL;
}

static void start(const struct rm_start *st)
{
	struct rm_msg m = { .type = RM_STARTED };

	m.u.started = (struct rm_started){ .job = st->job, .attempt = st->attempt, .pid = 2, .started_at_us = 1 };
	say(&m);
	if (says(st, "sleep") && fake.n_sleepers < SLEEPERS_MAX)
		fake.sleepers[fake.n_sleepers++] = (struct rm_kill){ .job = st->job, .attempt = st->attempt };
	else if (says(st, "signal"))
		say_end(st->job, st->attempt, RM_SIGNAL, 9, RM_BY_ITSELF);
	else if (says(st, "missing"))
		say_end(st->job, st->attempt, RM_SPAWN, 2, RM_BY_ITSELF);
	else
		say_end(st->job, st->attempt, RM_EXIT, says(st, "false"), RM_BY_ITSELF);
}

static void kill_sleeper(const struct rm_kill *k)
{
	for (size_t i = 0; i < fake.n_sleepers; i++)
		if (fake.sleepers[i].job == k->job && fake.sleepers[i].attempt == k->attempt) {
			say_end(k->job, k->attempt, RM_SIGNAL, 15, RM_BY_KILL);
			fake.sleepers[i] = fake.sleepers[--fake.n_sleepers];
			return;
		}
}

static void say_welcome(void)
{
	struct rm_msg welcome = { .type = RM_WELCOME }, ready = { .type = RM_READY };

	welcome.u.welcome = (struct rm_welcome){ .version = RM_VERSION, .pid = 2, .runner_id = "fake", .boot_id = "boot", .capacity = 1000 };
	fake.n_sleepers = 0;
	say(&welcome);
	say(&ready);
}

static void handle(struct rm_msg *m)
{
	switch (m->type) {
	case RM_HELLO:
		say_welcome();
		break;
	case RM_START:
		start(&m->u.start);
		for (int i = 0; i < RM_FDS_MAX; i++)
			if (m->u.start.fds[i] >= 0)
				close(m->u.start.fds[i]);
		break;
	case RM_KILL:
		kill_sleeper(&m->u.kill);
		break;
	default:
		break;
	}
}

/* What jobd sends is well-formed, whatever its clients send. */
static void on_packet(evutil_socket_t fd, short what, void *arg)
{
	static unsigned char buf[RM_PACKET_MAX];
	int fds[RM_FDS_MAX];
	ssize_t n = rm_recv(fd, buf, sizeof(buf), fds);
	struct rm_map map;
	struct rm_msg m;
	size_t pos = 0;
	int rc = 0;

	(void)what, (void)arg;
	must(n > 0);
	while ((rc = rm_next(buf, (size_t)n, &pos, fds, &m, &map)) == 1) {
		handle(&m);
		rm_unmap(&map);
	}
	must(rc == 0);
	must(rm_send(fd, &fake.out) == 0);
}

static void on_connection(evutil_socket_t fd, short what, void *arg)
{
	int conn = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), size = SEND_BUFFER;
	struct event *ev = event_new(fake.base, conn, EV_READ | EV_PERSIST, on_packet, NULL);

	(void)what, (void)arg;
	must(conn >= 0 && ev && event_add(ev, NULL) == 0);
	must(setsockopt(conn, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)) == 0);
}

void fake_runner_listen(struct event_base *base, const char *path)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct event *ev;

	fake.base = base;
	must(fd >= 0 && strlen(path) < sizeof(un.sun_path));
	memcpy(un.sun_path, path, strlen(path));
	must(bind(fd, (struct sockaddr *)&un, sizeof(un)) == 0 && listen(fd, 8) == 0);
	ev = event_new(base, fd, EV_READ | EV_PERSIST, on_connection, NULL);
	must(ev && event_add(ev, NULL) == 0);
}
