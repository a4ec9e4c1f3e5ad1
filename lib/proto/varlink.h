/* SPDX-License-Identifier: MIT */
/*
 * Varlink: one JSON object and a NUL byte a message. What server and client share, in two parts:
 *
 *   varlink.c       frames to objects and back: pure, no I/O
 *   varlink_conn.c  a small blocking client connection over a Unix socket
 *
 * Everything that comes in is parsed strictly: duplicate keys, invalid UTF-8, `\u0000`, lone surrogates, numbers that do not fit,
 * more than VL_DEPTH_MAX levels, trailing bytes and a top level that is not an object are refused with a reason. The depth is
 * looked at before the parser recurses.
 */
#ifndef VARLINK_H
#define VARLINK_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#define VL_CALL_MAX (1024 * 1024)               /* bytes of a call, its NUL included */
#define VL_REPLY_MAX (16 * 1024 * 1024)         /* bytes of a reply that a client takes */
#define VL_DEPTH_MAX 32

/* ---- frames ------------------------------------------------------------------------------------------------------- */

struct vl_why { char text[256]; };              /* why a message is refused, for a log or a person */

/* vl_parse - `text` is a message without its NUL. A new object, or NULL with *why. */
json_t *vl_parse(const char *text, size_t len, struct vl_why *why);

/* vl_pack - the compact text of an object and its NUL; *ret_len counts the NUL. The caller frees. NULL: out of memory. */
char *vl_pack(const json_t *obj, size_t *ret_len);

enum vl_flags { VL_PLAIN = 0, VL_MORE = 1, VL_ONEWAY = 2, VL_UPGRADE = 4 };

struct vl_call {
	const char *method;                     /* borrowed from the message */
	const json_t *params;                   /* an object, borrowed; NULL where absent or null */
	unsigned flags;                         /* enum vl_flags */
};

/* vl_call_read - what a call says. 0, or -1 with *why: no method, a key or a type that no call has. */
int vl_call_read(const json_t *msg, struct vl_call *ret, struct vl_why *why);

/* New messages; params are taken (NULL: none). NULL: out of memory. */
json_t *vl_call_new(const char *method, json_t *params, unsigned flags);
json_t *vl_reply_new(json_t *params, bool continues);
json_t *vl_error_new(const char *error, json_t *params);

struct vl_reply {
	json_t *params;                         /* owned, an object, never NULL */
	const char *error;                      /* NULL: a good reply; else "org.jobd.Refused", borrowed from msg */
	bool continues;                         /* more replies of this call follow */
	json_t *msg;                            /* owned */
};
/* vl_reply_read - takes msg. 0, or -1 with *why, msg released. */
int vl_reply_read(json_t *msg, struct vl_reply *ret, struct vl_why *why);
void vl_reply_done(struct vl_reply *r);         /* of a zeroed one: does nothing */

/* ---- a client's connection ------------------------------------------------------------------------------------------ */

enum vl_code {
	VL_OK = 0,
	VL_ECONNECT,                            /* nobody answers at that path */
	VL_ETIME,                               /* the time was over; the connection is as before, but see vl_send */
	VL_ECLOSED,                             /* the other side has gone */
	VL_EPROTO,                              /* it sent what is not varlink */
	VL_EWOKEN,                              /* the wake descriptor is readable (vl_conn_wake) */
	VL_ESYS,                                /* sys_errno says it */
};

struct vl_error {
	enum vl_code code;
	int sys_errno;                          /* 0 where there is none */
	char text[512];                         /* `cannot connect to /run/jobd/socket: Connection refused` */
};

struct vl_conn;

/* vl_connect - path of a Unix socket; "@name" is an abstract one. timeout_ms -1: none. NULL with *err. */
struct vl_conn *vl_connect(const char *path, int timeout_ms, struct vl_error *err);
/* vl_conn_new - over a connected stream socket; takes it. Never NULL (out of memory ends the process). */
struct vl_conn *vl_conn_new(int fd);
void vl_close(struct vl_conn *c);               /* NULL: does nothing */
int vl_conn_fd(const struct vl_conn *c);        /* to poll on together with others; look at vl_pending first */
bool vl_pending(const struct vl_conn *c);       /* a whole reply has been read already: vl_recv will not block */

/* vl_conn_wake - from now on calls that block also end, with VL_EWOKEN, once fd (a signalfd, a pipe) is readable. -1: no more. */
void vl_conn_wake(struct vl_conn *c, int fd);

/*
 * vl_send - write one call; takes params (also on failure). Returns when the kernel has it all. Several calls may be sent before
 * the first reply is received; while the socket is full, replies are read into memory, so that both sides cannot wait for each other.
 * 0, or -1 with *err. 0 also when the other side has closed the connection and said something before: the next reply tells why.
 * After -1 with VL_ETIME or VL_EWOKEN a part of the call may be out: the connection is of no use for more calls.
 */
int vl_send(struct vl_conn *c, const char *method, json_t *params, unsigned flags, int timeout_ms, struct vl_error *err);
/* vl_send_text - the same with a message that the caller has written; len counts the NUL at its end. For bulk. */
int vl_send_text(struct vl_conn *c, const char *text, size_t len, int timeout_ms, struct vl_error *err);

/* vl_recv - the next reply, in the order of the calls. 0 with *ret (vl_reply_done), or -1 with *err. */
int vl_recv(struct vl_conn *c, int timeout_ms, struct vl_reply *ret, struct vl_error *err);

/* vl_call - vl_send, then vl_recv of its (first) reply; nothing else may be under way. An error reply is a reply: see ret->error. */
int vl_call(struct vl_conn *c, const char *method, json_t *params, unsigned flags, int timeout_ms, struct vl_reply *ret,
	    struct vl_error *err);

#endif
