/* SPDX-License-Identifier: MIT */
/*
 * What the files behind server.h share.
 *
 *   server.c    sockets to sessions: accepting, caps, the turn (one frame a turn of the loop), the tick (heartbeats)
 *   session.c   bytes to frames and back, for one connection
 *   call.c      replies, in the order of the calls
 *   dispatch.c  a call to its method; org.varlink.service
 *
 *   session:  OPEN -> EOF (the client sends no more: calls under way are still answered) -> freed
 *             OPEN | EOF -> doomed (a reason is logged; nothing more is read or written) -> freed
 *
 * A session is freed from the turn alone, so that no function called by a handler frees what its caller holds.
 */
#ifndef SERVER_IMPL_H
#define SERVER_IMPL_H

#include <event2/buffer.h>
#include <event2/event.h>
#include <sys/queue.h>

#include "proto/varlink.h"
#include "server.h"

TAILQ_HEAD(session_list, session);
TAILQ_HEAD(call_list, call);

struct server {
	struct event_base *base;
	struct server_opts opts;
	struct event *listener, *accept_again, *turn, *tick;
	int listen_fd, spare_fd;        /* spare_fd: given up for a moment when descriptors run out */
	json_t *no_params;              /* {} */
	struct session_list sessions;
	struct session_list ready;      /* a whole frame waits and may be handled */
	struct session_list leaving;    /* to be freed in the next turn */
	uint32_t n_sessions;
	uint32_t n_refused;             /* since the last tick; only the first is logged at once */
	int64_t out_of_fds_at_ms;       /* when no descriptor was free the last time; 0: never */
};

struct session {
	TAILQ_ENTRY(session) link, ready_link, leaving_link;
	struct server *srv;
	struct server_peer peer;
	int fd;
	struct event *ev_read, *ev_write, *ev_deadline;
	bool reading, writing, in_deadline, is_ready, is_leaving, eof;
	bool is_mute;                   /* nobody hears it any more; what the client had said before it went is still read */

	char *in;                       /* in[start..end) is read and not handled */
	size_t start, end, cap, scanned;
	size_t frame_len;               /* of the whole frame at start, its NUL included; 0: there is none */

	struct evbuffer *out;
	size_t queued;                  /* bytes in out and held by calls */
	int64_t active_at_ms;           /* something was read or written */
	int64_t wrote_at_ms;            /* something was written, or began to wait for it */
	struct call_list calls;         /* under way, oldest first */
	uint32_t n_calls;
};

struct call {
	TAILQ_ENTRY(call) link;
	struct session *s;
	json_t *msg;
	const json_t *params;
	unsigned flags;                 /* enum vl_flags; MORE only where the method streams */
	bool ended;
	struct evbuffer *held;          /* replies that wait for those of older calls */
	int64_t spoke_at_ms;            /* last reply, for heartbeats */
	void (*on_drain)(void *arg, struct call *c);
	void *on_drain_arg;
	void (*on_abort)(void *arg, struct call *c);
	void *on_abort_arg;
	json_t *(*heartbeat)(void *arg);
	void *heartbeat_arg;
};

/* server.c */
void server_arm_turn(struct server *srv);
int64_t server_now_ms(void);

/* session.c */
void session_open(struct server *srv, int fd, const struct server_peer *peer);  /* takes fd */
void session_free(struct session *s);
void session_handle_frame(struct session *s);
/* session_doom - the end of a session, said once; it is freed in the next turn. A reason for people, or NULL: an orderly end. */
void session_doom(struct session *s, const char *reason);
/* session_progress - after a call has ended or output has left: go on with what waits. */
void session_progress(struct session *s);
void session_flush(struct session *s);
void session_check_hangup(struct session *s);
void session_check_times(struct session *s, int64_t now_ms);    /* the write deadline, the idle limit */
bool session_is_full(const struct session *s);

/* call.c */
void call_begin(struct session *s, json_t *msg, const struct vl_call *vl);     /* takes msg */
void call_abort(struct call *c);
bool call_drain_due(const struct session *s);  /* a call waits for room, and there is room */
void call_drained(struct session *s);           /* tells them */
void call_beat(struct call *c, int64_t now_ms);

/* dispatch.c */
void server_dispatch(struct call *c, const char *method);
bool server_streams(const struct server *srv, const char *method);

#endif
