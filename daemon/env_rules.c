/* SPDX-License-Identifier: MIT */
/*
 * Env rules - which variables are not passed on to a job of another user. A user's own jobs get what the user says; but what root sets for
 * a job of somebody else must not turn that user's shell, loader or interpreter into something else: such a thing is put into the command.
 */
#include <string.h>

#include "engine.h"

static const char *const prefixes[] = { "LD_", "BASH_FUNC_", "PYTHON", "PERL", "RUBY", "MALLOC_", "GLIBC_", "DYLD_", NULL };
static const char *const names[] = {
	"BASH_ENV", "BASHOPTS", "CDPATH", "ENV", "GCONV_PATH", "GETCONF_DIR", "GLOBIGNORE", "HOSTALIASES", "IFS", "JAVA_TOOL_OPTIONS",
	"LOCALDOMAIN", "LOCPATH", "NLSPATH", "NODE_OPTIONS", "PS4", "RESOLV_HOST_CONF", "RES_OPTIONS", "SHELLOPTS", "TZDIR", NULL,
};

static bool is_refused(const char *name)
{
	for (const char *const *p = prefixes; *p; p++)
		if (strncmp(name, *p, strlen(*p)) == 0)
			return true;
	for (const char *const *n = names; *n; n++)
		if (strcmp(name, *n) == 0)
			return true;
	return false;
}

const char *env_refused_for_others(const struct spec_job *s)
{
	for (size_t i = 0; i < s->n_env; i++)
		if (is_refused(s->env[i].name))
			return s->env[i].name;
	return NULL;
}
