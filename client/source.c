/* SPDX-License-Identifier: MIT */
#include "source.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "buf.h"
#include "reader.h"
#include "spec_ndjson.h"
#include "status.h"
#include "talk.h"

struct source {
	const char *file;
	enum format format;
	struct reader reader;
	struct buf text;                /* of the job given last */
	json_t *run;
	json_t *first;                  /* NDJSON: the first line, when it is a job; its text is in first_line */
	char *first_line;
	struct document doc;            /* YAML, JSON */
	size_t at;                      /* next job of doc */
};

/* ---- opening -------------------------------------------------------------------------------------------------------- */

static int cannot_read(struct source *s, struct fault *f)
{
	if (errno == EMSGSIZE)
		return fault_set(f, s->file, (struct place){ s->reader.line, 0 }, "longer than 1 MiB");
	if (errno == EFBIG)
		return fault_set(f, s->file, (struct place){ 0 }, "larger than 256 MiB; so many jobs are better given as NDJSON or lines");
	return fault_set(f, s->file, (struct place){ 0 }, "cannot be read: %s", strerror(errno));
}

static int open_document(struct source *s, struct fault *f)
{
	struct places places = { 0 };
	json_t *top = NULL;
	char *text;
	size_t len;
	int rc;

	if (reader_rest(&s->reader, DOCUMENT_MAX, &text, &len) != 0)
		return cannot_read(s, f);
	rc = s->format == FORMAT_YAML ? spec_yaml_read(s->file, text, len, &top, &places, f)
				      : spec_json_read(s->file, text, len, &top, &places, f);
	if (rc == 0)
		rc = document_finish(s->file, top, &places, &s->doc, f);
	places_done(&places);
	if (rc == 0)
		rc = document_check(&s->doc, f);
	if (rc == 0)
		s->run = json_incref(s->doc.run);
	return rc;
}

static bool is_blank_line(const char *line, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!memchr(" \t\r", line[i], 3))
			return false;
	return true;
}

/* 1 with the next line that is not blank, 0, -1. */
static int next_line(struct source *s, char **line, size_t *len, struct fault *f)
{
	int got;

	do {
		got = reader_line(&s->reader, line, len);
	} while (got > 0 && is_blank_line(*line, *len));
	return got < 0 ? cannot_read(s, f) : got;
}

/* Options of the run, or the first job: that is kept for source_next. */
static int open_ndjson(struct source *s, struct fault *f)
{
	char *line;
	size_t len;
	json_t *obj;
	const char *bad;
	int got = next_line(s, &line, &len, f);

	if (got <= 0)
		return got;
	obj = ndjson_read(s->file, s->reader.line, line, len, f);
	if (!obj)
		return -1;
	if (json_object_get(obj, "path")) {
		s->first = obj;
		s->first_line = xstrndup(line, len);
		return 0;
	}
	json_decref(s->run);
	s->run = obj;
	if (json_is_object(json_object_get(obj, "defaults")) && inherit_resolve(json_object_get(obj, "defaults"), &bad) != 0)
		return fault_set(f, s->file, (struct place){ s->reader.line, 1 }, "env_inherit: the value of %s is not UTF-8", bad);
	return 0;
}

/* A pipe may give the beginning in pieces: read on until it tells. */
static int guess(struct source *s, struct fault *f)
{
	const char *start;
	size_t len = 0;

	while (s->format == FORMAT_GUESS) {
		if (reader_peek(&s->reader, len, &start, &len) != 0)
			return cannot_read(s, f);
		s->format = format_guess(s->file, start, len, s->reader.eof || len > READER_LINE_MAX);
	}
	return 0;
}

static int source_begin(struct source *s, struct fault *f)
{
	if (reader_open(&s->reader, s->file) != 0) {
		fault_set(f, s->file, (struct place){ 0 }, "cannot be opened: %s", strerror(errno));
		f->status = CTL_USAGE;
		return -1;
	}
	if (guess(s, f) != 0)
		return -1;
	if (s->format == FORMAT_YAML || s->format == FORMAT_JSON)
		return open_document(s, f);
	s->run = json_object();
	return s->format == FORMAT_NDJSON ? open_ndjson(s, f) : 0;
}

int source_open(const char *file, enum format format, struct source **ret, struct fault *f)
{
	struct source *s = xcalloc(1, sizeof(*s));

	s->file = file;
	s->format = format;
	if (source_begin(s, f) != 0) {
		source_free(s);
		return -1;
	}
	*ret = s;
	return 0;
}

int source_open_named(const char *file, const char *format_name, struct source **ret)
{
	enum format format;
	struct fault f;

	if (format_parse(format_name, &format) != 0)
		return complain(CTL_USAGE, "--format must be yaml, json, ndjson or lines, got \"%s\"", format_name);
	if (source_open(file, format, ret, &f) != 0)
		return complain(f.status, "%s", f.text);
	return 0;
}

void source_free(struct source *s)
{
	if (!s)
		return;
	reader_done(&s->reader);
	buf_done(&s->text);
	json_decref(s->run);
	json_decref(s->first);
	free(s->first_line);
	document_done(&s->doc);
	free(s);
}

/* ---- one job after the other ---------------------------------------------------------------------------------------- */

static int give(struct source *s, struct place at, struct source_job *ret)
{
	*ret = (struct source_job){ .text = s->text.p, .len = s->text.len, .at = at };
	return 1;
}

/* Its place is not looked up for every job, but by source_place_of. */
static int next_of_document(struct source *s, struct source_job *ret)
{
	char *text;

	if (s->at == json_array_size(s->doc.jobs))
		return 0;
	text = json_dumps(json_array_get(s->doc.jobs, s->at), JSON_COMPACT);
	buf_puts(&s->text, text ? text : "{}");
	free(text);
	s->at++;
	return give(s, (struct place){ 0 }, ret);
}

static int next_of_ndjson(struct source *s, struct source_job *ret, struct fault *f)
{
	struct place at;
	char *line = s->first_line;
	size_t len = line ? strlen(line) : 0;
	json_t *obj = s->first;
	int rc;

	s->first = NULL;
	if (!obj) {
		rc = next_line(s, &line, &len, f);
		if (rc <= 0)
			return rc;
		obj = ndjson_read(s->file, s->reader.line, line, len, f);
		if (!obj)
			return -1;
	}
	at = (struct place){ s->reader.line, 0 };
	rc = ndjson_job(s->file, at.line, line, len, obj, &s->text, f);
	json_decref(obj);
	return rc == 0 ? give(s, at, ret) : -1;
}

static int next_of_lines(struct source *s, struct source_job *ret, struct fault *f)
{
	char *line;
	size_t len;

	for (;;) {
		int got = reader_line(&s->reader, &line, &len);

		if (got < 0)
			return cannot_read(s, f);
		if (got > 0)
			got = lines_job(s->file, s->reader.line, line, len, &s->text, f);
		else
			return 0;
		if (got != 0)
			return got > 0 ? give(s, (struct place){ s->reader.line, 0 }, ret) : -1;
	}
}

int source_next(struct source *s, struct source_job *ret, struct fault *f)
{
	s->text.len = 0;
	switch (s->format) {
	case FORMAT_NDJSON:
		return next_of_ndjson(s, ret, f);
	case FORMAT_LINES:
		return next_of_lines(s, ret, f);
	default:
		return next_of_document(s, ret);
	}
}

json_t *source_run(struct source *s)
{
	return s->run;
}

bool source_would_block(const struct source *s)
{
	return (s->format == FORMAT_LINES || s->format == FORMAT_NDJSON) && reader_would_block(&s->reader);
}

const char *source_file(const struct source *s)
{
	return s->file;
}

struct place source_place(const struct source *s, const struct source_job *job, const char *field)
{
	return job->at.line || !s->doc.jobs ? job->at : document_place(&s->doc, s->at - 1, field);
}

struct place source_run_place(const struct source *s, const char *field)
{
	if (s->doc.jobs)
		return places_of_field(&s->doc.places, NULL, 0, field);
	return (struct place){ .line = s->format == FORMAT_NDJSON };
}

/* A second reader of the same lines; standard input can be one where a file was redirected to it. */
static struct source *reopen(const struct source *s)
{
	bool is_stdin = s->reader.fd == STDIN_FILENO;
	struct source *again;
	struct stat st;
	struct fault f;

	if (fstat(s->reader.fd, &st) != 0 || !S_ISREG(st.st_mode))
		return NULL;
	return source_open(is_stdin ? "/proc/self/fd/0" : s->file, s->format, &again, &f) == 0 ? again : NULL;
}

static bool has_path(const json_t *job, const char *path)
{
	const char *name = json_string_value(json_object_get(job, "path"));

	return name && strcmp(name, path) == 0;
}

static struct place find_in_lines(struct source *s, const char *path)
{
	struct place at = { 0 };
	struct source_job job;
	struct fault f;

	while (!at.line && source_next(s, &job, &f) == 1) {
		json_t *obj = json_loadb(job.text, job.len, 0, NULL);

		if (has_path(obj, path))
			at = job.at;
		json_decref(obj);
	}
	return at;
}

struct place source_find(const struct source *s, const char *path)
{
	struct place at = { 0 };
	struct source *again;
	json_t *job;
	size_t i;

	json_array_foreach(s->doc.jobs, i, job)
		if (has_path(job, path))
			return document_place(&s->doc, i, "path");
	again = s->doc.jobs ? NULL : reopen(s);
	if (again)
		at = find_in_lines(again, path);
	source_free(again);
	return at;
}
