/* SPDX-License-Identifier: MIT */
#include "escape.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

size_t utf8_len(const char *str, size_t n, unsigned *ret_cp)
{
	const unsigned char *s = (const unsigned char *)str;
	unsigned cp, min;
	size_t len;

	if (n == 0)
		return 0;
	if (s[0] < 0x80) {
		*ret_cp = s[0];
		return 1;
	}
	if (s[0] < 0xc2 || s[0] > 0xf4)
		return 0;
	len = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
	min = len == 2 ? 0x80 : len == 3 ? 0x800 : 0x10000;
	if (n < len)
		return 0;
	cp = s[0] & (0x7fu >> len);
	for (size_t i = 1; i < len; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		cp = cp << 6 | (s[i] & 0x3fu);
	}
	if (cp < min || cp > 0x10ffff || (cp >= 0xd800 && cp < 0xe000))
		return 0;
	*ret_cp = cp;
	return len;
}

size_t utf8_bad(const char *s, size_t n)
{
	size_t i = 0, len;
	unsigned cp;

	while (i < n) {
		uint64_t word;

		if (n - i >= sizeof(word)) {
			memcpy(&word, s + i, sizeof(word));
			if (!(word & 0x8080808080808080u)) {
				i += sizeof(word);
				continue;
			}
		}
		len = utf8_len(s + i, n - i, &cp);
		if (len == 0)
			return i;
		i += len;
	}
	return n;
}

/* Whether the n bytes at s are the beginning of a character of more. */
static int is_begun(const char *str, size_t n)
{
	const unsigned char *s = (const unsigned char *)str;
	size_t len = s[0] < 0xc2 || s[0] > 0xf4 ? 1 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;

	for (size_t i = 1; i < n && i < len; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	return n < len;
}

/* What was begun, and of s what completes it or shows that nothing can. Returns how many bytes of s that took. */
static size_t complete(struct utf8_stream *u, const char *s, size_t n)
{
	size_t used = 0;

	while (u->n_begun > 0 && used < n) {
		unsigned cp;

		u->begun[u->n_begun++] = s[used++];
		if (utf8_len(u->begun, u->n_begun, &cp) == 0) {
			if (is_begun(u->begun, u->n_begun))
				continue;
			u->is_bad = true;
		}
		u->n_begun = 0;
	}
	return used;
}

void utf8_feed(struct utf8_stream *u, const char *s, size_t n)
{
	size_t at = complete(u, s, n), good;

	if (u->is_bad || at == n)
		return;
	good = at + utf8_bad(s + at, n - at);
	if (good == n)
		return;
	u->is_bad = !is_begun(s + good, n - good);
	if (!u->is_bad)
		memcpy(u->begun, s + good, u->n_begun = n - good);
}

bool utf8_is_text(const struct utf8_stream *u)
{
	return !u->is_bad && u->n_begun == 0;
}

/* Characters that are well formed and yet must not reach a terminal as they are. */
static int is_unsafe(unsigned cp)
{
	static const struct { unsigned first, last; } ranges[] = {
		{ 0x00, 0x1f }, { 0x7f, 0x9f },         /* C0, DEL, C1 */
		{ 0x061c, 0x061c },                     /* Arabic letter mark */
		{ 0x200b, 0x200f },                     /* zero width, LRM, RLM */
		{ 0x2028, 0x202e },                     /* separators, embeddings, overrides */
		{ 0x2060, 0x206f },                     /* invisible operators, isolates */
		{ 0xfeff, 0xfeff }, { 0xfff9, 0xfffb }, /* BOM, interlinear */
		{ 0xe0000, 0xe007f },                   /* tags */
	};

	for (size_t i = 0; i < sizeof(ranges) / sizeof(*ranges); i++)
		if (cp >= ranges[i].first && cp <= ranges[i].last)
			return 1;
	return 0;
}

static void escape_control(struct buf *out, unsigned cp)
{
	switch (cp) {
	case '\n': buf_puts(out, "\\n"); break;
	case '\t': buf_puts(out, "\\t"); break;
	case '\r': buf_puts(out, "\\r"); break;
	default:
		if (cp < 0x80)
			buf_printf(out, "\\x%02x", cp);
		else
			buf_printf(out, "\\u{%x}", cp);
	}
}

void escape_human(struct buf *out, const char *s, size_t n)
{
	for (size_t i = 0, len; i < n; i += len) {
		unsigned cp;

		len = utf8_len(s + i, n - i, &cp);
		if (len == 0) {
			buf_printf(out, "\\x%02x", (unsigned char)s[i]);
			len = 1;
		} else if (cp == '\\') {
			buf_puts(out, "\\\\");
		} else if (is_unsafe(cp)) {
			escape_control(out, cp);
		} else {
			buf_add(out, s + i, len);
		}
	}
}

size_t escape_output(struct buf *out, const char *s, size_t n)
{
	size_t i = 0, len;

	for (; i < n; i += len) {
		unsigned cp;

		len = utf8_len(s + i, n - i, &cp);
		if (len == 0 && is_begun(s + i, n - i))
			break;
		if (len && (cp == '\n' || cp == '\t' || cp == '\\'))
			buf_putc(out, s[i]);
		else
			escape_human(out, s + i, len ? len : 1);
		len = len ? len : 1;
	}
	return i;
}

char *escape_new(const char *s)
{
	struct buf b = { 0 };

	escape_human(&b, s, strlen(s));
	(void)buf_text(&b);
	return b.p;
}

/* 0: as it is; 'u': \u00XX; else the letter after the backslash. */
static const char json_escape[256] = {
	[0] = 'u', [1] = 'u', [2] = 'u', [3] = 'u', [4] = 'u', [5] = 'u', [6] = 'u', [7] = 'u', ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n',
	[11] = 'u', ['\f'] = 'f', ['\r'] = 'r', [14] = 'u', [15] = 'u', [16] = 'u', [17] = 'u', [18] = 'u', [19] = 'u', [20] = 'u',
	[21] = 'u', [22] = 'u', [23] = 'u', [24] = 'u', [25] = 'u', [26] = 'u', [27] = 'u', [28] = 'u', [29] = 'u', [30] = 'u', [31] = 'u',
	['"'] = '"', ['\\'] = '\\',
};

void escape_json_part(struct buf *out, const char *s, size_t n)
{
	static const char hex[] = "0123456789abcdef";
	char *p;

	buf_reserve(out, 6 * n);
	p = out->p + out->len;
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)s[i];
		char e = json_escape[c];

		if (!e) {
			*p++ = (char)c;
			continue;
		}
		*p++ = '\\';
		*p++ = e;
		if (e == 'u') {
			memcpy(p, "00", 2);
			p[2] = hex[c >> 4];
			p[3] = hex[c & 15];
			p += 4;
		}
	}
	out->len = (size_t)(p - out->p);
}

void escape_json(struct buf *out, const char *s, size_t n)
{
	buf_reserve(out, n + 2);
	buf_putc(out, '"');
	escape_json_part(out, s, n);
	buf_putc(out, '"');
}
