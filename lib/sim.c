/* SPDX-License-Identifier: MIT */
/* The executor under virtual time. Tie rules: tests/vectors.d/README.md. */
#include "tree.h"

struct flight {
	int64_t end_ns;
	jt_job job;
};
#define FLIGHT_LESS(s, a, b) ((a)->end_ns != (b)->end_ns ? (a)->end_ns < (b)->end_ns : jt_sched_cmp(s, (a)->job, (b)->job) < 0)
#define FLIGHT_MOVED(s, a, i) ((void)0)
HEAP_DEFINE(flights, struct flight, const struct jt_sched *, FLIGHT_LESS, FLIGHT_MOVED);

struct sim {
	struct jt_sched *s;
	const struct jt_sim *how;
	struct flights air;
	struct flight *batch;
	size_t batch_cap;
	struct jt_changes changes;
	struct jt_error *err;
	int64_t now_ns, busy_ns;
	bool terminated, aborted;
};

int jti_executor_ready(struct jt_sched *s, struct jt_error *err)
{
	struct jt_changes none = { 0 };
	int r = s->begun ? 0 : jt_sched_begin(s, &none, err);
	jt_changes_done(&none);
	if (r == 0 && !s->sealed)
		r = jti_fail(err, JT_EINVAL, JT_NONE, "the tree is not sealed: it could grow, but nobody would be told");
	return r;
}

static int start(struct sim *m, jt_job j)
{
	int64_t d = m->how->duration_ns(m->how->arg, j);
	struct flight f = { m->now_ns + (d > 0 ? d : 0), j };
	if (flights_push(&m->air, m->s, f) < 0)
		return jti_fail(m->err, JT_ENOMEM, j, "out of memory for the jobs in flight");
	if (jt_sched_start(m->s, j, m->now_ns, m->err) < 0)
		return -1;
	if (m->how->on_start)
		m->how->on_start(m->how->arg, j, m->now_ns);
	m->busy_ns += f.end_ns - m->now_ns;
	return 0;
}

static bool look(struct sim *m)
{
	m->terminated = m->terminated || m->now_ns >= m->how->terminate_at_ns;
	return m->terminated;
}

/* Fills the slots. *slept: a pacing sleep came between, and what has ended meanwhile comes first. */
static int fill(struct sim *m, bool *slept)
{
	*slept = false;
	while (!look(m)) {
		int64_t at;
		jt_job j = jt_sched_next(m->s, m->now_ns, &at);
		if (j != JT_NONE && start(m, j) < 0)
			return -1;
		if (j != JT_NONE)
			continue;
		if (at == JT_NEVER)
			break;
		m->now_ns = at;
		if (!look(m) && m->air.n > 0) {
			*slept = true;
			break;
		}
	}
	look(m);
	return 0;
}

static int handle(struct sim *m, const struct flight *f)
{
	struct jt_end end = jt_end_of(m->how->outcome(m->how->arg, f->job));
	if (jt_sched_end(m->s, f->job, &end, &m->changes, m->err) < 0)
		return -1;
	m->changes.n = 0;
	if (m->how->on_end)
		m->how->on_end(m->how->arg, f->job, m->now_ns, f->end_ns);
	m->aborted = m->aborted || end.stops_run;
	return 0;
}

static void sort_batch(const struct jt_sched *s, struct flight *v, size_t n)
{
	for (size_t i = 1; i < n; i++) {
		struct flight x = v[i];
		size_t k = i;
		for (; k > 0 && jt_sched_cmp(s, x.job, v[k - 1].job) < 0; k--)
			v[k] = v[k - 1];
		v[k] = x;
	}
}

/* All that has ended by now, in path order. */
static int land(struct sim *m)
{
	size_t n = 0;
	while (m->air.n > 0 && m->air.v[0].end_ns <= m->now_ns) {
		if (jti_room(&m->batch, &m->batch_cap, n + 1, sizeof(*m->batch)) < 0)
			return jti_fail(m->err, JT_ENOMEM, JT_NONE, "out of memory for %zu ends", n);
		m->batch[n++] = flights_take(&m->air, m->s, 0);
	}
	sort_batch(m->s, m->batch, n);
	size_t i = 0;
	while (i < n && !m->aborted)
		if (handle(m, &m->batch[i++]) < 0)
			return -1;
	while (i < n)
		flights_push(&m->air, m->s, m->batch[i++]);
	return 0;
}

static int fly(struct sim *m)
{
	bool slept;
	for (;;) {
		if (fill(m, &slept) < 0)
			return -1;
		if (m->air.n == 0 || m->terminated)
			return 0;
		if (!slept && m->air.v[0].end_ns > m->now_ns)
			m->now_ns = m->air.v[0].end_ns;
		if (land(m) < 0)
			return -1;
		if (m->aborted)
			return 0;
	}
}

static int stop(struct sim *m)
{
	const struct jt_end cancelled = jt_end_of(JT_END_CANCEL);
	if (!m->terminated && !m->aborted)
		return 0;
	if (jt_sched_stop(m->s, JT_STOP_NOW, JT_STOP_FAIL, &m->changes, m->err) < 0)
		return -1;
	for (size_t i = 0; i < m->air.n; i++)
		if (jt_sched_end(m->s, m->air.v[i].job, &cancelled, &m->changes, m->err) < 0)
			return -1;
	return 0;
}

int jt_sim_run(struct jt_sched *s, const struct jt_sim *how, struct jt_sim_result *ret, struct jt_error *err)
{
	struct sim m = { .s = s, .how = how, .err = err };
	int r = jti_executor_ready(s, err);
	if (r == 0)
		r = fly(&m);
	if (r == 0)
		r = stop(&m);
	if (r == 0)
		*ret = (struct jt_sim_result){ jt_sched_result(s), m.now_ns, (int64_t)s->opts.slots * m.now_ns - m.busy_ns };
	flights_done(&m.air);
	free(m.batch);
	jt_changes_done(&m.changes);
	return r;
}
