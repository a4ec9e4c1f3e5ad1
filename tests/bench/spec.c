/* SPDX-License-Identifier: MIT */
/*
 * bench/spec - what the way of a job from the socket to the scheduler's door costs jobd's loop: a message of `Add` parsed, each job read, hashed,
 * and put into its stored form; and a stored job read again before its start. Microseconds a job, of the best of five rounds.
 *
 *   tests/bench/spec [JOBS]        default 1000000
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "proto/arena.h"
#include "proto/spec.h"
#include "proto/varlink.h"

#define CHUNK 1500              /* jobs a message */
#define ROUNDS 5

static struct arena arena, run_arena;
static struct spec_run run;
static struct spec_error err;

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void check(bool ok)
{
	if (ok)
		return;
	fprintf(stderr, "%s\n", err.text);
	exit(1);
}

/* The text of one Add. */
static char *make_message(size_t *ret_len)
{
	json_t *jobs = json_array(), *msg;
	char path[64], shell[64], *text;

	for (int i = 0; i < CHUNK; i++) {
		(void)snprintf(path, sizeof(path), "data/host%03d/snapshot/copy%d", i / 10, i);
		(void)snprintf(shell, sizeof(shell), "/bin/true %d", i);
		json_array_append_new(jobs, json_pack("{s:s, s:s, s:i}", "path", path, "shell", shell, "priority", i % 5));
	}
	msg = vl_call_new("org.jobd.Add", json_pack("{s:i, s:o}", "run", 1, "jobs", jobs), VL_PLAIN);
	text = vl_pack(msg, ret_len);
	json_decref(msg);
	return text;
}

static json_t *parse(const char *text, size_t len)
{
	struct vl_why why;
	json_t *msg = vl_parse(text, len - 1, &why);

	check(msg != NULL);
	return msg;
}

static json_t *jobs_of(json_t *msg)
{
	return json_object_get(json_object_get(msg, "parameters"), "jobs");
}

static void parse_all(const char *text, size_t len, const json_t *jobs)
{
	(void)jobs;
	json_decref(parse(text, len));
}

static void read_all(const char *text, size_t len, const json_t *jobs)
{
	struct spec_job job;

	(void)text, (void)len;
	arena_reset(&arena);
	for (size_t i = 0; i < CHUNK; i++)
		check(spec_job_read(json_array_get(jobs, i), &run, &arena, &job, &err) == 0);
}

static void hash_all(const char *text, size_t len, const json_t *jobs)
{
	struct spec_hash h = { 0 };
	struct spec_job job;

	(void)text, (void)len;
	arena_reset(&arena);
	check(spec_job_read(json_array_get(jobs, 0), &run, &arena, &job, &err) == 0);
	for (size_t i = 0; i < CHUNK; i++)
		spec_hash_job(&run, &job, &h);
}

static void store_all(const char *text, size_t len, const json_t *jobs)
{
	(void)text, (void)len;
	for (size_t i = 0, n; i < CHUNK; i++)
		free(spec_job_text(json_array_get(jobs, i), &n));
}

static void load_all(const char *text, size_t len, const json_t *jobs)
{
	struct spec_job job;
	size_t n;
	char *stored = spec_job_text(json_array_get(jobs, 0), &n);

	(void)text, (void)len;
	arena_reset(&arena);
	for (size_t i = 0; i < CHUNK; i++)
		check(spec_job_parse(stored, n, &run, &arena, &job, &err) == 0);
	free(stored);
}

static void measure(const char *name, void (*fn)(const char *text, size_t len, const json_t *jobs), size_t n_messages)
{
	double best = 1e9;
	size_t len;
	char *text = make_message(&len);
	json_t *msg = parse(text, len);

	for (int round = 0; round < ROUNDS; round++) {
		double begin = seconds(), took;

		for (size_t i = 0; i < n_messages; i++)
			fn(text, len, jobs_of(msg));
		took = (seconds() - begin) * 1e6 / (double)(n_messages * CHUNK);
		best = took < best ? took : best;
	}
	printf("%-8s %7.3f us a job\n", name, best);
	json_decref(msg);
	free(text);
}

int main(int argc, char **argv)
{
	size_t n_jobs = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000000, n_messages = n_jobs / CHUNK / ROUNDS + 1;
	json_t *options = json_pack("{s:i, s:{s:s, s:s}}", "workers", 4, "env", "PATH", "/usr/bin:/bin", "LANG", "C.UTF-8");

	arena_init(&run_arena);
	arena_init(&arena);
	check(spec_run_read(options, &run_arena, &run, &err) == 0);
	json_decref(options);
	measure("parse", parse_all, n_messages);
	measure("read", read_all, n_messages);
	measure("hash", hash_all, n_messages);
	measure("text", store_all, n_messages);
	measure("load", load_all, n_messages);
	arena_done(&arena);
	arena_done(&run_arena);
	return 0;
}
