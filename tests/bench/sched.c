/* SPDX-License-Identifier: MIT */
/*
 * What the scheduler costs: no-op bodies, shuffled names, one process a measurement. Prints a table; asserts nothing.
 * Stepping is measured twice: each job ends before the next one starts, and with 64 jobs in flight that end in random order.
 * Places of a stream that are renewed: what an item costs, from its renewal to its end, with all places in use.
 * Columns: jobs/s from the first add to the last end; jobs/s of stepping alone; growth of VmHWM beyond the names, bytes a job.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "jobtree.h"

#define FLIGHT 64               /* jobs at once */
#define ITEMS 2000000           /* that come one after the other into the places of a stream */

struct names {
	char *text;
	size_t *at, n, bytes;
};
struct cost {
	double total_s, step_s, flight_s, bytes;
};

typedef int (*shape_fn)(char *buf, size_t size, size_t i, size_t n);

static int flat(char *buf, size_t size, size_t i, size_t n)
{
	(void)n;
	return snprintf(buf, size, "job%07zu", i);
}

/* Job i stands below job (i - 1) / 10. */
static int fan_out(char *buf, size_t size, size_t i, size_t n)
{
	(void)n;
	unsigned digit[16];
	int depth = 0, len = 0;
	for (size_t k = i + 1; k > 0; k = (k - 1) / 10)
		digit[depth++] = (unsigned)((k - 1) % 10);
	for (int d = depth; d-- > 0;)
		len += snprintf(buf + len, size - (size_t)len, "%s%u", len ? "/" : "", digit[d]);
	return len;
}

static int long_names(char *buf, size_t size, size_t i, size_t n)
{
	(void)n;
	return snprintf(buf, size, "pool-of-the-first-site-%04zu/dataset-of-department-%04zu/volume-number-%07zu/snapshot-2026-11-%014zu", i / 10000,
			i / 100, i / 10, i);
}

static int fleet(char *buf, size_t size, size_t i, size_t n)
{
	static const char *const part[] = { "create", "create/copy1", "create/copy2", "create/~/prune", "create/~/prune/check" };
	(void)n;
	return snprintf(buf, size, "host%06zu/%s", i / 5, part[i % 5]);
}

static void make_names(struct names *v, shape_fn shape, size_t n)
{
	char buf[256];
	v->n = n;
	v->at = malloc((n + 1) * sizeof(*v->at));
	size_t *order = malloc((n + 1) * sizeof(*order));
	uint64_t rnd = 1;
	v->bytes = 0;
	for (size_t i = 0; i < n; i++) {
		order[i] = i;
		v->bytes += (size_t)shape(buf, sizeof(buf), i, n) + 1;
	}
	for (size_t i = n; i-- > 1;) {
		rnd = rnd * 6364136223846793005u + 1442695040888963407u;
		size_t k = (size_t)(rnd >> 33) % (i + 1), t = order[i];
		order[i] = order[k];
		order[k] = t;
	}
	v->text = malloc(v->bytes + 1);
	size_t at = 0;
	for (size_t i = 0; i < n; i++) {
		v->at[i] = at;
		at += (size_t)shape(v->text + at, v->bytes + 1 - at, order[i], n) + 1;
	}
	v->at[n] = at;
	free(order);
}

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double peak(void)
{
	char line[256];
	double kib = 0;
	FILE *f = fopen("/proc/self/status", "r");
	while (f && fgets(line, sizeof(line), f))
		if (strncmp(line, "VmHWM:", 6) == 0)
			kib = strtod(line + 6, NULL);
	if (f)
		fclose(f);
	return kib * 1024;
}

static struct jt_sched *begun(const struct names *v)
{
	struct jt_opts opts = { .slots = FLIGHT };
	struct jt_error err;
	struct jt_sched *s = jt_sched_new(&opts, &err);
	for (size_t i = 0; s && i < v->n; i++) {
		struct jt_spec spec = { .path = v->text + v->at[i], .path_len = v->at[i + 1] - v->at[i] - 1 };
		if (jt_sched_add(s, &spec, 1, NULL, NULL, &err) < 0)
			return NULL;
	}
	return s && jt_sched_begin(s, NULL, &err) == 0 ? s : NULL;
}

static size_t one_by_one(struct jt_sched *s)
{
	struct jt_end ok = jt_end_of(JT_END_OK);
	struct jt_error err;
	size_t n = 0;
	for (jt_job j; (j = jt_sched_next(s, 0, NULL)) != JT_NONE; n++)
		if (jt_sched_start(s, j, 0, &err) < 0 || jt_sched_end(s, j, &ok, NULL, &err) < 0)
			return 0;
	return n;
}

static size_t many_at_once(struct jt_sched *s)
{
	struct jt_end ok = jt_end_of(JT_END_OK);
	struct jt_error err;
	jt_job flying[FLIGHT];
	uint64_t rnd = 1;
	size_t n = 0, up = 0;
	for (;; n++) {
		for (jt_job j; up < FLIGHT && (j = jt_sched_next(s, 0, NULL)) != JT_NONE; flying[up++] = j)
			if (jt_sched_start(s, j, 0, &err) < 0)
				return 0;
		if (up == 0)
			return n;
		rnd = rnd * 6364136223846793005u + 1442695040888963407u;
		size_t k = (size_t)(rnd >> 33) % up;
		if (jt_sched_end(s, flying[k], &ok, NULL, &err) < 0)
			return 0;
		flying[k] = flying[--up];
	}
}

static int measure(const struct names *v, struct cost *ret)
{
	double before = peak(), t0 = now();
	struct jt_sched *s = begun(v);
	double t1 = now();
	size_t n = s ? one_by_one(s) : 0;
	double t2 = now();
	*ret = (struct cost){ t2 - t0, t2 - t1, 0, (peak() - before - (double)v->bytes) / (double)v->n };
	jt_sched_free(s);
	if (n != v->n || !(s = begun(v)))
		return -1;
	t1 = now();
	n = many_at_once(s);
	ret->flight_s = now() - t1;
	return n == v->n ? 0 : -1;
}

/* In a process of its own, so that the peak is its own. */
static int measure_apart(shape_fn shape, size_t n, struct cost *ret)
{
	int fd[2], status;
	if (pipe(fd) < 0)
		return -1;
	pid_t pid = fork();
	if (pid == 0) {
		struct names v;
		make_names(&v, shape, n);
		int r = measure(&v, ret);
		r = r == 0 && write(fd[1], ret, sizeof(*ret)) == sizeof(*ret) ? 0 : 1;
		_exit(r);
	}
	close(fd[1]);
	ssize_t got = read(fd[0], ret, sizeof(*ret));
	close(fd[0]);
	return pid > 0 && waitpid(pid, &status, 0) == pid && got == sizeof(*ret) ? 0 : -1;
}

static struct jt_sched *places(uint32_t n)
{
	struct jt_opts opts = { .slots = n, .mode = JT_STREAM, .order = JT_BY_FIFO };
	struct jt_error err;
	struct jt_sched *s = jt_sched_new(&opts, &err);
	for (uint32_t i = 0; s && i < n; i++) {
		char path[16];
		struct jt_spec spec = { .path = path, .path_len = (size_t)snprintf(path, sizeof(path), "%u", i + 1) };
		if (jt_sched_add(s, &spec, 1, NULL, NULL, &err) < 0)
			return NULL;
	}
	return s && jt_sched_begin(s, NULL, &err) == 0 ? s : NULL;
}

/* Half of the places wait, half of them run, and any one of these ends. */
static int measure_renewal(uint32_t n)
{
	struct jt_sched *s = places(n);
	struct jt_end failed = jt_end_of(JT_END_FAIL);
	struct jt_error err;
	uint64_t rnd = 1;
	double renew_s = 0, t0 = now();
	jt_job *up = malloc(n * sizeof(*up));
	for (uint32_t i = 0; s && up && i < n / 2; i++)
		if (jt_sched_start(s, up[i] = jt_sched_next(s, 0, NULL), 0, &err) < 0)
			return -1;
	for (size_t i = 0; s && up && i < ITEMS; i++) {
		rnd = rnd * 6364136223846793005u + 1442695040888963407u;
		jt_job *j = &up[(rnd >> 33) % (n / 2)];
		if (jt_sched_end(s, *j, &failed, NULL, &err) < 0)
			return -1;
		double t1 = i % 64 ? 0 : now();         /* the clock costs as much */
		if (jt_sched_renew(s, *j, &err) < 0)
			return -1;
		renew_s += i % 64 ? 0 : now() - t1;
		if (jt_sched_start(s, *j = jt_sched_next(s, 0, NULL), 0, &err) < 0)
			return -1;
	}
	printf("%-16s %8u places %8.0f ns an item, of it %.0f ns renewal and clock\n", "renewal", n, (now() - t0) / ITEMS * 1e9, renew_s / ITEMS * 64 * 1e9);
	free(up);
	jt_sched_free(s);
	return 0;
}

static int measure_renewals(void)
{
	return measure_renewal(8) || measure_renewal(64) || measure_renewal(4096) ? 1 : 0;
}

int main(void)
{
	static const struct { const char *name; shape_fn fn; } shapes[] = {
		{ "fan-out 10", fan_out }, { "flat", flat }, { "100-byte names", long_names }, { "fleet", fleet },
	};
	printf("%-16s %8s %12s %12s %12s\n", "shape", "jobs", "jobs/s", "stepping/s", "bytes a job");
	for (size_t i = 0; i < sizeof(shapes) / sizeof(*shapes); i++) {
		struct cost c, small = { 0 };
		for (size_t n = 1000; n <= 1000000; n *= 10) {
			if (measure_apart(shapes[i].fn, n, &c) < 0)
				return 1;
			if (n == 10000)
				small = c;
			printf("%-16s %8zu %12.0f %12.0f %12.0f\n", shapes[i].name, n, (double)n / c.total_s, (double)n / c.step_s, c.bytes);
		}
		printf("%-16s cost a job at 10^6 / at 10^4: %.2f whole, %.2f stepping, %.2f with %d in flight (%.0f/s)\n", shapes[i].name,
		       c.total_s / small.total_s / 100, c.step_s / small.step_s / 100, c.flight_s / small.flight_s / 100, FLIGHT, 1e6 / c.flight_s);
	}
	return measure_renewals();
}
