/* SPDX-License-Identifier: MIT */
/* Due - which attempt has something coming soonest: a binary heap by due_ns. An attempt knows its place (due_at). */
#ifndef RUNNER_DUE_H
#define RUNNER_DUE_H

#include "attempt.h"

struct due {
	struct attempt **v;
	size_t n, cap;
};

/* due_set - (again) at `at_ns`. O(log n). Running out of memory ends the process. */
void due_set(struct due *d, struct attempt *a, int64_t at_ns);
/* due_clear - nothing is due; it need not have been. O(log n), allocates nothing. */
void due_clear(struct due *d, struct attempt *a);
/* due_first - NULL: none. */
struct attempt *due_first(const struct due *d);

#endif
