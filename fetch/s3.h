/* SPDX-License-Identifier: MIT */
/*
 * S3 - s3://BUCKET/KEY[?QUERY] as a request: where it goes and who signs it. libcurl signs the path and the query as they are given, so that
 * they are put into the form that is signed here: everything but unreserved characters and the slash encoded, the query sorted, each name with
 * its equals sign.
 */
#ifndef FETCH_S3_H
#define FETCH_S3_H

#include <stdbool.h>

#include "status.h"

struct s3 {
	char *url;                      /* https://..., without secrets */
	char *sigv4;                    /* CURLOPT_AWS_SIGV4; NULL: not signed, there are no credentials */
	char *key_id, *secret, *token;  /* NULL: none */
};

bool s3_is(const char *url);

/* s3_read - url in the form above; region, endpoint and credentials from the environment, else from the shared credentials file.
 * 0, or -1 with *fail. */
int s3_read(const char *url, struct s3 *ret, struct fail *fail);
/* s3_with_version - the URL with versionId; the caller frees. */
char *s3_with_version(const char *url, const char *version);
void s3_done(struct s3 *s);

#endif
