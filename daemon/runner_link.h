/* SPDX-License-Identifier: MIT */
/*
 * Runner link - jobd's side of the connection to jobd-runner: finds it by its socket, starts it where nobody answers, says hello,
 * gathers the inventory, and then carries starts, kills and acknowledgements one way and outcomes the other.
 */
#ifndef RUNNER_LINK_H
#define RUNNER_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "proto/runner_msg.h"

struct event_base;
struct runner_link;

struct runner_link_opts {
	const char *socket_path;
	const char *state_dir;          /* stands in the runner's arguments */
	const char *program;            /* NULL: never started by us (a unit of its own) */
	void *ctx;
	/* The runner has answered: its whole inventory. Starts may be sent from now on. */
	void (*on_up)(void *ctx, const struct rm_welcome *w, struct rm_end *inv, size_t n);
	void (*on_down)(void *ctx);
	void (*on_started)(void *ctx, const struct rm_started *st);
	void (*on_ended)(void *ctx, struct rm_end *ends, size_t n);      /* all that have ended by now */
	void (*on_writable)(void *ctx);                                 /* after a start that met EAGAIN */
};

/* runner_link_new - connects, or starts a runner, from now on and for as long as the process lives. opts is copied; what it points to stays. */
struct runner_link *runner_link_new(struct event_base *base, const struct runner_link_opts *opts);
bool runner_link_is_up(const struct runner_link *l);
/* runner_link_uid - as whom the runner runs; a job without a user of its own would run as that. (uid_t)-1: not known. */
uid_t runner_link_uid(const struct runner_link *l);
int32_t runner_link_pid(const struct runner_link *l);
uint32_t runner_link_capacity(const struct runner_link *l);
/* runner_link_held_by - how the runner that answered last holds the processes of a job together. */
enum rm_held_by runner_link_held_by(const struct runner_link *l);
/* runner_link_ping - asks for a sign of life, if the last one has been answered. now_ns: any clock that only goes on. */
void runner_link_ping(struct runner_link *l, int64_t now_ns);
/* runner_link_silent_ns - how long an answer has been due, or the connection has been down, as far as the pings know; 0: all is well. */
int64_t runner_link_silent_ns(const struct runner_link *l, int64_t now_ns);
/* runner_link_why - what went wrong when it was last started or looked for; "": nothing, it is there and keeps silent. */
const char *runner_link_why(const struct runner_link *l);
/* 0: sent. -1: EAGAIN (on_writable will be called), ENOTCONN, E2BIG. */
int runner_link_start(struct runner_link *l, const struct rm_start *st);
/* Gathered, sent by runner_link_flush (the engine calls it once a turn). Dropped when the link is down: the next inventory tells. */
void runner_link_ack(struct runner_link *l, uint64_t job, uint32_t attempt);
void runner_link_kill(struct runner_link *l, uint64_t job, uint32_t attempt, uint32_t grace_ms);
void runner_link_quit(struct runner_link *l);
void runner_link_flush(struct runner_link *l);

#endif
