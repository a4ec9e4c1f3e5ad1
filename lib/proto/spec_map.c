/* SPDX-License-Identifier: MIT */
/* Maps: what a client says about one, and about an item. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "proto/base64.h"
#include "proto/spec_impl.h"

#define SLOTS_MAX 100000
#define WINDOW_MAX (1 << 20)
#define STAGES_MAX 1000
#define BYTES_MAX (INT64_C(1) << 50)

struct map_in {
	struct spec_run run;
	struct spec_pairs env;
	struct spec_map map;
};

static const char *const stderr_names[] = { "apart", "merge", "drop", NULL };

_Static_assert(SPEC_STDERR_APART == 0 && SPEC_STDERR_DROP == 2, "a name without its value");

static const struct field command_fields[] = {
	FIELD_CUSTOM("words_b64", struct spec_map, words, spec_read_base64_list, FIELD_REQUIRED),
	FIELD_BOOL("shell", struct spec_map, shell, 0),
	FIELD_BOOL("stdin", struct spec_map, item_on_stdin, 0),
	FIELD_UINT32("threads", struct spec_map, threads, 1, SLOTS_MAX, 0),
	FIELD_UINT32("columns", struct spec_map, columns, 1, JT_TEMPLATE_COLUMNS_MAX, 0),
	FIELD_END
};

static const struct field map_fields[] = {
	FIELD_CUSTOM("name", struct map_in, run.name, spec_read_name, 0),
	FIELD_UINT32("stage", struct map_in, map.stage, 1, STAGES_MAX, 0),
	FIELD_UINT32("slots", struct map_in, run.workers, 1, SLOTS_MAX, FIELD_REQUIRED),
	FIELD_UINT32("window", struct map_in, map.window, 1, WINDOW_MAX, FIELD_REQUIRED),
	FIELD_STRUCT("command", struct map_in, map, command_fields, FIELD_REQUIRED),
	FIELD_SECONDS_MS("timeout_s", struct map_in, run.base.timeout_ms, 0, SPEC_SECONDS_MAX, 0),
	FIELD_SECONDS_MS("grace_s", struct map_in, run.base.grace_ms, 0, SPEC_SECONDS_MAX, 0),
	FIELD_STRUCT("retry", struct map_in, run.base, spec_retry_fields, 0),
	FIELD_SECONDS_MS("interval_s", struct map_in, run.interval_ms, 0, SPEC_SECONDS_MAX, 0),
	FIELD_CUSTOM("cwd", struct map_in, run.base.cwd, spec_read_cwd, 0),
	FIELD_CUSTOM("env", struct map_in, env, spec_read_env, 0),
	FIELD_CHOICE("stderr", struct map_in, map.stderr_to, stderr_names, 0),
	FIELD_INT("output_max", struct map_in, map.output_max, 1, BYTES_MAX, 0),
	FIELD_INT("undelivered_max", struct map_in, map.undelivered_max, 0, BYTES_MAX, 0),
	FIELD_END
};

static int check_window(const struct map_in *in, struct spec_error *err)
{
	if (in->map.window >= in->run.workers)
		return 0;
	return spec_fail(err, JT_EINVAL, NULL, "window", "window must be at least slots (%u), got %u: a smaller one would leave slots idle",
			 in->run.workers, in->map.window);
}

static int check_command(const struct spec_map *m, size_t env_bytes, struct spec_error *err)
{
	size_t bytes = 0;

	if (m->shell && m->words.n != 1)
		return spec_fail(err, JT_EINVAL, NULL, "command.words_b64", "command.words_b64 must be one text for a shell, got %zu", m->words.n);
	if (!m->words.v[0][0])
		return spec_fail(err, JT_EINVAL, NULL, "command.words_b64[0]", "command.words_b64[0] must not be empty");
	for (size_t i = 0; i < m->words.n; i++)
		bytes += strlen(m->words.v[i]) + 1;
	if (bytes + env_bytes > SPEC_EXEC_MAX)
		return spec_fail(err, JT_ELIMIT, NULL, bytes > env_bytes ? "command.words_b64" : "env",
				 "the command (%zu bytes) and env (%zu bytes) together exceed the limit of %d bytes", bytes, env_bytes, SPEC_EXEC_MAX);
	return 0;
}

int spec_map_read(const json_t *options, struct arena *a, struct spec_run *ret, struct spec_error *err)
{
	struct map_in in = { .run = { .barrier = "~", .order = JT_BY_FIFO }, .map = { .threads = 1, .undelivered_max = -1 } };
	struct spec_job *base = &in.run.base;
	struct field_error ferr;
	struct spec_map *map;

	spec_job_init(base);
	base->on_error = SPEC_IGNORE;
	if (fields_read(map_fields, options, &in, a, &ferr) < 0)
		return spec_fail_field(err, NULL, &ferr);
	base->env = in.env.v;
	base->n_env = in.env.n;
	base->env_bytes = spec_env_bytes(in.env);
	if (check_window(&in, err) < 0 || check_command(&in.map, base->env_bytes, err) < 0 || spec_check_retry(base, err) < 0)
		return -1;
	map = arena_alloc(a, sizeof(*map));
	*map = in.map;
	in.run.map = map;
	*ret = in.run;
	return 0;
}

/* ---- items ---------------------------------------------------------------------------------------------------------------------- */

static int read_items(const struct field_at *at, const json_t *value, void *dst, struct arena *a)
{
	size_t n = json_array_size(value);
	struct spec_item item = { .n = n };
	struct jt_bytes *v;

	if (!json_is_array(value) || n == 0)
		return field_fail(at, "must be a list of at least one string of base64");
	item.v = v = arena_alloc(a, n * sizeof(*v));
	for (size_t i = 0; i < n; i++) {
		const json_t *text = json_array_get(value, i);
		size_t len = json_string_length(text);
		char *bytes = arena_alloc(a, len / 4 * 3 + 1), got[80];

		v[i].data = bytes;
		if (!json_is_string(text) || base64_decode(json_string_value(text), len, bytes, &v[i].len) < 0)
			return field_fail_item(at, i, "must be a string of base64, got %s", field_got(text, got, sizeof(got)));
	}
	memcpy(dst, &item, offsetof(struct spec_item, input_bytes));
	return 0;
}

static const struct field item_fields[] = {
	FIELD_CUSTOM("items_b64", struct spec_item, v, read_items, 0),
	FIELD_INT("input_bytes", struct spec_item, input_bytes, 1, BYTES_MAX, 0),
	FIELD_END
};
_Static_assert(offsetof(struct spec_item, v) == 0, "read_items fills v and n");

static int check_one_way(bool has_items, int64_t input_bytes, struct spec_error *err)
{
	if (has_items == !input_bytes)
		return 0;
	return spec_fail(err, JT_EINVAL, NULL, "items_b64", "an item has either items_b64 or input_bytes");
}

int spec_item_parse(const char *text, size_t len, const struct spec_run *run, struct arena *a, struct spec_job *ret, struct spec_error *err)
{
	struct spec_item *item = arena_alloc(a, sizeof(*item));
	struct field_error ferr;
	json_error_t jerr;
	json_t *obj = json_loadb(text, len, JSON_REJECT_DUPLICATES, &jerr);
	int rc;

	*item = (struct spec_item){ 0 };
	if (!obj)
		return spec_fail(err, JT_EINVAL, NULL, "", "a stored item is not JSON: %s", jerr.text);
	rc = fields_read(item_fields, obj, item, a, &ferr);
	json_decref(obj);
	if (rc < 0)
		return spec_fail_field(err, NULL, &ferr);
	if (check_one_way(item->n > 0, item->input_bytes, err) < 0)
		return -1;
	*ret = run->base;
	ret->kind = SPEC_ITEM;
	ret->item = item;
	return 0;
}

/* ---- an item as it is put ------------------------------------------------------------------------------------------------------- */

#define HEAD "{\"items_b64\":["

/* The stored form: base64 needs no escape. */
static int read_items_text(const struct field_at *at, const json_t *value, void *dst, struct arena *a)
{
	struct spec_text *ret = dst;
	size_t n = json_array_size(value), len = sizeof(HEAD) + 2;
	struct spec_item item;
	char *to;

	if (read_items(at, value, &item, a) < 0)
		return -1;
	for (size_t i = 0; i < n; i++)
		len += json_string_length(json_array_get(value, i)) + 3;
	ret->text = to = arena_alloc(a, len);
	to = stpcpy(to, HEAD);
	for (size_t i = 0; i < n; i++) {
		to = stpcpy(to, i ? ",\"" : "\"");
		to = stpcpy(to, json_string_value(json_array_get(value, i)));
		*to++ = '"';
	}
	to = stpcpy(to, "]}");
	ret->len = (size_t)(to - ret->text);
	return 0;
}

static int hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int read_key(const struct field_at *at, const json_t *value, void *dst, struct arena *a)
{
	struct spec_item_key *ret = dst;
	const char *s = json_string_value(value);
	char got[80];
	int bad = json_string_length(value) != 2 * sizeof(ret->bytes);

	(void)a;
	for (size_t i = 0; i < sizeof(ret->bytes) && !bad; i++) {
		bad = hex_digit(s[2 * i]) < 0 || hex_digit(s[2 * i + 1]) < 0;
		ret->bytes[i] = (uint8_t)(hex_digit(s[2 * i]) * 16 + hex_digit(s[2 * i + 1]));
	}
	ret->given = true;
	return bad ? field_fail(at, "must be 32 hexadecimal digits in small letters, got %s", field_got(value, got, sizeof(got))) : 0;
}

static const struct field put_fields[] = {
	FIELD_INT("tag", struct spec_put, tag, 1, INT64_MAX - 1, FIELD_REQUIRED),
	FIELD_INT("seq", struct spec_put, seq, 0, INT64_MAX, FIELD_REQUIRED),
	FIELD_CUSTOM("items_b64", struct spec_put, spec, read_items_text, 0),
	FIELD_INT("input_bytes", struct spec_put, input_bytes, 1, BYTES_MAX, 0),
	FIELD_CUSTOM("key", struct spec_put, key, read_key, 0),
	FIELD_END
};

static void add_input_text(struct arena *a, struct spec_put *p)
{
	char text[64];
	int len = snprintf(text, sizeof(text), "{\"input_bytes\":%" PRId64 "}", p->input_bytes);

	p->spec = (struct spec_text){ arena_strndup(a, text, (size_t)len), (size_t)len };
}

int spec_put_read(const json_t *obj, struct arena *a, struct spec_put *ret, struct spec_error *err)
{
	struct field_error ferr;

	*ret = (struct spec_put){ 0 };
	if (fields_read(put_fields, obj, ret, a, &ferr) < 0)
		return spec_fail_field(err, NULL, &ferr);
	if (check_one_way(ret->spec.text != NULL, ret->input_bytes, err) < 0)
		return -1;
	if (ret->input_bytes)
		add_input_text(a, ret);
	return 0;
}
