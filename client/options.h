/* SPDX-License-Identifier: MIT */
/*
 * Options - the command line by tables. A verb lists its options; parsing, help and completion walk the list.
 *
 * Options and arguments may be mixed; `--` ends the options; a verb with VERB_ARGV takes everything from its first argument on
 * as it is. Every verb has --socket, --json where it says so, and --help.
 */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "map/given.h"

struct list { const char **v; size_t n; };

/* What was given. Texts are borrowed from argv; NULL, INT64_MIN or a negative time: not given. */
struct options {
	bool json, help, detach, open, wait, follow, exit_code, out, err, now, all, drain, kill, simulate, quiet, no_start, raw;
	const char *socket, *name, *key, *shell, *cwd, *user, *group, *umask, *stdin_file, *format, *on_error, *states;
	int64_t workers, since, attempt, limit, retry, priority, nice;
	double timeout_s, grace_s;
	struct list env, label, env_inherit, input;
	struct map_options map;
	const char *os;
	struct list pass;       /* options of another program, as they were given: "--name" or "--name=value"; owned */
	const char **args;      /* positional ones, NULL-terminated; the array is owned, see options_done */
	size_t n_args;
};

enum opt_kind { OPT_FLAG, OPT_TEXT, OPT_INT, OPT_SIZE, OPT_SECONDS, OPT_NUMBER, OPT_MAYBE, OPT_LIST, OPT_PASS, OPT_PASS_FLAG, OPT_NO_MORE };

struct opt {
	const char *name;       /* without the dashes */
	char letter;            /* 0: none */
	enum opt_kind kind;
	size_t offset;          /* in struct options */
	const char *arg;        /* how its value is called: "NAME" */
	const char *help;
	int64_t min, max;       /* OPT_INT, OPT_SIZE */
};

#define OPT_AT(f) offsetof(struct options, f)
#define FLAG(n, l, f, h) { .name = (n), .letter = (l), .kind = OPT_FLAG, .offset = OPT_AT(f), .help = (h) }
#define TEXT(n, l, f, a, h) { .name = (n), .letter = (l), .kind = OPT_TEXT, .offset = OPT_AT(f), .arg = (a), .help = (h) }
#define INT(n, l, f, lo, hi, a, h) \
	{ .name = (n), .letter = (l), .kind = OPT_INT, .offset = OPT_AT(f), .arg = (a), .help = (h), .min = (lo), .max = (hi) }
#define SIZE(n, l, f, lo, hi, a, h) \
	{ .name = (n), .letter = (l), .kind = OPT_SIZE, .offset = OPT_AT(f), .arg = (a), .help = (h), .min = (lo), .max = (hi) }
#define NUMBER(n, l, f, a, h) { .name = (n), .letter = (l), .kind = OPT_NUMBER, .offset = OPT_AT(f), .arg = (a), .help = (h) }
/* A text that may be left out, "" then: --name, --name=value. */
#define MAYBE(n, l, f, h) { .name = (n), .letter = (l), .kind = OPT_MAYBE, .offset = OPT_AT(f), .help = (h) }
#define SECONDS(n, l, f, a, h) { .name = (n), .letter = (l), .kind = OPT_SECONDS, .offset = OPT_AT(f), .arg = (a), .help = (h) }
#define LIST(n, l, f, a, h) { .name = (n), .letter = (l), .kind = OPT_LIST, .offset = OPT_AT(f), .arg = (a), .help = (h) }
/* Checked by name here, by value where they go. */
#define PASS(n, l, a, h) { .name = (n), .letter = (l), .kind = OPT_PASS, .offset = OPT_AT(pass), .arg = (a), .help = (h) }
#define PASS_FLAG(n, l, h) { .name = (n), .letter = (l), .kind = OPT_PASS_FLAG, .offset = OPT_AT(pass), .help = (h) }
#define OPTS_END { .kind = OPT_NO_MORE }

enum opt_stop { OPTS_MIXED, OPTS_STOP_AT_ARG };         /* where the options end */

/* Whether it stands alone: no value follows it. */
static inline bool opt_is_flag(const struct opt *opt)
{
	return opt->kind == OPT_FLAG || opt->kind == OPT_PASS_FLAG || opt->kind == OPT_MAYBE;
}

void options_init(struct options *o);
void options_done(struct options *o);

/* options_parse - argv[0..argc) are what follows the verb. opts ends with OPTS_END. 0, or CTL_USAGE and it has complained.
 * `verb` is for messages; NULL: these stand before it. */
int options_parse(struct options *o, const char *verb, const struct opt *opts, enum opt_stop stop, int argc, char **argv);

/* The options that all verbs have; ends with OPTS_END. */
extern const struct opt options_common[];

/* seconds_parse - "90", "1.5", "2m", "1h", "1d" into seconds. 0 or -1. */
int seconds_parse(const char *text, double *ret);
/* size_parse - "4096", "64K", "1M", "2G" (powers of 1024) into bytes. 0 or -1. */
int size_parse(const char *text, int64_t *ret);

#endif
