/* SPDX-License-Identifier: MIT */
/*
 * Specifications: what a client says about a job and about a run (JOBSPEC), from JSON to structs, by field tables.
 *
 * The same code checks a pipeline in `jobctl plan`, a submission in jobd, and reads a stored job when it is about to start.
 * Unknown fields are refused by name; dashes may stand for underscores; every error names the job and the field:
 *   job "db/dump": retry.max must be 0..1000000, got -1
 *
 * Memory: everything a parsed struct points to lives in an arena (or in the base it was overlaid on) and is freed with it.
 */
#ifndef SPEC_H
#define SPEC_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "jobtree.h"
#include "jobtree_args.h"

#define SPEC_EXEC_MAX (512 * 1024)      /* argv + env of one job, bytes */
#define SPEC_STRING_MAX 131071          /* one string, bytes */
#define SPEC_LABELS_MAX 64

struct arena;                           /* bump allocator; see arena.h */

struct spec_error {
	enum jt_code code;
	char job[256];                  /* path of the job at fault (shortened), or "" */
	char field[64];                 /* "retry.max", or "" */
	char text[1024];                /* complete sentence, names job and field */
};

enum spec_kind { SPEC_NONE, SPEC_ARGV, SPEC_SHELL, SPEC_FETCH, SPEC_ITEM };
enum spec_on_error { SPEC_FAIL, SPEC_WARN, SPEC_IGNORE, SPEC_SKIP, SPEC_STOP };
enum spec_on_lost { SPEC_LOST_RETRY, SPEC_LOST_FAIL, SPEC_LOST_HOLD };
enum spec_retry_on { SPEC_ON_EXIT = 1, SPEC_ON_SIGNAL = 2, SPEC_ON_TIMEOUT = 4, SPEC_ON_SPAWN = 8 };

struct spec_pair { const char *name, *value; };
struct spec_set { uint8_t bits[32]; };  /* of exit statuses 0..255 */
static inline bool spec_set_has(const struct spec_set *s, unsigned i) { return i < 256 && (s->bits[i >> 3] >> (i & 7) & 1); }

struct spec_strings {
	const char *const *v;
	size_t n;
};

/* What one object is fetched with: jobctl-fetch(1) says what each means. As it is before anything is given: spec_read_fetch. */
struct spec_fetch {
	const char *url;                /* with its secrets; NULL: not given */
	const char *output, *into, *range;
	const char *checksum_file, *header_file, *cacert;
	struct spec_strings checksum;   /* ALGORITHM:HEX */
	int alloc;
	int64_t at;                     /* -1: not given */
	int64_t streams, max_per_host, min_part, limit_rate, tries, restarts, save_bytes;
	int64_t stall_timeout, retry_after_cap, deadline, heartbeat, save_interval;     /* ms */
	bool durable, no_fsync, http2, trust_size, if_changed, mtime, no_clobber, keep_bad;
};

/* What items are put into: jobctl-map(1). */
enum spec_stderr { SPEC_STDERR_APART, SPEC_STDERR_MERGE, SPEC_STDERR_DROP };
struct spec_map {
	struct spec_strings words;      /* the template */
	bool shell, item_on_stdin;
	uint32_t threads;               /* what {threads} says */
	uint32_t columns;               /* an item is a batch of tuples of so many; 0: of items, or one tuple */
	uint32_t window;                /* items in hand, at most */
	uint32_t stage;                 /* of a client that has several maps, one behind the other: from 1; 0: not given */
	int stderr_to;                  /* enum spec_stderr */
	int64_t output_max;             /* bytes of one item's output; 0: not given */
	int64_t undelivered_max;        /* bytes that have ended and not been delivered; -1: not given */
};

struct spec_item {
	const struct jt_bytes *v;       /* any bytes */
	size_t n;                       /* 0 where input_bytes is given, else at least 1 */
	int64_t input_bytes;            /* its standard input is a file of so many; 0: it has none */
};

struct spec_job {
	const char *path;               /* NULL in defaults */
	enum spec_kind kind;
	const char *const *argv;        /* ARGV; NULL-terminated. From argv or argv_b64 */
	size_t argc;
	const char *shell;              /* SHELL */
	const struct spec_fetch *fetch; /* FETCH: complete. Else what `defaults` says about fetches, or NULL */
	const struct spec_item *item;   /* ITEM: of a map, whose command it is put into */
	const char *cwd;                /* NULL: not given */
	const struct spec_pair *env;    /* later ones win; names unique within job and defaults merged */
	size_t n_env, env_bytes;        /* bytes: what exec counts for env */
	const char *const *env_inherit; /* names; resolved by jobctl at submission into env: in jobd always empty */
	size_t n_env_inherit;
	const char *stdin_file, *stdin_text;
	const char *user, *group;
	int32_t umask, nice;            /* umask -1: not given */
	int64_t timeout_ms;             /* 0: none */
	int64_t grace_ms;               /* 10000 */
	struct jt_retry_policy retry;
	unsigned retry_on;              /* enum spec_retry_on */
	struct spec_set retry_on_exit, retry_not_on_exit;       /* on_exit empty: all */
	bool has_retry_on_exit;
	struct spec_set success_exit, skip_exit;
	enum spec_on_error on_error;
	enum spec_on_lost on_lost;
	uint32_t lost_max;
	const char *const *after;
	size_t n_after;
	enum jt_when when;
	int32_t priority;
	int64_t duration_ns;            /* -1: not given */
	const struct spec_pair *labels;
	size_t n_labels;
};

/* Content, for idempotency: the sum of XXH3 128-bit hashes of parts, so that their order does not matter. Starts as zero. */
struct spec_hash { uint64_t lo, hi; };

struct spec_run {
	const char *name, *key;         /* NULL: not given */
	uint32_t workers;               /* 0: not given = CPUs */
	const char *barrier;            /* "~" */
	enum jt_order order;
	int64_t interval_ms, period_ms, jitter_ms, deadline_ms;   /* 0: none */
	const struct spec_pair *labels;
	size_t n_labels;
	struct spec_job base;           /* what its jobs start from: built-in defaults, run's on_error, cwd, env, then `defaults` */
	struct spec_hash base_env;      /* of base.env: jobs without an env of their own need not hash it again */
	const struct spec_map *map;     /* NULL: its jobs are no items */
};

/* The built-in defaults of JOBSPEC. */
void spec_job_init(struct spec_job *job);

/*
 * spec_run_read - the options of a run: an object with the fields of JOBSPEC "A run" (but `jobs`). 0, or -1 with *err.
 */
int spec_run_read(const json_t *obj, struct arena *a, struct spec_run *ret, struct spec_error *err);

/*
 * spec_map_read - the options of a map (MapOptions of org.jobd) as those of a run: name, workers, interval_ms, base, map. 0, or -1 with *err.
 */
int spec_map_read(const json_t *options, struct arena *a, struct spec_run *ret, struct spec_error *err);

/* spec_put_read - an item as it is put into a map (MapItem of org.jobd); spec: what spec_item_parse reads, in the arena. 0, or -1 with *err. */
struct spec_text { const char *text; size_t len; };
struct spec_item_key { uint8_t bytes[16]; bool given; };
struct spec_put {
	int64_t tag, seq, input_bytes;
	struct spec_text spec;
	struct spec_item_key key;
};
int spec_put_read(const json_t *obj, struct arena *a, struct spec_put *ret, struct spec_error *err);

/*
 * spec_job_read - one job overlaid on base: fields that are absent stay as in base; env, labels, retry merge key by key; path,
 * barrier rules and limits are checked (jt_path_check). A string instead of an object is not accepted here (jobctl expands it).
 */
int spec_job_read(const json_t *obj, const struct spec_run *run, struct arena *a, struct spec_job *ret, struct spec_error *err);

/* The same for a stored job: `text` as spec_job_text made it; path not checked again. */
int spec_job_parse(const char *text, size_t len, const struct spec_run *run, struct arena *a, struct spec_job *ret, struct spec_error *err);

/* The same for an item of a map, {"items_b64": [...]}: kind ITEM, everything else as the map has it. */
int spec_item_parse(const char *text, size_t len, const struct spec_run *run, struct arena *a, struct spec_job *ret, struct spec_error *err);

/*
 * spec_fetch_options - fn(arg, name, value) for each option of jobd-fetch that is not as it is by itself, but the URL, in an order that is
 * always the same. value NULL: it has none.
 */
typedef void (*spec_option_fn)(void *arg, const char *name, const char *value);
void spec_fetch_options(const struct spec_fetch *f, spec_option_fn fn, void *arg);

/* spec_job_text - what is stored: the object as given, without path, compact. Caller frees. NULL: out of memory. */
char *spec_job_text(const json_t *obj, size_t *ret_len);

/*
 * Two submissions have the same content when their hashes are equal: options and jobs as they are after defaults; order of jobs
 * and fields, white space and spelling of numbers do not count. A field that has its built-in default counts as absent, so that
 * a new field does not change old hashes.
 *
 *	struct spec_hash h = { 0 };
 *	spec_hash_run(&run, &h);                        the options; what is in run.base counts through the jobs
 *	spec_hash_job(&run, &job, &h);                  each job, in any order
 * A stream has no jobs yet when it is opened: it counts spec_hash_job(&run, &run.base, &h) instead.
 */
void spec_hash_run(const struct spec_run *run, struct spec_hash *h);
void spec_hash_job(const struct spec_run *run, const struct spec_job *job, struct spec_hash *h);

#endif
