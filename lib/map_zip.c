/* SPDX-License-Identifier: MIT */
/* Several sources as one of tuples. A tuple under construction survives -EAGAIN: `at` is the source that it waits for. */
#include <errno.h>

#include "map.h"
#include "tree.h"

struct zip {
	enum jt_zip how;
	struct jt_item fill;
	struct jt_item *tuple;            /* under construction; NULL between two */
	size_t n, at, n_ended, n_filled;  /* filled: ended, of those before `at` in this tuple */
	struct part {
		struct jt_source source;
		bool ended;
	} part[];
};

/* Its length stands before it, for release knows only the data. */
struct tuple {
	size_t n;
	struct jt_item item[];
};

void jti_tuple_free(void *data)
{
	if (!data)
		return;
	struct tuple *t = (struct tuple *)((char *)data - offsetof(struct tuple, item));
	for (size_t i = 0; i < t->n; i++)
		jt_item_done(&t->item[i]);
	free(t);
}

struct jt_item *jti_tuple_new(size_t n)
{
	struct tuple *t = calloc(1, sizeof(*t) + n * sizeof(t->item[0]));
	if (!t)
		return NULL;
	t->n = n;
	return t->item;
}

static void drop(struct zip *z)
{
	jti_tuple_free(z->tuple);
	z->tuple = NULL;
	z->at = z->n_filled = 0;
}

/* The item of source `at`, or what stands for it: 1; 0: there is none and none can stand for it. */
static int fetch(struct zip *z)
{
	struct part *p = &z->part[z->at];
	int r = p->ended ? 0 : p->source.next(p->source.arg, &z->tuple[z->at]);
	if (r != 0)
		return r;
	z->n_ended += !p->ended;
	p->ended = true;
	z->n_filled++;
	if (z->how == JT_ZIP_SHORT)
		return 0;
	if (z->how == JT_ZIP_FILL)
		z->tuple[z->at] = (struct jt_item){ z->fill.data, z->fill.len, NULL };
	return 1;
}

/* All sources were asked for this tuple. */
static int complete(struct zip *z, struct jt_item *ret)
{
	if (z->n_filled == z->n) {
		drop(z);
		return 0;
	}
	if (z->how == JT_ZIP_STRICT && z->n_filled > 0) {
		drop(z);
		return -ENODATA;
	}
	*ret = (struct jt_item){ z->tuple, z->n, jti_tuple_free };
	z->tuple = NULL;
	z->at = z->n_filled = 0;
	return 1;
}

static int zip_next(void *arg, struct jt_item *ret)
{
	struct zip *z = arg;
	if (!z->tuple && !(z->tuple = jti_tuple_new(z->n)))
		return -ENOMEM;
	for (; z->at < z->n; z->at++) {
		int r = fetch(z);
		if (r == -EAGAIN)
			return r;
		if (r <= 0) {
			drop(z);
			return r;
		}
	}
	return complete(z, ret);
}

static int zip_fd(void *arg)
{
	struct zip *z = arg;
	struct jt_source *s = &z->part[z->at].source;
	return s->fd ? s->fd(s->arg) : -1;
}

static void close_all(const struct jt_source *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (s[i].close)
			s[i].close(s[i].arg);
}

static void zip_close(void *arg)
{
	struct zip *z = arg;
	drop(z);
	for (size_t i = 0; i < z->n; i++)
		close_all(&z->part[i].source, 1);
	free(z);
}

int jt_zip(const struct jt_source *sources, size_t n, enum jt_zip how, const struct jt_item *fill, struct jt_source *ret, struct jt_error *err)
{
	struct zip *z = NULL;
	int r = 0;
	if (n == 0)
		r = jti_fail(err, JT_EINVAL, JT_NONE, "zip: no source");
	else if (fill && how != JT_ZIP_FILL)
		r = jti_fail(err, JT_EINVAL, JT_NONE, "zip: an item to fill with needs JT_ZIP_FILL");
	else if (!(z = calloc(1, sizeof(*z) + n * sizeof(z->part[0]))))
		r = jti_fail(err, JT_ENOMEM, JT_NONE, "out of memory for a zip of %zu sources", n);
	if (r < 0) {
		close_all(sources, n);
		return -1;
	}
	z->how = how;
	z->n = n;
	if (fill)
		z->fill = *fill;
	for (size_t i = 0; i < n; i++)
		z->part[i].source = sources[i];
	*ret = (struct jt_source){ zip_next, zip_fd, zip_close, z };
	return 0;
}
