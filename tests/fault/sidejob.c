/* SPDX-License-Identifier: MIT */
/*
 * sidejob SIDE LOCKS KEY [+]MILLISECONDS STATUS - the job of the fault tests: takes the lock of its key (a live twin is seen without any
 * timing), says that it begins and who started it, works, says that it ends. One write a line; see check_history.py for the format.
 *
 * +: the work is done by a child in a session of its own, which shares the lock and outlives us when we are killed - if a control group
 * holds us, for nothing else can find it then.
 */
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

/* A job has no business with leaks, and is traced, killed and kept from forking: under a sanitizer the look for them would be its end. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "detect_leaks=0";
}

static pid_t job;               /* that the lines are about */

static int say(int fd, const char *key, char what, const char *attempt, const char *more)
{
	char line[512];
	int n = snprintf(line, sizeof(line), "%c %s att=%s pid=%d%s\n", what, key, attempt, (int)job, more);

	return n > 0 && n < (int)sizeof(line) && write(fd, line, (size_t)n) == n ? 0 : -1;
}

static bool is_held_by_a_group(void)
{
	char text[4096];
	int fd = open("/proc/self/cgroup", O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, text, sizeof(text) - 1);

	close(fd);
	text[n > 0 ? n : 0] = '\0';
	return strstr(text, "/jobd-");
}

/* Goes on in a child, and ends as that one does; where there can be none, here. */
static void work_in_child(void)
{
	pid_t child = fork();
	int status;

	if (child == 0) {
		setsid();
		return;
	}
	if (child < 0)
		return;
	if (waitpid(child, &status, 0) < 0)
		_exit(94);
	_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 93);
}

int main(int argc, char **argv)
{
	const char *attempt = getenv("JOBD_ATTEMPT");
	char lock[PATH_MAX], rc[16], by[32];
	int side, fd, ms, status;

	if (argc != 6 || !attempt)
		return 98;
	job = getpid();
	ms = (int)strtol(argv[4], NULL, 10);
	status = (int)strtol(argv[5], NULL, 10);
	snprintf(lock, sizeof(lock), "%s/%s", argv[2], argv[3]);
	snprintf(rc, sizeof(rc), " rc=%d", status);
	snprintf(by, sizeof(by), " by=%d", (int)getppid());
	side = open(argv[1], O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
	fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
	if (side < 0 || fd < 0)
		return 97;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		say(side, argv[3], 'C', attempt, "");
		return 99;
	}
	if (say(side, argv[3], 'B', attempt, by) < 0)
		return 96;
	if (argv[4][0] == '+' && is_held_by_a_group())
		work_in_child();
	poll(NULL, 0, ms);
	if (say(side, argv[3], 'E', attempt, rc) < 0)
		return 95;
	return status;
}
