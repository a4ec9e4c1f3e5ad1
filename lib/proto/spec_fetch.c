/* SPDX-License-Identifier: MIT */
/*
 * Fetch in a job: the table of its fields, what goes together, and the options of jobd-fetch that it becomes. A field has the name of the
 * option (times end in _s). No message quotes the URL: it may hold a password or a signature.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "fetch_defaults.h"
#include "jobtree_fetch.h"
#include "proto/spec_impl.h"

#define URL_MAX 65535
#define CHECKSUMS_MAX 16
#define NO_OFFSET (-1)

static const char *const alloc_names[] = { "fall", "sparse", "none", NULL };

/* ---- values --------------------------------------------------------------------------------------------------------- */

static bool starts(const char *text, const char *with, size_t *ret_len)
{
	*ret_len = strlen(with);
	return strncasecmp(text, with, *ret_len) == 0;
}

static bool is_printable(const char *text, unsigned char lowest)
{
	for (; *text; text++)
		if ((unsigned char)*text < lowest || *text == 0x7f)
			return false;
	return true;
}

static int read_url(const struct field_at *at, const json_t *value, void *dst, struct arena *a)
{
	size_t len = json_string_length(value), scheme;
	bool is_s3;
	char *url;

	if (!json_is_string(value) || len == 0 || len > URL_MAX || strlen(json_string_value(value)) != len)
		return field_fail(at, "must be a string of 1..%d bytes without a NUL", URL_MAX);
	url = arena_strndup(a, json_string_value(value), len);
	is_s3 = starts(url, "s3://", &scheme);
	if (!is_s3 && !starts(url, "http://", &scheme) && !starts(url, "https://", &scheme))
		return field_fail(at, "must begin with http://, https:// or s3://");
	if (strcspn(url + scheme, "/?#") == 0)
		return field_fail(at, "must have a %s behind its //", is_s3 ? "bucket" : "host");
	if (!is_printable(url, is_s3 ? 0x20 : 0x21))    /* a key of S3 is given as it is */
		return field_fail(at, "must not hold %scontrol characters", is_s3 ? "" : "blanks or ");
	memcpy(dst, &url, sizeof(url));
	return 0;
}

/* 65536, "64K", "8M", "2G" */
static bool size_of(const json_t *value, int64_t *ret)
{
	static const char units[] = "KMG";
	const char *text = json_string_value(value), *unit;
	int64_t n = 0;

	if (json_is_integer(value)) {
		*ret = json_integer_value(value);
		return *ret >= 0;
	}
	if (!text || *text < '0' || *text > '9')
		return false;
	for (; *text >= '0' && *text <= '9'; text++)
		if (__builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, *text - '0', &n))
			return false;
	unit = *text ? strchr(units, *text) : NULL;
	if (unit && __builtin_mul_overflow(n, INT64_C(1) << (10 * (unit - units + 1)), &n))
		return false;
	*ret = n;
	return text[unit ? 1 : 0] == '\0';
}

static int read_size(const struct field_at *at, const json_t *value, void *dst, struct arena *a)
{
	char got[80];
	int64_t n;

	(void)a;
	if (!size_of(value, &n))
		return field_fail(at, "must be a number of bytes, or one with K, M or G in a string, got %s", field_got(value, got, sizeof(got)));
	memcpy(dst, &n, sizeof(n));
	return 0;
}

static bool is_checksum(const char *text)
{
	static const struct { const char *name; size_t digits; } kinds[] = { { "md5:", 32 }, { "sha1:", 40 }, { "sha256:", 64 }, { "sha512:", 128 } };
	size_t len;

	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		if (starts(text, kinds[i].name, &len))
			return strlen(text + len) == kinds[i].digits && strspn(text + len, "0123456789abcdefABCDEF") == kinds[i].digits;
	return false;
}

/* One, or a list of them. */
static int read_checksum(const struct field_at *at, const json_t *value, void *dst, struct arena *a)
{
	size_t n = json_is_array(value) ? json_array_size(value) : 1;
	const char **list = arena_alloc(a, (n + 1) * sizeof(*list));
	struct spec_strings ret = { .v = list, .n = n };

	if (n > CHECKSUMS_MAX)
		return field_fail(at, "has %zu entries, the limit is %d", n, CHECKSUMS_MAX);
	for (size_t i = 0; i < n; i++) {
		const json_t *item = json_is_array(value) ? json_array_get(value, i) : value;

		if (!json_is_string(item) || strlen(json_string_value(item)) != json_string_length(item) || !is_checksum(json_string_value(item)))
			return field_fail(at, "must be ALGORITHM:HEX, with all digits of an md5, sha1, sha256 or sha512, or a list of such");
		list[i] = arena_strndup(a, json_string_value(item), json_string_length(item));
	}
	memcpy(dst, &ret, sizeof(ret));
	return 0;
}

static bool is_offset(const char **text, int64_t *ret)
{
	int64_t n = 0;
	const char *p = *text;

	for (; *p >= '0' && *p <= '9'; p++)
		if (__builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, *p - '0', &n))
			return false;
	if (p == *text)
		return false;
	*text = p;
	*ret = n;
	return true;
}

static int read_range(const struct field_at *at, const json_t *value, void *dst, struct arena *a)
{
	const char *text = json_string_value(value), *p = text;
	int64_t first, last;
	char got[80];

	if (!p || !is_offset(&p, &first) || *p++ != '-' || !is_offset(&p, &last) || *p || last < first || last == INT64_MAX)
		return field_fail(at, "must be \"FIRST-LAST\", two offsets of bytes, the last included, got %s", field_got(value, got, sizeof(got)));
	text = arena_strndup(a, text, json_string_length(value));
	memcpy(dst, &text, sizeof(text));
	return 0;
}

/* ---- the tables ----------------------------------------------------------------------------------------------------- */

#define FILE_FIELD(name) FIELD_STRING(#name, struct spec_fetch, name, 1, 4095, 0)
#define FLAG_FIELD(name) FIELD_BOOL(#name, struct spec_fetch, name, 0)
#define SIZE_FIELD(name) FIELD_CUSTOM(#name, struct spec_fetch, name, read_size, 0)
static const struct field fetch_fields[] = {
	FIELD_CUSTOM("url", struct spec_fetch, url, read_url, 0),
	FILE_FIELD(output),
	FILE_FIELD(into),
	SIZE_FIELD(at),
	FIELD_CUSTOM("range", struct spec_fetch, range, read_range, 0),
	FIELD_CUSTOM("checksum", struct spec_fetch, checksum, read_checksum, 0),
	FILE_FIELD(checksum_file),
	FILE_FIELD(header_file),
	FILE_FIELD(cacert),
	FIELD_CHOICE("alloc", struct spec_fetch, alloc, alloc_names, 0),
	FIELD_INT("streams", struct spec_fetch, streams, 1, JT_FETCH_STREAMS_MAX, 0),
	FIELD_INT("max_per_host", struct spec_fetch, max_per_host, 1, JT_FETCH_STREAMS_MAX, 0),
	SIZE_FIELD(min_part),
	SIZE_FIELD(limit_rate),
	FIELD_INT("tries", struct spec_fetch, tries, 1, 1000000, 0),
	FIELD_INT("restarts", struct spec_fetch, restarts, 0, 1000, 0),
	FIELD_SECONDS_MS("stall_timeout_s", struct spec_fetch, stall_timeout, 0, SPEC_SECONDS_MAX, 0),
	FIELD_SECONDS_MS("retry_after_cap_s", struct spec_fetch, retry_after_cap, 0, SPEC_SECONDS_MAX, 0),
	FIELD_SECONDS_MS("deadline_s", struct spec_fetch, deadline, 0, SPEC_SECONDS_MAX, 0),
	FIELD_SECONDS_MS("heartbeat_s", struct spec_fetch, heartbeat, 0, SPEC_SECONDS_MAX, 0),
	FIELD_SECONDS_MS("save_interval_s", struct spec_fetch, save_interval, 0, SPEC_SECONDS_MAX, 0),
	SIZE_FIELD(save_bytes),
	FLAG_FIELD(durable),
	FLAG_FIELD(no_fsync),
	FLAG_FIELD(http2),
	FLAG_FIELD(trust_size),
	FLAG_FIELD(if_changed),
	FLAG_FIELD(mtime),
	FLAG_FIELD(no_clobber),
	FLAG_FIELD(keep_bad),
	FIELD_END
};

enum option_kind { FLAG, TEXT, NUMBER, SECONDS };

/* How a field is handed to jobd-fetch. What is as it is there by itself is not handed over, and does not count as content. */
static const struct option {
	const char *name;
	enum option_kind kind;
	size_t offset;
	int64_t builtin, min;           /* of numbers, and of milliseconds; min: of sizes that were given */
} options[] = {
#define AT(field) offsetof(struct spec_fetch, field)
	{ "output", TEXT, AT(output), 0, 0 },
	{ "into", TEXT, AT(into), 0, 0 },
	{ "at", NUMBER, AT(at), NO_OFFSET, 0 },
	{ "range", TEXT, AT(range), 0, 0 },
	{ "checksum-file", TEXT, AT(checksum_file), 0, 0 },
	{ "header-file", TEXT, AT(header_file), 0, 0 },
	{ "cacert", TEXT, AT(cacert), 0, 0 },
	{ "streams", NUMBER, AT(streams), FETCH_STREAMS, 1 },
	{ "max-per-host", NUMBER, AT(max_per_host), 0, 1 },
	{ "min-part", NUMBER, AT(min_part), FETCH_MIN_PART, 4096 },
	{ "limit-rate", NUMBER, AT(limit_rate), 0, 1 },
	{ "tries", NUMBER, AT(tries), FETCH_TRIES, 1 },
	{ "restarts", NUMBER, AT(restarts), FETCH_RESTARTS, 0 },
	{ "stall-timeout", SECONDS, AT(stall_timeout), FETCH_STALL_MS, 1 },
	{ "retry-after-cap", SECONDS, AT(retry_after_cap), FETCH_RETRY_AFTER_CAP_MS, 1 },
	{ "deadline", SECONDS, AT(deadline), 0, 1 },
	{ "heartbeat", SECONDS, AT(heartbeat), FETCH_HEARTBEAT_MS, 1 },
	{ "save-interval", SECONDS, AT(save_interval), FETCH_SAVE_MS, 1 },
	{ "save-bytes", NUMBER, AT(save_bytes), FETCH_SAVE_BYTES, 65536 },
	{ "durable", FLAG, AT(durable), 0, 0 },
	{ "no-fsync", FLAG, AT(no_fsync), 0, 0 },
	{ "http2", FLAG, AT(http2), 0, 0 },
	{ "trust-size", FLAG, AT(trust_size), 0, 0 },
	{ "if-changed", FLAG, AT(if_changed), 0, 0 },
	{ "mtime", FLAG, AT(mtime), 0, 0 },
	{ "no-clobber", FLAG, AT(no_clobber), 0, 0 },
	{ "keep-bad", FLAG, AT(keep_bad), 0, 0 },
#undef AT
};
#define N_OPTIONS (sizeof(options) / sizeof(*options))

static bool is_number(const struct option *o)
{
	return o->kind == NUMBER || o->kind == SECONDS;
}

static int64_t *number_of(struct spec_fetch *f, const struct option *o)
{
	return (int64_t *)(void *)((char *)f + o->offset);
}

static void init(struct spec_fetch *f)
{
	*f = (struct spec_fetch){ 0 };
	for (size_t i = 0; i < N_OPTIONS; i++)
		if (is_number(&options[i]))
			*number_of(f, &options[i]) = options[i].builtin;
}

/* The smallest size differs from one to the other, which the reader of sizes does not know. */
static int check_numbers(const struct field_at *at, struct spec_fetch *f)
{
	for (size_t i = 0; i < N_OPTIONS; i++) {
		const struct option *o = &options[i];
		char name[32];

		if (!is_number(o) || *number_of(f, o) == o->builtin || *number_of(f, o) >= o->min)
			continue;
		(void)snprintf(name, sizeof(name), "%s%s", o->name, o->kind == SECONDS ? "-s" : "");
		for (char *dash = name; (dash = strchr(dash, '-'));)
			*dash = '_';
		if (o->kind == SECONDS)
			return field_fail_key(at, name, "must be more than 0 seconds");
		return field_fail_key(at, name, "must be at least %" PRId64 ", got %" PRId64, o->min, *number_of(f, o));
	}
	return 0;
}

int spec_read_fetch(const struct field_at *at, const json_t *value, void *dst, struct arena *a)
{
	const struct spec_fetch **job = dst;
	struct spec_fetch *f = arena_alloc(a, sizeof(*f));

	if (!json_is_object(value))
		return field_fail(at, "must be an object: {url: ..., output: ...}");
	if (*job)
		*f = **job;
	else
		init(f);
	if (field_read_struct(at, fetch_fields, value, f, a) < 0 || check_numbers(at, f) < 0)
		return -1;
	*job = f;
	return 0;
}

/* ---- what goes together --------------------------------------------------------------------------------------------- */

static int check_target(const struct spec_job *job, struct spec_error *err)
{
	const struct spec_fetch *f = job->fetch;

	if (!f->output == !f->into)
		return spec_fail(err, JT_EINVAL, job->path, "fetch.output", "fetch needs one target: output, or into with range and at");
	if (f->output && strcmp(f->output, "-") == 0)
		return spec_fail(err, JT_EINVAL, job->path, "fetch.output", "fetch.output must be a file: the standard output of a fetch is its record");
	if (f->into && (!f->range || f->at == NO_OFFSET))
		return spec_fail(err, JT_EINVAL, job->path, "fetch.into", "fetch.into needs range, what to fetch, and at, where to write it");
	if (f->output && f->at != NO_OFFSET)
		return spec_fail(err, JT_EINVAL, job->path, "fetch.at", "fetch.at belongs to into");
	if (f->into && (f->no_clobber || f->keep_bad || f->if_changed || f->mtime))
		return spec_fail(err, JT_EINVAL, job->path, "fetch.into",
				 "fetch.no_clobber, keep_bad, if_changed and mtime need a file of its own: output");
	if (f->if_changed && f->range)
		return spec_fail(err, JT_EINVAL, job->path, "fetch.if_changed", "fetch.if_changed compares whole objects; it cannot go with range");
	return 0;
}

int spec_fetch_check(const struct spec_job *job, struct spec_error *err)
{
	if (!job->fetch->url)
		return spec_fail(err, JT_EINVAL, job->path, "fetch.url", "fetch needs a url");
	if (job->stdin_file || job->stdin_text)
		return spec_fail(err, JT_EINVAL, job->path, "stdin", "stdin is not for a fetch, which reads nothing from it");
	return check_target(job, err);
}

/* ---- what it becomes ------------------------------------------------------------------------------------------------ */

static void each_checksum(const struct spec_fetch *f, spec_option_fn fn, void *arg)
{
	for (size_t i = 0; i < f->checksum.n; i++)
		fn(arg, "checksum", f->checksum.v[i]);
}

static void tell_number(const struct option *o, int64_t n, spec_option_fn fn, void *arg)
{
	char text[32];

	if (n == o->builtin)
		return;
	if (o->kind == SECONDS)
		(void)snprintf(text, sizeof(text), "%" PRId64 ".%03d", n / 1000, (int)(n % 1000));
	else
		(void)snprintf(text, sizeof(text), "%" PRId64, n);
	fn(arg, o->name, text);
}

void spec_fetch_options(const struct spec_fetch *f, spec_option_fn fn, void *arg)
{
	struct spec_fetch copy = *f;

	for (size_t i = 0; i < N_OPTIONS; i++) {
		const struct option *o = &options[i];
		const char *field = (const char *)f + o->offset;

		if (is_number(o))
			tell_number(o, *number_of(&copy, o), fn, arg);
		else if (o->kind == FLAG && *(const bool *)field)
			fn(arg, o->name, NULL);
		else if (o->kind == TEXT && *(const char *const *)(const void *)field)
			fn(arg, o->name, *(const char *const *)(const void *)field);
	}
	if (f->alloc)
		fn(arg, "alloc", alloc_names[f->alloc]);
	each_checksum(f, fn, arg);
}
