/* SPDX-License-Identifier: MIT */
/* Times - RFC 3339 from the wire, and times and durations for people. */
#ifndef TIMES_H
#define TIMES_H

#include <stddef.h>
#include <time.h>

/* times_read - "2026-01-31T12:00:00.123+01:00". 0 or -1. */
int times_read(const char *text, struct timespec *ret);
/* times_show - local time, "2026-01-31 12:00:00"; "-" for NULL; the text itself where it is no time. Written into buf, returned. */
const char *times_show(const char *rfc3339, char *buf, size_t size);
/* times_show_clock - only "12:00:00". */
const char *times_show_clock(const char *rfc3339, char *buf, size_t size);
/* times_show_seconds - "0.012s", "4.2s", "3m07s", "2h05m", "3d04h". */
const char *times_show_seconds(double s, char *buf, size_t size);
/* times_between - seconds from one to the other; to NULL: to now. -1 where there is no start. */
double times_between(const char *from, const char *to);

#endif
