/* SPDX-License-Identifier: MIT */
/*
 * A command as the work of a map: one process an attempt. The thread that started it reads its output and waits for it: in one poll, for the
 * pipe, the process (a pidfd), the map's stop, and the time at which it gets its next signal.
 *
 *	spawned -> runs -> exited, output ended -> reaped
 *	            \-- timeout, too much output, stop --> SIGTERM --grace--> SIGKILL --/
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "jobtree_map.h"

#define GRACE_NS INT64_C(10000000000)
#define READ_SIZE 65536

extern char **environ;

struct child {
	const struct jt_command *command;
	pid_t pid;
	int pidfd, out, stop;             /* -1: no longer looked at; the process has ended, its output has, the end is under way */
	char *data;
	size_t len, cap;
	int why;                          /* a negative errno: it has to end for that */
	int64_t next_signal_ns;
	int signal;                       /* to be sent then */
};

static int64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

/* ---- start ---- */

/* The descriptors 0 to 2 are to be set in the child: one of ours there would be overwritten before it is used. */
static int above_stdio(int fd)
{
	if (fd < 0 || fd > STDERR_FILENO)
		return fd;
	int higher = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	close(fd);
	return higher;
}

/* Standard input: the item, or nothing. */
static int open_stdin(const struct jt_command *c, const struct jt_item *item)
{
	if (c->input == JT_COMMAND_NO_STDIN)
		return open("/dev/null", O_RDONLY | O_CLOEXEC);
	int fd = memfd_create("item", MFD_CLOEXEC);
	for (size_t at = 0; fd >= 0 && at < item->len;) {
		ssize_t n = write(fd, (const char *)item->data + at, item->len - at);
		if (n <= 0) {
			close(fd);
			return -1;
		}
		at += (size_t)n;
	}
	if (fd >= 0 && lseek(fd, 0, SEEK_SET) != 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static char **argv_of(const struct jt_command *c, const struct jt_call *call, const struct jt_item *item)
{
	struct jt_template_values v = { .seq = call->seq, .slot = call->slot + 1, .threads = c->threads };
	struct jt_bytes one = { item->data, item->len }, *parts = &one;
	size_t argc;

	v.n_items = c->input == JT_COMMAND_ITEM_ON_STDIN ? 0 : c->tuples ? item->len : 1;
	if (c->tuples && v.n_items > 0) {
		const struct jt_item *tuple = item->data;
		parts = calloc(v.n_items, sizeof(*parts));
		for (size_t i = 0; parts && i < v.n_items; i++)
			parts[i] = (struct jt_bytes){ tuple[i].data, tuple[i].len };
	}
	v.items = parts;
	char **argv = parts ? jt_template_expand(c->template, &v, &argc) : NULL;
	if (parts != &one)
		free(parts);
	return argv;
}

/* A group of its own, the signals as a program expects them. */
static int spawn_with(struct child *c, char **argv, int in, int out)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t none, deadly;
	int rc = posix_spawn_file_actions_init(&files);

	if (rc != 0)
		return rc;
	posix_spawnattr_init(&attr);
	sigemptyset(&none);
	sigemptyset(&deadly);
	sigaddset(&deadly, SIGPIPE);
	sigaddset(&deadly, SIGTERM);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	posix_spawnattr_setpgroup(&attr, 0);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &deadly);
	rc = posix_spawn_file_actions_adddup2(&files, in, STDIN_FILENO);
	if (rc == 0)
		rc = posix_spawn_file_actions_adddup2(&files, out, STDOUT_FILENO);
	if (rc == 0)
		rc = posix_spawnp(&c->pid, argv[0], &files, &attr, argv, c->command->envp ? c->command->envp : environ);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&files);
	return rc;
}

static int make_pipe(int pipes[2])
{
	if (pipe2(pipes, O_CLOEXEC) < 0)
		return -1;
	pipes[1] = above_stdio(pipes[1]);
	return pipes[1] >= 0 ? 0 : -1;
}

static int spawn(struct child *c, const struct jt_call *call, const struct jt_item *item)
{
	char **argv = argv_of(c->command, call, item);
	int pipes[2] = { -1, -1 }, in = -1, rc = ENOMEM;

	if (argv) {
		in = above_stdio(open_stdin(c->command, item));
		rc = in >= 0 && make_pipe(pipes) == 0 ? spawn_with(c, argv, in, pipes[1]) : errno;
	}
	free(argv);
	if (in >= 0)
		close(in);
	if (pipes[1] >= 0)
		close(pipes[1]);
	if (rc != 0 && pipes[0] >= 0)
		close(pipes[0]);
	c->out = rc == 0 ? pipes[0] : -1;
	return rc;
}

/* ---- its end before its time ---- */

/* It is not reaped yet, so the group is still its own. */
static void must_end(struct child *c, int why)
{
	if (c->why)
		return;
	c->why = why;
	c->stop = -1;
	kill(-c->pid, SIGTERM);
	c->next_signal_ns = now_ns() + (c->command->grace_ns > 0 ? c->command->grace_ns : GRACE_NS);
	c->signal = SIGKILL;
}

static void forget_output(struct child *c)
{
	if (c->out >= 0)
		close(c->out);
	c->out = -1;
}

static void time_is_over(struct child *c)
{
	if (c->signal != SIGKILL) {
		must_end(c, -ETIMEDOUT);
		return;
	}
	kill(-c->pid, SIGKILL);
	c->next_signal_ns = INT64_MAX;
	forget_output(c);                 /* somebody beyond the group may hold it open for ever */
}

/* ---- while it runs ---- */

static int room_for_output(struct child *c)
{
	if (c->cap - c->len >= READ_SIZE)
		return 0;
	size_t cap = c->cap ? c->cap * 2 : READ_SIZE;
	char *data = realloc(c->data, cap);
	if (!data)
		return -1;
	c->data = data;
	c->cap = cap;
	return 0;
}

static void read_output(struct child *c)
{
	if (room_for_output(c) < 0) {
		must_end(c, -ENOMEM);
		forget_output(c);
		return;
	}
	ssize_t n = read(c->out, c->data + c->len, READ_SIZE);
	if (n <= 0) {
		if (n == 0 || errno != EINTR)
			forget_output(c);
		return;
	}
	c->len += (size_t)n;
	if (c->command->output_max > 0 && c->len > c->command->output_max) {
		must_end(c, -EFBIG);
		c->len = c->command->output_max;
	}
}

static void wait_until_ended(struct child *c)
{
	while (c->pidfd >= 0 || c->out >= 0) {
		struct pollfd fds[3] = { { .fd = c->pidfd, .events = POLLIN }, { .fd = c->out, .events = POLLIN }, { .fd = c->stop, .events = POLLIN } };
		int64_t left = c->next_signal_ns - now_ns();
		struct timespec t = { left > 0 ? left / 1000000000 : 0, left > 0 ? left % 1000000000 : 0 };

		if (ppoll(fds, 3, c->next_signal_ns == INT64_MAX ? NULL : &t, NULL) == 0)
			time_is_over(c);
		if (fds[0].revents) {
			close(c->pidfd);
			c->pidfd = -1;
		}
		if (c->out >= 0 && fds[1].revents)
			read_output(c);
		if (c->stop >= 0 && fds[2].revents)
			must_end(c, -ECANCELED);
	}
}

/* Without a descriptor for the process its end could not be waited for beside its output. */
static void watch(struct child *c)
{
	c->pidfd = (int)syscall(SYS_pidfd_open, c->pid, 0);
	if (c->pidfd >= 0)
		return;
	c->why = -errno;
	kill(-c->pid, SIGKILL);
	forget_output(c);
}

static int reap(struct child *c)
{
	siginfo_t si = { 0 };

	while (waitid(P_PID, (id_t)c->pid, &si, WEXITED) < 0 && errno == EINTR)
		;
	if (c->why)
		return c->why;
	return si.si_code == CLD_EXITED ? si.si_status : JT_COMMAND_SIGNAL + si.si_status;
}

static int run(void *arg, const struct jt_call *call, const struct jt_item *item, struct jt_item *ret_output)
{
	struct child c = { .command = arg, .next_signal_ns = INT64_MAX, .stop = jt_map_stop_fd(call->map) };
	int rc = spawn(&c, call, item);

	if (rc != 0)
		return -rc;
	watch(&c);
	if (c.command->timeout_ns > 0) {
		c.next_signal_ns = now_ns() + c.command->timeout_ns;
		c.signal = SIGTERM;
	}
	wait_until_ended(&c);
	*ret_output = (struct jt_item){ .data = c.data, .len = c.len, .release = c.data ? free : NULL };
	return reap(&c);
}

struct jt_work jt_command_work(const struct jt_command *c)
{
	return (struct jt_work){ .run = run, .arg = (void *)(uintptr_t)c };
}
