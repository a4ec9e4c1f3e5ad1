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

static bool within(const struct jt_batch *b, size_t len)
{
	const struct jt_batch_limits *l = &b->limits;
	size_t longest = l->joined ? b->bytes : len;
	return (l->items == 0 || b->n <= l->items) && (l->bytes == 0 || b->bytes <= l->bytes) && (l->budget == 0 || b->cost <= l->budget) &&
	       (l->string == 0 || longest <= l->string);
}

enum jt_batch_verdict jt_batch_offer(struct jt_batch *b, const struct jt_template *t, size_t len)
{
	struct jt_batch empty, w = with(b, t, len);
	if (within(&w, len)) {
		*b = w;
		return JT_BATCH_TAKEN;
	}
	jt_batch_init(&empty, &b->limits);
	w = with(&empty, t, len);
	return within(&w, len) ? JT_BATCH_FULL : JT_BATCH_TOO_LONG;
}

bool jt_batch_is_full(const struct jt_batch *b, const struct jt_template *t)
{
	struct jt_batch w = with(b, t, 0);
	return b->n > 0 && !within(&w, 0);
}

size_t jt_batch_share(size_t n, uint32_t slots)
{
	return slots > 0 ? n / slots + (n % slots > 0) : n;
}
