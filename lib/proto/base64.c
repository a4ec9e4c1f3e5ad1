/* SPDX-License-Identifier: MIT */
#include "proto/base64.h"

#include <stdint.h>

static const char alphabet[65] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t base64_encode(const void *bytes, size_t n, char *ret)
{
	const unsigned char *p = bytes;
	char *to = ret;

	for (; n >= 3; n -= 3, p += 3) {
		*to++ = alphabet[p[0] >> 2];
		*to++ = alphabet[(p[0] & 3) << 4 | p[1] >> 4];
		*to++ = alphabet[(p[1] & 15) << 2 | p[2] >> 6];
		*to++ = alphabet[p[2] & 63];
	}
	if (n) {
		unsigned second = n == 2 ? p[1] : 0;

		*to++ = alphabet[p[0] >> 2];
		*to++ = alphabet[(p[0] & 3) << 4 | second >> 4];
		*to++ = n == 2 ? alphabet[(second & 15) << 2] : '=';
		*to++ = '=';
	}
	*to = '\0';
	return (size_t)(to - ret);
}

/* 0..63, or -1 */
static int value_of(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Four characters to three bytes; n of them carry a value, the others are padding. Returns bytes, or -1. */
static int decode_group(const char *text, int n, unsigned char *to)
{
	uint32_t bits = 0;

	for (int i = 0; i < 4; i++) {
		int v = i < n ? value_of(text[i]) : 0;

		if (v < 0)
			return -1;
		bits = bits << 6 | (uint32_t)v;
	}
	if ((n == 2 && bits & 0xffff) || (n == 3 && bits & 0xff))
		return -1;
	for (int i = 0; i < n - 1; i++)
		to[i] = (unsigned char)(bits >> (16 - 8 * i));
	return n - 1;
}

int base64_decode(const char *text, size_t len, void *ret, size_t *ret_n)
{
	unsigned char *to = ret;

	if (len % 4)
		return -1;
	for (size_t i = 0; i < len; i += 4) {
		int last = i + 4 == len, n = 4, bytes;

		if (last && text[i + 3] == '=')
			n = text[i + 2] == '=' ? 2 : 3;
		bytes = decode_group(text + i, n, to);
		if (bytes < 0)
			return -1;
		to += bytes;
	}
	*ret_n = (size_t)(to - (unsigned char *)ret);
	return 0;
}
