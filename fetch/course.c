/* SPDX-License-Identifier: MIT */
/* What an answer, or that there was none, means for the part and for the whole. The tables stand in doc/fetch.md. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "clock.h"
#include "fetch.h"
#include "mem.h"
#include "show.h"

#define PROGRESS (256u << 10)           /* bytes that make up for all failed attempts */
#define REDIRECTS_MAX 10
#define WAIT_FIRST_MS 500
#define WAIT_MAX_MS 60000
#define TROUBLE_MS 10000                /* two resets within this time are too many streams */
#define QUIET_MS 60000                  /* after which one stream more is tried */

struct course *course_of(struct fetch *f, uint32_t part)
{
	uint32_t i = part == JT_FETCH_NONE ? 0 : part;

	for (; f->n_course <= i; f->n_course++) {
		f->course = mem_grow(f->course, f->n_course + 1, sizeof(*f->course));
		f->course[f->n_course] = (struct course){ .ttfb_us = -1, .best = f->plan ? plan_part(f, f->n_course)->at : f->first };
	}
	return &f->course[i];
}

void course_gained(struct slot *s, uint64_t n)
{
	struct course *c = course_of(s->f, s->part);
	uint64_t at = plan_part(s->f, s->part)->at;

	c->bytes += n;
	if (at <= c->best)
		return;
	c->gained += at - c->best;
	s->useful += at - c->best;
	c->best = at;
	c->resolved = false;
	if (c->gained < PROGRESS)
		return;
	c->gained = 0;
	c->attempts = 0;
}

/* ---- the answer is taken --------------------------------------------------------------------------------------------- */

/* The whole object comes as one: all of it is the only part. */
static void accept_whole_first(struct slot *s)
{
	struct fetch *f = s->f;
	uint64_t total = s->answer.length;
	bool beyond = total == SIZE_UNKNOWN ? f->target.kind == TARGET_INTO : f->o->last >= total;

	if (f->o->range && beyond) {
		s->verdict = V_BEYOND;
		return;
	}
	if (!f->o->range)
		f->end = total == SIZE_UNKNOWN ? OPEN_END : total;
	f->whole = true;
	f->told = f->object.known && check_same(&s->answer, &f->object) ? f->object.total : SIZE_UNKNOWN;
	plan_learn(f, &s->answer, total, true);
	plan_make(f, f->first, 1);
	s->expected = total;
	s->skip = f->first;
	f->length_verified = total != SIZE_UNKNOWN || s->answer.chunked;
}

static void accept_part_first(struct slot *s)
{
	struct fetch *f = s->f;
	const struct answer *a = &s->answer;

	if (f->o->range && a->total != SIZE_UNKNOWN && f->o->last >= a->total) {
		s->verdict = V_BEYOND;
		return;
	}
	f->one_by_one = a->total == SIZE_UNKNOWN;
	if (!f->o->range)
		f->end = f->one_by_one ? OPEN_END : a->total;
	plan_learn(f, a, a->total, a->start == 0 && a->last + 1 == a->total);
	plan_make(f, f->one_by_one ? f->first : a->last + 1, f->one_by_one ? 1 : f->n_slots);
	f->length_verified = true;
}

/* One stream goes on: what is there already must be of the same object, or all begins anew. */
static void accept_whole_again(struct slot *s)
{
	struct fetch *f = s->f;
	uint64_t at = plan_part(f, s->part)->at;

	s->expected = s->answer.length;
	f->length_verified = f->object.total != SIZE_UNKNOWN || s->expected != SIZE_UNKNOWN || s->answer.chunked;
	if (at == f->first || (f->object.validator && check_same(&s->answer, &f->object)))
		s->skip = at;
	else
		s->verdict = f->object.validator ? V_CHANGED : V_ANEW;
	if (s->verdict == V_WHOLE && !check_same(&s->answer, &f->object) && f->object.total != SIZE_UNKNOWN)
		s->verdict = V_CHANGED;
}

static void note_answer(struct slot *s)
{
	struct fetch *f = s->f;
	struct course *c = course_of(f, s->part);
	int64_t took = clock_us() - s->begun_us;
	struct url old = f->url;

	if (c->ttfb_us < 0)
		c->ttfb_us = took;
	c->overhead_us += took;
	curl_easy_getinfo(s->easy, CURLINFO_HTTP_VERSION, &f->http_version);
	url_copy(&s->url, &f->url);
	url_done(&old);
	if (f->modified == -1 && s->answer.last_modified)
		f->modified = curl_getdate(s->answer.last_modified, NULL);
}

void course_accept(struct slot *s)
{
	struct fetch *f = s->f;

	note_answer(s);
	f->answered = true;
	if (s->verdict == V_PART)
		s->expected = s->answer.last - s->answer.start + 1;
	if (f->plan && s->verdict == V_WHOLE)
		accept_whole_again(s);
	else if (s->verdict == V_WHOLE)
		accept_whole_first(s);
	else if (!f->plan)
		accept_part_first(s);
	if (f->plan && s->part == JT_FETCH_NONE && !f->asking_rest)
		s->part = jt_fetch_take(f->plan);
}

/* ---- an attempt has failed ------------------------------------------------------------------------------------------- */

void course_fewer(struct fetch *f, int64_t now)
{
	f->trouble_ms = now;
	if (f->allowed == 1 || (f->allowed_ms && now - f->allowed_ms < 1000))
		return;
	f->allowed /= 2;
	f->allowed_ms = now;
}

void course_more(struct fetch *f, int64_t now)
{
	int64_t since = f->trouble_ms > f->allowed_ms ? f->trouble_ms : f->allowed_ms;

	if (f->allowed >= f->n_slots || now - since < QUIET_MS)
		return;
	f->allowed++;
	f->allowed_ms = now;
}

static uint64_t random_below(uint64_t n)
{
	uint64_t v;

	if (getrandom(&v, sizeof(v), 0) != sizeof(v))
		v = (uint64_t)clock_us() * 0x9e3779b97f4a7c15u;
	return (uint64_t)((unsigned __int128)v * n >> 64);
}

/* Full jitter; none after an attempt that brought something. */
static int64_t wait_ms(const struct fetch *f, const struct course *c, int64_t retry_after_ms)
{
	uint64_t most = c->fruitless < 8 ? (uint64_t)WAIT_FIRST_MS << c->fruitless : WAIT_MAX_MS;
	int64_t wait = c->fruitless ? (int64_t)random_below((most < WAIT_MAX_MS ? most : WAIT_MAX_MS) + 1) : 0;

	if (retry_after_ms > f->o->retry_after_cap_ms)
		retry_after_ms = f->o->retry_after_cap_ms;
	return wait > retry_after_ms ? wait : retry_after_ms;
}

static void give_up(struct slot *s, enum fetch_status status, const char *what)
{
	struct fetch *f = s->f;
	uint64_t got = f->plan ? jt_fetch_in_file(f->plan) : 0;
	const struct jt_fetch_part *p = f->plan && s->part != JT_FETCH_NONE ? plan_part(f, s->part) : NULL;
	char of[64] = "unknown", part[128] = "";

	net_await(f, 1000);
	got = f->plan ? jt_fetch_in_file(f->plan) : got;
	if (f->end != OPEN_END)
		snprintf(of, sizeof(of), "%" PRIu64, f->end - f->first);
	if (p && p->end < OPEN_END)
		snprintf(part, sizeof(part), "; of the bytes from %" PRIu64 " to %" PRIu64 " the first %" PRIu64, p->start, p->end - 1, p->at - p->start);
	fail_set(&f->why, status, "%s: %s; gave up after %" PRIu64 " attempts without progress, with %" PRIu64 " of %s bytes%s", s->url.shown, what,
		 f->o->tries, got, of, part);
}

static void failed(struct slot *s, enum fetch_status status, const char *what, int64_t retry_after_ms)
{
	struct fetch *f = s->f;
	struct course *c = course_of(f, s->part);
	bool have = f->plan && s->part != JT_FETCH_NONE;
	uint64_t lacking = have ? plan_part(f, s->part)->end - plan_part(f, s->part)->at : UINT64_MAX;
	int64_t wait;

	slot_flush(s);
	c->fruitless = s->useful ? 0 : c->fruitless + 1;
	if (!s->useful || lacking >= PROGRESS)
		c->attempts++;
	if (c->attempts >= f->o->tries) {
		give_up(s, status, what);
		return;
	}
	wait = wait_ms(f, c, retry_after_ms);
	c->retries++;
	f->retries++;
	c->backoff_us += wait * 1000;
	s->state = SLOT_WAITING;
	s->due_ms = clock_ms() + wait;
}

/* The part is asked for again where redirects have led before. */
static void again(struct slot *s)
{
	url_done(&s->url);
	url_copy(&s->f->url, &s->url);
	s->redirects = 0;
	slot_run(s);
}

void course_wait_over(struct slot *s)
{
	again(s);
}

static bool untrusted(CURLcode result)
{
	return result == CURLE_PEER_FAILED_VERIFICATION || result == CURLE_SSL_CACERT_BADFILE || result == CURLE_SSL_ISSUER_ERROR;
}

/* The connection ended in order, but too soon: no reset. */
static bool ended_early(const struct slot *s, CURLcode result)
{
	long error = 0;

	if (result == CURLE_OK || result == CURLE_PARTIAL_FILE)
		return true;
	curl_easy_getinfo(s->easy, CURLINFO_OS_ERRNO, &error);
	return result == CURLE_RECV_ERROR && s->got > 0 && error == 0;
}

static void no_answer(struct slot *s, CURLcode result)
{
	struct fetch *f = s->f;
	const char *what = s->error[0] ? s->error : curl_easy_strerror(result);
	bool reset = result == CURLE_RECV_ERROR || result == CURLE_SEND_ERROR || result == CURLE_COULDNT_CONNECT || result == CURLE_GOT_NOTHING;
	int64_t now = clock_ms();

	if (untrusted(result)) {
		fail_set(&f->why, FETCH_NET, "%s: the server is not trusted: %s", s->url.shown, what);
		return;
	}
	if (reset && f->trouble_ms && now - f->trouble_ms < TROUBLE_MS)
		course_fewer(f, now);
	if (reset)
		f->trouble_ms = now;
	failed(s, ended_early(s, result) && s->verdict != V_NONE ? FETCH_SHORT : FETCH_NET, what, 0);
}

/* ---- the body is over ------------------------------------------------------------------------------------------------ */

static void part_done(struct slot *s)
{
	int64_t us = s->first_us ? clock_us() - s->first_us : 0;

	if (us > 0 && s->got > PROGRESS)
		s->f->idle_speed = (uint64_t)((double)s->got * 1e6 / (double)us);
	slot_stop(s);
}

/* An object of unknown length has ended. */
static void closed(struct slot *s)
{
	struct fetch *f = s->f;
	uint64_t at = plan_part(f, s->part)->at;

	if (f->o->range) {
		fail_set(&f->why, FETCH_RANGE, "%s: the object ends after %" PRIu64 " bytes, before the end of --range %s", s->url.shown, at, f->o->range);
		return;
	}
	if (s->skip > 0) {
		failed(s, FETCH_SHORT, "the body is shorter than it was before", 0);
		return;
	}
	if (f->told != SIZE_UNKNOWN && at != f->told) {
		failed(s, FETCH_SHORT, "the body is not as long as an earlier answer told", 0);
		return;
	}
	jt_fetch_close(f->plan, s->part);
	f->end = at;
	if (f->object.total == SIZE_UNKNOWN)
		f->object.total = at;
	part_done(s);
}

static void body_over(struct slot *s, CURLcode result)
{
	struct fetch *f = s->f;
	const struct jt_fetch_part *p = s->part != JT_FETCH_NONE ? plan_part(f, s->part) : NULL;
	bool all_came = result == CURLE_OK && (s->expected == SIZE_UNKNOWN || s->got == s->expected);

	if (!p || p->at == p->end)
		part_done(s);
	else if (!all_came)
		no_answer(s, result);
	else if (s->verdict == V_WHOLE && f->object.total == SIZE_UNKNOWN)
		closed(s);
	else if (s->verdict == V_PART)
		again(s);                       /* the server gives less than was asked for: legal, and does not mean that there is no more */
	else
		failed(s, FETCH_SHORT, "the body is shorter than the object", 0);
}

/* ---- turns of the whole ---------------------------------------------------------------------------------------------- */

static bool is_out(const struct fetch *f)
{
	return f->target.kind == TARGET_STREAM && f->plan && f->received > 0;
}

/* Ranges do not work here: one stream, from the first byte on. What a stream has given away is passed over. */
static void go_whole(struct slot *s, const char *why)
{
	struct fetch *f = s->f;

	if (f->whole) {
		fail_set(&f->why, FETCH_HTTP, "%s: %s, and there is no other way to ask", s->url.shown, why);
		return;
	}
	show_note(f, "%s: %s; fetching it as one stream", s->url.shown, why);
	net_drop_slots(f);
	f->whole = true;
	f->asking_rest = f->one_by_one = false;
	if (!is_out(f))
		plan_drop(f);
}

static void begin_anew(struct slot *s)
{
	struct fetch *f = s->f;
	struct course c = *course_of(f, s->part);

	if (is_out(f)) {
		fail_set(&f->why, FETCH_NET, "%s: the connection broke, and the server offers neither ranges nor a validator to go on with", s->url.shown);
		return;
	}
	net_drop_slots(f);
	plan_drop(f);
	*course_of(f, JT_FETCH_NONE) = c;
}

static void changed(struct slot *s)
{
	struct fetch *f = s->f;
	bool before_us = f->resumed && f->received == 0 && f->restarts == 0;

	if (is_out(f)) {
		fail_set(&f->why, FETCH_CHANGED, "%s: the object changed while it was fetched, and a part of it is written already", s->url.shown);
		return;
	}
	net_drop_slots(f);
	plan_drop(f);
	if (!before_us && ++f->restarts > f->o->restarts) {
		fail_set(&f->why, FETCH_CHANGED, "%s: the object changed %" PRIu64 " time(s) while it was fetched", f->first_url.shown, f->restarts);
		return;
	}
	object_done(&f->object);
	f->told = SIZE_UNKNOWN;
	f->answered = false;
	f->whole = f->one_by_one = f->no_if_range = f->asking_rest = f->resumed = false;
	f->wanted = f->given;
	show_restart(f);
}

static void follow(struct slot *s)
{
	struct fetch *f = s->f;
	const char *why;
	struct url to;

	if (f->is_s3) {
		fail_set(&f->why, FETCH_HTTP, "%s: redirected (HTTP %d): is AWS_REGION the region of the bucket?", s->url.shown, s->answer.status);
		return;
	}
	if (++s->redirects > REDIRECTS_MAX) {
		fail_set(&f->why, FETCH_HTTP, "%s: more than %d redirects", s->url.shown, REDIRECTS_MAX);
		return;
	}
	if (url_follow(&s->url, s->answer.location, &to, &why) != 0) {
		fail_set(&f->why, FETCH_HTTP, "%s: a redirect is refused: %s", s->url.shown, why);
		return;
	}
	url_done(&s->url);
	s->url = to;
	slot_run(s);
}

/* 404 and 410 say that the object is not there: then there is nothing to go on with either. */
static void fatal(struct slot *s)
{
	s->f->gone = s->answer.status == 404 || s->answer.status == 410;
	fail_set(&s->f->why, FETCH_HTTP, "%s: HTTP %d", s->url.shown, s->answer.status);
}

/* What a redirect led to may have been good for a time only: once it is asked for anew. */
static void refused(struct slot *s)
{
	struct fetch *f = s->f;
	struct course *c = course_of(f, s->part);

	if (c->resolved || strcmp(s->url.text, f->first_url.text) == 0) {
		fatal(s);
		return;
	}
	c->resolved = true;
	url_done(&s->url);
	url_copy(&f->first_url, &s->url);
	s->redirects = 0;
	slot_run(s);
}

static void bad_range(struct slot *s)
{
	struct course *c = course_of(s->f, s->part);

	if (s->asked.what == ASK_PART && c->bad++ == 0)
		again(s);
	else
		go_whole(s, "the server answers ranges wrongly");
}

static void empty(struct slot *s)
{
	struct fetch *f = s->f;

	f->end = 0;
	plan_learn(f, &s->answer, 0, true);
	plan_make(f, 0, 1);
	f->length_verified = true;
	slot_stop(s);
}

static void refused_for_now(struct slot *s)
{
	char what[64];

	snprintf(what, sizeof(what), "HTTP %d", s->answer.status);
	if (s->answer.status == 429 || s->answer.status == 503)
		course_fewer(s->f, clock_ms());
	failed(s, FETCH_NET, what, s->answer.retry_after_ms);
}

static void beyond(struct slot *s)
{
	fail_set(&s->f->why, FETCH_RANGE, "%s: --range %s reaches beyond the object", s->url.shown, s->f->o->range);
}

static void complete(struct slot *s)
{
	s->f->asking_rest = false;
	slot_stop(s);
}

static void not_modified(struct slot *s)
{
	s->f->unchanged = s->f->ended = true;
	slot_stop(s);
}

/* If-Match of S3 only allows: an answer that is whole in spite of it is no dislike of the condition. */
static void without_condition(struct slot *s)
{
	if (s->f->is_s3) {
		go_whole(s, "the server does not serve ranges any more");
		return;
	}
	s->f->no_if_range = true;
	again(s);
}

void course_end(struct slot *s, CURLcode result)
{
	struct fetch *f = s->f;

	course_of(f, s->part)->read_us += s->first_us ? clock_us() - s->first_us : 0;
	slot_flush(s);
	if (f->why.status != FETCH_OK)
		return;
	switch (s->verdict) {
	case V_NONE:            no_answer(s, result); break;
	case V_PART:
	case V_WHOLE:           body_over(s, result); break;
	case V_EMPTY:           empty(s); break;
	case V_COMPLETE:        complete(s); break;
	case V_END:             closed(s); break;
	case V_ANEW:            begin_anew(s); break;
	case V_CHANGED:         changed(s); break;
	case V_NOT_MODIFIED:    not_modified(s); break;
	case V_NO_IF_RANGE:     without_condition(s); break;
	case V_NO_RANGES:       go_whole(s, "the server does not serve ranges any more"); break;
	case V_BAD_RANGE:       bad_range(s); break;
	case V_BEYOND:          beyond(s); break;
	case V_REDIRECT:        follow(s); break;
	case V_RETRY:           refused_for_now(s); break;
	case V_REFUSED:         refused(s); break;
	case V_FATAL:           fatal(s); break;
	}
}

void course_stalled(struct slot *s)
{
	char what[64];

	snprintf(what, sizeof(what), "no byte for %g s", (double)s->f->o->stall_ms / 1000);
	curl_multi_remove_handle(s->f->multi, s->easy);
	s->state = SLOT_WAITING;
	failed(s, FETCH_NET, what, 0);
}
