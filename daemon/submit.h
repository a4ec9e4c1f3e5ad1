/* SPDX-License-Identifier: MIT */
/*
 * What the files of a submission know of each other; the requests themselves are in engine.h.
 *
 *   submit (Submit, Open, Add, Seal), submit_map (Map)  ->  submit_run (the run), submit_jobs (its jobs)  ->  submit_check (may it be?)
 */
#ifndef SUBMIT_H
#define SUBMIT_H

#include "engine.h"

enum submit_mode { SUBMIT_WHOLE, SUBMIT_BULK, SUBMIT_STREAM, SUBMIT_MAP };

/* ---- submit_check.c: 0, or -1 with *err ------------------------------------------------------------------------ */
int submit_check_open(struct engine *e, struct req_error *err);         /* whether jobd takes anything now */
/* Refused here rather than found in the commit, where all that comes behind it would have to wait with it. */
int submit_check_room(struct engine *e, size_t bytes, struct req_error *err);
int submit_check_defaults(const struct run *r, struct req_error *err);
int submit_check_job(const struct run *r, const struct spec_job *s, struct req_error *err);

/* ---- submit_run.c ---------------------------------------------------------------------------------------------- */
/* NULL with *err. The run has a number, and is not yet visible: RUN_BULK, not in the indexes. */
struct run *submit_new_run(struct engine *e, struct call *call, const json_t *options, enum submit_mode mode, struct req_error *err);
char *submit_options_text(const json_t *options);       /* NULL: none; the caller frees */
void submit_post_run(struct run *r);                    /* as a bulk to begin with, whatever it is to be; see submit_show_run */
void submit_post_run_set(struct run *r, enum event_kind kind);
/* Same key: same content is the same run, other content is refused. 1: *ret_same is it; 0: new; -1 with *err. */
int submit_check_key(struct run *r, struct run **ret_same, struct req_error *err);
int submit_begin(struct run *r, struct jt_changes *ch, struct req_error *err);  /* 0, or -1 with *err */
void submit_show_run(struct run *r);                    /* it can be found, and is told of */

/* ---- submit_jobs.c --------------------------------------------------------------------------------------------- */
/* The jobs of one request: checked, as the scheduler and as the store want them. */
struct batch {
	struct store_op *op;            /* ST_JOBS_NEW; its arena holds the strings */
	struct jt_spec *specs;
	struct job_mem *mem;
	size_t n;
};

void batch_init(struct batch *b, struct run *r, size_t n);
void batch_done(struct batch *b);
int batch_read(struct batch *b, struct run *r, const json_t *jobs, struct req_error *err);      /* 0, or -1 with *err */
int batch_check_quota(const struct batch *b, const struct run *r, struct req_error *err);       /* 0, or -1 with *err */
void batch_charge(const struct batch *b, struct run *r);
/* submit_add_jobs - check and add; on success the record is posted. Nothing has changed on error (-1 with *err). */
int submit_add_jobs(struct run *r, const json_t *jobs, struct jt_changes *ch, struct req_error *err);

#endif
