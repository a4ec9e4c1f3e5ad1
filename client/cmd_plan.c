/* SPDX-License-Identifier: MIT */
/* plan: check a file and say what would run when, without a daemon. */
#include <inttypes.h>
#include <stdio.h>

#include "plan.h"
#include "render.h"
#include "source.h"
#include "status.h"
#include "talk.h"
#include "times.h"
#include "verbs.h"

#define SECOND 1e9

static const struct column order_columns[] = { { "#", COLUMN_RIGHT }, { "LEVEL", COLUMN_RIGHT }, { "PATH", COLUMN_LAST } };
static const struct column sim_columns[] = {
	{ "#", COLUMN_RIGHT }, { "LEVEL", COLUMN_RIGHT }, { "START", COLUMN_RIGHT }, { "END", COLUMN_RIGHT }, { "PATH", COLUMN_LAST },
};

static const char *count(uint64_t n, const char *one, char *buf, size_t size)
{
	snprintf(buf, size, "%" PRIu64 " %s%s", n, one, n == 1 ? "" : "s");
	return buf;
}

static void print_summary(const struct plan *p, const char *file, bool simulated)
{
	char jobs[48], barriers[48], levels[48], slots[48], span[64], idle[64];

	render_text(stdout, p->name ? p->name : file);
	printf(": %s, %s, %s, widest level %" PRIu32 " with %" PRIu32 ", %s\n", count(p->shape.n_jobs, "job", jobs, sizeof(jobs)),
	       count(p->shape.n_barriers, "barrier", barriers, sizeof(barriers)), count(p->shape.n_levels, "level", levels, sizeof(levels)),
	       p->shape.widest_level, p->shape.widest, count(p->workers, "slot", slots, sizeof(slots)));
	if (!simulated)
		return;
	printf("makespan %s, idle slots %s in all", times_show_seconds((double)p->makespan_ns / SECOND, span, sizeof(span)),
	       times_show_seconds((double)p->idle_ns / SECOND, idle, sizeof(idle)));
	if (p->n_unknown)
		printf(" (%s without duration_s taken as 1s)", count(p->n_unknown, "job", jobs, sizeof(jobs)));
	putchar('\n');
}

static void print_job(struct table *t, const struct plan *p, size_t i, bool simulated)
{
	const struct plan_job *job = &p->jobs[p->order[i]];
	char n[24], level[16], start[64], end[64];

	snprintf(n, sizeof(n), "%zu", i + 1);
	snprintf(level, sizeof(level), "%" PRIu32, job->level);
	if (simulated)
		table_row(t, (const char *[]){ n, level, times_show_seconds((double)job->start_ns / SECOND, start, sizeof(start)),
			  times_show_seconds((double)job->end_ns / SECOND, end, sizeof(end)), job->path });
	else
		table_row(t, (const char *[]){ n, level, job->path });
}

static void print_plan(const struct plan *p, const char *file, bool simulated)
{
	struct table *t = simulated ? table_new(sim_columns, 5) : table_new(order_columns, 3);

	print_summary(p, file, simulated);
	for (size_t i = 0; i < p->n_order; i++) {
		print_job(t, p, i, simulated);
		if (i % 1000 == 999)
			table_print(t, stdout);
	}
	table_print(t, stdout);
	table_free(t);
	for (size_t i = 0; i < p->n_jobs; i++)
		if (p->jobs[i].start_ns < 0) {
			fputs("only if something fails: ", stdout);
			render_text(stdout, p->jobs[i].path);
			putchar('\n');
		}
}

static void print_json(const struct plan *p, bool simulated)
{
	json_t *order = json_array(), *top;

	for (size_t i = 0; i < p->n_order; i++) {
		const struct plan_job *job = &p->jobs[p->order[i]];
		json_t *row = json_pack("{s:s, s:i}", "path", job->path, "level", (int)job->level);

		if (simulated) {
			json_object_set_new(row, "start_s", json_real((double)job->start_ns / SECOND));
			json_object_set_new(row, "end_s", json_real((double)job->end_ns / SECOND));
		}
		json_array_append_new(order, row);
	}
	top = json_pack("{s:s?, s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "name", p->name, "workers", (json_int_t)p->workers, "jobs",
			(json_int_t)p->shape.n_jobs, "barriers", (json_int_t)p->shape.n_barriers, "levels", (json_int_t)p->shape.n_levels,
			"widest_level", (json_int_t)p->shape.widest_level, "widest", (json_int_t)p->shape.widest, "order", order);
	if (simulated) {
		json_object_set_new(top, "makespan_s", json_real((double)p->makespan_ns / SECOND));
		json_object_set_new(top, "idle_s", json_real((double)p->idle_ns / SECOND));
	}
	render_json(stdout, top);
	json_decref(top);
}

static int plan_source(const struct options *o, struct source *src)
{
	struct plan p;
	struct fault f;
	int rc = plan_make(src, o->workers == INT64_MIN ? 0 : (uint32_t)o->workers, o->simulate ? PLAN_SIMULATE : PLAN_ORDER, &p, &f);

	for (size_t i = 0; i < p.n_warnings; i++)
		mention("%s", p.warnings[i]);
	if (rc != 0)
		rc = complain(f.status, "%s", f.text);
	else if (o->json)
		print_json(&p, o->simulate);
	else
		print_plan(&p, source_file(src), o->simulate);
	plan_done(&p);
	return rc;
}

int cmd_plan(const struct options *o)
{
	struct source *src;
	int rc = source_open_named(o->args[0], o->format, &src);

	if (rc)
		return rc;
	rc = plan_source(o, src);
	source_free(src);
	return rc;
}
