/* SPDX-License-Identifier: MIT */
#include "starter.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "buf.h"
#include "conn.h"
#include "status.h"
#include "talk.h"

extern char **environ;

/* The jobd beside this jobctl, else the one in PATH. The caller frees. */
static char *find_jobd(void)
{
	char exe[4096];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	char *slash, *path;

	if (n > 0) {
		exe[n] = '\0';
		slash = strrchr(exe, '/');
		path = xasprintf("%.*s/jobd", (int)(slash - exe), exe);
		if (access(path, X_OK) == 0)
			return path;
		free(path);
	}
	return xstrdup("jobd");
}

/* mkdir -p, each 0700. */
static int make_dirs(const char *path)
{
	char *copy = xstrdup(path), *p = copy;
	int rc = 0;

	while (rc == 0 && (p = strchr(p + 1, '/'))) {
		*p = '\0';
		if (mkdir(copy, 0700) != 0 && errno != EEXIST)
			rc = -1;
		*p = '/';
	}
	if (rc == 0 && mkdir(copy, 0700) != 0 && errno != EEXIST)
		rc = -1;
	free(copy);
	return rc;
}

/*
 * It is a session of its own, in /, with its messages in log; its stdout is ready_fd. It outlives us, so it gets no other descriptor: a lock of the
 * script that called us would stay taken, and who reads a pipe to its end would wait.
 */
static int spawn_jobd(const char *jobd, char *const argv[], const char *log, int ready_fd, pid_t *ret)
{
	posix_spawn_file_actions_t fa;
	posix_spawnattr_t attr;
	sigset_t none;
	int rc;

	sigemptyset(&none);
	posix_spawn_file_actions_init(&fa);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setsigmask(&attr, &none);
	rc = posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK);
	if (rc == 0)
		rc = posix_spawn_file_actions_addopen(&fa, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	if (rc == 0)
		rc = posix_spawn_file_actions_adddup2(&fa, ready_fd, STDOUT_FILENO);
	if (rc == 0)
		rc = posix_spawn_file_actions_addopen(&fa, STDERR_FILENO, log, O_WRONLY | O_CREAT | O_APPEND, 0600);
	if (rc == 0)
		rc = posix_spawn_file_actions_addclosefrom_np(&fa, STDERR_FILENO + 1);
	if (rc == 0)
		rc = posix_spawn_file_actions_addchdir_np(&fa, "/");
	if (rc == 0)
		rc = posix_spawnp(ret, jobd, &fa, &attr, argv, environ);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&fa);
	return rc;
}

/* Whether "ready" came before the end of the pipe. */
static int await_ready(int fd)
{
	char text[64];
	size_t len = 0;

	while (len < sizeof(text) - 1) {
		ssize_t n = read(fd, text + len, sizeof(text) - 1 - len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		len += (size_t)n;
		text[len] = '\0';
		if (strstr(text, "ready\n"))
			return 0;
	}
	return -1;
}

/* The last error that jobd has logged; the caller frees. NULL: none is found. */
static char *last_error(const char *log)
{
	FILE *f = fopen(log, "re");
	char *line = NULL, *found = NULL;
	size_t size = 0;

	while (f && getline(&line, &size, f) > 0) {
		const char *error = strstr(line, "error: ");

		if (!error)
			continue;
		free(found);
		found = xstrndup(error + strlen("error: "), strcspn(error, "\n") - strlen("error: "));
	}
	if (f)
		fclose(f);
	free(line);
	return found;
}

static int not_ready(const char *jobd, const char *log)
{
	char *error = last_error(log);
	int rc;

	if (error)
		rc = complain(CTL_NO_DAEMON, "no daemon runs, and %s did not get ready: %s\n(its log: %s)", jobd, error, log);
	else
		rc = complain(CTL_NO_DAEMON, "no daemon runs, and %s did not get ready; %s says why", jobd, log);
	free(error);
	return rc;
}

/* The configuration that `config check` looks at: also root's own daemon has the user's. The caller frees; NULL: jobd's default. */
static char *own_config(void)
{
	const char *env = getenv("JOBD_CONFIG");
	char *config = env && *env ? NULL : conn_user_config();

	if (config && access(config, F_OK) == 0)
		return config;
	free(config);
	return NULL;
}

static int start_with(const char *jobd, const char *socket, const char *state, const char *config, const char *log)
{
	const char *argv[] = { "jobd", "--state", state, "--socket", socket, "--ready", config ? "--config" : NULL, config, NULL };
	int fds[2], rc;
	pid_t pid;

	if (make_dirs(state) != 0)
		return complain(CTL_NO_DAEMON, "cannot make the folder %s: %s", state, strerror(errno));
	if (pipe2(fds, O_CLOEXEC) != 0)
		return complain(CTL_NO_DAEMON, "cannot make a pipe: %s", strerror(errno));
	rc = spawn_jobd(jobd, (char *const *)(uintptr_t)argv, log, fds[1], &pid);
	close(fds[1]);
	if (rc != 0)
		rc = complain(CTL_NO_DAEMON, "no daemon runs, and %s cannot be started: %s", jobd, strerror(rc));
	else if (await_ready(fds[0]) != 0)
		rc = not_ready(jobd, log);
	close(fds[0]);
	return rc;
}

static int start(const char *socket)
{
	char *jobd = find_jobd(), *state = conn_user_state(), *log = xasprintf("%s/jobd.log", state);
	char *config = own_config();
	int rc = start_with(jobd, socket, state, config, log);

	free(config);
	free(log);
	free(state);
	free(jobd);
	return rc;
}

static int answers(const char *socket)
{
	struct vl_error err;
	struct vl_conn *c = vl_connect(socket, 1000, &err);

	vl_close(c);
	return c != NULL;
}

int starter_run(const char *socket)
{
	char *lock = xasprintf("%s.start", socket);
	int fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600), rc;

	while (fd >= 0 && (rc = flock(fd, LOCK_EX)) != 0 && errno == EINTR)
		;
	if (fd < 0 || rc != 0)
		rc = complain(CTL_NO_DAEMON, "cannot lock %s: %s", lock, strerror(errno));
	else if (!answers(socket))      /* somebody else may have started it while we waited */
		rc = start(socket);
	if (fd >= 0)
		close(fd);
	free(lock);
	return rc;
}
