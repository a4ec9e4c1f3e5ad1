/* SPDX-License-Identifier: MIT */
/* Options: see options.h. An option comes before a variable, and that before what is usual for the user. */
#include "options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "config.h"
#include "log.h"

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

static int default_places(struct options *o)
{
	if (geteuid() == 0) {
		set(o->state, "/var/lib/jobd", "");
		set(o->socket, "/run/jobd/socket", "");
		return set(o->config, SYSCONFDIR, "/jobd/jobd.conf");
	}
	if (user_place(o->state, "XDG_STATE_HOME", ".local/state", "") < 0 ||
	    user_place(o->config, "XDG_CONFIG_HOME", ".config", "/jobd.conf") < 0)
		return -1;
	return user_socket(o->socket);
}

static void from_env(char buf[PATH_MAX], const char *var)
{
	const char *v = getenv(var);

	if (v && *v)
		set(buf, v, "");
}

static int read_options(struct options *o, int argc, char **argv)
{
	static const struct option opts[] = {
		{ "state", required_argument, NULL, 's' }, { "socket", required_argument, NULL, 'S' }, { "config", required_argument, NULL, 'c' },
		{ "ready", no_argument, NULL, 'r' }, { "restore", required_argument, NULL, 'R' },
		{ "version", no_argument, NULL, 'V' }, { "help", no_argument, NULL, 'h' }, { 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "h", opts, NULL)) != -1) {
		switch (c) {
		case 's': set(o->state, optarg, ""); break;
		case 'S': set(o->socket, optarg, ""); break;
		case 'c': set(o->config, optarg, ""); o->config_given = true; break;
		case 'r': o->say_ready = true; break;
		case 'R': o->restore = optarg; break;
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

static void find_runner(struct options *o)
{
	const char *given = getenv("JOBD_RUNNER");

	if (given && *given)
		set(o->runner, strcmp(given, "none") == 0 ? "" : given, "");
	else if (!find_installed(o->runner, "/jobd-runner"))
		find_beside(o->runner, "/jobd-runner");
}

/* As jobctl finds it: where the variable says, else in the build tree, else where it is installed, or would be. */
static void find_fetch(struct options *o)
{
	const char *folder = getenv("JOBD_LIBEXEC");

	if (folder && *folder) {
		set(o->fetch, folder, "/jobd-fetch");
		return;
	}
	find_beside(o->fetch, "/jobd-fetch");
	if (access(o->fetch, X_OK) != 0)
		(void)find_installed(o->fetch, "/jobd-fetch");
}

/* The name of a socket fits into few bytes; both are first bound as NAME.new. Better told now than by a runner that never comes up. */
static int check_lengths(const struct options *o)
{
	size_t max = sizeof(((struct sockaddr_un *)NULL)->sun_path) - sizeof(".new");

	if (strlen(o->socket) > max) {
		log_error("the socket's path is too long (%zu bytes, at most %zu): %s; give a shorter --socket", strlen(o->socket), max, o->socket);
		return -1;
	}
	if (strlen(o->runner_socket) > max) {
		log_error("the path of jobd-runner's socket is too long (%zu bytes, at most %zu): %s; give a shorter --state, or JOBD_RUNNER_SOCKET",
			  strlen(o->runner_socket), max, o->runner_socket);
		return -1;
	}
	return 0;
}

int options_read(struct options *o, int argc, char **argv)
{
	int known = default_places(o);

	from_env(o->state, "JOBD_STATE");
	from_env(o->socket, "JOBD_SOCKET");
	if (getenv("JOBD_CONFIG"))
		o->config_given = true;
	from_env(o->config, "JOBD_CONFIG");
	if (read_options(o, argc, argv) < 0)
		return -1;
	if ((known < 0 && (!*o->state || !*o->socket)) || absolute(o->state) < 0 || absolute(o->socket) < 0) {
		log_error("no place for the state: give --state and --socket, or set HOME");
		return -1;
	}
	if (set(o->runner_socket, o->state, "/runner.sock") < 0)
		return -1;
	from_env(o->runner_socket, "JOBD_RUNNER_SOCKET");
	find_runner(o);
	find_fetch(o);
	return check_lengths(o);
}

static bool is_same_dir(const char *a, const char *b)
{
	struct stat sa, sb;

	return stat(a, &sa) == 0 && stat(b, &sb) == 0 && sa.st_dev == sb.st_dev && sa.st_ino == sb.st_ino;
}

int options_runner_unit(const struct options *o, char buf[PATH_MAX])
{
	const char *run = getenv("XDG_RUNTIME_DIR");
	char users[PATH_MAX];

	if (is_same_dir(o->state, "/var/lib/jobd"))
		return set(buf, "/run/jobd-runner/socket", "");
	if (!run || *run != '/' || user_place(users, "XDG_STATE_HOME", ".local/state", "") < 0 || !is_same_dir(o->state, users))
		return -1;
	return set(buf, run, "/jobd/runner") == 0 && strlen(buf) < sizeof(((struct sockaddr_un *)NULL)->sun_path) ? 0 : -1;
}
