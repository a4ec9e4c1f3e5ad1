/* SPDX-License-Identifier: MIT */
#include "map/halt.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What follows `prefix` in text; NULL: it does not begin so. */
static const char *after(const char *text, const char *prefix)
{
	size_t n = strlen(prefix);

	return strncmp(text, prefix, n) == 0 ? text + n : NULL;
}

static int amount_parse(const char *text, struct halt *h)
{
	char *end;
	unsigned long long v;

	if (*text < '0' || *text > '9')
		return -1;
	errno = 0;
	v = strtoull(text, &end, 10);
	if (errno || v == 0)
		return -1;
	if (strcmp(end, "%") == 0 && h->what == HALT_FAIL && v <= 100)
		h->percent = (double)v;
	else if (*end == '\0')
		h->count = v;
	else
		return -1;
	return 0;
}

int halt_parse(const char *text, struct halt *ret)
{
	static const char *const whens[] = { [HALT_SOON] = "soon,", [HALT_NOW] = "now," };
	static const char *const whats[] = { [HALT_FAIL] = "fail=", [HALT_SUCCESS] = "success=", [HALT_DONE] = "done=" };

	*ret = (struct halt){ .when = HALT_NEVER };
	if (strcmp(text, "never") == 0)
		return 0;
	for (int when = HALT_SOON; when <= HALT_NOW; when++)
		for (int what = HALT_FAIL; what <= HALT_DONE; what++) {
			const char *rest = after(text, whens[when]);

			rest = rest ? after(rest, whats[what]) : NULL;
			*ret = (struct halt){ .when = (enum halt_when)when, .what = (enum halt_what)what };
			if (rest)
				return amount_parse(rest, ret);
		}
	return -1;
}

bool halt_is_due(const struct halt *h, const struct stage_counts *n)
{
	const uint64_t counted[] = { [HALT_FAIL] = n->failed, [HALT_SUCCESS] = n->finished - n->failed, [HALT_DONE] = n->finished };

	if (h->percent > 0)
		return n->failed >= HALT_PERCENT_MIN && (double)n->failed * 100 >= h->percent * (double)n->finished;
	return counted[h->what] >= h->count;
}
