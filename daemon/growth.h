/* SPDX-License-Identifier: MIT */
/* Growth - the kernel tells when an output file grows that a job still writes (inotify). */
#ifndef GROWTH_H
#define GROWTH_H

#include <event2/event.h>

struct growth;

/* growth_watch - fn(arg) comes from the loop after each growth of the file; several growths may be told as one. fd stays the caller's, and may be
 * closed before the watch. NULL: errno. */
struct growth *growth_watch(struct event_base *base, int fd, void (*fn)(void *arg), void *arg);
void growth_free(struct growth *g);                             /* also from within fn; NULL is allowed */

#endif
