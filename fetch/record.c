/* SPDX-License-Identifier: MIT */
#include "record.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "fetch.h"
#include "mem.h"

static json_t *count(uint64_t n)
{
	return json_integer((json_int_t)n);
}

/* Unknown is null. */
static json_t *size_or_null(uint64_t n)
{
	return n >= OPEN_END ? json_null() : count(n);
}

/* Header fields of others may hold any bytes. */
static json_t *text_or_null(const char *text)
{
	json_t *v = text ? json_string(text) : NULL;

	return v ? v : json_null();
}

static void put(json_t *to, const char *key, json_t *value)
{
	if (json_object_set_new(to, key, value) != 0)
		abort();
}

static char *printed(json_t *record)
{
	char *text = json_dumps(record, JSON_COMPACT);

	if (!text)
		abort();
	json_decref(record);
	return text;
}

static uint64_t speed(uint64_t bytes, int64_t us)
{
	return us > 0 ? (uint64_t)((double)bytes * 1e6 / (double)us) : 0;
}

static uint64_t expected(const struct fetch *f)
{
	return f->end >= OPEN_END ? OPEN_END : f->end - f->first;
}

char *record_progress(const struct fetch *f)
{
	json_t *r = json_object();

	put(r, "event", json_string("progress"));
	put(r, "bytes", count(f->written));
	put(r, "expected", size_or_null(expected(f)));
	put(r, "avg_bps", count(speed(f->received, (clock_ms() - f->begun_ms) * 1000)));
	put(r, "streams", count(net_open(f)));
	put(r, "retries", count(f->retries));
	put(r, "restarts", count(f->restarts));
	return printed(r);
}

char *record_event(const char *event, const char *text)
{
	json_t *r = json_object();

	put(r, "event", json_string(event));
	put(r, "text", text_or_null(text));
	return printed(r);
}

static void put_ms(json_t *to, const char *key, int64_t us)
{
	put(to, key, us < 0 ? json_null() : json_real((double)(us / 10) / 100));
}

static json_t *part_record(const struct fetch *f, uint32_t i)
{
	const struct jt_fetch_part *p = plan_part(f, i);
	const struct course *c = &f->course[i];
	json_t *r = json_object();

	put(r, "start", count(p->start));
	put(r, "expected", size_or_null(p->end >= OPEN_END ? OPEN_END : p->end - p->start));
	put(r, "bytes", count(p->written - p->start));
	put(r, "requests", count(c->requests));
	put(r, "retries", count(c->retries));
	put_ms(r, "ttfb_ms", c->ttfb_us);
	put_ms(r, "read_ms", c->read_us);
	put_ms(r, "write_ms", c->write_us);
	put_ms(r, "backoff_ms", c->backoff_us);
	put_ms(r, "overhead_ms", c->overhead_us);
	put(r, "avg_bps", count(speed(c->bytes, c->read_us)));
	return r;
}

/* Also the sums of what the parts have cost. */
static json_t *parts(struct fetch *f, json_t *whole)
{
	json_t *list = json_array();
	int64_t first = -1, read = 0, backoff = 0, overhead = 0;
	uint32_t n = 0;

	if (f->plan)
		jt_fetch_parts(f->plan, &n);
	for (uint32_t i = 0; i < n; i++) {
		const struct course *c = course_of(f, i);

		first = first < 0 || (c->ttfb_us >= 0 && c->ttfb_us < first) ? c->ttfb_us : first;
		read += c->read_us;
		backoff += c->backoff_us;
		overhead += c->overhead_us;
		if (json_array_append_new(list, part_record(f, i)) != 0)
			abort();
	}
	put_ms(whole, "ttfb_ms", first);
	put_ms(whole, "read_ms", read);
	put_ms(whole, "backoff_ms", backoff);
	put_ms(whole, "overhead_ms", overhead);
	return list;
}

static const char *http_version(long version)
{
	switch (version) {
	case CURL_HTTP_VERSION_1_0: return "1.0";
	case CURL_HTTP_VERSION_1_1: return "1.1";
	case CURL_HTTP_VERSION_2_0: return "2";
	default: return NULL;
	}
}

static void put_outcome(json_t *r, const struct fetch *f)
{
	put(r, "event", json_string("end"));
	put(r, "status", count((uint64_t)f->why.status));
	put(r, "signal", f->signal ? count((uint64_t)f->signal) : json_null());
	put(r, "error", text_or_null(f->why.status ? f->why.text : NULL));
	put(r, "url", text_or_null(f->first_url.shown));
	put(r, "target", text_or_null(f->target.name));
	put(r, "unchanged", json_boolean(f->unchanged));
	put(r, "resumed_bytes", count(f->resumed_bytes));
}

static void put_counts(json_t *r, const struct fetch *f)
{
	put(r, "bytes", count(f->written));
	put(r, "expected", size_or_null(expected(f)));
	put(r, "total", size_or_null(f->object.total));
	put(r, "received", count(f->received));
	put(r, "written", count(f->written - f->resumed_bytes));
	put(r, "requests", count(f->requests));
	put(r, "attempts", count(f->attempts));
	put(r, "retries", count(f->retries));
	put(r, "restarts", count(f->restarts));
	put(r, "streams_max", count(f->streams_max));
	put(r, "streams_final", count(f->allowed));
	put(r, "peak_pool", count(f->writer.peak));
}

/* The most that was resident, as the kernel counts it since this program was started; -1: it does not say. */
static long peak_kib(void)
{
	FILE *f = fopen("/proc/self/status", "re");
	char line[256];
	long kib = -1;

	while (f && kib < 0 && fgets(line, sizeof(line), f))
		if (strncmp(line, "VmHWM:", 6) == 0)
			kib = strtol(line + 6, NULL, 10);
	if (f)
		fclose(f);
	return kib;
}

static void put_rest(json_t *r, const struct fetch *f)
{
	static const char *const kinds[] = { [JT_FETCH_UNVALIDATED] = NULL, [JT_FETCH_ETAG] = "etag", [JT_FETCH_DATE] = "last-modified" };
	int64_t us = (clock_ms() - f->begun_ms) * 1000;

	put_ms(r, "write_ms", f->write_us);
	put_ms(r, "writer_wait_ms", f->writer_wait_us);
	put_ms(r, "hash_ms", f->hash_us);
	put_ms(r, "elapsed_ms", us);
	put(r, "avg_bps", count(speed(f->received, us)));
	put(r, "peak_rss_kib", json_integer(peak_kib()));
	put(r, "length_verified", json_boolean(f->length_verified));
	put(r, "validator", text_or_null(f->object.validator));
	put(r, "validator_kind", text_or_null(kinds[f->object.kind]));
	put(r, "http_version", text_or_null(http_version(f->http_version)));
}

char *record_end(struct fetch *f)
{
	json_t *r = json_object(), *list;

	put_outcome(r, f);
	put_counts(r, f);
	put_rest(r, f);
	list = parts(f, r);
	put(r, "parts", list);
	return printed(r);
}
