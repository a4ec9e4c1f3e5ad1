/* SPDX-License-Identifier: MIT */
/*
 * Conn - which daemon jobctl talks to, and how it gets one: --socket, JOBD_SOCKET, the user's own, the system's if it answers. Only
 * for the user's own is a daemon started, once: the starter holds a lock until the ready line, others wait for the lock and then
 * find the winner's socket.
 */
#ifndef CONN_H
#define CONN_H

#include "options.h"
#include "proto/varlink.h"

enum conn_start { CONN_MAY_START, CONN_ONLY_IF_RUNNING };

/* conn_open - 0 with *ret, or CTL_NO_DAEMON and it has complained: what, then what to do. */
int conn_open(const struct options *o, enum conn_start start, struct vl_conn **ret);
/* conn_open_at - the same; *ret_path: where it listens, to come back to. The caller frees. */
int conn_open_at(const struct options *o, enum conn_start start, struct vl_conn **ret, char **ret_path);
/* conn_is_own - whether `path`, from conn_open_at, is the user's own, where jobctl may start a daemon (starter_run). */
bool conn_is_own(const struct options *o, const char *path);

/* The places of DESIGN; the caller frees. NULL with a complaint where there is none (a /tmp/jobd-UID of somebody else). */
char *conn_user_socket(void);
char *conn_user_state(void);
char *conn_user_config(void);
#define CONN_SYSTEM_SOCKET "/run/jobd/socket"

#endif
