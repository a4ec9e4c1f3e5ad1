/* SPDX-License-Identifier: MIT */
/*
 * Render - what people see on stdout: tables, states with their colour, values out of replies. Text from outside is always escaped;
 * colour stands only on a terminal, never with NO_COLOR, and never alone: the word is always there.
 */
#ifndef RENDER_H
#define RENDER_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* render_colour - whether to colour what goes to out. */
bool render_colour(FILE *out);
/* render_state - the escape sequence for a state of a job or a run; "" if it has none. */
const char *render_state_colour(const char *state);
void render_state(FILE *out, const char *state);
/* render_text - escaped. */
void render_text(FILE *out, const char *text);

/* ---- tables ------------------------------------------------------------------------------------------------------------ */

enum column_kind { COLUMN_TEXT, COLUMN_RIGHT, COLUMN_STATE, COLUMN_LAST };   /* LAST: the wide one, never cut or padded */
struct column { const char *name; enum column_kind kind; };

struct table;
/* columns: n of them, borrowed. */
struct table *table_new(const struct column *columns, size_t n);
/* cells: n of them, borrowed for the call; NULL shows as nothing. */
void table_row(struct table *t, const char *const *cells);
/* Prints and empties it; the header only the first time. */
void table_print(struct table *t, FILE *out);
void table_free(struct table *t);

/* ---- values of replies -------------------------------------------------------------------------------------------------- */

/* NULL where it is absent, null or of another type. */
const char *reply_text(const json_t *obj, const char *key);
/* fallback where it is absent, null or no integer. */
json_int_t reply_int(const json_t *obj, const char *key, json_int_t fallback);
double reply_real(const json_t *obj, const char *key, double fallback);

#define RENDER_REALS JSON_REAL_PRECISION(15)    /* 0.2, not 0.20000000000000001 */

/* render_row - obj's members `keys` (NULL-terminated) as one line of JSON in that order, null where absent. */
void render_row(FILE *out, const json_t *obj, const char *const *keys);
/* render_json - all of it as one line. */
void render_json(FILE *out, const json_t *obj);

/* render_end - how a job or an attempt ended: "exit 1", "signal 15 (TERM)", "timeout", "upstream: a/b"; "" where it has not. Into buf. */
const char *render_end(const json_t *row, char *buf, size_t size);

#endif
