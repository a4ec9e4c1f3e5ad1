/* SPDX-License-Identifier: MIT */
#include "map/stage.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "map/endings.h"
#include "map/loop.h"
#include "map/remote.h"
#include "status.h"
#include "talk.h"

#define RESOURCES_NS INT64_C(100000000)         /* processes or memory are lacking: try again after so long */

/* ---- the head ---- */

bool stage_may_be_silent(const struct task *t)
{
	return t->state == TASK_RUNS && t->n_parts > 0 && t->there.all_known && t->stage->loop->set->resume != RESUME_NOT;
}

/* What it has written stays as it is. */
static bool is_final(const struct task *t)
{
	const struct map_loop *l = t->stage->loop;

	if (stage_may_be_silent(t))
		return false;
	return t->state == TASK_READS || ((!l->keeps || l->set->grouping != GROUP_ITEMS) && t->attempt > t->stage->set->retry.max);
}

bool stage_can_stream(const struct task *t)
{
	return t->stage->last && t->stage->loop->set->out != OUT_JSONL && is_final(t);
}

static struct task *oldest(struct stage *s, enum task_state state)
{
	struct task *found = NULL;

	for (uint32_t i = 0; i < s->window.size; i++) {
		struct task *t = &s->task[i];

		if (t->state == state && (!found || t->seq < found->seq))
			found = t;
	}
	return found;
}

/* Unordered and no room at all: the oldest one leaves before its end, lest all wait for each other. */
static void choose_live(struct stage *s)
{
	if (!s->live && s->n_paused > 0 && STAILQ_EMPTY(&s->ended) && !chunk_store_has_room(&s->loop->store))
		s->live = oldest(s, TASK_RUNS);
}

static struct task *next_in_order(struct stage *s)
{
	const struct jti_window *w = &s->window;

	return w->n_taken < w->c.admitted ? &s->task[w->todo[w->n_taken % w->size]] : NULL;
}

struct task *stage_first(struct stage *s)
{
	if (s->ordered)
		return next_in_order(s);
	choose_live(s);
	return s->live ? s->live : STAILQ_FIRST(&s->ended);
}

struct task *stage_head(struct stage *s)
{
	struct task *t = stage_first(s);

	if (!t || t->state == TASK_ENDED)
		return t;
	return (t->state == TASK_RUNS || t->state == TASK_READS) && stage_can_stream(t) ? t : NULL;
}

bool stage_has_results(struct stage *s)
{
	const struct task *t = stage_first(s);

	return stage_head(s) || (t && t->state == TASK_READS);
}

bool stage_leaves(struct task *t)
{
	return stage_can_stream(t) && stage_first(t->stage) == t;
}

/* The first one is to be tried again, and nothing but that makes room. */
static bool needs_a_slot(struct stage *s)
{
	const struct task *t = stage_first(s);

	return t && t->state == TASK_WAITS && t->attempt > 0 && !chunk_store_has_room(&s->loop->store);
}

/* Whose output is read though there is no room: of the first one, or, where that lacks a slot, of the oldest that has one. */
static struct task *passes(struct stage *s)
{
	return s->n_free_slots == 0 && needs_a_slot(s) ? oldest(s, TASK_RUNS) : stage_first(s);
}

bool stage_may_read(struct task *t)
{
	struct stage *s = t->stage;

	if (chunk_store_has_room(&s->loop->store))
		return true;
	return passes(s) == t && (!stage_leaves(t) || t->out.bytes + t->err.bytes < CHUNK_MAX);
}

static void place_free(struct stage *s, struct task *t)
{
	if (s->live == t)
		s->live = NULL;
	chunks_drop(&s->loop->store, &t->out);
	chunks_drop(&s->loop->store, &t->err);
	chunks_drop(&s->loop->store, &t->gone);
	t->line.len = 0;
	t->state = TASK_FREE;
}

void stage_deliver(struct stage *s, struct task *t)
{
	struct jt_map_result r;

	endings_tell(t);
	if (!s->ordered && s->live == t)
		s->live = NULL;
	else if (!s->ordered)
		STAILQ_REMOVE_HEAD(&s->ended, next_ended);
	jti_window_finish(&s->window, t->place, t->status, (struct jt_item){ 0 });
	jti_window_take(&s->window, &r);
	jti_window_delivered(&s->window);
	jt_map_result_done(&r);
	s->home->leave(t);
	place_free(s, t);
	s->n.delivered++;
}

/* ---- the end of an attempt ---- */

static bool is_retried(const struct stage *s, const struct task *t)
{
	int kind = t->status;

	if (kind == 0 || kind == TASK_E2BIG || kind == TASK_NUL || !jti_course_starts(&s->course))
		return false;
	if (kind == TASK_TIMEOUT)
		kind = RETRY_TIMEOUT;
	else if (kind >= TASK_SIGNAL)
		kind = RETRY_SIGNAL;
	return s->set->retry_on[kind];
}

static uint64_t random_bits(struct stage *s)
{
	s->rnd ^= s->rnd << 13;
	s->rnd ^= s->rnd >> 7;
	return s->rnd ^= s->rnd << 17;
}

static void slot_free(struct stage *s, struct task *t)
{
	s->free_slot[s->n_free_slots++] = t->slot;
	s->n.running--;
}

static bool try_again(struct stage *s, struct task *t)
{
	int64_t now = loop_now_ns(), delay;

	if (s->remote || !is_retried(s, t))     /* the daemon has tried again by itself */
		return false;
	delay = jt_retry_delay(&s->set->retry, t->attempt, now - t->first_ns, random_bits(s));
	if (delay < 0)
		return false;
	place_free(s, t);
	t->state = TASK_WAITS;
	t->part_at = 0;
	s->n.retried++;
	jti_window_backoff(&s->window, t->place, now + delay);
	return true;
}

static void count_end(struct stage *s, struct task *t, enum task_state state)
{
	t->state = state;
	if (!s->ordered && s->live != t)
		STAILQ_INSERT_TAIL(&s->ended, t, next_ended);
	s->n.finished++;
	s->n.failed += t->status != 0;
}

/* The same place in the order, without a process and a slot. */
static void end_as_recorded(struct stage *s, struct task *t)
{
	struct map_loop *l = s->loop;

	t->silent = t->silent && l->set->resume != RESUME_ALL;
	if (log_load(l->log, t, &l->store, !t->silent) < 0) {
		loop_log_failed(l);
		t->state = TASK_CUT_OFF;
		return;
	}
	s->n.known++;
	count_end(s, t, TASK_ENDED);
}

/* Nothing of it may leave before it is recorded. */
static bool is_recorded(struct map_loop *l, struct task *t)
{
	if (!l->log)
		return true;
	if (log_finish(l->log, t, &l->store) == 0) {
		chunks_drop(&l->store, &t->gone);
		return true;
	}
	loop_log_failed(l);
	return false;
}

static void end(struct stage *s, struct task *t)
{
	if (!is_recorded(s->loop, t)) {
		t->state = TASK_CUT_OFF;
		return;
	}
	count_end(s, t, task_is_whole(t) ? TASK_ENDED : TASK_READS);
	loop_item_ended(s->loop, s);
}

void stage_task_known(struct task *t)
{
	slot_free(t->stage, t);
	if (t->earlier)
		t->status = t->earlier;
	t->stage->n.known++;
	count_end(t->stage, t, t->silent || task_is_whole(t) ? TASK_ENDED : TASK_READS);
}

void stage_task_whole(struct task *t)
{
	t->state = TASK_ENDED;
}

void stage_task_lost(struct task *t)
{
	slot_free(t->stage, t);
	t->state = TASK_CUT_OFF;
}

static void attempt_ended(struct stage *s, struct task *t)
{
	slot_free(s, t);
	if (t->earlier)
		t->status = t->earlier;
	if (t->why == TASK_STOPPED)
		t->state = TASK_CUT_OFF;
	else if (!try_again(s, t))
		end(s, t);
}

static void begin(struct stage *s, struct task *t, int earlier);

void stage_task_ended(struct task *t)
{
	size_t all = task_parts(t);

	if (t->n_parts > 0 && t->part_at + t->n_parts < all && !t->why) {
		t->part_at += t->n_parts;
		if (t->part_at + t->n_parts > all)
			t->n_parts = all - t->part_at;
		begin(t->stage, t, t->status);
		return;
	}
	attempt_ended(t->stage, t);
}

/* ---- the start ---- */

/* One word with blanks in it is what other tools take, which use a shell. */
static void cannot_execute(struct stage *s, const char *why, int exit_status)
{
	const struct stage_settings *set = s->set;
	bool is_text = !set->shell && set->n_words == 1 && strchr(set->words[0], ' ');

	if (s->loop->exit_status == 0)
		complain(exit_status, "cannot start \"%s\": %s%s", set->shell ? "/bin/sh" : set->words[0], why, is_text ? "; a text for the shell needs --shell" : "");
	loop_stop(s->loop, JTI_STOPPED, exit_status);
}

/* Of a batch that is too long for exec the first half starts; the rest follows it. */
static bool halve(struct task *t)
{
	size_t unit = t->stage->set->unit;

	if (!task_can_divide(t))
		return false;
	t->n_parts = (t->n_parts ? t->n_parts : task_parts(t) - t->part_at) / unit / 2 * unit;
	return true;
}

static void did_not_start(struct stage *s, struct task *t, int error)
{
	if ((error == EAGAIN || error == ENOMEM || error == EMFILE || error == ENFILE) && jti_course_starts(&s->course)) {
		slot_free(s, t);
		place_free(s, t);
		t->state = TASK_WAITS;
		t->attempt--;
		jti_window_backoff(&s->window, t->place, loop_now_ns() + RESOURCES_NS);
		return;
	}
	if (error == E2BIG || error == EILSEQ)
		t->status = error == E2BIG ? TASK_E2BIG : TASK_NUL;
	else
		t->status = error == ENOENT || error == ENOTDIR ? 127 : 126;
	if (t->status < TASK_SIGNAL && !s->ever_started) {
		t->why = TASK_STOPPED;
		cannot_execute(s, strerror(error), t->status);
	}
	t->end = t->start;
	stage_task_ended(t);
}

/* earlier: the status of the parts of it that have run already. */
static void begin(struct stage *s, struct task *t, int earlier)
{
	int rc;

	t->status = 0;
	do
		rc = s->home->start(t);
	while (rc == E2BIG && halve(t));
	t->earlier = earlier ? earlier : t->earlier;
	if (rc == 0)
		s->ever_started = s->ever_started || !s->remote;
	else
		did_not_start(s, t, rc);
}

void stage_task_not_started(struct task *t, int error)
{
	if (error == E2BIG && halve(t))
		begin(t->stage, t, 0);
	else
		did_not_start(t->stage, t, error);
}

static void start(struct stage *s, uint32_t place, int64_t now)
{
	struct task *t = &s->task[place];

	if (t->recorded) {
		end_as_recorded(s, t);
		return;
	}
	t->slot = s->free_slot[--s->n_free_slots];
	t->state = TASK_RUNS;
	t->attempt++;
	t->part_at = t->n_parts = 0;
	t->earlier = 0;
	if (t->attempt == 1)
		t->first_ns = now;
	s->n.running++;
	gate_passed(&s->loop->gate, s->loop->set, now);
	begin(s, t, 0);
}

static void arm_due(struct stage *s, int64_t in_ns)
{
	struct timeval tv = loop_timeval(in_ns > 0 ? in_ns : 0);

	evtimer_add(s->due_ev, &tv);
}

static bool start_all(struct stage *s)
{
	bool moved = false;

	while (jti_course_starts(&s->course) && s->n_free_slots > 0) {
		int64_t now = loop_now_ns(), due = jti_window_due_ns(&s->window), wait;
		uint32_t place;

		if (due > now && (s->window.n_begun == s->window.c.admitted || needs_a_slot(s))) {
			if (due != JT_NEVER)
				arm_due(s, due - now);
			break;
		}
		wait = gate_wait_ns(&s->loop->gate, s->loop->set, now);
		if (wait > 0) {
			arm_due(s, wait);
			break;
		}
		place = jti_window_start(&s->window, now);
		if (due > now && due != JT_NEVER)
			arm_due(s, due - now);
		start(s, place, now);
		moved = true;
	}
	return moved;
}

/* ---- admission ---- */

static void source_close(struct stage *s)
{
	if (!s->source_closed && s->source.close)
		s->source.close(s->source.arg);
	s->source_closed = true;
}

static void wait_for_source(struct stage *s)
{
	int fd = s->source.fd ? s->source.fd(s->source.arg) : -1;

	if (fd < 0) {                   /* the stage before us: the pump asks again; of a batch that lingers, at the latest when that is over */
		if (s->set->batches && s->set->batch.linger_ns > 0) {
			struct timeval tv = loop_timeval(s->set->batch.linger_ns);

			event_add(s->source_ev, &tv);
		}
		return;
	}
	event_assign(s->source_ev, s->loop->base, fd, EV_READ, event_get_callback(s->source_ev), s);
	event_add(s->source_ev, NULL);
	s->waits_for_source = true;
}

static void on_source(evutil_socket_t fd, short what, void *arg)
{
	struct stage *s = arg;

	(void)fd, (void)what;
	s->waits_for_source = false;
}

static void admit(struct stage *s, struct jt_item item)
{
	uint32_t place = s->window.unused[s->window.n_unused - 1];
	struct task *t = &s->task[place];

	jti_window_admit(&s->window, item);
	t->stage = s;
	t->state = TASK_WAITS;
	t->seq = s->window.c.admitted;
	t->place = place;
	t->attempt = 0;
	t->item = &s->window.place[place].r.item;
	t->recorded = t->silent = t->has_folder = false;
	t->there = (struct task_there){ 0 };
	if (s->remote && remote_meet(s->remote, t) < 0)
		loop_io_failed(s->loop, "the file of keys", NULL);
	if (s->loop->log) {
		int met = log_meet(s->loop->log, t, &t->silent);

		t->recorded = met > 0;
		if (met < 0)
			loop_log_failed(s->loop);
	}
}

/* What waits to leave takes all the room there is: more of it would not help. */
static bool has_room(const struct stage *s)
{
	bool holds = s->window.c.admitted > s->window.c.delivered;

	return jti_window_has_room(&s->window) && (!holds || chunk_store_has_room(&s->loop->store));
}

static bool admit_all(struct stage *s)
{
	bool moved = false;

	while (jti_course_pulls(&s->course) && !s->waits_for_source && has_room(s)) {
		struct jt_item item;
		int rc = s->source.next(s->source.arg, &item);

		if (rc == -EAGAIN) {
			wait_for_source(s);
			break;
		}
		moved = true;
		if (rc == 1)
			admit(s, item);
		else
			jti_course_source_ended(&s->course, rc);
		start_all(s);
	}
	return moved;
}

bool stage_pump(struct stage *s)
{
	bool moved = start_all(s);

	moved = admit_all(s) || moved;
	if (!jti_course_pulls(&s->course))
		source_close(s);        /* here, as a stop may come out of its next() */
	s->home->read_on(s);
	return moved;
}

/* ---- the end ---- */

void stage_stop(struct stage *s, int how)
{
	jti_course_stop(&s->course, how);
	event_del(s->source_ev);
	s->waits_for_source = false;
	if (how == JTI_DRAINS)
		return;
	for (uint32_t i = 0; i < s->window.size; i++)
		s->home->tell_to_end(&s->task[i], TASK_STOPPED);
}

void stage_kill(struct stage *s)
{
	for (uint32_t i = 0; i < s->window.size; i++)
		s->home->kill(&s->task[i]);
}

bool stage_is_over(struct stage *s)
{
	if (jti_course_pulls(&s->course) || s->n.running > 0)
		return false;
	return s->window.c.delivered == s->window.c.admitted || (!jti_course_starts(&s->course) && !stage_has_results(s));
}

static void on_due(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what, (void)arg;        /* the pump does the rest */
}

static void name_it(struct stage *s)
{
	const char *name = s->loop->set->name;

	if (name && s->number > 1)
		s->name = xasprintf("%s.%zu", name, s->number);
	else if (name)
		s->name = xstrdup(name);
	s->env_name = name ? xasprintf("JOBD_MAP=%s", s->name) : xasprintf("JOBD_MAP=local-%ld", (long)getpid());
}

int stage_init(struct stage *s, struct map_loop *loop, const struct stage_settings *set, const struct jt_source *source)
{
	enum jt_map_order order = loop->set->ordered ? JT_MAP_ORDERED : JT_MAP_UNORDERED;

	*s = (struct stage){ .loop = loop, .home = loop->set->local ? &task_here : &task_there, .set = set, .source = *source, .ordered = loop->set->ordered };
	s->number = (size_t)(s - loop->stage) + 1;
	s->last = s->number == loop->set->n_stages;
	name_it(s);
	s->n_slots = s->n_free_slots = loop->set->local ? set->slots : set->window;
	STAILQ_INIT(&s->ended);
	s->source_ev = event_new(loop->base, -1, EV_READ, on_source, s);
	s->due_ev = evtimer_new(loop->base, on_due, s);
	s->task = xcalloc(set->window, sizeof(*s->task));
	s->free_slot = xcalloc(s->n_slots, sizeof(*s->free_slot));
	s->rnd = (uint64_t)loop_now_ns() | 1;
	for (uint32_t i = 0; i < s->n_slots; i++)
		s->free_slot[i] = s->n_slots - 1 - i;
	for (uint32_t i = 0; i < set->window; i++) {
		s->task[i].stage = s;
		chunks_init(&s->task[i].out);
		chunks_init(&s->task[i].err);
		chunks_init(&s->task[i].gone);
	}
	if (jti_window_init(&s->window, set->window, order) < 0)
		return complain(CTL_USAGE, "there is no memory for a window of %u items", set->window);
	return loop->set->local ? 0 : remote_new(s, &s->remote);
}

void stage_done(struct stage *s)
{
	for (uint32_t i = 0; s->task && i < s->set->window; i++)
		s->home->clear(&s->task[i]);
	remote_free(s->remote);
	source_close(s);
	if (s->source_ev)
		event_free(s->source_ev);
	if (s->due_ev)
		event_free(s->due_ev);
	jti_window_done(&s->window);
	free(s->task);
	free(s->free_slot);
	free(s->name);
	free(s->env_name);
}
