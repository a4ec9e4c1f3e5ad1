/* SPDX-License-Identifier: MIT */
/* Dice - numbers that follow from a seed, the same on every machine. */
#ifndef DICE_H
#define DICE_H

#include <stdint.h>

/* dice_pick - one of 0..n-1. The state begins as the seed, which is not 0. */
static inline unsigned dice_pick(uint64_t *state, unsigned n)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return (unsigned)(*state >> 33) % n;
}

#endif
