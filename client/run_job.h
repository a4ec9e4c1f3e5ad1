/* SPDX-License-Identifier: MIT */
/* Run job - the one job of `jobctl run`, from the command line to the parameters of Submit. */
#ifndef RUN_JOB_H
#define RUN_JOB_H

#include <jansson.h>

#include "options.h"

/* run_job_name - the name of the run when none is given: the program's base name if a run may be called so. The caller frees. */
char *run_job_name(const struct options *o);

/* run_job_params - 0 with *ret, or CTL_USAGE and it has complained. */
int run_job_params(const struct options *o, const char *name, json_t **ret);

#endif
