/* SPDX-License-Identifier: MIT */
/* Verdict: see verdict.h. */
#include "verdict.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "log.h"

enum job_reason verdict_reason(const struct rm_end *end)
{
	if (end->cause == RM_BY_TIMEOUT)
		return WHY_TIMEOUT;
	if (end->cause == RM_BY_OUTPUT)
		return WHY_OUTPUT;
	return end->how == RM_EXIT ? WHY_EXIT : end->how == RM_SIGNAL ? WHY_SIGNAL : WHY_SPAWN;
}

static unsigned retry_kind(enum job_reason why)
{
	switch (why) {
	case WHY_EXIT: return SPEC_ON_EXIT;
	case WHY_SIGNAL: return SPEC_ON_SIGNAL;
	case WHY_TIMEOUT: return SPEC_ON_TIMEOUT;
	case WHY_SPAWN: return SPEC_ON_SPAWN;
	default: return 0;
	}
}

/* An item that no exec takes is the same the next time. */
static bool is_hopeless(const struct spec_job *s, const struct rm_end *end)
{
	return s->kind == SPEC_ITEM && end->how == RM_SPAWN && (end->code == E2BIG || end->code == EILSEQ);
}

static bool retries(const struct spec_job *s, const struct rm_end *end)
{
	enum job_reason why = verdict_reason(end);

	if (!(s->retry_on & retry_kind(why)) || is_hopeless(s, end))
		return false;
	if (why != WHY_EXIT)
		return true;
	if (s->has_retry_on_exit && !spec_set_has(&s->retry_on_exit, (unsigned)end->code))
		return false;
	return !spec_set_has(&s->retry_not_on_exit, (unsigned)end->code);
}

static uint64_t random_bits(void)
{
	uint64_t x = 0;

	if (getrandom(&x, sizeof(x), 0) != sizeof(x))
		x = (uint64_t)now_ns() * UINT64_C(0x9e3779b97f4a7c15);
	return x;
}

int64_t verdict_delay(struct active *a, const struct rm_end *end)
{
	struct job_mem *m = run_mem(a->run, a->idx);
	int64_t since_us = now_us() - a->run->submitted_at_us - m->budget_ms * INT64_C(1000);

	if (a->run->stopped || !retries(a->spec, end))
		return -1;
	return jt_retry_delay(&a->spec->retry, m->n_failed, since_us > 0 ? since_us * 1000 : 0, random_bits());
}

/* An exit status that the job's own list says something about. */
static bool exited_with(const struct rm_end *end, const struct spec_set *statuses)
{
	return verdict_reason(end) == WHY_EXIT && spec_set_has(statuses, (unsigned)end->code);
}

enum jt_outcome verdict_outcome(const struct active *a, const struct rm_end *end)
{
	static const enum jt_outcome on_error[] = {
		[SPEC_FAIL] = JT_END_FAIL, [SPEC_WARN] = JT_END_WARN, [SPEC_IGNORE] = JT_END_IGNORE,
		[SPEC_SKIP] = JT_END_SKIP, [SPEC_STOP] = JT_END_ABORT,
	};

	if (a->end_reason)
		return JT_END_CANCEL;
	if (!a->spec)
		return JT_END_FAIL;
	if (exited_with(end, &a->spec->success_exit))
		return JT_END_OK;
	if (exited_with(end, &a->spec->skip_exit))
		return JT_END_SKIP;
	return on_error[a->spec->on_error];
}

bool verdict_is_failure(const struct active *a, const struct rm_end *end)
{
	return !a->end_reason && a->spec && !exited_with(end, &a->spec->success_exit) && !exited_with(end, &a->spec->skip_exit);
}

bool verdict_is_too_large(const struct active *a, const struct store_attempt *at)
{
	int64_t max = a->output_max ? (int64_t)a->output_max : (int64_t)budget_output_max(a->run);

	return a->run->is_map && !a->end_reason && (at->out_bytes > max || at->err_bytes > max);
}

static const char *stage_name(unsigned stage)
{
	static const char *const names[] = {
		[RM_AT_NONE] = "start", [RM_AT_FORK] = "fork", [RM_AT_STDIN] = "open stdin or output", [RM_AT_CWD] = "enter the working directory",
		[RM_AT_USER] = "become the user", [RM_AT_LIMITS] = "set limits", [RM_AT_EXEC] = "execute",
	};

	return stage < sizeof(names) / sizeof(*names) ? names[stage] : "start";
}

static const char *program_of(const struct active *a)
{
	const struct spec_job *s = a->spec;

	switch (s->kind) {
	case SPEC_SHELL: return "/bin/sh";
	case SPEC_FETCH: return a->run->e->fetch_program;
	case SPEC_ITEM: return a->run->spec->map->shell ? "/bin/sh" : a->run->spec->map->words.v[0];
	default: return s->argv[0];
	}
}

/* Who maps tells by the name of the error, which stands in front, what became of the item. */
static char *item_message(const struct active *a, const struct rm_end *end)
{
	char *text;

	if (end->code == EILSEQ)
		return xstrdup("EILSEQ: an item with a NUL byte cannot be an argument; let it be the standard input");
	if (asprintf(&text, "%s: cannot %s %.300s: %s", strerrorname_np(end->code) ? strerrorname_np(end->code) : "error", stage_name(end->stage),
		     end->stage == RM_AT_CWD ? a->spec->cwd ? a->spec->cwd : "/" : program_of(a), strerror(end->code)) < 0)
		log_die("out of memory");
	return text;
}

char *verdict_message(const struct active *a, const struct rm_end *end)
{
	const struct spec_job *s = a->spec;
	const char *what = "";
	char *text;

	if (s && s->kind == SPEC_ITEM)
		return item_message(a, end);
	if (s && end->stage == RM_AT_EXEC)
		what = program_of(a);
	else if (s && end->stage == RM_AT_CWD)
		what = s->cwd ? s->cwd : "/";
	else if (s && end->stage == RM_AT_USER)
		what = s->user ? s->user : "the run's owner";
	if (asprintf(&text, "cannot %s%s%.300s: %s", stage_name(end->stage), *what ? " " : "", what, strerror(end->code)) < 0)
		log_die("out of memory");
	return text;
}
