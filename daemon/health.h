/* SPDX-License-Identifier: MIT */
/*
 * Health - what jobd lacks at the moment, and what that holds up. A trouble is back-pressure, never the failure of a job: it begins, is
 * logged once, stands in Stats and in systemd's STATUS=, and ends by itself when a look every quarter of a second finds it gone.
 *
 *   disk-full    the database has no room: no submission is taken, nothing is started; ends wait in the runner if need be
 *   outputs      what a job needs can not be opened, as the files for its output (disk, descriptors): nothing is started
 *   runner       it does not answer: nothing is started (nor twice: what it was told stands until it says otherwise)
 *   fork         it can not make processes: starts wait 10 ms, and twice as long each time up to 1 s
 *   descriptors  none is free: connections wait
 *   stalled      the database does not answer
 *   low-disk     there is room for next to nothing more: submissions are refused, what is there is started
 *   budget       the files of outputs take as much as they may, and none can be given up: of further outputs little is kept
 *
 * Also the watchdog of systemd: fed only while the database and the runner answer.
 */
#ifndef HEALTH_H
#define HEALTH_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct engine;
struct run;
struct health;

enum trouble {
	TROUBLE_DISK_FULL, TROUBLE_OUTPUTS, TROUBLE_RUNNER, TROUBLE_FORK, TROUBLE_DESCRIPTORS, TROUBLE_STALLED, TROUBLE_LOW_DISK, TROUBLE_BUDGET,
	TROUBLE_N
};

/* Waits that grow while it goes on: 10 ms ... 1 s. */
struct backoff {
	int64_t until_ns;               /* CLOCK_BOOTTIME; 0: none */
	unsigned n;
};
void backoff_more(struct backoff *b, int64_t now_ns);

void health_start(struct engine *e);    /* e->health; looks from now on */
/* health_watch - how long the database and the runner may be silent. Takes systemd's watchdog into account; may be called again. */
void health_watch(struct engine *e, uint32_t patience_s);

/* health_begin - something is lacking; what is known already is not told again. */
void health_begin(struct engine *e, enum trouble what, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void health_end(struct engine *e, enum trouble what);
/* health_notice_disk - who has found out about the disk, or is about to tell of it, need not wait for the next look. Begins, ends nothing. */
void health_notice_disk(struct engine *e);
/* health_cannot_fork - the runner said so; health_forks - it has started something. */
void health_cannot_fork(struct engine *e, int code);
void health_forks(struct engine *e);
/* health_holds_starts - whether nothing may be started now; what could be is looked at again when that ends. */
bool health_holds_starts(struct engine *e);

const char *health_text(const struct engine *e);        /* of the gravest trouble; NULL: none */
json_t *health_json(const struct engine *e);            /* an array of { what, text, since } */

#endif
