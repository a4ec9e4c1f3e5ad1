/* SPDX-License-Identifier: MIT */
/*
 * jobd - the daemon: the order of coming up and going down, and what signals do in between.
 *
 *   lock -> database -> runs -> store thread -> socket -> runner -> ready          (an orderly end goes the other way)
 */
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config.h"
#include "endpoint.h"
#include "failpoint.h"
#include "interface.h"
#include "lock.h"
#include "log.h"
#include "notify.h"
#include "options.h"
#include "place.h"
#include "restore.h"
#include "rpc.h"
#include "wire.h"

#define DRAIN_MS 2000                   /* at the end: for clients to take their last replies */

struct daemon {
	struct engine e;
	struct options at;
	int lock_fd;
	int n_passed;                   /* listening sockets that somebody else has opened for us */
	bool own_socket;                /* bound by us: to be removed at the end */
	struct event *term, *intr, *hup;
};

/* ---- the state directory ---------------------------------------------------------------------------------------------- */

/* The folder of the outputs; -1 errno. */
static int open_out(int state_fd)
{
	if (mkdirat(state_fd, "out", 0700) < 0 && errno != EEXIST)
		return -1;
	return openat(state_fd, "out", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static int open_state(struct daemon *d)
{
	struct engine *e = &d->e;

	if (place_make_dirs(d->at.state) < 0 || (e->state_fd = place_open_dir(d->at.state, PLACE_OURS)) < 0) {
		log_error("state directory %s: %s", d->at.state, errno == EPERM ? "it belongs to another user, or others can write to it; "
			  "give a --state of your own, mode 0700" : errno == ENOTDIR ? "Not a directory; a link is not followed" : strerror(errno));
		return -1;
	}
	d->lock_fd = lock_take(e->state_fd, d->at.state);
	if (d->lock_fd < 0)
		return -1;
	e->out_fd = open_out(e->state_fd);
	if (e->out_fd < 0) {
		log_error("%s/out: %s", d->at.state, strerror(errno));
		return -1;
	}
	spares_open(&e->spares, e->out_fd);
	e->state_dir = d->at.state;
	e->socket_path = d->at.socket;
	e->fetch_program = d->at.fetch;
	return 0;
}

/* ---- configuration -------------------------------------------------------------------------------------------------------- */

static void apply_conf(struct engine *e)
{
	static const enum log_level levels[] = { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	if (!e->conf.slots)
		e->conf.slots = cpus < 1 ? 1 : (uint32_t)cpus;
	e->slots = e->conf.slots;
	log_set_level(levels[e->conf.log_level]);
}

static int read_conf(struct daemon *d)
{
	struct conf_error err;

	if (!d->at.config_given && access(d->at.config, F_OK) < 0)
		return 0;
	if (conf_read(d->at.config, &d->e.conf, &err) == 0)
		return 0;
	log_error("%s", err.text);
	return -1;
}

static void reload(evutil_socket_t sig, short what, void *arg)
{
	struct daemon *d = arg;
	struct conf old = d->e.conf;

	(void)sig, (void)what;
	notify_send("RELOADING=1");
	conf_init(&d->e.conf);
	if (read_conf(d) == 0) {
		conf_done(&old);
		log_info("%s read again", d->at.config);
	} else {
		conf_done(&d->e.conf);
		d->e.conf = old;
	}
	apply_conf(&d->e);
	engine_limit_slots(&d->e);
	health_watch(&d->e, d->e.conf.patience_s);
	budget_make_room(&d->e);
	notify_send("READY=1");
	engine_turn(&d->e);
}

/* ---- the socket ------------------------------------------------------------------------------------------------------------ */

/* Looked at before anything is started: clients of a jobd with another state must not find us instead. A socket that was passed to us is
 * another's to open. */
static int check_socket(const struct daemon *d)
{
	if (d->n_passed > 0 || !endpoint_is_served(d->at.socket, SOCK_STREAM))
		return 0;
	log_error("socket %s: another jobd answers there: stop that one (`jobctl --socket %s shutdown`), or give another --socket", d->at.socket,
		  d->at.socket);
	return -1;
}

static int open_sockets(struct daemon *d)
{
	int fd;

	for (int i = 0; i < d->n_passed; i++) {
		fcntl(3 + i, F_SETFL, O_NONBLOCK);
		if (server_listen(d->e.server, 3 + i) < 0)
			return -1;
	}
	if (d->n_passed > 0)
		return 0;
	fd = endpoint_bind(d->at.socket, &d->e.conf);
	d->own_socket = fd >= 0;
	return fd < 0 ? -1 : server_listen(d->e.server, fd);
}

/* ---- the loop ---------------------------------------------------------------------------------------------------------------- */

static void hourly(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	submit_forget_old(arg);
	control_retain(arg);
}

static void asked_to_stop(evutil_socket_t sig, short what, void *arg)
{
	struct daemon *d = arg;

	(void)sig, (void)what;
	notify_send("STOPPING=1\nSTATUS=Stopping; running jobs stay with the runner");
	stop_request(&d->e, STOP_DETACH, NULL);
}

static void start_engine(struct daemon *d)
{
	struct engine *e = &d->e;
	struct server_opts so = { .vendor = "jobd", .product = "jobd", .version = PACKAGE_VERSION, .url = "https://varlink.org/", .interface = "org.jobd",
				  .description = interface_text, .max_sessions = e->conf.max_sessions,
				  .max_sessions_per_uid = e->conf.max_sessions_per_uid, .busy = "org.jobd.Busy" };
	struct timeval hour = { 3600, 0 };

	wire_engine(e, &so);
	e->hourly = event_new(e->base, -1, EV_PERSIST, hourly, e);
	event_add(e->hourly, &hour);
}

static void start_link(struct daemon *d)
{
	struct runner_link_opts lo = { .socket_path = d->at.runner_socket, .state_dir = d->at.state, .program = *d->at.runner ? d->at.runner : NULL };

	wire_runner(&d->e, &lo);
}

static void catch_signals(struct daemon *d)
{
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	d->term = evsignal_new(d->e.base, SIGTERM, asked_to_stop, d);
	d->intr = evsignal_new(d->e.base, SIGINT, asked_to_stop, d);
	d->hup = evsignal_new(d->e.base, SIGHUP, reload, d);
	event_add(d->term, NULL);
	event_add(d->intr, NULL);
	event_add(d->hup, NULL);
}

static void raise_limits(void)
{
	struct rlimit rl, none = { 0, 0 };

	if (getrlimit(RLIMIT_NOFILE, &rl) == 0) {
		rl.rlim_cur = rl.rlim_max;
		setrlimit(RLIMIT_NOFILE, &rl);
	}
	setrlimit(RLIMIT_CORE, &none);
	umask(077);
}

static int open_store(struct daemon *d)
{
	struct engine *e = &d->e;
	struct store_error err;

	e->store = store_open(d->at.state, &err);
	if (!e->store || recover(e, &err) < 0) {
		log_error("%s", err.text);
		return -1;
	}
	start_link(d);
	if (recover_jobs(e, &err) < 0 || store_start(e->store, e->base, &err) < 0) {
		log_error("%s", err.text);
		return -1;
	}
	e->sweep = sweep_new(e->base, e->out_fd, output_found, e);
	return 0;
}

static void say_ready(const struct daemon *d)
{
	log_info("jobd %s serves %s (state %s, %u slots)", PACKAGE_VERSION, d->at.socket, d->at.state, d->e.slots);
	notify_send("READY=1\nSTATUS=Serving %s", d->at.socket);
	if (d->at.say_ready) {
		puts("ready");
		fflush(stdout);
	}
}

static bool all_recorded(const struct engine *e)
{
	for (uint32_t i = 0; i < e->n_runs_cap; i++)
		if (e->runs[i] && e->runs[i]->n_ending)
			return false;
	return true;
}

/* What is posted is committed, the lock is released, and only then is the end told to who asked for it. */
static void go(struct daemon *d)
{
	struct engine *e = &d->e;

	server_stop_listening(e->server);
	if (d->own_socket)
		unlink(d->at.socket);
	store_stop(e->store);
	/* The runner keeps an end that there was no space for; and one that is a unit of its own is not ours to end. */
	if (*d->at.runner && !e->n_running && all_recorded(e))
		runner_link_quit(e->link);
	runner_link_flush(e->link);
	sweep_free(e->sweep);
	spares_close(&e->spares);
	close(d->lock_fd);
	stop_answer(e);
	server_drain(e->server, DRAIN_MS);
	log_info("jobd ends; %u jobs stay with the runner", e->n_running);
}

int main(int argc, char **argv)
{
	static struct daemon d;

	failpoints_init(argc, argv);
	notify_init();
	conf_init(&d.e.conf);
	if (options_read(&d.at, argc, argv) < 0 || read_conf(&d) < 0)
		return 2;
	apply_conf(&d.e);
	raise_limits();
	d.n_passed = notify_listen_fds();
	d.e.base = event_base_new();
	if (!d.e.base || open_state(&d) < 0)
		return 1;
	if (d.at.restore)
		return restore(&d.at) < 0;
	if (check_socket(&d) < 0)
		return 1;
	catch_signals(&d);
	start_engine(&d);
	if (open_store(&d) < 0 || open_sockets(&d) < 0)
		return 1;
	say_ready(&d);
	health_watch(&d.e, d.e.conf.patience_s);
	event_base_dispatch(d.e.base);
	go(&d);
	return 0;
}
