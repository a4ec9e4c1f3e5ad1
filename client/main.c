/* SPDX-License-Identifier: MIT */
/* jobctl - the client of jobd. Finds the verb, reads its options, calls it. */
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "help.h"
#include "options.h"
#include "status.h"
#include "talk.h"
#include "verbs.h"

static int run_verb(const struct verb *v, struct options *o, int argc, char **argv)
{
	int rc = options_parse(o, v->name, v->opts, v->stop, argc, argv);

	if (rc)
		return rc;
	if (o->help)
		return help_verb(v);
	if (o->n_args < v->min_args)
		return complain(CTL_USAGE, "%s needs %s; usage: jobctl %s %s", v->name, v->min_args > o->n_args + 1 ? "more arguments"
				: "an argument", v->name, v->args);
	if (o->n_args > v->max_args)
		return complain(CTL_USAGE, "%s does not take \"%s\"; usage: jobctl %s%s%s", v->name, o->args[v->max_args], v->name,
				*v->args ? " " : "", v->args);
	return v->fn(o);
}

static int unknown_verb(const char *name)
{
	const char *meant = verb_nearest(name);

	if (meant)
		return complain(CTL_USAGE, "there is no verb \"%s\"; did you mean \"%s\"?", name, meant);
	return complain(CTL_USAGE, "there is no verb \"%s\"; jobctl --help lists them", name);
}

/* Options before the verb are those that all verbs have. Returns the index of the verb in argv, 0 if there is none, -1 on an error. */
static int parse_before_verb(struct options *o, int argc, char **argv)
{
	int at = 1;

	while (at < argc && argv[at][0] == '-' && argv[at][1]) {
		int words = strcmp(argv[at], "--socket") == 0 && at + 1 < argc ? 2 : 1;

		if (strcmp(argv[at], "--version") == 0)
			argv[at] = argv[at] + 2;        /* the verb of that name */
		else if (options_parse(o, NULL, options_common, OPTS_MIXED, words, argv + at) != 0)
			return -1;
		else
			at += words;
	}
	return at < argc ? at : 0;
}

/* Data that could not be written is no success: a full disk must not look like an empty list. */
static int flush_output(int rc)
{
	if ((fflush(stdout) == 0 && !ferror(stdout)) || errno == EPIPE)
		return rc;
	return rc ? rc : complain(CTL_JOB_FAILED, "cannot write to standard output: %s", strerror(errno));
}

static int dispatch(struct options *o, int argc, char **argv)
{
	const struct verb *v;
	int at = parse_before_verb(o, argc, argv);

	if (at < 0)
		return CTL_USAGE;
	if (at == 0)
		return o->help ? help_all(stdout) : (help_all(stderr), CTL_USAGE);
	if (strcmp(argv[at], "help") == 0) {
		v = at + 1 < argc ? verb_find(argv[at + 1]) : NULL;
		return v ? help_verb(v) : help_all(stdout);
	}
	v = verb_find(argv[at]);
	return v ? run_verb(v, o, argc - at - 1, argv + at + 1) : unknown_verb(argv[at]);
}

/* What was closed when we began is opened, lest something else gets its number and is read, or written over; the wrong way round, so
 * that whoever uses it is told. */
static bool hold_standard_descriptors(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd)
			return false;
	return true;
}

int main(int argc, char **argv)
{
	struct options o;
	int rc;

	if (!hold_standard_descriptors())
		return CTL_USAGE;
	setlocale(LC_CTYPE, "");
	signal(SIGPIPE, SIG_IGN);
	signal(SIGCHLD, SIG_DFL);       /* ignored by who started us, the ends of our children would be lost */
	options_init(&o);
	rc = dispatch(&o, argc, argv);
	options_done(&o);
	return flush_output(rc);
}
