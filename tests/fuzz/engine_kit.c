/* SPDX-License-Identifier: MIT */
/* See engine_kit.h. The order of coming up is that of daemon/main.c. */
#include "engine_kit.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz.h"
#include "log.h"
#include "wire.h"

#define SLOTS 4

static struct engine e;
static char dir[64], runner_socket[96];

/* ---- coming up ------------------------------------------------------------------------------------------------------ */

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
				  .description = "interface org.jobd" };

	e.base = event_base_new();
	wire_engine(&e, &so);
}

static void start_store_and_runner(void)
{
	struct runner_link_opts lo = { .socket_path = runner_socket, .state_dir = dir };
	struct store_error err;

	fake_runner_listen(e.base, runner_socket);
	e.store = store_open(dir, &err);
	must(e.store && recover(&e, &err) == 0);
	wire_runner(&e, &lo);
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
