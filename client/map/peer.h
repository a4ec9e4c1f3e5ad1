/* SPDX-License-Identifier: MIT */
/*
 * Peer - a varlink connection on the loop that never blocks: whole frames come in, text goes out as the socket takes it.
 *
 * The connection may be given up within on_frame; on_gone is called once for each connection that ends by itself.
 */
#ifndef MAP_PEER_H
#define MAP_PEER_H

#include <event2/event.h>
#include <stdbool.h>

#include "buf.h"

struct peer {
	struct event_base *base;
	struct event *read_ev, *write_ev;       /* NULL: not connected */
	struct buf in, out;
	size_t scanned;                         /* of in: no end of a frame before */
	size_t sent;                            /* of out */
	void (*on_frame)(void *arg, const char *text, size_t len);
	void (*on_room)(void *arg);             /* the socket has taken all that it had not taken at once */
	void (*on_gone)(void *arg);
	void *arg;
};

/* peer_connect - over a connected socket, which it takes. What was still to be sent by an earlier connection is forgotten. */
void peer_connect(struct peer *p, int fd);
void peer_close(struct peer *p);        /* may be connected again */
bool peer_is_connected(const struct peer *p);

/* peer_add - text for the other side, its NUL included; it leaves with the next flush. Nothing while not connected. */
void peer_add(struct peer *p, const void *text, size_t len);
/* peer_flush - what the socket takes at once; the rest follows by itself. on_gone is not called from here. */
void peer_flush(struct peer *p);
/* Whether the socket has not taken all of it yet. */
bool peer_is_behind(const struct peer *p);

#endif
