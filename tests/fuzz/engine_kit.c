/* SPDX-License-Identifier: MIT */
/* See engine_kit.h. The order of coming up is that of daemon/main.c. */
#include "engine_kit.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz.h"
#include "health.h"
#include "index.h"
#include "log.h"
#include "rpc.h"

#define SLOTS 4

static struct engine e;
static char dir[64], runner_socket[96];

/* ---- coming up ------------------------------------------------------------------------------------------------------ */

static void turn(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what, (void)arg;
	slots_fill(&e);
	runner_link_flush(e.link);
	notice_turn(&e);
	stop_check(&e);
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

static void make_places(void)
{
	struct stat st;

	must(snprintf(dir, sizeof(dir), "%s/jobd-fuzz-XXXXXX", stat("/dev/shm", &st) == 0 ? "/dev/shm" : "/tmp") > 0);
	must(mkdtemp(dir));
	must(snprintf(runner_socket, sizeof(runner_socket), "%s/runner.sock", dir) > 0);
	e.state_dir = e.socket_path = dir;
	e.fetch_program = "/bin/true";
	e.state_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	must(e.state_fd >= 0 && mkdirat(e.state_fd, "out", 0700) == 0);
	e.out_fd = openat(e.state_fd, "out", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	must(e.out_fd >= 0);
}

static void remove_places(void)
{
	char command[sizeof(dir) + 16];

	must(snprintf(command, sizeof(command), "rm -rf %s", dir) > 0);
	must(system(command) == 0);
}

static void start_engine(void)
{
	struct server_opts so = { .vendor = "jobd", .product = "jobd", .version = "0", .url = "u", .interface = "org.jobd",
				  .description = "interface org.jobd", .methods = rpc_methods, .ctx = &e, .on_close = session_closed };

	e.base = event_base_new();
	e.began_ns = now_ns();
	e.names = index_new();
	e.keys = index_new();
	TAILQ_INIT(&e.lru);
	e.turn = event_new(e.base, -1, 0, turn, &e);
	e.server = server_new(e.base, &so);
	health_start(&e);
}

static void start_store_and_runner(void)
{
	struct runner_link_opts lo = { .socket_path = runner_socket, .state_dir = dir, .ctx = &e, .on_up = runner_up, .on_down = runner_down,
				       .on_started = runner_started, .on_ended = runner_ended, .on_writable = runner_writable };
	struct store_error err;

	stub_runner_listen(e.base, runner_socket);
	e.store = store_open(dir, &err);
	must(e.store && recover(&e, &err) == 0);
	e.link = runner_link_new(e.base, &lo);
	must(recover_jobs(&e, &err) == 0 && store_start(e.store, e.base, &err) == 0);
	e.sweep = sweep_new(e.base, e.out_fd, output_found, &e);
	while (!e.ready)
		event_base_loop(e.base, EVLOOP_ONCE);
}

bool engine_kit_checks;

void engine_kit_leave(int status)
{
	remove_places();
	_exit(status);
}

struct engine *engine_kit(void)
{
	if (e.base)
		return &e;
	signal(SIGPIPE, SIG_IGN);
	log_set_level(LOG_LEVEL_ERROR);
	conf_init(&e.conf);
	e.conf.slots = e.slots = SLOTS;
	make_places();
	atexit(remove_places);
	start_engine();
	start_store_and_runner();
	return &e;
}

/* ---- between inputs -------------------------------------------------------------------------------------------------- */

static void settled(struct store_op *op)
{
	*(bool *)op->arg = true;
}

void engine_kit_settle(void)
{
	bool done = false;

	engine_settled(&e, settled, &done);
	while (!done)
		event_base_loop(e.base, EVLOOP_ONCE);
	event_base_loop(e.base, EVLOOP_NONBLOCK);
}

static void cancel_or_remove(struct run *r)
{
	struct req_error err = { 0 };
	uint32_t n;

	if (run_is_final(r))
		(void)control_remove(r, &err);
	else if (r->sched)
		(void)control_cancel(r, NULL, true, &n, &err);
	engine_turn(&e);
}

/* Runs are numbered upwards: those of this input are at the end. */
static size_t clear_some(uint32_t from)
{
	size_t n = 0;

	for (uint32_t i = from; i < e.n_runs_cap && i < e.next_run; i++)
		if (e.runs[i]) {
			cancel_or_remove(e.runs[i]);
			n++;
		}
	return n;
}

void engine_kit_clear(void)
{
	static uint32_t from = 1;

	if (e.stop)
		engine_kit_settle();
	free(e.stop);
	e.stop = NULL;
	e.draining = e.stopping = false;
	while (clear_some(from))
		engine_kit_settle();
	from = e.next_run;
	must(e.n_active == 0 && e.n_running == 0 && LIST_EMPTY(&e.bulks));
}
