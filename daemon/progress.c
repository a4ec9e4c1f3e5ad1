/* SPDX-License-Identifier: MIT */
/*
 * Progress - what a fetch says of itself. Its standard output is its record: a line of JSON each heartbeat, and one at the end. The last line of
 * it is read from the file of the output when somebody looks, so that nothing is kept of it, and a fetch that has outlived a jobd is shown by the
 * next one. Who follows is told at most once a second; that is no event of the log.
 *
 * The file is written by a process of the job's user: what it says is input.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine.h"
#include "log.h"
#include "proto/arena.h"
#include "proto/fields.h"
#include "rpc.h"

#define TAIL_BYTES 4096                 /* a line of progress has about 150 */
#define TICK_S 1

struct progress {
	const char *event;
	int64_t bytes, expected;        /* expected -1: not known */
	int64_t bps, streams, retries, restarts;
};

static const struct field progress_fields[] = {
	FIELD_STRING("event", struct progress, event, 1, 32, FIELD_REQUIRED),
	FIELD_INT("bytes", struct progress, bytes, 0, INT64_MAX, FIELD_REQUIRED),
	FIELD_INT("expected", struct progress, expected, 0, INT64_MAX, 0),
	FIELD_INT("avg_bps", struct progress, bps, 0, INT64_MAX, 0),
	FIELD_INT("streams", struct progress, streams, 0, INT64_MAX, 0),
	FIELD_INT("retries", struct progress, retries, 0, INT64_MAX, 0),
	FIELD_INT("restarts", struct progress, restarts, 0, INT64_MAX, 0),
	FIELD_END
};

/* ---- the record ----------------------------------------------------------------------------------------------------- */

/* The last line that ends before *end; *end becomes its beginning. NULL: there is none that is known to be whole. */
static const char *line_before(const char *buf, size_t *end, size_t *ret_len)
{
	const char *newline = *end ? memrchr(buf, '\n', *end) : NULL, *before;

	if (!newline)
		return NULL;
	before = newline > buf ? memrchr(buf, '\n', (size_t)(newline - buf)) : NULL;
	before = before ? before + 1 : buf;
	*ret_len = (size_t)(newline - before);
	*end = (size_t)(before - buf);
	return before;
}

/* What event points to is of no use afterwards. */
static bool read_line(const char *line, size_t len, struct progress *ret)
{
	json_auto_t *obj = json_loadb(line, len, JSON_REJECT_DUPLICATES, NULL);
	struct progress p = { .expected = -1 };
	struct field_error err;
	struct arena a;
	bool good;

	if (!json_is_object(obj))
		return false;
	arena_init(&a);
	good = fields_read(progress_fields, obj, &p, &a, &err) == 0 && strcmp(p.event, "progress") == 0;
	arena_done(&a);
	if (good)
		*ret = p;
	return good;
}

static bool is_fetch(const struct active *a)
{
	return a->spec && a->spec->kind == SPEC_FETCH && a->state != A_ENDING;
}

static bool last_progress(const struct active *a, struct progress *ret)
{
	char buf[TAIL_BYTES];
	size_t end = output_tail(a->run->e, JOB_ID(a->run->id, a->idx), a->attempt, false, buf, sizeof(buf)), len;
	const char *line;

	while ((line = line_before(buf, &end, &len)))
		if (read_line(line, len, ret))
			return true;
	return false;
}

static json_t *progress_json(const struct progress *p)
{
	return json_pack("{s:I, s:o, s:I, s:I, s:I, s:I}", "bytes", (json_int_t)p->bytes, "expected",
			 p->expected >= 0 ? json_integer(p->expected) : json_null(), "bps", (json_int_t)p->bps, "streams", (json_int_t)p->streams,
			 "retries", (json_int_t)p->retries, "restarts", (json_int_t)p->restarts);
}

json_t *progress_of(const struct active *a)
{
	struct progress p;

	return is_fetch(a) && last_progress(a, &p) ? progress_json(&p) : NULL;
}

/* ---- who follows ------------------------------------------------------------------------------------------------------ */

static void tell(struct active *a)
{
	struct progress p;

	if (!last_progress(a, &p) || p.bytes == a->told_bytes)
		return;
	a->told_bytes = p.bytes;
	notice_progress(a, progress_json(&p));
}

/* Whether there is one that may say more. */
static bool tell_all(struct engine *e)
{
	bool more = false;

	for (size_t i = 0; e->active && i <= e->active_mask; i++)
		for (struct active *a = e->active[i]; a; a = a->next) {
			more = more || !a->spec || is_fetch(a);         /* without its specification: adopted a moment ago */
			if (is_fetch(a))
				tell(a);
		}
	return more;
}

static void tick(evutil_socket_t fd, short what, void *arg)
{
	struct engine *e = arg;

	(void)fd, (void)what;
	if (notice_wants_progress(e) && tell_all(e))
		progress_wake(e);
}

void progress_wake(struct engine *e)
{
	static const struct timeval soon = { .tv_sec = TICK_S };

	if (!e->progress)
		e->progress = xtimer(e->base, tick, e);
	if (!evtimer_pending(e->progress, NULL))
		event_add(e->progress, &soon);
}

/* ---- how it ended ----------------------------------------------------------------------------------------------------- */

static const char *meaning(int status)
{
	static const char *const names[] = {
		[2] = "bad options", [10] = "refused by the server", [11] = "network", [12] = "truncated", [13] = "checksum", [14] = "the object changed",
		[15] = "local file", [16] = "range", [17] = "locked by another fetch", [18] = "deadline",
	};

	return status >= 0 && (size_t)status < sizeof(names) / sizeof(*names) && names[status] ? names[status] : "failed";
}

char *progress_last_words(const struct active *a, int status)
{
	static const char prefix[] = "fetch: ";
	char buf[TAIL_BYTES], *text;
	size_t end = output_tail(a->run->e, JOB_ID(a->run->id, a->idx), a->attempt, true, buf, sizeof(buf)), len = 0;
	const char *line = line_before(buf, &end, &len);

	if (line && len > strlen(prefix) && strncmp(line, prefix, strlen(prefix)) == 0) {
		line += strlen(prefix);
		len -= strlen(prefix);
	}
	if (asprintf(&text, "fetch: %s%s%.*s", meaning(status), line ? ": " : "", (int)(len < 1000 ? len : 1000), line ? line : "") < 0)
		log_die("out of memory");
	return text;
}
