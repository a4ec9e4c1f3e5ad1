/* SPDX-License-Identifier: MIT */
/*
 * Items on standard input that are too large for one call: they are told part by part, as the connection takes them, and then put. Tags grow, so
 * what is started meanwhile waits in a queue behind them, and is put in its turn.
 *
 * What has been told and has not ended takes room on jobd's disk: --spool-bytes of it, but one item always may.
 */
#include <inttypes.h>

#include "map/loop.h"
#include "map/remote.h"

#define LARGE ((size_t)256 << 10)
#define PART ((size_t)510 << 10)                /* a multiple of 3; as base64 in a call of 1 MiB */

bool remote_is_large(const struct task *t)
{
	return t->stage->set->item_on_stdin && t->item->len > LARGE;
}

static uint64_t bytes_in_hand(const struct stage *s)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < s->window.size; i++)
		if (s->task[i].state == TASK_RUNS && s->task[i].there.is_put && remote_is_large(&s->task[i]))
			n += s->task[i].item->len;
	return n;
}

static bool has_room(const struct remote *r, const struct task *t)
{
	uint64_t n = bytes_in_hand(r->stage);

	return n == 0 || n + t->item->len <= r->stage->loop->set->spool_bytes;
}

/* False: the rest of it has to wait. */
static bool tell_parts(struct remote *r, struct task *t)
{
	if (!t->there.tag) {
		if (!has_room(r, t))
			return false;
		remote_tell_all(r);     /* smaller tags go first */
		remote_new_tag(r, t);
		r->input_at = 0;
	}
	while (r->input_at < t->item->len) {
		size_t left = t->item->len - r->input_at, n = left < PART ? left : PART;

		peer_flush(&r->peer);
		if (peer_is_behind(&r->peer))
			return false;
		remote_tell_input(r, t, r->input_at, n);
		r->input_at += n;
	}
	return true;
}

void remote_put_waiting(struct remote *r)
{
	struct task *t;

	while (r->state == REMOTE_ON && (t = STAILQ_FIRST(&r->waiting))) {
		if (remote_is_large(t)) {
			if (!tell_parts(r, t))
				return;
		} else {
			remote_new_tag(r, t);
		}
		STAILQ_REMOVE_HEAD(&r->waiting, next_waiting);
		remote_tell_put(r, t);
		t->there.is_put = true;
	}
}

void remote_put(struct remote *r, struct task *t)
{
	STAILQ_INSERT_TAIL(&r->waiting, t, next_waiting);
	remote_put_waiting(r);
}

/* Those of which nothing has been put end here: the daemon does not know them. */
void remote_drop_waiting(struct remote *r)
{
	struct task *t;

	while ((t = STAILQ_FIRST(&r->waiting))) {
		STAILQ_REMOVE_HEAD(&r->waiting, next_waiting);
		t->there.tag = 0;
		stage_task_lost(t);
	}
}
