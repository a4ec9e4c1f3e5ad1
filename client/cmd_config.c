/* SPDX-License-Identifier: MIT */
/* config check: what jobd would make of its configuration. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "buf.h"
#include "conn.h"
#include "proto/conf.h"
#include "status.h"
#include "talk.h"
#include "verbs.h"

#define SYSTEM_CONFIG SYSCONFDIR "/jobd/jobd.conf"

/* The file that is meant when none is named: JOBD_CONFIG, the user's, the system's. The caller frees; NULL: there is none. */
static char *default_file(void)
{
	const char *env = getenv("JOBD_CONFIG");
	char *user;

	if (env && *env)
		return xstrdup(env);
	user = conn_user_config();
	if (access(user, F_OK) == 0)
		return user;
	free(user);
	return access(SYSTEM_CONFIG, F_OK) == 0 ? xstrdup(SYSTEM_CONFIG) : NULL;
}

static int check(const char *file)
{
	struct conf_error err;
	struct conf conf;
	char *text;
	int rc;

	conf_init(&conf);
	rc = file ? conf_read(file, &conf, &err) : 0;
	if (rc != 0)
		return complain(err.line ? CTL_REFUSED : CTL_USAGE, "%s", err.text);
	text = conf_print(&conf);
	fputs(text ? text : "", stdout);
	mention(file ? "%s is in order" : "there is no %s; these are the defaults", file ? file : "jobd.conf");
	free(text);
	conf_done(&conf);
	return CTL_OK;
}

int cmd_config(const struct options *o)
{
	char *file;
	int rc;

	if (strcmp(o->args[0], "check") != 0)
		return complain(CTL_USAGE, "config has no part \"%s\"; usage: jobctl config check [FILE]", o->args[0]);
	file = o->n_args > 1 ? xstrdup(o->args[1]) : default_file();
	rc = check(file);
	free(file);
	return rc;
}
