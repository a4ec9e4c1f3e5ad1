/* SPDX-License-Identifier: MIT */
/* See story_kit.h. */
#include "story_kit.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOG_MAX 64
#define AFTER_MAX 4

struct jt_opts opts;
struct jt_sched *tree;
struct jt_error err;
const char *story_file;
int story_line;
enum jt_code story_refusal;

static struct jt_changes changes;
static int64_t now;
static char happened[LOG_MAX][128];
static size_t n_happened;

#define claim(what, ...) ck_assert_msg(what, "%s:%d: " __VA_ARGS__)
#define HERE story_file, story_line

static void open_story(void)
{
	opts = (struct jt_opts){ .slots = 10 };
	now = 0;
	n_happened = 0;
}

static void close_story(void)
{
	jt_sched_free(tree);
	tree = NULL;
	jt_changes_done(&changes);
}

TCase *story_chapter(const char *name, const TTest *const *stories, size_t n)
{
	TCase *t = tcase_create(name);
	tcase_add_checked_fixture(t, open_story, close_story);
	for (size_t i = 0; i < n; i++)
		tcase_add_test(t, stories[i]);
	return t;
}

/* ---- the log ---- */

static __attribute__((format(printf, 1, 2))) void note(const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	claim(n_happened < LOG_MAX, "more than %d things happened", HERE, LOG_MAX);
	vsnprintf(happened[n_happened++], sizeof(happened[0]), fmt, ap);
	va_end(ap);
}

static const char *path_of(jt_job j)
{
	return j == JT_NONE ? "nobody" : jt_job_path(tree, j, NULL);
}

static void note_changes(void)
{
	for (size_t i = 0; i < changes.n; i++) {
		const struct jt_change *c = &changes.v[i];
		if (c->state == JT_WAITING)
			note("again %s", path_of(c->job));
		else if (c->state == JT_CANCELLED)
			note("cancel %s", path_of(c->job));
		else if (c->reason == JT_UPSTREAM)
			note("skip %s because of %s", path_of(c->job), path_of(c->cause));
		else
			note("skip %s, %s", path_of(c->job), c->reason == JT_NOT_NEEDED ? "not needed" : "stopped");
	}
	jt_changes_done(&changes);      /* each call makes its own room */
}

static void done(int r)
{
	if (story_refusal == JT_OK)
		claim(r == 0, "refused: %s", HERE, err.text);
	else
		claim(r < 0 && err.code == story_refusal, "not refused with %s", HERE, jt_code_name(story_refusal));
	note_changes();
}

static void start_what_may(void)
{
	for (jt_job j; (j = jt_sched_next(tree, now, NULL)) != JT_NONE;) {
		note("start %s", path_of(j));
		claim(jt_sched_start(tree, j, now, &err) == 0, "%s", HERE, err.text);
	}
}

static void say_happened(char *buf, size_t size)
{
	size_t len = 0;
	buf[0] = 0;
	for (size_t i = 0; i < n_happened && len < size; i++)
		len += (size_t)snprintf(buf + len, size - len, "%s\"%s\"", i ? ", " : "", happened[i]);
}

void story_expect(const char *const *want)
{
	char got[2000];
	size_t i = 0;
	start_what_may();
	say_happened(got, sizeof(got));
	for (; want[i] && i < n_happened; i++)
		claim(strcmp(want[i], happened[i]) == 0, "wanted \"%s\", these happened: %s", HERE, want[i], got);
	claim(!want[i], "wanted \"%s\" as well, these happened: %s", HERE, want[i], got);
	claim(i == n_happened, "more happened than wanted: %s", HERE, got);
	n_happened = 0;
}

/* ---- the tree ---- */

struct line {
	char text[128];
	const char *after[AFTER_MAX];
	struct jt_spec spec;
};

static enum jt_when when_named(const char *name)
{
	return strcmp(name, "failure") == 0 ? JT_ON_FAILURE : strcmp(name, "finished") == 0 ? JT_ON_FINISHED : JT_ON_SUCCESS;
}

static void parse(struct line *l, const char *text)
{
	char *save = NULL;
	snprintf(l->text, sizeof(l->text), "%s", text);
	const char *path = strtok_r(l->text, " ", &save);
	l->spec = (struct jt_spec){ .path = path, .path_len = strlen(path), .after = l->after };
	for (const char *key, *value; (key = strtok_r(NULL, " ", &save)) && (value = strtok_r(NULL, " ", &save));) {
		if (strcmp(key, "after") == 0)
			l->after[l->spec.n_after++] = value;
		else if (strcmp(key, "when") == 0)
			l->spec.when = when_named(value);
		else
			l->spec.priority = (int32_t)strtol(value, NULL, 10);
	}
}

void story_add(const char *const *text)
{
	struct line l[LOG_MAX];
	struct jt_spec specs[LOG_MAX];
	size_t n = 0;
	for (; text[n]; n++) {
		parse(&l[n], text[n]);
		specs[n] = l[n].spec;
	}
	done(jt_sched_add(tree, specs, n, NULL, &changes, &err));
}

void story_named(const char *const *lines)
{
	tree = jt_sched_new(&opts, &err);
	claim(tree, "%s", HERE, err.text);
	story_add(lines);
}

void story_begin(void)
{
	done(jt_sched_begin(tree, &changes, &err));
}

void story_jobs(const char *const *lines)
{
	enum jt_code refusal = story_refusal;           /* meant for the whole, which begin looks at */
	story_refusal = JT_OK;
	story_named(lines);
	story_refusal = refusal;
	story_begin();
}

void story_stream(const char *const *lines)
{
	opts.mode = JT_STREAM;
	story_jobs(lines);
}

void story_seal(const char *path)
{
	done(jt_sched_seal(tree, path, strlen(path), &changes, &err));
}

/* Also before begin, when nothing can be found by name yet. */
jt_job job_named(const char *path)
{
	jt_job j = jt_sched_find(tree, path, strlen(path));
	for (jt_job k = 0; j == JT_NONE && k < 20 && !jt_sched_counts(tree)->total; k++)
		if (strcmp(jt_job_path(tree, k, NULL), path) == 0)
			j = k;
	claim(j != JT_NONE, "no job is named \"%s\"", HERE, path);
	return j;
}

void story_restore(const char *path, const struct jt_restore *r)
{
	done(jt_sched_restore(tree, job_named(path), r, &err));
}

/* ---- events ---- */

void story_at(int64_t ns)
{
	now = ns;
}

void story_finish(const char *path, int outcome)
{
	struct jt_end end = jt_end_of((enum jt_outcome)outcome);
	done(jt_sched_end(tree, job_named(path), &end, &changes, &err));
}

void story_backoff(const char *path, int64_t due_ns)
{
	done(jt_sched_backoff(tree, job_named(path), due_ns, &err));
}

void story_hold(const char *path)
{
	done(jt_sched_hold(tree, job_named(path), &err));
}

void story_lose(const char *path)
{
	done(jt_sched_hold_lost(tree, job_named(path), &err));
}

void story_release(const char *path)
{
	done(jt_sched_release(tree, job_named(path), &err));
}

void story_unstart(const char *path)
{
	done(jt_sched_unstart(tree, job_named(path), &err));
}

void story_stop(enum jt_stop how, enum jt_stop_why why)
{
	done(jt_sched_stop(tree, how, why, &changes, &err));
}

void story_retry(const char *path, bool all)
{
	done(jt_sched_retry(tree, path, strlen(path), all, &changes, &err));
}

void story_renew(const char *path)
{
	done(jt_sched_renew(tree, job_named(path), &err));
}

/* ---- looks ---- */

void story_expect_state(const char *path, const char *name)
{
	const char *is = jt_state_name(jt_job_state(tree, job_named(path)));
	claim(strcmp(is, name) == 0, "\"%s\" is %s, not %s", HERE, path, is, name);
}

void story_expect_result(const char *text)
{
	struct jt_result r = jt_sched_result(tree);
	const char *how = r.stopped && r.why == JT_STOP_CANCEL ? "cancelled" : r.failed ? "failed" : "ok";
	char is[64];
	snprintf(is, sizeof(is), "%s%s", r.done ? "" : "open, ", how);
	claim(strcmp(is, text) == 0, "the run is \"%s\", not \"%s\"", HERE, is, text);
}

void story_expect_why(const char *path, const char *text)
{
	static const char *const waits[] = {
		[JT_WAITS_NOT] = "not", [JT_WAITS_PARENT] = "parent", [JT_WAITS_BARRIER] = "barrier", [JT_WAITS_AFTER] = "after",
		[JT_WAITS_WHEN] = "when", [JT_WAITS_HELD] = "held", [JT_WAITS_SLOT] = "slot", [JT_WAITS_PACE] = "pace",
		[JT_WAITS_BACKOFF] = "backoff", [JT_WAITS_PAUSED] = "paused", [JT_WAITS_SEAL] = "seal",
	};
	struct jt_why w;
	char is[2000];
	jt_sched_why(tree, job_named(path), &w);
	size_t len = (size_t)snprintf(is, sizeof(is), "%s%s%.100s%s", waits[w.what], w.dir[0] ? " " : "", w.dir, w.n_jobs ? ":" : "");
	for (size_t i = 0; i < w.n_jobs; i++)
		len += (size_t)snprintf(is + len, sizeof(is) - len, " %.50s", path_of(w.jobs[i]));
	if (w.what == JT_WAITS_BARRIER || w.what == JT_WAITS_AFTER)
		len += (size_t)snprintf(is + len, sizeof(is) - len, ", %u open", w.n_open);
	if (w.at_ns)
		len += (size_t)snprintf(is + len, sizeof(is) - len, " until %" PRId64, w.at_ns);
	snprintf(is + len, sizeof(is) - len, "%s", w.shut ? ", shut" : "");
	claim(strcmp(is, text) == 0, "\"%s\" waits for \"%s\", not \"%s\"", HERE, path, is, text);
}

void story_expect_text(const char *part)
{
	claim(strstr(err.text, part), "\"%s\" does not stand in: %s", HERE, part, err.text);
}
