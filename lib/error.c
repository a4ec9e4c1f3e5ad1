/* SPDX-License-Identifier: MIT */
/* Error texts, and the list of changes that calls hand out. */
#include <stdarg.h>
#include <stdio.h>

#include "tree.h"

static const char *const code_names[] = {
	[JT_OK] = "ok",         [JT_EINVAL] = "invalid",  [JT_EEXIST] = "exists",  [JT_ENOENT] = "not-found",
	[JT_ECYCLE] = "cycle",  [JT_ESTATE] = "state",    [JT_ELIMIT] = "limit",   [JT_ENOMEM] = "no-memory",
};

const char *jt_code_name(enum jt_code code)
{
	return (size_t)code < sizeof(code_names) / sizeof(*code_names) ? code_names[code] : "unknown";
}

int jti_fail(struct jt_error *err, enum jt_code code, uint32_t job, const char *fmt, ...)
{
	if (!err)
		return -1;
	va_list ap;
	va_start(ap, fmt);
	err->code = code;
	err->job = job;
	if (vsnprintf(err->text, sizeof(err->text), fmt, ap) < 0)
		err->text[0] = 0;
	va_end(ap);
	return -1;
}

static bool continues(char c)
{
	return ((unsigned char)c & 0xc0) == 0x80;
}

const char *jti_shown(char buf[SHOWN], const char *path, size_t len)
{
	const size_t half = (SHOWN - 8) / 2;
	size_t o = 0;
	bool cut = len > 2 * half;
	size_t head = cut ? half : len, tail = cut ? len - half : len;
	while (cut && head > 0 && continues(path[head]))
		head--;
	while (cut && tail < len && continues(path[tail]))
		tail++;
	for (size_t i = 0; i < len; i++) {
		if (cut && i == head) {
			memcpy(buf + o, "...", 3);
			o += 3;
			i = tail;
		}
		if (i < len)
			buf[o++] = (unsigned char)path[i] < 0x20 || path[i] == 0x7f ? '?' : path[i];
	}
	buf[o] = 0;
	return buf;
}

int jti_changes_reserve(struct jt_changes *c, size_t n)
{
	return jti_room(&c->v, &c->cap, c->n + n, sizeof(*c->v));
}

void jt_changes_done(struct jt_changes *c)
{
	if (!c)
		return;
	free(c->v);
	*c = (struct jt_changes){0};
}

/* change - tell of the state that node has come to. Room was made before the call's first effect. */
void jti_change(struct jt_sched *s, uint32_t node)
{
	const struct node *x = &s->node[node];
	if (s->out)
		s->out->v[s->out->n++] = (struct jt_change){ x->job, x->state, x->reason, x->cause };
}
