/* SPDX-License-Identifier: MIT */
#include "url.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "mem.h"

/* A part of the URL as a text of ours; NULL: it has none. */
static char *part_of(CURLU *u, CURLUPart what, unsigned flags)
{
	char *lent = NULL, *text;

	if (curl_url_get(u, what, &lent, flags) != CURLUE_OK)
		return NULL;
	text = mem_text(lent);
	curl_free(lent);
	return text;
}

static bool is_http(CURLU *u)
{
	char *scheme = part_of(u, CURLUPART_SCHEME, 0);
	bool good = scheme && (strcasecmp(scheme, "http") == 0 || strcasecmp(scheme, "https") == 0);

	free(scheme);
	return good;
}

static char *origin_of(CURLU *u)
{
	char *scheme = part_of(u, CURLUPART_SCHEME, 0), *host = part_of(u, CURLUPART_HOST, 0), *port = part_of(u, CURLUPART_PORT, CURLU_DEFAULT_PORT);
	char *origin = mem_print("%s://%s:%s", scheme, host, port);

	free(scheme);
	free(host);
	free(port);
	return origin;
}

static int take(CURLU *u, struct url *ret, const char **ret_why)
{
	if (!is_http(u)) {
		*ret_why = "only http and https are spoken";
		return -1;
	}
	ret->user = part_of(u, CURLUPART_USER, CURLU_URLDECODE);
	ret->password = part_of(u, CURLUPART_PASSWORD, CURLU_URLDECODE);
	curl_url_set(u, CURLUPART_USER, NULL, 0);
	curl_url_set(u, CURLUPART_PASSWORD, NULL, 0);
	curl_url_set(u, CURLUPART_FRAGMENT, NULL, 0);
	ret->text = part_of(u, CURLUPART_URL, 0);
	ret->origin = origin_of(u);
	ret->shown = url_shown(ret->text);
	return 0;
}

static int read_from(const char *base, const char *text, struct url *ret, const char **ret_why)
{
	CURLU *u = curl_url();
	CURLUcode bad = CURLUE_OK;
	int rc = -1;

	if (u && base)
		bad = curl_url_set(u, CURLUPART_URL, base, CURLU_PATH_AS_IS);
	if (u && !bad)
		bad = curl_url_set(u, CURLUPART_URL, text, CURLU_NON_SUPPORT_SCHEME | (base ? CURLU_URLENCODE : CURLU_PATH_AS_IS));
	if (!u || bad)
		*ret_why = "it is not a URL";
	else
		rc = take(u, ret, ret_why);
	curl_url_cleanup(u);
	return rc;
}

int url_read(const char *text, struct url *ret, const char **ret_why)
{
	return read_from(NULL, text, ret, ret_why);
}

int url_follow(const struct url *from, const char *location, struct url *ret, const char **ret_why)
{
	struct url to = { 0 };

	if (read_from(from->text, location, &to, ret_why) != 0)
		return -1;
	mem_replace(&to.user, NULL);
	mem_replace(&to.password, NULL);
	*ret = to;
	return 0;
}

bool url_same_origin(const struct url *a, const struct url *b)
{
	return strcasecmp(a->origin, b->origin) == 0;
}

void url_copy(const struct url *from, struct url *ret)
{
	*ret = (struct url){
		.text = mem_text(from->text), .shown = mem_text(from->shown), .origin = mem_text(from->origin), .user = mem_text(from->user),
		.password = mem_text(from->password),
	};
}

void url_done(struct url *u)
{
	free(u->text);
	free(u->shown);
	free(u->origin);
	free(u->user);
	free(u->password);
	*u = (struct url){ 0 };
}

char *url_shown(const char *text)
{
	const char *authority = strstr(text, "://"), *at;
	size_t len = strcspn(text, "?#");

	if (!authority || (size_t)(authority - text) > len)
		return mem_part(text, len);
	authority += 3;
	at = memrchr(authority, '@', strcspn(authority, "/?#"));
	if (!at)
		return mem_part(text, len);
	return mem_print("%.*s%.*s", (int)(authority - text), text, (int)(len - (size_t)(at + 1 - text)), at + 1);
}
