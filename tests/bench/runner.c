/* SPDX-License-Identifier: MIT */
/*
 * What the runner costs a job: N times /bin/true through jobd-runner, S of them outstanding, against a bare loop of posix_spawn and
 * waitpid on as many threads, in turn, so that the machine's moods hit both.
 *
 *   tests/bench/runner [JOBS [OUTSTANDING [ROUNDS]]]
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "proto/runner_msg.h"

#define N_THREADS_MAX 64

static long n_jobs = 10000, n_outstanding = 32, n_rounds = 5;
static atomic_long left;

static void __attribute__((noreturn)) fail(const char *what)
{
	perror(what);
	exit(1);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- bare ---- */

static void *spawn_loop(void *arg)
{
	char *argv[] = {(char *)"/bin/true", NULL};
	pid_t pid;
	int status;

	(void)arg;
	while (atomic_fetch_sub(&left, 1) > 0) {
		if (posix_spawn(&pid, argv[0], NULL, NULL, argv, argv + 1) != 0)
			fail("posix_spawn");
		while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
			;
	}
	return NULL;
}

static double bare(long n_threads)
{
	pthread_t threads[N_THREADS_MAX];
	double start = now();

	atomic_store(&left, n_jobs);
	for (long i = 0; i < n_threads; i++)
		if (pthread_create(&threads[i], NULL, spawn_loop, NULL) != 0)
			fail("pthread_create");
	for (long i = 0; i < n_threads; i++)
		pthread_join(threads[i], NULL);
	return (double)n_jobs / (now() - start);
}

/* ---- through the runner ---- */

static int connect_to(const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	struct rm_msg hello = {.type = RM_HELLO, .u.hello.version = RM_VERSION};
	static struct rm_packet p;
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	if (fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		fail(path);
	rm_put(&p, &hello);
	if (rm_send(fd, &p) < 0)
		fail("hello");
	return fd;
}

static void send_start(int sock, uint64_t job, int null_fd)
{
	struct rm_start st = {.job = job, .attempt = 1, .argc = 1, .envc = 1, .argv = "/bin/true", .argv_len = 10, .envp = "PATH=/bin", .envp_len = 10,
			      .umask = -1, .fds = {null_fd, null_fd, -1, -1}};

	if (rm_send_start(sock, &st) < 0)
		fail("start");
}

/* Receives one packet, acknowledges the ends in it; how many there were. */
static long receive_ends(int sock)
{
	static unsigned char buf[RM_PACKET_MAX];
	static struct rm_packet acks;
	struct rm_msg m, ack = {.type = RM_ACK};
	struct rm_map map;
	int fds[RM_FDS_MAX];
	size_t pos = 0;
	ssize_t len = rm_recv(sock, buf, sizeof(buf), fds);
	long n = 0;

	if (len <= 0)
		fail("receive");
	while (rm_next(buf, (size_t)len, &pos, fds, &m, &map) > 0) {
		if (m.type != RM_ENDED)
			continue;
		ack.u.ack = (struct rm_ack){.job = m.u.end.job, .attempt = 1};
		rm_put(&acks, &ack);
		n++;
	}
	if (rm_send(sock, &acks) < 0)
		fail("acknowledge");
	return n;
}

static double through_runner(int sock, int null_fd)
{
	static uint64_t job;
	double start = now();
	long n_sent = 0, n_ended = 0;

	while (n_ended < n_jobs) {
		for (; n_sent < n_jobs && n_sent - n_ended < n_outstanding; n_sent++)
			send_start(sock, ++job, null_fd);
		n_ended += receive_ends(sock);
	}
	return (double)n_jobs / (now() - start);
}

static pid_t start_runner(const char *socket_path, const char *dir)
{
	const char *build = getenv("JOBD_BUILDDIR");
	char program[1024], c;
	int fds[2];
	pid_t pid;

	snprintf(program, sizeof(program), "%s/jobd-runner", build ? build : ".");
	if (pipe(fds) < 0 || (pid = fork()) < 0)
		fail("fork");
	if (!pid) {
		dup2(fds[1], 9);
		execl(program, program, "--socket", socket_path, "--state", dir, "--ready-fd", "9", "--log-level", "error", (char *)NULL);
		fail(program);
	}
	close(fds[1]);
	if (read(fds[0], &c, 1) != 1)
		fail("the runner");
	close(fds[0]);
	return pid;
}

static double cpu_us(const struct rusage *ru)
{
	return (double)(ru->ru_utime.tv_sec + ru->ru_stime.tv_sec) * 1e6 + (double)(ru->ru_utime.tv_usec + ru->ru_stime.tv_usec);
}

static long number(const char *text)
{
	char *end;
	long n = strtol(text, &end, 10);

	if (*end || n < 1) {
		fprintf(stderr, "usage: runner [JOBS [OUTSTANDING [ROUNDS]]]\n");
		exit(2);
	}
	return n;
}

int main(int argc, char **argv)
{
	char dir[] = "/tmp/bench-runner-XXXXXX", path[64];
	long cpus = sysconf(_SC_NPROCESSORS_ONLN), n_threads = cpus < 2 ? 2 : cpus > N_THREADS_MAX ? N_THREADS_MAX : cpus;
	double best_bare = 0, best_runner = 0;
	int sock, null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct rusage ru;
	pid_t pid;

	n_jobs = argc > 1 ? number(argv[1]) : n_jobs;
	n_outstanding = argc > 2 ? number(argv[2]) : n_outstanding;
	n_rounds = argc > 3 ? number(argv[3]) : n_rounds;
	if (!mkdtemp(dir))
		fail(dir);
	snprintf(path, sizeof(path), "%s/socket", dir);
	pid = start_runner(path, dir);
	sock = connect_to(path);
	printf("%ld jobs, %ld outstanding, %ld threads each\n", n_jobs, n_outstanding, n_threads);
	for (long i = 0; i < n_rounds; i++) {
		double b = bare(n_threads), r = through_runner(sock, null_fd);

		printf("bare %6.0f/s   runner %6.0f/s   ratio %.3f\n", b, r, r / b);
		best_bare = b > best_bare ? b : best_bare;
		best_runner = r > best_runner ? r : best_runner;
	}
	close(sock);
	kill(pid, SIGTERM);
	wait4(pid, NULL, 0, &ru);
	printf("best: bare %.0f/s, runner %.0f/s, ratio %.3f; %.1f us of wall a job more; %.1f us of CPU a job in runner and child\n", best_bare,
	       best_runner, best_runner / best_bare, (1e6 / best_runner - 1e6 / best_bare), cpu_us(&ru) / (double)(n_jobs * n_rounds));
	snprintf(path, sizeof(path), "%s/socket.lock", dir);
	unlink(path);
	rmdir(dir);
	return 0;
}
