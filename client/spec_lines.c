/* SPDX-License-Identifier: MIT */
/*
 * Lines: `path: shell command`, `path < dep dep: shell command`, `#` comments. The path ends at the first colon that a blank
 * follows. Made for a million of them: the JSON text is written straight into the buffer.
 */
#include <string.h>

#include "buf.h"
#include "escape.h"
#include "source.h"

struct line {
	const char *file, *start;
	unsigned long number;
	struct fault *f;
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static int refuse(const struct line *l, const char *at, const char *message)
{
	unsigned long col = 1;

	for (const char *p = l->start; p < at; p++)
		col += (*p & 0xc0) != 0x80;
	return fault_set(l->f, l->file, (struct place){ l->number, col }, "%s", message);
}

/* The colon that ends the head: the first one with a blank or the end of the line behind it. */
static const char *find_colon(const char *p, const char *end)
{
	for (; (p = memchr(p, ':', (size_t)(end - p))); p++)
		if (p + 1 == end || is_blank(p[1]))
			return p;
	return NULL;
}

static const char *skip_blanks(const char *p, const char *end)
{
	while (p < end && is_blank(*p))
		p++;
	return p;
}

static const char *skip_word(const char *p, const char *end)
{
	while (p < end && !is_blank(*p))
		p++;
	return p;
}

/* `< dep dep`, from p to the colon. */
static int add_deps(const struct line *l, const char *p, const char *colon, struct buf *out)
{
	const char *word, *separator = ",\"after\":[";

	if (*p != '<' || (p + 1 < colon && !is_blank(p[1])))
		return refuse(l, p, "expected `path: command` or `path < dep dep: command`; names with blanks need NDJSON");
	p = skip_blanks(p + 1, colon);
	if (p == colon)
		return refuse(l, p, "a path that it waits for is missing after `<`");
	for (; p < colon; p = skip_blanks(p, colon)) {
		word = p;
		p = skip_word(p, colon);
		buf_puts(out, separator);
		escape_json(out, word, (size_t)(p - word));
		separator = ",";
	}
	buf_putc(out, ']');
	return 0;
}

static int add_job(const struct line *l, const char *p, const char *end, struct buf *out)
{
	const char *colon = find_colon(p, end), *path = p, *command;

	if (!colon)
		return refuse(l, p, "expected `path: command`: there is no colon with a blank behind it");
	if (colon == p)
		return refuse(l, p, "the path is missing before the colon");
	command = skip_blanks(colon + 1, end);
	if (command == end)
		return refuse(l, colon, "the command is missing after the colon");
	p = skip_word(p, colon);
	buf_add(out, "{\"path\":", 8);
	escape_json(out, path, (size_t)(p - path));
	p = skip_blanks(p, colon);
	if (p < colon && add_deps(l, p, colon, out) != 0)
		return -1;
	buf_add(out, ",\"shell\":", 9);
	escape_json(out, command, (size_t)(end - command));
	buf_putc(out, '}');
	return 1;
}

int lines_job(const char *file, unsigned long number, const char *line, size_t len, struct buf *out, struct fault *f)
{
	struct line l = { .file = file, .start = line, .number = number, .f = f };
	const char *end = line + len, *p;
	size_t bad;

	while (end > line && (end[-1] == '\r' || is_blank(end[-1])))
		end--;
	p = skip_blanks(line, end);
	if (p == end || *p == '#')
		return 0;
	bad = utf8_bad(line, (size_t)(end - line));
	if (bad < (size_t)(end - line))
		return refuse(&l, line + bad, "text is not UTF-8; bytes that are not need NDJSON with argv_b64");
	if (memchr(p, '\0', (size_t)(end - p)))
		return refuse(&l, memchr(p, '\0', (size_t)(end - p)), "a NUL character cannot stand in a path or a command");
	return add_job(&l, p, end, out);
}
