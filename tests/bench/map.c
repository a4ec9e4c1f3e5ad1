/* SPDX-License-Identifier: MIT */
/*
 * What a map costs: no-op callbacks on 2 threads, by window, order and way of taking results, and how much CPU an idle map takes. Prints a
 * table; asserts nothing. Window 0 is the library's default.
 * usage: map [ITEMS [WINDOW ...]]
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

/* ---- a map of so many items ---- */

struct kind {
	uint32_t window;
	enum jt_map_order order;
	bool run;                         /* jt_map_run; else a loop of jt_map_next */
};

static int count(void *arg, const struct jt_map_result *r)
{
	(void)r;
	++*(size_t *)arg;
	return 0;
}

static size_t consume(struct jt_map *m, bool run)
{
	size_t got = 0;
	if (run)
		jt_map_run(m, count, &got);
	else
		for (struct jt_map_result r; jt_map_next(m, &r, -1) == JT_MAP_RESULT; got++)
			jt_map_result_done(&r);
	return got;
}

static int once(size_t n, const struct kind *k, double *ret_wall, double *ret_cpu)
{
	size_t left = n;
	struct jt_source source = { .next = count_down, .arg = &left };
	struct jt_work work = { .run = nothing };
	struct jt_map_opts opts = { .threads = 2, .window = k->window, .order = k->order };
	struct jt_error err;
	double wall = seconds_of(CLOCK_MONOTONIC), cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
	struct jt_map *m = jt_map_start(&opts, &source, &work, &err);
	if (!m) {
		fprintf(stderr, "map: %s\n", err.text);
		return -1;
	}
	size_t got = consume(m, k->run);
	jt_map_free(m);
	*ret_wall = seconds_of(CLOCK_MONOTONIC) - wall;
	*ret_cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	return got == n ? 0 : -1;
}

/* Median of five. */
static int through(size_t n, const struct kind *k)
{
	double wall[5], cpu[5];
	for (size_t i = 0; i < 5; i++)
		if (once(n, k, &wall[i], &cpu[i]) < 0)
			return -1;
	qsort(wall, 5, sizeof(*wall), compare);
	qsort(cpu, 5, sizeof(*cpu), compare);
	printf("%-10s %-5s %8u %12.0f %12.2f %12.2f %12.0f\n", k->order == JT_MAP_ORDERED ? "ordered" : "unordered", k->run ? "run" : "next", k->window,
	       (double)n / wall[2], wall[2] * 1e6 / (double)n, cpu[2] * 1e6 / (double)n, (double)n / wall[4]);
	return 0;
}

static int all_kinds(size_t n, uint32_t window)
{
	for (unsigned i = 0; i < 4; i++) {
		struct kind k = { window, i & 2 ? JT_MAP_UNORDERED : JT_MAP_ORDERED, i & 1 };
		if (through(n, &k) < 0)
			return -1;
	}
	return 0;
}

/* ---- a map in which nothing happens ---- */

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
	static const uint32_t windows[] = { 0, 32, 128, 2048 };
	printf("%-10s %-5s %8s %12s %12s %12s %12s\n", "order", "by", "window", "items/s", "us an item", "cpu us", "worst/s");
	for (int i = 2; i < argc; i++)
		if (all_kinds(n, (uint32_t)strtoul(argv[i], NULL, 10)) < 0)
			return 1;
	for (size_t i = 0; argc <= 2 && i < sizeof(windows) / sizeof(*windows); i++)
		if (all_kinds(n, windows[i]) < 0)
			return 1;
	return idle() < 0;
}
