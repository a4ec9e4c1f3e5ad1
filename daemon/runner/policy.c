/* SPDX-License-Identifier: MIT */
/* Policy: see policy.h. */
#include "policy.h"

#include <errno.h>
#include <unistd.h>

#include "log.h"

static bool is_named(const struct policy *p, uid_t uid)
{
	for (size_t i = 0; i < p->n_users; i++)
		if (p->users[i] == uid)
			return true;
	return false;
}

static int refuse(const char *what, unsigned id, const char *option)
{
	log_warn("an order to run a job as %s %u is refused: %s does not allow it", what, id, option);
	return EPERM;
}

/* A group is chosen by root alone, so without root's jobs there is no such order. */
int policy_check(const struct policy *p, const struct order *o, const struct user_ids *ids)
{
	uid_t uid = ids->change ? ids->uid : geteuid();

	if (!o->is_bound || is_named(p, 0))
		return 0;
	if (uid == 0)
		return refuse("user", 0, "--run-as");
	if (uid < p->min_uid && !is_named(p, uid))
		return refuse("user", (unsigned)uid, "--min-uid");
	if (o->group)
		return refuse("group", (unsigned)ids->gid, "--run-as");
	return 0;
}
