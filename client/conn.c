/* SPDX-License-Identifier: MIT */
#include "conn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "buf.h"
#include "starter.h"
#include "status.h"
#include "talk.h"

#define CONNECT_MS 10000

static const char *env_dir(const char *name)
{
	const char *dir = getenv(name);

	return dir && dir[0] == '/' ? dir : NULL;       /* the XDG specification: relative ones are to be ignored */
}

/* $NAME/jobd/LEAF, or ~/HOME_DIR/jobd/LEAF. */
static char *xdg_path(const char *name, const char *home_dir, const char *leaf)
{
	const char *dir = env_dir(name), *home = env_dir("HOME");

	if (dir)
		return xasprintf("%s/jobd%s", dir, leaf);
	return xasprintf("%s/%s/jobd%s", home ? home : "", home_dir, leaf);
}

char *conn_user_state(void)
{
	return xdg_path("XDG_STATE_HOME", ".local/state", "");
}

char *conn_user_config(void)
{
	return xdg_path("XDG_CONFIG_HOME", ".config", "/jobd.conf");
}

/* Anybody can make a folder in /tmp: it is used only if it is ours and nobody else can enter. */
static int check_private_dir(const char *dir)
{
	struct stat st;

	if (mkdir(dir, 0700) != 0 && errno != EEXIST)
		return complain(CTL_NO_DAEMON, "cannot make %s: %s; set XDG_RUNTIME_DIR or JOBD_SOCKET", dir, strerror(errno));
	if (lstat(dir, &st) != 0)
		return complain(CTL_NO_DAEMON, "cannot look at %s: %s", dir, strerror(errno));
	if (!S_ISDIR(st.st_mode) || st.st_uid != getuid() || (st.st_mode & 077))
		return complain(CTL_NO_DAEMON, "%s is not a folder that only you can enter (mode 0700), so it is not used; "
				"set XDG_RUNTIME_DIR or JOBD_SOCKET", dir);
	return 0;
}

char *conn_user_socket(void)
{
	const char *runtime = env_dir("XDG_RUNTIME_DIR");
	char *dir = runtime ? xasprintf("%s/jobd", runtime) : xasprintf("/tmp/jobd-%u", (unsigned)getuid());
	char *path = check_private_dir(dir) == 0 ? xasprintf("%s/socket", dir) : NULL;

	free(dir);
	return path;
}

static int open_explicit(const char *path, const char *where, struct vl_conn **ret)
{
	struct vl_error err;

	*ret = vl_connect(path, CONNECT_MS, &err);
	if (*ret)
		return 0;
	return complain(CTL_NO_DAEMON, "%s; %s says so, and jobctl starts no daemon there: start `jobd --socket %s`, or ask without %s",
			err.text, where, path, where);
}

static int no_daemon(const char *user, const struct vl_error *err, enum conn_start start)
{
	if (err->code != VL_ECONNECT || (err->sys_errno != ENOENT && err->sys_errno != ECONNREFUSED))
		return complain(CTL_NO_DAEMON, "%s", err->text);
	if (start == CONN_ONLY_IF_RUNNING)
		return complain(CTL_NO_DAEMON, "no daemon runs (looked at %s and %s); `jobctl submit` or `jobctl run` start one", user,
				CONN_SYSTEM_SOCKET);
	return 0;
}

static int open_default(const char *user, enum conn_start start, struct vl_conn **ret, const char **ret_path)
{
	struct vl_error err, ignored;
	int rc;

	*ret_path = user;
	*ret = vl_connect(user, CONNECT_MS, &err);
	if (*ret)
		return 0;
	*ret = vl_connect(CONN_SYSTEM_SOCKET, CONNECT_MS, &ignored);
	if (*ret) {
		*ret_path = CONN_SYSTEM_SOCKET;
		return 0;
	}
	rc = no_daemon(user, &err, start);
	if (rc == 0)
		rc = starter_run(user);
	if (rc)
		return rc;
	*ret = vl_connect(user, CONNECT_MS, &err);
	return *ret ? 0 : complain(CTL_NO_DAEMON, "%s, although a daemon has just started there", err.text);
}

int conn_open_at(const struct options *o, enum conn_start start, struct vl_conn **ret, char **ret_path)
{
	const char *env = getenv("JOBD_SOCKET"), *path = o->socket ? o->socket : env;
	char *user = NULL;
	int rc;

	if (o->socket || (env && *env)) {
		rc = open_explicit(path, o->socket ? "--socket" : "JOBD_SOCKET", ret);
	} else {
		user = conn_user_socket();
		rc = user ? open_default(user, start, ret, &path) : CTL_NO_DAEMON;
	}
	if (rc == 0)
		*ret_path = xstrdup(path);
	free(user);
	return rc;
}

bool conn_is_own(const struct options *o, const char *path)
{
	const char *env = getenv("JOBD_SOCKET");

	return !o->socket && !(env && *env) && strcmp(path, CONN_SYSTEM_SOCKET) != 0;
}

int conn_open(const struct options *o, enum conn_start start, struct vl_conn **ret)
{
	char *path = NULL;
	int rc = conn_open_at(o, start, ret, &path);

	free(path);
	return rc;
}
