/* SPDX-License-Identifier: MIT */
/* What the files of jt_fetch_* share. Not installed. */
#ifndef JOBTREE_FETCH_IMPL_H
#define JOBTREE_FETCH_IMPL_H

#include "jobtree_fetch.h"

struct jt_fetch_plan {
	struct jt_fetch_part *part;
	size_t n, cap;
	uint64_t first, end;
	uint64_t lacking, in_file;
	uint64_t frontier;              /* as far as it was followed; never falls */
};

/* jti_fetch_plan_empty - of a range, without parts; jti_fetch_plan_add - one more at the end. NULL or -1: no memory. */
struct jt_fetch_plan *jti_fetch_plan_empty(uint64_t first, uint64_t end);
int jti_fetch_plan_add(struct jt_fetch_plan *plan, const struct jt_fetch_part *part);

#endif
