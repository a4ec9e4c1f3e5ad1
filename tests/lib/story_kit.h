/* SPDX-License-Identifier: MIT */
/*
 * A kit for stories about the scheduler. A story says what is there (`jobs`), what happens (`finish`, `hold`, `at`), and what
 * the scheduler did since the last look (`expect`): every start and every end that nobody asked for by name, in order.
 *
 *	jobs("a", "b after a", "c after a/ when finished", "d priority -1");
 *	expect("start d", "start a");
 *	finish("a", FAIL);      expect("skip b because of a", "start c");
 *	refuse(JT_ESTATE, hold("a"));
 *
 * Each story has a tree of its own, ten slots, and a clock that starts at 0.
 */
#ifndef TESTS_STORY_KIT_H
#define TESTS_STORY_KIT_H

#include <check.h>

#include "jobtree.h"

enum { OK = JT_END_OK, WARN = JT_END_WARN, IGNORE = JT_END_IGNORE, SKIP = JT_END_SKIP, FAIL = JT_END_FAIL, ABORT = JT_END_ABORT,
       CANCEL = JT_END_CANCEL, LOST = JT_END_LOST };

extern struct jt_opts opts;             /* to be changed before the first job is named */
extern struct jt_sched *tree;
extern struct jt_error err;

/* The place of the last sentence, for failures inside the kit; whether it is to be refused. */
extern const char *story_file;
extern int story_line;
extern enum jt_code story_refusal;
#define SAY(call) (story_file = __FILE__, story_line = __LINE__, (call))
#define LIST(...) ((const char *const[]){ __VA_ARGS__, NULL })
#define refuse(code, call) (story_refusal = (code), (call), story_refusal = JT_OK)

/* The tree: all at once, or as a stream that has begun; or step by step, with restore() in between. */
#define jobs(...) SAY(story_jobs(LIST(__VA_ARGS__)))
#define named(...) SAY(story_named(LIST(__VA_ARGS__)))
#define begin() SAY(story_begin())
#define stream(...) SAY(story_stream(LIST(__VA_ARGS__)))
#define add(...) SAY(story_add(LIST(__VA_ARGS__)))
#define seal(path) SAY(story_seal(path))
#define restore(path, ...) SAY(story_restore(path, &(struct jt_restore){ __VA_ARGS__ }))

/* What happens. */
#define at(ns) SAY(story_at(ns))
#define finish(path, outcome) SAY(story_finish(path, outcome))
#define cancel(path) finish(path, CANCEL)
#define backoff(path, due_ns) SAY(story_backoff(path, due_ns))
#define hold(path) SAY(story_hold(path))
#define lose(path) SAY(story_lose(path))
#define release(path) SAY(story_release(path))
#define unstart(path) SAY(story_unstart(path))
#define stop(how, why) SAY(story_stop(how, why))
#define retry(path) SAY(story_retry(path, false))
#define retry_all(path) SAY(story_retry(path, true))
#define renew(path) SAY(story_renew(path))

/* What came of it. */
#define NOTHING NULL
#define expect(...) SAY(story_expect(LIST(__VA_ARGS__)))
#define expect_state(path, name) SAY(story_expect_state(path, name))
#define expect_result(text) SAY(story_expect_result(text))        /* open, ok, failed, cancelled; "open, failed" and so on */
#define expect_why(path, text) SAY(story_expect_why(path, text))  /* "barrier a/~: a/x a/y, 1 open" */
#define expect_text(part) SAY(story_expect_text(part))            /* stands in the last refusal */

void story_jobs(const char *const *lines);
void story_named(const char *const *lines);
void story_begin(void);
void story_stream(const char *const *lines);
void story_add(const char *const *lines);
void story_seal(const char *path);
void story_restore(const char *path, const struct jt_restore *r);
void story_at(int64_t ns);
void story_finish(const char *path, int outcome);
void story_backoff(const char *path, int64_t due_ns);
void story_hold(const char *path);
void story_lose(const char *path);
void story_release(const char *path);
void story_unstart(const char *path);
void story_stop(enum jt_stop how, enum jt_stop_why why);
void story_retry(const char *path, bool all);
void story_renew(const char *path);
void story_expect(const char *const *want);
void story_expect_state(const char *path, const char *name);
void story_expect_result(const char *text);
void story_expect_why(const char *path, const char *text);
void story_expect_text(const char *part);

jt_job job_named(const char *path);

/* A chapter: the stories of one subject. Each file of stories has one, and test_stories.c plays them all. */
TCase *story_chapter(const char *name, const TTest *const *stories, size_t n);
#define CHAPTER(fn, name, ...)                                                                                                 \
	TCase *fn(void)                                                                                                        \
	{                                                                                                                      \
		const TTest *const all[] = { __VA_ARGS__ };                                                                    \
		return story_chapter(name, all, sizeof(all) / sizeof(*all));                                                   \
	}
TCase *stories_of_starting(void), *stories_of_ending(void), *stories_of_pacing(void), *stories_of_holding(void);
TCase *stories_of_stopping(void), *stories_of_after(void), *stories_of_streams(void), *stories_of_renewal(void), *stories_of_retry(void);
TCase *stories_of_restarts(void), *stories_of_looking(void);

#endif
