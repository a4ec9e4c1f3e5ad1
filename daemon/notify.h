/* SPDX-License-Identifier: MIT */
/* Notify - what a service under systemd says and is given: the readiness datagram and passed sockets. Without systemd: no-ops. */
#ifndef NOTIFY_H
#define NOTIFY_H

#include <stdint.h>

/* notify_init - take $NOTIFY_SOCKET out of the environment: a child would speak to the service manager in our name. Call once, early. */
void notify_init(void);
/*
 * notify_send - send a state ("READY=1\nSTATUS=...") to what was $NOTIFY_SOCKET. 0 when sent or when nobody asked for it, else -1 with
 * errno. Never blocks; losing a status is no reason to stop.
 */
int notify_send(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#define NOTIFY_LISTEN_START 3
/*
 * notify_listen_fds - how many sockets were passed ($LISTEN_FDS), the first at descriptor NOTIFY_LISTEN_START. They are made
 * close-on-exec and the variables are removed, so that no child takes them for its own. 0: none. Call once, early.
 */
int notify_listen_fds(void);
/* notify_watchdog_us - how often at least the service manager wants WATCHDOG=1 ($WATCHDOG_USEC); 0: it does not. */
int64_t notify_watchdog_us(void);

#endif
