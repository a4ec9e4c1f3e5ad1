/* SPDX-License-Identifier: MIT */
#include "s3.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "mem.h"

bool s3_is(const char *url)
{
	return strncasecmp(url, "s3://", 5) == 0;
}

void s3_done(struct s3 *s)
{
	free(s->url);
	free(s->sigv4);
	free(s->key_id);
	free(s->secret);
	free(s->token);
	*s = (struct s3){ 0 };
}

/* ---- the URL ------------------------------------------------------------------------------------------------------- */

static bool unreserved(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (c && strchr("-._~", c));
}

/* also: characters that stay besides. The caller frees. */
static char *encoded(const char *text, size_t len, const char *also)
{
	char *to = mem_zero(3 * len + 1, 1), *p = to;

	for (size_t i = 0; i < len; i++) {
		if (unreserved(text[i]) || strchr(also, text[i]))
			*p++ = text[i];
		else
			p += snprintf(p, 4, "%%%02X", (unsigned char)text[i]);
	}
	return to;
}

/* "name" and "name=value" become "name=" and "name=value", encoded. */
static char *query_item(const char *text, size_t len)
{
	const char *equals = memchr(text, '=', len);
	size_t name = equals ? (size_t)(equals - text) : len;
	char *left = encoded(text, name, ""), *right = equals ? encoded(equals + 1, len - name - 1, "") : mem_text("");
	char *item = mem_print("%s=%s", left, right);

	free(left);
	free(right);
	return item;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* A query as people write it becomes one as it is signed. The caller frees; "" of nothing. */
static char *query_of(const char *raw)
{
	char **item = NULL, *query = mem_text("");
	size_t n = 0;

	for (size_t len; *raw; raw += len + (raw[len] == '&')) {
		len = strcspn(raw, "&");
		if (len == 0)
			continue;
		item = mem_grow(item, n + 1, sizeof(*item));
		item[n++] = query_item(raw, len);
	}
	if (n > 0)
		qsort(item, n, sizeof(*item), by_text);
	for (size_t i = 0; i < n; i++) {
		char *old = query;

		query = mem_print("%s%s%s", old, i ? "&" : "?", item[i]);
		free(old);
		free(item[i]);
	}
	free(item);
	return query;
}

static const char *variable(const char *name, const char *otherwise)
{
	const char *value = getenv(name);

	return value && *value ? value : otherwise;
}

/* A bucket with a dot would not match the certificate of *.s3.REGION.amazonaws.com: it goes into the path. */
static char *place_of(const char *bucket, const char *region)
{
	const char *endpoint = variable("AWS_ENDPOINT_URL", NULL);
	size_t len = endpoint ? strlen(endpoint) : 0;

	while (len > 0 && endpoint[len - 1] == '/')
		len--;
	if (endpoint)
		return mem_print("%.*s/%s", (int)len, endpoint, bucket);
	if (strchr(bucket, '.'))
		return mem_print("https://s3.%s.amazonaws.com/%s", region, bucket);
	return mem_print("https://%s.s3.%s.amazonaws.com", bucket, region);
}

static bool is_bucket(const char *bucket)
{
	size_t len = strlen(bucket);

	return len >= 1 && len <= 255 && strspn(bucket, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_") == len;
}

static int read_url(const char *url, const char *region, struct s3 *ret, struct fail *fail)
{
	const char *rest = url + 5, *slash = strchr(rest, '/');
	size_t key_len = slash ? strcspn(slash + 1, "?") : 0;
	char *bucket, *key, *place, *query;

	if (key_len == 0)
		return fail_set(fail, FETCH_USAGE, "an S3 URL is s3://BUCKET/KEY");
	bucket = mem_part(rest, (size_t)(slash - rest));
	if (!is_bucket(bucket)) {
		free(bucket);
		return fail_set(fail, FETCH_USAGE, "an S3 URL is s3://BUCKET/KEY, and this is no name of a bucket");
	}
	key = encoded(slash + 1, key_len, "/");
	place = place_of(bucket, region);
	query = query_of(slash[1 + key_len] ? slash + 1 + key_len + 1 : "");
	ret->url = mem_print("%s/%s%s", place, key, query);
	free(bucket);
	free(key);
	free(place);
	free(query);
	return 0;
}

/* What is there is encoded already; versionId is put where it sorts. */
char *s3_with_version(const char *url, const char *version)
{
	const char *mark = strchr(url, '?'), *at = mark ? mark + 1 : "";
	char *value = encoded(version, strlen(version), ""), *all;
	size_t before = 0;

	if (mark && strstr(mark, "versionId=")) {
		free(value);
		return mem_text(url);
	}
	while (at[before] && strncmp(at + before, "versionId", 9) < 0)
		before += strcspn(at + before, "&") + (at[before + strcspn(at + before, "&")] == '&');
	all = mem_print("%.*s?%.*s%sversionId=%s%s%s", (int)strcspn(url, "?"), url, (int)before, at, before && at[before - 1] != '&' ? "&" : "", value,
			at[before] ? "&" : "", at + before);
	free(value);
	return all;
}

/* ---- credentials ---------------------------------------------------------------------------------------------------- */

static char *value_in(const char *line, const char *name)
{
	size_t len = strlen(name), end;

	line += strspn(line, " \t");
	if (strncmp(line, name, len) != 0)
		return NULL;
	line += len + strspn(line + len, " \t");
	if (*line++ != '=')
		return NULL;
	line += strspn(line, " \t");
	end = strcspn(line, " \t\r\n");
	return end ? mem_part(line, end) : NULL;
}

static void take_value(const char *line, const char *name, char **ret)
{
	char *value = value_in(line, name);

	if (!value)
		return;
	free(*ret);
	*ret = value;
}

/* One profile of the file that the tools of AWS share. */
static void read_profile(FILE *f, const char *profile, struct s3 *s)
{
	char *line = NULL, *head = mem_print("[%s]", profile);
	size_t size = 0;
	bool mine = false;

	while (getline(&line, &size, f) > 0) {
		if (line[0] == '[')
			mine = strncmp(line, head, strlen(head)) == 0;
		if (!mine)
			continue;
		take_value(line, "aws_access_key_id", &s->key_id);
		take_value(line, "aws_secret_access_key", &s->secret);
		take_value(line, "aws_session_token", &s->token);
	}
	free(line);
	free(head);
}

static int read_file(struct s3 *s, struct fail *fail)
{
	const char *named = variable("AWS_SHARED_CREDENTIALS_FILE", NULL), *home = variable("HOME", NULL);
	char *path = named ? mem_text(named) : home ? mem_print("%s/.aws/credentials", home) : NULL;
	FILE *f = path ? fopen(path, "re") : NULL;
	int rc = 0;

	if (f) {
		read_profile(f, variable("AWS_PROFILE", "default"), s);
		fclose(f);
	} else if (named) {
		rc = fail_set(fail, FETCH_USAGE, "cannot read the credentials in %s: %s", named, strerror(errno));
	}
	free(path);
	return rc;
}

static int read_credentials(struct s3 *s, struct fail *fail)
{
	s->key_id = mem_text(variable("AWS_ACCESS_KEY_ID", NULL));
	s->secret = mem_text(variable("AWS_SECRET_ACCESS_KEY", NULL));
	s->token = mem_text(variable("AWS_SESSION_TOKEN", NULL));
	if (!s->key_id && !s->secret && read_file(s, fail) != 0)
		return -1;
	if (!s->key_id != !s->secret)
		return fail_set(fail, FETCH_USAGE, "the S3 credentials are half: a key id and a secret key belong together");
	return 0;
}

int s3_read(const char *url, struct s3 *ret, struct fail *fail)
{
	const char *region = variable("AWS_REGION", variable("AWS_DEFAULT_REGION", "us-east-1"));

	*ret = (struct s3){ 0 };
	if (read_url(url, region, ret, fail) != 0 || read_credentials(ret, fail) != 0)
		return -1;
	if (ret->key_id)
		ret->sigv4 = mem_print("aws:amz:%s:s3", region);
	return 0;
}
