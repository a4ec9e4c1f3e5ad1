/* SPDX-License-Identifier: MIT */
/*
 * Escape - text from jobs, paths and files, made fit for a terminal or for JSON.
 *
 * For people: controls (C0, C1, DEL), characters that turn or hide text (bidi controls, zero-width and line separators, BOM) and bytes
 * that are not UTF-8 come out as \n, \t, \xHH or \u{HHHH}; a backslash as \\. Nothing a job says can move the cursor.
 */
#ifndef ESCAPE_H
#define ESCAPE_H

#include <stdbool.h>
#include <stddef.h>

#include "buf.h"

void escape_human(struct buf *out, const char *s, size_t n);
/* escape_output - the same for what a job has written: line breaks, tabs and backslashes stay. Returns how many bytes it has dealt with;
 * at most 3 at the end are left, when they begin a character whose rest has yet to come. */
size_t escape_output(struct buf *out, const char *s, size_t n);
/* As escape_human into a new string; the caller frees. */
char *escape_new(const char *s);

/* utf8_len - bytes of the well-formed character at s (n bytes left), *ret_cp its code point; 0: not UTF-8. */
size_t utf8_len(const char *s, size_t n, unsigned *ret_cp);
/* utf8_bad - offset of the first byte of s that is not well-formed UTF-8; n if all is well. Fast on ASCII. */
size_t utf8_bad(const char *s, size_t n);

/* The same of bytes that come in pieces, which may cut characters. {0} at first. */
struct utf8_stream {
	char begun[4];
	size_t n_begun;                 /* bytes of a character whose rest has yet to come; at most 3 */
	bool is_bad;
};
void utf8_feed(struct utf8_stream *u, const char *s, size_t n);
/* Whether all that came is well formed, and nothing is left begun. */
bool utf8_is_text(const struct utf8_stream *u);

/* escape_json - s as a JSON string with its quotes. s is UTF-8. Fast: a table look-up a byte, runs are copied. */
void escape_json(struct buf *out, const char *s, size_t n);
/* The same without the quotes: of a longer string. */
void escape_json_part(struct buf *out, const char *s, size_t n);

#endif
