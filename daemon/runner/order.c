/* SPDX-License-Identifier: MIT */
/* Order: see order.h. */
#include "order.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_PATH "/usr/local/bin:/usr/bin:/bin"     /* for a job without PATH in its environment */

static void close_all(int fds[RM_FDS_MAX])
{
	for (int i = 0; i < RM_FDS_MAX; i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

/* The value of a name in a block of n strings; NULL: not there. */
static const char *block_find(const char *block, uint32_t n, const char *name_and_equals)
{
	size_t len = strlen(name_and_equals);

	for (; n; n--, block += strlen(block) + 1)
		if (!strncmp(block, name_and_equals, len))
			return block + len;
	return NULL;
}

static const char *search_path(const struct rm_start *st)
{
	const char *path = block_find(st->envp, st->envc, "PATH=");

	return path ? path : DEFAULT_PATH;
}

static size_t n_parts(const char *path)
{
	size_t n = 1;

	for (; *path; path++)
		n += *path == ':';
	return n;
}

/* An upper bound; a name with a slash is its own only candidate. */
static size_t candidates_size(const struct rm_start *st)
{
	const char *path;

	if (strchr(st->argv, '/'))
		return strlen(st->argv) + 2;
	path = search_path(st);
	return strlen(path) + n_parts(path) * (strlen(st->argv) + 3) + 1;
}

/* As execvp(3): each part of PATH in turn, an empty part is the working directory. An empty command has no candidate. */
static char *write_candidates(char *to, const struct rm_start *st)
{
	const char *name = st->argv, *part, *end;

	if (strchr(name, '/')) {
		to = stpcpy(to, name) + 1;
		*to++ = '\0';
		return to;
	}
	for (part = search_path(st); *name; part = end + 1) {
		end = strchrnul(part, ':');
		to = mempcpy(to, part, (size_t)(end - part));
		to = stpcpy(to, end == part ? "./" : "/");
		to = stpcpy(to, name) + 1;
		if (!*end)
			break;
	}
	*to++ = '\0';
	return to;
}

static char *copy_text(char *to, const char *text, const char **ret)
{
	if (!text)
		return to;
	*ret = to;
	return stpcpy(to, text) + 1;
}

static char *copy_block(char *to, const char *block, size_t len, uint32_t n, char **ret_vector)
{
	char *s = to;

	if (len)
		memcpy(to, block, len);
	for (uint32_t i = 0; i < n; i++, s += strlen(s) + 1)
		ret_vector[i] = s;
	ret_vector[n] = NULL;
	return to + len;
}

static size_t text_size(const char *s)
{
	return s ? strlen(s) + 1 : 0;
}

static void add_token(struct order *o, uint32_t envc, char *at, const char *token)
{
	o->envp[envc] = memcpy(at, token, strlen(token) + 1);
	o->envp[envc + 1] = NULL;
}

struct order *order_new(const struct rm_start *st, const char *token)
{
	size_t vectors = ((size_t)st->argc + 1 + st->envc + 2) * sizeof(char *);
	size_t texts = st->argv_len + st->envp_len + candidates_size(st) + text_size(st->cwd) + text_size(st->stdin_file)
		+ text_size(st->user) + text_size(st->group) + text_size(token);
	struct order *o = malloc(sizeof(*o) + vectors + texts);
	char *at;

	if (!o) {
		int fds[RM_FDS_MAX];

		memcpy(fds, st->fds, sizeof(fds));
		close_all(fds);
		return NULL;
	}
	*o = (struct order){.timeout_ms = st->timeout_ms, .umask = st->umask, .nice = st->nice, .stdin_kind = st->stdin_kind};
	memcpy(o->fds, st->fds, sizeof(o->fds));
	o->argv = (char **)(o + 1);
	o->envp = o->argv + st->argc + 1;
	at = (char *)(o->envp + st->envc + 2);
	at = copy_block(at, st->argv, st->argv_len, st->argc, o->argv);
	at = copy_block(at, st->envp, st->envp_len, st->envc, o->envp);
	o->candidates = at;
	at = write_candidates(at, st);
	at = copy_text(at, st->cwd, &o->cwd);
	at = copy_text(at, st->stdin_file, &o->stdin_file);
	at = copy_text(at, st->user, &o->user);
	at = copy_text(at, st->group, &o->group);
	if (token)
		add_token(o, st->envc, at, token);
	return o;
}

void order_free(struct order *o)
{
	if (!o)
		return;
	close_all(o->fds);
	free(o);
}
