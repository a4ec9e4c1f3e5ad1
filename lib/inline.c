/* SPDX-License-Identifier: MIT */
/* The executor that calls work() where it stands. Pacing and backoff need no clock here: time is a number that goes where it must. */
#include "tree.h"

int jt_run_inline(struct jt_sched *s, jt_work_fn work, void *arg, const struct jt_run_opts *opts, struct jt_cancel *cancel,
		  struct jt_result *ret, struct jt_error *err)
{
	struct jt_changes out = { 0 };
	int64_t now = 0, at;
	int r = jti_executor_ready(s, err);
	while (r == 0) {
		if (cancel && jt_cancel_requested(cancel))
			r = jt_sched_stop(s, JT_STOP_NOW, JT_STOP_CANCEL, &out, err);
		jt_job j = r == 0 ? jt_sched_next(s, now, &at) : JT_NONE;
		if (j == JT_NONE && (r < 0 || at == JT_NEVER))
			break;
		if (j == JT_NONE) {
			now = at;
			continue;
		}
		r = jt_sched_start(s, j, now, err);
		uint32_t attempt = 1;
		enum jt_outcome o = r == 0 ? work(arg, jt_job_path(s, j, NULL), j, attempt) : JT_END_FAIL;
		while (r == 0 && opts && (o == JT_END_FAIL || o == JT_END_WARN || o == JT_END_IGNORE) && attempt <= opts->retry.max &&
		       !(cancel && jt_cancel_requested(cancel)))
			o = work(arg, jt_job_path(s, j, NULL), j, ++attempt);
		struct jt_end end = jt_end_of(o);
		if (r == 0)
			r = jt_sched_end(s, j, &end, &out, err);
		if (r == 0 && opts && opts->on_end)
			opts->on_end(opts->on_end_arg, j, &end);
		if (r == 0 && end.stops_run)
			r = jt_sched_stop(s, JT_STOP_NOW, JT_STOP_FAIL, &out, err);
		out.n = 0;
	}
	jt_changes_done(&out);
	if (r == 0)
		*ret = jt_sched_result(s);
	return r;
}
