/* SPDX-License-Identifier: MIT */
/*
 * bench/store - what the store costs a job, at a size given in jobs (default 1000000). One line a figure: name, value, unit.
 *
 *   tests/bench/store [JOBS] [FOLDER]
 *
 * cpu is that of the store's thread alone; wall is what a client of it waits. FOLDER: on the disk to be measured, default $TMPDIR.
 */
#include <event2/event.h>
#include <ftw.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "daemon/store.h"
#include "jobtree.h"

#define CHUNK 1500              /* jobs a message of a bulk submission */
#define BATCH 64

static char dir[4096];
static struct store *store;
static struct event_base *base;
static size_t n_out;
static uint64_t seq;

static double seconds(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* The store's thread: all of the process but this thread. */
static double store_cpu(void)
{
	return seconds(CLOCK_PROCESS_CPUTIME_ID) - seconds(CLOCK_THREAD_CPUTIME_ID);
}

struct watch {
	double wall, cpu;
};

static struct watch watch(void)
{
	return (struct watch){ seconds(CLOCK_MONOTONIC), store_cpu() };
}

static void tell(const char *name, struct watch since, double per, const char *unit)
{
	struct watch now = watch();

	printf("%-28s %10.3f wall %10.3f cpu  %s\n", name, (now.wall - since.wall) * per, (now.cpu - since.cpu) * per, unit);
	fflush(stdout);
}

static void die(const char *what)
{
	fprintf(stderr, "bench/store: %s\n", what);
	exit(EXIT_FAILURE);
}

static void open_store(void)
{
	struct store_error err;

	store = store_open(dir, &err);
	base = event_base_new();
	if (!store || !base || store_start(store, base, &err))
		die(err.text);
}

static void on_done(struct store_op *op)
{
	(void)op;
	n_out--;
}

static void post(struct store_op *op)
{
	n_out++;
	op->done = on_done;
	store_post(store, op);
}

static void wait_below(size_t n)
{
	while (n_out > n)
		event_base_loop(base, EVLOOP_ONCE);
}

static struct store_op *jobs_new(uint32_t run, uint32_t first, size_t n)
{
	struct store_op *op = store_op_new(ST_JOBS_NEW);

	op->id = JOB_ID(run, first);
	op->n_jobs = n;
	op->jobs = arena_alloc(&op->arena, n * sizeof(*op->jobs));
	for (size_t i = 0; i < n; i++) {
		char path[64], spec[64];
		int path_len = snprintf(path, sizeof(path), "group%03zu/item%07zu", (first + i) / 1000, first + i);
		int spec_len = snprintf(spec, sizeof(spec), "{\"argv\":[\"/usr/bin/convert\",\"file-%08zu.png\"]}", first + i);

		op->jobs[i] = (struct store_new_job){
			.path = arena_strndup(&op->arena, path, (size_t)path_len), .path_len = (uint32_t)path_len,
			.spec = arena_strndup(&op->arena, spec, (size_t)spec_len), .spec_len = (uint32_t)spec_len,
		};
	}
	return op;
}

static void submit(uint32_t run, uint32_t n)
{
	struct store_op *op = store_op_new(ST_RUN_NEW);
	struct watch since = watch();

	op->run.run = run;
	op->run.state = RUN_RUNNING;
	op->run.n_jobs = n;
	post(op);
	for (uint32_t i = 0; i < n; i += CHUNK) {
		post(jobs_new(run, i, n - i < CHUNK ? n - i : CHUNK));
		wait_below(16);
	}
	op = store_op_new(ST_EVENT);
	op->urgent = true;
	post(op);
	wait_below(0);
	tell("submit", since, 1, "s");
}

static struct store_op *with_event(struct store_op *op, uint32_t run, uint32_t idx, enum event_kind kind)
{
	seq++;
	op->id = JOB_ID(run, idx);
	op->event = (struct store_event){
		.seq = seq, .at_us = 1700000000000000 + (int64_t)seq, .run = run, .idx = idx, .kind = (uint8_t)kind, .exit_code = -1,
	};
	return op;
}

static struct store_op *arm(uint32_t run, uint32_t idx)
{
	struct store_op *op = with_event(store_op_new(ST_ARM), run, idx, EV_STARTED);

	op->job = (struct store_job_state){ .state = JT_STARTING, .attempts = 1, .runner = 1, .cause = JT_NONE, .exit_code = -1 };
	return op;
}

static struct store_op *end(uint32_t run, uint32_t idx)
{
	struct store_op *op = with_event(store_op_new(ST_END), run, idx, EV_ENDED);

	op->job = (struct store_job_state){
		.state = JT_SOK, .reason = WHY_EXIT, .goes_on = 1, .attempts = 1, .runner = 1, .cause = JT_NONE,
		.started_at_us = 1700000000000000, .ended_at_us = 1700000000001000,
	};
	op->attempt = (struct store_attempt){
		.attempt = 1, .reason = WHY_EXIT, .pid = 12345, .started_at_us = 1700000000000000, .ended_at_us = 1700000000001000,
		.wall_ns = 1000000, .cpu_us = 900, .maxrss_kb = 3000, .out = strdup("thirty bytes or so of output\n"), .out_bytes = 29,
	};
	return op;
}

/* Arms one window, ends the one before: 64 operations a commit, the last one urgent. stride: neighbours in time need not be
 * neighbours in the table. */
static void run_jobs(const char *name, uint32_t run, uint32_t from, uint32_t n, uint32_t stride)
{
	struct watch since = watch();

	for (uint32_t i = 0; i < n; i += BATCH / 2) {
		for (uint32_t k = i; k < i + BATCH / 2 && k < n; k++)
			post(arm(run, (from + k * stride) % n));
		for (uint32_t k = i; k < i + BATCH / 2 && k < n; k++) {
			struct store_op *op = end(run, (from + k * stride) % n);

			op->urgent = k + 1 == i + BATCH / 2 || k + 1 == n;
			post(op);
		}
		wait_below(0);
	}
	tell(name, since, 1e6 / n, "us a job");
}

static size_t n_rows;

static void on_row(struct store_op *op, const struct store_load_row *row)
{
	(void)op;
	n_rows += row->path_len != 0;
}

static void load(const char *name, uint32_t run, size_t n)
{
	struct store_op *op = store_op_new(ST_LOAD_JOBS);
	struct watch since = watch();

	n_rows = 0;
	op->run.run = run;
	op->row = on_row;
	op->urgent = true;
	post(op);
	wait_below(0);
	if (n_rows != n)
		die("not all rows were loaded");
	tell(name, since, 1, "s");
}

static void drop(uint32_t run)
{
	struct watch since = watch();
	struct store_op *op = store_op_new(ST_RUN_DROP);
	double longest = 0;

	op->run.run = run;
	op->urgent = true;
	post(op);
	wait_below(0);
	tell("drop: acknowledged", since, 1e3, "ms");
	for (int i = 0; i < 200; i++) {
		struct watch one = watch();
		double took;

		op = store_op_new(ST_EVENT);
		op->urgent = true;
		post(op);
		wait_below(0);
		took = watch().wall - one.wall;
		longest = took > longest ? took : longest;
	}
	printf("%-28s %10.3f ms\n", "drop: longest wait of others", longest * 1e3);
}

static void reopen(const char *name)
{
	struct watch since = watch();

	store_stop(store);
	event_base_free(base);
	tell("stop", since, 1, "s");
	since = watch();
	open_store();
	tell(name, since, 1, "s");
}

static void tell_end(void)
{
	struct store_stats stats;
	struct rusage usage;
	char path[5000];
	struct stat sb;

	store_stats(store, &stats);
	getrusage(RUSAGE_SELF, &usage);
	snprintf(path, sizeof(path), "%s/jobd.db", dir);
	if (stat(path, &sb))
		die("no database");
	printf("%-28s %10.1f ms\n%-28s %10.1f ms\n", "longest commit", stats.commit_ms_max, "longest checkpoint", stats.checkpoint_ms_max);
	printf("%-28s %10.1f MB\n%-28s %10.1f MB\n", "database", (double)sb.st_size / 1e6, "resident at most", (double)usage.ru_maxrss / 1e3);
	printf("%-28s %10.1f\n", "operations a commit", (double)stats.operations / (double)stats.commits);
}

static int remove_one(const char *path, const struct stat *sb, int type, struct FTW *ftw)
{
	(void)sb;
	(void)type;
	(void)ftw;
	return remove(path);
}

int main(int argc, char **argv)
{
	uint32_t n = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 1000000;
	uint32_t part = n / 5;
	const char *tmp = argc > 2 ? argv[2] : getenv("TMPDIR");

	snprintf(dir, sizeof(dir), "%s/bench.XXXXXX", tmp ? tmp : "/tmp");
	if (n < 1000 || !mkdtemp(dir))
		die("usage: store [JOBS, at least 1000] [FOLDER]");
	open_store();
	submit(1, n);
	load("load, all waiting", 1, n);
	tell_end();
	reopen("open");
	submit(2, part);
	run_jobs("arm + end, neighbours", 2, 0, part, 1);
	submit(3, part);
	run_jobs("arm + end, scattered", 3, 0, part, 7919);
	load("load, a fifth, all ended", 2, part);
	tell_end();
	drop(1);
	reopen("open");
	store_stop(store);
	event_base_free(base);
	nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	return 0;
}
