/* SPDX-License-Identifier: MIT */
/*
 * A real jobd-runner in a folder of its own, and the jobd side of its socket. Every wait is for a message or an end of file, and bounded
 * by the socket's time limit; a failed expectation ends the test.
 */
#ifndef RUNNER_KIT_H
#define RUNNER_KIT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "proto/runner_msg.h"

struct inbox {
	unsigned char buf[RM_PACKET_MAX];
	size_t len, pos;
};

struct kit {
	char dir[64], socket[96];
	pid_t pid;              /* of the runner; 0: not running */
	int sock;               /* our connection; -1: none */
	struct inbox in;
	struct rm_welcome welcome;
	struct rm_end *inventory;
	size_t n_inventory;
};

/* What a job asks for; what is left out is what most tests want: no input, no time limit, no user. */
struct job {
	uint64_t job;
	uint32_t attempt;               /* 0: 1 */
	const char *const *argv;        /* or */
	const char *shell;              /* /bin/sh -c */
	const char *const *env;         /* NULL: PATH only */
	const char *cwd, *stdin_file, *user, *group;
	int64_t timeout_ms;
	uint32_t grace_ms;
	int umask_set, umask, nice;
	int stdin_fd;                   /* 0: none */
};
#define ARGV(...) (const char *const[]){__VA_ARGS__, NULL}

void kit_up(struct kit *k, const char *const *options);         /* folder, runner (options NULL: none), connection */
void kit_down(struct kit *k);
void kit_spawn(struct kit *k, const char *const *options);      /* only the runner, once it says ready */
int kit_wait_exit(struct kit *k);                               /* of the runner: its wait status */

int kit_connect(struct kit *k);                                 /* a new connection, nothing said */
void kit_hello(struct kit *k);                                  /* connect and read the inventory; drops the older connection */
void kit_hang_up(struct kit *k);
void kit_send(struct kit *k, const struct rm_msg *m);

void kit_start(struct kit *k, const struct job *j);
struct rm_msg kit_next(struct kit *k);                          /* the next message, of any type */
struct rm_end kit_end(struct kit *k);                           /* the next ENDED; STARTED before it are passed over */
struct rm_started kit_started(struct kit *k);
void kit_ack(struct kit *k, const struct rm_end *e);
void kit_kill(struct kit *k, uint64_t job, uint32_t grace_ms);
struct rm_end kit_run(struct kit *k, const struct job *j);      /* start, end, ack */
const char *kit_output(struct kit *k, uint64_t job, const char *which);         /* "out", "err"; static memory */
const char *kit_path(struct kit *k, const char *name);          /* in the folder; static memory, of 64 in turn */
void kit_expect_eof(int sock);
void kit_fifo_wait(const char *path);                           /* until somebody has written to the FIFO or opened and left it */

#endif
