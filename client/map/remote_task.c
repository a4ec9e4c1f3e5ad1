/* SPDX-License-Identifier: MIT */
/* What a stage asks of tasks that are in the daemon: to begin, to end, and what they have written as it can leave. */
#include <errno.h>
#include <stdlib.h>

#include "map/errors.h"
#include "map/loop.h"
#include "map/remote.h"

#define LIVE_NS INT64_C(10000000)               /* a head that ends sooner says all in its end */
#define READ_BYTES UINT64_C(131072)             /* of one output, here and asked for, while it leaves */
#define GATHER_BYTES UINT64_C(1048576)          /* and of one that is wanted whole */

/* ---- reading ---- */

static void read_stream(struct remote *r, struct task *t, const char *name, struct task_stream *s, uint64_t waiting, uint64_t max)
{
	uint64_t left = s->size - s->at;

	if (s->ended || left == 0 || s->asked > s->at || waiting >= max)
		return;
	max -= waiting;
	remote_tell_read(r, t, name, s, left < max ? left : max);
}

static void read_task(struct remote *r, struct task *t, bool streams)
{
	uint64_t max = streams ? READ_BYTES : GATHER_BYTES;

	if (!t->there.is_put)
		return;
	read_stream(r, t, "out", &t->there.out, streams ? t->out.bytes : 0, max);
	if (r->stage->loop->set->err != STDERR_MERGE && r->stage->loop->set->err != STDERR_DROP)
		read_stream(r, t, "err", &t->there.err, 0, max);
}

/* A head that runs is asked for what it writes only if it does not end at once. */
static void watch_head(struct remote *r, const struct task *head)
{
	struct timeval tv = loop_timeval(LIVE_NS);

	if (head && head->seq == r->head_seq && head->state == TASK_RUNS)
		return;
	r->head_seq = head ? head->seq : 0;
	r->live = false;
	if (head && head->state == TASK_RUNS && stage_can_stream(head))
		evtimer_add(r->live_ev, &tv);
	else
		evtimer_del(r->live_ev);
}

/* Lines, or whatever comes, of all that run at once. */
static void read_all(struct remote *r)
{
	struct stage *s = r->stage;

	for (uint32_t i = 0; i < s->window.size; i++) {
		struct task *t = &s->task[i];

		if ((t->state == TASK_RUNS || t->state == TASK_READS) && t->there.tag && stage_can_stream(t))
			read_task(r, t, true);
	}
}

static void gather(struct remote *r)
{
	for (uint32_t i = 0; r->n_gathers > 0 && i < r->stage->window.size; i++)
		if (r->stage->task[i].state == TASK_RUNS && r->stage->task[i].there.gathers)
			read_task(r, &r->stage->task[i], false);
}

static void read_on(struct stage *s)
{
	struct remote *r = s->remote;
	struct task *head = stage_first(s);

	if (r->state != REMOTE_ON)
		return;
	remote_tell_all(r);                     /* what is read has to be there */
	if (s->loop->set->grouping != GROUP_ITEMS && (!s->ordered || s->loop->set->grouping == GROUP_NOT))
		read_all(r);
	watch_head(r, head);
	if (head)
		errors_pass(head);
	if (head && (head->state == TASK_READS || (head->state == TASK_RUNS && r->live)))
		read_task(r, head, stage_can_stream(head));
	gather(r);
	peer_flush(&r->peer);
}

/* ---- what a stage asks ---- */

static int start(struct task *t)
{
	struct remote *r = t->stage->remote;
	size_t n;
	struct jt_bytes *words = task_words(t, &n);
	const struct task_stream fresh = { .size = UINT64_MAX };

	if (!words)
		return EILSEQ;
	free(words);
	t->why = 0;
	t->start = loop_epoch_now();
	if (!remote_can_carry(t))
		return E2BIG;
	t->there = (struct task_there){ .out = fresh, .err = fresh, .whole_tag = t->there.whole_tag, .whole_silent = t->there.whole_silent,
					 .all_known = t->there.all_known };
	if (t->stage->loop->set->err == STDERR_MERGE || t->stage->loop->set->err == STDERR_DROP)
		t->there.err.ended = true;
	if (r->state == REMOTE_ON)
		remote_put(r, t);
	return 0;
}

static void stop(struct remote *r, enum remote_stop how)
{
	if (r->stop >= how)
		return;
	r->stop = how;
	if (r->state == REMOTE_ON) {
		remote_tell_stop(r);
		remote_drop_waiting(r);
	} else if (how == REMOTE_KILLS) {
		remote_give_up(r, 0);
	}
}

static void tell_to_end(struct task *t, int why)
{
	(void)why;
	if (t->state == TASK_RUNS)
		stop(t->stage->remote, REMOTE_TERMINATES);
}

static void kill_it(struct task *t)
{
	if (t->state == TASK_RUNS)
		stop(t->stage->remote, REMOTE_KILLS);
}

static void leave(struct task *t)
{
	struct remote *r = t->stage->remote;

	errors_pass(t);
	if (r->state != REMOTE_ON)
		return;                         /* remote_began tells it */
	if (t->there.tag)
		remote_tell_delivered(r, t->there.tag);
	if (t->there.whole_tag)
		remote_tell_delivered(r, t->there.whole_tag);
}

static void clear(struct task *t)
{
	chunks_drop(&t->stage->loop->store, &t->out);
	chunks_drop(&t->stage->loop->store, &t->err);
	buf_done(&t->line);
}

const struct task_home task_there = { start, tell_to_end, kill_it, read_on, leave, clear };
