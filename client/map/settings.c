/* SPDX-License-Identifier: MIT */
#include "map/settings.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "buf.h"
#include "map/halt.h"
#include "map/stage_settings.h"
#include "status.h"
#include "talk.h"
#include "verbs.h"

#define BUFFER_BYTES (INT64_C(64) << 20)
#define SPOOL_BYTES (INT64_C(1) << 30)

static int64_t or_else(int64_t given, int64_t value)
{
	return given == INT64_MIN ? value : given;
}

static int64_t ns_of(double seconds, int64_t otherwise)
{
	return seconds < 0 ? otherwise : (int64_t)(seconds * 1e9);
}

/* One of names, by its place. -1: complained. */
static int one_of(const char *option, const char *given, const char *const *names, int otherwise)
{
	struct buf all = { 0 };

	if (!given)
		return otherwise;
	for (int i = 0; names[i]; i++) {
		if (strcmp(names[i], given) == 0) {
			buf_done(&all);
			return i;
		}
		buf_printf(&all, "%s%s", i ? ", " : "", names[i]);
	}
	complain(CTL_USAGE, "--%s is one of %s; got \"%s\"", option, buf_text(&all), given);
	buf_done(&all);
	return -1;
}

/* ---- input ---- */

/* One byte, or what xargs -d knows for one: \n, \t, \0, \x1f, \037 and so on. */
static int read_delimiter(const char *text, char *ret)
{
	static const char letters[] = "abfnrtv\\", bytes[] = "\a\b\f\n\r\t\v\\";
	const char *letter = text[0] == '\\' && text[1] ? strchr(letters, text[1]) : NULL;
	bool is_hex = text[0] == '\\' && text[1] == 'x';
	char *end = NULL;
	long code;

	if (strlen(text) == 1 || (letter && strlen(text) == 2)) {
		*ret = letter ? bytes[letter - letters] : *text;
		return 0;
	}
	if (text[0] != '\\' || !isxdigit((unsigned char)text[is_hex ? 2 : 1]))
		return -1;
	code = strtol(text + (is_hex ? 2 : 1), &end, is_hex ? 16 : 8);
	*ret = (char)code;
	return *end || code > 255 ? -1 : 0;
}

static int read_records(struct map_settings *m, const struct options *o)
{
	const struct map_options *p = &o->map;
	char terminator = p->nul ? '\0' : '\n';

	if (p->delimiter && read_delimiter(p->delimiter, &terminator) < 0)
		return complain(CTL_USAGE, "--delimiter must be one byte, or n, t, 0, xHH or their like behind a backslash; got \"%s\"", p->delimiter);
	if (p->delimiter && p->nul)
		return complain(CTL_USAGE, "--null and --delimiter contradict each other");
	m->records = (struct records_opts){
		.terminator = terminator, .skip_empty = p->skip_empty,
		.skip = (uint64_t)or_else(p->skip, 0), .max = (uint64_t)or_else(p->max_items, 0), .block = (size_t)or_else(p->block, 0),
	};
	m->input_fd = (int)or_else(p->fd, -1);
	if (m->input_fd >= 0 && o->input.n > 0)
		return complain(CTL_USAGE, "--fd and --arg-file contradict each other");
	m->inputs = o->input.v;
	m->n_inputs = o->input.n;
	for (size_t i = 0, n_stdin = 0; i < m->n_inputs; i++)
		if (strcmp(m->inputs[i], "-") == 0 && ++n_stdin > 1)
			return complain(CTL_USAGE, "standard input can be one of the inputs only: the first would take what the others are to read");
	return 0;
}

static int read_zip(struct map_settings *m, const struct options *o)
{
	static const char *const names[] = { [JT_ZIP_SHORT] = "short", [JT_ZIP_FILL] = "fill", [JT_ZIP_STRICT] = "strict", NULL };
	int zip = one_of("zip", o->map.zip, names, JT_ZIP_SHORT);

	if (zip < 0)
		return CTL_USAGE;
	m->zip = (enum jt_zip)zip;
	m->fill = o->map.fill;
	if (m->fill && m->zip != JT_ZIP_FILL)
		return complain(CTL_USAGE, "--fill goes with --zip fill");
	if (o->map.zip && m->n_inputs < 2)
		return complain(CTL_USAGE, "--zip needs several inputs: -a FILE -a FILE");
	return 0;
}

/* ---- output ---- */

static int read_out(struct map_settings *m, const struct map_options *p)
{
	static const char *const outs[] = { [OUT_RAW] = "raw", [OUT_TAG] = "tag", [OUT_NUL] = "nul", [OUT_JSONL] = "jsonl", NULL };
	static const char *const errs[] = { [STDERR_PASS] = "pass", [STDERR_MERGE] = "merge", [STDERR_DROP] = "drop", [STDERR_FIELD] = "field", NULL };
	int out = one_of("out", p->out, outs, OUT_RAW), err = one_of("stderr", p->err, errs, STDERR_PASS);

	if (out < 0 || err < 0)
		return CTL_USAGE;
	m->out = (enum map_out)out;
	m->err = (enum map_stderr)err;
	if (m->err == STDERR_FIELD && m->out != OUT_JSONL)
		return complain(CTL_USAGE, "--stderr field goes with --out jsonl");
	if (p->line_buffer + p->ungroup + p->group > 1)
		return complain(CTL_USAGE, "--group, --line-buffer and --ungroup contradict each other");
	if (p->ordered && p->unordered)
		return complain(CTL_USAGE, "--ordered and --unordered contradict each other");
	m->ordered = !p->unordered;
	m->grouping = p->line_buffer ? GROUP_LINES : p->ungroup ? GROUP_NOT : GROUP_ITEMS;
	if (m->grouping == GROUP_NOT && (m->out != OUT_RAW || p->results))
		return complain(CTL_USAGE, "--ungroup hands standard output to the commands: it goes with --out raw and without --results");
	if (m->grouping == GROUP_LINES && m->out != OUT_RAW && m->out != OUT_TAG)
		return complain(CTL_USAGE, "--line-buffer goes with --out raw or tag");
	return 0;
}

static int read_progress(struct map_settings *m, const struct map_options *p)
{
	static const char *const names[] = {
		[PROGRESS_NONE] = "none", [PROGRESS_BAR] = "bar", [PROGRESS_PLAIN] = "plain", [PROGRESS_JSON] = "json", "auto", NULL
	};
	int how = one_of("progress", p->progress, names, PROGRESS_NONE);

	if (how < 0)
		return CTL_USAGE;
	if (how > PROGRESS_JSON)
		how = isatty(STDERR_FILENO) && !isatty(STDOUT_FILENO) ? PROGRESS_BAR : PROGRESS_NONE;
	m->progress = (enum map_progress)how;
	m->total = or_else(p->total, -1);
	m->heartbeat_ns = ns_of(p->heartbeat_s, 1000000000);
	if (m->heartbeat_ns < 1000000)
		return complain(CTL_USAGE, "--heartbeat must be at least 0.001");
	return 0;
}

static int read_limits(struct map_settings *m, const struct options *o)
{
	const struct map_options *p = &o->map;
	const char *tmp = getenv("TMPDIR");

	m->buffer_bytes = (uint64_t)or_else(p->buffer_bytes, BUFFER_BYTES);
	m->spool_bytes = (uint64_t)or_else(p->spool_bytes, SPOOL_BYTES);
	m->spool_dir = p->spool_dir ? p->spool_dir : tmp && *tmp ? tmp : "/var/tmp";
	m->pipe_size = (int)or_else(p->pipe_size, 0);
	m->output_max = or_else(p->output_max, (int64_t)m->spool_bytes);
	m->memfree = (uint64_t)or_else(p->memfree, 0);
	m->max_load = p->load;
	m->delay_ns = ns_of(p->delay_s, 0);
	m->deadline_ns = ns_of(p->deadline_s, 0);
	m->results_dir = p->results;
	m->name = o->name;
	m->stats = p->stats;
	if (m->local && p->output_max != INT64_MIN)
		return complain(CTL_USAGE, "--output-max goes with a map of the daemon; with --local a command that writes too much waits");
	if (p->deadline_s == 0)
		return complain(CTL_USAGE, "--deadline must be more than 0");
	if (p->halt && halt_parse(p->halt, &m->halt) < 0)
		return complain(CTL_USAGE, "--halt must be never, or now or soon, a comma, and fail=N, fail=N%%, success=N or done=N; got \"%s\"", p->halt);
	return 0;
}

static int read_log(struct map_settings *m, const struct map_options *p)
{
	m->log = p->log;
	m->durable = p->durable;
	if (m->log && !m->local)
		return complain(CTL_USAGE, "--log goes with --local: the daemon keeps the results of a map that has a --name");
	if (!(m->local ? m->log : m->name) && (p->resume || p->resume_failed || p->durable))
		return complain(CTL_USAGE, "--resume, --resume-failed and --durable need --%s", m->local ? "log FILE" : "name NAME");
	if (p->resume && *p->resume && strcmp(p->resume, "all") != 0)
		return complain(CTL_USAGE, "--resume stands alone, or is --resume=all; got \"%s\"", p->resume);
	if (p->resume && p->resume_failed)
		return complain(CTL_USAGE, "--resume and --resume-failed contradict each other");
	m->resume = p->resume_failed ? RESUME_FAILED : !p->resume ? RESUME_NOT : *p->resume ? RESUME_ALL : RESUME_UNDELIVERED;
	return 0;
}

/* ---- stages ---- */

/* Words up to the next bare --then, or to the end. */
static size_t words_before_then(const char *const *words, size_t n)
{
	size_t i = 0;

	while (i < n && strcmp(words[i], "--then") != 0)
		i++;
	return i;
}

static int add_stage(struct map_settings *m, const struct options *o, const char *const *words, size_t n)
{
	m->stage = xrealloc(m->stage, m->n_stages + 1, sizeof(*m->stage));
	m->n_stages++;
	return stage_settings_read(&m->stage[m->n_stages - 1], o, words, n, m->n_stages == 1 && m->n_inputs > 1 ? (uint32_t)m->n_inputs : 0, m->local);
}

static int read_then(struct map_settings *m, const char *const *words, size_t n, size_t *ret_used)
{
	struct options o;
	int rc;

	options_init(&o);
	rc = options_parse(&o, "map ... --then", map_then_opts, OPTS_STOP_AT_ARG, (int)n, (char **)(uintptr_t)words);
	if (rc == 0) {
		size_t at = n - o.n_args, mine = words_before_then(words + at, o.n_args);

		rc = add_stage(m, &o, words + at, mine);
		*ret_used = at + mine;
	}
	options_done(&o);
	return rc;
}

static int read_stages(struct map_settings *m, const struct options *o)
{
	const char *const *words = o->args;
	size_t n = o->n_args, mine = words_before_then(words, n);
	int rc = add_stage(m, o, words, mine);

	while (rc == 0 && mine < n) {
		words += mine + 1;
		n -= mine + 1;
		rc = read_then(m, words, n, &mine);
	}
	return rc;
}

static int check_together(const struct map_settings *m)
{
	const struct stage_settings *first = &m->stage[0];

	if (m->records.block > 0 && (first->batches || m->n_inputs > 1))
		return complain(CTL_USAGE, "--block goes neither with several inputs nor with batches");
	if (m->grouping == GROUP_LINES && !m->ordered && m->n_stages > 0 && m->stage[m->n_stages - 1].retry.max > 0)
		return complain(CTL_USAGE, "--line-buffer goes not with --retries: what an attempt wrote that is tried again is dropped");
	if (m->grouping == GROUP_NOT && m->stage[m->n_stages - 1].retry.max > 0)
		return complain(CTL_USAGE, "--ungroup goes not with --retries: what an attempt wrote that is tried again is dropped");
	return 0;
}

int settings_read(struct map_settings *m, const struct options *o)
{
	int rc;

	*m = (struct map_settings){ .input_fd = -1, .options = o, .local = o->map.local };
	rc = read_records(m, o);
	rc = rc ? rc : read_zip(m, o);
	rc = rc ? rc : read_out(m, &o->map);
	rc = rc ? rc : read_progress(m, &o->map);
	rc = rc ? rc : read_limits(m, o);
	rc = rc ? rc : read_log(m, &o->map);
	rc = rc ? rc : read_stages(m, o);
	return rc ? rc : check_together(m);
}

void settings_done(struct map_settings *m)
{
	for (size_t i = 0; i < m->n_stages; i++)
		stage_settings_done(&m->stage[i]);
	free(m->stage);
}
