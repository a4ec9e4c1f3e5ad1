/* SPDX-License-Identifier: MIT */
#include "verbs.h"

#include <string.h>

#include "proto/nearest.h"

#define JSON FLAG("json", 0, json, "print JSON, one object a line")
#define FORMAT TEXT("format", 0, format, "FORMAT", "read the file as yaml, json, ndjson or lines instead of guessing")
#define WORKERS INT("workers", 'j', workers, 1, 100000, "N", "jobs at once in this run; default: the CPUs")

static const struct opt no_opts[] = { OPTS_END };
static const struct opt json_opts[] = { JSON, OPTS_END };

static const struct opt run_opts[] = {
	TEXT("name", 'n', name, "NAME", "name of the run and path of its job; default: the program's base name"),
	TEXT("command", 'c', shell, "COMMAND", "run COMMAND by /bin/sh -c instead of ARGV"),
	FLAG("detach", 'd', detach, "print the run's number and do not wait"),
	TEXT("key", 'k', key, "KEY", "idempotency: the same key and content is the same run"),
	TEXT("cwd", 'C', cwd, "DIR", "working directory; default: the current one"),
	LIST("env", 'e', env, "NAME=VALUE", "set a variable; the environment is built from empty"),
	LIST("env-inherit", 'E', env_inherit, "NAME", "take a variable over from this environment"),
	TEXT("stdin", 0, stdin_file, "FILE", "standard input of the job; default: /dev/null"),
	SECONDS("timeout", 't', timeout_s, "TIME", "terminate the job after TIME"),
	SECONDS("grace", 0, grace_s, "TIME", "from terminate to kill; default: 10"),
	INT("retry", 'r', retry, 0, 1000000, "N", "try up to N times more if it fails"),
	INT("priority", 'p', priority, INT32_MIN, INT32_MAX, "N", "smaller starts first"),
	INT("nice", 0, nice, -20, 19, "N", "niceness of the process"),
	TEXT("user", 'u', user, "USER", "run as USER, where the daemon may"),
	TEXT("group", 'g', group, "GROUP", "run as GROUP, where the daemon may"),
	TEXT("umask", 0, umask, "MODE", "umask of the process"),
	LIST("label", 'l', label, "NAME=VALUE", "a label for filters"),
	OPTS_END
};

static const struct opt submit_opts[] = {
	TEXT("key", 'k', key, "KEY", "idempotency: the same key and content is the same run"),
	TEXT("name", 'n', name, "NAME", "name of the run"),
	WORKERS,
	FLAG("open", 0, open, "a stream run: starts at once, more jobs by `jobctl add`, ends with `jobctl seal`"),
	FLAG("wait", 'w', wait, "wait for the end; exit 0 or 1 as the run did"),
	FLAG("follow", 'f', follow, "show the progress until the end; exit 0 or 1 as the run did"),
	FORMAT,
	OPTS_END
};

static const struct opt add_opts[] = { FORMAT, OPTS_END };

static const struct opt ls_opts[] = {
	JSON,
	TEXT("state", 's', states, "STATE,...", "only those in one of these states"),
	INT("limit", 'n', limit, 1, INT64_MAX, "N", "at most N"),
	OPTS_END
};

static const struct opt tree_opts[] = {
	JSON,
	INT("limit", 'n', limit, 1, INT64_MAX, "N", "at most N jobs"),
	OPTS_END
};

static const struct opt events_opts[] = {
	JSON,
	INT("since", 0, since, 0, INT64_MAX, "SEQ", "events after number SEQ; default: all there are"),
	FLAG("follow", 'f', follow, "go on as they come, until the run has ended"),
	OPTS_END
};

static const struct opt wait_opts[] = {
	SECONDS("timeout", 't', timeout_s, "TIME", "give up after TIME, with exit status 5"),
	FLAG("exit-code", 0, exit_code, "of one job: exit as it did (128+N for signal N)"),
	JSON,
	OPTS_END
};

static const struct opt logs_opts[] = {
	FLAG("follow", 'f', follow, "go on until the attempt has ended"),
	FLAG("out", 0, out, "only its standard output"),
	FLAG("err", 0, err, "only its standard error"),
	INT("attempt", 'a', attempt, 1, INT32_MAX, "N", "that attempt; default: the last one"),
	FLAG("raw", 0, raw, "to a terminal, too, byte for byte: it may be made to do anything"),
	OPTS_END
};

static const struct opt cancel_opts[] = {
	FLAG("now", 0, now, "do not run the jobs with `when: finished` either"),
	OPTS_END
};

static const struct opt retry_opts[] = {
	FLAG("all", 'a', all, "take what was ok, too"),
	OPTS_END
};

static const struct opt shutdown_opts[] = {
	FLAG("drain", 0, drain, "start nothing more and wait for what runs"),
	FLAG("kill", 0, kill, "cancel what runs"),
	OPTS_END
};

static const struct opt fetch_opts[] = {
	PASS("output", 'o', "FILE|-", "the file that appears when all is there; -: standard output"),
	PASS("streams", 'x', "N", "requests at once, the most; default: 8"),
	PASS("checksum", 0, "ALG:HEX", "md5, sha1, sha256 or sha512 of what is fetched"),
	PASS("checksum-file", 0, "FILE", "lines of sha256sum; the one with the name of the output counts"),
	PASS_FLAG("keep-bad", 0, "what fails its checksum becomes FILE.bad instead of nothing"),
	PASS_FLAG("no-clobber", 0, "never replace a file"),
	PASS_FLAG("if-changed", 0, "fetch only what is not the object of the last --if-changed"),
	PASS_FLAG("mtime", 0, "give the file the time of the object"),
	PASS("range", 0, "FIRST-LAST", "only these bytes, the last one included"),
	PASS("into", 0, "FILE", "write the --range into this file, in place"),
	PASS("at", 0, "OFFSET", "where in the file of --into"),
	PASS("min-part", 0, "SIZE", "no part is planned smaller; default: 8M"),
	PASS("max-per-host", 0, "N", "no more requests than that at once"),
	PASS("limit-rate", 0, "SIZE", "bytes a second over all streams"),
	PASS("tries", 0, "N", "attempts without progress before giving up; default: 15"),
	PASS("stall-timeout", 0, "SECONDS", "without a byte for so long a stream is tried again; default: 30"),
	PASS("retry-after-cap", 0, "SECONDS", "the longest Retry-After that is heeded; default: 300"),
	PASS("restarts", 0, "N", "how often the object may change meanwhile; default: 3"),
	PASS("deadline", 0, "SECONDS", "give up after this time"),
	PASS("alloc", 0, "HOW", "fall (reserve the room first), sparse or none; default: fall"),
	PASS_FLAG("durable", 0, "sync the data before the state claims it"),
	PASS_FLAG("no-fsync", 0, "do not sync at the end"),
	PASS("save-interval", 0, "SECONDS", "note down what is there so often; default: 2"),
	PASS("save-bytes", 0, "SIZE", "or whenever so much has come; default: 64M"),
	PASS_FLAG("trust-size", 0, "go on with an object that has no validator if its size is the same"),
	PASS("header-file", 0, "FILE", "more header fields: NAME: VALUE, one a line"),
	PASS("cacert", 0, "FILE", "certificates to trust instead of the system's"),
	PASS_FLAG("http2", 0, "HTTP/2 where the server can; parts may then share a connection"),
	PASS_FLAG("json", 0, "progress and the final record as JSON, one object a line"),
	PASS_FLAG("stats", 0, "the final record as JSON"),
	PASS("heartbeat", 0, "SECONDS", "between two lines of progress; default: 1"),
	PASS("progress-fd", 0, "N", "the lines of --json go to this descriptor, too"),
	PASS_FLAG("quiet", 'q', "say nothing but errors"),
	OPTS_END
};

static const struct opt plan_opts[] = {
	FLAG("simulate", 0, simulate, "run it under virtual time with each job's duration_s"),
	WORKERS,
	JSON,
	FORMAT,
	OPTS_END
};

#define MAP_STAGE_OPTS \
	INT("jobs", 'j', workers, 1, 100000, "N", "commands at once; default: the CPUs"), \
	INT("window", 'w', map.window, 1, 1 << 24, "W", "items held at once, from read to printed; default: 4 N, through the daemon at least 64"), \
	INT("max-args", 'n', map.batch_items, 1, INT32_MAX, "N", "up to N items a command"), \
	TEXT("max-bytes", 's', map.batch_bytes, "SIZE|max", "up to so many bytes of items a command; default: 128K; max: all that exec takes"), \
	TEXT("join", 0, map.join, "SEP", "the items of a command become one argument, SEP between them"), \
	NUMBER("linger", 0, map.linger_ms, "MS", "start what there is after so many milliseconds without an item"), \
	FLAG("spread", 0, map.spread, "share what is left at the end evenly over the slots"), \
	FLAG("shell", 0, map.shell, "run the command, one argument, by /bin/sh -c; items are $1 ..., {} is \"$@\""), \
	TEXT("stdin", 0, stdin_file, "item", "the item goes to standard input instead of the arguments"), \
	SECONDS("timeout", 't', timeout_s, "TIME", "end a command after TIME; its item fails"), \
	SECONDS("grace", 0, grace_s, "TIME", "from SIGTERM to SIGKILL; default: 10"), \
	INT("retries", 'r', map.retries, 0, 1000000, "N", "try up to N times more if it fails"), \
	SECONDS("retry-delay", 0, map.retry_delay_s, "TIME", "at most so long before the second attempt; default: 0.125"), \
	NUMBER("backoff", 0, map.backoff, "FACTOR", "and so many times longer before each further one; default: 2"), \
	TEXT("retry-on", 0, map.retry_on, "CODES", "only if it ended so: exit statuses, signal, timeout, commas between")

const struct opt map_list_opts[] = { JSON, OPTS_END };
const struct opt map_stop_opts[] = { FLAG("drain", 0, drain, "let what is admitted run to its end"), OPTS_END };
const struct opt map_then_opts[] = { MAP_STAGE_OPTS, OPTS_END };

static const struct opt map_opts[] = {
	FLAG("local", 0, map.local, "in this process, without a daemon: nothing is kept but by --log"),
	MAP_STAGE_OPTS,
	LIST("arg-file", 'a', input, "FILE", "read items from FILE; -: standard input, the default; several: see --zip"),
	INT("fd", 0, map.fd, 0, INT32_MAX, "N", "read items from descriptor N"),
	FLAG("null", '0', map.nul, "items end with NUL instead of a line feed"),
	TEXT("delimiter", 'd', map.delimiter, "CHAR", "items end with CHAR"),
	FLAG("skip-empty", 0, map.skip_empty, "empty items are none"),
	INT("skip", 0, map.skip, 0, INT64_MAX, "K", "leave the first K items out"),
	INT("max-items", 0, map.max_items, 1, INT64_MAX, "K", "no more than K items"),
	SIZE("block", 0, map.block, 1, INT64_C(1) << 40, "SIZE", "an item is as many whole records as fit into SIZE, on standard input"),
	TEXT("zip", 0, map.zip, "HOW", "several inputs: short (default), fill or strict"),
	TEXT("fill", 0, map.fill, "STR", "what stands for an input that has ended, with --zip fill"),
	FLAG("ordered", 'k', map.ordered, "results in the order of the items, the default"),
	FLAG("unordered", 'u', map.unordered, "results as they come"),
	SECONDS("deadline", 0, map.deadline_s, "TIME", "end the map after TIME, with exit status 5"),
	TEXT("halt", 0, map.halt, "WHEN,WHAT=N", "now or soon; fail=N, fail=N%, success=N or done=N; default: never"),
	SECONDS("delay", 0, map.delay_s, "TIME", "at least so long between two starts"),
	NUMBER("load", 0, map.load, "MAX", "start nothing while the load is above MAX"),
	SIZE("memfree", 0, map.memfree, 0, INT64_MAX, "SIZE", "start nothing while less memory is available"),
	TEXT("name", 0, name, "NAME", "name of the map, under which the daemon keeps its results, for --resume; JOBD_MAP of its commands"),
	FLAG("group", 0, map.group, "what a command writes stays together, the default"),
	FLAG("line-buffer", 0, map.line_buffer, "only lines stay together"),
	FLAG("ungroup", 0, map.ungroup, "commands write to standard output themselves"),
	TEXT("out", 0, map.out, "FORM", "raw (default), tag, nul or jsonl"),
	TEXT("stderr", 0, map.err, "HOW", "standard error: pass (default), merge, drop, or field of jsonl"),
	TEXT("results", 0, map.results, "DIR", "each result in DIR/SEQ/stdout, stderr and status, too"),
	SIZE("buffer-bytes", 0, map.buffer_bytes, 64 << 10, INT64_MAX, "SIZE", "output held in memory; default: 64M"),
	SIZE("spool-bytes", 0, map.spool_bytes, 0, INT64_MAX, "SIZE", "output held in a file beyond that; default: 1G"),
	SIZE("output-max", 0, map.output_max, 1, INT64_MAX, "SIZE", "a command that writes more fails; default: the size of the spool"),
	TEXT("spool-dir", 0, map.spool_dir, "DIR", "where that file is; default: TMPDIR, /var/tmp"),
	SIZE("pipe-size", 0, map.pipe_size, 4096, 1 << 30, "SIZE", "size of the pipe on standard output"),
	TEXT("progress", 0, map.progress, "HOW", "auto, bar, plain, json or none, the default; on standard error"),
	INT("total", 0, map.total, 0, INT64_MAX, "N", "how many items there will be, for --progress"),
	SECONDS("heartbeat", 0, map.heartbeat_s, "TIME", "between two lines of --progress; default: 1"),
	TEXT("log", 0, map.log, "FILE", "with --local: note each result in FILE as soon as it is there, for --resume"),
	MAYBE("resume", 0, map.resume, "run what has no result yet; print what was not printed; =all: print everything again"),
	FLAG("resume-failed", 0, map.resume_failed, "as --resume, and run what failed once more"),
	FLAG("durable", 0, map.durable, "results in FILE survive a loss of power, too"),
	FLAG("stats", 0, map.stats, "counters as JSON on standard error at the end"),
	OPTS_END
};

static const struct opt limits_opts[] = {
	TEXT("os", 0, os, "NAME", "of the system that uname -s calls so, or posix"),
	OPTS_END
};

#define MANY 1000000
const struct verb verbs[] = {
	{ "run", "[-c COMMAND | -- ARGV...]", "run one job, wait, and exit as it did", cmd_run, run_opts, OPTS_STOP_AT_ARG, 0, MANY },
	{ "submit", "FILE|-", "submit a run and print its number", cmd_submit, submit_opts, OPTS_MIXED, 1, 1 },
	{ "add", "RUN FILE|-", "add jobs to an open run", cmd_add, add_opts, OPTS_MIXED, 2, 2 },
	{ "seal", "RUN[/PATH]", "say that nothing more is added", cmd_seal, no_opts, OPTS_MIXED, 1, 1 },
	{ "ls", "[RUN[/PATH]]", "list runs, or the jobs of a run", cmd_ls, ls_opts, OPTS_MIXED, 0, 1 },
	{ "tree", "RUN[/PATH]", "draw the jobs of a run as a tree", cmd_tree, tree_opts, OPTS_MIXED, 1, 1 },
	{ "show", "RUN[/PATH]", "all there is to know about a run or a job", cmd_show, json_opts, OPTS_MIXED, 1, 1 },
	{ "why", "RUN[/PATH]", "why it waits, why it did not run, why it failed", cmd_why, json_opts, OPTS_MIXED, 1, 1 },
	{ "follow", "RUN", "show the progress of a run until its end", cmd_follow, no_opts, OPTS_MIXED, 1, 1 },
	{ "events", "[RUN]", "what happened, in order", cmd_events, events_opts, OPTS_MIXED, 0, 1 },
	{ "wait", "RUN|RUN/PATH...", "wait until all of them have ended", cmd_wait, wait_opts, OPTS_MIXED, 1, MANY },
	{ "logs", "RUN/PATH", "what a job has written", cmd_logs, logs_opts, OPTS_MIXED, 1, 1 },
	{ "cancel", "RUN[/PATH]...", "end it now: terminate, then kill", cmd_cancel, cancel_opts, OPTS_MIXED, 1, MANY },
	{ "hold", "RUN/PATH...", "keep a job from starting", cmd_hold, no_opts, OPTS_MIXED, 1, MANY },
	{ "release", "RUN/PATH...", "let a held job start", cmd_release, no_opts, OPTS_MIXED, 1, MANY },
	{ "pause", "RUN...", "start nothing more of a run", cmd_pause, no_opts, OPTS_MIXED, 1, MANY },
	{ "resume", "RUN...", "go on with a paused run", cmd_resume, no_opts, OPTS_MIXED, 1, MANY },
	{ "retry", "RUN[/PATH]...", "run again what failed and what needs it", cmd_retry, retry_opts, OPTS_MIXED, 1, MANY },
	{ "rm", "RUN...", "forget a run that has ended", cmd_rm, no_opts, OPTS_MIXED, 1, MANY },
	{ "status", "", "how the daemon is", cmd_status, json_opts, OPTS_MIXED, 0, 0 },
	{ "stats", "", "the daemon's counters", cmd_stats, json_opts, OPTS_MIXED, 0, 0 },
	{ "ping", "", "whether a daemon answers, and how fast", cmd_ping, json_opts, OPTS_MIXED, 0, 0 },
	{ "backup", "[FILE]", "copy the daemon's database while everything goes on", cmd_backup, no_opts, OPTS_MIXED, 0, 1 },
	{ "shutdown", "", "end the daemon; jobs run on unless told otherwise", cmd_shutdown, shutdown_opts, OPTS_MIXED, 0, 0 },
	{ "config", "check [FILE]", "check jobd.conf", cmd_config, no_opts, OPTS_MIXED, 1, 2 },
	{ "plan", "FILE|-", "check a file and say what would run when, without a daemon", cmd_plan, plan_opts, OPTS_MIXED, 1, 1 },
	{ "fetch", "URL", "fetch one object in parallel ranges, without a daemon", cmd_fetch, fetch_opts, OPTS_MIXED, 1, 1 },
	{ "map", "COMMAND...|list|stop MAP...", "run a command for each item of a stream, results in order", cmd_map, map_opts, OPTS_STOP_AT_ARG, 1, MANY },
	{ "limits", "", "how much fits into one command line", cmd_limits, limits_opts, OPTS_MIXED, 0, 0 },
	{ "version", "", "print the version", cmd_version, no_opts, OPTS_MIXED, 0, 0 },
	{ "bridge", "", "connect stdin and stdout to the daemon's socket", cmd_bridge, no_opts, OPTS_MIXED, 0, 0 },
	{ "completion", "bash|zsh|fish", "print a completion script for a shell", cmd_completion, no_opts, OPTS_MIXED, 1, 1 },
	{ .name = NULL }
};

const struct verb *verb_find(const char *name)
{
	for (const struct verb *v = verbs; v->name; v++)
		if (strcmp(v->name, name) == 0)
			return v;
	return NULL;
}

const char *verb_nearest(const char *name)
{
	struct nearest near;

	nearest_init(&near, name);
	for (const struct verb *v = verbs; v->name; v++)
		nearest_offer(&near, v->name);
	return nearest_get(&near);
}
