/* SPDX-License-Identifier: MIT */
/*
 * Fetch - what the files of the program share: one fetch from its first request to the name that appears.
 *
 *	slot.c     one request: its header is judged (check.h) before a byte of its body is taken
 *	course.c   what an answer, or its absence, means for the whole
 *	plan_glue.c  the plan of libjobtree: made, dropped, written down
 *	net.c      the loop: slots, completions of the writer, clocks
 *	finish.c   checksum, sync, rename
 *
 *	      answer        writer
 *	curl ───────> slot ───────> file <─── hasher
 *	               │ part           all on one thread but the writer and the hasher
 *	              plan
 */
#ifndef FETCH_FETCH_H
#define FETCH_FETCH_H

#include <curl/curl.h>
#include <stdio.h>

#include "check.h"
#include "hasher.h"
#include "jobtree_fetch.h"
#include "options.h"
#include "s3.h"
#include "status.h"
#include "target.h"
#include "url.h"
#include "writer.h"

#define OPEN_END ((uint64_t)INT64_MAX)          /* of a part whose end nobody knows */

struct fetch;

/* ---- the course of one part: attempts and what they cost; beside the plan's part of that number ----------------------- */

struct course {
	uint32_t attempts;              /* that failed since the last progress */
	uint32_t fruitless;             /* of these the last ones, that brought no byte at all */
	uint64_t gained;                /* bytes since the last reset of `attempts` */
	uint64_t best;                  /* as far as it ever was: the same bytes again are no progress */
	uint32_t bad;                   /* answers that were not what was asked for */
	bool resolved;                  /* asked anew where the redirect came from, since the last progress */
	uint64_t bytes, requests, retries;
	int64_t ttfb_us;                /* of its first answer; -1 */
	int64_t read_us, write_us, backoff_us, overhead_us;
};

/* ---- one stream ------------------------------------------------------------------------------------------------------ */

/* FREE -> RUNNING -> FREE; RUNNING -> WAITING (until due_ms) -> RUNNING (net.c takes what is over to WAITING, course.c on). A slot that is not FREE has its part, once there is a plan. */
enum slot_state { SLOT_FREE, SLOT_WAITING, SLOT_RUNNING };

struct slot {
	struct fetch *f;
	enum slot_state state;
	uint32_t part;                  /* JT_FETCH_NONE: there is no plan yet */
	CURL *easy;
	struct curl_slist *headers;
	struct url url;
	unsigned redirects;
	struct asked asked;
	struct answer answer;
	enum verdict verdict;           /* V_NONE until the end of the header */
	uint64_t expected, got;         /* bytes of this body: SIZE_UNKNOWN, and so far */
	uint64_t skip;                  /* of these, how many are there already */
	uint64_t useful;                /* of these, how many were progress */
	struct work *filling;
	int64_t due_ms, begun_us, first_us, last_ms;
	int64_t window_ms;              /* speed is measured since then */
	uint64_t window_got, speed;     /* bytes/s in the last window; UINT64_MAX: not measured yet */
	char error[CURL_ERROR_SIZE];
};

/* ---- the whole ------------------------------------------------------------------------------------------------------- */

struct fetch {
	const struct fetch_options *o;
	struct fail why;
	int signal;                     /* INT or TERM; 0 */
	bool ended, unchanged;
	bool dropped;                   /* the file was wrong, and is gone */
	bool gone;                      /* the server says that there is no such object */

	struct url first_url, url;      /* as given; where redirects led */
	char *id;                       /* of the URL, secrets and all */
	struct s3 s3;
	bool is_s3;
	struct texts extra;             /* header fields of --header-file; owned */

	struct target target;
	struct keep keep;
	struct writer writer;
	struct hasher hasher;
	struct digests given, wanted;   /* by the user; with those of the server */

	struct object object;
	struct object before;           /* of --if-changed */
	struct jt_fetch_plan *plan;     /* NULL until the first answer */
	struct course *course;
	uint32_t n_course;
	uint64_t first, end;            /* the range that is wanted; end OPEN_END: not known yet */
	bool whole;                     /* ranges do not work here: one stream */
	uint64_t told;                  /* of that stream's object, by an answer before it; SIZE_UNKNOWN: nothing */
	bool one_by_one;                /* the length is not known: one range after the other */
	bool no_if_range;
	bool resumed;
	bool length_verified;
	bool answered;                  /* there was an answer that was taken: other streams may begin */
	bool asking_rest;               /* all bytes are there: whether there are more */

	CURLM *multi;
	struct slot *slot;
	uint32_t n_slots, allowed;      /* requests that may be open now */
	int signal_fd;
	int64_t trouble_ms, allowed_ms; /* last sign of overload; last change of `allowed`, either way; 0: never */
	uint64_t idle_speed;            /* of the stream that ended last: what a new one may reach */
	int64_t pay_from_ms;            /* of --limit-rate */
	uint64_t paid_bytes;

	time_t modified;                /* Last-Modified; -1: not known */
	int64_t begun_ms, beat_ms, saved_ms;
	uint64_t saved_bytes;
	bool saving;                    /* a MARK is under way, a SAVE follows it */

	uint64_t received, written, requests, attempts, retries, restarts, resumed_bytes;
	uint32_t streams_max;
	int64_t writer_wait_us, write_us, hash_us;
	long http_version;
	FILE *lines;                    /* of --json and --stats; NULL: none */
	FILE *runner;                   /* of --progress-fd; NULL: none */
	bool terminal;
	uint32_t drawn;                 /* lines on the terminal, to be drawn over */
};

/* net.c */
void net_run(struct fetch *f);                          /* until it has ended, failed or was interrupted */
uint32_t net_open(const struct fetch *f);               /* requests that are open */
void net_take_done(struct fetch *f);                    /* completions that are there */
/* net_await - until the writer has done what it was given. 0, or -1: failed, interrupted, or patience_ms (-1: any) was over. */
int net_await(struct fetch *f, int patience_ms);
bool net_interrupted(struct fetch *f);                  /* looks for a signal and at the deadline */
void net_drop_slots(struct fetch *f);                   /* ends all requests; what they brought goes to the writer */

/* slot.c */
void slot_run(struct slot *s);                          /* begins the request for its part, or the first one */
void slot_stop(struct slot *s);                         /* ends it; what it brought goes to the writer. It is FREE. */
void slot_flush(struct slot *s);
void slot_asks(struct slot *s, struct asked *ret);      /* the bytes and the condition of its next request */

/* course.c */
void course_accept(struct slot *s);                     /* a V_PART or V_WHOLE: plan and expectations; may change s->verdict */
void course_end(struct slot *s, CURLcode result);       /* the request is over */
void course_stalled(struct slot *s);                    /* no byte came for too long */
void course_wait_over(struct slot *s);
struct course *course_of(struct fetch *f, uint32_t part);
void course_gained(struct slot *s, uint64_t n);
void course_fewer(struct fetch *f, int64_t now);         /* the server has too much to do: half as many streams */
void course_more(struct fetch *f, int64_t now);          /* one stream more, if it was quiet for a minute */

/* plan_glue.c */
int plan_make(struct fetch *f, uint64_t probe_end, uint32_t streams);
void plan_learn(struct fetch *f, const struct answer *a, uint64_t total, bool body_is_all);
void plan_sum(struct fetch *f);                         /* tells the hasher how far the file is complete */
void plan_drop(struct fetch *f);                        /* nothing that was fetched counts; waits for the writer */
bool plan_resume(struct fetch *f);                      /* whether a state was found that can be gone on with */
void plan_save(struct fetch *f);                        /* asks the writer to keep what it has written until now */
const struct jt_fetch_part *plan_part(const struct fetch *f, uint32_t part);
bool plan_complete(const struct fetch *f);

/* finish.c */
void finish(struct fetch *f);                           /* all bytes are there */
void finish_failed(struct fetch *f);                    /* they are not, and no more come */
void finish_read_before(struct fetch *f);               /* --if-changed: what the file that is there says of itself */

#endif
