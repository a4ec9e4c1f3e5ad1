/* SPDX-License-Identifier: MIT */
#include "plan.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "buf.h"
#include "proto/arena.h"
#include "proto/spec.h"
#include "status.h"

#define SECOND 1000000000
#define WARNINGS_MAX 100

/* What the scheduler is told, collected before it is told all at once. */
struct gathered {
	struct jt_spec *specs;
	struct place *places;
	size_t n, cap;
};

/* ---- reading ------------------------------------------------------------------------------------------------------------ */

static void warn_budget(struct plan *p, const char *file, struct place at, const struct spec_job *job)
{
	struct fault f;

	if (job->retry.elapsed_ns == 0 || job->timeout_ms == 0 || job->retry.elapsed_ns / 1000000 >= job->timeout_ms ||
	    p->n_warnings == WARNINGS_MAX)
		return;
	fault_set(&f, file, at, "job \"%s\": retry.elapsed_s (%g) is below timeout_s (%g): an attempt that times out is not retried",
		  job->path, (double)job->retry.elapsed_ns / SECOND, (double)job->timeout_ms / 1000);
	p->warnings = xrealloc(p->warnings, p->n_warnings + 1, sizeof(*p->warnings));
	p->warnings[p->n_warnings++] = xstrdup(f.text);
}

static const char *const *copy_after(struct arena *a, const struct spec_job *job)
{
	const char **after = arena_alloc(a, (job->n_after + 1) * sizeof(*after));

	for (size_t i = 0; i < job->n_after; i++)
		after[i] = arena_strndup(a, job->after[i], strlen(job->after[i]));
	return after;
}

static void gather(struct plan *p, struct gathered *g, const struct spec_job *job, struct place at)
{
	size_t len = strlen(job->path);
	const char *path = arena_strndup(p->arena, job->path, len);

	if (g->n == g->cap) {
		g->cap = g->cap ? 2 * g->cap : 256;
		g->specs = xrealloc(g->specs, g->cap, sizeof(*g->specs));
		g->places = xrealloc(g->places, g->cap, sizeof(*g->places));
		p->jobs = xrealloc(p->jobs, g->cap, sizeof(*p->jobs));
	}
	p->jobs[g->n] = (struct plan_job){ .path = path, .duration_ns = job->duration_ns, .start_ns = -1, .end_ns = -1 };
	g->places[g->n] = at;
	g->specs[g->n++] = (struct jt_spec){
		.path = path, .path_len = len, .priority = job->priority, .when = job->when,
		.after = copy_after(p->arena, job), .n_after = job->n_after,
	};
	p->n_jobs = g->n;
	p->n_unknown += job->duration_ns < 0;
}

static int gather_one(struct plan *p, struct gathered *g, struct source *src, const struct spec_run *run, const struct source_job *text,
		      struct arena *scratch, struct fault *f)
{
	json_t *obj = json_loadb(text->text, text->len, 0, NULL);
	struct spec_error err;
	struct spec_job job;
	int rc = spec_job_read(obj, run, scratch, &job, &err);

	if (rc == 0) {
		gather(p, g, &job, source_place(src, text, NULL));
		warn_budget(p, source_file(src), source_place(src, text, "retry.elapsed_s"), &job);
	} else {
		rc = fault_set(f, source_file(src), source_place(src, text, err.field), "%s", err.text);
	}
	json_decref(obj);
	arena_reset(scratch);
	return rc;
}

static int gather_all(struct plan *p, struct gathered *g, struct source *src, const struct spec_run *run, struct fault *f)
{
	struct source_job text;
	struct arena scratch;
	int got, rc = 0;

	arena_init(&scratch);
	while (rc == 0 && (got = source_next(src, &text, f)) != 0)
		rc = got < 0 ? -1 : gather_one(p, g, src, run, &text, &scratch, f);
	arena_done(&scratch);
	if (rc == 0 && g->n == 0)
		rc = fault_set(f, source_file(src), (struct place){ 0 }, "there are no jobs in it");
	return rc;
}

/* ---- scheduling --------------------------------------------------------------------------------------------------------- */

static int refuse(struct source *src, const struct gathered *g, const struct jt_error *err, struct fault *f)
{
	struct place at = err->job < g->n ? g->places[err->job] : (struct place){ 0 };

	return fault_set(f, source_file(src), at, "%s", err->text);
}

static uint32_t cpus(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	return n > 0 ? (uint32_t)n : 1;
}

static int build(struct plan *p, const struct gathered *g, const struct spec_run *run, struct jt_error *err)
{
	struct jt_opts opts = { .barrier = run->barrier, .order = run->order, .mode = JT_BULK, .slots = p->workers };
	struct jt_changes changes = { 0 };
	uint32_t *levels;
	jt_job first;
	int rc;

	opts.interval_ns = run->period_ms ? run->period_ms * 1000000 / (int64_t)g->n : run->interval_ms * 1000000;
	p->sched = jt_sched_new(&opts, err);
	if (!p->sched)
		return -1;
	rc = jt_sched_add(p->sched, g->specs, g->n, &first, &changes, err);
	if (rc == 0)
		rc = jt_sched_begin(p->sched, &changes, err);
	levels = xcalloc(g->n, sizeof(*levels));
	if (rc == 0)
		rc = jt_sched_shape(p->sched, levels, &p->shape, err);
	for (size_t i = 0; rc == 0 && i < g->n; i++)
		p->jobs[i].level = levels[i];
	free(levels);
	jt_changes_done(&changes);
	return rc;
}

struct simulation {
	struct plan *plan;
	enum plan_time time;
};

static int64_t sim_duration(void *arg, jt_job job)
{
	const struct simulation *s = arg;
	int64_t d = s->plan->jobs[job].duration_ns;

	return s->time == PLAN_ORDER || d < 0 ? SECOND : d;
}

static enum jt_outcome sim_outcome(void *arg, jt_job job)
{
	(void)arg;
	(void)job;
	return JT_END_OK;
}

static void sim_start(void *arg, jt_job job, int64_t at_ns)
{
	struct simulation *s = arg;

	s->plan->jobs[job].start_ns = at_ns;
	s->plan->order[s->plan->n_order++] = job;
}

static void sim_end(void *arg, jt_job job, int64_t at_ns, int64_t ended_ns)
{
	struct simulation *s = arg;

	(void)at_ns;
	s->plan->jobs[job].end_ns = ended_ns;
}

static int simulate(struct plan *p, enum plan_time time, struct jt_error *err)
{
	struct simulation s = { .plan = p, .time = time };
	struct jt_sim sim = {
		.duration_ns = sim_duration, .outcome = sim_outcome, .on_start = sim_start, .on_end = sim_end, .arg = &s,
		.terminate_at_ns = JT_NEVER,
	};
	struct jt_sim_result result;

	p->order = xcalloc(p->n_jobs, sizeof(*p->order));
	if (jt_sim_run(p->sched, &sim, &result, err) != 0)
		return -1;
	p->makespan_ns = result.makespan_ns;
	p->idle_ns = result.idle_ns;
	return 0;
}

static int plan_jobs(struct plan *p, struct source *src, uint32_t workers, enum plan_time time, const struct spec_run *run, struct fault *f)
{
	struct gathered g = { 0 };
	struct jt_error err;
	int rc = gather_all(p, &g, src, run, f);

	p->workers = workers ? workers : run->workers ? run->workers : cpus();
	p->name = run->name ? xstrdup(run->name) : NULL;
	if (rc == 0 && (build(p, &g, run, &err) != 0 || simulate(p, time, &err) != 0))
		rc = refuse(src, &g, &err, f);
	free(g.specs);
	free(g.places);
	return rc;
}

int plan_make(struct source *src, uint32_t workers, enum plan_time time, struct plan *ret, struct fault *f)
{
	struct spec_error err;
	struct spec_run run;

	*ret = (struct plan){ .arena = xcalloc(1, sizeof(struct arena)) };
	arena_init(ret->arena);
	if (spec_run_read(source_run(src), ret->arena, &run, &err) != 0)
		return fault_set(f, source_file(src), source_run_place(src, err.field), "%s", err.text);
	return plan_jobs(ret, src, workers, time, &run, f);
}

void plan_done(struct plan *p)
{
	for (size_t i = 0; i < p->n_warnings; i++)
		free(p->warnings[i]);
	free(p->warnings);
	free(p->jobs);
	free(p->order);
	free(p->name);
	jt_sched_free(p->sched);
	if (p->arena)
		arena_done(p->arena);
	free(p->arena);
	*p = (struct plan){ 0 };
}
