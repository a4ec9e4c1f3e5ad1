/* SPDX-License-Identifier: MIT */
/* The loop: requests, what the writer has done, and clocks. Whatever waits, waits here or in slot.c for a buffer, and ends on a signal. */
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "clock.h"
#include "fetch.h"
#include "show.h"

#define TAKE_OVER_MS 2000       /* a small remainder that takes longer than this changes hands */
#define WINDOW_MS 1000          /* speeds are measured over this */

/* ---- what comes from the writer and from the user ----------------------------------------------------------------------- */

static void written(struct fetch *f, const struct work *work)
{
	jt_fetch_written(f->plan, work->part, work->len);
	course_of(f, work->part)->write_us += work->took_us;
	f->write_us += work->took_us;
	f->written += work->len;
}

static void take_one(struct fetch *f)
{
	struct work *work = writer_take(&f->writer);

	if (work->error)
		fail_set(&f->why, FETCH_IO, "cannot write %s: %s", f->target.name, strerror(work->error));
	else if (work->kind == WORK_WRITE && f->plan)
		written(f, work);
	else if (work->kind == WORK_MARK && f->saving) {
		f->saving = false;
		plan_save(f);
	}
	writer_return(&f->writer, work);
}

void net_take_done(struct fetch *f)
{
	uint64_t before = f->written;

	while (f->writer.given > 0 && post_wait(&f->writer.done, -1, 0))
		take_one(f);
	if (f->written != before)
		plan_sum(f);
}

bool net_interrupted(struct fetch *f)
{
	struct signalfd_siginfo info;

	if (f->signal == 0 && read(f->signal_fd, &info, sizeof(info)) == sizeof(info))
		f->signal = (int)info.ssi_signo;
	if (f->o->deadline_ms && clock_ms() - f->begun_ms >= f->o->deadline_ms)
		fail_set(&f->why, FETCH_DEADLINE, "%s: not done within the --deadline of %g s", f->first_url.shown, (double)f->o->deadline_ms / 1000);
	return f->signal != 0 || f->why.status == FETCH_DEADLINE;
}

int net_await(struct fetch *f, int patience_ms)
{
	int64_t until = patience_ms < 0 ? CLOCK_NEVER : clock_ms() + patience_ms;

	while (f->writer.given > 0) {
		int64_t left = until == CLOCK_NEVER ? 1000 : until - clock_ms();

		if (left <= 0 || (patience_ms < 0 && net_interrupted(f)))
			return -1;
		post_wait(&f->writer.done, patience_ms < 0 ? f->signal_fd : -1, (int)(left < 1000 ? left : 1000));
		net_take_done(f);
	}
	return f->why.status == FETCH_OK ? 0 : -1;
}

/* ---- slots and parts ------------------------------------------------------------------------------------------------- */

uint32_t net_open(const struct fetch *f)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < f->n_slots; i++)
		n += f->slot[i].state == SLOT_RUNNING;
	return n;
}

void net_drop_slots(struct fetch *f)
{
	for (uint32_t i = 0; i < f->n_slots; i++)
		if (f->slot[i].state != SLOT_FREE)
			slot_stop(&f->slot[i]);
}

static uint64_t lacking(const struct slot *s)
{
	const struct jt_fetch_part *p = plan_part(s->f, s->part);

	return p->end - p->at;
}

static void inherit(struct fetch *f, uint32_t from, uint32_t to)
{
	struct course old = *course_of(f, from), *new = course_of(f, to);

	new->attempts = old.attempts;
	new->fruitless = old.fruitless;
	new->bad = old.bad;
}

/* Its part can be shared: ranges are served, and its own has begun to come. */
static bool can_share(const struct slot *s)
{
	return s->state == SLOT_RUNNING && s->verdict == V_PART && s->part != JT_FETCH_NONE && lacking(s) > 0;
}

static struct slot *largest(struct fetch *f)
{
	struct slot *best = NULL;

	for (uint32_t i = 0; i < f->n_slots; i++)
		if (can_share(&f->slot[i]) && (!best || lacking(&f->slot[i]) > lacking(best)))
			best = &f->slot[i];
	return best;
}

/* One whose remainder, at its present speed, would take too long - and longer than with the stream that has become free. */
static bool is_slow(const struct fetch *f, const struct slot *s)
{
	return can_share(s) && s->speed != UINT64_MAX && lacking(s) * 1000 / TAKE_OVER_MS > s->speed && f->idle_speed > 2 * s->speed;
}

static uint32_t take_over(struct fetch *f)
{
	struct jt_error err;
	uint32_t new;

	for (uint32_t i = 0; i < f->n_slots; i++) {
		struct slot *s = &f->slot[i];

		if (!is_slow(f, s) || jt_fetch_take_over(f->plan, s->part, &new, &err) != 0)
			continue;
		inherit(f, s->part, new);
		slot_stop(s);
		return new;
	}
	return JT_FETCH_NONE;
}

/* A part for a stream that has nothing to do: half of the largest, or all of a small one that a slow stream would not bring in time. */
static uint32_t share(struct fetch *f)
{
	struct slot *owner = f->whole || f->one_by_one ? NULL : largest(f);
	struct jt_error err;
	uint32_t new;

	if (!owner)
		return JT_FETCH_NONE;
	return jt_fetch_halve(f->plan, owner->part, &new, &err) == 0 ? new : take_over(f);
}

static void begin(struct fetch *f, struct slot *s, uint32_t part)
{
	uint32_t open;

	s->part = part;
	f->attempts++;
	course_wait_over(s);
	open = net_open(f);
	if (open > f->streams_max)
		f->streams_max = open;
}

/* Until the first answer there is one request, or one that waits to be repeated. */
static bool may_begin(const struct fetch *f, const struct slot *s)
{
	if (f->plan && !f->asking_rest && f->answered)
		return net_open(f) < f->allowed;
	for (uint32_t i = 0; i < f->n_slots; i++)
		if (f->slot[i].state != SLOT_FREE && &f->slot[i] != s)
			return false;
	return true;
}

static void use_slot(struct fetch *f, struct slot *s)
{
	uint32_t part = JT_FETCH_NONE;

	if (s->state == SLOT_WAITING) {
		if (s->due_ms <= clock_ms())
			begin(f, s, s->part);
		return;
	}
	if (s->state == SLOT_RUNNING)
		return;
	if (f->plan && !f->asking_rest) {
		part = jt_fetch_take(f->plan);
		part = part == JT_FETCH_NONE ? share(f) : part;
		if (part == JT_FETCH_NONE)
			return;
	}
	begin(f, s, part);
}

/* Those that wait for their time have their part already: they go first. */
static void use_slots(struct fetch *f)
{
	for (int waiting = 1; waiting >= 0; waiting--)
		for (uint32_t i = 0; i < f->n_slots; i++)
			if ((f->slot[i].state == SLOT_WAITING) == waiting && may_begin(f, &f->slot[i]) && f->why.status == FETCH_OK)
				use_slot(f, &f->slot[i]);
}

/* Returns how many requests were over. */
static int take_ends(struct fetch *f)
{
	CURLMsg *msg;
	int left, n = 0;

	for (; f->why.status == FETCH_OK && (msg = curl_multi_info_read(f->multi, &left)); n++) {
		CURLcode result = msg->data.result;
		char *private;
		struct slot *s;

		curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &private);
		s = (struct slot *)(void *)private;
		curl_multi_remove_handle(f->multi, s->easy);
		s->state = SLOT_WAITING;
		s->due_ms = CLOCK_NEVER;
		course_end(s, result);
	}
	return n;
}

/* ---- clocks ---------------------------------------------------------------------------------------------------------- */

static void measure(struct slot *s, int64_t now)
{
	if (now - s->window_ms < WINDOW_MS)
		return;
	s->speed = (s->got - s->window_got) * 1000 / (uint64_t)(now - s->window_ms);
	s->window_got = s->got;
	s->window_ms = now;
}

static void look_at_slots(struct fetch *f, int64_t now)
{
	for (uint32_t i = 0; i < f->n_slots; i++) {
		struct slot *s = &f->slot[i];

		if (s->state != SLOT_RUNNING)
			continue;
		measure(s, now);
		if (now - s->last_ms >= f->o->stall_ms)
			course_stalled(s);
	}
}

/* What was received goes to the writer, then a mark; when the mark comes back, all of that is written and can be claimed. */
static void look_at_state(struct fetch *f, int64_t now)
{
	if (!f->plan || !f->keep.path || f->saving || f->end == OPEN_END || f->end - f->first - jt_fetch_lacking(f->plan) == f->saved_bytes)
		return;
	if (now - f->saved_ms < f->o->save_ms && f->written - f->saved_bytes < f->o->save_bytes)
		return;
	for (uint32_t i = 0; i < f->n_slots; i++)
		slot_flush(&f->slot[i]);
	f->saving = true;
	writer_ask(&f->writer, WORK_MARK, 0, NULL, 0);
}

static void look_at_clocks(struct fetch *f)
{
	int64_t now = clock_ms();

	net_interrupted(f);
	look_at_slots(f, now);
	look_at_state(f, now);
	course_more(f, now);
	if (now - f->beat_ms >= f->o->heartbeat_ms) {
		f->beat_ms = now;
		show_progress(f);
	}
}

static int64_t sooner(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static int64_t next_ms(const struct fetch *f, int64_t now)
{
	int64_t next = sooner(f->beat_ms + f->o->heartbeat_ms, now + WINDOW_MS);

	if (f->o->deadline_ms)
		next = sooner(next, f->begun_ms + f->o->deadline_ms);
	if (f->keep.path && f->plan)
		next = sooner(next, f->saved_ms + f->o->save_ms > now ? f->saved_ms + f->o->save_ms : now + WINDOW_MS);
	for (uint32_t i = 0; i < f->n_slots; i++) {
		const struct slot *s = &f->slot[i];

		if (s->state == SLOT_WAITING && may_begin(f, s))
			next = sooner(next, s->due_ms);
		if (s->state == SLOT_RUNNING)
			next = sooner(next, s->last_ms + f->o->stall_ms);
	}
	return next > now ? next - now : 0;
}

static void wait_for_something(struct fetch *f)
{
	struct curl_waitfd also[] = { { .fd = f->writer.done.out, .events = CURL_WAIT_POLLIN }, { .fd = f->signal_fd, .events = CURL_WAIT_POLLIN } };
	int ready;

	curl_multi_poll(f->multi, also, 2, (int)next_ms(f, clock_ms()), &ready);
}

void net_run(struct fetch *f)
{
	int running, ends;

	f->pay_from_ms = clock_ms();
	while (f->why.status == FETCH_OK && f->signal == 0 && !f->ended && !(plan_complete(f) && net_open(f) == 0)) {
		use_slots(f);
		curl_multi_perform(f->multi, &running);
		ends = take_ends(f);
		net_take_done(f);
		look_at_clocks(f);
		if (ends == 0 && f->why.status == FETCH_OK)
			wait_for_something(f);
	}
}
