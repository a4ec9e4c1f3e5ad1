/* SPDX-License-Identifier: MIT */
/* The life of a map in the daemon: begun, lost and found again, ended. */
#include "map/remote.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conn.h"
#include "map/end_status.h"
#include "map/loop.h"
#include "starter.h"
#include "status.h"
#include "talk.h"

#define AWAY_NS INT64_C(10000000000)            /* so long jobd may be gone */
#define AGAIN_NS INT64_C(50000000)              /* between two attempts to find it: nothing tells when a socket is there */
#define ENDING_NS INT64_C(2000000000)           /* an earlier map may take to end before we say that we wait for it */
#define START_NS INT64_C(500000000)             /* until we start it ourselves, where we may */

uint32_t remote_window(const struct stage_settings *set)
{
	return set->unit > 0 ? 2 * set->window : set->window;
}

bool remote_is_over(const struct remote *r)
{
	return r->state == REMOTE_OVER;
}

bool remote_is_behind(const struct remote *r)
{
	return r->keys && (r->state != REMOTE_ON || peer_is_behind(&r->peer));
}

int remote_meet(struct remote *r, struct task *t)
{
	return r->keys ? keys_make(r->keys, t) : 0;
}

/* ---- lost and found ---- */

static void over(struct remote *r)
{
	peer_close(&r->peer);
	evtimer_del(r->again_ev);
	STAILQ_INIT(&r->waiting);
	r->state = REMOTE_OVER;
}

void remote_give_up(struct remote *r, int exit_status)
{
	struct stage *s = r->stage;

	over(r);
	for (uint32_t i = 0; i < s->window.size; i++)
		if (s->task[i].state == TASK_RUNS)
			stage_task_lost(&s->task[i]);
	loop_remote_failed(s->loop, exit_status);
}

static void is_lost(struct remote *r)
{
	if (r->is_ending && !r->keys) {         /* it was all delivered, and jobd forgets the rest by itself */
		over(r);
		return;
	}
	if (r->stage->loop->exit_status == 0)   /* no other stage has said it */
		complain(MAP_DAEMON_LOST, "the daemon went away and is not back after 10 seconds%s", r->keys ?
			 "; what it had accepted is not lost: start it, and go on with the same command and --resume" :
			 ", so the map ends; with --name it could be resumed later");
	remote_give_up(r, MAP_DAEMON_LOST);
}

/* The user's own has nobody else who would do it. Not at once: it may be on its way back, as in an upgrade. */
static void start_again(struct remote *r, const struct vl_error *err)
{
	bool is_absent = err->code == VL_ECONNECT && (err->sys_errno == ENOENT || err->sys_errno == ECONNREFUSED);

	if (!is_absent || r->has_started || loop_now_ns() - r->away_ns < START_NS || !conn_is_own(r->stage->loop->set->options, r->socket))
		return;
	r->has_started = true;
	(void)starter_run(r->socket);           /* complains; the 10 seconds go on */
}

static void seek(struct remote *r)
{
	struct timeval tv = loop_timeval(AGAIN_NS);
	struct vl_conn *conn;
	struct vl_error err;

	if (loop_now_ns() - r->away_ns > AWAY_NS) {
		is_lost(r);
		return;
	}
	evtimer_add(r->again_ev, &tv);          /* also while it does not answer */
	if (peer_is_connected(&r->peer))
		return;
	conn = vl_connect(r->socket, 0, &err);
	if (!conn) {
		start_again(r, &err);
		return;
	}
	peer_connect(&r->peer, dup(vl_conn_fd(conn)));
	vl_close(conn);
	(void)remote_tell_map(r);               /* it was accepted once */
}

static void on_again(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	seek(arg);
}

static void on_gone(void *arg)
{
	struct remote *r = arg;

	if (r->state == REMOTE_AWAY)            /* again_ev is pending */
		return;
	r->away_ns = loop_now_ns();
	r->has_started = false;
	r->state = REMOTE_AWAY;
	STAILQ_INIT(&r->waiting);
	r->puts.len = r->left.len = 0;          /* the next jobd says what it has */
	seek(r);
}

static void on_room(void *arg)
{
	remote_put_waiting(arg);
}

/* ---- begun, or found again ---- */

/* What the daemon has is marked, and what it has of ours that has left meanwhile, while nobody heard it, is told again. */
static void mark(struct remote *r, const json_t *in_hand)
{
	const json_t *one;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)in_hand, i, one) {
		uint64_t tag = (uint64_t)json_integer_value(one);
		struct task *t = &r->stage->task[tag % r->stage->window.size];

		if (t->state != TASK_FREE && t->there.tag == tag)
			t->there.in_hand = true;
		else if (t->state != TASK_FREE && t->there.whole_tag == tag)
			t->there.whole_in_hand = true;
		else if (r->first_tag > 0 && tag >= r->first_tag)
			remote_tell_delivered(r, tag);
	}
}

void remote_new_tag(struct remote *r, struct task *t)
{
	t->there.tag = r->n_tags++ * r->stage->window.size + t->place;
}

static int by_seq(const void *a, const void *b)
{
	const struct task *x = *(struct task *const *)a, *y = *(struct task *const *)b;

	return x->seq < y->seq ? -1 : x->seq > y->seq;
}

/* Whether the daemon has to be told of t, again or for the first time. What it does not have by a tag has none any more. */
static bool is_lacking(struct task *t)
{
	struct task_there *there = &t->there;

	there->out.asked = there->err.asked = 0;
	there->tag = there->in_hand ? there->tag : 0;
	there->whole_tag = there->whole_in_hand ? there->whole_tag : 0;
	there->is_put = there->tag != 0;
	there->in_hand = there->whole_in_hand = false;
	return there->tag == 0 && (t->state == TASK_RUNS || t->state == TASK_READS);
}

static void put_again(struct remote *r)
{
	struct stage *s = r->stage;
	struct task **list = xcalloc(s->window.size, sizeof(*list));
	size_t n = 0;

	for (uint32_t i = 0; i < s->window.size; i++)
		if (is_lacking(&s->task[i]))
			list[n++] = &s->task[i];
	qsort(list, n, sizeof(*list), by_seq);
	for (size_t i = 0; i < n; i++) {
		if (r->stop == REMOTE_GOES_ON)
			remote_put(r, list[i]);
		else if (list[i]->state == TASK_RUNS)
			stage_task_lost(list[i]);
	}
	free(list);
}

void remote_began(struct remote *r, const json_t *in_hand)
{
	evtimer_del(r->again_ev);
	evtimer_del(r->ending_ev);
	r->state = REMOTE_ON;
	mark(r, in_hand);
	if (r->first_tag == 0)
		r->first_tag = r->n_tags * r->stage->window.size;
	r->live = false;
	if (r->stop != REMOTE_GOES_ON)
		remote_tell_stop(r);
	put_again(r);
	remote_tell_all(r);
	if (r->is_ending)
		remote_end(r, r->failed);
}

/* ---- begin and end ---- */

static void on_live(evutil_socket_t fd, short what, void *arg)
{
	struct remote *r = arg;

	(void)fd, (void)what;
	r->live = true;
}

static void on_still_ending(evutil_socket_t fd, short what, void *arg)
{
	struct remote *r = arg;

	(void)fd, (void)what;
	mention("the map %s is just ending: it goes on when its last commands have ended", r->stage->loop->set->name);
}

void remote_waits_for_end(struct remote *r)
{
	struct timeval tv = loop_timeval(ENDING_NS);

	evtimer_add(r->ending_ev, &tv);
}

static int connect_to(struct remote *r, const struct options *o)
{
	struct vl_conn *conn;
	int rc = conn_open_at(o, CONN_MAY_START, &conn, &r->socket);

	if (rc)
		return rc;
	peer_connect(&r->peer, dup(vl_conn_fd(conn)));
	vl_close(conn);
	return remote_tell_map(r);
}

int remote_new(struct stage *s, struct remote **ret)
{
	struct remote *r = xcalloc(1, sizeof(*r));

	*ret = r;
	*r = (struct remote){ .stage = s, .n_tags = 1 };
	r->peer = (struct peer){ .base = s->loop->base, .on_frame = remote_hear, .on_room = on_room, .on_gone = on_gone, .arg = r };
	STAILQ_INIT(&r->waiting);
	r->again_ev = evtimer_new(s->loop->base, on_again, r);
	r->live_ev = evtimer_new(s->loop->base, on_live, r);
	r->ending_ev = evtimer_new(s->loop->base, on_still_ending, r);
	if (s->loop->set->name) {
		r->keys = keys_new(s->set, s->number);
		if (!r->keys)
			return complain(MAP_IO_ERROR, "what was seen cannot be noted: %s", strerror(errno));
	}
	return connect_to(r, s->loop->set->options);
}

void remote_free(struct remote *r)
{
	if (!r)
		return;
	peer_close(&r->peer);
	keys_free(r->keys);
	event_free(r->again_ev);
	event_free(r->live_ev);
	event_free(r->ending_ev);
	buf_done(&r->puts);
	buf_done(&r->left);
	free(r->socket);
	free(r);
}

void remote_end(struct remote *r, bool failed)
{
	r->is_ending = true;
	r->failed = failed;
	if (r->state != REMOTE_ON)
		return;
	r->state = REMOTE_ENDS;
	remote_tell_end(r, failed);
}
