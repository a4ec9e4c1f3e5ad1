/* SPDX-License-Identifier: MIT */
/* Reader - a file or standard input, line by line or as a whole, without a copy a line. */
#ifndef READER_H
#define READER_H

#include <stdbool.h>
#include <stddef.h>

#include "buf.h"

#define READER_LINE_MAX (1024 * 1024)

struct reader {
	int fd;
	struct buf data;        /* what was read and not consumed stands from pos on */
	size_t pos;
	bool eof;
	unsigned long line;     /* number of the line that reader_line gave last; from 1 */
};

/* reader_open - "-" is standard input. 0, or -1 with errno. */
int reader_open(struct reader *r, const char *file);
void reader_done(struct reader *r);

/* reader_line - the next line without its line break; valid until the next call. 1, 0 at the end, -1 with errno (EMSGSIZE: too long). */
int reader_line(struct reader *r, char **ret, size_t *ret_len);
/* reader_peek - what has been read and not consumed: more than seen bytes, and up to the first character that is not blank, if there is so
 * much. 0 or -1. */
int reader_peek(struct reader *r, size_t seen, const char **ret, size_t *ret_len);
/* reader_rest - all the rest, NUL-terminated, not counting the NUL; at most max bytes (EFBIG). Valid until reader_done. 0 or -1. */
int reader_rest(struct reader *r, size_t max, char **ret, size_t *ret_len);
/* reader_would_block - no whole line is there, and reading would wait for somebody to write one. */
bool reader_would_block(const struct reader *r);

#endif
