/* SPDX-License-Identifier: MIT */
/*
 * The state of a fetch as text, a fact a line, in this order; [] may be absent:
 *
 *	jobd-fetch 1
 *	url URL
 *	id ID
 *	object TOTAL
 *	range FIRST END
 *	[etag ETAG | date DATE]
 *	[version ID]
 *	[checksum ALG:HEX ...]
 *	part START WRITTEN END          one or more, in order, tiling the range (none if it is empty)
 *	crc HEX                         CRC-32 of all bytes before this line
 *
 * It is read by the code that wrote it, or refused: nothing here is guessed.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "crc.h"
#include "fetch.h"
#include "tree.h"

#define FORMAT_LINE "jobd-fetch 1"

/* ---- writing ----------------------------------------------------------------------------------------------------- */

struct text {
	char *p;
	size_t len, cap;
	bool failed;            /* for want of memory: nothing more is added */
};

__attribute__((format(printf, 2, 3))) static void add(struct text *t, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (t->failed || n < 0 || jti_room(&t->p, &t->cap, t->len + (size_t)n + 1, 1) != 0) {
		t->failed = true;
		return;
	}
	va_start(ap, fmt);
	t->len += (size_t)vsnprintf(t->p + t->len, (size_t)n + 1, fmt, ap);
	va_end(ap);
}

static void add_text(struct text *t, const char *key, const char *value)
{
	if (value)
		add(t, "%s %s\n", key, value);
}

static bool can_be_carried(const char *text)
{
	size_t len = text ? strlen(text) : 0;
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			return false;
	return !text || (len > 0 && len <= JT_FETCH_TEXT_MAX);
}

static int check_texts(const struct jt_fetch_state *s, struct jt_error *err)
{
	const struct { const char *name, *text; } all[] = {
		{ "url", s->url }, { "id", s->id }, { "validator", s->validator }, { "version", s->version }, { "checksum", s->checksum },
	};
	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
		if (!can_be_carried(all[i].text))
			return jti_fail(err, JT_EINVAL, JT_NONE, "state of a fetch: its %s is empty, too long, or has control characters", all[i].name);
	if (!s->url || !s->id || (s->kind != JT_FETCH_UNVALIDATED) != (s->validator != NULL))
		return jti_fail(err, JT_EINVAL, JT_NONE, "state of a fetch: no URL, no id, or a validator without its kind");
	return 0;
}

static int by_start(const void *a, const void *b)
{
	const struct jt_fetch_part *x = a, *y = b;
	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	return (x->end > y->end) - (x->end < y->end);           /* one that was taken over at once is empty, and comes first */
}

/* Complete neighbours become one: [start, end) and [end, written, e) are [start, written, e). */
static void add_parts(struct text *t, const struct jt_fetch_part *part, size_t n)
{
	for (size_t i = 0; i < n;) {
		uint64_t start = part[i].start;
		while (i + 1 < n && part[i].written == part[i].end)
			i++;
		add(t, "part %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", start, part[i].written, part[i].end);
		i++;
	}
}

static void add_crc(struct text *t)
{
	struct jti_crc crc;
	jti_crc_init(&crc, JTI_CRC32);
	jti_crc_add(&crc, t->p, t->len);
	add(t, "crc %08" PRIx64 "\n", jti_crc_value(&crc));
}

static void add_all(struct text *t, const struct jt_fetch_state *s, const struct jt_fetch_part *sorted, size_t n)
{
	add(t, FORMAT_LINE "\nurl %s\nid %s\nobject %" PRIu64 "\nrange %" PRIu64 " %" PRIu64 "\n", s->url, s->id, s->total, s->first, s->end);
	add_text(t, s->kind == JT_FETCH_ETAG ? "etag" : "date", s->validator);
	add_text(t, "version", s->version);
	add_text(t, "checksum", s->checksum);
	add_parts(t, sorted, n);
	if (!t->failed)
		add_crc(t);
}

int jt_fetch_state_encode(const struct jt_fetch_state *s, const struct jt_fetch_plan *plan, char **ret, size_t *ret_len, struct jt_error *err)
{
	if (check_texts(s, err) != 0)
		return -1;
	struct text t = { 0 };
	struct jt_fetch_part *sorted = malloc((plan->n + 1) * sizeof(*sorted));
	if (sorted) {
		if (plan->n > 0)
			memcpy(sorted, plan->part, plan->n * sizeof(*sorted));
		qsort(sorted, plan->n, sizeof(*sorted), by_start);
		add_all(&t, s, sorted, plan->n);
	}
	free(sorted);
	if (!sorted || t.failed) {
		free(t.p);
		return jti_fail(err, JT_ENOMEM, JT_NONE, "out of memory for the state of a fetch");
	}
	*ret = t.p;
	*ret_len = t.len;
	return 0;
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

struct lines {
	const char *p, *end;
	struct jt_error *err;
};

static int refuse(const struct lines *in, const char *why)
{
	return jti_fail(in->err, JT_EINVAL, JT_NONE, "the state of a fetch is refused: %s", why);
}

/* next - the value of the next line, if that is one of `key`; its length goes to *ret_len. NULL: it is not, and nothing was read. */
static const char *next(struct lines *in, const char *key, size_t *ret_len)
{
	size_t len = strlen(key);
	const char *nl = in->p < in->end ? memchr(in->p, '\n', (size_t)(in->end - in->p)) : NULL;
	const char *value = in->p + len + 1;
	if (!nl || value > nl || memcmp(in->p, key, len) != 0 || in->p[len] != ' ')
		return NULL;
	*ret_len = (size_t)(nl - value);
	in->p = nl + 1;
	return value;
}

/* n decimal numbers, one blank between them, no sign and no leading zero. */
static bool numbers(const char *text, size_t len, uint64_t *v, int n)
{
	const char *p = text, *end = text + len;
	for (int i = 0; i < n; i++) {
		const char *digits = p;
		uint64_t value = 0;
		for (; p < end && *p >= '0' && *p <= '9'; p++)
			if (__builtin_mul_overflow(value, 10u, &value) || __builtin_add_overflow(value, (unsigned)(*p - '0'), &value))
				return false;
		if (p == digits || (*digits == '0' && p - digits > 1) || (i < n - 1 && (p == end || *p++ != ' ')))
			return false;
		v[i] = value;
	}
	return p == end;
}

static int read_numbers(struct lines *in, const char *key, uint64_t *v, int n)
{
	size_t len;
	const char *text = next(in, key, &len);
	if (!text || !numbers(text, len, v, n))
		return refuse(in, "a line is missing or has no number");
	return 0;
}

static int read_text(struct lines *in, const char *key, char **ret)
{
	size_t len;
	const char *text = next(in, key, &len);
	if (!text)
		return 0;
	char *copy = malloc(len + 1);
	if (!copy)
		return jti_fail(in->err, JT_ENOMEM, JT_NONE, "out of memory for the state of a fetch");
	memcpy(copy, text, len);
	copy[len] = '\0';
	*ret = copy;
	return 0;
}

static int read_validator(struct lines *in, struct jt_fetch_state *s)
{
	if (read_text(in, "etag", &s->validator) != 0)
		return -1;
	if (s->validator) {
		s->kind = JT_FETCH_ETAG;
		return 0;
	}
	if (read_text(in, "date", &s->validator) != 0)
		return -1;
	if (s->validator)
		s->kind = JT_FETCH_DATE;
	return 0;
}

static int read_head(struct lines *in, struct jt_fetch_state *s)
{
	uint64_t range[2];
	if (read_text(in, "url", &s->url) != 0 || read_text(in, "id", &s->id) != 0 || read_numbers(in, "object", &s->total, 1) != 0 ||
	    read_numbers(in, "range", range, 2) != 0 || read_validator(in, s) != 0 || read_text(in, "version", &s->version) != 0 ||
	    read_text(in, "checksum", &s->checksum) != 0)
		return -1;
	s->first = range[0];
	s->end = range[1];
	if (s->first > s->end || s->end > s->total)
		return refuse(in, "its range does not lie in the object");
	if (check_texts(s, in->err) != 0)
		return -1;
	return 0;
}

static int read_parts(struct lines *in, struct jt_fetch_plan *plan)
{
	uint64_t from = plan->first;
	while (in->p < in->end) {
		uint64_t v[3];
		if (read_numbers(in, "part", v, 3) != 0)
			return -1;
		if (v[0] != from || v[1] < v[0] || v[2] < v[1] || v[2] == v[0])
			return refuse(in, "its parts do not tile the range");
		if (jti_fetch_plan_add(plan, &(struct jt_fetch_part){ .start = v[0], .written = v[1], .at = v[1], .end = v[2] }) != 0)
			return jti_fail(in->err, JT_ENOMEM, JT_NONE, "out of memory for the state of a fetch");
		from = v[2];
	}
	return from == plan->end ? 0 : refuse(in, "its parts do not tile the range");
}

/* The last line, "crc XXXXXXXX\n", is taken off; what it was made of must be what is there. */
static int check_crc(struct lines *in)
{
	const size_t len = strlen("crc 01234567\n");
	char expected[32];
	struct jti_crc crc;
	if ((size_t)(in->end - in->p) < len || memchr(in->p, '\0', (size_t)(in->end - in->p)))
		return refuse(in, "it is cut off, or no text");
	in->end -= len;
	jti_crc_init(&crc, JTI_CRC32);
	jti_crc_add(&crc, in->p, (size_t)(in->end - in->p));
	snprintf(expected, sizeof(expected), "crc %08" PRIx64 "\n", jti_crc_value(&crc));
	return memcmp(in->end, expected, len) == 0 ? 0 : refuse(in, "it is damaged");
}

static int check_format(struct lines *in)
{
	size_t len = strlen(FORMAT_LINE "\n");
	if ((size_t)(in->end - in->p) < len || memcmp(in->p, FORMAT_LINE "\n", len) != 0)
		return refuse(in, "it is no state, or that of another version");
	in->p += len;
	return 0;
}

void jt_fetch_state_done(struct jt_fetch_state *s)
{
	free(s->url);
	free(s->id);
	free(s->validator);
	free(s->version);
	free(s->checksum);
	*s = (struct jt_fetch_state){ 0 };
}

int jt_fetch_state_decode(const char *text, size_t len, struct jt_fetch_state *ret, struct jt_fetch_plan **ret_plan, struct jt_error *err)
{
	struct lines in = { .p = text, .end = text + len, .err = err };
	struct jt_fetch_state s = { 0 };
	struct jt_fetch_plan *plan = NULL;
	int rc = -1;
	if (check_crc(&in) == 0 && check_format(&in) == 0 && read_head(&in, &s) == 0) {
		plan = jti_fetch_plan_empty(s.first, s.end);
		rc = plan ? read_parts(&in, plan) : jti_fail(err, JT_ENOMEM, JT_NONE, "out of memory for the state of a fetch");
	}
	if (rc == 0) {
		*ret = s;
		*ret_plan = plan;
		return 0;
	}
	jt_fetch_state_done(&s);
	jt_fetch_plan_free(plan);
	return -1;
}
