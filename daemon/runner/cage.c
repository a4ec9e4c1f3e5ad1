/* SPDX-License-Identifier: MIT */
/* Cage: see cage.h. */
#include "cage.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/magic.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "failpoint.h"
#include "log.h"

#define ROOT_PREFIX "jobd-"
#define PATIENCE_MS 5000        /* between two lines in the log about what does not die */

/* ---- files of a group ---- */

static int write_one(int dir, const char *file)
{
	int fd = openat(dir, file, O_WRONLY | O_CLOEXEC), saved;
	ssize_t n;

	if (fd < 0)
		return -1;
	n = write(fd, "1", 1);
	saved = errno;
	close(fd);
	errno = saved;
	return n == 1 ? 0 : -1;
}

/* One that has been removed had nothing in it; one that cannot be read, for whatever reason, may. */
bool cage_has_emptied(int events_fd)
{
	char text[256];
	ssize_t n = pread(events_fd, text, sizeof(text) - 1, 0);

	if (n < 0)
		return errno == ENODEV;
	text[n] = '\0';
	return !strstr(text, "populated 1");
}

static int open_events(int dir, const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "%s/cgroup.events", name);
	return openat(dir, path, O_RDONLY | O_CLOEXEC);
}

/* ---- killing what is in a group ---- */

#define AT_ONCE 64              /* descriptors */

/* Who is in it now; the caller's to free. NULL with *ret_n 0: nobody that can be seen. */
static pid_t *read_pids(int dir, const char *name, size_t *ret_n)
{
	char path[64];
	pid_t *pids = NULL, pid;
	size_t n = 0, cap = 0;
	int fd;
	FILE *f;

	snprintf(path, sizeof(path), "%s/cgroup.procs", name);
	fd = openat(dir, path, O_RDONLY | O_CLOEXEC);
	f = fd < 0 ? NULL : fdopen(fd, "r");
	while (f && fscanf(f, "%d", &pid) == 1) {
		if (n == cap) {
			cap = cap ? cap * 2 : AT_ONCE;
			pids = realloc(pids, cap * sizeof(*pids));
			if (!pids)
				log_die("no memory for a list of processes");
		}
		pids[n++] = pid;
	}
	if (f)
		fclose(f);
	*ret_n = n;
	return pids;
}

static bool is_among(pid_t pid, const pid_t *pids, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (pids[i] == pid)
			return true;
	return false;
}

/* A number that is in the group after its pidfd was opened is that of the pidfd's process, if that one still lives. */
static void kill_some(int dir, const char *name, const pid_t *pids, size_t n)
{
	int pidfds[AT_ONCE];
	pid_t *still;
	size_t n_still;

	for (size_t i = 0; i < n; i++)
		pidfds[i] = (int)syscall(SYS_pidfd_open, pids[i], 0);
	still = read_pids(dir, name, &n_still);
	for (size_t i = 0; i < n; i++) {
		if (pidfds[i] < 0)
			continue;
		if (is_among(pids[i], still, n_still))
			syscall(SYS_pidfd_send_signal, pidfds[i], SIGKILL, NULL, 0);
		close(pidfds[i]);
	}
	free(still);
}

static void kill_each(int dir, const char *name)
{
	size_t n;
	pid_t *pids = read_pids(dir, name, &n);

	for (size_t i = 0; i < n; i += AT_ONCE)
		kill_some(dir, name, pids + i, n - i < AT_ONCE ? n - i : AT_ONCE);
	free(pids);
}

/*
 * cgroup.kill speaks to the first thread of each process, and does not reach one whose first thread has exited and whose others live. Such
 * a process is killed as one; then once more all, for some may have been forked meanwhile. They stand still before: else one that is forked
 * could lose its first thread in between, and nobody would come back for it. Who is killed does not stay frozen.
 */
static int kill_all(int dir, const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "%s/cgroup.freeze", name);
	(void)write_one(dir, path);
	snprintf(path, sizeof(path), "%s/cgroup.kill", name);
	if (write_one(dir, path) < 0)
		return -1;
	kill_each(dir, name);
	return write_one(dir, path);
}

/* ---- what an earlier runner left ---- */

static void wait_until_empty(int events_fd, const char *path)
{
	struct pollfd p = {.fd = events_fd, .events = POLLPRI};

	while (!cage_has_emptied(events_fd))
		if (poll(&p, 1, PATIENCE_MS) == 0)
			log_warn("%s: killed processes of an earlier runner are still there; waiting", path);
}

/* The same in each group below: cgroup.procs tells of one alone. */
static int kill_below(int dir, const char *name)
{
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *de;
	int rc = d ? kill_all(fd, ".") : -1;

	while (d && (de = readdir(d)))
		if (de->d_type == DT_DIR && de->d_name[0] != '.')
			kill_below(fd, de->d_name);
	if (d)
		closedir(d);
	return rc;
}

/* The groups below one: slots, and what a job made in its own. */
static void remove_below(int dir, const char *name)
{
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *de;

	while (d && (de = readdir(d))) {
		if (de->d_type != DT_DIR || de->d_name[0] == '.')
			continue;
		remove_below(fd, de->d_name);
		unlinkat(fd, de->d_name, AT_REMOVEDIR);
	}
	if (d)
		closedir(d);
}

static int open_group(const char *path)
{
	struct statfs fs;
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0 || (fstatfs(fd, &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC))
		return fd;
	close(fd);
	errno = ENOTDIR;
	return -1;
}

/* 0: nothing lives in it any more. */
static int kill_old(int dir, const char *path)
{
	int events = open_events(dir, "."), rc = events < 0 ? -1 : 0;

	if (rc == 0 && !cage_has_emptied(events) && !MUTANT("no_kill_of_dead_runners_jobs")) {
		log_info("%s: killing what an earlier runner left", path);
		rc = kill_below(dir, ".");
		if (rc == 0)
			wait_until_empty(events, path);
	}
	if (events >= 0)
		close(events);
	return rc;
}

/* Kills, waits, removes. What is no group of ours is left alone. */
static int clear_group(const char *path)
{
	const char *name = strrchr(path, '/');
	int fd, rc;

	if (!name || strncmp(name + 1, ROOT_PREFIX, strlen(ROOT_PREFIX)) != 0)
		return 0;
	fd = open_group(path);
	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP))
		return 0;
	rc = fd < 0 ? -1 : kill_old(fd, path);
	if (rc < 0)
		log_error("%s: cannot kill what an earlier runner left: %s; nothing is started beside it: end the processes that its cgroup.procs"
			  " name, if they do not go by themselves", path, strerror(errno));
	else
		remove_below(fd, ".");
	if (fd >= 0)
		close(fd);
	rmdir(path);
	return rc;
}

/* ---- the note with the path ---- */

/* A note is a file: what else may stand there (a FIFO, say) is not waited for. */
static int open_note(const char *note, int flags)
{
	int fd = open(note, flags | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
	struct stat st;

	if (fd < 0 || (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)))
		return fd;
	close(fd);
	errno = EINVAL;
	return -1;
}

static int clear_noted(const char *note)
{
	char path[PATH_MAX];
	int fd = open_note(note, O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, path, sizeof(path) - 1);

	if (n < 0 && errno != ENOENT) {
		log_error("%s: what an earlier runner left cannot be found: %s", note, strerror(errno));
		if (fd >= 0)
			close(fd);
		return -1;
	}
	if (fd >= 0)
		close(fd);
	if (n <= 0)
		return 0;
	path[n] = '\0';
	return clear_group(path);
}

static int write_note(const struct cage_root *root)
{
	size_t len = strlen(root->path);
	int fd = open_note(root->note, O_WRONLY | O_CREAT | O_TRUNC);
	ssize_t n;

	if (fd < 0)
		return -1;
	n = write(fd, root->path, len);
	close(fd);
	return n == (ssize_t)len ? 0 : -1;
}

/* ---- our own ---- */

/* Where cgroup v2 is mounted, and which of its groups stands there; false: nowhere. */
static bool find_mount(char root[PATH_MAX], char mount[PATH_MAX])
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	char *line = NULL;
	size_t cap = 0;
	bool found = false;

	while (f && !found && getline(&line, &cap, f) >= 0)
		found = strlen(line) < PATH_MAX && strstr(line, " - cgroup2 ") && sscanf(line, "%*s %*s %*s %s %s", root, mount) == 2
			&& !strchr(mount, '\\');
	free(line);
	if (f)
		fclose(f);
	return found;
}

static bool find_own_group(char group[PATH_MAX])
{
	FILE *f = fopen("/proc/self/cgroup", "re");
	char *line = NULL;
	size_t cap = 0;
	bool found = false;

	while (f && !found && getline(&line, &cap, f) >= 0) {
		line[strcspn(line, "\n")] = '\0';
		found = !strncmp(line, "0::/", 4) && strlen(line) < PATH_MAX;
		if (found)
			memcpy(group, line + 3, strlen(line + 3) + 1);
	}
	free(line);
	if (f)
		fclose(f);
	return found;
}

uint64_t cage_socket_number(const char *socket_path)
{
	const char *base = strrchr(socket_path, '/');
	char *dir = strndup(socket_path, base ? (size_t)(base - socket_path) : 0);
	uint64_t h = UINT64_C(0xcbf29ce484222325);
	struct stat st = {0};

	if (!dir)
		log_die("no memory for a path");
	if (stat(base == socket_path ? "/" : *dir ? dir : ".", &st) < 0)
		log_warn("%s: %s", dir, strerror(errno));
	free(dir);
	h = (h ^ st.st_dev) * UINT64_C(0x100000001b3);
	h = (h ^ st.st_ino) * UINT64_C(0x100000001b3);
	for (const char *c = base ? base + 1 : socket_path; *c; c++)
		h = (h ^ (unsigned char)*c) * UINT64_C(0x100000001b3);
	return h;
}

/* The path of our root; NULL: there is no place for one. */
static char *root_path(const char *socket_path)
{
	char root[PATH_MAX], mount[PATH_MAX], group[PATH_MAX], *path;
	const char *below = group;
	size_t len;

	if (!find_mount(root, mount) || !find_own_group(group))
		return NULL;
	len = strcmp(root, "/") ? strlen(root) : 0;
	if (strncmp(group, root, len) != 0)
		return NULL;
	below += len;
	if (asprintf(&path, "%s%s/" ROOT_PREFIX "%016" PRIx64, mount, strcmp(below, "/") ? below : "", cage_socket_number(socket_path)) < 0)
		log_die("no memory for a path");
	return path;
}

/* A child straight into the group that lives there, and the means to kill it: all that a job will need. */
static int try_out(int fd)
{
	int status;
	struct clone_args ca = {.flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD, .cgroup = (uint64_t)fd};
	long pid;

	if (faccessat(fd, "cgroup.kill", W_OK, 0) < 0 || faccessat(fd, "cgroup.events", R_OK, 0) < 0)
		return -1;
	pid = syscall(SYS_clone3, &ca, sizeof(ca));
	if (!pid)
		syscall(SYS_exit_group, 0);
	if (pid < 0 || waitpid((pid_t)pid, &status, 0) < 0)
		return -1;
	errno = EPERM;
	return status ? -1 : 0;
}

static int make_root(struct cage_root *root)
{
	if (mkdir(root->path, 0755) < 0)
		return -1;
	root->fd = open_group(root->path);
	if (root->fd < 0)
		return -1;
	return try_out(root->fd) < 0 || write_note(root) < 0 ? -1 : 0;
}

static void remove_root(struct cage_root *root)
{
	if (root->fd >= 0) {
		remove_below(root->fd, ".");
		close(root->fd);
		rmdir(root->path);
		unlink(root->note);
	}
	root->fd = -1;
}

int cage_open(struct cage_root *root, const char *socket_path, enum cage_wish wish)
{
	*root = (struct cage_root){.fd = -1};
	if (asprintf(&root->note, "%s.cgroup", socket_path) < 0)
		log_die("no memory for a path");
	if (clear_noted(root->note) < 0)
		return -1;
	if (wish == CAGE_NEVER)
		return 0;
	root->path = root_path(socket_path);
	errno = ENOENT;
	if (root->path && clear_group(root->path) < 0)
		return -1;
	if (root->path && make_root(root) == 0)
		return 0;
	log_info("no control groups for jobs: %s; what a job leaves behind is found as an orphan", strerror(errno));
	remove_root(root);
	return 0;
}

void cage_close(struct cage_root *root)
{
	remove_root(root);
	free(root->path);
	free(root->note);
}

/* ---- slots ---- */

static void name_of(const struct cages *c, unsigned n, char name[32])
{
	snprintf(name, 32, "%u.%u", c->worker, n);
}

void cages_init(struct cages *c, const struct cage_root *root, unsigned worker)
{
	*c = (struct cages){.root = root, .worker = worker};
	SLIST_INIT(&c->free);
}

void cages_done(struct cages *c)
{
	struct cage *cage;

	while ((cage = SLIST_FIRST(&c->free))) {
		SLIST_REMOVE_HEAD(&c->free, link);
		free(cage);
	}
}

static struct cage *make(struct cages *c)
{
	struct cage *cage = malloc(sizeof(*cage));
	char name[32];

	if (!cage)
		log_die("no memory for a cage");
	cage->n = c->n_made;
	name_of(c, cage->n, name);
	if (mkdirat(c->root->fd, name, 0755) == 0) {
		c->n_made++;
		return cage;
	}
	log_warn("%s/%s: %s; a job runs in its process group alone", c->root->path, name, strerror(errno));
	free(cage);
	return NULL;
}

struct cage *cages_take(struct cages *c)
{
	struct cage *cage = SLIST_FIRST(&c->free);

	if (c->root->fd < 0)
		return NULL;
	if (!cage)
		return make(c);
	SLIST_REMOVE_HEAD(&c->free, link);
	return cage;
}

void cages_give_back(struct cages *c, struct cage *cage)
{
	if (cage)
		SLIST_INSERT_HEAD(&c->free, cage, link);
}

void cages_discard(struct cages *c, struct cage *cage)
{
	char name[32];

	name_of(c, cage->n, name);
	remove_below(c->root->fd, name);
	unlinkat(c->root->fd, name, AT_REMOVEDIR);      /* else with the root, when we leave */
	free(cage);
}

int cage_dir(const struct cages *c, const struct cage *cage)
{
	char name[32];

	name_of(c, cage->n, name);
	return openat(c->root->fd, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

bool cage_is_empty(const struct cages *c, const struct cage *cage)
{
	char name[32];
	bool empty;
	int fd;

	name_of(c, cage->n, name);
	fd = open_events(c->root->fd, name);
	if (fd < 0)
		return errno == ENOENT;
	empty = cage_has_emptied(fd);
	close(fd);
	return empty;
}

int cage_kill(const struct cages *c, const struct cage *cage)
{
	char name[32];
	int fd, saved;

	name_of(c, cage->n, name);
	fd = open_events(c->root->fd, name);
	if (fd < 0 || kill_below(c->root->fd, name) == 0)
		return fd;
	saved = errno;
	close(fd);
	errno = saved;
	return -1;
}
