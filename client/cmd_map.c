/* SPDX-License-Identifier: MIT */
/* map: a command over a stream of items, or a word about such maps. limits: what one command line may hold. */
#include <stdio.h>
#include <string.h>

#include "map/loop.h"
#include "map/stage_settings.h"
#include "status.h"
#include "talk.h"
#include "verbs.h"

/* The words behind `map` as a verb of its own. */
static int sub_verb(const struct options *o, const char *name, const struct opt *opts, int (*run)(const struct options *o))
{
	struct options mine;
	int rc;

	options_init(&mine);
	mine.socket = o->socket;
	rc = options_parse(&mine, name, opts, OPTS_MIXED, (int)o->n_args - 1, (char **)(uintptr_t)(o->args + 1));
	rc = rc ? rc : run(&mine);
	options_done(&mine);
	return rc;
}

static int list(const struct options *o)
{
	return o->n_args == 0 ? map_list(o) : complain(CTL_USAGE, "usage: jobctl map list [--json]");
}

static int stop(const struct options *o)
{
	return o->n_args > 0 ? map_stop(o) : complain(CTL_USAGE, "usage: jobctl map stop [--drain] NAME|NUMBER...");
}

int cmd_map(const struct options *o)
{
	struct map_settings m;
	int rc;

	if (!o->map.local && strcmp(o->args[0], "list") == 0)
		return sub_verb(o, "map list", map_list_opts, list);
	if (!o->map.local && strcmp(o->args[0], "stop") == 0)
		return sub_verb(o, "map stop", map_stop_opts, stop);
	rc = settings_read(&m, o);
	if (rc == 0)
		rc = map_run(&m);
	settings_done(&m);
	return rc;
}

static void print_limits(const char *os, size_t limit, size_t environment)
{
	size_t budget = jt_arg_budget(limit, environment, 0);
	size_t batch = budget < JT_ARG_BATCH_DEFAULT ? budget : JT_ARG_BATCH_DEFAULT;

	printf("system           %s\n", os);
	printf("exec             %zu bytes for arguments, variables and the pointers to them\n", limit);
	printf("environment      %zu bytes of it\n", environment);
	printf("budget           %zu bytes are left for the command and its items (-s max)\n", budget);
	printf("batch            %zu bytes, unless -s says otherwise\n", batch);
	printf("one argument     %u bytes at most\n", JT_ARG_STRING_MAX);
}

int cmd_limits(const struct options *o)
{
	size_t limit = o->os ? jt_arg_max_of(o->os) : exec_limit();

	if (limit == 0)
		return complain(CTL_USAGE, "nothing is known about the system \"%s\"; names are those that uname -s prints there, and posix", o->os);
	print_limits(o->os ? o->os : "this one", limit, o->os ? 0 : exec_environment());
	return CTL_OK;
}
