/* SPDX-License-Identifier: MIT */
/*
 * Verdict - how the end of an attempt is judged, by the job's specification: what it is called, whether it failed, whether there is another
 * attempt, and the words for one that did not begin. Judges only; what is done about it is outcome.c.
 */
#ifndef VERDICT_H
#define VERDICT_H

#include "engine.h"

enum job_reason verdict_reason(const struct rm_end *end);
enum jt_outcome verdict_outcome(const struct active *a, const struct rm_end *end);      /* of an end for good */
bool verdict_is_failure(const struct active *a, const struct rm_end *end);
/* The output of an item is whole, or too large: also where it ended before the runner saw that. */
bool verdict_is_too_large(const struct active *a, const struct store_attempt *at);
int64_t verdict_delay(struct active *a, const struct rm_end *end);      /* before the next attempt, ns; -1: there is none */
/* Of an RM_SPAWN: what could not be done, and why. The caller frees. */
char *verdict_message(const struct active *a, const struct rm_end *end);

#endif
