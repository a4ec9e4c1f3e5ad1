/* SPDX-License-Identifier: MIT */
#include "render.h"

#include <libsmartcols.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "buf.h"
#include "escape.h"

static const struct { const char *state, *name, *sequence; } colours[] = {
	{ "ok", "green", "\033[32m" }, { "warned", "yellow", "\033[33m" }, { "failed", "red", "\033[31m" },
	{ "lost", "red", "\033[31m" }, { "cancelled", "magenta", "\033[35m" }, { "running", "cyan", "\033[36m" },
	{ "starting", "cyan", "\033[36m" }, { "backoff", "yellow", "\033[33m" }, { "held", "yellow", "\033[33m" },
	{ "paused", "yellow", "\033[33m" },
};

bool render_colour(FILE *out)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	return isatty(fileno(out)) && !(no && *no) && term && strcmp(term, "dumb") != 0;
}

static int find_colour(const char *state)
{
	for (size_t i = 0; i < sizeof(colours) / sizeof(*colours); i++)
		if (strcmp(state, colours[i].state) == 0)
			return (int)i;
	return -1;
}

const char *render_state_colour(const char *state)
{
	int i = find_colour(state);

	return i < 0 ? "" : colours[i].sequence;
}

void render_text(FILE *out, const char *text)
{
	struct buf b = { 0 };

	escape_human(&b, text, strlen(text));
	fwrite(b.p ? b.p : "", 1, b.len, out);
	buf_done(&b);
}

void render_state(FILE *out, const char *state)
{
	bool colour = render_colour(out) && find_colour(state) >= 0;

	if (colour)
		fputs(render_state_colour(state), out);
	render_text(out, state);
	if (colour)
		fputs("\033[0m", out);
}

/* ---- tables ------------------------------------------------------------------------------------------------------------ */

struct table {
	struct libscols_table *scols;
	const struct column *columns;
	size_t n;
};

static int column_flags(enum column_kind kind)
{
	return kind == COLUMN_RIGHT ? SCOLS_FL_RIGHT : kind == COLUMN_LAST ? SCOLS_FL_NOEXTREMES : 0;
}

struct table *table_new(const struct column *columns, size_t n)
{
	struct table *t = xcalloc(1, sizeof(*t));

	t->columns = columns;
	t->n = n;
	t->scols = scols_new_table();
	if (!t->scols)
		abort();
	for (size_t i = 0; i < n; i++)
		scols_table_new_column(t->scols, columns[i].name, 0.0, column_flags(columns[i].kind));
	scols_table_enable_colors(t->scols, render_colour(stdout));
	scols_table_enable_maxout(t->scols, 0);
	scols_table_enable_nowrap(t->scols, 1);
	scols_table_set_termforce(t->scols, SCOLS_TERMFORCE_NEVER);     /* never cut a path to the width of a window */
	return t;
}

static void colour_cell(struct libscols_line *line, size_t i, const char *state)
{
	int c = find_colour(state);

	if (c >= 0)
		scols_cell_set_color(scols_line_get_cell(line, i), colours[c].name);
}

void table_row(struct table *t, const char *const *cells)
{
	struct libscols_line *line = scols_table_new_line(t->scols, NULL);

	for (size_t i = 0; line && i < t->n; i++) {
		char *safe = cells[i] ? escape_new(cells[i]) : NULL;

		if (safe)
			scols_line_refer_data(line, i, safe);
		if (cells[i] && t->columns[i].kind == COLUMN_STATE)
			colour_cell(line, i, cells[i]);
	}
}

void table_print(struct table *t, FILE *out)
{
	if (scols_table_is_empty(t->scols))
		return;
	scols_table_set_stream(t->scols, out);
	scols_print_table(t->scols);
	scols_table_remove_lines(t->scols);
	scols_table_enable_noheadings(t->scols, 1);
}

void table_free(struct table *t)
{
	if (t)
		scols_unref_table(t->scols);
	free(t);
}

/* ---- values of replies -------------------------------------------------------------------------------------------------- */

const char *reply_text(const json_t *obj, const char *key)
{
	return json_string_value(json_object_get(obj, key));
}

json_int_t reply_int(const json_t *obj, const char *key, json_int_t fallback)
{
	const json_t *v = json_object_get(obj, key);

	return json_is_integer(v) ? json_integer_value(v) : fallback;
}

double reply_real(const json_t *obj, const char *key, double fallback)
{
	const json_t *v = json_object_get(obj, key);

	return json_is_number(v) ? json_number_value(v) : fallback;
}

static int write_json(const char *p, size_t n, void *out)
{
	return fwrite(p, 1, n, out) == n ? 0 : -1;
}

void render_json(FILE *out, const json_t *obj)
{
	json_dump_callback(obj, write_json, out, JSON_COMPACT | RENDER_REALS);
	fputc('\n', out);
}

void render_row(FILE *out, const json_t *obj, const char *const *keys)
{
	json_t *row = json_object();

	for (; *keys; keys++) {
		json_t *v = json_object_get(obj, *keys);

		json_object_set_new(row, *keys, v ? json_incref(v) : json_null());
	}
	render_json(out, row);
	json_decref(row);
}

const char *render_end(const json_t *row, char *buf, size_t size)
{
	const char *reason = reply_text(row, "reason");
	json_int_t code = reply_int(row, "exit_code", -1), sig = reply_int(row, "signal", -1);
	const char *name = sig > 0 && sig < NSIG ? sigabbrev_np((int)sig) : NULL;

	if (reason && strcmp(reason, "exit") != 0 && strcmp(reason, "signal") != 0)
		snprintf(buf, size, "%s", reason);
	else if (sig >= 0)
		snprintf(buf, size, "signal %" JSON_INTEGER_FORMAT " (%s)", sig, name ? name : "?");
	else if (code >= 0)
		snprintf(buf, size, "exit %" JSON_INTEGER_FORMAT, code);
	else
		snprintf(buf, size, "%s", reason ? reason : "");
	return buf;
}
