/* SPDX-License-Identifier: MIT */
/* The stored form of a job: its object without path, compact. Written member by member, because a copy would cost more than it. */
#include <stdlib.h>
#include <string.h>

#include "proto/spec.h"

struct text {
	char *p;
	size_t len, cap;
};

/* Room for n more bytes and a NUL. false: out of memory. */
static bool reserve(struct text *t, size_t n)
{
	size_t cap = t->cap ? t->cap : 256;
	char *p;

	if (t->cap - t->len > n)
		return true;
	while (cap - t->len <= n)
		cap *= 2;
	p = realloc(t->p, cap);
	if (!p)
		return false;
	t->p = p;
	t->cap = cap;
	return true;
}

static bool put(struct text *t, const char *s, size_t n)
{
	if (!reserve(t, n))
		return false;
	memcpy(t->p + t->len, s, n);
	t->len += n;
	return true;
}

/* Text that needs no escape, as nearly all does. */
static bool is_plain(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)s[i] < 0x20 || s[i] == '"' || s[i] == '\\' || s[i] == 0x7f)
			return false;
	return true;
}

static bool put_dumped(struct text *t, const json_t *value)
{
	const size_t flags = JSON_COMPACT | JSON_ENCODE_ANY;
	size_t n = json_dumpb(value, t->p ? t->p + t->len : NULL, t->cap - t->len, flags);

	if (n == 0 || !reserve(t, n))
		return false;
	t->len += json_dumpb(value, t->p + t->len, t->cap - t->len, flags);
	return true;
}

static bool put_string(struct text *t, const char *s, size_t n)
{
	bool ok;
	json_t *value;

	if (is_plain(s, n))
		return put(t, "\"", 1) && put(t, s, n) && put(t, "\"", 1);
	value = json_stringn_nocheck(s, n);
	ok = value && put_dumped(t, value);
	json_decref(value);
	return ok;
}

static bool put_value(struct text *t, const json_t *value)
{
	if (json_is_string(value))
		return put_string(t, json_string_value(value), json_string_length(value));
	if (!json_is_array(value))
		return put_dumped(t, value);
	for (size_t i = 0; i < json_array_size(value); i++)
		if (!put(t, i ? "," : "[", 1) || !put_value(t, json_array_get(value, i)))
			return false;
	return json_array_size(value) ? put(t, "]", 1) : put(t, "[]", 2);
}

static bool put_member(struct text *t, const char *key, size_t key_len, const json_t *value)
{
	return put(t, t->len ? "," : "{", 1) && put_string(t, key, key_len) && put(t, ":", 1) && put_value(t, value);
}

char *spec_job_text(const json_t *const_obj, size_t *ret_len)
{
	json_t *obj = (json_t *)(uintptr_t)const_obj;
	struct text t = { 0 };
	bool ok = true;

	for (void *i = json_object_iter(obj); i && ok; i = json_object_iter_next(obj, i)) {
		const char *key = json_object_iter_key(i);

		if (strcmp(key, "path") && !json_is_null(json_object_iter_value(i)))
			ok = put_member(&t, key, json_object_iter_key_len(i), json_object_iter_value(i));
	}
	ok = ok && (t.len ? put(&t, "}", 1) : put(&t, "{}", 2));
	if (!ok) {
		free(t.p);
		return NULL;
	}
	t.p[t.len] = '\0';
	*ret_len = t.len;
	return t.p;
}
