/* SPDX-License-Identifier: MIT */
/* Dice - numbers that follow from a seed, the same on every machine. */
#ifndef DICE_H
#define DICE_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* dice_pick - one of 0..n-1. The state begins as the seed, which is not 0. */
static inline unsigned dice_pick(uint64_t *state, unsigned n)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return (unsigned)(*state >> 33) % n;
}

/* dice_seeds - how many seeds are played. A sanitizer is there for memory errors, not for rare orders: a tenth. */
static inline uint64_t dice_seeds(uint64_t ci, uint64_t soak)
{
	const char *sanitizers = getenv("JOBD_SANITIZERS");
	if (getenv("JOBD_SOAK"))
		return soak;
	return sanitizers && strcmp(sanitizers, "no") != 0 ? ci / 10 : ci;
}

#endif
