/* SPDX-License-Identifier: MIT */
/*
 * animal NAME - takes a shape that a shell can not, says so on the FIFO $UP, and stays. What it inherits as descriptor 5 stays open in all
 * that it starts: its end shows that nothing is left. The process that was started ends (but for `output`, which outlives nobody), so that what
 * stays is an orphan; or it goes on as the job ($REST), so that what stays are its siblings.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static void up(void)
{
	int fd = open(getenv("UP"), O_WRONLY);

	if (fd < 0 || write(fd, "\n", 1) != 1)
		_exit(1);
	close(fd);
}

static _Noreturn void stay(void)
{
	for (;;)
		pause();
}

/* In the child only: an orphan in a session of its own, soon. */
static void leave(void)
{
	if (fork())
		_exit(0);
	setsid();
}

static void as_daemon(void)
{
	if (daemon(0, 0))
		_exit(1);
}

/* Each generation dies as soon as the next one is there. */
static void chain(void)
{
	leave();
	for (int i = 0; i < 200; i++)
		if (fork())
			_exit(0);
}

/* The parent can not run until its child has executed, and it never does. */
static void vforked(void)
{
	leave();
	up();
	if (vfork() == 0)
		stay();
	_exit(0);
}

static void own_group(void)
{
	if (fork())
		_exit(0);
	setpgid(0, 0);
}

static void others_group(void)
{
	pid_t first;

	leave();
	first = fork();
	if (first == 0)
		stay();
	setpgid(first, first);
	if (fork())
		stay();
	setpgid(0, first);
}

static void traced(void)
{
	leave();
	if (fork() == 0) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		stay();
	}
	wait(NULL);     /* it stands still now */
}

static void *linger(void *arg)
{
	(void)arg;
	up();
	stay();
}

/* The first thread has gone: a zombie that lives. */
static void leaderless(void)
{
	pthread_t t;

	leave();
	if (pthread_create(&t, NULL, linger, NULL))
		_exit(1);
	syscall(SYS_exit, 0);
}

static void *linger_in_crowd(void *arg)
{
	if (write(*(int *)arg, "", 1) != 1)
		_exit(1);
	stay();
}

/* Many of them. */
static void leaderless_crowd(void)
{
	int shaped[2];
	pthread_t t;
	char c;

	leave();
	if (pipe(shaped))
		_exit(1);
	for (int i = 0; i < 200; i++)
		if (fork() == 0) {
			setsid();
			if (pthread_create(&t, NULL, linger_in_crowd, &shaped[1]))
				_exit(1);
			syscall(SYS_exit, 0);
		}
	for (int i = 0; i < 200; i++)
		if (read(shaped[0], &c, 1) != 1)
			_exit(1);
	up();
	_exit(0);
}

static void *next_generation(void *arg);

static _Noreturn void lose_leader(void)
{
	pthread_t t;

	if (pthread_create(&t, NULL, next_generation, NULL))
		_exit(1);
	syscall(SYS_exit, 0);
	_exit(1);
}

static void *next_generation(void *arg)
{
	(void)arg;
	if (fork() == 0)
		lose_leader();
	poll(NULL, 0, 1);
	_exit(0);
}

/* Each is there for a moment, and without its first thread for most of it. */
static void leaderless_lines(void)
{
	leave();
	for (int i = 0; i < 30; i++)
		if (fork() == 0)
			lose_leader();
}

/* Its orphans come to it, and not to the runner. */
static void reaper(void)
{
	leave();
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	for (int i = 0; i < 5; i++)
		if (fork() == 0) {
			leave();
			stay();
		}
}

static void on_term(int sig)
{
	(void)sig;
	if (fork() == 0)
		setsid();
}

/* TERM makes more of them. */
static void reforker(void)
{
	signal(SIGTERM, on_term);
	if (fork())
		_exit(0);
	setsid();
}

static void stopped_group(void)
{
	leave();
	if (fork() == 0)
		stay();
	up();
	kill(0, SIGSTOP);
	stay();
}

static void bomb(void)
{
	leave();
	for (int i = 0; i < 7; i++) {
		if (fork() == 0 && i % 2)
			setsid();
		signal(SIGTERM, SIG_IGN);
	}
	if (getsid(0) != getpid())
		stay();
}

static void deaf(void)
{
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	leave();
}

static void zombies(void)
{
	leave();
	for (int i = 0; i < 20; i++)
		if (fork() == 0)
			_exit(0);
}

/* What it says about itself in /proc is empty. */
static void bare(void)
{
	static char *const none[] = { NULL };

	leave();
	up();
	execle("/bin/sleep", "sleep", "1000", (char *)NULL, none);
	_exit(1);
}

static void bare_below(void)
{
	leave();
	if (fork() == 0)
		bare();
	stay();
}

static void renamed(void)
{
	leave();
	prctl(PR_SET_NAME, "jobd-runner");
	prctl(PR_SET_PDEATHSIG, 0);
	prctl(PR_SET_DUMPABLE, 0);
}

static void idle(void)
{
	struct sched_param none = { 0 };

	leave();
	sched_setscheduler(0, SCHED_IDLE, &none);
	setpriority(PRIO_PROCESS, 0, 19);
}

/* The first of a world of its own, where that is allowed; its children die with it. */
static void pid_namespace(void)
{
	leave();
	if (unshare(CLONE_NEWPID) == 0 && fork() > 0)
		stay();
	if (fork() == 0)
		stay();
}

/* Stuck in a write. */
static void writer(void)
{
	char much[1 << 17] = "";
	int fds[2];

	leave();
	if (pipe(fds))
		_exit(1);
	up();
	for (;;)
		if (write(fds[1], much, sizeof(much)) < 0)
			_exit(1);
}

static void on_alarm(int sig)
{
	(void)sig;
	if (fork() == 0) {
		setsid();
		poll(NULL, 0, 5);
		_exit(0);
	}
}

/* A stream of orphans that die by themselves, from one that does not. Where a fork takes longer than the pause it does nothing else any more. */
static void spawner(void)
{
	struct itimerval every = { { 0, 2000 }, { 0, 2000 } };

	leave();
	signal(SIGCHLD, SIG_IGN);
	signal(SIGALRM, on_alarm);
	on_alarm(SIGALRM);
	up();
	setitimer(ITIMER_REAL, &every, NULL);
	stay();
}

/* Its program has no name. */
static void nameless(void)
{
	char buf[65536];
	int from = open("/bin/sleep", O_RDONLY | O_CLOEXEC), to = memfd_create("x", MFD_CLOEXEC);
	ssize_t n;

	leave();
	while ((n = read(from, buf, sizeof(buf))) > 0)
		if (write(to, buf, (size_t)n) != n)
			_exit(1);
	up();
	snprintf(buf, sizeof(buf), "/proc/self/fd/%d", to);
	execl(buf, "sleep", "1000", (char *)NULL);
	_exit(1);
}

/* In the job's own session, with its output open. */
static void output(void)
{
	if (fork())
		_exit(0);
	signal(SIGHUP, SIG_IGN);
	if (write(1, "still here\n", 11) != 11)
		_exit(1);
}

static pid_t make_sibling(void)
{
	return (pid_t)syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);
}

static _Noreturn void be_the_job(void)
{
	execl("/bin/sh", "sh", "-c", getenv("REST"), (char *)NULL);
	_exit(1);
}

/* Not its child: its parent's. */
static void sibling(void)
{
	if (make_sibling())
		be_the_job();
	setsid();
}

/* Some are dead, some have children, each makes the next. */
static void siblings(void)
{
	if (make_sibling())
		be_the_job();
	for (int i = 0; i < 20; i++) {
		if (i % 4 == 0 && make_sibling() == 0)
			_exit(0);
		if (make_sibling() == 0)
			continue;
		if (i % 2)
			setsid();
		if (i % 3 == 0)
			fork();
		stay();
	}
}

/* In the middle of exec most of the time: whoever looks at it mostly sees no environment. */
static _Noreturn void exec_again(void)
{
	execl("/proc/self/exe", "animal", "execs-on", (char *)NULL);
	_exit(1);
}

static void execs(void)
{
	leave();
	up();
	exec_again();
}

static const struct {
	const char *name;
	void (*shape)(void);
} animals[] = {
	{ "daemon", as_daemon }, { "chain", chain }, { "vforked", vforked }, { "own-group", own_group }, { "others-group", others_group },
	{ "traced", traced }, { "leaderless", leaderless }, { "leaderless-crowd", leaderless_crowd },
	{ "leaderless-lines", leaderless_lines }, { "reaper", reaper }, { "reforker", reforker }, { "stopped-group", stopped_group },
	{ "bomb", bomb }, { "deaf", deaf }, { "zombies", zombies }, { "bare", bare }, { "bare-below", bare_below }, { "renamed", renamed },
	{ "idle", idle }, { "pid-namespace", pid_namespace }, { "writer", writer }, { "spawner", spawner }, { "nameless", nameless },
	{ "output", output }, { "sibling", sibling }, { "siblings", siblings }, { "execs", execs }, { "execs-on", exec_again },
};

int main(int argc, char **argv)
{
	for (size_t i = 0; argc == 2 && i < sizeof(animals) / sizeof(*animals); i++)
		if (strcmp(argv[1], animals[i].name) == 0) {
			animals[i].shape();
			up();
			stay();
		}
	fprintf(stderr, "usage: animal NAME\n");
	return 2;
}
