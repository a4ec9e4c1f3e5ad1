/* SPDX-License-Identifier: MIT */
#include "format.h"

#include <jansson.h>
#include <string.h>

static const struct { const char *name; enum format format; } names[] = {
	{ "yaml", FORMAT_YAML }, { "yml", FORMAT_YAML }, { "json", FORMAT_JSON }, { "ndjson", FORMAT_NDJSON },
	{ "jsonl", FORMAT_NDJSON }, { "lines", FORMAT_LINES },
};

static enum format named(const char *name)
{
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (strcmp(name, names[i].name) == 0)
			return names[i].format;
	return FORMAT_GUESS;
}

int format_parse(const char *name, enum format *ret)
{
	*ret = name ? named(name) : FORMAT_GUESS;
	return name && *ret == FORMAT_GUESS ? -1 : 0;
}

/* `jobs:` with nothing behind it would be a job without a command as a line, and begins the jobs of a YAML file. */
static bool has_jobs_key(const char *s, size_t len)
{
	for (const char *p = s, *end = s + len; p && p < end; p = memchr(p, '\n', (size_t)(end - p)), p = p ? p + 1 : NULL) {
		const char *q = p + 5;

		if ((size_t)(end - p) < 5 || memcmp(p, "jobs:", 5) != 0)
			continue;
		while (q < end && (*q == ' ' || *q == '\t' || *q == '\r'))
			q++;
		if (q == end || *q == '\n' || *q == '{' || *q == '[' || (*q == '#' && q > p + 5))
			return true;
	}
	return false;
}

/* The line can stand in front of the `jobs:` of a YAML file: a comment, an option of the run, or what belongs to one. */
static bool may_precede_jobs(const char *p, size_t len)
{
	static const char *const options[] = {
		"name", "key", "workers", "barrier", "order", "on_error", "on-error", "interval_s", "interval-s", "period_s", "period-s",
		"jitter_s", "jitter-s", "deadline_s", "deadline-s", "cwd", "env", "labels", "defaults",
	};

	if (len == 0 || memchr(" \t\r#}]", *p, 7))
		return true;
	for (size_t i = 0; i < sizeof(options) / sizeof(*options); i++) {
		size_t n = strlen(options[i]);

		if (len > n && memcmp(p, options[i], n) == 0 && p[n] == ':')
			return true;
	}
	return false;
}

/* What is no YAML so far may become it. */
static enum format lines_or_more(const char *s, size_t len)
{
	for (const char *p = s, *end = s + len, *eol; p < end; p = eol + 1) {
		eol = memchr(p, '\n', (size_t)(end - p));
		if (!may_precede_jobs(p, (size_t)(eol - p)))
			return FORMAT_LINES;
	}
	return FORMAT_GUESS;
}

/* One object on the first line, without jobs in it: NDJSON. */
static bool is_ndjson(const char *s, size_t len)
{
	const char *eol = memchr(s, '\n', len);
	json_t *first = json_loadb(s, eol ? (size_t)(eol - s) : len, 0, NULL);
	bool yes = json_is_object(first) && !json_object_get(first, "jobs");

	json_decref(first);
	return yes;
}

static size_t whole_lines(const char *s, size_t len)
{
	const char *last = memrchr(s, '\n', len);

	return last ? (size_t)(last - s) + 1 : 0;
}

enum format format_guess(const char *file, const char *start, size_t len, bool all)
{
	const char *dot = strrchr(file, '.');
	enum format by_name = dot ? named(dot + 1) : FORMAT_GUESS;

	if (by_name != FORMAT_GUESS)
		return by_name;
	while (len && memchr(" \t\r\n", *start, 4)) {
		start++;
		len--;
	}
	if (!all && (len = whole_lines(start, len)) == 0)
		return FORMAT_GUESS;
	if (len && (*start == '{' || *start == '['))
		return is_ndjson(start, len) ? FORMAT_NDJSON : FORMAT_JSON;
	if ((len >= 3 && memcmp(start, "---", 3) == 0) || (len >= 5 && memcmp(start, "%YAML", 5) == 0) || has_jobs_key(start, len))
		return FORMAT_YAML;
	return all ? FORMAT_LINES : lines_or_more(start, len);
}
