/* SPDX-License-Identifier: MIT */
/* Endpoint - the socket where clients connect: whether somebody has it already, and how it comes to be. Paths are absolute. */
#ifndef ENDPOINT_H
#define ENDPOINT_H

#include <stdbool.h>

#include "proto/conf.h"

/* endpoint_is_served - somebody listens there (type: SOCK_STREAM, SOCK_SEQPACKET). One that is just dying hangs up: that is waited for. */
bool endpoint_is_served(const char *path, int type);
/* endpoint_bind - a listening socket, with the group and mode that c says, in a folder that is made; what was at path is replaced, so the caller
 * has the lock of the state. -1, and it has been logged. */
int endpoint_bind(const char *path, const struct conf *c);

#endif
