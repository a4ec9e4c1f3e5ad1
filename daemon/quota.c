/* SPDX-License-Identifier: MIT */
/*
 * Quota - what each user has queued: jobs that have not ended, and the bytes of their specifications. A user at the limit of jobd.conf is
 * refused; nobody else is. Root has no limit.
 *
 * A run is charged for what is added to it and released when it ends or goes. What of a living run has ended already is found out
 * only when its user meets the limit, so that an end costs nothing here.
 */
#include <inttypes.h>
#include <string.h>

#include "engine.h"

static struct quota *find(struct engine *e, uid_t uid)
{
	for (size_t i = 0; i < e->n_quotas; i++)
		if (e->quotas[i].uid == uid)
			return &e->quotas[i];
	return NULL;
}

static struct quota *find_or_add(struct engine *e, uid_t uid)
{
	struct quota *q = find(e, uid);

	if (q)
		return q;
	e->quotas = xrealloc(e->quotas, (e->n_quotas + 1) * sizeof(*e->quotas));
	q = &e->quotas[e->n_quotas++];
	*q = (struct quota){ .uid = uid };
	return q;
}

void quota_charge(struct run *r, uint64_t n_jobs, uint64_t bytes)
{
	struct quota *q;

	if (!n_jobs)
		return;
	q = find_or_add(r->e, r->uid);
	r->queued.jobs += n_jobs;
	r->queued.bytes += bytes;
	q->jobs += n_jobs;
	q->bytes += bytes;
}

void quota_release(struct run *r)
{
	struct engine *e = r->e;
	struct quota *q = find(e, r->uid);

	if (!q)
		return;
	q->jobs -= r->queued.jobs;
	q->bytes -= r->queued.bytes;
	r->queued = (struct quota){ 0 };
	if (!q->jobs)
		*q = e->quotas[--e->n_quotas];
}

void quota_recharge(struct run *r)
{
	const struct jt_counts *c = jt_sched_counts(r->sched);
	uint64_t left = c->total;

	for (int st = 0; st < JT_N_STATES; st++)
		if (jt_state_is_final((enum jt_state)st))
			left -= c->n[st];
	quota_release(r);
	if (left)
		quota_charge(r, left, (uint64_t)((double)r->spec_bytes * (double)left / c->total));
}

/* What has ended since it was charged. Of a bulk nothing has even begun. */
static void recount(struct engine *e, uid_t uid)
{
	for (uint32_t i = 0; i < e->n_runs_cap; i++) {
		struct run *r = e->runs[i];

		if (r && r->uid == uid && r->state != RUN_BULK && r->sched && r->queued.jobs)
			quota_recharge(r);
	}
}

static bool fits(const struct engine *e, const struct quota *q, uint64_t n_jobs, uint64_t bytes)
{
	return (q ? q->jobs : 0) + n_jobs <= e->conf.max_jobs_per_uid && (q ? q->bytes : 0) + bytes <= e->conf.max_bytes_per_uid;
}

static int refuse(const struct run *r, const struct quota *q, uint64_t n_jobs, uint64_t bytes, struct req_error *err)
{
	const struct conf *c = &r->e->conf;
	bool jobs = (q ? q->jobs : 0) + n_jobs > c->max_jobs_per_uid;
	uint64_t max = jobs ? c->max_jobs_per_uid : c->max_bytes_per_uid;

	if ((jobs ? n_jobs : bytes) > max) {
		snprintf(err->field, sizeof(err->field), "jobs");
		return req_fail(err, "org.jobd.Refused", "%" PRIu64 " %s at once are more than a user may have queued (%" PRIu64
				", %s in jobd.conf)", jobs ? n_jobs : bytes, jobs ? "jobs" : "bytes of jobs", max,
				jobs ? "max_jobs_per_uid" : "max_bytes_per_uid");
	}
	return req_fail(err, "org.jobd.Busy", "the queue of user %u is full: %" PRIu64 " %s that have not ended, at most %" PRIu64
			" (%s in jobd.conf); submit again when some have ended", (unsigned)r->uid, jobs ? q->jobs : q->bytes,
			jobs ? "jobs" : "bytes of jobs", max, jobs ? "max_jobs_per_uid" : "max_bytes_per_uid");
}

int quota_check(const struct run *r, uint64_t n_jobs, uint64_t bytes, struct req_error *err)
{
	struct engine *e = r->e;

	if (r->uid == 0 || fits(e, find(e, r->uid), n_jobs, bytes))
		return 0;
	recount(e, r->uid);
	if (fits(e, find(e, r->uid), n_jobs, bytes))
		return 0;
	return refuse(r, find(e, r->uid), n_jobs, bytes, err);
}
