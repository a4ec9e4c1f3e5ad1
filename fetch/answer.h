/* SPDX-License-Identifier: MIT */
/* Answer - what the header of one HTTP response says, read strictly: a number that is none is as good as absent. */
#ifndef FETCH_ANSWER_H
#define FETCH_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "digest.h"
#include "jobtree_fetch.h"

#define SIZE_UNKNOWN UINT64_MAX

enum content_range {
	RANGE_ABSENT,           /* no such field, or not readable, or of another unit */
	RANGE_BYTES,            /* bytes start-last/total */
	RANGE_UNSATISFIED,      /* no such range; of total bytes */
};

/* S3: of the bytes of the object, or a sum over those of the parts that it was uploaded in. */
enum amz_type { AMZ_UNTOLD, AMZ_FULL_OBJECT, AMZ_COMPOSITE };

struct answer {
	int status;
	enum content_range range;
	uint64_t start, last, total;            /* total: SIZE_UNKNOWN for an asterisk */
	uint64_t length;                        /* Content-Length; SIZE_UNKNOWN */
	bool chunked, encoded, multipart;       /* encoded: stored other than as it is */
	char *etag, *last_modified, *location, *version;
	time_t date;                            /* -1: none */
	int64_t retry_after_ms;                 /* -1: none */
	struct digests sums;                    /* of the whole object */
	struct digests sums_of_body;            /* of the object only if the body is all of it (Content-MD5) */
	struct digests sums_amz;                /* x-amz-checksum-* */
	enum amz_type amz_type;                 /* what these are of */
};

void answer_init(struct answer *a);
void answer_done(struct answer *a);

/* answer_line - one line as it came, with its end. A status line begins anew. now: for a Retry-After that is a date. */
void answer_line(struct answer *a, const char *line, size_t len, time_t now);

/* answer_validator - the strong ETag, else a Last-Modified that is at least a minute older than the answer. ret_text is lent; NULL: none. */
enum jt_fetch_validator answer_validator(const struct answer *a, const char **ret_text);

/*
 * answer_sums - the checksums that hold for the whole object. whole: the body is all of it. S3 answers a range of an object that was uploaded in
 * parts with the sum of a part where the range happens to be one, and with a composite sum that does not look like one: there only a whole body with
 * a sum that is said to be of the full object counts.
 */
void answer_sums(const struct answer *a, bool whole, struct digests *ret);

#endif
