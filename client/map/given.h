/* SPDX-License-Identifier: MIT */
/* What the command line of `jobctl map` may say, as it was said. Texts are borrowed; NULL, INT64_MIN or a negative time: not given. */
#ifndef MAP_GIVEN_H
#define MAP_GIVEN_H

#include <stdbool.h>
#include <stdint.h>

struct map_options {
	bool local, nul, skip_empty, spread, shell, unordered, ordered, line_buffer, ungroup, group, stats, durable, resume_failed;
	const char *delimiter, *zip, *fill, *join, *batch_bytes, *halt, *retry_on, *out, *err, *results, *spool_dir, *progress, *log, *resume;
	int64_t window, fd, skip, max_items, batch_items, retries, total, block, buffer_bytes, spool_bytes, pipe_size, memfree, output_max;
	double retry_delay_s, backoff, delay_s, load, deadline_s, heartbeat_s, linger_ms;
};

#define MAP_OPTIONS_NONE { \
	.window = INT64_MIN, .fd = INT64_MIN, .skip = INT64_MIN, .max_items = INT64_MIN, .batch_items = INT64_MIN, .retries = INT64_MIN, \
	.total = INT64_MIN, .block = INT64_MIN, .buffer_bytes = INT64_MIN, .spool_bytes = INT64_MIN, .pipe_size = INT64_MIN, .memfree = INT64_MIN, .output_max = INT64_MIN, \
	.retry_delay_s = -1, .backoff = -1, .delay_s = -1, .load = -1, .deadline_s = -1, .heartbeat_s = -1, .linger_ms = -1 }

#endif
