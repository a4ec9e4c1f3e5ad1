/* SPDX-License-Identifier: MIT */
/* The form of paths, and their order. */
#include "tree.h"

int jti_bytes_cmp(const char *a, size_t alen, const char *b, size_t blen)
{
	size_t both = alen < blen ? alen : blen;
	int c = both ? memcmp(a, b, both) : 0;  /* of nothing there may be no pointer */
	return c ? c : (alen > blen) - (alen < blen);
}

/* Length of the UTF-8 sequence at p (RFC 3629: no surrogates, nothing overlong), 0 if there is none. */
static size_t utf8_len(const unsigned char *p, size_t left)
{
	if (p[0] < 0x80)
		return 1;
	size_t n = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
	if (p[0] < 0xc2 || p[0] > 0xf4 || left < n)
		return 0;
	unsigned lo = p[0] == 0xe0 ? 0xa0 : p[0] == 0xf0 ? 0x90 : 0x80;
	unsigned hi = p[0] == 0xed ? 0x9f : p[0] == 0xf4 ? 0x8f : 0xbf;
	if (p[1] < lo || p[1] > hi)
		return 0;
	for (size_t i = 2; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	return n;
}

#define EACH(byte) (0x0101010101010101u * (byte))
#define HAS_ZERO(v) (((v) - EACH(1)) & ~(v) & EACH(0x80u))

/* The fast case of nearly all paths: eight bytes of printable ASCII at a time. Returns how many are beyond doubt. */
static size_t plain_prefix(const char *p, size_t len)
{
	size_t i = 0;
	for (uint64_t w; i + 8 <= len; i += 8) {
		memcpy(&w, p + i, 8);
		uint64_t low = (w - EACH(0x20)) & ~w;       /* a byte below 0x20 */
		if (((w | low) & EACH(0x80u)) || HAS_ZERO(w ^ EACH(0x7f)))
			break;
	}
	return i;
}

static const char *strict_fault(const char *path, size_t len)
{
	const unsigned char *p = (const unsigned char *)path;
	if (len > JT_PATH_MAX)
		return "longer than 4096 bytes";
	if (p[len - 1] == '/')
		return "trailing slash";
	for (size_t i = plain_prefix(path, len), n; i < len; i += n) {
		n = utf8_len(p + i, len - i);
		if (n == 0)
			return "not valid UTF-8";
		if (p[i] < 0x20 || p[i] == 0x7f || (p[i] == 0xc2 && p[i + 1] < 0xa0))
			return "control character";
	}
	for (const char *q = path; (q = memchr(q, '/', len - (size_t)(q - path))); q++)
		if (q[1] == '/')
			return "empty component";
	return NULL;
}

static bool last_is(const char *path, size_t len, const char *name, size_t n)
{
	return len >= n && memcmp(path + len - n, name, n) == 0 && (len == n || path[len - n - 1] == '/');
}

static bool has_component(const char *path, size_t len, const char *name, size_t n)
{
	for (const char *p = path, *end = path + len;;) {
		const char *slash = memchr(p, '/', (size_t)(end - p));
		if ((size_t)((slash ? slash : end) - p) == n && memcmp(p, name, n) == 0)
			return true;
		if (!slash)
			return false;
		p = slash + 1;
	}
}

static const char *fault(const char *path, size_t len, enum jt_names names)
{
	if (len == 0)
		return "empty path";
	if (path[0] == '/')
		return "leading slash";
	return names == JT_NAMES_STRICT ? strict_fault(path, len) : NULL;
}

int jti_path_check(const struct jt_sched *s, const char *path, size_t len, uint32_t index, struct jt_error *err)
{
	char buf[SHOWN];
	const char *what = fault(path, len, s->opts.names);
	if (what && what[0] == 'n')
		return jti_fail(err, JT_EINVAL, index, "job name of %zu bytes: %s", len, what);
	if (what)
		return jti_fail(err, JT_EINVAL, index, "job \"%s\": %s", jti_shown(buf, path, len), what);
	if (last_is(path, len, s->barrier, s->barrier_len))
		return jti_fail(err, JT_EINVAL, index, "job \"%s\": the last component is the barrier name", jti_shown(buf, path, len));
	if (s->opts.barriers == JT_NO_BARRIERS && has_component(path, len, s->barrier, s->barrier_len))
		return jti_fail(err, JT_EINVAL, index, "job \"%s\": has a barrier component, and barriers are off", jti_shown(buf, path, len));
	return 0;
}

int jt_path_check(const char *path, size_t len, const char *barrier, struct jt_error *err)
{
	char tilde[] = "~";
	struct jt_sched rules = { .barrier = barrier ? (char *)(uintptr_t)barrier : tilde };
	rules.barrier_len = strlen(rules.barrier);
	return jti_path_check(&rules, path, len, JT_NONE, err);
}
