/* SPDX-License-Identifier: MIT */
/*
 * Source - where jobs come from: a file or standard input, in one of four formats, as the options of a run and then one job
 * after the other. Lines and NDJSON are streams and take constant memory; YAML and JSON documents are read as a whole and checked
 * before the first job is given.
 */
#ifndef SOURCE_H
#define SOURCE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "document.h"
#include "format.h"

struct source_job {
	const char *text;       /* one JSON object, compact enough to be sent; valid until the next call */
	size_t len;
	struct place at;
};

struct source;

/* source_open - 0, or -1 with *f. file: "-" is standard input. */
int source_open(const char *file, enum format format, struct source **ret, struct fault *f);
/* source_open_named - the same for a command line: the format by its name (NULL: guess). 0, or a status and it has complained. */
int source_open_named(const char *file, const char *format_name, struct source **ret);
void source_free(struct source *s);
/* source_run - the options of the run as the file gives them: an object, borrowed. */
json_t *source_run(struct source *s);
/* source_next - 1 with *ret, 0 at the end, -1 with *f. */
int source_next(struct source *s, struct source_job *ret, struct fault *f);
/* source_would_block - nothing more to give before somebody writes into the pipe. */
bool source_would_block(const struct source *s);
const char *source_file(const struct source *s);
/* source_place - where a field ("retry.max"; NULL: the job itself) of the job given last stands; of a line only the line is known.
 * source_run_place - the same of an option of the run. */
struct place source_place(const struct source *s, const struct source_job *job, const char *field);
struct place source_run_place(const struct source *s, const char *field);
/* source_find - where the job with that path stands, in a document or in a file that can be read a second time; line 0: not found. */
struct place source_find(const struct source *s, const char *path);

/* lines_job - one line of the format `path: command` or `path < dep dep: command` as a JSON object appended to out.
 * 1; 0: a blank line or a comment; -1 with *f. */
struct buf;
int lines_job(const char *file, unsigned long number, const char *line, size_t len, struct buf *out, struct fault *f);

#endif
