/* SPDX-License-Identifier: MIT */
#include "elsewhere.h"

#include <stdbool.h>
#include <string.h>

struct elsewhere {
	const char *verb;
	const char *names;      /* with a space around each */
	const char *here;
};

static const struct elsewhere table[] = {
	{ "map", " P max-procs ", "here it is -j N" },
	{ "map", " I i replace ", "{} stands for the item without an option" },
	{ "map", " L N max-lines max-replace-args ", "here it is -n N" },
	{ "map", " X m xargs ", "here it is -s max, or -n N" },
	{ "map", " max-chars ", "here it is -s SIZE" },
	{ "map", " max-line-length-allowed show-limits ", "here it is jobctl limits" },
	{ "map", " keep-order ", "here results are in the order of the items anyway" },
	{ "map", " no-run-if-empty ", "here no command runs without items anyway" },
	{ "map", " bar eta ", "here it is --progress bar" },
	{ "map", " joblog ", "here it is --log FILE" },
	{ "map", " tag ", "here it is --out tag" },
	{ "map", " pipe spreadstdin ", "here it is --block SIZE" },
	{ "map", " link xapply ", "here it is several -a FILE, or --zip fill" },
	{ "map", " linebuffer lb ", "here it is --line-buffer" },
	{ "map", " dry-run dryrun ", "put echo before the command" },
	{ "fetch", " O output-document out ", "here it is -o FILE" },
	{ "fetch", " c continue C continue-at ", "here a fetch goes on where it was cut off without an option" },
	{ "fetch", " L location ", "here redirects are followed without an option" },
	{ "fetch", " s split max-connection-per-server ", "here it is -x N" },
	{ "fetch", " k min-split-size ", "here it is --min-part SIZE" },
	{ "fetch", " retry max-tries ", "here it is --tries N" },
	{ "fetch", " max-time m ", "here it is --deadline SECONDS" },
	{ "fetch", " r ", "here it is --range FIRST-LAST" },
	{ "fetch", " H header ", "here it is --header-file FILE, which ps does not show" },
	{ "fetch", " max-overall-download-limit max-download-limit ", "here it is --limit-rate SIZE" },
	{ "fetch", " R remote-time ", "here it is --mtime" },
};

static bool is_among(const char *names, const char *name)
{
	size_t len = strlen(name);

	for (const char *at = names; (at = strstr(at, " ")) && at[1]; at++)
		if (strncmp(at + 1, name, len) == 0 && at[1 + len] == ' ')
			return true;
	return false;
}

const char *elsewhere_find(const char *verb, const char *name)
{
	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++)
		if (strcmp(table[i].verb, verb) == 0 && is_among(table[i].names, name))
			return table[i].here;
	return NULL;
}
