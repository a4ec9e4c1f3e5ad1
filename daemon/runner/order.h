/* SPDX-License-Identifier: MIT */
/*
 * Order - what a START asks for, in memory of our own and ready for execve: vectors instead of blocks, the command's candidates in
 * PATH spelt out. One allocation; the descriptors belong to it.
 */
#ifndef RUNNER_ORDER_H
#define RUNNER_ORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/runner_msg.h"

struct order {
	char **argv, **envp;            /* NULL-terminated */
	const char *candidates;         /* paths to try in turn, NUL-terminated each; an empty one ends the list */
	const char *cwd, *stdin_file;   /* NULL: none */
	const char *user, *group;
	int64_t timeout_ms;
	int32_t umask, nice;            /* umask -1: the runner's */
	uint32_t stdin_kind;
	bool is_bound;                  /* to the policy: see policy.h */
	int fds[RM_FDS_MAX];
};

/* order_new - copy a decoded START; token, if there is one, is added to the environment. It takes st->fds over in any case. NULL: no memory,
 * the descriptors are closed. */
struct order *order_new(const struct rm_start *st, const char *token);
/* order_free - NULL is fine. Closes the descriptors. */
void order_free(struct order *o);

#endif
