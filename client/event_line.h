/* SPDX-License-Identifier: MIT */
/* Event line - an event as a line for people. */
#ifndef EVENT_LINE_H
#define EVENT_LINE_H

#include <jansson.h>
#include <stdio.h>

enum event_scope { EVENT_OF_ONE_RUN, EVENT_OF_ANY_RUN };        /* any: the line begins with the run's number */

void event_line(FILE *out, const json_t *event, enum event_scope scope);

#endif
