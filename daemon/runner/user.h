/* SPDX-License-Identifier: MIT */
/* User - the ids that an order's user and group names stand for. */
#ifndef RUNNER_USER_H
#define RUNNER_USER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct user_ids {
	bool change;            /* false: stay what the runner is; the rest is unset */
	uid_t uid;
	gid_t gid;
	gid_t *groups;          /* supplementary */
	size_t n_groups;
};

/*
 * user_resolve - look the names up (NULL user: the runner's; NULL group: the user's). A name that is a number and no user's is taken
 * as the number. 0, or an errno: ENOENT no such user or group, others from the name service. Release with user_ids_done.
 * May read files and ask services: not between clone and exec.
 */
int user_resolve(const char *user, const char *group, struct user_ids *ret);
void user_ids_done(struct user_ids *ids);

#endif
