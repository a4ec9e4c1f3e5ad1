/* SPDX-License-Identifier: MIT */
/* One request: put together, judged by its header, and its body taken into buffers for the writer - as far as it belongs to the part. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "config.h"
#include "fetch.h"
#include "mem.h"

#define RECEIVE_SIZE (128L << 10)      /* of libcurl, for each request: more does not make it faster */

/* ---- what is asked --------------------------------------------------------------------------------------------------- */

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static void ask_first(const struct fetch *f, struct asked *ret)
{
	uint64_t probe = f->o->min_part < OPEN_END - f->first ? f->first + f->o->min_part : OPEN_END;

	*ret = (struct asked){ .what = f->whole ? ASK_WHOLE : ASK_FIRST, .from = f->first, .to = least(probe, f->end) };
	ret->if_changed = f->before.known;
	ret->user_range = f->o->range != NULL;
}

static void ask_part(const struct slot *s, struct asked *ret)
{
	const struct fetch *f = s->f;
	const struct jt_fetch_part *p = plan_part(f, s->part);

	*ret = (struct asked){ .what = f->whole ? ASK_WHOLE : ASK_PART, .from = p->at, .to = p->end };
	if (f->one_by_one)
		ret->to = least(p->end, p->at + f->o->min_part);
	ret->conditional = !f->whole && f->object.validator && (f->is_s3 || !f->no_if_range);
}

void slot_asks(struct slot *s, struct asked *ret)
{
	const struct fetch *f = s->f;

	if (!f->plan)
		ask_first(f, ret);
	else if (f->asking_rest)
		*ret = (struct asked){ .what = ASK_REST, .from = f->object.total, .to = OPEN_END, .conditional = f->object.validator && !f->no_if_range };
	else
		ask_part(s, ret);
}

/* ---- the header of the request --------------------------------------------------------------------------------------- */

__attribute__((format(printf, 2, 3))) static void add_field(struct slot *s, const char *fmt, ...)
{
	struct curl_slist *longer;
	va_list ap;
	char *text;

	va_start(ap, fmt);
	text = mem_vprint(fmt, ap);
	va_end(ap);
	longer = curl_slist_append(s->headers, text);
	if (!longer)
		abort();
	free(text);
	s->headers = longer;
}

static void add_range(struct slot *s)
{
	const struct asked *a = &s->asked;

	if (a->what == ASK_WHOLE)
		return;
	if (a->to >= OPEN_END)
		add_field(s, "Range: bytes=%" PRIu64 "-", a->from);
	else
		add_field(s, "Range: bytes=%" PRIu64 "-%" PRIu64, a->from, a->to - 1);
}

static void add_conditions(struct slot *s)
{
	const struct fetch *f = s->f;

	if (s->asked.conditional)
		add_field(s, f->is_s3 && f->object.kind == JT_FETCH_ETAG ? "If-Match: %s" : "If-Range: %s", f->object.validator);
	if (s->asked.if_changed)
		add_field(s, f->before.kind == JT_FETCH_ETAG ? "If-None-Match: %s" : "If-Modified-Since: %s", f->before.validator);
}

/* What proves who we are goes to the origin that the user named, and to no other. */
static void add_identity(struct slot *s)
{
	const struct fetch *f = s->f;
	bool ours = url_same_origin(&s->url, &f->first_url);
	const char *user = !ours ? NULL : f->is_s3 ? f->s3.key_id : f->first_url.user;
	const char *password = !ours ? NULL : f->is_s3 ? f->s3.secret : f->first_url.password;

	curl_easy_setopt(s->easy, CURLOPT_USERNAME, user);
	curl_easy_setopt(s->easy, CURLOPT_PASSWORD, user && !password ? "" : password);
	for (size_t i = 0; ours && i < f->extra.n; i++)
		add_field(s, "%s", f->extra.v[i]);
	if (!ours || !f->is_s3 || !f->s3.sigv4)
		return;
	curl_easy_setopt(s->easy, CURLOPT_AWS_SIGV4, f->s3.sigv4);
	add_field(s, "x-amz-content-sha256: UNSIGNED-PAYLOAD");
	if (f->s3.token)
		add_field(s, "x-amz-security-token: %s", f->s3.token);
}

/* S3 tells the checksum of an object only if it is asked to; what the first answer tells is enough. */
static void add_wish_for_sum(struct slot *s)
{
	if (s->f->is_s3 && (s->asked.what == ASK_FIRST || s->asked.what == ASK_WHOLE))
		add_field(s, "x-amz-checksum-mode: ENABLED");
}

static void add_fields(struct slot *s)
{
	curl_slist_free_all(s->headers);
	s->headers = NULL;
	add_field(s, "Accept-Encoding: identity");
	add_range(s);
	add_conditions(s);
	add_wish_for_sum(s);
	add_identity(s);
	curl_easy_setopt(s->easy, CURLOPT_HTTPHEADER, s->headers);
}

/* ---- the answer ------------------------------------------------------------------------------------------------------ */

static bool goes_on(const struct slot *s)
{
	return (s->verdict == V_PART || s->verdict == V_WHOLE) && s->f->why.status == FETCH_OK;
}

/* Returning less than n ends the request: the only way to refuse a body. */
static size_t on_header(char *line, size_t size, size_t n, void *arg)
{
	struct slot *s = arg;

	n *= size;
	s->last_ms = clock_ms();
	if (s->verdict != V_NONE)
		return n;                       /* a trailer */
	if (n > 2 || (line[0] != '\r' && line[0] != '\n')) {
		answer_line(&s->answer, line, n, time(NULL));
		return n;
	}
	if (s->answer.status < 200)
		return n;
	s->verdict = check(&s->asked, &s->answer, &s->f->object);
	if (goes_on(s))
		course_accept(s);
	return goes_on(s) ? n : 0;
}

/* The streams that cannot read while we wait for something of our own have not stalled. */
static void forgive(struct fetch *f, int64_t us)
{
	for (uint32_t i = 0; i < f->n_slots; i++)
		f->slot[i].last_ms += us / 1000;
}

static struct work *buffer_for(struct fetch *f)
{
	struct work *work = writer_buffer(&f->writer);
	int64_t begin = work ? 0 : clock_us();

	while (!work && f->why.status == FETCH_OK && !net_interrupted(f)) {
		post_wait(&f->writer.done, f->signal_fd, 1000);
		net_take_done(f);
		work = writer_buffer(&f->writer);
	}
	if (begin) {
		f->writer_wait_us += clock_us() - begin;
		forgive(f, clock_us() - begin);
	}
	return work;
}

/* A new buffer begins where the part is now. */
static bool have_buffer(struct slot *s)
{
	struct fetch *f = s->f;

	if (s->filling)
		return true;
	s->filling = buffer_for(f);
	if (!s->filling)
		return false;
	s->filling->kind = WORK_WRITE;
	s->filling->part = s->part;
	s->filling->offset = plan_part(f, s->part)->at - f->first + f->target.at;
	return true;
}

void slot_flush(struct slot *s)
{
	struct work *work = s->filling;

	s->filling = NULL;
	if (work && work->len > 0)
		writer_give(&s->f->writer, work);
	else if (work)
		writer_return(&s->f->writer, work);
}

/* Takes what belongs to the part. Returns how much that was; less than n: the part is full, or the fetch has ended. */
static size_t take(struct slot *s, const char *data, size_t n)
{
	struct fetch *f = s->f;
	size_t taken = 0;

	while (taken < n && plan_part(f, s->part)->at < plan_part(f, s->part)->end) {
		size_t room, fits;

		if (!have_buffer(s))
			return taken;
		room = BUFFER_SIZE - s->filling->len;
		fits = (size_t)jt_fetch_received(f->plan, s->part, least(n - taken, room));
		memcpy(s->filling->data + s->filling->len, data + taken, fits);
		s->filling->len += fits;
		taken += fits;
		if (s->filling->len == BUFFER_SIZE)
			slot_flush(s);
	}
	return taken;
}

/* The part is full, and the body goes on. */
static bool is_cut(const struct slot *s)
{
	const struct jt_fetch_part *p = plan_part(s->f, s->part);

	return p->at == p->end && s->got != s->expected;
}

/* How long nothing may be read. Time that was not used is not saved for later. */
static int64_t unpaid_ms(struct fetch *f)
{
	int64_t now = clock_ms();
	double due = (double)(now - f->pay_from_ms) / 1000 * (double)f->o->limit_rate;
	double debt = (double)(f->received - f->paid_bytes) - due;

	if (debt > 0)
		return (int64_t)(debt * 1000 / (double)f->o->limit_rate);
	f->pay_from_ms = now;
	f->paid_bytes = f->received;
	return 0;
}

/* --limit-rate: what is not read fills the window of TCP, and the server waits. */
static void pay(struct fetch *f)
{
	int64_t begin = clock_us(), ms;

	if (!f->o->limit_rate)
		return;
	ms = unpaid_ms(f);
	while (ms > 0 && f->why.status == FETCH_OK && !net_interrupted(f)) {
		post_wait(&f->writer.done, f->signal_fd, (int)least((uint64_t)ms, 1000));
		net_take_done(f);
		ms = unpaid_ms(f);
	}
	forgive(f, clock_us() - begin);
}

static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
	struct slot *s = arg;
	size_t come, skipped, taken;

	n *= size;
	s->last_ms = clock_ms();
	if (s->got == 0)
		s->first_us = clock_us();
	if (!goes_on(s) || s->part == JT_FETCH_NONE)
		return 0;
	come = s->expected == SIZE_UNKNOWN ? n : (size_t)least(n, s->expected - s->got);
	s->got += come;
	skipped = (size_t)least(s->skip, come);
	s->skip -= skipped;
	taken = take(s, data + skipped, come - skipped);
	s->f->received += taken;
	course_gained(s, taken);
	pay(s->f);
	return skipped + taken == n && !is_cut(s) ? n : 0;
}

/* ---- its life -------------------------------------------------------------------------------------------------------- */

static void set_up(struct slot *s)
{
	const struct fetch *f = s->f;
	CURL *e = s->easy;

	curl_easy_setopt(e, CURLOPT_PRIVATE, s);
	curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(e, CURLOPT_PATH_AS_IS, 1L);
	curl_easy_setopt(e, CURLOPT_HTTP_VERSION, f->o->http2 ? (long)CURL_HTTP_VERSION_2TLS : (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(e, CURLOPT_USERAGENT, "jobd-fetch/" PACKAGE_VERSION);
	curl_easy_setopt(e, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	curl_easy_setopt(e, CURLOPT_BUFFERSIZE, RECEIVE_SIZE);
	curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L);
#if LIBCURL_VERSION_NUM >= 0x075700
	curl_easy_setopt(e, CURLOPT_QUICK_EXIT, 1L);    /* a name that is being looked up holds up no end */
#endif
	curl_easy_setopt(e, CURLOPT_ERRORBUFFER, s->error);
	curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(e, CURLOPT_HEADERDATA, s);
	curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(e, CURLOPT_WRITEDATA, s);
	if (f->o->cacert)
		curl_easy_setopt(e, CURLOPT_CAINFO, f->o->cacert);
}

void slot_run(struct slot *s)
{
	struct fetch *f = s->f;

	if (!s->easy) {
		s->easy = curl_easy_init();
		if (!s->easy)
			abort();
		set_up(s);
	}
	slot_asks(s, &s->asked);
	answer_done(&s->answer);
	s->state = SLOT_RUNNING;
	s->verdict = V_NONE;
	s->expected = SIZE_UNKNOWN;
	s->got = s->skip = s->useful = s->window_got = 0;
	s->speed = UINT64_MAX;
	s->error[0] = '\0';
	s->begun_us = clock_us();
	s->first_us = 0;
	s->last_ms = s->window_ms = clock_ms();
	curl_easy_setopt(s->easy, CURLOPT_URL, s->url.text);
	add_fields(s);
	f->requests++;
	course_of(f, s->part)->requests++;
	if (curl_multi_add_handle(f->multi, s->easy) != CURLM_OK)
		abort();
}

void slot_stop(struct slot *s)
{
	if (s->state == SLOT_RUNNING)
		curl_multi_remove_handle(s->f->multi, s->easy);
	slot_flush(s);
	if (s->f->plan && s->part != JT_FETCH_NONE)
		jt_fetch_release(s->f->plan, s->part);
	s->part = JT_FETCH_NONE;
	s->state = SLOT_FREE;
}
