/* SPDX-License-Identifier: MIT */
/*
 * Fields - JSON objects to structs by tables. The only way in which input is read: handlers and specifications state what they
 * take, and get a struct or an error that names the field.
 *
 *	struct seal_params { int64_t run; const char *path; };
 *	static const struct field seal_fields[] = {
 *		FIELD_INT("run", struct seal_params, run, 1, INT64_MAX, FIELD_REQUIRED),
 *		FIELD_STRING("path", struct seal_params, path, 1, JT_PATH_MAX, 0),
 *		FIELD_END
 *	};
 *	struct seal_params p = { 0 };
 *	if (fields_read(seal_fields, params, &p, &arena, &err) < 0)
 *		return call_invalid(call, err.field);
 *
 * Rules: unknown fields are refused by name, the nearest known name is proposed. A dash stands for an underscore; `a-b` beside
 * `a_b` is a duplicate. null is the same as absent. Numbers never wrap or lose digits: integers are 64 bits and within the
 * field's range; where a number is due an integer up to 2^53 will do; durations are seconds. Strings hold no NUL.
 * What is absent leaves the struct as it was: the caller sets defaults before. After an error the struct is of no use.
 *
 * Strings and lists are copied into the arena; FIELD_OBJECT, FIELD_ARRAY lend the JSON value.
 */
#ifndef FIELDS_H
#define FIELDS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena;

struct field_error {
	char field[64];                 /* "retry.max", "argv[2]"; shortened at the end if it is longer */
	char text[512];                 /* "retry.max must be 0..1000000, got -1" */
};

enum field_type {
	FIELD_T_BOOL,                   /* bool */
	FIELD_T_INT,                    /* int64_t */
	FIELD_T_INT32,                  /* int32_t */
	FIELD_T_UINT32,                 /* uint32_t */
	FIELD_T_NUMBER,                 /* double */
	FIELD_T_SECONDS_MS,             /* int64_t; more than nothing is never rounded to nothing */
	FIELD_T_SECONDS_NS,             /* int64_t */
	FIELD_T_STRING,                 /* const char *; min..max bytes */
	FIELD_T_STRINGS,                /* const char *const *, NULL-terminated, and size_t; each 0..max bytes, min..INT_MAX of them */
	FIELD_T_CHOICE,                 /* an enum (int): index into names */
	FIELD_T_FLAGS,                  /* unsigned: list of names; bit i is names[i] */
	FIELD_T_OBJECT,                 /* const json_t * */
	FIELD_T_ARRAY,                  /* const json_t * */
	FIELD_T_STRUCT,                 /* nested object; table in sub, struct at offset */
	FIELD_T_CUSTOM,                 /* read() */
};

enum field_flags { FIELD_REQUIRED = 1 };

struct field_at;                        /* where in the message we are, for errors and custom readers */
struct field;
typedef int (*field_read_fn)(const struct field_at *at, const json_t *value, void *dst, struct arena *a);

struct field {
	const char *name;
	uint8_t name_len, type, flags;
	uint32_t offset, count_offset;
	int64_t min, max;               /* integers: values; seconds: whole seconds; strings: bytes. NUMBER: whole numbers */
	union {
		const char *const *names;       /* CHOICE, FLAGS; ends with NULL */
		const struct field *sub;        /* STRUCT */
		field_read_fn read;             /* CUSTOM; dst is struct + offset */
	};
};

#define FIELD_BASE(n, t, s, m, lo, hi, fl) \
	.name = (n), .name_len = sizeof(n) - 1, .type = (t), .flags = (fl), .offset = offsetof(s, m), .min = (lo), .max = (hi)
#define FIELD_BOOL(n, s, m, fl) { FIELD_BASE(n, FIELD_T_BOOL, s, m, 0, 1, fl) }
#define FIELD_INT(n, s, m, lo, hi, fl) { FIELD_BASE(n, FIELD_T_INT, s, m, lo, hi, fl) }
#define FIELD_INT32(n, s, m, lo, hi, fl) { FIELD_BASE(n, FIELD_T_INT32, s, m, lo, hi, fl) }
#define FIELD_UINT32(n, s, m, lo, hi, fl) { FIELD_BASE(n, FIELD_T_UINT32, s, m, lo, hi, fl) }
#define FIELD_NUMBER(n, s, m, lo, hi, fl) { FIELD_BASE(n, FIELD_T_NUMBER, s, m, lo, hi, fl) }
#define FIELD_SECONDS_MS(n, s, m, lo, hi, fl) { FIELD_BASE(n, FIELD_T_SECONDS_MS, s, m, lo, hi, fl) }
#define FIELD_SECONDS_NS(n, s, m, lo, hi, fl) { FIELD_BASE(n, FIELD_T_SECONDS_NS, s, m, lo, hi, fl) }
#define FIELD_STRING(n, s, m, lo, hi, fl) { FIELD_BASE(n, FIELD_T_STRING, s, m, lo, hi, fl) }
#define FIELD_STRINGS(n, s, m, cnt, lo, hi, fl) { FIELD_BASE(n, FIELD_T_STRINGS, s, m, lo, hi, fl), .count_offset = offsetof(s, cnt) }
#define FIELD_CHOICE(n, s, m, nm, fl) { FIELD_BASE(n, FIELD_T_CHOICE, s, m, 0, 0, fl), .names = (nm) }
#define FIELD_FLAGS(n, s, m, nm, fl) { FIELD_BASE(n, FIELD_T_FLAGS, s, m, 0, 0, fl), .names = (nm) }
#define FIELD_OBJECT(n, s, m, fl) { FIELD_BASE(n, FIELD_T_OBJECT, s, m, 0, 0, fl) }
#define FIELD_ARRAY(n, s, m, fl) { FIELD_BASE(n, FIELD_T_ARRAY, s, m, 0, 0, fl) }
#define FIELD_STRUCT(n, s, m, table, fl) { FIELD_BASE(n, FIELD_T_STRUCT, s, m, 0, 0, fl), .sub = (table) }
#define FIELD_CUSTOM(n, s, m, fn, fl) { FIELD_BASE(n, FIELD_T_CUSTOM, s, m, 0, 0, fl), .read = (fn) }
#define FIELD_END { .name = NULL }

#define FIELDS_MAX 64                   /* fields of one table, at most */

/* fields_read - 0, or -1 with *err. obj NULL or JSON null reads as {}. Nothing but the arena is allocated. */
int fields_read(const struct field *table, const json_t *obj, void *ret, struct arena *a, struct field_error *err);
/* fields_read_below - the same for an object that is the value of field `name`: errors say "name.field". */
int fields_read_below(const char *name, const struct field *table, const json_t *obj, void *ret, struct arena *a,
		      struct field_error *err);

/* ---- for custom readers -------------------------------------------------------------------------------------------------- */

/* field_fail - always -1. The text is put after the field's name: field_fail(at, "must be ...") -> "umask must be ..." */
int field_fail(const struct field_at *at, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* field_fail_item, _key - the same for value[i], for member `key` of value. */
int field_fail_item(const struct field_at *at, size_t i, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int field_fail_key(const struct field_at *at, const char *key, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* field_read_struct - value by a table of its own; its fields are named below this one. */
int field_read_struct(const struct field_at *at, const struct field *table, const json_t *value, void *dst, struct arena *a);
/* field_got - what a value is, for the end of a message: `"abc"`, `-1`, `a list`; shortened. Written into buf. */
const char *field_got(const json_t *value, char *buf, size_t size);

#endif
