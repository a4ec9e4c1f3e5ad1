/* SPDX-License-Identifier: MIT */
/* Sweep: see sweep.h. */
#include "sweep.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "log.h"

#define PF_EXITING 0x4          /* of the flags in /proc/PID/stat, see include/linux/sched.h */
#define PF_KTHREAD 0x00200000
#define PATIENCE_MS 5000        /* between two lines in the log about what does not die */
#define EXEC_PATIENCE 1000      /* looks at one that seems to be in the middle of exec */
#define LOOKS_MAX 16            /* in a row while there are always some that have died: others have to be served, too */
#define HIDDEN 1                /* a start of code in /proc/PID/stat that is not ours to see, as all other addresses there */
#define FIRST_TEXT 4096
#define TEXT_MAX (8u << 20)     /* of an environment: more than the kernel lets a program have */

/* ---- files of /proc ----------------------------------------------------------------------------------------------------- */

/* A look has failed, and errno says why. For want of something of ours: then nobody knows what it would have shown. */
static void looked_in_vain(struct sweep *s)
{
	if (errno == EMFILE || errno == ENFILE || errno == ENOMEM)
		s->lacking = errno;
}

/* All of a file, NUL-terminated, into s->text. Its length; 0: empty, gone, or not for us to see. */
static size_t read_all(struct sweep *s, int fd)
{
	size_t len = 0;
	ssize_t n = 0;

	while (len < TEXT_MAX) {
		if (len + 1 >= s->cap) {
			s->cap = s->cap ? s->cap * 2 : FIRST_TEXT;
			s->text = realloc(s->text, s->cap);
			if (!s->text)
				log_die("no memory for a list of processes");
		}
		do
			n = pread(fd, s->text + len, s->cap - len - 1, (off_t)len);
		while (n < 0 && errno == EINTR);
		if (n < 0)
			looked_in_vain(s);
		if (n <= 0)
			break;
		len += (size_t)n;
	}
	s->text[len] = '\0';
	return len;
}

static size_t read_file(struct sweep *s, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t len = fd < 0 ? 0 : read_all(s, fd);

	if (fd >= 0)
		close(fd);
	else
		looked_in_vain(s);
	return len;
}

/* A leader that has exited while its threads live has no environment any more, but they have. */
static size_t read_environment_of_threads(struct sweep *s, pid_t pid)
{
	char path[64];
	struct dirent *de;
	size_t len = 0;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	d = opendir(path);
	if (!d)
		looked_in_vain(s);
	while (d && !len && (de = readdir(d))) {
		char one[sizeof(path) + sizeof(de->d_name) + 16];

		if (de->d_name[0] == '.')
			continue;
		snprintf(one, sizeof(one), "%s/%s/environ", path, de->d_name);
		len = read_file(s, one);
	}
	if (d)
		closedir(d);
	return len;
}

static size_t read_environment(struct sweep *s, pid_t pid)
{
	char path[64];
	size_t len;

	snprintf(path, sizeof(path), "/proc/%d/environ", (int)pid);
	len = read_file(s, path);
	return len ? len : read_environment_of_threads(s, pid);
}

/* The first token of this socket in the environment that has been read; NULL: none. */
static const char *find_token(const struct sweep *s, size_t len)
{
	char ours[SWEEP_TOKEN_MAX];
	int n = snprintf(ours, sizeof(ours), "JOBD_TOKEN=%016" PRIx64 ".", s->socket);

	for (const char *e = s->text, *end = s->text + len; e < end; e += strlen(e) + 1)
		if (!strncmp(e, ours, (size_t)n))
			return e;
	return NULL;
}

/* ---- orphans ------------------------------------------------------------------------------------------------------------- */

const char *sweep_token(const struct sweep *s, uint64_t job, uint32_t attempt, char buf[SWEEP_TOKEN_MAX])
{
	if (!s->on)
		return NULL;
	snprintf(buf, SWEEP_TOKEN_MAX, "JOBD_TOKEN=%016" PRIx64 ".%" PRIx64 ".%" PRIu32, s->socket, job, attempt);
	return buf;
}

/* A field of the /proc/PID/stat that is in s->text; they are counted from 1, as in proc(5), and this is for those behind the name. */
static unsigned long stat_field(const struct sweep *s, int n)
{
	const char *p = strrchr(s->text, ')');

	for (int at = 2; p && at < n; at++)
		p = strchr(p + 1, ' ');
	return p ? strtoul(p, NULL, 10) : 0;
}

enum { STAT_FLAGS = 9, STAT_THREADS = 20, STAT_START_CODE = 26, STAT_ENV_START = 50, STAT_ENV_END = 51 };
enum limbo { NO_LIMBO, LEAVING, CHANGING };

/*
 * Why a process has shown no environment. LEAVING: its memory has gone; it will be a zombie in a moment, and only then do its children become
 * orphans. CHANGING: it was in the middle of exec, and may have one now. Neither: it has none, hides it from us, or is a part of the kernel.
 */
static enum limbo limbo_of(struct sweep *s, pid_t pid)
{
	unsigned long flags, end;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	if (!read_file(s, path))
		return NO_LIMBO;
	flags = stat_field(s, STAT_FLAGS);
	end = stat_field(s, STAT_ENV_END);
	if (flags & PF_EXITING && stat_field(s, STAT_THREADS) <= 1)
		return LEAVING;
	if (flags & PF_KTHREAD || stat_field(s, STAT_START_CODE) == HIDDEN)
		return NO_LIMBO;
	return end && end == stat_field(s, STAT_ENV_START) ? NO_LIMBO : CHANGING;
}

/* The environment, of one in the middle of exec the new one; *ret_limbo says why there is none. */
static size_t read_settled_environment(struct sweep *s, pid_t pid, enum limbo *ret_limbo)
{
	size_t len;

	for (int patience = EXEC_PATIENCE;; patience--) {
		*ret_limbo = NO_LIMBO;
		len = read_environment(s, pid);
		if (len)
			return len;
		*ret_limbo = limbo_of(s, pid);
		if (*ret_limbo != CHANGING || !patience)
			return 0;
		sched_yield();
	}
}

/* Its session counts only if it has no token: the number of a job that is over may be another one's by now. */
static bool belongs(struct sweep *s, pid_t pid, const struct sweep_job *job)
{
	char ours[SWEEP_TOKEN_MAX];
	enum limbo limbo;
	const char *token;
	size_t len;

	if (job->alone)
		return true;
	len = read_settled_environment(s, pid, &limbo);
	if (limbo == LEAVING)
		return true;            /* to be waited for, whosever it is */
	token = len ? find_token(s, len) : NULL;
	if (!token)
		return job->pid && getsid(pid) == job->pid;
	return !strcmp(token, sweep_token(s, job->job, job->attempt, ours));
}

/* Dead, and now gone. */
static bool reaped(pid_t pid)
{
	siginfo_t si = {0};

	return waitid(P_PID, (id_t)pid, &si, WEXITED | WNOHANG) == 0 && si.si_pid == pid;
}

/* A set-user-ID program may be out of reach: it is not waited for. */
static bool killed(pid_t pid)
{
	if (kill(pid, SIGKILL) == 0)
		return true;
	log_error("process %d, which a job left behind, cannot be killed: %s", (int)pid, strerror(errno));
	return false;
}

/* The numbers are copied, for s->text is used again while they are looked at. */
pid_t *sweep_list(struct sweep *s, size_t *ret_n)
{
	size_t len = read_all(s, s->children_fd), n = 0;
	pid_t *list = len ? calloc(len / 2 + 1, sizeof(*list)) : NULL;
	char *at = s->text, *end;

	if (len && !list)
		log_die("no memory for a list of processes");
	for (long pid = strtol(at, &end, 10); len && end != at; pid = strtol(at, &end, 10)) {
		list[n++] = (pid_t)pid;
		at = end;
	}
	*ret_n = n;
	return list;
}

bool sweep_one(struct sweep *s, pid_t pid, const struct sweep_job *job)
{
	return !reaped(pid) && job && belongs(s, pid, job) && killed(pid);
}

/* *ret_died: one of the list has died since it was read, and its children, who became orphans then, may not be in it. */
static size_t look_once(struct sweep *s, const struct sweep_job *job, bool *ret_died)
{
	size_t n, left = 0;
	pid_t *list = sweep_list(s, &n);

	*ret_died = false;
	for (size_t i = 0; i < n; i++) {
		if (reaped(list[i]))
			*ret_died = true;
		else
			left += job && belongs(s, list[i], job) && killed(list[i]);
	}
	free(list);
	return left;
}

size_t sweep_step(struct sweep *s, const struct sweep_job *job)
{
	size_t left = 0;
	bool died = s->on;

	for (int looks = 0; died && !left; looks++) {
		if (looks == LOOKS_MAX) {
			raise(SIGCHLD);
			return 1;
		}
		left = look_once(s, job, &died);
	}
	return left;
}

/* ---- what an earlier runner left ------------------------------------------------------------------------------------------- */

static bool send_signal(int pidfd, int sig)
{
	return syscall(SYS_pidfd_send_signal, pidfd, sig, NULL, 0) == 0;
}

static void wait_until_gone(int pidfd, pid_t pid)
{
	struct pollfd p = {.fd = pidfd, .events = POLLIN};

	while (poll(&p, 1, PATIENCE_MS) == 0)
		log_warn("process %d of an earlier runner's job was killed and is still there; waiting", (int)pid);
}

/* The environment that was read is that of the process behind pidfd if that one lived until it had been read. Whether it was killed. */
static bool kill_if_ours(struct sweep *s, pid_t pid)
{
	int pidfd = pidfd_open(pid, 0);
	enum limbo limbo;
	bool ours;
	size_t len;

	if (pidfd < 0) {
		looked_in_vain(s);
		return false;
	}
	len = read_settled_environment(s, pid, &limbo);
	ours = len && find_token(s, len) && send_signal(pidfd, SIGKILL);
	if (ours)
		wait_until_gone(pidfd, pid);
	close(pidfd);
	return ours;
}

static size_t kill_ours(struct sweep *s)
{
	DIR *d = opendir("/proc");
	struct dirent *de;
	size_t n = 0;

	if (!d)
		looked_in_vain(s);
	while (d && (de = readdir(d))) {
		pid_t pid = (pid_t)strtol(de->d_name, NULL, 10);

		if (pid > 1 && pid != getpid())
			n += kill_if_ours(s, pid);
	}
	if (d)
		closedir(d);
	return n;
}

int sweep_clear(uint64_t socket)
{
	struct sweep s = {.socket = socket};
	size_t all = 0;

	/* They fork meanwhile; and one that forks and exits may leave its child behind the look, where the numbers of processes have begun anew. */
	for (int in_vain = 0; in_vain < 2;) {
		size_t n = kill_ours(&s);

		all += n;
		in_vain = n ? 0 : in_vain + 1;
	}
	free(s.text);
	if (all)
		log_info("killed %zu processes that jobs of an earlier runner had left", all);
	if (s.lacking)
		log_error("cannot see whether an earlier runner left processes: %s; nothing is started beside them", strerror(s.lacking));
	return s.lacking ? -1 : 0;
}

/* ---- life ------------------------------------------------------------------------------------------------------------------ */

void sweep_open_thread(struct sweep *s, uint64_t socket)
{
	char path[64];

	*s = (struct sweep){.socket = socket};
	snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)gettid());
	s->children_fd = open(path, O_RDONLY | O_CLOEXEC);
	s->on = s->children_fd >= 0;
}

void sweep_open(struct sweep *s, uint64_t socket)
{
	sweep_open_thread(s, socket);
	if (s->on && prctl(PR_SET_CHILD_SUBREAPER, 1) == 0)
		return;
	log_warn("what jobs leave behind cannot be found: %s: %s", s->on ? "subreaper" : "/proc/self/task/*/children", strerror(errno));
	sweep_close(s);
	*s = (struct sweep){0};
}

void sweep_close(struct sweep *s)
{
	if (s->on)
		close(s->children_fd);
	free(s->text);
}
