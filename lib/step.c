/* SPDX-License-Identifier: MIT */
/* Running: which job is next, and the moves of one job. */
#include <inttypes.h>

#include "tree.h"

/* WAITING -> READY -> STARTING -> RUNNING -> a final state      STARTING | RUNNING -> BACKOFF -> READY
 * WAITING | READY | BACKOFF <-> HELD
 * STARTING | RUNNING -> READY (not started after all, lost) or HELD (lost too often)
 * anything not begun -> CANCELLED | SKIPPED */
#define TO(st) (1u << JT_##st)
#define ENDED (TO(SOK) | TO(WARNED) | TO(FAILED) | TO(SKIPPED) | TO(CANCELLED) | TO(LOST))
static const unsigned allowed[] = {
	[JT_WAITING]  = TO(HELD) | TO(CANCELLED),
	[JT_READY]    = TO(STARTING) | TO(HELD) | TO(CANCELLED),
	[JT_HELD]     = TO(WAITING) | TO(CANCELLED),
	[JT_STARTING] = TO(RUNNING) | TO(READY) | TO(BACKOFF) | ENDED,
	[JT_RUNNING]  = TO(READY) | TO(BACKOFF) | ENDED,
	[JT_BACKOFF]  = TO(HELD) | TO(CANCELLED),
	[JT_SOK] = 0, [JT_WARNED] = 0, [JT_FAILED] = 0, [JT_SKIPPED] = 0, [JT_CANCELLED] = 0, [JT_LOST] = 0,
};
_Static_assert(sizeof(allowed) / sizeof(*allowed) == JT_N_STATES, "a state without a row");

/* The node of job j if it may go to the state, else JT_NONE with *err. */
static uint32_t may(const struct jt_sched *s, jt_job j, enum jt_state to, struct jt_error *err)
{
	char buf[SHOWN];
	if (jti_begun(s, j, err) < 0)
		return JT_NONE;
	uint32_t n = j == s->hot_job ? s->hot_node : s->node_of[j];
	if (allowed[s->node[n].state] & (1u << to))
		return n;
	jti_fail(err, JT_ESTATE, j, "job \"%s\" is %s, it cannot become %s", jti_shown(buf, job_path(s, j), job_len(s, j)),
	     jt_state_name(s->node[n].state), jt_state_name(to));
	return JT_NONE;
}

static void wake(struct jt_sched *s, int64_t now_ns)
{
	while (s->due.n > 0 && s->due.v[0].at_ns <= now_ns) {
		uint32_t n = s->due.v[0].node;
		jti_due_remove(s, n);
		jti_set_state(s, n, JT_READY);
		s->node[n].flags |= N_AVAILABLE;
		jti_queue_push(s, n);
	}
}

jt_job jt_sched_next(struct jt_sched *s, int64_t now_ns, int64_t *ret_at)
{
	int64_t at = JT_NEVER;
	uint32_t n = JT_NONE;
	if (s->begun && !s->paused) {
		jti_pace_begin(s, now_ns);
		wake(s, now_ns);
		if (s->counts.n[JT_STARTING] + s->counts.n[JT_RUNNING] < s->opts.slots) {
			n = jti_queue_min(s);
			at = s->due.n ? s->due.v[0].at_ns : JT_NEVER;
			if (n != JT_NONE && s->pacing && s->next_ns > now_ns) {
				n = JT_NONE;
				at = s->next_ns;
			}
		}
	}
	if (ret_at)
		*ret_at = n == JT_NONE ? at : now_ns;
	if (n == JT_NONE)
		return JT_NONE;
	s->hot_job = s->node[n].job;
	s->hot_node = n;
	return s->hot_job;
}

size_t jt_sched_peek(struct jt_sched *s, jt_job *ret, size_t n)
{
	size_t got = s->begun ? jti_queue_peek(s, ret, n) : 0;
	for (size_t i = 0; i < got; i++)
		ret[i] = s->node[ret[i]].job;
	return got;
}

int jt_sched_start(struct jt_sched *s, jt_job j, int64_t now_ns, struct jt_error *err)
{
	uint32_t n = may(s, j, JT_STARTING, err);
	if (n == JT_NONE)
		return -1;
	jti_pace_begin(s, now_ns);
	jti_queue_remove(s, n);
	jti_set_state(s, n, JT_STARTING);
	jti_pace_started(s, j);
	__builtin_prefetch(&s->node_of[j]);     /* for its end, when others have started in between */
	return 0;
}

int jt_sched_running(struct jt_sched *s, jt_job j, struct jt_error *err)
{
	uint32_t n = may(s, j, JT_RUNNING, err);
	if (n == JT_NONE)
		return -1;
	jti_set_state(s, n, JT_RUNNING);
	return 0;
}

int jt_sched_unstart(struct jt_sched *s, jt_job j, struct jt_error *err)
{
	uint32_t n = may(s, j, JT_READY, err);
	if (n == JT_NONE)
		return -1;
	jti_set_state(s, n, JT_READY);
	s->node[n].flags |= N_AVAILABLE;
	jti_queue_push(s, n);
	return 0;
}

/* Whether an end of n can end other jobs. The ancestor walk stops early: so does this look. A parent may have been shut from within its
 * barrier, which then lives, and is killed by the first member that does not go on. */
static bool may_skip_others(const struct jt_sched *s, uint32_t n, const struct jt_end *end)
{
	const struct node *x = &s->node[n];
	unsigned mark = N_SHUT | (end->state == JT_SKIPPED ? 0 : N_BAD);
	if (s->has_side)
		return true;
	if (end->goes_on)
		return false;
	if (x->child != JT_NONE || (s->node[x->parent].flags & mark) != mark)
		return true;
	uint32_t barrier = jti_barrier_of(s, x->parent);
	return barrier != JT_NONE && !(s->node[barrier].flags & N_DEAD);
}

int jt_sched_end(struct jt_sched *s, jt_job j, const struct jt_end *end, struct jt_changes *out, struct jt_error *err)
{
	if (!jt_state_is_final(end->state))
		return jti_fail(err, JT_EINVAL, JT_NONE, "%s is no state to end in", jt_state_name(end->state));
	uint32_t n = may(s, j, end->state, err);
	if (n == JT_NONE || (may_skip_others(s, n, end) && jti_changes_room(s, out, err) < 0))
		return -1;
	s->out = out;
	jti_set_final(s, n, end, end->state == JT_CANCELLED ? JT_CANCEL : JT_BY_ITSELF, JT_NONE);
	jti_flow_end(s, n);
	jti_flow_run(s);
	return 0;
}

int jt_sched_backoff(struct jt_sched *s, jt_job j, int64_t due_ns, struct jt_error *err)
{
	uint32_t n = may(s, j, JT_BACKOFF, err);
	if (n == JT_NONE)
		return -1;
	if (jti_due_init(s) < 0)
		return jti_fail(err, JT_ENOMEM, j, "out of memory for the retries of %u jobs", s->n_jobs);
	jti_set_state(s, n, JT_BACKOFF);
	s->node[n].flags |= N_AVAILABLE;
	jti_due_push(s, n, due_ns);
	return 0;
}

int jt_sched_hold(struct jt_sched *s, jt_job j, struct jt_error *err)
{
	if (jti_begun(s, j, err) == 0 && s->node[s->node_of[j]].state == JT_HELD)
		return 0;
	uint32_t n = may(s, j, JT_HELD, err);
	if (n == JT_NONE)
		return -1;
	if (s->node[n].state == JT_READY)
		jti_queue_remove(s, n);
	if (s->node[n].state == JT_BACKOFF) {
		jti_due_remove(s, n);
		s->node[n].flags |= N_DUE;
	}
	jti_set_state(s, n, JT_HELD);
	return 0;
}

int jt_sched_hold_lost(struct jt_sched *s, jt_job j, struct jt_error *err)
{
	char buf[SHOWN];
	if (jti_begun(s, j, err) < 0)
		return -1;
	uint32_t n = s->node_of[j];
	if (s->node[n].state != JT_STARTING && s->node[n].state != JT_RUNNING)
		return jti_fail(err, JT_ESTATE, j, "job \"%s\" is %s, it has no attempt to lose", jti_shown(buf, job_path(s, j), job_len(s, j)),
			    jt_state_name(s->node[n].state));
	jti_set_state(s, n, JT_HELD);
	s->node[n].flags |= N_AVAILABLE;
	return 0;
}

int jt_sched_release(struct jt_sched *s, jt_job j, struct jt_error *err)
{
	if (jti_begun(s, j, err) < 0)
		return -1;
	uint32_t n = s->node_of[j];
	if (s->node[n].state != JT_HELD)
		return s->node[n].state < JT_SOK ? 0 : may(s, j, JT_WAITING, err) == JT_NONE ? -1 : 0;
	unsigned was = s->node[n].flags;
	s->node[n].flags &= (uint16_t)~N_DUE;
	jti_set_state(s, n, !(was & N_AVAILABLE) ? JT_WAITING : was & N_DUE ? JT_BACKOFF : JT_READY);
	if (s->node[n].state == JT_READY)
		jti_queue_push(s, n);
	if (s->node[n].state == JT_BACKOFF)
		jti_due_push(s, n, s->due_at[n]);
	return 0;
}

void jt_sched_pause(struct jt_sched *s, bool paused)
{
	s->paused = paused;
}

void jt_sched_set_slots(struct jt_sched *s, uint32_t slots)
{
	s->opts.slots = slots;
}

static void stop_one(struct jt_sched *s, uint32_t n)
{
	static const struct jt_end cancelled = { .state = JT_CANCELLED, .fails_run = true };
	static const struct jt_end skipped = { .state = JT_SKIPPED };
	const struct node *x = &s->node[n];
	if (!(x->flags & N_JOB) || is_final(x) || x->state == JT_STARTING || x->state == JT_RUNNING)
		return;
	if (x->when == JT_ON_FINISHED && !s->stop_now)
		return;
	bool waits = x->state == JT_WAITING;
	jti_set_final(s, n, waits ? &skipped : &cancelled, waits ? JT_STOPPED : JT_CANCEL, JT_NONE);
	jti_change(s, n);
	s->stopped = true;
	jti_flow_settle(s, n);
	jti_flow_shut(s, n);
}

int jt_sched_stop(struct jt_sched *s, enum jt_stop how, enum jt_stop_why why, struct jt_changes *out, struct jt_error *err)
{
	if (!s->begun)
		return jti_fail(err, JT_ESTATE, JT_NONE, "the tree has not begun");
	if (jti_changes_room(s, out, err) < 0)
		return -1;
	if (!s->stopped)
		s->stop_why = why;
	s->stop_now = s->stop_now || how == JT_STOP_NOW;
	if (s->counts.n[JT_STARTING] + s->counts.n[JT_RUNNING] > 0)
		s->stopped = true;
	s->out = out;
	for (uint32_t n = 0; n < s->n_nodes; n++)
		stop_one(s, n);
	jti_flow_run(s);
	return jt_sched_seal(s, NULL, 0, out, err);
}
