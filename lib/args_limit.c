/* SPDX-License-Identifier: MIT */
/* How many bytes one exec takes, here and elsewhere. */
#include <strings.h>

#include "jobtree_args.h"
#include "tree.h"

#define LINUX_MIN ((size_t)128 << 10)
#define LINUX_MAX ((size_t)6 << 20)

size_t jt_arg_max_linux(uint64_t stack_limit)
{
	uint64_t quarter = stack_limit / 4;
	if (quarter > LINUX_MAX)
		return LINUX_MAX;
	return quarter < LINUX_MIN ? LINUX_MIN : (size_t)quarter;
}

/* ARG_MAX as their headers and sysconf(3) pages state it for 64 bits; Linux with its default stack of 8 MiB; Cygwin, what CreateProcess takes. */
static const struct {
	const char *name;
	size_t arg_max;
} systems[] = {
	{ "linux", (size_t)2 << 20 },   { "freebsd", (size_t)512 << 10 }, { "netbsd", (size_t)256 << 10 }, { "openbsd", (size_t)512 << 10 },
	{ "darwin", (size_t)1 << 20 },  { "sunos", 2096640 },             { "aix", (size_t)1 << 20 },      { "hp-ux", 2048000 },
	{ "cygwin", 32000 },            { "posix", 4096 },
};

size_t jt_arg_max_of(const char *os)
{
	for (size_t i = 0; i < sizeof(systems) / sizeof(*systems); i++)
		if (strcasecmp(os, systems[i].name) == 0)
			return systems[i].arg_max;
	return 0;
}

size_t jt_arg_strings_cost(char *const *strings)
{
	size_t sum = 0;
	for (; *strings; strings++)
		sum += jt_arg_cost(strlen(*strings));
	return sum;
}

size_t jt_arg_budget(size_t arg_max, size_t env_cost, size_t head_cost)
{
	size_t spent = env_cost + head_cost + JT_ARG_RESERVE + 2 * sizeof(void *);
	return spent < arg_max ? arg_max - spent : 0;
}
