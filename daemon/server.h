/* SPDX-License-Identifier: MIT */
/*
 * Server - varlink over Unix sockets: listening, sessions, frames, dispatch, replies. Knows nothing about jobs: an interface is a
 * description text and a table of methods. Runs on the loop thread.
 *
 * Rules (DESIGN, Protocol): frames of at most 1 MiB; one frame parsed a turn of the loop; several calls of a session may be in
 * progress (at most SERVER_PIPELINE, then it is not read), their replies leave in the order of the calls; malformed frames close
 * the connection with a logged reason; a reader that lags more than a byte limit behind is cut off; a heartbeat on idle streams.
 * Who is one too many is told so, in one error reply, and closed.
 */
#ifndef SERVER_H
#define SERVER_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct event_base;
struct server;
struct session;
struct call;

#define SERVER_FRAME_MAX (1024 * 1024)
#define SERVER_DEPTH_MAX 32
#define SERVER_PIPELINE 64

struct server_peer {
	uid_t uid;
	gid_t gid;
	pid_t pid;              /* 0: gone or in another namespace */
};

/* A handler takes over the call: it must end it exactly once with call_reply or call_error, now or later, unless the call was
 * aborted (see call_on_abort). params: borrowed until the call ends; an object, never NULL. */
typedef void (*method_fn)(void *ctx, struct call *call, const json_t *params);
struct server_method {
	const char *name;               /* "org.jobd.Submit" */
	method_fn fn;
	bool streams;                   /* may be called with `more` */
};

struct server_opts {
	const char *vendor, *product, *version, *url;   /* org.varlink.service.GetInfo */
	const char *interface;                          /* "org.jobd" */
	const char *description;                        /* the .varlink text */
	const struct server_method *methods;            /* ends with name NULL */
	void *ctx;
	uint32_t max_sessions, max_sessions_per_uid;    /* 0: defaults 1000, 64 (root is not limited) */
	size_t out_max;                                 /* bytes a session may lag behind; 0: 8 MiB */
	int heartbeat_s;                                /* 0: 30 */
	int frame_deadline_ms;                          /* for the rest of a frame that has begun; 0: 10000 */
	int write_deadline_ms;                          /* for a reader to take the next bytes that wait for it; 0: 10 minutes */
	int idle_ms;                                    /* for a session without a call; 0: an hour */
	const char *busy;                               /* error that is said to who is one too many: "org.jobd.Busy" */
	void (*on_close)(void *ctx, struct session *s); /* a session ends; may be NULL */
};

struct server *server_new(struct event_base *base, const struct server_opts *opts);
void server_free(struct server *srv);
/* server_listen - serve a bound, listening socket; takes it. */
int server_listen(struct server *srv, int fd);
/* server_stop_listening - no further connections; sessions live on. */
void server_stop_listening(struct server *srv);
/* server_drain - writes out the replies that were given, for at most so long, and does nothing else: no call is taken, no handler called. */
void server_drain(struct server *srv, int ms);
uint32_t server_sessions(const struct server *srv);
/* server_out_of_fds_ms - how long ago a connection could not be accepted for want of a descriptor; -1: never. */
int64_t server_out_of_fds_ms(const struct server *srv);

const struct server_peer *session_peer(const struct session *s);

struct session *call_session(const struct call *c);
bool call_wants_more(const struct call *c);
/* Whether the session's output is so full that a stream should wait; call_on_drain's fn is called (once) when it is not any more. */
bool call_is_full(const struct call *c);
void call_on_drain(struct call *c, void (*fn)(void *arg, struct call *c), void *arg);
/* fn is called when the client goes away before the call has ended; the call is gone when it returns. */
void call_on_abort(struct call *c, void (*fn)(void *arg, struct call *c), void *arg);

/* Replies take params (NULL: {}) and never call back. call_continue only when call_wants_more. A oneway call is answered all the same;
 * nothing is sent. After call_reply, call_error and call_invalid the call is gone. */
void call_continue(struct call *c, json_t *params);
void call_continue_text(struct call *c, char *text, size_t len);        /* the message itself, its NUL counted; takes text (malloc) */
void call_reply(struct call *c, json_t *params);
void call_error(struct call *c, const char *error, json_t *params);     /* "org.jobd.Refused" */
void call_invalid(struct call *c, const char *parameter);               /* org.varlink.service.InvalidParameter */
void call_set_heartbeat(struct call *c, json_t *(*make)(void *arg), void *arg);  /* what a heartbeat reply of this stream holds */

/* Errors every interface has (org.varlink.service). The server itself answers the first four. */
#define SERVER_METHOD_NOT_FOUND "org.varlink.service.MethodNotFound"
#define SERVER_INTERFACE_NOT_FOUND "org.varlink.service.InterfaceNotFound"
#define SERVER_METHOD_NOT_IMPLEMENTED "org.varlink.service.MethodNotImplemented"        /* a table entry whose fn is NULL */
#define SERVER_INVALID_PARAMETER "org.varlink.service.InvalidParameter"
#define SERVER_PERMISSION_DENIED "org.varlink.service.PermissionDenied"
#define SERVER_EXPECTED_MORE "org.varlink.service.ExpectedMore"

#endif
