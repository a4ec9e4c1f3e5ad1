/* SPDX-License-Identifier: MIT */
/*
 * A server in a process of its own, with an interface made for tests, and clients that say exactly the bytes they are told.
 *
 *   org.test.Echo(...) -> (...)            answers its parameters
 *   org.test.Park() -> ()                  is answered by the next Unpark
 *   org.test.Unpark() -> (n: int)
 *   org.test.Wait(parked: ?int, aborted: ?int, sessions: ?int) -> ()   is answered when these counts have been reached
 *   org.test.Stream(n: int, size: int) -> (pad: string)                more; as fast as the client reads
 *   org.test.Flood(n: int, size: int) -> (pad: string)                 more; without regard
 *   org.test.Beat() -> (beat: bool)                                    more; nothing but heartbeats
 *   org.test.Missing() -> ()                                           described, and has no handler
 *   org.test.StopListening() -> ()
 */
#ifndef SERVER_KIT_H
#define SERVER_KIT_H

#include <check.h>

#include "daemon/server.h"
#include "proto/varlink.h"

#define PING "{\"method\":\"org.test.Echo\"}"
#define PONG "{\"parameters\":{}}"

extern const char kit_description[];

/* kit_start - a server with these options (NULL: defaults); max_files: its limit of descriptors above those of the start (0: none). */
void kit_start(const struct server_opts *opts, int max_files);
/* kit_stop - ends it; fails when it has died before. The log can be read from then on. */
void kit_stop(void);
/* kit_logged - how often the server has logged a line with these words. After kit_stop. */
int kit_logged(const char *words);
void kit_done(void);                            /* the fixture's end: whatever is left */

const char *kit_socket(void);
int kit_connect(void);                          /* a raw connection */
void kit_say(int fd, const char *bytes, size_t n);
/* kit_hear_end - reads until the server closes; returns how many bytes there were. Closes fd. */
size_t kit_hear_end(int fd);
void kit_hear(int fd, const char *text);        /* the next bytes are this message and its NUL */

struct vl_conn *kit_open(void);
/* kit_call - params: JSON text or NULL. Returns the reply's parameters as text, the error's name and a blank before them if it is one, and
 * " ..." behind them if it continues. Valid until the next call. */
const char *kit_call(struct vl_conn *c, const char *method, const char *params, unsigned flags);
const char *kit_recv(struct vl_conn *c);
void kit_send(struct vl_conn *c, const char *method, const char *params, unsigned flags);
void kit_still_answers(void);                   /* another client gets its answer */

/* kit_echo_of - an Echo of exactly n bytes, its NUL included; the caller frees. */
char *kit_echo_of(size_t n);
/* kit_case - a test case of the suite, with kit_done as its end. */
TCase *kit_case(Suite *suite, const char *name);

#endif
