/* SPDX-License-Identifier: MIT */
#include "proto/base64.h"

#include <stdbool.h>

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

/* ---- decoding ---- */

#define NONE 0x40                       /* no character of the alphabet */

/* 0..63 of each character, or NONE */
#define N4 NONE, NONE, NONE, NONE
#define N16 N4, N4, N4, N4
static const unsigned char values[256] = {
	N16, N16, N4, N4, NONE, NONE, NONE, 62, NONE, NONE, NONE, 63, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, NONE, NONE, N4,
	NONE, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, NONE, N4,
	NONE, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, NONE, N4,
	N16, N16, N16, N16, N16, N16, N16, N16,
};

/* Four characters of the alphabet to three bytes. False: one of them is not. */
static inline bool decode_four(const unsigned char *text, unsigned char *to)
{
	unsigned a = values[text[0]], b = values[text[1]], c = values[text[2]], d = values[text[3]];

	to[0] = (unsigned char)(a << 2 | b >> 4);
	to[1] = (unsigned char)(b << 4 | c >> 2);
	to[2] = (unsigned char)(c << 6 | d);
	return !((a | b | c | d) & NONE);
}

/* The last four, of which some may be padding. Returns bytes, or -1. */
static int decode_last(const char *text, unsigned char *to)
{
	int n = text[3] != '=' ? 3 : text[2] != '=' ? 2 : 1;
	unsigned char four[4] = { 'A', 'A', 'A', 'A' }, bytes[3];

	for (int i = 0; i <= n; i++)
		four[i] = (unsigned char)text[i];
	if (!decode_four(four, bytes))
		return -1;
	for (int i = n; i < 3; i++)
		if (bytes[i])
			return -1;      /* stray bits */
	for (int i = 0; i < n; i++)
		to[i] = bytes[i];
	return n;
}

int base64_decode(const char *text, size_t len, void *ret, size_t *ret_n)
{
	unsigned char *to = ret;
	int n = 0;

	if (len % 4)
		return -1;
	for (; len > 4; len -= 4, text += 4, to += 3)
		if (!decode_four((const unsigned char *)text, to))
			return -1;
	if (len > 0)
		n = decode_last(text, to);
	if (n < 0)
		return -1;
	*ret_n = (size_t)(to - (unsigned char *)ret) + (size_t)n;
	return 0;
}
