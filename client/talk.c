/* SPDX-License-Identifier: MIT */
#include "talk.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "escape.h"

__attribute__((format(printf, 1, 0))) static void say(const char *fmt, va_list ap)
{
	struct buf line = { 0 };
	char *text;

	if (vasprintf(&text, fmt, ap) < 0)
		return;
	buf_puts(&line, "jobctl: ");
	for (char *part = text, *next; part; part = next) {
		next = strchr(part, '\n');      /* line breaks of the messages themselves stay */
		escape_human(&line, part, next ? (size_t)(next++ - part) : strlen(part));
		buf_puts(&line, next ? "\n  " : "\n");
	}
	fwrite(line.p, 1, line.len, stderr);
	buf_done(&line);
	free(text);
}

int complain(int status, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(fmt, ap);
	va_end(ap);
	return status;
}

void mention(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(fmt, ap);
	va_end(ap);
}
