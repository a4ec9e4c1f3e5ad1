/* SPDX-License-Identifier: MIT */
#include "answer.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "mem.h"

#define OLD_ENOUGH_S 60         /* a younger Last-Modified may be that of two versions of one second */

void answer_init(struct answer *a)
{
	*a = (struct answer){ .total = SIZE_UNKNOWN, .length = SIZE_UNKNOWN, .date = -1, .retry_after_ms = -1 };
}

void answer_done(struct answer *a)
{
	free(a->etag);
	free(a->last_modified);
	free(a->location);
	free(a->version);
	answer_init(a);
}

/* ---- the fields ---------------------------------------------------------------------------------------------------- */

/* A decimal number at *p, which moves behind it. */
static bool number(const char **p, uint64_t *ret)
{
	const char *from = *p;
	uint64_t v = 0;

	for (; **p >= '0' && **p <= '9'; ++*p)
		if (__builtin_mul_overflow(v, 10u, &v) || __builtin_add_overflow(v, (unsigned)(**p - '0'), &v))
			return false;
	*ret = v;
	return *p > from && v < INT64_MAX;
}

static void content_length(struct answer *a, const char *value)
{
	uint64_t v;

	a->length = !a->chunked && number(&value, &v) && *value == '\0' ? v : SIZE_UNKNOWN;
}

/* "bytes 0-9/10", "bytes 0-9/" and an asterisk, "bytes " asterisk "/10" */
static void content_range(struct answer *a, const char *value)
{
	uint64_t start = 0, last = 0, total = SIZE_UNKNOWN;
	bool unsatisfied;

	a->range = RANGE_ABSENT;
	if (strncasecmp(value, "bytes ", 6) != 0)
		return;
	value += 6 + strspn(value + 6, " ");
	unsatisfied = *value == '*';
	if (unsatisfied)
		value++;
	else if (!number(&value, &start) || *value++ != '-' || !number(&value, &last) || last < start)
		return;
	if (*value++ != '/')
		return;
	if (*value == '*')
		value++;
	else if (!number(&value, &total))
		return;
	if (*value)
		return;
	a->range = unsatisfied ? RANGE_UNSATISFIED : RANGE_BYTES;
	a->start = start;
	a->last = last;
	a->total = total;
}

static void content_encoding(struct answer *a, const char *value)
{
	a->encoded = *value && strcasecmp(value, "identity") != 0;
}

static void content_type(struct answer *a, const char *value)
{
	a->multipart = strncasecmp(value, "multipart/byteranges", 20) == 0;
}

/* The chunks tell the length, whatever a Content-Length beside them says. */
static void transfer_encoding(struct answer *a, const char *value)
{
	a->chunked = strcasecmp(value, "identity") != 0;
	if (a->chunked)
		a->length = SIZE_UNKNOWN;
}

static void etag(struct answer *a, const char *value)
{
	mem_replace(&a->etag, *value ? value : NULL);
}

static void last_modified(struct answer *a, const char *value)
{
	mem_replace(&a->last_modified, *value ? value : NULL);
}

static void location(struct answer *a, const char *value)
{
	mem_replace(&a->location, *value ? value : NULL);
}

static void version(struct answer *a, const char *value)
{
	mem_replace(&a->version, *value && strcmp(value, "null") != 0 ? value : NULL);
}

static void date(struct answer *a, const char *value)
{
	a->date = curl_getdate(value, NULL);
}

/* ---- checksums ------------------------------------------------------------------------------------------------------ */

static void content_md5(struct answer *a, const char *value)
{
	struct digest d;

	if (digest_from_base64("md5", value, strlen(value), &d) == 0)
		digests_add(&a->sums_of_body, &d);
}

/* `sha-256=:BASE64:, sha-512=:BASE64:` (RFC 9530), and `SHA-256=BASE64,MD5=BASE64` (RFC 3230). */
static void digest_list(struct answer *a, const char *value)
{
	while (*value) {
		size_t len = strcspn(value, ","), name = strcspn(value, "=");
		const char *sum = value + name + 1;
		struct digest d;
		char *alg;

		if (name < len) {
			size_t n = (size_t)(value + len - sum);

			n -= n > 0 && sum[n - 1] == ' ';
			if (n >= 2 && sum[0] == ':' && sum[n - 1] == ':') {
				sum++;
				n -= 2;
			}
			alg = mem_part(value, name);
			if (digest_from_base64(alg, sum, n, &d) == 0)
				digests_add(&a->sums, &d);
			free(alg);
		}
		value += len + (value[len] == ',');
		value += strspn(value, " \t");
	}
}

static void b2_sha1(struct answer *a, const char *value)
{
	struct digest d;

	if (strncmp(value, "unverified:", 11) == 0)
		value += 11;
	if (digest_from_hex("sha1", value, strlen(value), &d) == 0)
		digests_add(&a->sums, &d);
}

/* "BASE64-PARTS" is a composite one, whatever its type: that is no base64. */
static void amz_sum(struct answer *a, const char *alg, const char *value)
{
	struct digest d;

	if (strcasecmp(alg, "type") == 0)
		a->amz_type = strcasecmp(value, "FULL_OBJECT") == 0 ? AMZ_FULL_OBJECT : AMZ_COMPOSITE;
	else if (digest_from_base64(alg, value, strlen(value), &d) == 0)
		digests_add(&a->sums_amz, &d);
}

/* ---- lines --------------------------------------------------------------------------------------------------------- */

static void status_line(struct answer *a, const char *line)
{
	const char *blank = strchr(line, ' ');
	uint64_t v;

	answer_done(a);
	if (!blank++ || !number(&blank, &v) || v < 100 || v > 999)
		return;
	a->status = (int)v;
}

static void retry_after(struct answer *a, const char *value, time_t now)
{
	const char *p = value;
	uint64_t seconds;
	time_t at;

	if (number(&p, &seconds) && *p == '\0') {
		a->retry_after_ms = seconds < INT32_MAX ? (int64_t)seconds * 1000 : INT32_MAX * INT64_C(1000);
		return;
	}
	at = curl_getdate(value, NULL);
	if (at != -1)
		a->retry_after_ms = at > now ? (int64_t)(at - now) * 1000 : 0;
}

static void field(struct answer *a, const char *name, const char *value, time_t now)
{
	static const struct { const char *name; void (*take)(struct answer *a, const char *value); } fields[] = {
		{ "content-length", content_length }, { "content-range", content_range }, { "content-encoding", content_encoding },
		{ "content-type", content_type }, { "transfer-encoding", transfer_encoding }, { "etag", etag },
		{ "last-modified", last_modified }, { "location", location }, { "date", date }, { "content-md5", content_md5 },
		{ "repr-digest", digest_list }, { "digest", digest_list }, { "x-bz-content-sha1", b2_sha1 }, { "x-amz-version-id", version },
	};

	if (strcasecmp(name, "retry-after") == 0)
		retry_after(a, value, now);
	if (strncasecmp(name, "x-amz-checksum-", 15) == 0)
		amz_sum(a, name + 15, value);
	for (size_t i = 0; i < sizeof(fields) / sizeof(*fields); i++)
		if (strcasecmp(name, fields[i].name) == 0)
			fields[i].take(a, value);
}

static size_t trimmed(const char *text, size_t len)
{
	while (len > 0 && strchr(" \t\r\n", text[len - 1]))
		len--;
	return len;
}

void answer_line(struct answer *a, const char *line, size_t len, time_t now)
{
	char *copy = mem_part(line, trimmed(line, len)), *colon = strchr(copy, ':');

	if (strncmp(copy, "HTTP/", 5) == 0) {
		status_line(a, copy);
	} else if (colon) {
		*colon = '\0';
		field(a, copy, colon + 1 + strspn(colon + 1, " \t"), now);
	}
	free(copy);
}

enum jt_fetch_validator answer_validator(const struct answer *a, const char **ret_text)
{
	time_t modified;

	if (a->etag && a->etag[0] == '"') {
		*ret_text = a->etag;
		return JT_FETCH_ETAG;
	}
	modified = a->last_modified && a->date != -1 ? curl_getdate(a->last_modified, NULL) : -1;
	if (modified != -1 && a->date - modified >= OLD_ENOUGH_S) {
		*ret_text = a->last_modified;
		return JT_FETCH_DATE;
	}
	*ret_text = NULL;
	return JT_FETCH_UNVALIDATED;
}

/* An ETag of S3 for what was uploaded in parts: 32 hexadecimal digits, a dash and the number of parts. */
static bool is_of_parts(const char *tag)
{
	return tag && tag[0] == '"' && strspn(tag + 1, "0123456789abcdefABCDEF") == 32 && tag[33] == '-';
}

static bool amz_holds(const struct answer *a, bool whole)
{
	if (a->amz_type == AMZ_COMPOSITE)
		return false;
	return a->status == 200 || !is_of_parts(a->etag) || (whole && a->amz_type == AMZ_FULL_OBJECT);
}

void answer_sums(const struct answer *a, bool whole, struct digests *ret)
{
	*ret = a->sums;
	for (size_t i = 0; whole && i < a->sums_of_body.n; i++)
		digests_add(ret, &a->sums_of_body.v[i]);
	for (size_t i = 0; amz_holds(a, whole) && i < a->sums_amz.n; i++)
		digests_add(ret, &a->sums_amz.v[i]);
}
