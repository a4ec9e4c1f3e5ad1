/* SPDX-License-Identifier: MIT */
/* Transfer - the progress of a fetch, as rows and events have it, for people. */
#ifndef TRANSFER_H
#define TRANSFER_H

#include <jansson.h>

/* transfer_percent - how much of it is there; -1: its size is not known. */
int transfer_percent(const json_t *progress);
/* transfer_text - "45 % of 1.2 GiB, 80.0 MiB/s", or "540.0 MiB, 80.0 MiB/s". Written into buf, returned. */
const char *transfer_text(const json_t *progress, char *buf, size_t size);

#endif
