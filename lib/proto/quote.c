/* SPDX-License-Identifier: MIT */
#include "proto/quote.h"

#include <stdbool.h>
#include <string.h>

static bool inside_character(char c)
{
	return ((unsigned char)c & 0xc0) == 0x80;
}

static char *put(char *to, const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
		*to++ = (unsigned char)s[i] < 0x20 || s[i] == 0x7f ? '?' : s[i];
	return to;
}

char *quote_short(char *buf, size_t size, const char *s, size_t len)
{
	size_t head, tail;
	char *to;

	if (len < size) {
		*put(buf, s, len) = '\0';
		return buf;
	}
	head = (size - 4) / 2;
	while (head && inside_character(s[head]))
		head--;
	tail = len - (size - 4) / 2;
	while (tail < len && inside_character(s[tail]))
		tail++;
	to = put(buf, s, head);
	to = put(to, "...", 3);
	*put(to, s + tail, len - tail) = '\0';
	return buf;
}
