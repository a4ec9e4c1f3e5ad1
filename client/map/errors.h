/* SPDX-License-Identifier: MIT */
/* Errors - what commands wrote to standard error, where we have it: it leaves with its item, to ours, and with --results into its folder. */
#ifndef MAP_ERRORS_H
#define MAP_ERRORS_H

#include <stdbool.h>

struct stage;
struct task;

/* errors_are_ours - whether what commands of s write there comes to us first, and not where ours goes. */
bool errors_are_ours(const struct stage *s);
/* errors_pass - of t, which leaves next: all that has come of it. Nothing where it is a field, or dropped. */
void errors_pass(struct task *t);

#endif
