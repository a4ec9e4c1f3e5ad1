/* SPDX-License-Identifier: MIT */
/* Format - in which of the four formats a file of jobs is written. */
#ifndef FORMAT_H
#define FORMAT_H

#include <stdbool.h>
#include <stddef.h>

enum format { FORMAT_GUESS, FORMAT_YAML, FORMAT_JSON, FORMAT_NDJSON, FORMAT_LINES };

/* format_parse - "yaml" ...; NULL: FORMAT_GUESS. 0 or -1. */
int format_parse(const char *name, enum format *ret);
/* format_guess - by the file's name, else by how it starts. FORMAT_GUESS: that tells only with more of it; never where this is all to go by. */
enum format format_guess(const char *file, const char *start, size_t len, bool all);

#endif
