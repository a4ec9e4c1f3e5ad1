/* SPDX-License-Identifier: MIT */
/*
 * Calls: each is answered in its turn. Replies of the oldest call under way go to the socket; those of younger ones are held until
 * all before them have ended. A oneway call has no reply, so it has no turn either: it is over as soon as it has ended, also behind a stream
 * that goes on, and does not count among those that the session waits for.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "server_impl.h"

static bool is_oldest(const struct call *c)
{
	return TAILQ_FIRST(&c->s->calls) == c;
}

static void release(struct call *c)
{
	struct session *s = c->s;

	TAILQ_REMOVE(&s->calls, c, link);
	s->n_calls--;
	if (c->held)
		evbuffer_free(c->held);
	json_decref(c->msg);
	free(c);
}

/* ---- bytes -------------------------------------------------------------------------------------------------------- */

static void free_text(const void *text, size_t len, void *arg)
{
	(void)len, (void)arg;
	free((void *)(uintptr_t)text);
}

/* Where the replies of c go now. */
static struct evbuffer *output_of(struct call *c)
{
	if (is_oldest(c))
		return c->s->out;
	if (!c->held)
		c->held = evbuffer_new();
	if (!c->held)
		abort();
	return c->held;
}

/* A lone reply, however large, is no lag. */
static bool lags(const struct session *s, size_t more)
{
	return s->queued && s->queued + more > s->srv->opts.out_max;
}

/* Takes text. */
static void put_text(struct call *c, char *text, size_t len)
{
	struct session *s = c->s;

	c->spoke_at_ms = server_now_ms();
	if (s->is_leaving) {
		free(text);
	} else if (lags(s, len)) {
		free(text);
		session_doom(s, "it does not read its replies");
	} else {
		if (evbuffer_add_reference(output_of(c), text, len, free_text, NULL) < 0)
			abort();
		s->queued += len;
		if (is_oldest(c))
			session_flush(s);
	}
}

/* Takes msg. */
static void put(struct call *c, json_t *msg)
{
	bool unheard = c->flags & VL_ONEWAY;
	size_t len = 0;
	char *text = msg && !unheard ? vl_pack(msg, &len) : NULL;

	json_decref(msg);
	if (unheard)
		return;
	if (!text)
		abort();
	put_text(c, text, len);
}

/* The replies of calls whose turn has come. */
static void advance(struct session *s)
{
	struct call *c;

	while ((c = TAILQ_FIRST(&s->calls))) {
		if (c->held)
			evbuffer_add_buffer(s->out, c->held);
		if (!c->ended)
			break;
		release(c);
	}
	session_flush(s);
	session_progress(s);
}

static void end(struct call *c, json_t *msg)
{
	struct session *s = c->s;

	assert(!c->ended);
	put(c, msg);
	c->ended = true;
	c->on_abort = NULL;
	c->on_drain = NULL;
	c->heartbeat = NULL;
	if (is_oldest(c)) {
		advance(s);
	} else if (c->flags & VL_ONEWAY) {
		release(c);
		session_progress(s);
	}
}

/* ---- the beginning and the end ------------------------------------------------------------------------------------- */

void call_begin(struct session *s, json_t *msg, const struct vl_call *vl)
{
	struct call *c = calloc(1, sizeof(*c));

	if (!c)
		abort();
	c->s = s;
	c->msg = msg;
	c->params = vl->params ? vl->params : s->srv->no_params;
	c->flags = vl->flags;
	if (!server_streams(s->srv, vl->method))
		c->flags &= ~(unsigned)VL_MORE;
	c->spoke_at_ms = server_now_ms();
	TAILQ_INSERT_TAIL(&s->calls, c, link);
	s->n_calls++;
	server_dispatch(c, vl->method);
}

void call_abort(struct call *c)
{
	if (c->on_abort && !c->ended)
		c->on_abort(c->on_abort_arg, c);
	release(c);
}

void call_continue(struct call *c, json_t *params)
{
	assert(call_wants_more(c));
	put(c, vl_reply_new(params, true));
}

void call_continue_text(struct call *c, char *text, size_t len)
{
	assert(call_wants_more(c) && len > 0 && !text[len - 1]);
	put_text(c, text, len);
}

void call_reply(struct call *c, json_t *params)
{
	end(c, vl_reply_new(params, false));
}

void call_error(struct call *c, const char *error, json_t *params)
{
	end(c, vl_error_new(error, params));
}

void call_invalid(struct call *c, const char *parameter)
{
	json_t *params = json_object();

	if (!params || json_object_set_new(params, "parameter", json_string(parameter)) < 0)
		abort();
	call_error(c, SERVER_INVALID_PARAMETER, params);
}

/* ---- streams ------------------------------------------------------------------------------------------------------ */

struct session *call_session(const struct call *c)
{
	return c->s;
}

bool call_wants_more(const struct call *c)
{
	return c->flags & VL_MORE;
}

bool call_is_full(const struct call *c)
{
	return session_is_full(c->s);
}

void call_on_drain(struct call *c, void (*fn)(void *arg, struct call *c), void *arg)
{
	c->on_drain = fn;
	c->on_drain_arg = arg;
	session_flush(c->s);
}

void call_on_abort(struct call *c, void (*fn)(void *arg, struct call *c), void *arg)
{
	c->on_abort = fn;
	c->on_abort_arg = arg;
}

void call_set_heartbeat(struct call *c, json_t *(*make)(void *arg), void *arg)
{
	c->heartbeat = make;
	c->heartbeat_arg = arg;
}

/* The oldest call that waits for room, or NULL. */
static struct call *first_waiting(const struct session *s)
{
	struct call *c;

	TAILQ_FOREACH(c, &s->calls, link)
		if (c->on_drain)
			return c;
	return NULL;
}

bool call_drain_due(const struct session *s)
{
	return s->queued <= s->srv->opts.out_max / 4 && first_waiting(s);
}

/* One after the other: what is told may end its call, fill the session, and wait anew (until the next time). */
void call_drained(struct session *s)
{
	for (uint32_t n = s->n_calls; n > 0 && !s->is_leaving && call_drain_due(s); n--) {
		struct call *c = first_waiting(s);
		void (*fn)(void *arg, struct call *c) = c->on_drain;

		c->on_drain = NULL;
		fn(c->on_drain_arg, c);
	}
}

void call_beat(struct call *c, int64_t now_ms)
{
	if (!c->heartbeat || c->ended || !call_wants_more(c) || call_is_full(c))
		return;
	if (now_ms - c->spoke_at_ms >= (int64_t)c->s->srv->opts.heartbeat_s * 1000)
		call_continue(c, c->heartbeat(c->heartbeat_arg));
}
