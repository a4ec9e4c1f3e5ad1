/* SPDX-License-Identifier: MIT */
/* Settings - what the command line of `jobctl map` says, checked, and with the defaults filled in. */
#ifndef MAP_SETTINGS_H
#define MAP_SETTINGS_H

#include "jobtree_map.h"
#include "map/records.h"
#include "options.h"

enum map_out { OUT_RAW, OUT_TAG, OUT_NUL, OUT_JSONL };
enum map_grouping { GROUP_ITEMS, GROUP_LINES, GROUP_NOT };
enum map_stderr { STDERR_PASS, STDERR_MERGE, STDERR_DROP, STDERR_FIELD };
enum map_progress { PROGRESS_NONE, PROGRESS_BAR, PROGRESS_PLAIN, PROGRESS_JSON };
enum halt_when { HALT_NEVER, HALT_SOON, HALT_NOW };
enum halt_what { HALT_FAIL, HALT_SUCCESS, HALT_DONE };

enum map_resume { RESUME_NOT, RESUME_UNDELIVERED, RESUME_ALL, RESUME_FAILED };

#define HALT_PERCENT_MIN 3              /* a share of fewer failures than that says nothing */

struct halt {
	enum halt_when when;
	enum halt_what what;
	uint64_t count;                 /* so many items ... */
	double percent;                 /* ... or, > 0, such a share of the finished ones failed */
};

#define RETRY_STATUSES 258              /* exit statuses, and: */
enum { RETRY_SIGNAL = 256, RETRY_TIMEOUT = 257 };

/* One command: what stands between two --then. */
struct stage_settings {
	struct jt_template *template;
	const char *const *words;               /* as given; borrowed */
	size_t n_words;
	char *shell;                            /* --shell: the text in place of argv[2]; NULL: none */
	bool item_on_stdin, tuples, local;
	uint32_t slots, window, threads;        /* threads: CPUs a slot */
	struct jt_retry_policy retry;
	bool retry_on[RETRY_STATUSES];
	int64_t timeout_ns, grace_ns;           /* timeout 0: none */
	bool batches;
	struct jt_batch_opts batch;
	uint32_t columns;                       /* of a batch of tuples; 0: its parts are items, or a tuple */
	uint32_t unit;                          /* a batch may be divided at each so many of its parts; 0: it may not, or is none */
};

struct map_settings {
	struct stage_settings *stage;
	size_t n_stages;
	const char *const *inputs;              /* borrowed file names; "-" */
	size_t n_inputs;
	int input_fd;                           /* --fd; -1 */
	struct records_opts records;
	enum jt_zip zip;
	const char *fill;                       /* NULL: none */
	bool ordered;
	enum map_out out;
	enum map_grouping grouping;
	enum map_stderr err;
	enum map_progress progress;
	struct halt halt;
	int64_t deadline_ns, delay_ns, heartbeat_ns, total;     /* total -1: not known */
	double max_load;                        /* < 0: none */
	uint64_t memfree, buffer_bytes, spool_bytes;
	int pipe_size;
	const char *spool_dir, *results_dir, *name;
	const char *log;                        /* NULL: none */
	const struct options *options;          /* for the way to the daemon; borrowed */
	bool local;
	int64_t output_max;                     /* of one command, through the daemon; 0: the daemon's own */
	enum map_resume resume;
	bool stats, durable;
};

/* settings_read - o is what stands before the first command and that command's words. 0, or an exit status, and it has complained;
 * settings_done in both cases. Borrows from o. */
int settings_read(struct map_settings *m, const struct options *o);
void settings_done(struct map_settings *m);

#endif
