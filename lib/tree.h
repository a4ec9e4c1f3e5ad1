/* SPDX-License-Identifier: MIT */
/*
 * What the files of the scheduler share. Not installed. Names that cross files start with jti_: programs of this package link the
 * library statically and have functions of their own.
 *
 * A node is a place in the tree: a job, a directory without a job (gap), or a barrier directory. After begin the jobs are
 * nodes 0 .. n-1 in path order, so that comparing two indices compares two paths; gaps follow, the root is the first of them.
 * In a stream nodes are appended later and that order is lost (`ranked` is false): paths are compared.
 *
 * The flow of facts through the tree (flow.c), each fact at most once a node:
 *
 *	PASSED   down   everything this place waits for, and its own job, went on: the children are released
 *	pend     up     direct children (barrier apart) whose subtree is not complete; 0 opens the barrier, then completes the node
 *	SHUT     up     a job at or below ended without going on; BAD: one that failed (not merely skipped)
 *	DEAD     down   jobs here can never start (but those with `when`)
 *	live     up     jobs at or below that have no final state (kept only if some job has `after` or `when`)
 *	FINAL    down   all job ancestors and the members of all barriers on the path have a final state (the same)
 */
#ifndef JOBTREE_TREE_H
#define JOBTREE_TREE_H

#include <string.h>

#include "heap.h"
#include "jobtree.h"

enum {
	N_JOB = 1 << 0,
	N_BARRIER = 1 << 1,
	N_PASSED = 1 << 2,
	N_COMPLETE = 1 << 3,
	N_SHUT = 1 << 4,
	N_BAD = 1 << 5,
	N_BAD_MEMBER = 1 << 6,    /* a child that is no barrier is BAD */
	N_DEAD = 1 << 7,
	N_FINAL = 1 << 8,
	N_BAD_NEED = 1 << 9,      /* beside FINAL: one of those was BAD */
	N_AVAILABLE = 1 << 10,    /* a job whose needs are met, whether held or not */
	N_RELEASED = 1 << 11,     /* `success` with `after`: the tree lets it go */
	N_SEALED = 1 << 12,       /* no further children but below the barrier */
	N_QUEUED = 1 << 13,       /* stands in the list of jobs to judge */
	N_KILL = 1 << 14,         /* stands in the list of subtrees to skip */
	N_DUE = 1 << 15,          /* was held while it backed off: due_at still counts */
};
#define N_KEPT (N_JOB | N_BARRIER | N_SEALED | N_DUE)   /* what nobody can derive; everything else is */

enum { END_GOES_ON = 1, END_FAILS = 2, END_STOPS = 4 };

struct node {
	uint32_t parent, child, next;   /* child: a barrier directory stands first, the others in path order */
	uint32_t pend;
	uint32_t job;                   /* handle; gap: of some job below, whose path's first len bytes name the gap */
	uint32_t len;
	uint32_t cause;
	uint8_t state, end, reason;
	uint8_t when;
	uint16_t flags;
	uint16_t unused;
};

/* A job with `after` or `when`, see after.c. */
struct edge {
	uint32_t from, to;              /* nodes: from waits for to */
	uint32_t next_out, next_in;
	uint32_t subtree;
};
struct side {
	uint32_t out, in;               /* first edge; JT_NONE */
	uint32_t open;                  /* edges of `out` whose target has not come to its end */
	uint32_t live;
};
struct wish {                           /* `after` as it was given, until begin or the end of the add */
	uint32_t job;
	size_t text;
	uint32_t len;
};

struct avail {
	int64_t key;
	uint64_t seq;
	uint32_t node;
};
struct due {
	int64_t at_ns;
	uint32_t node;
};

struct jt_sched;
bool jti_avail_less(const struct jt_sched *s, const struct avail *a, const struct avail *b);
#define AVAIL_LESS(s, a, b) jti_avail_less(s, a, b)
void jti_queue_moved(struct jt_sched *s, uint32_t node, size_t at);
#define AVAIL_MOVED(s, a, i) jti_queue_moved(s, (a)->node, i)
HEAP_DEFINE(avail_heap, struct avail, struct jt_sched *, AVAIL_LESS, AVAIL_MOVED);
#define DUE_LESS(s, a, b) ((a)->at_ns != (b)->at_ns ? (a)->at_ns < (b)->at_ns : (a)->node < (b)->node)
#define DUE_MOVED(s, a, i) jti_queue_moved(s, (a)->node, i)
HEAP_DEFINE(due_heap, struct due, struct jt_sched *, DUE_LESS, DUE_MOVED);

/* A set of numbers below n with its least member found in a few words: a bitmap, a bitmap of its non-zero words, and so on. */
#define RANKS_LEVELS 6
struct ranks {
	uint64_t *level[RANKS_LEVELS];
	unsigned n_levels;
	uint32_t n;
};

struct jt_sched {
	struct jt_opts opts;
	char *barrier;
	size_t barrier_len;
	bool begun, sealed, paused, ranked, stopped, stop_now, has_side;
	enum jt_stop_why stop_why;

	char *names;                    /* all paths one after the other, each with a NUL */
	size_t names_n, names_cap;
	uint64_t *off;                  /* of handle h; off[n_jobs] is the end */
	int32_t *prio;                  /* by handle; NULL: all 0 */
	uint8_t *when;                  /* by handle, until begin; NULL: all success */
	struct wish *wishes;
	size_t n_wishes, wishes_cap;
	char *wish_text;
	size_t wish_text_n, wish_text_cap;
	uint32_t n_jobs, jobs_cap;

	struct node *node;
	uint32_t n_nodes, nodes_cap, root;
	uint32_t *node_of;              /* by handle */
	size_t node_of_cap;
	struct side *side;              /* by node; only if has_side */
	struct edge *edges;
	uint32_t n_edges, edges_cap;
	uint32_t *hash;                 /* stream: nodes by path */
	uint32_t hash_cap;
	uint32_t *sorted;               /* stream: job nodes in path order, or NULL */
	struct jt_restore *restored;    /* by handle, until begin */

	struct ranks ranks;             /* available jobs: bulk, but fifo */
	uint32_t *rank_of, *of_rank;    /* NULL: the node's index is its rank */
	struct avail_heap heap;         /* fifo and streams */
	struct due_heap due;
	int64_t *due_at;                /* by node; NULL: none ever backed off */
	uint32_t *pos;                  /* by node, in either heap */
	uint64_t seq;
	uint64_t *seq_of;               /* fifo: by node, its place in the queue; 0: none yet */

	uint32_t *work;                 /* nodes to judge or to kill below; room for two entries a node */
	size_t work_head, work_n;
	struct jt_changes *out;         /* of the call under way */

	uint32_t hot_job, hot_node;     /* what jt_sched_next gave last: its start, and often its end, follow at once */
	int64_t next_ns;
	bool pacing;
	uint64_t rnd;
	struct jt_counts counts;
	uint32_t n_fails;               /* final jobs that fail the run */
	uint32_t n_shut, n_bad;         /* children of the root that are SHUT, BAD */
};

/* error.c */
int jti_fail(struct jt_error *err, enum jt_code code, uint32_t job, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
#define SHOWN 400
const char *jti_shown(char buf[SHOWN], const char *path, size_t len);     /* for messages: cut in the middle, controls escaped */
int jti_changes_reserve(struct jt_changes *c, size_t n);                  /* room for n more */
void jti_change(struct jt_sched *s, uint32_t node);

/* path.c */
int jti_path_check(const struct jt_sched *s, const char *path, size_t len, uint32_t index, struct jt_error *err);
int jti_bytes_cmp(const char *a, size_t alen, const char *b, size_t blen);

/* names.c */
int jti_names_add(struct jt_sched *s, const struct jt_spec *spec, struct jt_error *err);
static inline const char *job_path(const struct jt_sched *s, uint32_t job)
{
	return s->names + s->off[job];
}
static inline uint32_t job_len(const struct jt_sched *s, uint32_t job)
{
	return (uint32_t)(s->off[job + 1] - s->off[job] - 1);
}
static inline const char *node_path(const struct jt_sched *s, uint32_t n)
{
	return s->node[n].len ? s->names + s->off[s->node[n].job] : "";
}
/* Makes room for n elements of size bytes in *v; *cap follows. 0 or -1. */
int jti_room(void *v, size_t *cap, size_t n, size_t size);

/* sort.c */
struct item {
	uint64_t key;
	uint32_t job;
};
void jti_sort_items(const struct jt_sched *s, struct item *v, size_t n);

/* tree.c */
int jti_tree_build(struct jt_sched *s, struct jt_error *err);
uint32_t jti_node_new(struct jt_sched *s, uint32_t parent, uint32_t job, uint32_t len, unsigned flags);  /* room was made before */
int jti_nodes_reserve(struct jt_sched *s, size_t n);
uint32_t jti_node_find(struct jt_sched *s, const char *path, size_t len);
uint32_t jti_barrier_of(const struct jt_sched *s, uint32_t n);           /* its barrier directory, or JT_NONE */
uint32_t jti_walk_next(const struct jt_sched *s, uint32_t top, uint32_t n, bool down);  /* the next one in preorder below top */
static inline bool is_final(const struct node *x)
{
	return x->state >= JT_SOK;
}

/* queue.c */
int jti_queue_init(struct jt_sched *s);
int jti_queue_grow(struct jt_sched *s, uint32_t old_cap);
void jti_queue_done(struct jt_sched *s);
void jti_queue_clear(struct jt_sched *s);
void jti_queue_push(struct jt_sched *s, uint32_t n);
void jti_queue_remove(struct jt_sched *s, uint32_t n);
uint32_t jti_queue_min(const struct jt_sched *s);
size_t jti_queue_peek(struct jt_sched *s, uint32_t *ret, size_t n);
int jti_due_init(struct jt_sched *s);
void jti_due_push(struct jt_sched *s, uint32_t n, int64_t at_ns);
void jti_due_remove(struct jt_sched *s, uint32_t n);

/* flow.c */
void jti_set_state(struct jt_sched *s, uint32_t n, enum jt_state st);
void jti_set_final(struct jt_sched *s, uint32_t n, const struct jt_end *e, enum jt_reason why, uint32_t cause);
void jti_flow_end(struct jt_sched *s, uint32_t n);          /* n has a final state: what follows */
void jti_flow_settle(struct jt_sched *s, uint32_t n);       /* the same, as far as `live` and FINAL go */
void jti_flow_skip(struct jt_sched *s, uint32_t n, enum jt_reason why, uint32_t cause);
void jti_flow_pass(struct jt_sched *s, uint32_t n);
void jti_flow_grown(struct jt_sched *s, uint32_t n);        /* stream: node n was added */
void jti_flow_closed(struct jt_sched *s, uint32_t n);       /* stream: node n was sealed */
void jti_flow_shut(struct jt_sched *s, uint32_t n);
void jti_flow_release(struct jt_sched *s, uint32_t n);      /* the tree lets this job go */
void jti_flow_run(struct jt_sched *s);                      /* until nothing more follows */
void jti_flow_derive(struct jt_sched *s);                   /* everything anew, from the states */
void jti_judge_later(struct jt_sched *s, uint32_t n);
void jti_kill_later(struct jt_sched *s, uint32_t n, uint32_t cause);
bool jti_failed_for_real(const struct jt_sched *s, uint32_t n);

/* after.c */
int jti_after_enable(struct jt_sched *s);                            /* side tables, if some job needs them */
int jti_after_resolve(struct jt_sched *s, uint32_t first_job, struct jt_error *err);

/* chain.c */
int jti_cycle_check(const struct jt_sched *s, struct jt_error *err);
/* ret: room for each node. own: the number of jobs in the longest chain of needs that ends in the job, 0 for no job. 0, or -1: no memory. */
int jti_levels(const struct jt_sched *s, uint32_t *ret_own);

/* stream.c */
int jti_stream_add(struct jt_sched *s, const struct jt_spec *specs, size_t n, jt_job *ret_first, struct jt_changes *out,
	       struct jt_error *err);
int jti_hash_grow(struct jt_sched *s, size_t n);
void jti_hash_put(struct jt_sched *s, uint32_t n);
void jti_hash_rebuild(struct jt_sched *s);
uint32_t jti_hash_find(const struct jt_sched *s, const char *path, size_t len);

/* sched.c */
int jti_begun(const struct jt_sched *s, jt_job j, struct jt_error *err);     /* 0 if the tree has begun and j is one of its jobs */
int jti_changes_room(struct jt_sched *s, struct jt_changes *out, struct jt_error *err);

/* pace.c */
void jti_pace_begin(struct jt_sched *s, int64_t now_ns);
void jti_pace_started(struct jt_sched *s, jt_job j);
uint64_t jti_random_next(uint64_t *state);                          /* splitmix64 (Steele, Lea, Flood 2014) */

/* sim.c and the executors */
int jti_executor_ready(struct jt_sched *s, struct jt_error *err);

#endif
