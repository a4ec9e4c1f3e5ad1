/* SPDX-License-Identifier: MIT */
/* Mem - allocation that ends the process when there is none: what is in the file stays, and another process goes on. */
#ifndef FETCH_MEM_H
#define FETCH_MEM_H

#include <stdarg.h>
#include <stddef.h>

void *mem_zero(size_t n, size_t size);
void *mem_grow(void *p, size_t n, size_t size);
char *mem_text(const char *text);                       /* NULL of NULL */
char *mem_part(const char *text, size_t len);
char *mem_print(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
char *mem_vprint(const char *fmt, va_list ap) __attribute__((format(printf, 1, 0)));
/* mem_replace - *p is freed and becomes a copy of text (NULL: NULL). */
void mem_replace(char **p, const char *text);

#endif
