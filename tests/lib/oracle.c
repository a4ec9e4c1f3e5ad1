/* SPDX-License-Identifier: MIT */
/* See oracle.h. */
#include "oracle.h"

#include <stdio.h>
#include <string.h>

static bool below(const char *path, const char *dir)
{
	size_t n = strlen(dir);
	return n == 0 || (strncmp(path, dir, n) == 0 && path[n] == '/');
}

static bool barrier_needs(const char *j, const char *k)
{
	char dir[64], barrier[64];
	for (const char *p = j; *p; p++) {
		if (p[0] != '~' || (p > j && p[-1] != '/') || p[1] != '/')
			continue;
		snprintf(dir, sizeof(dir), "%.*s", p > j ? (int)(p - j - 1) : 0, j);
		snprintf(barrier, sizeof(barrier), "%.*s", (int)(p - j + 1), j);
		if (below(k, dir) && !below(k, barrier))
			return true;
	}
	return false;
}

static bool after_needs(const char *after, const char *k)
{
	char dir[64];
	size_t n = strlen(after);
	if (n == 0)
		return false;
	if (after[n - 1] != '/')
		return strcmp(after, k) == 0;
	snprintf(dir, sizeof(dir), "%.*s", (int)(n - 1), after);
	return strcmp(dir, k) == 0 || below(k, dir);
}

bool oracle_needs(const struct oracle *o, int j, int k)
{
	const char *a = o->job[j].path, *b = o->job[k].path;
	return below(a, b) || barrier_needs(a, b) || after_needs(o->job[j].after, b);
}

static bool decided_before(const struct oracle *o, int j, const bool *done)
{
	for (int k = 0; k < o->n; k++)
		if (oracle_needs(o, j, k) && !done[k])
			return false;
	return true;
}

static void judge(struct oracle *o, int j)
{
	o->runs[j] = o->goes_on[j] = false;
	if (o->job[j].outcome == O_CANCELLED)
		return;
	bool all = true;
	for (int k = 0; k < o->n; k++)
		all = all && (!oracle_needs(o, j, k) || o->goes_on[k]);
	bool not_needed = o->job[j].when == O_ON_FAILURE && all;
	o->runs[j] = o->job[j].when == O_ON_FINISHED || (o->job[j].when == O_ON_SUCCESS ? all : !all);
	o->goes_on[j] = not_needed || (o->runs[j] && o->job[j].outcome <= O_WARN);
}

/* Decides whatever can be decided, until nothing more can. Returns how many were. */
static int decide(struct oracle *o)
{
	bool done[ORACLE_MAX] = { false };
	int n = 0;
	for (bool more = true; more;) {
		more = false;
		for (int j = 0; j < o->n; j++)
			if (!done[j] && decided_before(o, j, done)) {
				judge(o, j);
				done[j] = more = true;
				n++;
			}
	}
	return n;
}

bool oracle_has_cycle(const struct oracle *o)
{
	struct oracle copy = *o;
	return decide(&copy) < o->n;
}

void oracle_judge(struct oracle *o)
{
	decide(o);
}
