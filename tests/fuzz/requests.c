/* SPDX-License-Identifier: MIT */
/*
 * Requests: what a client sends over one connection, to the whole daemon. Whatever it is, the daemon goes on: every run it made can be
 * cancelled and removed, and every reply is JSON.
 *
 * Input: a byte (who it is), then the bytes of the connection. Numbers of runs are not the same every time, so the byte 1 and a digit stand
 * for the number of the n-th run that this connection makes.
 */
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine_kit.h"
#include "fuzz.h"
#include "proto/varlink.h"
#include "server_impl.h"

#define INPUT_MAX 65536
#define RUN_MARK 1
#define ROUNDS_MAX 100

/* ---- what is sent ----------------------------------------------------------------------------------------------------- */

struct text {
	char bytes[INPUT_MAX + 64];
	size_t len;
};

static void expand(const struct engine *e, const uint8_t *data, size_t size, struct text *ret)
{
	ret->len = 0;
	for (size_t i = 0; i < size && ret->len < INPUT_MAX; i++) {
		if (data[i] == RUN_MARK && i + 1 < size)
			ret->len += (size_t)snprintf(ret->bytes + ret->len, 16, "%u", e->next_run + data[++i] % 8);
		else
			ret->bytes[ret->len++] = (char)data[i];
	}
}

/* ---- what comes back -------------------------------------------------------------------------------------------------- */

static char replies[SERVER_FRAME_MAX * 16];
static size_t n_replied;

/* Whole replies are checked and dropped. */
static void check_replies(void)
{
	char *nul, *at = replies, *end = replies + n_replied;
	struct vl_reply reply;
	struct vl_why why;

	engine_kit_checks = true;
	while ((nul = memchr(at, '\0', (size_t)(end - at)))) {
		json_t *msg = vl_parse(at, (size_t)(nul - at), &why);

		must(msg && vl_reply_read(msg, &reply, &why) == 0);
		vl_reply_done(&reply);
		at = nul + 1;
	}
	engine_kit_checks = false;
	n_replied = (size_t)(end - at);
	memmove(replies, at, n_replied);
}

static void take_replies(int fd)
{
	ssize_t n;

	while ((n = recv(fd, replies + n_replied, sizeof(replies) - n_replied, MSG_DONTWAIT)) > 0) {
		n_replied += (size_t)n;
		check_replies();
	}
}

/* ---- the connection --------------------------------------------------------------------------------------------------- */

static bool has_more(const struct session *s)
{
	int unread = 0;

	return s->is_ready || (ioctl(s->fd, FIONREAD, &unread) == 0 && unread > 0 && s->reading);
}

/* Until all that was sent has been dealt with, but for calls that wait for something. */
static void converse(struct engine *e, const struct session *s, int fd)
{
	for (int i = 0; i < ROUNDS_MAX; i++) {
		event_base_loop(e->base, EVLOOP_NONBLOCK);
		take_replies(fd);
		if (server_sessions(e->server) && s->n_calls)
			engine_kit_settle();
		take_replies(fd);
		if (!server_sessions(e->server) || !has_more(s))
			return;
	}
}

static void hang_up(struct engine *e, struct session *s, int fd)
{
	close(fd);
	if (server_sessions(e->server))
		session_check_hangup(s);
	while (server_sessions(e->server))
		event_base_loop(e->base, EVLOOP_ONCE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uid_t uids[] = { 0, 1000, 1001, 65534 };
	static struct text text;
	struct engine *e = engine_kit();
	struct server_peer peer = { .pid = 1 };
	struct session *s;
	int sv[2];

	if (size < 1)
		return 0;
	peer.uid = uids[data[0] & 3];
	peer.gid = (gid_t)peer.uid;
	expand(e, data + 1, size - 1, &text);
	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, sv) == 0);
	session_open(e->server, sv[1], &peer);
	s = TAILQ_LAST(&e->server->sessions, session_list);
	must(send(sv[0], text.bytes, text.len, MSG_NOSIGNAL) == (ssize_t)text.len);
	n_replied = 0;
	converse(e, s, sv[0]);
	hang_up(e, s, sv[0]);
	engine_kit_clear();
	return 0;
}
