/* SPDX-License-Identifier: MIT */
/* Buf - bytes that grow. Allocation never fails: out of memory ends the process with a message. */
#ifndef BUF_H
#define BUF_H

#include <stddef.h>

struct buf {
	char *p;        /* NULL while empty; not NUL-terminated but after buf_text */
	size_t len, cap;
};

void buf_done(struct buf *b);
void buf_reserve(struct buf *b, size_t more);           /* room for `more` bytes beyond len */
void buf_add(struct buf *b, const void *p, size_t n);
void buf_puts(struct buf *b, const char *s);
void buf_putc(struct buf *b, char c);
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
const char *buf_text(struct buf *b);                    /* NUL-terminated; the NUL is not counted in len */

/* As malloc, calloc, realloc, strdup, but out of memory ends the process. */
void *xcalloc(size_t n, size_t size);
void *xrealloc(void *p, size_t n, size_t size);
char *xstrndup(const char *s, size_t n);
char *xstrdup(const char *s);
char *xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
