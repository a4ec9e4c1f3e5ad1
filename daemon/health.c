/* SPDX-License-Identifier: MIT */
/* Health - see health.h. */
#include <event2/event.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine.h"
#include "health.h"
#include "log.h"
#include "map.h"
#include "notify.h"
#include "rpc.h"

#define NS_PER_MS INT64_C(1000000)
#define NS_PER_S INT64_C(1000000000)
#define BACKOFF_MIN_MS 10
#define BACKOFF_MAX_MS 1000
#define LOOK_AGAIN_MS 250               /* while something is lacking */
#define LOOKS_IN_PATIENCE 4
#define QUIET_NS (2 * NS_PER_S)         /* what comes and goes has gone when it has not come for so long */
#define LOOK_MAX_MS 2500

struct state {
	bool on;
	int64_t since_us;
	char text[400];
};

struct health {
	struct state states[TROUBLE_N];
	struct event *look, *fork_again;
	struct backoff fork;
	int64_t refused_at_ns;          /* the last time that a process could not be made */
	int64_t patience_ns, watchdog_ns;
	uint64_t answered;              /* operations of the store, when they were counted last */
	int64_t answered_at_ns;
};

static const struct {
	const char *name;
	bool holds_starts;
	bool is_warning;        /* nothing that has been taken is held up */
} kinds[] = {
	[TROUBLE_DISK_FULL] = { .name = "disk-full", .holds_starts = true },
	[TROUBLE_OUTPUTS] = { .name = "outputs", .holds_starts = true },
	[TROUBLE_RUNNER] = { .name = "runner", .holds_starts = true },
	[TROUBLE_FORK] = { .name = "fork" },             /* the back-off does */
	[TROUBLE_DESCRIPTORS] = { .name = "descriptors" },
	[TROUBLE_STALLED] = { .name = "stalled" },       /* a start waits for its commit anyway */
	[TROUBLE_LOW_DISK] = { .name = "low-disk", .is_warning = true },
	[TROUBLE_BUDGET] = { .name = "budget" },
};
_Static_assert(sizeof(kinds) / sizeof(*kinds) == TROUBLE_N, "a trouble without a row");

/* ---- what is told --------------------------------------------------------------------------------------------------- */

const char *health_text(const struct engine *e)
{
	for (int i = 0; i < TROUBLE_N; i++)
		if (e->health->states[i].on)
			return e->health->states[i].text;
	return NULL;
}

json_t *health_json(const struct engine *e)
{
	json_t *all = json_array();

	for (int i = 0; i < TROUBLE_N; i++) {
		const struct state *s = &e->health->states[i];

		if (s->on)
			json_array_append_new(all, json_pack("{s:s, s:o, s:o}", "what", kinds[i].name, "text", json_lossy(s->text), "since",
							     json_time(s->since_us)));
	}
	return all;
}

static void tell_systemd(const struct engine *e)
{
	const char *text = health_text(e);

	if (e->stopping || e->draining)
		return;
	if (text)
		notify_send("STATUS=Degraded: %.400s", text);
	else
		notify_send("STATUS=Serving %.400s", e->socket_path);
}

static void look_soon(struct engine *e)
{
	struct timeval tv = { 0, LOOK_AGAIN_MS * 1000 };

	evtimer_add(e->health->look, &tv);
}

void health_begin(struct engine *e, enum trouble what, const char *fmt, ...)
{
	struct state *s = &e->health->states[what];
	va_list ap;

	if (s->on)
		return;
	s->on = true;
	s->since_us = now_us();
	va_start(ap, fmt);
	vsnprintf(s->text, sizeof(s->text), fmt, ap);
	va_end(ap);
	if (kinds[what].is_warning)
		log_warn("degraded: %s", s->text);
	else
		log_error("degraded: %s", s->text);
	map_tell_trouble(e, s->text);
	tell_systemd(e);
	look_soon(e);
}

void health_end(struct engine *e, enum trouble what)
{
	struct state *s = &e->health->states[what];

	if (!s->on)
		return;
	s->on = false;
	log_info("no longer degraded (%s)", kinds[what].name);
	tell_systemd(e);
	send_all_picks(e);
	engine_turn(e);
}

/* The store has found out: a write has failed. */
static bool notice_full(struct engine *e)
{
	const char *full = store_trouble(e->store);

	if (full)
		health_begin(e, TROUBLE_DISK_FULL, "%s", full);
	return full != NULL;
}

/* Nothing had to be written, so the store does not know. */
static bool notice_low(struct engine *e)
{
	bool is_short = store_is_short(e->store);

	if (is_short)
		health_begin(e, TROUBLE_LOW_DISK, "hardly any room is left in %s: submissions are refused until there is", e->state_dir);
	return is_short;
}

void health_notice_disk(struct engine *e)
{
	if (!notice_full(e))
		notice_low(e);
}

/* ---- starts that are held up ---------------------------------------------------------------------------------------- */

void backoff_more(struct backoff *b, int64_t now_ns)
{
	int64_t ms = (int64_t)BACKOFF_MIN_MS << (b->n < 7 ? b->n : 7);

	b->n++;
	b->until_ns = now_ns + (ms > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : ms) * NS_PER_MS;
}

/* Who is held up is the first to know that the disk is full, and must not be forgotten when it is not any more. */
bool health_holds_starts(struct engine *e)
{
	notice_full(e);
	for (int i = 0; i < TROUBLE_N; i++)
		if (e->health->states[i].on && kinds[i].holds_starts)
			return true;
	return e->health->fork.until_ns != 0;
}

static void fork_again(evutil_socket_t fd, short what, void *arg)
{
	struct engine *e = arg;

	(void)fd, (void)what;
	e->health->fork.until_ns = 0;
	send_all_picks(e);
	engine_turn(e);
}

/* Of starts that were on their way together, all come back: that is one refusal. */
void health_cannot_fork(struct engine *e, int code)
{
	struct health *h = e->health;
	struct timeval tv;
	int64_t wait_ns;

	h->refused_at_ns = now_ns();
	health_begin(e, TROUBLE_FORK, "the runner cannot start processes: %s; jobs wait until it can", strerror(code));
	if (h->fork.until_ns)
		return;
	backoff_more(&h->fork, now_ns());
	wait_ns = h->fork.until_ns - now_ns();
	tv = (struct timeval){ wait_ns / NS_PER_S, wait_ns % NS_PER_S / 1000 };
	evtimer_add(h->fork_again, &tv);
}

/* Whether the trouble is over is another question: where processes are few, one ends and the next one can be made. */
void health_forks(struct engine *e)
{
	if (!e->health->fork.n)
		return;
	evtimer_del(e->health->fork_again);
	e->health->fork.n = 0;
	fork_again(-1, 0, e);
}

/* ---- the look ------------------------------------------------------------------------------------------------------- */

static void look_at_disk(struct engine *e)
{
	bool full = notice_full(e);

	if (!full)
		health_end(e, TROUBLE_DISK_FULL);
	if (full || !notice_low(e))
		health_end(e, TROUBLE_LOW_DISK);
}

static void look_at_outputs(struct engine *e)
{
	if (e->health->states[TROUBLE_OUTPUTS].on && output_probe(e))
		health_end(e, TROUBLE_OUTPUTS);
}

/* It owes answers and has given none for long. On a full disk that is as it should be. */
static void look_at_store(struct engine *e, int64_t now)
{
	struct health *h = e->health;
	struct store_stats st;

	store_stats(e->store, &st);
	if (!st.queued || st.operations != h->answered || store_trouble(e->store)) {
		h->answered = st.operations;
		h->answered_at_ns = now;
		health_end(e, TROUBLE_STALLED);
	} else if (now - h->answered_at_ns > h->patience_ns) {
		health_begin(e, TROUBLE_STALLED, "the database does not answer: %zu operations have waited for %.0f s; is the disk of %s well?", st.queued,
			     (double)(now - h->answered_at_ns) / 1e9, e->state_dir);
	}
}

static void look_at_runner(struct engine *e, int64_t now)
{
	const char *why = runner_link_why(e->link);
	int64_t silent_ns;

	runner_link_ping(e->link, now);
	silent_ns = runner_link_silent_ns(e->link, now);
	if (silent_ns > e->health->patience_ns)
		health_begin(e, TROUBLE_RUNNER, "jobd-runner does not answer%s%s; nothing is started until it does, what runs goes on",
			     *why ? ": " : "", why);
	else if (silent_ns == 0)
		health_end(e, TROUBLE_RUNNER);
}

static void look_at_forks(struct engine *e, int64_t now)
{
	struct health *h = e->health;

	if (!h->states[TROUBLE_FORK].on || h->fork.until_ns || now - h->refused_at_ns < QUIET_NS)
		return;
	h->fork.n = 0;
	health_end(e, TROUBLE_FORK);
}

static void look_at_descriptors(struct engine *e)
{
	int64_t ms = server_out_of_fds_ms(e->server);

	if (ms >= 0 && ms < QUIET_NS / NS_PER_MS)
		health_begin(e, TROUBLE_DESCRIPTORS, "no file descriptor is free: connections wait until one is; see LimitNOFILE in systemd.exec(5)");
	else
		health_end(e, TROUBLE_DESCRIPTORS);
}

static void feed_watchdog(const struct engine *e)
{
	const struct health *h = e->health;

	if (h->watchdog_ns && !h->states[TROUBLE_STALLED].on && !h->states[TROUBLE_RUNNER].on)
		notify_send("WATCHDOG=1");
}

static void arm_look(struct engine *e)
{
	const struct health *h = e->health;
	int64_t ms = h->patience_ns / LOOKS_IN_PATIENCE / NS_PER_MS;
	struct timeval tv;

	ms = ms > LOOK_MAX_MS ? LOOK_MAX_MS : ms < 1 ? 1 : ms;
	if (health_text(e) && ms > LOOK_AGAIN_MS)
		ms = LOOK_AGAIN_MS;
	tv = (struct timeval){ ms / 1000, ms % 1000 * 1000 };
	evtimer_add(h->look, &tv);
}

static void look(evutil_socket_t fd, short what, void *arg)
{
	struct engine *e = arg;
	int64_t now = now_ns();

	(void)fd, (void)what;
	if (e->stop)
		engine_turn(e);
	look_at_disk(e);
	look_at_outputs(e);
	look_at_store(e, now);
	look_at_runner(e, now);
	look_at_forks(e, now);
	look_at_descriptors(e);
	feed_watchdog(e);
	arm_look(e);
}

/* ---- life ----------------------------------------------------------------------------------------------------------- */

void health_start(struct engine *e)
{
	struct health *h = xcalloc(1, sizeof(*h));

	h->look = xtimer(e->base, look, e);
	h->fork_again = xtimer(e->base, fork_again, e);
	h->answered_at_ns = now_ns();
	h->patience_ns = LOOK_MAX_MS * NS_PER_MS;
	e->health = h;
}

void health_watch(struct engine *e, uint32_t patience_s)
{
	struct health *h = e->health;

	h->watchdog_ns = notify_watchdog_us() * 1000;
	h->patience_ns = patience_s * NS_PER_S;
	if (h->watchdog_ns && h->patience_ns > h->watchdog_ns / 2)
		h->patience_ns = h->watchdog_ns / 2;
	look(-1, 0, e);
}
