/* SPDX-License-Identifier: MIT */
#include "hold_up.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "buf.h"
#include "proto/varlink.h"
#include "render.h"
#include "talk.h"

#define LOOK_S 5.0
#define ANSWER_MS 1000

static double now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

void hold_up_begin(struct hold_up *h, const char *socket, const char *run, const char *path)
{
	*h = (struct hold_up){ .socket = socket, .run = run, .path = path, .look_at_s = now_s() + LOOK_S };
}

void hold_up_done(struct hold_up *h)
{
	free(h->told);
	h->told = NULL;
}

int hold_up_wait_ms(const struct hold_up *h)
{
	double left_s = h->look_at_s - now_s();

	return left_s > 0 ? (int)(left_s * 1000) + 1 : 0;
}

static void tell(struct hold_up *h, const char *message)
{
	if (message && (!h->told || strcmp(h->told, message) != 0)) {
		free(h->told);
		h->told = xstrdup(message);
		mention("%s/%s waits, the daemon is degraded: %s", h->run, h->path, message);
	} else if (!message && !h->told && !h->has_hinted && isatty(STDERR_FILENO)) {
		mention("%s/%s has not started yet; `jobctl why %s/%s` tells what it waits for", h->run, h->path, h->run, h->path);
		h->has_hinted = true;
	}
}

void hold_up_look(struct hold_up *h)
{
	struct vl_reply reply;
	struct vl_error err;
	struct vl_conn *conn;

	if (hold_up_wait_ms(h) > 0)
		return;
	h->look_at_s = now_s() + LOOK_S;
	conn = vl_connect(h->socket, ANSWER_MS, &err);
	if (!conn)
		return;
	if (vl_call(conn, "org.jobd.Stats", json_object(), 0, ANSWER_MS, &reply, &err) == 0) {
		if (!reply.error)
			tell(h, reply_text(reply.params, "message"));
		vl_reply_done(&reply);
	}
	vl_close(conn);
}
