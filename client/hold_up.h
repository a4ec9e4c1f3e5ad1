/* SPDX-License-Identifier: MIT */
/*
 * Hold-up - for whoever waits for a job that does not start: what the daemon lacks is told, each thing once; on a terminal also, when it lacks
 * nothing, how to find out.
 */
#ifndef HOLD_UP_H
#define HOLD_UP_H

#include <stdbool.h>

struct hold_up {
	const char *socket, *run, *path;
	double look_at_s;       /* CLOCK_MONOTONIC: the next look */
	bool has_hinted;
	char *told;
};

/* hold_up_begin - what is given stays the caller's, until hold_up_done. */
void hold_up_begin(struct hold_up *h, const char *socket, const char *run, const char *path);
void hold_up_done(struct hold_up *h);
/* hold_up_wait_ms - until the next look. */
int hold_up_wait_ms(const struct hold_up *h);
/* hold_up_look - if it is time to. A daemon that does not answer within a second is asked again at the next look. */
void hold_up_look(struct hold_up *h);

#endif
