/* SPDX-License-Identifier: MIT */
/* Sums - the checksums that the user asks for: --checksum, and the line of --checksum-file for the name that is written. */
#ifndef FETCH_SUMS_H
#define FETCH_SUMS_H

#include "digest.h"
#include "options.h"
#include "status.h"

int sums_read(const struct fetch_options *o, struct digests *ret, struct fail *fail);   /* 0, or -1 with *fail */

#endif
