/* SPDX-License-Identifier: MIT */
#include "proto/fields.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "proto/arena.h"
#include "proto/nearest.h"
#include "proto/quote.h"

#define EXACT_MAX ((int64_t)1 << 53)    /* integers up to here are exact as double */
#define GOT_SIZE 80

struct field_at {
	const struct field_at *up;      /* the object that holds this field; NULL at the top */
	const char *name;
	struct field_error *err;
};

static int read_object(const struct field *table, const struct field_at *up, const json_t *obj, void *ret, struct arena *a,
		       struct field_error *err);

/* ---- errors ------------------------------------------------------------------------------------------------------- */

/* "a.b.c" of a chain, cut at the end of buf. Returns the length. */
static size_t put_name(char *buf, size_t size, const struct field_at *at)
{
	char name[64];
	size_t len = 0;
	int n;

	if (!at)
		return 0;
	len = put_name(buf, size, at->up);
	quote_short(name, sizeof(name), at->name, strlen(at->name));
	n = snprintf(buf + len, size - len, "%s%s", len ? "." : "", name);
	return n < 0 || (size_t)n >= size - len ? size - 1 : len + (size_t)n;
}

__attribute__((format(printf, 3, 0)))
static int fail(const struct field_at *at, const char *suffix, const char *fmt, va_list ap)
{
	struct field_error *err = at->err;
	char name[160];
	size_t len = put_name(name, sizeof(name), at);
	int n = snprintf(name + len, sizeof(name) - len, "%s", suffix);

	if (n < 0 || (size_t)n >= sizeof(name) - len)
		name[len] = '\0';
	quote_short(err->field, sizeof(err->field), name, strlen(name));
	n = snprintf(err->text, sizeof(err->text), "%s%s", name, len ? " " : "");
	if (n >= 0)
		(void)vsnprintf(err->text + n, sizeof(err->text) - (size_t)n, fmt, ap);
	return -1;
}

int field_fail(const struct field_at *at, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)fail(at, "", fmt, ap);
	va_end(ap);
	return -1;
}

int field_fail_item(const struct field_at *at, size_t i, const char *fmt, ...)
{
	char suffix[32];
	va_list ap;

	(void)snprintf(suffix, sizeof(suffix), "[%zu]", i);
	va_start(ap, fmt);
	(void)fail(at, suffix, fmt, ap);
	va_end(ap);
	return -1;
}

int field_fail_key(const struct field_at *at, const char *key, const char *fmt, ...)
{
	struct field_at below = { .up = at, .name = key, .err = at->err };
	va_list ap;

	va_start(ap, fmt);
	(void)fail(&below, "", fmt, ap);
	va_end(ap);
	return -1;
}

const char *field_got(const json_t *value, char *buf, size_t size)
{
	char text[48];

	switch (json_typeof(value)) {
	case JSON_STRING:
		quote_short(text, sizeof(text), json_string_value(value), json_string_length(value));
		(void)snprintf(buf, size, "\"%s\"", text);
		return buf;
	case JSON_INTEGER:
		(void)snprintf(buf, size, "%lld", (long long)json_integer_value(value));
		return buf;
	case JSON_REAL:
		(void)snprintf(buf, size, "%.9g", json_real_value(value));
		return buf;
	case JSON_ARRAY:
		return "a list";
	case JSON_OBJECT:
		return "an object";
	case JSON_TRUE:
		return "true";
	case JSON_FALSE:
		return "false";
	default:
		return "null";
	}
}

static int fail_type(const struct field_at *at, const json_t *value, const char *due)
{
	char got[GOT_SIZE];

	return field_fail(at, "must be %s, got %s", due, field_got(value, got, sizeof(got)));
}

/* `"fail", "warn" or "skip"` into buf */
static const char *list_names(const char *const *names, char *buf, size_t size)
{
	size_t len = 0;

	buf[0] = '\0';
	for (size_t i = 0; names[i]; i++) {
		const char *glue = i == 0 ? "" : names[i + 1] ? ", " : " or ";
		int n = snprintf(buf + len, size - len, "%s\"%s\"", glue, names[i]);

		if (n < 0 || (size_t)n >= size - len)
			break;
		len += (size_t)n;
	}
	return buf;
}

static int fail_choice(const struct field_at *at, const struct field *f, const json_t *value)
{
	char due[256];

	return fail_type(at, value, list_names(f->names, due, sizeof(due)));
}

/* ---- values ------------------------------------------------------------------------------------------------------- */

static int read_bool(const struct field_at *at, const json_t *value, bool *dst)
{
	if (!json_is_boolean(value))
		return fail_type(at, value, "true or false");
	*dst = json_is_true(value);
	return 0;
}

static int read_integer(const struct field_at *at, const struct field *f, const json_t *value, int64_t *dst)
{
	int64_t i;

	if (!json_is_integer(value))
		return fail_type(at, value, "an integer");
	i = json_integer_value(value);
	if (i < f->min || i > f->max)
		return field_fail(at, "must be %lld..%lld, got %lld", (long long)f->min, (long long)f->max, (long long)i);
	*dst = i;
	return 0;
}

static int store_integer(const struct field_at *at, const struct field *f, const json_t *value, void *dst)
{
	int64_t i = 0;

	if (read_integer(at, f, value, &i) < 0)
		return -1;
	if (f->type == FIELD_T_INT32)
		*(int32_t *)dst = (int32_t)i;
	else if (f->type == FIELD_T_UINT32)
		*(uint32_t *)dst = (uint32_t)i;
	else
		*(int64_t *)dst = i;
	return 0;
}

/* unit: "" or " seconds" */
static int read_number(const struct field_at *at, const struct field *f, const json_t *value, const char *unit, double *dst)
{
	char got[GOT_SIZE];
	double d;

	if (!json_is_number(value))
		return fail_type(at, value, *unit ? "a number of seconds" : "a number");
	if (json_is_integer(value) && (json_integer_value(value) > EXACT_MAX || json_integer_value(value) < -EXACT_MAX))
		return field_fail(at, "is too large for a number: %s", field_got(value, got, sizeof(got)));
	d = json_number_value(value);
	if (!(d >= (double)f->min && d <= (double)f->max))
		return field_fail(at, "must be %lld..%lld%s, got %s", (long long)f->min, (long long)f->max, unit,
				  field_got(value, got, sizeof(got)));
	*dst = d;
	return 0;
}

/* A time above nothing stays above nothing: zero means "none" in most fields. */
static int64_t from_seconds(double s, double per_second)
{
	int64_t n = (int64_t)(s * per_second + (s < 0 ? -0.5 : 0.5));

	return n == 0 && s > 0 ? 1 : n;
}

static int read_seconds(const struct field_at *at, const struct field *f, const json_t *value, int64_t *dst)
{
	double s = 0;

	if (read_number(at, f, value, " seconds", &s) < 0)
		return -1;
	*dst = from_seconds(s, f->type == FIELD_T_SECONDS_MS ? 1e3 : 1e9);
	return 0;
}

static const char *copy_string(const json_t *value, struct arena *a)
{
	return arena_strndup(a, json_string_value(value), json_string_length(value));
}

static bool has_nul(const json_t *value)
{
	return memchr(json_string_value(value), '\0', json_string_length(value)) != NULL;
}

static int read_string(const struct field_at *at, const struct field *f, const json_t *value, const char **dst, struct arena *a)
{
	size_t len = json_string_length(value);

	if (!json_is_string(value))
		return fail_type(at, value, "a string");
	if (len < (size_t)f->min)
		return f->min == 1 ? field_fail(at, "must not be empty")
				   : field_fail(at, "must have at least %lld bytes", (long long)f->min);
	if (len > (size_t)f->max)
		return field_fail(at, "has %zu bytes, the limit is %lld", len, (long long)f->max);
	if (has_nul(value))
		return field_fail(at, "must not hold a NUL byte");
	*dst = copy_string(value, a);
	return 0;
}

static int check_item(const struct field_at *at, const struct field *f, size_t i, const json_t *value)
{
	char got[GOT_SIZE];

	if (!json_is_string(value))
		return field_fail_item(at, i, "must be a string, got %s", field_got(value, got, sizeof(got)));
	if (json_string_length(value) > (size_t)f->max)
		return field_fail_item(at, i, "has %zu bytes, the limit is %lld", json_string_length(value), (long long)f->max);
	if (has_nul(value))
		return field_fail_item(at, i, "must not hold a NUL byte");
	return 0;
}

static int read_strings(const struct field_at *at, const struct field *f, const json_t *value, const char *const **dst,
			size_t *ret_n, struct arena *a)
{
	size_t n = json_array_size(value);
	const char **list;

	if (!json_is_array(value))
		return fail_type(at, value, "a list of strings");
	if (n < (size_t)f->min)
		return field_fail(at, "must not be empty");
	list = arena_alloc(a, (n + 1) * sizeof(*list));
	for (size_t i = 0; i < n; i++) {
		const json_t *item = json_array_get(value, i);

		if (check_item(at, f, i, item) < 0)
			return -1;
		list[i] = copy_string(item, a);
	}
	*dst = list;
	*ret_n = n;
	return 0;
}

/* Index of a string in names, or -1. */
static int index_of(const char *const *names, const json_t *value)
{
	const char *s = json_string_value(value);

	for (int i = 0; s && names[i]; i++)
		if (!strcmp(s, names[i]))
			return i;
	return -1;
}

static int read_choice(const struct field_at *at, const struct field *f, const json_t *value, void *dst)
{
	int i = index_of(f->names, value);

	if (i < 0)
		return fail_choice(at, f, value);
	memcpy(dst, &(int){ i }, sizeof(int));
	return 0;
}

static int read_flags(const struct field_at *at, const struct field *f, const json_t *value, unsigned *dst)
{
	char due[256], got[GOT_SIZE];
	unsigned bits = 0;

	if (!json_is_array(value))
		return fail_type(at, value, "a list of names");
	for (size_t n = 0; n < json_array_size(value); n++) {
		const json_t *item = json_array_get(value, n);
		int i = index_of(f->names, item);

		if (i < 0)
			return field_fail_item(at, n, "must be %s, got %s", list_names(f->names, due, sizeof(due)),
					       field_got(item, got, sizeof(got)));
		bits |= 1u << i;
	}
	*dst = bits;
	return 0;
}

static int read_json(const struct field_at *at, const json_t *value, json_type type, const json_t **dst)
{
	if (json_typeof(value) != type)
		return fail_type(at, value, type == JSON_ARRAY ? "a list" : "an object");
	*dst = value;
	return 0;
}

static int read_value(const struct field_at *at, const struct field *f, const json_t *value, unsigned char *base, struct arena *a)
{
	void *dst = base + f->offset;

	switch ((enum field_type)f->type) {
	case FIELD_T_BOOL:
		return read_bool(at, value, dst);
	case FIELD_T_INT:
	case FIELD_T_INT32:
	case FIELD_T_UINT32:
		return store_integer(at, f, value, dst);
	case FIELD_T_NUMBER:
		return read_number(at, f, value, "", dst);
	case FIELD_T_SECONDS_MS:
	case FIELD_T_SECONDS_NS:
		return read_seconds(at, f, value, dst);
	case FIELD_T_STRING:
		return read_string(at, f, value, dst, a);
	case FIELD_T_STRINGS:
		return read_strings(at, f, value, dst, (size_t *)(void *)(base + f->count_offset), a);
	case FIELD_T_CHOICE:
		return read_choice(at, f, value, dst);
	case FIELD_T_FLAGS:
		return read_flags(at, f, value, dst);
	case FIELD_T_OBJECT:
		return read_json(at, value, JSON_OBJECT, dst);
	case FIELD_T_ARRAY:
		return read_json(at, value, JSON_ARRAY, dst);
	case FIELD_T_STRUCT:
		return field_read_struct(at, f->sub, value, dst, a);
	case FIELD_T_CUSTOM:
		return f->read(at, value, dst, a);
	}
	return field_fail(at, "is of no known type");
}

/* ---- objects ------------------------------------------------------------------------------------------------------ */

static int find_exact(const struct field *table, const char *key, size_t len)
{
	for (int i = 0; table[i].name; i++)
		if (table[i].name_len == len && table[i].name[0] == key[0] && !memcmp(table[i].name, key, len))
			return i;
	return -1;
}

/* Index of a key in the table, or -1. Dashes count as underscores. */
static int find(const struct field *table, const char *key, size_t len)
{
	char plain[UINT8_MAX];
	int i = find_exact(table, key, len);

	if (i >= 0 || len > sizeof(plain) || !memchr(key, '-', len))
		return i;
	for (size_t k = 0; k < len; k++)
		plain[k] = key[k] == '-' ? '_' : key[k];
	return find_exact(table, plain, len);
}

static int fail_unknown(const struct field *table, const struct field_at *at)
{
	char name[100];
	const char *near;
	size_t len = put_name(name, sizeof(name), at);
	struct nearest n;

	nearest_init(&n, at->name);
	for (; table->name; table++)
		nearest_offer(&n, table->name);
	near = nearest_get(&n);
	quote_short(at->err->field, sizeof(at->err->field), name, len);
	(void)snprintf(at->err->text, sizeof(at->err->text), "unknown field \"%s\"%s%s%s", name, near ? "; did you mean \"" : "",
		       near ? near : "", near ? "\"?" : "");
	return -1;
}

static int check_required(const struct field *table, const struct field_at *up, uint64_t seen, struct field_error *err)
{
	for (int i = 0; table[i].name; i++) {
		struct field_at at = { .up = up, .name = table[i].name, .err = err };

		if ((table[i].flags & FIELD_REQUIRED) && !(seen >> i & 1))
			return field_fail(&at, "is missing");
	}
	return 0;
}

static int read_object(const struct field *table, const struct field_at *up, const json_t *obj, void *ret, struct arena *a,
		       struct field_error *err)
{
	uint64_t seen = 0, present = 0;
	void *iter = json_object_iter((json_t *)(uintptr_t)obj);

	for (; iter; iter = json_object_iter_next((json_t *)(uintptr_t)obj, iter)) {
		const char *key = json_object_iter_key(iter);
		const json_t *value = json_object_iter_value(iter);
		struct field_at at = { .up = up, .name = key, .err = err };
		int i = find(table, key, json_object_iter_key_len(iter));

		if (i < 0)
			return fail_unknown(table, &at);
		at.name = table[i].name;
		if (seen >> i & 1)
			return field_fail(&at, "is given twice, with a dash and with an underscore");
		seen |= (uint64_t)1 << i;
		if (json_is_null(value))
			continue;
		present |= (uint64_t)1 << i;
		if (read_value(&at, &table[i], value, ret, a) < 0)
			return -1;
	}
	return check_required(table, up, present, err);
}

int field_read_struct(const struct field_at *at, const struct field *table, const json_t *value, void *dst, struct arena *a)
{
	return json_is_object(value) ? read_object(table, at, value, dst, a, at->err) : fail_type(at, value, "an object");
}

int fields_read_below(const char *name, const struct field *table, const json_t *obj, void *ret, struct arena *a,
		      struct field_error *err)
{
	struct field_at at = { .name = name, .err = err };
	struct field_at top = { .name = "", .err = err };

	if (json_is_null(obj))
		obj = NULL;
	if (obj && !json_is_object(obj))
		return fail_type(name ? &at : &top, obj, "an object");
	return read_object(table, name ? &at : NULL, obj, ret, a, err);
}

int fields_read(const struct field *table, const json_t *obj, void *ret, struct arena *a, struct field_error *err)
{
	return fields_read_below(NULL, table, obj, ret, a, err);
}
