/* SPDX-License-Identifier: MIT */
/* URL - where a request goes, what of it may be shown, and whether two are of one origin. Only http and https. */
#ifndef FETCH_URL_H
#define FETCH_URL_H

#include <stdbool.h>

struct url {
	char *text;             /* what is requested: without user, password and fragment */
	char *shown;            /* without the query, too: that of a signed URL is a secret */
	char *origin;           /* scheme://host:port */
	char *user, *password;  /* decoded; NULL: none */
};

/* url_read - 0, or -1: not a URL, or of another scheme; *ret_why says so, a constant. */
int url_read(const char *text, struct url *ret, const char **ret_why);

/* url_follow - where a Location leads from here; what it says about users is dropped. 0, or -1 as above. */
int url_follow(const struct url *from, const char *location, struct url *ret, const char **ret_why);

bool url_same_origin(const struct url *a, const struct url *b);
void url_copy(const struct url *from, struct url *ret);
void url_done(struct url *u);

/* url_shown - any text as it may be shown: without user, password, query and fragment. The caller frees. */
char *url_shown(const char *text);

#endif
