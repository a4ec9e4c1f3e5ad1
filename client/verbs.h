/* SPDX-License-Identifier: MIT */
/* Verbs - the table of what jobctl can do; parsing, help and completion walk it. */
#ifndef VERBS_H
#define VERBS_H

#include "options.h"

struct verb {
	const char *name;
	const char *args;                       /* "RUN[/PATH]..." */
	const char *summary;                    /* one line */
	int (*fn)(const struct options *o);     /* returns an exit status */
	const struct opt *opts;
	enum opt_stop stop;
	size_t min_args, max_args;
};

extern const struct verb verbs[];               /* ends with name NULL */
extern const struct opt map_list_opts[], map_stop_opts[];  /* of map, behind these words */
extern const struct opt map_then_opts[];        /* of map, behind a --then; ends with OPTS_END */

const struct verb *verb_find(const char *name);
const char *verb_nearest(const char *name);     /* NULL: none is near */

/* One function a verb, in the file cmd_*.c of its family. */
int cmd_add(const struct options *o);
int cmd_bridge(const struct options *o);
int cmd_cancel(const struct options *o);
int cmd_completion(const struct options *o);
int cmd_config(const struct options *o);
int cmd_events(const struct options *o);
int cmd_fetch(const struct options *o);
int cmd_follow(const struct options *o);
int cmd_hold(const struct options *o);
int cmd_limits(const struct options *o);
int cmd_logs(const struct options *o);
int cmd_ls(const struct options *o);
int cmd_map(const struct options *o);
int map_list(const struct options *o);          /* map list ... */
int map_stop(const struct options *o);          /* map stop ... */
int cmd_pause(const struct options *o);
int cmd_ping(const struct options *o);
int cmd_plan(const struct options *o);
int cmd_release(const struct options *o);
int cmd_resume(const struct options *o);
int cmd_retry(const struct options *o);
int cmd_rm(const struct options *o);
int cmd_run(const struct options *o);
int cmd_seal(const struct options *o);
int cmd_show(const struct options *o);
int cmd_backup(const struct options *o);
int cmd_shutdown(const struct options *o);
int cmd_stats(const struct options *o);
int cmd_status(const struct options *o);
int cmd_submit(const struct options *o);
int cmd_tree(const struct options *o);
int cmd_version(const struct options *o);
int cmd_wait(const struct options *o);
int cmd_why(const struct options *o);

#endif
