/* SPDX-License-Identifier: MIT */
/*
 * Batches as a source: the items of another one put together.
 *
 *	source --> carried (did not fit) --> batch under construction --> full, lingered, or the end: an item of ours
 *
 * After -EAGAIN two things may be waited for, the source's descriptor and the linger: both stand in one epoll descriptor.
 */
#include <errno.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "map.h"
#include "tree.h"

struct batches {
	struct jt_source source;
	struct jt_batch_opts opts;
	char *separator;
	struct jt_batch batch;
	struct jt_item *item;             /* batch.n of them, or of tuples, one after the other */
	size_t cap, *len;                 /* len: of the parts of one tuple */
	struct jt_item carried;
	bool carries, source_over, lingers;
	int end;                          /* what the source ended with */
	uint32_t shares;                  /* slots that what is left at the end is still shared over */
	int epoll, timer, watched;        /* watched: the source's descriptor in epoll, -1: none */
};

/* ---- what is handed on ---- */

/* So many items of the array are what the source gives at once. */
static size_t width(const struct batches *b)
{
	return b->opts.limits.columns ? b->opts.limits.columns : 1;
}

static void put(char *text, size_t *at, const void *data, size_t len)
{
	if (len > 0)
		memcpy(text + *at, data, len);
	*at += len;
}

/* Of the first n, those of a column, as bytes with the separator between them. */
static int join(const struct batches *b, size_t n, size_t column, struct jt_item *ret)
{
	size_t len = 0, at = 0, sep = b->opts.limits.join, step = width(b);
	for (size_t i = 0; i < n; i++)
		len += b->item[i * step + column].len + (i > 0 ? sep : 0);
	char *text = malloc(len + 1);
	if (!text)
		return -1;
	for (size_t i = 0; i < n; i++) {
		const struct jt_item *item = &b->item[i * step + column];
		put(text, &at, b->separator, i > 0 ? sep : 0);
		put(text, &at, item->data, item->len);
	}
	*ret = (struct jt_item){ text, len, free };
	return 0;
}

/* A tuple of joined columns. */
static int join_tuples(const struct batches *b, size_t n, struct jt_item *ret)
{
	struct jt_item *tuple = jti_tuple_new(width(b));
	if (!tuple)
		return -1;
	for (size_t i = 0; i < width(b); i++)
		if (join(b, n, i, &tuple[i]) < 0) {
			jti_tuple_free(tuple);
			return -1;
		}
	*ret = (struct jt_item){ tuple, width(b), jti_tuple_free };
	return 0;
}

static int join_all(struct batches *b, size_t n, struct jt_item *ret)
{
	if ((b->opts.limits.columns ? join_tuples(b, n, ret) : join(b, n, 0, ret)) < 0)
		return -1;
	for (size_t i = 0; i < n * width(b); i++)
		jt_item_done(&b->item[i]);
	return 0;
}

static int bundle(struct batches *b, size_t n, struct jt_item *ret)
{
	struct jt_item *tuple = jti_tuple_new(n * width(b));
	if (!tuple)
		return -1;
	memcpy(tuple, b->item, n * width(b) * sizeof(*tuple));
	*ret = (struct jt_item){ tuple, n * width(b), jti_tuple_free };
	return 0;
}

/* A timer that nobody waits for would be readable for ever once it is over. */
static void stop_linger(struct batches *b)
{
	static const struct itimerspec never;
	if (b->lingers)
		timerfd_settime(b->timer, 0, &never, NULL);
	b->lingers = false;
}

/* What stays behind was counted when it came in; only n matters for it: nothing is added to it any more. */
static int hand_on(struct batches *b, size_t n, struct jt_item *ret)
{
	if ((b->opts.limits.joined ? join_all(b, n, ret) : bundle(b, n, ret)) < 0)
		return -ENOMEM;
	size_t left = b->batch.n - n;
	memmove(b->item, b->item + n * width(b), left * width(b) * sizeof(*b->item));
	jt_batch_reset(&b->batch);
	b->batch.n = left;
	stop_linger(b);
	return 1;
}

static int hand_on_all(struct batches *b, struct jt_item *ret)
{
	return hand_on(b, b->batch.n, ret);
}

static int at_the_end(struct batches *b, struct jt_item *ret)
{
	if (b->batch.n == 0)
		return b->end;
	size_t n = b->shares > 0 ? jt_batch_share(b->batch.n, b->shares--) : b->batch.n;
	return hand_on(b, n, ret);
}

/* ---- what comes in ---- */

/* The parts of a tuple move over; its shell goes. */
static int append(struct batches *b, struct jt_item item)
{
	size_t n = width(b);
	if (jti_room(&b->item, &b->cap, b->batch.n * n, sizeof(*b->item)) < 0)
		return -ENOMEM;
	struct jt_item *place = &b->item[(b->batch.n - 1) * n];
	if (b->opts.limits.columns == 0) {
		*place = item;
		return 0;
	}
	memcpy(place, item.data, n * sizeof(*place));
	memset(item.data, 0, n * sizeof(*place));
	jt_item_done(&item);
	return 0;
}

static enum jt_batch_verdict offer(struct batches *b, const struct jt_item *item)
{
	if (b->opts.limits.columns == 0)
		return jt_batch_offer(&b->batch, b->opts.template, item->len);
	const struct jt_item *part = item->data;
	for (size_t i = 0; i < width(b); i++)
		b->len[i] = part[i].len;
	return jt_batch_offer_tuple(&b->batch, b->opts.template, b->len);
}

/* Takes the item. 1: *ret is a batch; 0: go on. */
static int take(struct batches *b, struct jt_item item, struct jt_item *ret)
{
	enum jt_batch_verdict v = offer(b, &item);
	if (v != JT_BATCH_TAKEN && b->batch.n > 0) {
		b->carried = item;
		b->carries = true;
		return hand_on_all(b, ret);
	}
	if (v != JT_BATCH_TAKEN)
		b->batch.n = 1;           /* too long for any: alone, and exec says what it thinks of it */
	if (append(b, item) < 0) {
		b->batch.n--;
		jt_item_done(&item);
		return -ENOMEM;
	}
	stop_linger(b);
	return v != JT_BATCH_TAKEN || jt_batch_is_full(&b->batch, b->opts.template) ? hand_on_all(b, ret) : 0;
}

/* ---- the linger ---- */

static bool linger_is_over(const struct batches *b)
{
	uint64_t count;
	return b->lingers && read(b->timer, &count, sizeof(count)) == sizeof(count);
}

/* From the last item that came. */
static void start_linger(struct batches *b)
{
	struct itimerspec t = { .it_value = { b->opts.linger_ns / 1000000000, b->opts.linger_ns % 1000000000 } };
	if (b->opts.linger_ns == 0 || b->batch.n == 0 || b->lingers)
		return;
	timerfd_settime(b->timer, 0, &t, NULL);
	b->lingers = true;
}

static int batches_next(void *arg, struct jt_item *ret)
{
	struct batches *b = arg;
	int r = 0;
	while (!b->source_over && r == 0) {
		struct jt_item item = { 0 };
		int got = 1;
		if (b->carries)
			item = b->carried;
		else
			got = b->source.next(b->source.arg, &item);
		b->carries = false;
		if (got == -EAGAIN && linger_is_over(b))
			return hand_on_all(b, ret);
		if (got == -EAGAIN) {
			start_linger(b);
			return -EAGAIN;
		}
		if (got > 0)
			r = take(b, item, ret);
		b->source_over = got <= 0;
		b->end = got <= 0 ? got : 0;
	}
	return r != 0 ? r : at_the_end(b, ret);
}

static int batches_fd(void *arg)
{
	struct batches *b = arg;
	int fd = b->source.fd ? b->source.fd(b->source.arg) : -1;
	if (b->epoll < 0 || fd < 0)
		return fd;
	if (fd != b->watched) {
		struct epoll_event ev = { .events = EPOLLIN };
		if (b->watched >= 0)
			epoll_ctl(b->epoll, EPOLL_CTL_DEL, b->watched, NULL);
		b->watched = epoll_ctl(b->epoll, EPOLL_CTL_ADD, fd, &ev) == 0 ? fd : -1;
	}
	return b->watched >= 0 ? b->epoll : fd;
}

/* ---- life ---- */

static void batches_close(void *arg)
{
	struct batches *b = arg;
	for (size_t i = 0; i < b->batch.n * width(b); i++)
		jt_item_done(&b->item[i]);
	if (b->carries)
		jt_item_done(&b->carried);
	if (b->source.close)
		b->source.close(b->source.arg);
	if (b->epoll >= 0)
		close(b->epoll);
	if (b->timer >= 0)
		close(b->timer);
	free(b->item);
	free(b->len);
	free(b->separator);
	free(b);
}

static int open_linger(struct batches *b)
{
	struct epoll_event ev = { .events = EPOLLIN };
	if (b->opts.linger_ns == 0)
		return 0;
	b->epoll = epoll_create1(EPOLL_CLOEXEC);
	b->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	return b->epoll >= 0 && b->timer >= 0 && epoll_ctl(b->epoll, EPOLL_CTL_ADD, b->timer, &ev) == 0 ? 0 : -1;
}

static int take_memory(struct batches *b)
{
	size_t join = b->opts.limits.joined ? b->opts.limits.join : 0;
	b->separator = malloc(join + 1);
	b->len = calloc(width(b), sizeof(*b->len));
	if (!b->separator || !b->len)
		return -1;
	if (join > 0)
		memcpy(b->separator, b->opts.separator, join);
	return 0;
}

int jt_batches(const struct jt_source *source, const struct jt_batch_opts *opts, struct jt_source *ret, struct jt_error *err)
{
	struct batches *b = calloc(1, sizeof(*b));
	if (!b) {
		if (source->close)
			source->close(source->arg);
		return jti_fail(err, JT_ENOMEM, JT_NONE, "out of memory for batches");
	}
	*b = (struct batches){ .source = *source, .opts = *opts, .shares = opts->spread, .epoll = -1, .timer = -1, .watched = -1 };
	jt_batch_init(&b->batch, &opts->limits);
	bool has_memory = take_memory(b) == 0;
	if (has_memory && open_linger(b) == 0) {
		*ret = (struct jt_source){ batches_next, batches_fd, batches_close, b };
		return 0;
	}
	jti_fail(err, has_memory ? JT_ELIMIT : JT_ENOMEM, JT_NONE, "batches: out of memory or descriptors");
	batches_close(b);
	return -1;
}
