/* SPDX-License-Identifier: MIT */
/*
 * Digest - what a checksum is called, what it should be, and what it is. The sums themselves are OpenSSL's (and lib/crc.h for those of S3).
 * In texts a checksum is ALG:HEX in lower case: "sha256:9f86d0...".
 */
#ifndef FETCH_DIGEST_H
#define FETCH_DIGEST_H

#include <stdbool.h>
#include <stddef.h>

#define DIGEST_MAX 64           /* bytes of the longest */
#define DIGEST_WANTED_MAX 8     /* checksums of one object */

/* ---- one checksum that is wanted ------------------------------------------------------------------------------------ */

struct digest {
	unsigned alg;                           /* index in a table of digest.c */
	unsigned char value[DIGEST_MAX];
};

/* digest_read - "ALG:HEX" or "ALG:hex". 0, or -1. */
int digest_read(const char *text, struct digest *ret);
/* digest_from_hex, digest_from_base64 - of an algorithm by its name, in any case, as servers write it ("SHA-256", "sha"). 0, or -1. */
int digest_from_hex(const char *alg, const char *hex, size_t len, struct digest *ret);
int digest_from_base64(const char *alg, const char *text, size_t len, struct digest *ret);
/* digest_from_length - of the algorithm that sha256sum and friends mean by so many hexadecimal digits. 0, or -1. */
int digest_from_length(const char *hex, size_t len, struct digest *ret);
/* digest_text - ALG:HEX; the caller frees. */
char *digest_text(const struct digest *d);

/* ---- those of one object --------------------------------------------------------------------------------------------- */

struct digests { struct digest v[DIGEST_WANTED_MAX]; size_t n; };

/* digests_add - another one; the same again is not added. What is more than DIGEST_WANTED_MAX is left out. */
void digests_add(struct digests *s, const struct digest *d);
bool digests_have(const struct digests *s, const struct digest *like);  /* whether one is of the same algorithm */
char *digests_text(const struct digests *s);    /* "ALG:HEX ALG:HEX"; NULL: none. The caller frees. */
int digests_read(const char *text, struct digests *ret);        /* the reverse; NULL: none */

/* ---- computing ------------------------------------------------------------------------------------------------------- */

struct digest_run;

struct digest_run *digest_run_new(const struct digests *wanted);
void digest_run_add(struct digest_run *r, const void *data, size_t len);
/* digest_run_end - whether all are as wanted; if not, ret_bad is what the first that differs is. Once. */
bool digest_run_end(struct digest_run *r, struct digest *ret_wanted, struct digest *ret_bad);
void digest_run_free(struct digest_run *r);

/* digest_id - the SHA-256 of a text in hexadecimal: names a URL without telling it. The caller frees. */
char *digest_id(const char *text);

#endif
