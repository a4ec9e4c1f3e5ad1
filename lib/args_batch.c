/* SPDX-License-Identifier: MIT */
/* Batches: whether one more item fits. Sums only; who holds the items is the caller's business. */
#include "jobtree_args.h"
#include "tree.h"

void jt_batch_init(struct jt_batch *b, const struct jt_batch_limits *limits)
{
	*b = (struct jt_batch){ .limits = *limits };
}

void jt_batch_reset(struct jt_batch *b)
{
	b->n = b->bytes = b->cost = 0;
}

/* The batch as it would be with one more item. */
static struct jt_batch with(const struct jt_batch *b, const struct jt_template *t, size_t len)
{
	struct jt_batch w = *b;
	if (!b->limits.joined) {
		w.bytes += jt_arg_cost(len);
		w.cost += t ? jt_template_item_cost(t, len) : jt_arg_cost(len);
	} else {
		w.bytes += len + (b->n > 0 ? b->limits.join : 0);
		w.cost = t ? jt_template_item_cost(t, w.bytes) : jt_arg_cost(w.bytes);
	}
	w.n++;
	return w;
}

/* And with one more tuple; NULL: of empty items. Joined, its pointers count as often as there are tuples: a little too much. */
static struct jt_batch with_tuple(const struct jt_batch *b, const struct jt_template *t, const size_t *len)
{
	const struct jt_batch_limits *l = &b->limits;
	struct jt_batch w = *b;
	for (uint32_t i = 0; i < l->columns; i++) {
		size_t n = (len ? len[i] : 0) + (l->joined && b->n > 0 ? l->join : 0);
		w.bytes += l->joined ? n : jt_arg_cost(n);
		w.cost += t ? jt_template_column_cost(t, i + 1, n) : jt_arg_cost(n);
	}
	w.n++;
	return w;
}

static bool within(const struct jt_batch *b, size_t len)
{
	const struct jt_batch_limits *l = &b->limits;
	size_t longest = l->joined ? b->bytes : len;
	return (l->items == 0 || b->n <= l->items) && (l->bytes == 0 || b->bytes <= l->bytes) && (l->budget == 0 || b->cost <= l->budget) &&
	       (l->string == 0 || longest <= l->string);
}

/* with, alone: the batch with what is offered, and that alone. */
static enum jt_batch_verdict judge(struct jt_batch *b, const struct jt_batch *with, const struct jt_batch *alone, size_t longest)
{
	if (within(with, longest)) {
		*b = *with;
		return JT_BATCH_TAKEN;
	}
	return within(alone, longest) ? JT_BATCH_FULL : JT_BATCH_TOO_LONG;
}

enum jt_batch_verdict jt_batch_offer(struct jt_batch *b, const struct jt_template *t, size_t len)
{
	struct jt_batch empty, more = with(b, t, len), alone;
	jt_batch_init(&empty, &b->limits);
	alone = with(&empty, t, len);
	return judge(b, &more, &alone, len);
}

enum jt_batch_verdict jt_batch_offer_tuple(struct jt_batch *b, const struct jt_template *t, const size_t *len)
{
	struct jt_batch empty, more = with_tuple(b, t, len), alone;
	size_t longest = 0;
	for (uint32_t i = 0; i < b->limits.columns; i++)
		longest = len[i] > longest ? len[i] : longest;
	jt_batch_init(&empty, &b->limits);
	alone = with_tuple(&empty, t, len);
	return judge(b, &more, &alone, longest);
}

bool jt_batch_is_full(const struct jt_batch *b, const struct jt_template *t)
{
	struct jt_batch w = b->limits.columns ? with_tuple(b, t, NULL) : with(b, t, 0);
	return b->n > 0 && !within(&w, 0);
}

size_t jt_batch_share(size_t n, uint32_t slots)
{
	return slots > 0 ? n / slots + (n % slots > 0) : n;
}
