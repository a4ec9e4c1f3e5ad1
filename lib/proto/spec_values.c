/* SPDX-License-Identifier: MIT */
/* Values of specifications that are more than a number or a string: environments, labels, sets of exit statuses, base64. */
#include <stdlib.h>
#include <string.h>

#include "proto/base64.h"
#include "proto/spec_impl.h"

#define LABEL_NAME_MAX 255
#define LABEL_VALUE_MAX 4096
#define GOT_SIZE 80

/* ---- names and values --------------------------------------------------------------------------------------------- */

typedef int (*check_pair_fn)(const struct field_at *at, const char *name, size_t name_len, const json_t *value);

static int compare_pairs(const void *a, const void *b)
{
	return strcmp(((const struct spec_pair *)a)->name, ((const struct spec_pair *)b)->name);
}

/* Members of an object, each checked, sorted by name. */
static int read_pairs(const struct field_at *at, const json_t *value, check_pair_fn check, struct spec_pairs *ret, struct arena *a)
{
	json_t *obj = (json_t *)(uintptr_t)value;
	struct spec_pair *v;
	size_t n = 0;

	if (!json_is_object(value))
		return field_fail(at, "must be an object of names and strings");
	v = arena_alloc(a, (json_object_size(value) + 1) * sizeof(*v));
	for (void *i = json_object_iter(obj); i; i = json_object_iter_next(obj, i)) {
		const json_t *text = json_object_iter_value(i);
		const char *name = json_object_iter_key(i);
		size_t name_len = json_object_iter_key_len(i);
		char got[GOT_SIZE];

		if (!json_is_string(text))
			return field_fail_key(at, name, "must be a string, got %s", field_got(text, got, sizeof(got)));
		if (memchr(name, '\0', name_len) || memchr(json_string_value(text), '\0', json_string_length(text)))
			return field_fail_key(at, name, "must not hold a NUL byte");
		if (check(at, name, name_len, text) < 0)
			return -1;
		v[n].name = arena_strndup(a, name, name_len);
		v[n++].value = arena_strndup(a, json_string_value(text), json_string_length(text));
	}
	qsort(v, n, sizeof(*v), compare_pairs);
	*ret = (struct spec_pairs){ .v = v, .n = n };
	return 0;
}

static bool is_env_name(const char *name, size_t len)
{
	if (len == 0 || (name[0] >= '0' && name[0] <= '9'))
		return false;
	for (size_t i = 0; i < len; i++) {
		char c = name[i];

		if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'))
			return false;
	}
	return true;
}

static int check_env(const struct field_at *at, const char *name, size_t name_len, const json_t *value)
{
	size_t bytes = name_len + 1 + json_string_length(value);

	if (!is_env_name(name, name_len))
		return field_fail_key(at, name, "is not a name of letters, digits and underscores");
	if (!strncmp(name, "JOBD_", 5))
		return field_fail_key(at, name, "is set by jobd and cannot be given");
	if (bytes > SPEC_STRING_MAX)
		return field_fail_key(at, name, "has %zu bytes with its name, the limit is %d", bytes, SPEC_STRING_MAX);
	return 0;
}

int spec_read_env(const struct field_at *at, const json_t *value, void *dst, struct arena *a)
{
	return read_pairs(at, value, check_env, dst, a);
}

static bool has_control(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)s[i] < 0x20 || s[i] == 0x7f)
			return true;
	return false;
}

static int check_label(const struct field_at *at, const char *name, size_t name_len, const json_t *value)
{
	if (name_len == 0 || name_len > LABEL_NAME_MAX)
		return field_fail(at, "must have names of 1..%d bytes", LABEL_NAME_MAX);
	if (has_control(name, name_len))
		return field_fail_key(at, name, "is a name with control characters");
	if (json_string_length(value) > LABEL_VALUE_MAX)
		return field_fail_key(at, name, "has %zu bytes, the limit is %d", json_string_length(value), LABEL_VALUE_MAX);
	return 0;
}

int spec_read_labels(const struct field_at *at, const json_t *value, void *dst, struct arena *a)
{
	if (json_object_size(value) > SPEC_LABELS_MAX)
		return field_fail(at, "has %zu entries, the limit is %d", json_object_size(value), SPEC_LABELS_MAX);
	return read_pairs(at, value, check_label, dst, a);
}

struct spec_pairs spec_pairs_merge(struct spec_pairs base, struct spec_pairs over, struct arena *a)
{
	struct spec_pair *v;
	size_t n = 0, i = 0, k = 0;

	if (base.n == 0 || over.n == 0)
		return base.n ? base : over;
	v = arena_alloc(a, (base.n + over.n) * sizeof(*v));
	while (i < base.n && k < over.n) {
		int order = strcmp(base.v[i].name, over.v[k].name);

		v[n++] = order < 0 ? base.v[i] : over.v[k];
		i += order <= 0;
		k += order >= 0;
	}
	while (i < base.n)
		v[n++] = base.v[i++];
	while (k < over.n)
		v[n++] = over.v[k++];
	return (struct spec_pairs){ .v = v, .n = n };
}

size_t spec_env_bytes(struct spec_pairs env)
{
	size_t bytes = 0;

	for (size_t i = 0; i < env.n; i++)
		bytes += strlen(env.v[i].name) + strlen(env.v[i].value) + 2;    /* "name=value" and its NUL */
	return bytes;
}

/* ---- exit statuses ------------------------------------------------------------------------------------------------ */

bool spec_set_empty(const struct spec_set *s)
{
	static const struct spec_set none;

	return !memcmp(s, &none, sizeof(none));
}

int spec_read_statuses(const struct field_at *at, const json_t *value, void *dst, struct arena *a)
{
	struct spec_set set = { 0 };
	char got[GOT_SIZE];

	(void)a;
	if (!json_is_array(value))
		return field_fail(at, "must be a list of exit statuses, got %s", field_got(value, got, sizeof(got)));
	for (size_t n = 0; n < json_array_size(value); n++) {
		const json_t *item = json_array_get(value, n);
		json_int_t i = json_integer_value(item);

		if (!json_is_integer(item) || i < 0 || i > 255)
			return field_fail_item(at, n, "must be an exit status 0..255, got %s", field_got(item, got, sizeof(got)));
		set.bits[i >> 3] = (uint8_t)(set.bits[i >> 3] | 1u << (i & 7));
	}
	memcpy(dst, &set, sizeof(set));
	return 0;
}

/* ---- the rest ----------------------------------------------------------------------------------------------------- */

/* Text only: 022 as a number of JSON is not possible, and 22 would be read as decimal. */
int spec_read_umask(const struct field_at *at, const json_t *value, void *dst, struct arena *a)
{
	const char *s = json_string_value(value);
	size_t len = json_string_length(value);
	char got[GOT_SIZE];
	int32_t mask = 0;

	(void)a;
	if (!s || len == 0 || len > 4 || strspn(s, "01234567") != len || (len == 4 && s[0] != '0'))
		return field_fail(at, "must be a string of octal digits \"000\"..\"777\", got %s", field_got(value, got, sizeof(got)));
	for (size_t i = 0; i < len; i++)
		mask = mask * 8 + (s[i] - '0');
	*(int32_t *)dst = mask;
	return 0;
}

static const struct field stdin_fields[] = {
	FIELD_STRING("file", struct spec_stdin, file, 1, 4095, 0),
	FIELD_STRING("text", struct spec_stdin, text, 0, SPEC_STRING_MAX, 0),
	FIELD_END
};

int spec_read_stdin(const struct field_at *at, const json_t *value, void *dst, struct arena *a)
{
	struct spec_stdin in = { 0 };

	if (field_read_struct(at, stdin_fields, value, &in, a) < 0)
		return -1;
	if (!in.file == !in.text)
		return field_fail(at, "must have either file or text");
	memcpy(dst, &in, sizeof(in));
	return 0;
}

int spec_read_cwd(const struct field_at *at, const json_t *value, void *dst, struct arena *a)
{
	const char *s = json_string_value(value), *copy;
	char got[GOT_SIZE];

	if (!s || s[0] != '/')
		return field_fail(at, "must be an absolute path, got %s", field_got(value, got, sizeof(got)));
	if (json_string_length(value) > 4095)
		return field_fail(at, "has %zu bytes, the limit is 4095", json_string_length(value));
	copy = arena_strndup(a, s, json_string_length(value));
	if (strlen(copy) != json_string_length(value))
		return field_fail(at, "must not hold a NUL byte");
	memcpy(dst, &copy, sizeof(copy));
	return 0;
}

static int decode_item(const struct field_at *at, size_t i, const json_t *item, const char **ret, struct arena *a)
{
	size_t len = json_string_length(item), n = 0;
	char got[GOT_SIZE], *bytes = arena_alloc(a, len / 4 * 3 + 4);

	if (!json_is_string(item) || base64_decode(json_string_value(item), len, bytes, &n) < 0)
		return field_fail_item(at, i, "must be a string of base64, got %s", field_got(item, got, sizeof(got)));
	if (n > SPEC_STRING_MAX)
		return field_fail_item(at, i, "has %zu bytes, the limit is %d", n, SPEC_STRING_MAX);
	if (memchr(bytes, '\0', n))
		return field_fail_item(at, i, "must not hold a NUL byte");
	*ret = bytes;
	return 0;
}

int spec_read_base64_list(const struct field_at *at, const json_t *value, void *dst, struct arena *a)
{
	size_t n = json_array_size(value);
	const char **list;
	struct spec_strings ret;

	if (!json_is_array(value) || n == 0)
		return field_fail(at, "must be a list of at least one string of base64");
	list = arena_alloc(a, (n + 1) * sizeof(*list));
	for (size_t i = 0; i < n; i++)
		if (decode_item(at, i, json_array_get(value, i), &list[i], a) < 0)
			return -1;
	ret = (struct spec_strings){ .v = list, .n = n };
	memcpy(dst, &ret, sizeof(ret));
	return 0;
}
