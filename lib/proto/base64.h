/* SPDX-License-Identifier: MIT */
/* Base64 (RFC 4648, with padding): how bytes that are not UTF-8 travel. */
#ifndef BASE64_H
#define BASE64_H

#include <stddef.h>

#define BASE64_SIZE(n) (((n) + 2) / 3 * 4 + 1)  /* characters for n bytes, and a NUL */

/* base64_encode - n bytes into ret (BASE64_SIZE(n)); NUL-terminated. Returns the length. */
size_t base64_encode(const void *bytes, size_t n, char *ret);

/* base64_decode - strict: padded, nothing but the alphabet, no stray bits. ret: len / 4 * 3 bytes. 0, or -1. */
int base64_decode(const char *text, size_t len, void *ret, size_t *ret_n);

#endif
