/* SPDX-License-Identifier: MIT */
/*
 * Who may what. Everybody who reaches the socket sees paths, states, times and counters; argv, environment, cwd, output and labels
 * are for the owner, root and the admin group; only those change anything. Identity is SO_PEERCRED's at accept, never a name.
 */
#include <grp.h>
#include <pwd.h>
#include <string.h>

#include "rpc.h"

enum who { OTHER, OWNER, ADMIN, ROOT };

static const bool table[3][4] = {
	/*               OTHER  OWNER  ADMIN  ROOT */
	[MAY_SEE]    = { true,  true,  true,  true },
	[MAY_READ]   = { false, true,  true,  true },
	[MAY_CHANGE] = { false, true,  true,  true },
};

static bool in_admin_group(const struct engine *e, const struct server_peer *peer)
{
	struct group *gr = e->conf.admin_group ? getgrnam(e->conf.admin_group) : NULL;
	struct passwd *pw;

	if (!gr)
		return false;
	if (gr->gr_gid == peer->gid)
		return true;
	pw = getpwuid(peer->uid);
	for (char **m = gr->gr_mem; pw && m && *m; m++)
		if (strcmp(*m, pw->pw_name) == 0)
			return true;
	return false;
}

bool may(const struct engine *e, const struct server_peer *peer, const struct run *r, enum access what)
{
	enum who who = peer->uid == 0 ? ROOT : peer->uid == r->uid ? OWNER : OTHER;

	if (!table[what][who] && in_admin_group(e, peer))
		who = ADMIN;
	return table[what][who];
}
