/* SPDX-License-Identifier: MIT */
/*
 * What a map costs: no-op callbacks on 2 threads, by window and order, and how much CPU an idle map takes. Prints a table; asserts nothing.
 * usage: map [ITEMS]
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "jobtree_map.h"

static double seconds_of(clockid_t clock)
{
	struct timespec t;
	clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int count_down(void *arg, struct jt_item *ret)
{
	size_t *left = arg;
	if (*left == 0)
		return 0;
	*ret = (struct jt_item){ .len = (*left)-- };
	return 1;
}

static int nothing(void *arg, const struct jt_call *call, const struct jt_item *item, struct jt_item *ret)
{
	(void)arg;
	(void)call;
	ret->len = item->len;
	return 0;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static int once(size_t n, uint32_t window, enum jt_map_order order, double *ret_wall, double *ret_cpu)
{
	size_t left = n, got = 0;
	struct jt_source source = { .next = count_down, .arg = &left };
	struct jt_work work = { .run = nothing };
	struct jt_map_opts opts = { .threads = 2, .window = window, .order = order };
	struct jt_error err;
	double wall = seconds_of(CLOCK_MONOTONIC), cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
	struct jt_map *m = jt_map_start(&opts, &source, &work, &err);
	if (!m) {
		fprintf(stderr, "map: %s\n", err.text);
		return -1;
	}
	for (struct jt_map_result r; jt_map_next(m, &r, -1) == JT_MAP_RESULT; got++)
		jt_map_result_done(&r);
	jt_map_free(m);
	*ret_wall = seconds_of(CLOCK_MONOTONIC) - wall;
	*ret_cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	return got == n ? 0 : -1;
}

/* Median of three. */
static int through(size_t n, uint32_t window, enum jt_map_order order)
{
	double wall[3], cpu[3];
	for (size_t i = 0; i < 3; i++)
		if (once(n, window, order, &wall[i], &cpu[i]) < 0)
			return -1;
	qsort(wall, 3, sizeof(*wall), compare);
	qsort(cpu, 3, sizeof(*cpu), compare);
	printf("%-10s %8u %12.0f %12.2f %12.2f\n", order == JT_MAP_ORDERED ? "ordered" : "unordered", window, (double)n / wall[1],
	       wall[1] * 1e6 / (double)n, cpu[1] * 1e6 / (double)n);
	return 0;
}

static int never(void *arg, struct jt_item *ret)
{
	(void)arg;
	(void)ret;
	return -EAGAIN;
}

static int never_fd(void *arg)
{
	return *(int *)arg;
}

/* All threads of a map are blocked, and so is its consumer, for one second, which the timeout ends. */
static int idle(void)
{
	int fd = eventfd(0, EFD_CLOEXEC);
	struct jt_source source = { .next = never, .fd = never_fd, .arg = &fd };
	struct jt_work work = { .run = nothing };
	struct jt_map_opts opts = { .threads = 2 };
	struct jt_map_result r;
	struct rusage before, after;
	struct jt_map *m = jt_map_start(&opts, &source, &work, NULL);
	if (fd < 0 || !m || jt_map_next(m, &r, 100) != JT_MAP_AGAIN)
		return -1;
	getrusage(RUSAGE_SELF, &before);
	if (jt_map_next(m, &r, 1000) != JT_MAP_AGAIN)
		return -1;
	getrusage(RUSAGE_SELF, &after);
	long us = (after.ru_utime.tv_sec - before.ru_utime.tv_sec + after.ru_stime.tv_sec - before.ru_stime.tv_sec) * 1000000L +
		  after.ru_utime.tv_usec - before.ru_utime.tv_usec + after.ru_stime.tv_usec - before.ru_stime.tv_usec;
	printf("idle for a second: %ld us of CPU, %ld switches\n", us, after.ru_nvcsw - before.ru_nvcsw);
	jt_map_free(m);
	close(fd);
	return 0;
}

int main(int argc, char **argv)
{
	size_t n = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000000;
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("%-10s %8s %12s %12s %12s\n", "order", "window", "items/s", "us an item", "cpu us");
	for (uint32_t window = 8; window <= 2048; window *= 4)
		for (int order = JT_MAP_ORDERED; order <= JT_MAP_UNORDERED; order++)
			if (through(n, window, order) < 0)
				return 1;
	return idle() < 0;
}
