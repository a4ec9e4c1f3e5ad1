/* SPDX-License-Identifier: MIT */
#include "mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "status.h"

static void *or_exit(void *p)
{
	if (p)
		return p;
	fputs("fetch: out of memory\n", stderr);
	_Exit(FETCH_IO);
}

void *mem_zero(size_t n, size_t size)
{
	return or_exit(calloc(n, size));
}

void *mem_grow(void *p, size_t n, size_t size)
{
	return or_exit(reallocarray(p, n, size));
}

char *mem_text(const char *text)
{
	return text ? or_exit(strdup(text)) : NULL;
}

char *mem_part(const char *text, size_t len)
{
	return or_exit(strndup(text, len));
}

char *mem_vprint(const char *fmt, va_list ap)
{
	char *text;

	return or_exit(vasprintf(&text, fmt, ap) < 0 ? NULL : text);
}

char *mem_print(const char *fmt, ...)
{
	va_list ap;
	char *text;

	va_start(ap, fmt);
	text = mem_vprint(fmt, ap);
	va_end(ap);
	return text;
}

void mem_replace(char **p, const char *text)
{
	char *old = *p;

	*p = mem_text(text);
	free(old);
}
