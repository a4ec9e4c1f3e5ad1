/* SPDX-License-Identifier: MIT */
#include "map/stage_settings.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "buf.h"
#include "status.h"
#include "talk.h"

#define GRACE_NS INT64_C(10000000000)
#define REMOTE_WINDOW 64                /* through the daemon at least so many items are held, unless -w says otherwise */
#define DAEMON_EXEC ((size_t)(512 << 10))       /* what jobd takes for arguments and variables of one command */
#define JOBD_VARIABLES 4
#define JOBD_VARIABLE_MAX 64

static uint32_t cpus(void)
{
	cpu_set_t set;
	int n = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;

	return n > 0 ? (uint32_t)n : 1;
}

size_t exec_limit(void)
{
	struct rlimit stack;

	if (getrlimit(RLIMIT_STACK, &stack) < 0)
		stack.rlim_cur = 0;
	return jt_arg_max_linux(stack.rlim_cur == RLIM_INFINITY ? UINT64_MAX : stack.rlim_cur);
}

size_t exec_environment(void)
{
	return jt_arg_strings_cost(environ) + JOBD_VARIABLES * jt_arg_cost(JOBD_VARIABLE_MAX);
}

/* An item goes to the daemon and its result comes back: with fewer in hand than that a slot waits for the next one. */
static uint32_t default_window(const struct options *o, uint32_t slots)
{
	return o->map.local || slots > REMOTE_WINDOW / 4 ? 4 * slots : REMOTE_WINDOW;
}

static int read_control(struct stage_settings *s, const struct options *o)
{
	s->slots = o->workers == INT64_MIN ? cpus() : (uint32_t)o->workers;
	s->window = o->map.window == INT64_MIN ? default_window(o, s->slots) : (uint32_t)o->map.window;
	s->threads = cpus() > s->slots ? cpus() / s->slots : 1;
	s->timeout_ns = o->timeout_s < 0 ? 0 : (int64_t)(o->timeout_s * 1e9);
	s->grace_ns = o->grace_s < 0 ? GRACE_NS : (int64_t)(o->grace_s * 1e9);
	if (s->window < s->slots)
		return complain(CTL_USAGE, "a window of %u would leave some of %u slots idle: -w must be at least -j", s->window, s->slots);
	if (s->window > JT_MAP_WINDOW_MAX)
		return complain(CTL_USAGE, "-w must be at most %u", JT_MAP_WINDOW_MAX);
	if (o->timeout_s == 0)
		return complain(CTL_USAGE, "--timeout must be more than 0");
	return 0;
}

/* ---- retries ---- */

static int retry_kind(const char *word, size_t len)
{
	char *end;
	long v;

	if (len == 6 && memcmp(word, "signal", len) == 0)
		return RETRY_SIGNAL;
	if (len == 7 && memcmp(word, "timeout", len) == 0)
		return RETRY_TIMEOUT;
	if (len == 0 || *word < '0' || *word > '9')
		return -1;
	v = strtol(word, &end, 10);
	return end == word + len && v >= 1 && v <= 255 ? (int)v : -1;
}

static int read_retry_on(struct stage_settings *s, const char *codes)
{
	while (codes) {
		size_t len = strcspn(codes, ",");
		int kind = retry_kind(codes, len);

		if (kind < 0)
			return complain(CTL_USAGE, "--retry-on is a list of exit statuses from 1 to 255, signal and timeout, commas between them; got \"%s\"",
					codes);
		s->retry_on[kind] = true;
		codes = codes[len] ? codes + len + 1 : NULL;
	}
	return 0;
}

static int read_retry(struct stage_settings *s, const struct map_options *p)
{
	struct jt_error err;

	s->retry = (struct jt_retry_policy)JT_RETRY_DEFAULT;
	s->retry.max = p->retries == INT64_MIN ? 0 : (uint32_t)p->retries;
	if (p->retry_delay_s >= 0)
		s->retry.cap_ns = (int64_t)(p->retry_delay_s * 1e9);
	if (s->retry.max_ns < s->retry.cap_ns)
		s->retry.max_ns = s->retry.cap_ns;
	if (p->backoff >= 0)
		s->retry.base = p->backoff;
	if (jt_retry_check(&s->retry, &err) < 0)
		return complain(CTL_USAGE, "--backoff: %s", err.text);
	memset(s->retry_on, !p->retry_on, sizeof(s->retry_on));
	return read_retry_on(s, p->retry_on);
}

/* ---- the command ---- */

/* sh -c TEXT sh ITEM...: "{}" in the text becomes "$@", and nothing else in it is touched. */
static char *shell_text(const char *text)
{
	struct buf b = { 0 };
	char *copy;

	for (const char *place; (place = strstr(text, "{}")); text = place + 2) {
		buf_add(&b, text, (size_t)(place - text));
		buf_puts(&b, "\"$@\"");
	}
	buf_puts(&b, text);
	copy = xstrdup(buf_text(&b));
	buf_done(&b);
	return copy;
}

/* For the sums of the template a word without places stands where the text goes. */
static int read_shell(struct stage_settings *s, const char *const *words, size_t n, struct jt_error *err)
{
	char *blank, *argv[] = { (char[]){ "/bin/sh" }, (char[]){ "-c" }, NULL, (char[]){ "sh" }, (char[]){ "{}" } };

	if (n != 1)
		return complain(CTL_USAGE, "--shell takes the command as one argument, in quotes");
	s->shell = shell_text(words[0]);
	blank = xstrdup(s->shell);
	memset(blank, 'x', strlen(blank));
	argv[2] = blank;
	s->template = jt_template_new(argv, s->item_on_stdin ? 4 : 5, JT_TEMPLATE_AS_IS, err);
	free(blank);
	return s->template ? 0 : complain(CTL_USAGE, "%s", err->text);
}

static int read_command(struct stage_settings *s, const struct options *o, const char *const *words, size_t n)
{
	struct jt_error err;

	if (n == 0)
		return complain(CTL_USAGE, "a command is missing; usage: jobctl map [OPTIONS] [--] COMMAND ... [--then [OPTIONS] COMMAND ...]");
	if (o->map.shell)
		return read_shell(s, words, n, &err);
	s->template = jt_template_new((char **)(uintptr_t)words, n, s->item_on_stdin ? JT_TEMPLATE_AS_IS : JT_TEMPLATE_APPEND, &err);
	return s->template ? 0 : complain(CTL_USAGE, "%s", err.text);
}

static int read_stdin(struct stage_settings *s, const struct options *o)
{
	if (o->stdin_file && strcmp(o->stdin_file, "item") != 0)
		return complain(CTL_USAGE, "--stdin must be item, got \"%s\"; without it commands have an empty standard input", o->stdin_file);
	s->item_on_stdin = o->stdin_file || o->map.block != INT64_MIN;
	return 0;
}

/* ---- batches ---- */

static int read_batch_bytes(struct stage_settings *s, const char *given)
{
	struct jt_batch_limits *l = &s->batch.limits;
	int64_t bytes = 0;

	l->bytes = JT_ARG_BATCH_DEFAULT;
	if (!given || s->item_on_stdin)
		l->bytes = s->item_on_stdin && !given ? 0 : l->bytes;
	if (given && strcmp(given, "max") == 0) {
		l->bytes = 0;
		return 0;
	}
	if (given && (size_parse(given, &bytes) < 0 || bytes == 0))
		return complain(CTL_USAGE, "-s must be a size such as 4096 or 64K, or max; got \"%s\"", given);
	if (given)
		l->bytes = (size_t)bytes;
	return 0;
}

static int read_batch(struct stage_settings *s, const struct map_options *p)
{
	struct jt_batch_limits *l = &s->batch.limits;

	s->batches = p->batch_items != INT64_MIN || p->batch_bytes || p->join || p->spread || p->linger_ms >= 0;
	if (!s->batches)
		return 0;
	if (s->item_on_stdin && !p->join)
		return complain(CTL_USAGE, "a batch on standard input needs --join, which says what stands between its items");
	l->items = p->batch_items == INT64_MIN ? 0 : (size_t)p->batch_items;
	l->joined = p->join != NULL;
	l->join = p->join ? strlen(p->join) : 0;
	if (!s->item_on_stdin) {
		l->budget = jt_arg_budget(s->local || exec_limit() < DAEMON_EXEC ? exec_limit() : DAEMON_EXEC, exec_environment(), jt_template_head_cost(s->template));
		l->string = JT_ARG_STRING_MAX;
	}
	s->batch.template = s->item_on_stdin ? NULL : s->template;
	s->batch.separator = p->join;
	s->batch.linger_ns = p->linger_ms > 0 ? (int64_t)(p->linger_ms * 1e6) : p->linger_ms == 0 ? 1 : 0;
	s->batch.spread = p->spread ? s->slots : 0;
	l->columns = s->columns;
	s->unit = l->joined || s->item_on_stdin ? 0 : s->columns ? s->columns : 1;
	s->tuples = !l->joined || s->columns > 0;
	return read_batch_bytes(s, p->batch_bytes);
}

static int check_tuples(const struct stage_settings *s)
{
	if (s->tuples && s->item_on_stdin)
		return complain(CTL_USAGE, "--stdin item goes not with several inputs");
	return 0;
}

int stage_settings_read(struct stage_settings *s, const struct options *o, const char *const *words, size_t n, uint32_t columns,
			bool local)
{
	int rc;

	*s = (struct stage_settings){ .tuples = columns > 0, .columns = columns, .local = local, .words = words, .n_words = n };
	rc = read_control(s, o);
	rc = rc ? rc : read_retry(s, &o->map);
	rc = rc ? rc : read_stdin(s, o);
	rc = rc ? rc : read_command(s, o, words, n);
	rc = rc ? rc : read_batch(s, &o->map);
	if (s->unit == 0)
		s->columns = 0;                 /* of what is put in, not of what comes */
	return rc ? rc : check_tuples(s);
}

void stage_settings_done(struct stage_settings *s)
{
	jt_template_free(s->template);
	free(s->shell);
}
