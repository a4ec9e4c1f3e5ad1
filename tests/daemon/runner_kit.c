/* SPDX-License-Identifier: MIT */
#include "runner_kit.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE_S 60

const char *kit_path(struct kit *k, const char *name)
{
	static char paths[64][256];
	static unsigned turn;
	char *p = paths[turn++ % 64];

	ck_assert_int_lt(snprintf(p, sizeof(paths[0]), "%s/%s", k->dir, name), (int)sizeof(paths[0]));
	return p;
}

static const char *program(void)
{
	static char path[1024];
	const char *dir = getenv("JOBD_BUILDDIR");

	ck_assert_int_lt(snprintf(path, sizeof(path), "%s/jobd-runner", dir ? dir : "."), (int)sizeof(path));
	return path;
}

static void exec_runner(struct kit *k, const char *const *options, int ready_fd)
{
	const char *argv[32] = {program(), "--socket", k->socket, "--state", k->dir, "--ready-fd", "3", "--log-level", "error"};
	int n = 9;

	while (options && *options && n < 31)
		argv[n++] = *options++;
	if (dup2(ready_fd, 3) == 3)
		execv(argv[0], (char *const *)argv);
	perror(argv[0]);
	_exit(127);
}

void kit_spawn(struct kit *k, const char *const *options)
{
	char text[8];
	int fds[2];

	ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
	k->pid = fork();
	ck_assert_int_ge(k->pid, 0);
	if (!k->pid)
		exec_runner(k, options, fds[1]);
	close(fds[1]);
	ck_assert_int_eq(read(fds[0], text, 6), 6);
	close(fds[0]);
}

void kit_up(struct kit *k, const char *const *options)
{
	memset(k, 0, sizeof(*k));
	k->sock = -1;
	snprintf(k->dir, sizeof(k->dir), "/tmp/test-runner-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(k->dir));
	snprintf(k->socket, sizeof(k->socket), "%s/socket", k->dir);
	kit_spawn(k, options);
	kit_hello(k);
}

int kit_wait_exit(struct kit *k)
{
	int status = -1;

	ck_assert_int_eq(waitpid(k->pid, &status, 0), k->pid);
	k->pid = 0;
	return status;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

void kit_down(struct kit *k)
{
	int status = 0;

	if (!k->pid && access(kit_path(k, "socket.cgroup"), F_OK) == 0)
		kit_spawn(k, NULL);     /* clears away what the one that was killed left */
	if (k->pid) {
		kit_hang_up(k);
		kill(k->pid, SIGTERM);
		status = kit_wait_exit(k);
	}
	kit_hang_up(k);
	free(k->inventory);
	nftw(k->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	ck_assert_msg(WIFEXITED(status) && !WEXITSTATUS(status), "the runner ended with wait status 0x%x", status);
}

int kit_connect(struct kit *k)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	struct timeval limit = {.tv_sec = PATIENCE_S};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", k->socket);
	ck_assert_msg(connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0, "connect: %s", strerror(errno));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	return fd;
}

void kit_hang_up(struct kit *k)
{
	if (k->sock >= 0)
		close(k->sock);
	k->sock = -1;
	k->in.len = k->in.pos = 0;
}

static int next(struct kit *k, struct rm_msg *ret)
{
	int fds[RM_FDS_MAX] = {-1, -1, -1, -1}, rc;
	struct rm_map map;
	ssize_t n;

	while (!(rc = rm_next(k->in.buf, k->in.len, &k->in.pos, fds, ret, &map))) {
		n = rm_recv(k->sock, k->in.buf, sizeof(k->in.buf), fds);
		ck_assert_msg(n > 0, "receive: %s", n ? strerror(errno) : "end of file");
		k->in.len = (size_t)n;
		k->in.pos = 0;
	}
	return rc;
}

struct rm_msg kit_next(struct kit *k)
{
	struct rm_msg m;

	ck_assert_int_eq(next(k, &m), 1);
	return m;
}

void kit_send(struct kit *k, const struct rm_msg *m)
{
	static struct rm_packet p;

	ck_assert_int_eq(rm_put(&p, m), 0);
	ck_assert_int_eq(rm_send(k->sock, &p), 0);
}

void kit_hello(struct kit *k)
{
	struct rm_msg m = {.type = RM_HELLO, .u.hello = {.version = RM_VERSION, .pid = (uint32_t)getpid()}};
	int fd = kit_connect(k);

	kit_hang_up(k);
	k->sock = fd;
	kit_send(k, &m);
	m = kit_next(k);
	ck_assert_int_eq(m.type, RM_WELCOME);
	k->welcome = m.u.welcome;
	free(k->inventory);
	k->n_inventory = m.u.welcome.n_inventory;
	k->inventory = calloc(k->n_inventory + 1, sizeof(*k->inventory));
	for (size_t i = 0; i < k->n_inventory; i++) {
		m = kit_next(k);
		ck_assert_int_eq(m.type, RM_INVENTORY);
		k->inventory[i] = m.u.end;
	}
	ck_assert_int_eq(kit_next(k).type, RM_READY);
}

/* A block of strings, one after the other; static memory for each of two. */
static const char *block(const char *const *v, uint32_t *ret_n, size_t *ret_len, int which)
{
	static char *blocks[2];
	size_t len = 0;
	char *at;

	for (*ret_n = 0; v[*ret_n]; ++*ret_n)
		len += strlen(v[*ret_n]) + 1;
	free(blocks[which]);
	blocks[which] = at = malloc(len + 1);
	for (; *v; v++)
		at = stpcpy(at, *v) + 1;
	*ret_len = len;
	return blocks[which];
}

static int open_output(struct kit *k, uint64_t job, const char *which)
{
	char name[64];
	int fd;

	snprintf(name, sizeof(name), "%s.%llu", which, (unsigned long long)job);
	fd = open(kit_path(k, name), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	ck_assert_int_ge(fd, 0);
	return fd;
}

void kit_start(struct kit *k, const struct job *j)
{
	static const char *const path_only[] = {"PATH=/usr/bin:/bin", NULL};
	const char *shell[] = {"/bin/sh", "-c", j->shell, NULL};
	struct rm_start st = {.job = j->job, .attempt = j->attempt ? j->attempt : 1, .cwd = j->cwd, .stdin_file = j->stdin_file,
			      .user = j->user, .group = j->group, .timeout_ms = j->timeout_ms, .grace_ms = j->grace_ms,
			      .umask = j->umask_set ? j->umask : -1, .nice = j->nice, .fds = {-1, -1, -1, -1}};

	st.argv = block(j->argv ? j->argv : shell, &st.argc, &st.argv_len, 0);
	st.envp = block(j->env ? j->env : path_only, &st.envc, &st.envp_len, 1);
	st.stdin_kind = j->stdin_fd ? RM_STDIN_FD : j->stdin_file ? RM_STDIN_FILE : RM_STDIN_NULL;
	st.fds[0] = open_output(k, j->job, "out");
	st.fds[1] = open_output(k, j->job, "err");
	st.fds[2] = j->stdin_fd ? j->stdin_fd : -1;
	ck_assert_msg(rm_send_start(k->sock, &st) == 0, "send START: %s", strerror(errno));
	close(st.fds[0]);
	close(st.fds[1]);
}

struct rm_end kit_end(struct kit *k)
{
	struct rm_msg m;

	do
		m = kit_next(k);
	while (m.type == RM_STARTED);
	ck_assert_int_eq(m.type, RM_ENDED);
	return m.u.end;
}

struct rm_started kit_started(struct kit *k)
{
	struct rm_msg m = kit_next(k);

	ck_assert_int_eq(m.type, RM_STARTED);
	return m.u.started;
}

void kit_ack(struct kit *k, const struct rm_end *e)
{
	struct rm_msg m = {.type = RM_ACK, .u.ack = {.job = e->job, .attempt = e->attempt}};

	kit_send(k, &m);
}

void kit_kill(struct kit *k, uint64_t job, uint32_t grace_ms)
{
	struct rm_msg m = {.type = RM_KILL, .u.kill = {.job = job, .attempt = 1, .grace_ms = grace_ms}};

	kit_send(k, &m);
}

struct rm_end kit_run(struct kit *k, const struct job *j)
{
	struct rm_end e;

	kit_start(k, j);
	e = kit_end(k);
	ck_assert_uint_eq(e.job, j->job);
	kit_ack(k, &e);
	return e;
}

const char *kit_output(struct kit *k, uint64_t job, const char *which)
{
	static char text[65536];
	char name[64];
	FILE *f;
	size_t n;

	snprintf(name, sizeof(name), "%s.%llu", which, (unsigned long long)job);
	f = fopen(kit_path(k, name), "re");
	ck_assert_ptr_nonnull(f);
	n = fread(text, 1, sizeof(text) - 1, f);
	text[n] = '\0';
	fclose(f);
	return text;
}

void kit_expect_eof(int sock)
{
	char c;
	ssize_t n = recv(sock, &c, 1, 0);

	ck_assert_msg(n == 0 || (n < 0 && errno == ECONNRESET), "the connection is still there: %zd %s", n, n < 0 ? strerror(errno) : "");
}

void kit_fifo_wait(const char *path)
{
	char c;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_ge(read(fd, &c, 1), 0);
	close(fd);
}
