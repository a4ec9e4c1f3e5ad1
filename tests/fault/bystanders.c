/* SPDX-License-Identifier: MIT */
/*
 * bystanders N - keeps N processes going that nobody has a reason to signal, each for some milliseconds, so that numbers of processes are used
 * again and again. Until standard input ends; then: how many there were. Whoever got a signal is told at once, one line each; exit status 1.
 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LIFE_MAX_MS 40
#define RETRY_MS 1              /* where no process can be made just now */

static unsigned long made, hit;

/* Lives, and says what it was sent. Every other one leads a group of its own, for signals to groups. */
static _Noreturn void stand_by(void)
{
	struct timespec life = {.tv_nsec = (1 + rand() % LIFE_MAX_MS) * 1000000L};
	siginfo_t si;
	sigset_t all;

	if (made % 2)
		setpgid(0, 0);
	sigfillset(&all);
	if (sigtimedwait(&all, &si, &life) < 0)
		_exit(0);
	printf("process %d got signal %d from process %d\n", (int)getpid(), si.si_signo, (int)si.si_pid);
	fflush(stdout);
	_exit(1);
}

static int start(void)
{
	pid_t pid;

	made++;
	srand((unsigned)made);
	pid = fork();
	if (pid == 0)
		stand_by();
	if (pid < 0)
		made--;
	return pid < 0 ? -1 : 0;
}

static void bury(void)
{
	int status;
	pid_t pid = wait(&status);

	if (pid > 0 && status) {
		hit++;
		if (WIFSIGNALED(status))
			printf("process %d was ended by signal %d\n", (int)pid, WTERMSIG(status));
		fflush(stdout);
	}
}

static int input_has_ended(int patience_ms)
{
	struct pollfd p = {.fd = 0, .events = POLLIN};

	return poll(&p, 1, patience_ms) > 0;
}

int main(int argc, char **argv)
{
	unsigned n = argc == 2 ? (unsigned)strtoul(argv[1], NULL, 10) : 0, alive = 0;
	sigset_t all;

	if (!n) {
		fprintf(stderr, "usage: bystanders N\n");
		return 2;
	}
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);     /* also for those who have just been born */
	while (!input_has_ended(0)) {
		while (alive < n && start() == 0)
			alive++;
		if (!alive) {
			input_has_ended(RETRY_MS);
			continue;
		}
		bury();
		alive--;
	}
	for (; alive; alive--)
		bury();
	printf("%lu bystanders, %lu hit\n", made, hit);
	return hit ? 1 : 0;
}
