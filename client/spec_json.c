/* SPDX-License-Identifier: MIT */
/*
 * JSON documents. jansson reads the values and reports mistakes with their line and column; a scan of the same text, which by then
 * is known to be JSON, writes down where the keys stand.
 */
#include <stdio.h>
#include <string.h>

#include "buf.h"
#include "document.h"

struct scan {
	const char *p, *end;
	struct place at;
	struct places *places;
};

/* Columns count characters, so continuation bytes do not. */
static void step(struct scan *s)
{
	if (*s->p == '\n') {
		s->at.line++;
		s->at.col = 1;
	} else if ((*s->p & 0xc0) != 0x80) {
		s->at.col++;
	}
	s->p++;
}

static void skip_blanks(struct scan *s)
{
	while (s->p < s->end && memchr(" \t\r\n", *s->p, 4))
		step(s);
}

static void skip_string(struct scan *s)
{
	step(s);
	while (s->p < s->end && *s->p != '"') {
		if (*s->p == '\\')
			step(s);
		step(s);
	}
	step(s);
}

static void scan_value(struct scan *s, unsigned depth);

static void scan_member(struct scan *s, unsigned depth)
{
	const char *start = s->p;
	struct place at = s->at;
	json_t *key;

	skip_string(s);
	key = json_loadb(start, (size_t)(s->p - start), JSON_DECODE_ANY, NULL);
	if (key)
		places_add(s->places, depth, json_string_value(key), at);
	json_decref(key);
	skip_blanks(s);
	step(s);                /* : */
	scan_value(s, depth + 1);
}

static void scan_item(struct scan *s, unsigned depth, size_t i)
{
	char key[24];

	snprintf(key, sizeof(key), "%zu", i);
	places_add(s->places, depth, key, s->at);
	scan_value(s, depth + 1);
}

static void scan_collection(struct scan *s, unsigned depth)
{
	char close = *s->p == '{' ? '}' : ']';

	step(s);
	for (size_t i = 0;; i++) {
		skip_blanks(s);
		if (s->p >= s->end || *s->p == close)
			break;
		if (*s->p == ',') {
			step(s);
			skip_blanks(s);
		}
		if (close == '}')
			scan_member(s, depth);
		else
			scan_item(s, depth, i);
	}
	step(s);
}

static void scan_value(struct scan *s, unsigned depth)
{
	skip_blanks(s);
	if (s->p >= s->end)
		return;
	if (*s->p == '{' || *s->p == '[')
		scan_collection(s, depth);
	else if (*s->p == '"')
		skip_string(s);
	else
		while (s->p < s->end && !memchr(",]} \t\r\n", *s->p, 7))
			step(s);
}

int spec_json_read(const char *file, const char *text, size_t len, json_t **ret, struct places *places, struct fault *f)
{
	struct scan s = { .p = text, .end = text + len, .at = { 1, 1 }, .places = places };
	json_error_t err;
	json_t *top = json_loadb(text, len, JSON_REJECT_DUPLICATES, &err);

	if (!top)
		return fault_set(f, file, (struct place){ (unsigned long)(err.line > 0 ? err.line : 0), (unsigned long)(err.column > 0 ?
				 err.column : 0) }, "%s", err.text);
	if (!json_is_object(top)) {
		json_decref(top);
		return fault_set(f, file, s.at, "expected an object with \"jobs\" at the top");
	}
	scan_value(&s, 0);
	*ret = top;
	return 0;
}
