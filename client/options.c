/* SPDX-License-Identifier: MIT */
#include "options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "elsewhere.h"
#include "proto/nearest.h"
#include "status.h"
#include "talk.h"

const struct opt options_common[] = {
	TEXT("socket", 0, socket, "PATH", "talk to the daemon at PATH; never starts one"),
	FLAG("help", 'h', help, "say what the verb does and which options it has"),
	OPTS_END
};

struct parse {
	struct options *o;
	const char *verb;
	const struct opt *opts;
	int argc, at;           /* next argument to look at */
	char **argv;
};

void options_init(struct options *o)
{
	*o = (struct options){
		.workers = INT64_MIN, .since = INT64_MIN, .attempt = INT64_MIN, .limit = INT64_MIN, .retry = INT64_MIN,
		.priority = INT64_MIN, .nice = INT64_MIN, .timeout_s = -1, .grace_s = -1, .map = MAP_OPTIONS_NONE,
	};
}

void options_done(struct options *o)
{
	free(o->args);
	free(o->env.v);
	free(o->env_inherit.v);
	free(o->label.v);
	free(o->input.v);
	for (size_t i = 0; i < o->pass.n; i++)
		free((char *)(uintptr_t)o->pass.v[i]);
	free(o->pass.v);
	options_init(o);
}

int seconds_parse(const char *text, double *ret)
{
	static const struct { const char *suffix; double factor; } units[] = {
		{ "", 1 }, { "s", 1 }, { "ms", 0.001 }, { "m", 60 }, { "h", 3600 }, { "d", 86400 },
	};
	char *end;
	double v;

	errno = 0;
	v = strtod(text, &end);
	if (errno || end == text || end != text + strspn(text, "0123456789."))
		return -1;
	for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++)
		if (strcmp(end, units[i].suffix) == 0) {
			*ret = v * units[i].factor;
			return 0;
		}
	return -1;
}

int size_parse(const char *text, int64_t *ret)
{
	static const char units[] = "KMG";
	const char *unit;
	char *end;
	long long v;
	int shift = 0;

	errno = 0;
	v = strtoll(text, &end, 10);
	if (errno || *text < '0' || *text > '9')
		return -1;
	unit = *end ? strchr(units, *end) : NULL;
	if (*end && (!unit || end[1]))
		return -1;
	if (unit)
		shift = 10 * (int)(unit - units + 1);
	if (v > INT64_MAX >> shift)
		return -1;
	*ret = (int64_t)v << shift;
	return 0;
}

static const struct opt *find(const struct opt *opts, const char *name, size_t len)
{
	for (; opts->kind != OPT_NO_MORE; opts++)
		if (strlen(opts->name) == len && memcmp(opts->name, name, len) == 0)
			return opts;
	return NULL;
}

static const struct opt *find_letter(const struct opt *opts, char letter)
{
	for (; opts->kind != OPT_NO_MORE; opts++)
		if (opts->letter == letter)
			return opts;
	return NULL;
}

/* dashes: "-" or "--" */
static int no_option(const struct parse *p, const char *dashes, const char *name)
{
	const char *here;

	if (!p->verb)
		return complain(CTL_USAGE, "%s%s is no option before the verb; options go behind it: jobctl VERB %s%s", dashes, name, dashes, name);
	here = elsewhere_find(p->verb, name);
	if (here)
		return complain(CTL_USAGE, "%s has no option %s%s: %s", p->verb, dashes, name, here);
	return complain(CTL_USAGE, "%s has no option %s%s; see jobctl %s --help", p->verb, dashes, name, p->verb);
}

static int unknown(const struct parse *p, const char *typed, size_t len)
{
	struct nearest near;
	char *name = xstrndup(typed, len);
	const char *meant;
	int rc;

	nearest_init(&near, name);
	for (const struct opt *o = p->opts; o->kind != OPT_NO_MORE; o++)
		nearest_offer(&near, o->name);
	for (const struct opt *o = options_common; o->kind != OPT_NO_MORE; o++)
		nearest_offer(&near, o->name);
	meant = nearest_get(&near);
	if (meant && !(p->verb && elsewhere_find(p->verb, name)))
		rc = complain(CTL_USAGE, "%s has no option --%s; did you mean --%s?", p->verb ? p->verb : "jobctl", name, meant);
	else
		rc = no_option(p, "--", name);
	free(name);
	return rc;
}

static void list_add(struct list *l, const char *value)
{
	l->v = xrealloc(l->v, l->n + 1, sizeof(*l->v));
	l->v[l->n++] = value;
}

static int out_of_range(const struct opt *opt, const char *value)
{
	if (opt->max == INT64_MAX)
		return complain(CTL_USAGE, "--%s must be a number, %lld or more, got \"%s\"", opt->name, (long long)opt->min, value);
	return complain(CTL_USAGE, "--%s must be a number from %lld to %lld, got \"%s\"", opt->name, (long long)opt->min, (long long)opt->max,
			value);
}

static int set_int(const struct opt *opt, const char *value, int64_t *field)
{
	char *end;
	long long v;

	errno = 0;
	v = strtoll(value, &end, 10);
	if (errno || end == value || *end || *value == ' ' || v < opt->min || v > opt->max)
		return out_of_range(opt, value);
	*field = v;
	return 0;
}

static int set_size(const struct opt *opt, const char *value, int64_t *field)
{
	int64_t v;

	if (size_parse(value, &v) < 0 || v < opt->min || v > opt->max)
		return complain(CTL_USAGE, "--%s must be a size such as 4096, 64K, 16M or 1G, from %lld to %lld, got \"%s\"", opt->name,
				(long long)opt->min, (long long)opt->max, value);
	*field = v;
	return 0;
}

static int set_number(const struct opt *opt, const char *value, double *field)
{
	char *end;
	double v;

	errno = 0;
	v = strtod(value, &end);
	if (errno || end == value || *end || end != value + strspn(value, "0123456789."))
		return complain(CTL_USAGE, "--%s must be a number such as 2 or 1.5, got \"%s\"", opt->name, value);
	*field = v;
	return 0;
}

static int set(struct options *o, const struct opt *opt, const char *value)
{
	char *field = (char *)o + opt->offset;

	switch (opt->kind) {
	case OPT_FLAG:
		*(bool *)field = true;
		return 0;
	case OPT_TEXT:
		*(const char **)field = value;
		return 0;
	case OPT_LIST:
		list_add((struct list *)field, value);
		return 0;
	case OPT_PASS:
		list_add((struct list *)field, xasprintf("--%s=%s", opt->name, value));
		return 0;
	case OPT_PASS_FLAG:
		list_add((struct list *)field, xasprintf("--%s", opt->name));
		return 0;
	case OPT_INT:
		return set_int(opt, value, (int64_t *)field);
	case OPT_SIZE:
		return set_size(opt, value, (int64_t *)field);
	case OPT_NUMBER:
		return set_number(opt, value, (double *)field);
	case OPT_MAYBE:
		*(const char **)field = value ? value : "";
		return 0;
	case OPT_SECONDS:
		if (seconds_parse(value, (double *)field) == 0)
			return 0;
		return complain(CTL_USAGE, "--%s must be a time such as 90, 1.5 or 2m, got \"%s\"", opt->name, value);
	case OPT_NO_MORE:
		break;
	}
	return CTL_USAGE;
}

/* --name, --name=value, --name value */
static int parse_long(struct parse *p, const char *arg)
{
	const char *equals = strchr(arg, '=');
	size_t len = equals ? (size_t)(equals - arg) : strlen(arg);
	const struct opt *opt = find(p->opts, arg, len);

	if (!opt)
		opt = find(options_common, arg, len);
	if (!opt)
		return unknown(p, arg, len);
	if (opt_is_flag(opt) && !(equals && opt->kind == OPT_MAYBE))
		return equals ? complain(CTL_USAGE, "--%s takes no value", opt->name) : set(p->o, opt, NULL);
	if (equals)
		return set(p->o, opt, equals + 1);
	if (p->at == p->argc)
		return complain(CTL_USAGE, "--%s needs a value: --%s %s", opt->name, opt->name, opt->arg);
	return set(p->o, opt, p->argv[p->at++]);
}

/* -d, -df, -j4, -j 4 */
static int parse_letters(struct parse *p, const char *arg)
{
	for (; *arg; arg++) {
		const struct opt *opt = find_letter(p->opts, *arg);
		int rc;

		if (!opt)
			opt = find_letter(options_common, *arg);
		if (!opt)
			return no_option(p, "-", (char[]){ *arg, '\0' });
		if (!opt_is_flag(opt)) {
			if (arg[1])
				return set(p->o, opt, arg + 1);
			if (p->at == p->argc)
				return complain(CTL_USAGE, "-%c needs a value: -%c %s", *arg, *arg, opt->arg);
			return set(p->o, opt, p->argv[p->at++]);
		}
		rc = set(p->o, opt, NULL);
		if (rc)
			return rc;
	}
	return 0;
}

int options_parse(struct options *o, const char *verb, const struct opt *opts, enum opt_stop stop, int argc, char **argv)
{
	struct parse p = { .o = o, .verb = verb, .opts = opts, .argc = argc, .argv = argv };
	bool literal = false;

	free(o->args);
	o->args = xcalloc((size_t)argc + 1, sizeof(*o->args));
	o->n_args = 0;
	while (p.at < argc) {
		const char *arg = argv[p.at++];
		int rc = 0;

		if (literal || arg[0] != '-' || !arg[1]) {
			o->args[o->n_args++] = arg;
			literal = literal || stop == OPTS_STOP_AT_ARG;
		} else if (strcmp(arg, "--") == 0) {
			literal = true;
		} else {
			rc = arg[1] == '-' ? parse_long(&p, arg + 2) : parse_letters(&p, arg + 1);
		}
		if (rc)
			return rc;
	}
	return 0;
}
