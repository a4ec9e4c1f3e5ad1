/* SPDX-License-Identifier: MIT */
/*
 * Policy - as whom jobs may run, whatever jobd says. A jobd of a user of its own is meant to hold no power over others; were it taken over,
 * its orders would still name any user. So the runner decides: ordinary users from --min-uid on, and those named by --run-as; root
 * only if named. Who may run jobs as root may do anything, so then nothing is checked.
 *
 * It binds orders of a jobd that is neither root nor the runner's own user: those could do all of it themselves.
 */
#ifndef RUNNER_POLICY_H
#define RUNNER_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "order.h"
#include "user.h"

#define POLICY_USERS_MAX 64

struct policy {
	uid_t min_uid;          /* at least 1: root has to be named */
	uid_t users[POLICY_USERS_MAX];
	size_t n_users;
};

/* policy_check - 0; or EPERM, and it is logged which user was asked for. ids: what the order's user and group stand for. */
int policy_check(const struct policy *p, const struct order *o, const struct user_ids *ids);

#endif
