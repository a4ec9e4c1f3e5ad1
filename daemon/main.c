/* SPDX-License-Identifier: MIT */
/*
 * jobd - the daemon. Options, places, the lock of the state directory, the sockets, and the order of coming up and going down:
 *
 *   lock -> database -> runs -> store thread -> socket -> runner -> ready          (an orderly end goes the other way)
 */
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <getopt.h>
#include <grp.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "config.h"
#include "failpoint.h"
#include "interface.h"
#include "lock.h"
#include "log.h"
#include "notify.h"
#include "place.h"
#include "rpc.h"
#include "wire.h"

#define DRAIN_MS 2000                   /* at the end: for clients to take their last replies */

struct places {
	char state[PATH_MAX], socket[PATH_MAX], config[PATH_MAX], runner_socket[PATH_MAX], runner[PATH_MAX], fetch[PATH_MAX];
	bool config_given;
};

struct daemon {
	struct engine e;
	struct places at;
	int lock_fd;
	int n_passed;                   /* listening sockets that somebody else has opened for us */
	bool own_socket;                /* bound by us: to be removed at the end */
	bool say_ready;
	const char *restore;            /* a backup: restore it instead of serving */
	struct event *term, *intr, *hup;
};

/* ---- options and places --------------------------------------------------------------------------------------------- */

static const char usage[] =
	"Usage: jobd [--state DIR] [--socket PATH] [--config FILE] [--ready]\n"
	"       jobd --restore BACKUP [--state DIR]\n"
	"Runs trees of jobs and never loses track of them. Stays in the foreground; logs to standard error.\n"
	"\n"
	"  --state DIR     database and outputs          (JOBD_STATE;  /var/lib/jobd, or below $XDG_STATE_HOME)\n"
	"  --socket PATH   where clients connect         (JOBD_SOCKET; /run/jobd/socket, or below $XDG_RUNTIME_DIR)\n"
	"  --config FILE   jobd.conf                     (JOBD_CONFIG; /etc/jobd, or below $XDG_CONFIG_HOME)\n"
	"  --ready         print `ready` on standard output when clients can connect\n"
	"  --restore FILE  put a backup into the place of the database, which is kept, and exit\n"
	"  --version, --help\n"
	"\n"
	"TERM: take no more work and go; running jobs stay with jobd-runner. HUP: read jobd.conf again.\n";

/* a and b, one after the other. */
static int set(char buf[PATH_MAX], const char *a, const char *b)
{
	return snprintf(buf, PATH_MAX, "%s%s", a, b) < PATH_MAX ? 0 : -1;
}

static int user_place(char buf[PATH_MAX], const char *var, const char *below_home, const char *name)
{
	const char *base = getenv(var), *home = getenv("HOME");

	if (base && *base == '/')
		return snprintf(buf, PATH_MAX, "%s/jobd%s", base, name) < PATH_MAX ? 0 : -1;
	if (!home || *home != '/')
		return -1;
	return snprintf(buf, PATH_MAX, "%s/%s/jobd%s", home, below_home, name) < PATH_MAX ? 0 : -1;
}

static int user_socket(char buf[PATH_MAX])
{
	const char *run = getenv("XDG_RUNTIME_DIR");

	if (run && *run == '/')
		return set(buf, run, "/jobd/socket");
	return snprintf(buf, PATH_MAX, "/tmp/jobd-%u/socket", (unsigned)geteuid()) < PATH_MAX ? 0 : -1;
}

static int default_places(struct places *p)
{
	if (geteuid() == 0) {
		set(p->state, "/var/lib/jobd", "");
		set(p->socket, "/run/jobd/socket", "");
		return set(p->config, SYSCONFDIR, "/jobd/jobd.conf");
	}
	if (user_place(p->state, "XDG_STATE_HOME", ".local/state", "") < 0 ||
	    user_place(p->config, "XDG_CONFIG_HOME", ".config", "/jobd.conf") < 0)
		return -1;
	return user_socket(p->socket);
}

static void from_env(char buf[PATH_MAX], const char *var)
{
	const char *v = getenv(var);

	if (v && *v)
		set(buf, v, "");
}

static int read_options(struct daemon *d, int argc, char **argv)
{
	static const struct option opts[] = {
		{ "state", required_argument, NULL, 's' }, { "socket", required_argument, NULL, 'S' }, { "config", required_argument, NULL, 'c' },
		{ "ready", no_argument, NULL, 'r' }, { "restore", required_argument, NULL, 'R' },
		{ "version", no_argument, NULL, 'V' }, { "help", no_argument, NULL, 'h' }, { 0 },
	};
	struct places *p = &d->at;
	int c;

	while ((c = getopt_long(argc, argv, "h", opts, NULL)) != -1) {
		switch (c) {
		case 's': set(p->state, optarg, ""); break;
		case 'S': set(p->socket, optarg, ""); break;
		case 'c': set(p->config, optarg, ""); p->config_given = true; break;
		case 'r': d->say_ready = true; break;
		case 'R': d->restore = optarg; break;
		case 'V': puts("jobd " PACKAGE_VERSION); exit(0);
		case 'h': fputs(usage, stdout); exit(0);
		default: fputs("Try `jobd --help`.\n", stderr); return -1;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "jobd: unexpected argument \"%s\"; try `jobd --help`\n", argv[optind]);
		return -1;
	}
	return 0;
}

/* The directories are made absolute: children and the runner have working directories of their own. */
static int absolute(char buf[PATH_MAX])
{
	char cwd[PATH_MAX], rest[PATH_MAX];

	if (buf[0] == '/')
		return 0;
	memcpy(rest, buf, sizeof(rest));
	if (!getcwd(cwd, sizeof(cwd)))
		return -1;
	return snprintf(buf, PATH_MAX, "%s/%s", cwd, rest) < PATH_MAX ? 0 : -1;
}

/* Beside this program. */
static void find_beside(char path[PATH_MAX], const char *name)
{
	char self[PATH_MAX], *slash;
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	self[n > 0 ? n : 0] = '\0';
	slash = strrchr(self, '/');
	if (slash)
		*slash = '\0';
	set(path, self, name);
}

static bool find_installed(char path[PATH_MAX], const char *name)
{
	return access(set(path, PKGLIBEXECDIR, name) == 0 ? path : "", X_OK) == 0;
}

static void find_runner(struct places *p)
{
	const char *given = getenv("JOBD_RUNNER");

	if (given && *given)
		set(p->runner, strcmp(given, "none") == 0 ? "" : given, "");
	else if (!find_installed(p->runner, "/jobd-runner"))
		find_beside(p->runner, "/jobd-runner");
}

/* As jobctl finds it: where the variable says, else in the build tree, else where it is installed, or would be. */
static void find_fetch(struct places *p)
{
	const char *folder = getenv("JOBD_LIBEXEC");

	if (folder && *folder) {
		set(p->fetch, folder, "/jobd-fetch");
		return;
	}
	find_beside(p->fetch, "/jobd-fetch");
	if (access(p->fetch, X_OK) != 0)
		(void)find_installed(p->fetch, "/jobd-fetch");
}

/* The name of a socket fits into few bytes; both are first bound as NAME.new. Better told now than by a runner that never comes up. */
static int check_lengths(const struct places *p)
{
	size_t max = sizeof(((struct sockaddr_un *)NULL)->sun_path) - sizeof(".new");

	if (strlen(p->socket) > max) {
		log_error("the socket's path is too long (%zu bytes, at most %zu): %s; give a shorter --socket", strlen(p->socket), max, p->socket);
		return -1;
	}
	if (strlen(p->runner_socket) > max) {
		log_error("the path of jobd-runner's socket is too long (%zu bytes, at most %zu): %s; give a shorter --state, or JOBD_RUNNER_SOCKET",
			  strlen(p->runner_socket), max, p->runner_socket);
		return -1;
	}
	return 0;
}

static int find_places(struct daemon *d, int argc, char **argv)
{
	struct places *p = &d->at;
	int known = default_places(p);

	from_env(p->state, "JOBD_STATE");
	from_env(p->socket, "JOBD_SOCKET");
	if (getenv("JOBD_CONFIG"))
		p->config_given = true;
	from_env(p->config, "JOBD_CONFIG");
	if (read_options(d, argc, argv) < 0)
		return -1;
	if ((known < 0 && (!*p->state || !*p->socket)) || absolute(p->state) < 0 || absolute(p->socket) < 0) {
		log_error("no place for the state: give --state and --socket, or set HOME");
		return -1;
	}
	if (set(p->runner_socket, p->state, "/runner.sock") < 0)
		return -1;
	from_env(p->runner_socket, "JOBD_RUNNER_SOCKET");
	find_runner(p);
	find_fetch(p);
	return check_lengths(p);
}

/* ---- the state directory ---------------------------------------------------------------------------------------------- */

static int make_dirs(const char *path)
{
	char buf[PATH_MAX];

	set(buf, path, "");
	for (char *p = buf + 1; *p; p++)
		if (*p == '/') {
			*p = '\0';
			if (mkdir(buf, 0755) < 0 && errno != EEXIST)
				return -1;
			*p = '/';
		}
	return mkdir(buf, 0700) < 0 && errno != EEXIST ? -1 : 0;
}

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

	if (make_dirs(d->at.state) < 0 || (e->state_fd = place_open_dir(d->at.state, PLACE_OURS)) < 0) {
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

static int set_socket_group(const char *path, const struct conf *c)
{
	struct group *gr = c->socket_group ? getgrnam(c->socket_group) : NULL;

	if (c->socket_group && !gr)
		log_warn("socket_group: there is no group \"%s\"", c->socket_group);
	return place_give_socket(path, (uid_t)-1, gr ? gr->gr_gid : (gid_t)-1, c->socket_mode);
}

/* The default folder in /tmp may be made by anybody before us: only one that is ours, and closed to others, will do. */
static int check_socket_dir(const char *dir)
{
	char ours[64];
	struct stat st;

	snprintf(ours, sizeof(ours), "/tmp/jobd-%u", (unsigned)geteuid());
	if (strcmp(dir, ours) != 0)
		return 0;
	if (lstat(dir, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid() && (st.st_mode & 077) == 0)
		return 0;
	log_error("%s must be a folder of user %u, mode 0700: remove it, or give another --socket", dir, (unsigned)geteuid());
	errno = EPERM;
	return -1;
}

#define LEAVING_MS 500          /* from the death of a jobd, seen by its lock, to the end of its listener */

/* Where path and end go into an address; check_lengths has seen that they fit. */
static struct sockaddr_un address_of(const char *path, const char *end)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };

	if ((size_t)snprintf(un.sun_path, sizeof(un.sun_path), "%s%s", path, end) >= sizeof(un.sun_path))
		abort();
	return un;
}

/* Somebody listens there. One that is just dying hangs up. */
static bool is_served(const char *path, int type)
{
	struct sockaddr_un un = address_of(path, "");
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct pollfd p = { .fd = fd, .events = POLLIN };
	bool served;

	served = fd >= 0 && (connect(fd, (struct sockaddr *)&un, sizeof(un)) == 0 || errno == EAGAIN) && poll(&p, 1, LEAVING_MS) == 0;
	if (fd >= 0)
		close(fd);
	return served;
}

/* Looked at before anything is started: clients of a jobd with another state must not find us instead. A socket that was passed to us is
 * another's to open. */
static int check_socket(const struct daemon *d)
{
	if (d->n_passed > 0 || !is_served(d->at.socket, SOCK_STREAM))
		return 0;
	log_error("socket %s: another jobd answers there: stop that one (`jobctl --socket %s shutdown`), or give another --socket", d->at.socket,
		  d->at.socket);
	return -1;
}

/* Bound under a temporary name and renamed: who connects to the name finds a listener. The lock of the state keeps others away. */
static int bind_socket(struct daemon *d)
{
	struct sockaddr_un un = address_of(d->at.socket, ".new");
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	char dir[PATH_MAX];

	set(dir, d->at.socket, "");
	*strrchr(dir, '/') = '\0';
	if (fd < 0 || (*dir && (make_dirs(dir) < 0 || check_socket_dir(dir) < 0)))
		goto fail;
	unlink(un.sun_path);
	if (bind(fd, (struct sockaddr *)&un, sizeof(un)) < 0 || set_socket_group(un.sun_path, &d->e.conf) < 0 || listen(fd, 4096) < 0 ||
	    rename(un.sun_path, d->at.socket) < 0)
		goto fail;
	d->own_socket = true;
	return fd;
fail:
	log_error("socket %s: %s", d->at.socket, strerror(errno));
	if (fd >= 0)
		close(fd);
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
	fd = bind_socket(d);
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
	if (d->say_ready) {
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
	close(d->lock_fd);
	stop_answer(e);
	server_drain(e->server, DRAIN_MS);
	log_info("jobd ends; %u jobs stay with the runner", e->n_running);
}

/* ---- restore ----------------------------------------------------------------------------------------------------------------- */

static bool is_same_dir(const char *a, const char *b)
{
	struct stat sa, sb;

	return stat(a, &sa) == 0 && stat(b, &sb) == 0 && sa.st_dev == sb.st_dev && sa.st_ino == sb.st_ino;
}

/* Where the runner of this state is when it is a unit, as systemd/ has it: nobody who restores should have to know. */
static int find_runner_unit(const struct places *p, char buf[PATH_MAX])
{
	const char *run = getenv("XDG_RUNTIME_DIR");
	char users[PATH_MAX];

	if (is_same_dir(p->state, "/var/lib/jobd"))
		return set(buf, "/run/jobd-runner/socket", "");
	if (!run || *run != '/' || user_place(users, "XDG_STATE_HOME", ".local/state", "") < 0 || !is_same_dir(p->state, users))
		return -1;
	return set(buf, run, "/jobd/runner") == 0 && strlen(buf) < sizeof(((struct sockaddr_un *)NULL)->sun_path) ? 0 : -1;
}

/* Its jobs are those of the database that goes: under one number they could be taken for others. */
static int check_no_runner(const struct daemon *d)
{
	char unit[PATH_MAX];
	const char *served = is_served(d->at.runner_socket, SOCK_SEQPACKET) ? d->at.runner_socket :
			     find_runner_unit(&d->at, unit) == 0 && is_served(unit, SOCK_SEQPACKET) ? unit : NULL;

	if (!served)
		return 0;
	log_error("jobd-runner still serves %s and may run jobs of the database that is to be replaced: end it first "
		  "(`jobctl shutdown --kill` while jobd runs, else end jobd-runner itself, by systemctl if it is a unit)", served);
	return -1;
}

static int restore(struct daemon *d)
{
	struct store_restored done;
	struct store_error err;

	if (check_no_runner(d) < 0)
		return 1;
	if (store_restore(d->at.state, d->restore, &done, &err) < 0) {
		log_error("%s", err.text);
		return 1;
	}
	log_info("%s is restored into %s: %lld runs; %lld of them had not ended and are paused, `jobctl resume` lets them go on", d->restore,
		 d->at.state, (long long)done.runs, (long long)done.paused);
	if (done.kept)
		log_info("the database that was there is kept as %s", done.kept);
	free(done.kept);
	return 0;
}

int main(int argc, char **argv)
{
	static struct daemon d;

	failpoints_init(argc, argv);
	conf_init(&d.e.conf);
	if (find_places(&d, argc, argv) < 0 || read_conf(&d) < 0)
		return 2;
	apply_conf(&d.e);
	raise_limits();
	d.n_passed = notify_listen_fds();
	d.e.base = event_base_new();
	if (!d.e.base || open_state(&d) < 0)
		return 1;
	if (d.restore)
		return restore(&d);
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
