/* SPDX-License-Identifier: MIT */
/* Options - the command line of jobd-fetch. What every option means to people stands in doc/jobctl-fetch.1. */
#ifndef FETCH_OPTIONS_H
#define FETCH_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum alloc { ALLOC_FALL, ALLOC_SPARSE, ALLOC_NONE };

struct texts { const char **v; size_t n; };

struct fetch_options {
	char *url;                              /* owned; with its secrets */
	const char *output, *into, *range, *alloc_name;
	const char *checksum_file, *header_file, *cacert;
	struct texts checksum;                  /* ALG:HEX */
	uint64_t first, last;                   /* of --range, inclusive */
	uint64_t at;                            /* of --into */
	uint64_t min_part, limit_rate, save_bytes;
	uint64_t streams, max_per_host, tries, restarts;
	uint64_t url_fd, progress_fd;           /* UINT64_MAX: none */
	int64_t stall_ms, retry_after_cap_ms, deadline_ms, heartbeat_ms, save_ms;
	enum alloc alloc;
	bool json, stats, quiet, no_clobber, keep_bad, durable, no_fsync, http2, trust_size, if_changed, mtime, help, version;
};

/* options_read - 0, or FETCH_USAGE and it has complained. Fewer streams when --max-per-host says so. */
int options_read(struct fetch_options *o, int argc, char **argv);
void options_done(struct fetch_options *o);

#endif
