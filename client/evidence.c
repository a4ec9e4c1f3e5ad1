/* SPDX-License-Identifier: MIT */
#include "evidence.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "call.h"
#include "proto/base64.h"
#include "render.h"

#define TAIL_BYTES 2048
#define TAIL_LINES 5

static json_t *get(struct vl_conn *conn, const char *run, const char *path)
{
	return call_try(conn, "Get", json_pack("{s:s, s:s}", "run", run, "path", path));
}

static const json_t *last_attempt(const json_t *got)
{
	const json_t *attempts = json_object_get(got, "attempts");

	return json_array_get(attempts, json_array_size(attempts) - 1);
}

char *evidence_message(struct vl_conn *conn, const char *run, const char *path)
{
	json_t *got = get(conn, run, path);
	const char *message = reply_text(last_attempt(got), "message");
	char *copy = message && *message ? xstrdup(message) : NULL;

	json_decref(got);
	return copy;
}

static void line(FILE *out, const char *text)
{
	fputs("      ", out);
	render_text(out, text);
	fputc('\n', out);
}

/* Where the last lines of text begin; `cut`: it begins within a line, which is left out. */
static char *last_lines(char *text, size_t len, bool cut)
{
	char *p = text + len, *first = cut ? memchr(text, '\n', len) : NULL;
	int lines = 0;

	while (p > text && (p[-1] != '\n' || ++lines < TAIL_LINES))
		p--;
	return first && first + 1 < text + len && p <= first ? first + 1 : p;
}

static void print_lines(FILE *out, char *text, size_t len, bool cut)
{
	char *next;

	while (len && text[len - 1] == '\n')
		text[--len] = '\0';
	for (char *p = last_lines(text, len, cut); p; p = next) {
		next = strchr(p, '\n');
		if (next)
			*next++ = '\0';
		line(out, p);
	}
}

static void print_stderr(FILE *out, struct vl_conn *conn, const char *run, const char *path, json_int_t bytes)
{
	json_int_t from = bytes > TAIL_BYTES ? bytes - TAIL_BYTES : 0;
	json_t *reply = call_try(conn, "Logs", json_pack("{s:s, s:s, s:s, s:I}", "run", run, "path", path, "stream", "err", "offset", from));
	const char *data = reply_text(reply, "data_b64");
	size_t len = data ? strlen(data) : 0, n = 0;
	char *text = xcalloc(1, len / 4 * 3 + 4);

	if (len && base64_decode(data, len, text, &n) == 0 && n) {
		text[n] = '\0';
		print_lines(out, text, n, from > 0);
	}
	free(text);
	json_decref(reply);
}

static bool ended_badly(const json_t *job)
{
	const char *state = reply_text(job, "state");

	return state && reply_int(job, "attempts", 0) > 0 &&
	       (strcmp(state, "failed") == 0 || strcmp(state, "lost") == 0 || strcmp(state, "warned") == 0);
}

enum evidence evidence_print(FILE *out, struct vl_conn *conn, const char *run, const char *path)
{
	json_t *got = get(conn, run, path);
	const json_t *job = json_object_get(got, "job"), *attempt = last_attempt(got);
	bool bad = ended_badly(job), own = json_is_object(json_object_get(got, "spec"));
	json_int_t err = reply_int(attempt, "err_bytes", 0), all = err + reply_int(attempt, "out_bytes", 0);
	enum evidence left = all > 0 ? EVIDENCE_OUTPUT : EVIDENCE_SILENT;

	if (bad && reply_text(attempt, "message"))
		line(out, reply_text(attempt, "message"));
	if (bad && own && err > 0)
		print_stderr(out, conn, run, path, err);
	if (!bad || strcmp(reply_text(job, "state"), "warned") == 0)
		left = EVIDENCE_NONE;
	json_decref(got);
	return left;
}
