/* SPDX-License-Identifier: MIT */
/* Nearest - the known name that a mistyped one was probably meant to be. */
#ifndef NEAREST_H
#define NEAREST_H

#include <stddef.h>

/*
 * nearest_init - start looking for `typed` (borrowed).
 * nearest_offer - consider one known name (borrowed). O(length of typed x length of name).
 * nearest_get - the best name offered, or NULL if none is near enough to be worth a question.
 */
struct nearest {
	const char *typed;
	const char *best;
	size_t distance;
};
void nearest_init(struct nearest *n, const char *typed);
void nearest_offer(struct nearest *n, const char *name);
const char *nearest_get(const struct nearest *n);

#endif
