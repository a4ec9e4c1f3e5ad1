/* SPDX-License-Identifier: MIT */
/* Wire - what the loop, the sessions and the runner call: which function of the engine each of their events means. See wire.h. */
#include "wire.h"

#include <event2/event.h>

#include "health.h"
#include "index.h"
#include "rpc.h"

static void turn(evutil_socket_t fd, short what, void *arg)
{
	struct engine *e = arg;

	(void)fd, (void)what;
	slots_fill(e);
	runner_link_flush(e->link);
	map_turn(e);
	notice_turn(e);
	stop_check(e);
}

static void runner_up(void *ctx, const struct rm_welcome *w, struct rm_end *inv, size_t n)
{
	recover_inventory(ctx, w, inv, n);
}

static void runner_down(void *ctx)
{
	((struct engine *)ctx)->ready = false;
}

static void runner_started(void *ctx, const struct rm_started *st)
{
	outcome_started(ctx, st);
}

static void runner_ended(void *ctx, struct rm_end *ends, size_t n)
{
	outcome_batch(ctx, ends, n);
}

static void runner_writable(void *ctx)
{
	send_all_picks(ctx);
	engine_turn(ctx);
}

static void session_closed(void *ctx, struct session *s)
{
	submit_session_closed(ctx, s);
}

void wire_engine(struct engine *e, const struct server_opts *opts)
{
	struct server_opts so = *opts;

	so.methods = rpc_methods;
	so.ctx = e;
	so.on_close = session_closed;
	e->began_ns = now_ns();
	e->names = index_new();
	e->keys = index_new();
	TAILQ_INIT(&e->lru);
	TAILQ_INIT(&e->map_news);
	TAILQ_INIT(&e->map_nexts);
	e->turn = event_new(e->base, -1, 0, turn, e);
	e->server = server_new(e->base, &so);
	health_start(e);
}

void wire_runner(struct engine *e, const struct runner_link_opts *opts)
{
	struct runner_link_opts lo = *opts;

	lo.ctx = e;
	lo.on_up = runner_up;
	lo.on_down = runner_down;
	lo.on_started = runner_started;
	lo.on_ended = runner_ended;
	lo.on_writable = runner_writable;
	e->link = runner_link_new(e->base, &lo);
}
