/* SPDX-License-Identifier: MIT */
/* What the daemon says of a map: that it has begun, the ends of items, pieces of what they wrote, and what others want of it. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "call.h"
#include "map/end_status.h"
#include "map/endings.h"
#include "map/loop.h"
#include "map/remote.h"
#include "proto/base64.h"
#include "proto/varlink.h"
#include "status.h"
#include "talk.h"

static const char *text_of(const json_t *o, const char *name)
{
	const char *text = json_string_value(json_object_get(o, name));

	return text ? text : "";
}

static uint64_t number_of(const json_t *o, const char *name)
{
	return (uint64_t)json_integer_value(json_object_get(o, name));
}

/* The task that has the tag now; NULL: it has left. */
static struct task *find(struct remote *r, uint64_t tag)
{
	struct task *t = &r->stage->task[tag % r->stage->window.size];

	return tag && t->there.tag == tag && (t->state == TASK_RUNS || t->state == TASK_READS) ? t : NULL;
}

/* ---- outputs ---- */

static void hand_on(struct remote *r, struct task *t, struct task_stream *s, const char *data, size_t n)
{
	struct map_loop *l = r->stage->loop;

	if (chunks_put(&l->store, s == &t->there.err ? &t->err : &t->out, data, n) < 0)
		loop_io_failed(l, "the spool", l->set->spool_dir);
}

/* The part of a piece that is new: after jobd was away, or when a small output comes whole, some of it may be here. */
static void take(struct remote *r, struct task *t, struct task_stream *s, uint64_t offset, const char *b64)
{
	size_t len = strlen(b64), n;
	char *data = xcalloc(1, len + 1);

	if (base64_decode(b64, len, data, &n) == 0 && offset <= s->at && offset + n > s->at) {
		size_t known = (size_t)(s->at - offset);

		hand_on(r, t, s, data + known, n - known);
		s->at = offset + n;
	}
	free(data);
}

/* A part that has ended is all here: the next one may begin, or the item has ended. */
static void gathered(struct remote *r, struct task *t)
{
	bool is_last = t->part_at + t->n_parts >= task_parts(t);

	if (!t->there.gathers || !task_is_whole(t))
		return;
	t->there.gathers = false;
	r->n_gathers--;
	if (!is_last)
		remote_tell_delivered(r, t->there.tag);
	if (is_last && t->there.all_known)
		stage_task_known(t);
	else
		stage_task_ended(t);
}

static void gather(struct remote *r, struct task *t)
{
	t->there.gathers = true;
	r->n_gathers++;
	gathered(r, t);
}

static void hear_data(struct remote *r, const json_t *d)
{
	struct task *t = find(r, number_of(d, "tag"));
	struct task_stream *s;

	if (!t)
		return;
	s = strcmp(text_of(d, "stream"), "err") == 0 ? &t->there.err : &t->there.out;
	take(r, t, s, number_of(d, "offset"), text_of(d, "data_b64"));
	if (json_is_true(json_object_get(d, "eof"))) {
		s->ended = true;
		s->asked = 0;
		if (s->size != UINT64_MAX && s->at < s->size)
			endings_tell_lost(t, s->size - s->at);
	}
	if (t->state == TASK_READS && task_is_whole(t))
		stage_task_whole(t);
	else
		gathered(r, t);
}

/* ---- ends ---- */

/* Of "E2BIG: cannot execute ...". */
static int spawn_error(const char *message)
{
	static const struct { const char *name; int error; } known[] = { { "E2BIG:", E2BIG }, { "ENOENT:", ENOENT }, { "ENOTDIR:", ENOTDIR } };

	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		if (strncmp(message, known[i].name, strlen(known[i].name)) == 0)
			return known[i].error;
	return EACCES;
}

static int spawn_status(const char *message)
{
	int error = spawn_error(message);

	return error == E2BIG ? TASK_E2BIG : error == EACCES ? 126 : 127;
}

static int status_of(const json_t *e)
{
	const char *reason = text_of(e, "reason");

	if (strcmp(reason, "exit") == 0)
		return (int)number_of(e, "exit_code");
	if (strcmp(reason, "signal") == 0)
		return TASK_SIGNAL + (int)number_of(e, "signal");
	if (strcmp(reason, "spawn") == 0)
		return spawn_status(text_of(e, "message"));
	if (strcmp(reason, "timeout") == 0)
		return TASK_TIMEOUT;
	return strcmp(reason, "output") == 0 ? TASK_OUTPUT : TASK_LOST;
}

static bool was_stopped(const json_t *e)
{
	const char *reason = text_of(e, "reason");

	return strcmp(reason, "cancelled") == 0 || strcmp(reason, "stopped") == 0;
}

static void take_end(struct remote *r, struct task *t, const json_t *e)
{
	t->attempt = (uint32_t)number_of(e, "attempts");
	t->start = json_number_value(json_object_get(e, "started_at"));
	t->end = json_number_value(json_object_get(e, "ended_at"));
	t->there.out.size = number_of(e, "out_bytes");
	t->there.err.size = number_of(e, "err_bytes");
	if (t->silent) {
		chunks_drop(&t->stage->loop->store, &t->out);   /* of earlier parts */
		chunks_drop(&t->stage->loop->store, &t->err);
		t->there.out.ended = t->there.err.ended = true;
		return;
	}
	take(r, t, &t->there.out, 0, text_of(e, "out_b64"));
	if (!t->there.err.ended)
		take(r, t, &t->there.err, 0, text_of(e, "err_b64"));
}

/* An earlier client delivered it, and no further stage needs it. */
static bool was_delivered(const struct task *t, const json_t *e)
{
	return t->stage->last && json_is_true(json_object_get(e, "delivered")) && t->stage->loop->set->resume != RESUME_ALL;
}

/* Of a batch in parts all but the last are delivered when they are here, and that one when all has left: if none ran again the whole had left. */
static bool is_silent(const struct task *t, const json_t *e)
{
	if (t->n_parts == 0)
		return was_delivered(t, e);
	if (t->there.whole_silent)
		return true;
	return t->there.all_known && t->part_at + t->n_parts >= task_parts(t) && was_delivered(t, e);
}

/* It could not be executed. The one that is too long as a whole stays with the daemon until its parts have left. */
static void not_started(struct remote *r, struct task *t, int error)
{
	if (error == E2BIG && task_can_divide(t) && t->n_parts == 0) {
		t->there.whole_tag = t->there.tag;
		t->there.whole_silent = t->silent;
		t->there.all_known = true;
	} else if (error == E2BIG && task_can_divide(t)) {
		remote_tell_delivered(r, t->there.tag);
	}
	stage_task_not_started(t, error);
}

static void ended(struct remote *r, struct task *t, const json_t *e)
{
	struct stage *s = r->stage;
	bool known = json_is_true(json_object_get(e, "known"));

	t->there.all_known = t->there.all_known && known;
	t->silent = is_silent(t, e);
	take_end(r, t, e);
	t->why = was_stopped(e) ? TASK_STOPPED : 0;
	t->status = status_of(e);
	if (!t->why && strcmp(text_of(e, "reason"), "spawn") == 0 && (!t->silent || (t->status == TASK_E2BIG && task_can_divide(t)))) {
		not_started(r, t, spawn_error(text_of(e, "message")));
		return;
	}
	s->ever_started = true;
	s->n.retried += t->attempt > 1 && !known ? t->attempt - 1 : 0;
	if (t->n_parts > 0 && !t->why)
		gather(r, t);
	else if (known && !t->why)
		stage_task_known(t);
	else
		stage_task_ended(t);
}

static void hear_ended(struct remote *r, const json_t *list)
{
	const json_t *e;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)list, i, e) {
		struct task *t = find(r, number_of(e, "tag"));

		if (t && t->state == TASK_RUNS && !t->there.gathers)    /* not one that jobd tells again */
			ended(r, t, e);
	}
	remote_put_waiting(r);
}

/* ---- the map ---- */

static void hear_begin(struct remote *r, const json_t *p)
{
	uint64_t next = number_of(p, "next_tag");

	if (r->run == 0) {
		r->run = json_integer_value(json_object_get(p, "run"));
		r->n_tags = next / r->stage->window.size + 1;
		if (json_is_true(json_object_get(p, "resumed")) && json_is_false(json_object_get(p, "same_command")))
			mention("the map %s has results of another command only: nothing of it matches", r->stage->name);
	}
	remote_began(r, json_object_get(p, "in_hand"));
}

/* `jobctl map stop`: as SIGTERM to us. */
static void hear_stop(struct remote *r, const char *how)
{
	struct map_loop *l = r->stage->loop;

	if (strcmp(how, "drain") == 0) {
		loop_stop(l, JTI_DRAINS, 0);
		return;
	}
	if (l->exit_status == 0 && l->signal == 0) {
		mention("stopped by `jobctl map stop`");
		l->signal = SIGTERM;
	}
	loop_stop(l, JTI_STOPPED, 0);
}

/* What the daemon lacks holds items up: whoever waits for them is told, of each thing once. */
static void hear_trouble(struct remote *r, const char *text)
{
	struct map_loop *l = r->stage->loop;

	if (l->trouble && strcmp(l->trouble, text) == 0)
		return;
	free(l->trouble);
	l->trouble = xstrdup(text);
	mention("the daemon is degraded: %s", text);
}

static void hear_done(struct remote *r)
{
	r->state = REMOTE_OVER;
	peer_close(&r->peer);
	if (!r->is_ending)
		remote_give_up(r, complain(CTL_REFUSED, "the daemon has ended the map"));
}

static void hear_reply(struct remote *r, const json_t *p)
{
	const json_t *stop = json_object_get(p, "stop"), *data = json_object_get(p, "data"), *trouble = json_object_get(p, "trouble");

	if ((r->state == REMOTE_ASKS || r->state == REMOTE_AWAY) && json_is_integer(json_object_get(p, "run")))
		hear_begin(r, p);
	if (r->state == REMOTE_ASKS && json_is_true(json_object_get(p, "ending")))
		remote_waits_for_end(r);
	hear_ended(r, json_object_get(p, "ended"));
	if (json_is_object(data))
		hear_data(r, data);
	if (json_is_string(trouble))
		hear_trouble(r, json_string_value(trouble));
	if (json_is_string(stop))
		hear_stop(r, json_string_value(stop));
	if (json_is_true(json_object_get(p, "done")))
		hear_done(r);
}

/* A jobd that is just back may have no room yet: again_ev is pending. What is over already, when it was to be ended once more, is as it should be. */
static void hear_error(struct remote *r, const struct vl_reply *reply)
{
	if (r->state == REMOTE_AWAY && call_status(reply->error) == CTL_BUSY)
		peer_close(&r->peer);
	else if (r->is_ending && r->run)
		hear_done(r);
	else
		remote_give_up(r, call_failed(reply));
}

void remote_hear(void *arg, const char *text, size_t len)
{
	struct remote *r = arg;
	struct vl_reply reply;
	struct vl_why why;
	json_t *msg = vl_parse(text, len, &why);

	if (!msg || vl_reply_read(msg, &reply, &why) < 0) {
		remote_give_up(r, complain(CTL_NO_DAEMON, "the daemon said what is no reply: %s", why.text));
		return;
	}
	if (reply.error)
		hear_error(r, &reply);
	else
		hear_reply(r, reply.params);
	vl_reply_done(&reply);
}
