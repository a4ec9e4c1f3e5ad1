/* SPDX-License-Identifier: MIT */
/* The scheduler's life: options, adding, beginning, restoring. */
#include "tree.h"

static int opts_check(const struct jt_opts *o, struct jt_error *err)
{
	const char *b = o->barrier ? o->barrier : "~";
	if (o->slots == 0)
		return jti_fail(err, JT_EINVAL, JT_NONE, "slots must be at least 1, got 0");
	if (b[0] == 0 || strchr(b, '/'))
		return jti_fail(err, JT_EINVAL, JT_NONE, "barrier name \"%s\": must not be empty and must not hold a slash", b);
	if (o->interval_ns < 0 || o->jitter_ns < 0)
		return jti_fail(err, JT_EINVAL, JT_NONE, "interval and jitter must not be negative");
	return 0;
}

struct jt_sched *jt_sched_new(const struct jt_opts *opts, struct jt_error *err)
{
	if (opts_check(opts, err) < 0)
		return NULL;
	struct jt_sched *s = calloc(1, sizeof(*s));
	if (s) {
		s->opts = *opts;
		s->barrier = strdup(opts->barrier ? opts->barrier : "~");
		s->rnd = opts->seed;
		s->ranked = true;
		s->hot_job = JT_NONE;
	}
	if (!s || !s->barrier) {
		jt_sched_free(s);
		jti_fail(err, JT_ENOMEM, JT_NONE, "out of memory for a new tree");
		return NULL;
	}
	s->barrier_len = strlen(s->barrier);
	return s;
}

void jt_sched_free(struct jt_sched *s)
{
	if (!s)
		return;
	jti_queue_done(s);
	void *parts[] = { s->barrier, s->names, s->off,  s->prio, s->when, s->wishes, s->wish_text, s->node,
			  s->node_of, s->side,  s->edges, s->hash, s->sorted, s->restored, s->work };
	for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++)
		free(parts[i]);
	free(s);
}

static int order_check(const struct jt_sched *s, const struct jt_spec *spec, uint32_t index, struct jt_error *err)
{
	char a[SHOWN], b[SHOWN];
	if (s->opts.input != JT_SORTED || s->n_jobs == 0)
		return 0;
	uint32_t last = s->n_jobs - 1;
	int c = jti_bytes_cmp(job_path(s, last), job_len(s, last), spec->path, spec->path_len);
	if (c == 0)
		return jti_fail(err, JT_EEXIST, index, "job \"%s\": two jobs have this path", jti_shown(a, spec->path, spec->path_len));
	if (c > 0)
		return jti_fail(err, JT_EINVAL, index, "job \"%s\": not sorted, it follows \"%s\"", jti_shown(a, spec->path, spec->path_len),
			    jti_shown(b, job_path(s, last), job_len(s, last)));
	return 0;
}

static int add_all(struct jt_sched *s, const struct jt_spec *specs, size_t n, struct jt_error *err)
{
	for (size_t i = 0; i < n; i++)
		if (jti_path_check(s, specs[i].path, specs[i].path_len, (uint32_t)i, err) < 0 ||
		    order_check(s, &specs[i], (uint32_t)i, err) < 0 || jti_names_add(s, &specs[i], err) < 0)
			return -1;
	return 0;
}

int jt_sched_add(struct jt_sched *s, const struct jt_spec *specs, size_t n, jt_job *ret_first, struct jt_changes *out,
		 struct jt_error *err)
{
	if (s->sealed || (s->begun && s->opts.mode == JT_BULK))
		return jti_fail(err, JT_ESTATE, JT_NONE, "the tree is sealed: no job can be added");
	if (s->begun)
		return jti_stream_add(s, specs, n, ret_first, out, err);
	uint32_t first = s->n_jobs;
	size_t names_n = s->names_n, n_wishes = s->n_wishes, text_n = s->wish_text_n;
	if (s->restored)
		return jti_fail(err, JT_ESTATE, JT_NONE, "jobs are added before they are restored");
	if (add_all(s, specs, n, err) < 0) {
		s->n_jobs = first;
		s->names_n = names_n;
		s->n_wishes = n_wishes;
		s->wish_text_n = text_n;
		return -1;
	}
	if (ret_first)
		*ret_first = first;
	return 0;
}

int jt_sched_restore(struct jt_sched *s, jt_job j, const struct jt_restore *r, struct jt_error *err)
{
	char buf[SHOWN];
	if (s->begun || j >= s->n_jobs)
		return jti_fail(err, s->begun ? JT_ESTATE : JT_ENOENT, JT_NONE, "restore of job %u: %s", j,
			    s->begun ? "the tree has begun" : "no such job");
	bool ended = jt_state_is_final(r->state), upstream = ended && r->reason == JT_UPSTREAM && r->cause != JT_NONE;
	if (r->state >= JT_N_STATES || (ended && r->end.state != r->state) || (upstream && r->cause >= s->n_jobs))
		return jti_fail(err, JT_EINVAL, j, "job \"%s\": cannot have stood as %s, ended %s%s", jti_shown(buf, job_path(s, j), job_len(s, j)),
			    jt_state_name(r->state), jt_state_name(r->end.state), upstream ? ", because of a job that is not there" : "");
	if (!s->restored && !(s->restored = calloc(s->n_jobs, sizeof(*s->restored))))
		return jti_fail(err, JT_ENOMEM, JT_NONE, "out of memory to restore %u jobs", s->n_jobs);
	s->restored[j] = *r;
	return 0;
}

static int restore_all(struct jt_sched *s)
{
	for (uint32_t j = 0; s->restored && j < s->n_jobs; j++) {
		const struct jt_restore *r = &s->restored[j];
		uint32_t n = s->node_of[j];
		bool held_with_due = r->state == JT_HELD && r->due_ns;
		if ((r->state == JT_BACKOFF || held_with_due) && jti_due_init(s) < 0)
			return -1;
		if (r->state >= JT_SOK)
			jti_set_final(s, n, &r->end, r->reason, r->reason == JT_UPSTREAM ? r->cause : JT_NONE);
		else if (r->state != JT_READY)
			jti_set_state(s, n, r->state);
		if (r->state == JT_BACKOFF)
			jti_due_push(s, n, r->due_ns);
		if (held_with_due) {
			s->due_at[n] = r->due_ns;
			s->node[n].flags |= N_DUE;
		}
	}
	return 0;
}

static void unbuild(struct jt_sched *s)
{
	jti_queue_done(s);
	memset(&s->ranks, 0, sizeof(s->ranks));
	s->rank_of = s->of_rank = s->pos = NULL;
	s->seq_of = NULL;
	s->due_at = NULL;
	free(s->node);
	free(s->node_of);
	free(s->side);
	free(s->edges);
	free(s->hash);
	free(s->work);
	s->node = NULL;
	s->node_of = NULL;
	s->node_of_cap = 0;
	s->side = NULL;
	s->edges = NULL;
	s->hash = NULL;
	s->work = NULL;
	s->n_nodes = s->nodes_cap = s->n_edges = s->edges_cap = s->hash_cap = 0;
	s->has_side = false;
	s->counts = (struct jt_counts){ 0 };
}

static int build(struct jt_sched *s, struct jt_changes *out, struct jt_error *err)
{
	if (jti_tree_build(s, err) < 0)
		return -1;
	if ((s->opts.mode == JT_STREAM && jti_hash_grow(s, s->n_nodes) < 0) || jti_queue_init(s) < 0 ||
	    !(s->work = malloc(2 * (size_t)s->nodes_cap * sizeof(*s->work))))
		return jti_fail(err, JT_ENOMEM, JT_NONE, "out of memory for a tree of %u jobs", s->n_jobs);
	s->counts.n[JT_WAITING] = s->counts.total = s->n_jobs;
	if (jti_after_enable(s) < 0 || restore_all(s) < 0)
		return jti_fail(err, JT_ENOMEM, JT_NONE, "out of memory for a tree of %u jobs", s->n_jobs);
	if (jti_after_resolve(s, 0, err) < 0 || jti_cycle_check(s, err) < 0)
		return -1;
	return (s->restored || s->has_side) ? jti_changes_room(s, out, err) : 0;
}

int jt_sched_begin(struct jt_sched *s, struct jt_changes *out, struct jt_error *err)
{
	if (s->begun)
		return jti_fail(err, JT_ESTATE, JT_NONE, "the tree has begun already");
	if (build(s, out, err) < 0) {
		unbuild(s);
		return -1;
	}
	s->begun = true;
	bool sealed = s->sealed || s->opts.mode == JT_BULK;
	for (uint32_t n = 0; sealed && n < s->n_nodes; n++)
		s->node[n].flags |= N_SEALED;
	s->sealed = sealed;
	free(s->restored);
	free(s->wishes);
	free(s->wish_text);
	s->restored = NULL;
	s->wishes = NULL;
	s->wish_text = NULL;
	s->n_wishes = s->wishes_cap = s->wish_text_n = s->wish_text_cap = 0;
	s->out = out;
	jti_flow_derive(s);
	return 0;
}

int jti_begun(const struct jt_sched *s, jt_job j, struct jt_error *err)
{
	if (!s->begun)
		return jti_fail(err, JT_ESTATE, JT_NONE, "the tree has not begun");
	if (j >= s->n_jobs)
		return jti_fail(err, JT_ENOENT, JT_NONE, "job number %u: no such job", j);
	return 0;
}

/* Room for an end of every job that has none, before the first effect. Untouched memory costs nothing. */
int jti_changes_room(struct jt_sched *s, struct jt_changes *out, struct jt_error *err)
{
	size_t open = 0;
	for (unsigned st = 0; st < JT_SOK; st++)
		open += s->counts.n[st];
	if (out && jti_changes_reserve(out, open) < 0)
		return jti_fail(err, JT_ENOMEM, JT_NONE, "out of memory for the ends of %zu jobs", open);
	return 0;
}

/* ---- looking ---- */

const struct jt_counts *jt_sched_counts(const struct jt_sched *s)
{
	return &s->counts;
}

static uint32_t n_open(const struct jt_sched *s)
{
	uint32_t open = 0;
	for (unsigned st = 0; st < JT_SOK; st++)
		open += s->counts.n[st];
	return open;
}

struct jt_result jt_sched_result(const struct jt_sched *s)
{
	bool stop_failed = s->stopped && s->stop_why == JT_STOP_FAIL;
	return (struct jt_result){ .done = s->begun && s->sealed && n_open(s) == 0, .failed = s->n_fails > 0 || stop_failed,
				   .stopped = s->stopped, .why = s->stop_why };
}

enum jt_state jt_job_state(const struct jt_sched *s, jt_job j)
{
	return s->begun && j < s->n_jobs ? (enum jt_state)s->node[s->node_of[j]].state : JT_WAITING;
}

void jt_job_end(const struct jt_sched *s, jt_job j, struct jt_end *ret, enum jt_reason *ret_reason, jt_job *ret_cause)
{
	const struct node *x = &s->node[s->node_of[j]];
	if (ret)
		*ret = (struct jt_end){ (enum jt_state)x->state, x->end & END_GOES_ON, x->end & END_FAILS, x->end & END_STOPS };
	if (ret_reason)
		*ret_reason = (enum jt_reason)x->reason;
	if (ret_cause)
		*ret_cause = x->cause;
}
