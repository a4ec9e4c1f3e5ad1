/* SPDX-License-Identifier: MIT */
#include "tree_order.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "escape.h"

static unsigned weight(char c)
{
	return c == '\0' ? 0 : c == '/' ? 1 : (unsigned)(unsigned char)c + 1;
}

int tree_order_cmp(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	return (int)weight(*a) - (int)weight(*b);
}

/* Bytes of the leading components that two paths share; the end of one of them counts as the end of a component. */
static size_t shared(const char *a, const char *b)
{
	size_t i = 0, last = 0;

	for (; a[i] && a[i] == b[i]; i++)
		if (a[i] == '/')
			last = i + 1;
	if ((!a[i] || a[i] == '/') && (!b[i] || b[i] == '/'))
		last = i;
	return last;
}

static size_t depth_of(const char *path, size_t len)
{
	size_t depth = 0;

	for (size_t i = 0; i < len; i++)
		depth += path[i] == '/';
	return depth;
}

struct drawing {
	const char *const *paths;
	size_t n;
	FILE *out;
	bool *last;             /* of each depth: the component that is being drawn there is the last of its siblings */
	size_t cap;
};

static size_t component_end(const char *path, size_t start)
{
	return start + strcspn(path + start, "/");
}

/* The first index from i on whose path does not lie in (or at) the directory path[0..end). */
static size_t leaves(const struct drawing *d, size_t i, size_t end)
{
	size_t lo = i, hi = d->n;
	const char *dir = d->paths[i];

	while (lo < hi) {               /* all that share the prefix stand together */
		size_t mid = lo + (hi - lo) / 2;
		const char *p = d->paths[mid];
		bool inside = strncmp(p, dir, end) == 0 && (p[end] == '/' || p[end] == '\0');

		if (inside)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static void draw_line(struct drawing *d, const char *path, size_t start, size_t end, size_t depth)
{
	struct buf name = { 0 };

	for (size_t i = 0; i < depth; i++)
		fputs(d->last[i] ? "   " : "│  ", d->out);
	fputs(d->last[depth] ? "└─ " : "├─ ", d->out);
	escape_human(&name, path + start, end - start);
	if (name.len)
		fwrite(name.p, 1, name.len, d->out);
	buf_done(&name);
}

static void reserve(struct drawing *d, size_t depth)
{
	if (depth < d->cap)
		return;
	d->cap = depth + 64;
	d->last = xrealloc(d->last, d->cap, sizeof(*d->last));
}

/* The component at `start` is the last of its siblings if the paths of its parent end where its own do. */
static bool is_last(const struct drawing *d, size_t i, size_t start, size_t end)
{
	size_t own = leaves(d, i, end);

	return own == d->n || (start > 0 && own == leaves(d, i, start - 1));
}

static void draw_path(struct drawing *d, size_t i, void (*leaf)(void *arg, size_t i, FILE *out), void *arg)
{
	const char *path = d->paths[i];
	size_t start = i ? shared(d->paths[i - 1], path) : 0, depth;

	if (path[start] == '/')
		start++;
	depth = depth_of(path, start);
	for (;; depth++) {
		size_t end = component_end(path, start);

		reserve(d, depth);
		d->last[depth] = is_last(d, i, start, end);
		draw_line(d, path, start, end, depth);
		if (!path[end])
			break;
		fputs("/\n", d->out);
		start = end + 1;
	}
	leaf(arg, i, d->out);
	fputc('\n', d->out);
}

void tree_draw(const char *const *paths, size_t n, FILE *out, void (*leaf)(void *arg, size_t i, FILE *out), void *arg)
{
	struct drawing d = { .paths = paths, .n = n, .out = out };

	for (size_t i = 0; i < n; i++)
		draw_path(&d, i, leaf, arg);
	free(d.last);
}
