/* SPDX-License-Identifier: MIT */
/* spawn N THREADS - the bare loop that jobd is measured against: THREADS threads posix_spawn and reap N /bin/true. Prints seconds. */
#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct share {
	pthread_t thread;
	long n;
	int failed;
};

static void *spawn_share(void *arg)
{
	struct share *s = arg;
	char *argv[] = { (char[]){ "/bin/true" }, NULL };

	for (long i = 0; i < s->n && !s->failed; i++) {
		pid_t pid;
		int status;

		s->failed = posix_spawn(&pid, argv[0], NULL, NULL, argv, environ) != 0 || waitpid(pid, &status, 0) != pid || status != 0;
	}
	return NULL;
}

static double now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	long n = argc == 3 ? strtol(argv[1], NULL, 10) : 0, threads = argc == 3 ? strtol(argv[2], NULL, 10) : 0;
	struct share *v = threads > 0 && threads < 1000 ? calloc((size_t)threads, sizeof(*v)) : NULL;
	double begin = now_s();
	int failed = !v || n < 1;

	for (long i = 0; v && i < threads; i++) {
		v[i].n = n / threads + (i < n % threads);
		failed |= pthread_create(&v[i].thread, NULL, spawn_share, &v[i]) != 0;
	}
	for (long i = 0; v && i < threads; i++)
		failed |= pthread_join(v[i].thread, NULL) != 0 || v[i].failed;
	printf("%.6f\n", now_s() - begin);
	free(v);
	return failed;
}
