/* SPDX-License-Identifier: MIT */
/*
 * Fetch, defaults - what a fetch does unless it is told otherwise: of the options of jobd-fetch and of the same fields of a job. A field that has
 * its default is not handed over, so both have to mean the same. Not installed.
 */
#ifndef JOBTREE_FETCH_DEFAULTS_H
#define JOBTREE_FETCH_DEFAULTS_H

#define FETCH_STREAMS 8
#define FETCH_MIN_PART (8 << 20)
#define FETCH_TRIES 15
#define FETCH_RESTARTS 3
#define FETCH_STALL_MS 30000
#define FETCH_RETRY_AFTER_CAP_MS 300000
#define FETCH_HEARTBEAT_MS 1000
#define FETCH_SAVE_MS 2000
#define FETCH_SAVE_BYTES (64 << 20)

#endif
