/* SPDX-License-Identifier: MIT */
/*
 * YAML to JSON, with less surprise than YAML has: a plain scalar is text until the field it stands in asks for a number, or for true or false. So `no`,
 * `0777`, `1:30` and `1e3` stay what was written wherever text is due. Duplicate keys, aliases, anchors, tags, second documents and
 * keys that are not scalars are refused.
 */
#include <stdbool.h>
#include <string.h>
#include <yaml.h>

#include "buf.h"
#include "document.h"

#define DEPTH_MAX 64

/* ---- which fields are numbers, or flags --------------------------------------------------------------------------------------- */

struct shape;
struct member {
	const char *name;       /* NULL: any other */
	const struct shape *shape;
};
struct shape {
	enum { TEXT, NUMBER, FLAG } scalar;
	const struct member *members;   /* of a mapping; ends with name NULL, whose shape is that of all others */
	const struct shape *items;      /* of a list */
};

static const struct shape text, number, job, jobs;
static const struct member texts[] = { { NULL, &text } };
static const struct shape text = { TEXT, texts, &text };
static const struct shape number = { NUMBER, texts, &number };  /* a size as well: what is none stays text, "8M" */
static const struct shape flag = { FLAG, texts, &flag };

static const struct member retry_members[] = {
	{ "max", &number }, { "min_s", &number }, { "cap_s", &number }, { "max_s", &number }, { "base", &number },
	{ "elapsed_s", &number }, { "on_exit", &number }, { "not_on_exit", &number }, { NULL, &text },
};
static const struct shape retry = { TEXT, retry_members, &text };

static const struct member fetch_members[] = {
	{ "at", &number }, { "streams", &number }, { "max_per_host", &number }, { "min_part", &number }, { "limit_rate", &number },
	{ "tries", &number }, { "restarts", &number }, { "stall_timeout_s", &number }, { "retry_after_cap_s", &number },
	{ "deadline_s", &number }, { "heartbeat_s", &number }, { "save_interval_s", &number }, { "save_bytes", &number },
	{ "durable", &flag }, { "no_fsync", &flag }, { "http2", &flag }, { "trust_size", &flag }, { "if_changed", &flag }, { "mtime", &flag },
	{ "no_clobber", &flag }, { "keep_bad", &flag }, { NULL, &text },
};
static const struct shape fetch = { TEXT, fetch_members, &text };

static const struct member job_members[] = {
	{ "nice", &number }, { "timeout_s", &number }, { "grace_s", &number }, { "retry", &retry }, { "success_exit", &number },
	{ "skip_exit", &number }, { "lost_max", &number }, { "priority", &number }, { "duration_s", &number }, { "fetch", &fetch }, { NULL, &text },
};
static const struct shape job = { TEXT, job_members, &text };
static const struct member any_path[] = { { NULL, &job } };
static const struct shape jobs = { TEXT, any_path, &job };

static const struct member run_members[] = {
	{ "workers", &number }, { "interval_s", &number }, { "period_s", &number }, { "jitter_s", &number }, { "deadline_s", &number },
	{ "defaults", &job }, { "jobs", &jobs }, { NULL, &text },
};
static const struct shape run = { TEXT, run_members, &text };

static int same_name(const char *name, const char *typed)
{
	for (; *name && (*name == *typed || (*name == '_' && *typed == '-')); name++, typed++)
		;
	return *name == *typed;
}

static const struct shape *member_shape(const struct shape *s, const char *key)
{
	const struct member *m = s->members;

	while (m->name && !same_name(m->name, key))
		m++;
	return m->shape;
}

/* ---- reading -------------------------------------------------------------------------------------------------------- */

struct yaml {
	yaml_parser_t parser;
	const char *file, *text;
	struct places *places;
	struct fault *f;
};

static struct place place_of(yaml_mark_t m)
{
	return (struct place){ .line = m.line + 1, .col = m.column + 1 };
}

/* The reader is ahead of the parser, so its place is counted here. */
static struct place place_of_byte(const char *input, size_t offset)
{
	struct place at = { 1, 1 };

	for (size_t i = 0; i < offset; i++) {
		at.col = input[i] == '\n' ? 1 : at.col + ((input[i] & 0xc0) != 0x80);
		at.line += input[i] == '\n';
	}
	return at;
}

static bool is_indented_by_tab(const char *from, unsigned long line)
{
	while (from && --line) {
		from = strchr(from, '\n');
		from = from ? from + 1 : NULL;
	}
	return from && from[strspn(from, " ")] == '\t';
}

static int syntax_error(struct yaml *y)
{
	const yaml_parser_t *p = &y->parser;
	struct place at = place_of(p->problem_mark);

	if (p->error == YAML_READER_ERROR)
		return fault_set(y->f, y->file, place_of_byte(y->text, p->problem_offset), "%s", p->problem);
	if (p->error == YAML_SCANNER_ERROR && is_indented_by_tab(y->text, at.line))
		return fault_set(y->f, y->file, at, "a tab cannot indent in YAML; use blanks");
	if (p->context && p->context_mark.line != p->problem_mark.line)
		return fault_set(y->f, y->file, at, "%s %s (from line %zu)", p->problem, p->context, p->context_mark.line + 1);
	return fault_set(y->f, y->file, at, "%s%s%s", p->problem ? p->problem : "this is not YAML", p->context ? " " : "",
			 p->context ? p->context : "");
}

static int next(struct yaml *y, yaml_event_t *ev)
{
	return yaml_parser_parse(&y->parser, ev) ? 0 : syntax_error(y);
}

/* Anchors and tags can stand on scalars, lists and mappings alike. */
static int refuse_decoration(struct yaml *y, const yaml_event_t *ev, const yaml_char_t *anchor, const yaml_char_t *tag)
{
	if (anchor)
		return fault_set(y->f, y->file, place_of(ev->start_mark), "anchors (&%s) are not taken; put what jobs share under \"defaults\"",
				 (const char *)anchor);
	if (tag)
		return fault_set(y->f, y->file, place_of(ev->start_mark), "tags (%s) are not taken; the field says what a value is",
				 (const char *)tag);
	return 0;
}

static json_t *number_of(const char *s, size_t len)
{
	json_t *value = json_loadb(s, len, JSON_DECODE_ANY, NULL);

	if (json_is_number(value))
		return value;
	json_decref(value);
	return NULL;
}

static json_t *flag_of(const char *s)
{
	return strcmp(s, "true") == 0 ? json_true() : strcmp(s, "false") == 0 ? json_false() : NULL;
}

static int read_scalar(struct yaml *y, const struct shape *shape, const yaml_event_t *ev, json_t **ret)
{
	const char *s = (const char *)ev->data.scalar.value;
	size_t len = ev->data.scalar.length;
	json_t *value = NULL;

	if (refuse_decoration(y, ev, ev->data.scalar.anchor, ev->data.scalar.tag) != 0)
		return -1;
	if (memchr(s, '\0', len))
		return fault_set(y->f, y->file, place_of(ev->start_mark), "text cannot hold a NUL character");
	if (shape->scalar == NUMBER && ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE)
		value = len == 0 ? json_null() : number_of(s, len);
	else if (shape->scalar == FLAG && ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE)
		value = len == 0 ? json_null() : flag_of(s);
	*ret = value ? value : json_stringn(s, len);
	return *ret ? 0 : fault_set(y->f, y->file, place_of(ev->start_mark), "text is not UTF-8");
}

static int read_node(struct yaml *y, const struct shape *shape, const yaml_event_t *ev, unsigned depth, json_t **ret);

/* Reads the value that follows, and whatever it holds. */
static int read_value(struct yaml *y, const struct shape *shape, unsigned depth, json_t **ret)
{
	yaml_event_t ev;
	int rc;

	if (next(y, &ev) != 0)
		return -1;
	rc = read_node(y, shape, &ev, depth, ret);
	yaml_event_delete(&ev);
	return rc;
}

static int read_list(struct yaml *y, const struct shape *shape, unsigned depth, json_t *list)
{
	for (;;) {
		yaml_event_t ev;
		json_t *item = NULL;
		char key[24];
		int rc;

		if (next(y, &ev) != 0)
			return -1;
		if (ev.type == YAML_SEQUENCE_END_EVENT) {
			yaml_event_delete(&ev);
			return 0;
		}
		snprintf(key, sizeof(key), "%zu", json_array_size(list));
		places_add(y->places, depth, key, place_of(ev.start_mark));
		rc = read_node(y, shape->items, &ev, depth + 1, &item);
		yaml_event_delete(&ev);
		if (rc != 0)
			return -1;
		json_array_append_new(list, item);
	}
}

static int check_key(struct yaml *y, const yaml_event_t *ev, const json_t *obj)
{
	const char *key = (const char *)ev->data.scalar.value;

	if (ev->type == YAML_ALIAS_EVENT)
		return fault_set(y->f, y->file, place_of(ev->start_mark), "aliases (*%s) are not taken", (const char *)ev->data.alias.anchor);
	if (ev->type != YAML_SCALAR_EVENT)
		return fault_set(y->f, y->file, place_of(ev->start_mark), "a key must be text");
	if (refuse_decoration(y, ev, ev->data.scalar.anchor, ev->data.scalar.tag) != 0)
		return -1;
	if (memchr(key, '\0', ev->data.scalar.length))
		return fault_set(y->f, y->file, place_of(ev->start_mark), "a key cannot hold a NUL character");
	if (json_object_get(obj, key))
		return fault_set(y->f, y->file, place_of(ev->start_mark), "\"%s\" stands twice", key);
	return 0;
}

static int read_member(struct yaml *y, const struct shape *shape, const yaml_event_t *ev, unsigned depth, json_t *obj)
{
	const char *key = (const char *)ev->data.scalar.value;
	json_t *value = NULL;

	if (check_key(y, ev, obj) != 0)
		return -1;
	places_add(y->places, depth, key, place_of(ev->start_mark));
	if (read_value(y, member_shape(shape, key), depth + 1, &value) != 0)
		return -1;
	json_object_set_new(obj, key, value);
	return 0;
}

static int read_mapping(struct yaml *y, const struct shape *shape, unsigned depth, json_t *obj)
{
	for (;;) {
		yaml_event_t ev;
		int rc;

		if (next(y, &ev) != 0)
			return -1;
		if (ev.type == YAML_MAPPING_END_EVENT) {
			yaml_event_delete(&ev);
			return 0;
		}
		rc = read_member(y, shape, &ev, depth, obj);
		yaml_event_delete(&ev);
		if (rc != 0)
			return -1;
	}
}

static int read_collection(struct yaml *y, const struct shape *shape, const yaml_event_t *ev, unsigned depth, json_t **ret)
{
	int is_list = ev->type == YAML_SEQUENCE_START_EVENT, rc;
	json_t *value;

	rc = is_list ? refuse_decoration(y, ev, ev->data.sequence_start.anchor, ev->data.sequence_start.tag)
		     : refuse_decoration(y, ev, ev->data.mapping_start.anchor, ev->data.mapping_start.tag);
	if (rc != 0)
		return -1;
	if (depth > DEPTH_MAX)
		return fault_set(y->f, y->file, place_of(ev->start_mark), "nested more than %d levels", DEPTH_MAX);
	value = is_list ? json_array() : json_object();
	rc = is_list ? read_list(y, shape, depth, value) : read_mapping(y, shape, depth, value);
	if (rc != 0)
		json_decref(value);
	else
		*ret = value;
	return rc;
}

/* depth: of the keys or items inside the node. */
static int read_node(struct yaml *y, const struct shape *shape, const yaml_event_t *ev, unsigned depth, json_t **ret)
{
	switch (ev->type) {
	case YAML_SCALAR_EVENT:
		return read_scalar(y, shape, ev, ret);
	case YAML_SEQUENCE_START_EVENT:
	case YAML_MAPPING_START_EVENT:
		return read_collection(y, shape, ev, depth, ret);
	case YAML_ALIAS_EVENT:
		return fault_set(y->f, y->file, place_of(ev->start_mark), "aliases (*%s) are not taken; put what jobs share under \"defaults\"",
				 (const char *)ev->data.alias.anchor);
	default:
		return fault_set(y->f, y->file, place_of(ev->start_mark), "expected a value");
	}
}

/* Skips to the next event of one of two types; anything else than stream and document frames is not possible there. */
static int expect(struct yaml *y, yaml_event_type_t type, yaml_event_type_t or_type, yaml_event_type_t *ret, struct place *ret_at)
{
	yaml_event_t ev;

	do {
		if (next(y, &ev) != 0)
			return -1;
		*ret = ev.type;
		*ret_at = place_of(ev.start_mark);
		yaml_event_delete(&ev);
	} while (*ret != type && *ret != or_type);
	return 0;
}

static int read_document(struct yaml *y, json_t **ret)
{
	yaml_event_type_t type;
	struct place at;
	json_t *top = NULL;
	int rc = 0;

	if (expect(y, YAML_DOCUMENT_START_EVENT, YAML_STREAM_END_EVENT, &type, &at) != 0)
		return -1;
	if (type == YAML_STREAM_END_EVENT)
		return fault_set(y->f, y->file, (struct place){ 0 }, "there is nothing in it; expected \"jobs:\" with a command for each path");
	if (read_value(y, &run, 0, &top) != 0)
		return -1;
	if (!json_is_object(top))
		rc = fault_set(y->f, y->file, at, "expected a mapping with \"jobs:\" at the top");
	if (rc == 0)
		rc = expect(y, YAML_DOCUMENT_START_EVENT, YAML_STREAM_END_EVENT, &type, &at);
	if (rc == 0 && type == YAML_DOCUMENT_START_EVENT)
		rc = fault_set(y->f, y->file, at, "a second document begins here; one file is one run");
	if (rc != 0)
		json_decref(top);
	else
		*ret = top;
	return rc;
}

int spec_yaml_read(const char *file, const char *txt, size_t len, json_t **ret, struct places *places, struct fault *f)
{
	struct yaml y = { .file = file, .text = txt, .places = places, .f = f };
	int rc;

	if (!yaml_parser_initialize(&y.parser))
		return fault_set(f, file, (struct place){ 0 }, "out of memory");
	yaml_parser_set_encoding(&y.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&y.parser, (const unsigned char *)txt, len);
	rc = read_document(&y, ret);
	yaml_parser_delete(&y.parser);
	return rc;
}
