/* SPDX-License-Identifier: MIT */
/*
 * Plan - what a submission would do, worked out here with the scheduler that jobd uses: order, levels, barriers, and under virtual
 * time when each job would run.
 */
#ifndef PLAN_H
#define PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "jobtree.h"
#include "source.h"

struct plan_job {
	const char *path;
	int64_t duration_ns;            /* -1: not given */
	uint32_t level;                 /* from 1 */
	int64_t start_ns, end_ns;       /* of the simulation; -1: does not run when all goes well (when: failure) */
};

struct plan {
	char *name;                     /* of the run; NULL */
	uint32_t workers;
	struct plan_job *jobs;          /* by handle */
	size_t n_jobs;
	jt_job *order;                  /* the handles in the order of their starts */
	size_t n_order;
	struct jt_shape shape;
	int64_t makespan_ns, idle_ns;   /* of the simulation */
	size_t n_unknown;               /* jobs without duration_s, taken as one second */
	char **warnings;
	size_t n_warnings;
	struct jt_sched *sched;
	struct arena *arena;
};

enum plan_time { PLAN_ORDER, PLAN_SIMULATE };

/* plan_make - reads all of src. workers 0: the file's, else the CPUs. PLAN_ORDER takes every job as equally long.
 * 0, or -1 with *f. plan_done in both cases. */
int plan_make(struct source *src, uint32_t workers, enum plan_time time, struct plan *ret, struct fault *f);
void plan_done(struct plan *p);

#endif
