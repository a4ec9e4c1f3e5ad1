/* SPDX-License-Identifier: MIT */
#include "map/meter.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "buf.h"
#include "times.h"

#define BAR_WIDTH 30

struct numbers {
	uint64_t read, admitted, running, finished, delivered, failed, retried, held_max;
	uint64_t lost;                  /* failed before the last stage, which they never come to */
	int64_t total;                  /* -1: not known */
	int percent;
	double eta_s;                   /* < 0: not known */
};

/* A file that has grown since it was counted has more than that. */
static int64_t total_of(const struct map_loop *l, uint64_t admitted)
{
	if (l->set->total >= 0)
		return l->set->total;
	return l->count.total >= 0 && admitted <= (uint64_t)l->count.total ? l->count.total : -1;
}

/* Finished is what counts for the time that is left, delivered for how far it is. */
static void estimate(struct numbers *n, int64_t began_ns, uint64_t known)
{
	uint64_t total = n->total > 0 ? (uint64_t)n->total : 0, done = n->finished + n->lost, left = total > done ? total - done : 0;
	double seconds = (double)(loop_now_ns() - began_ns) / 1e9;

	n->percent = n->delivered + n->lost < total ? (int)((n->delivered + n->lost) * 100 / total) : 100;
	n->eta_s = left == 0 ? 0 : done > known ? seconds * (double)left / (double)(done - known) : -1;
}

/* Read and admitted speak of the first stage, finished and delivered of the last; the rest of all. */
static struct numbers look(const struct map_loop *l, int64_t began_ns)
{
	const struct stage *first = &l->stage[0], *last = &l->stage[l->set->n_stages - 1];
	struct numbers n = {
		.read = first->window.c.admitted, .admitted = first->window.c.admitted, .finished = last->n.finished, .delivered = last->n.delivered,
	};
	uint64_t known = 0;

	for (const struct stage *s = first; s <= last; s++) {
		n.running += s->n.running < s->set->slots ? s->n.running : s->set->slots;      /* the daemon has more than run */
		n.failed += s->n.failed;
		n.lost += s < last ? s->n.failed : 0;
		known += s->n.known;
		n.retried += s->n.retried;
		n.held_max += s->window.c.held_max;
	}
	n.total = total_of(l, n.admitted);
	estimate(&n, began_ns, known);
	return n;
}

static void add_json(struct buf *b, const struct numbers *n)
{
	buf_printf(b, "{\"read\":%" PRIu64 ",\"admitted\":%" PRIu64 ",\"running\":%" PRIu64 ",\"finished\":%" PRIu64 ",\"delivered\":%" PRIu64
		   ",\"failed\":%" PRIu64, n->read, n->admitted, n->running, n->finished, n->delivered, n->failed);
}

/* What follows from the total. */
static void add_json_total(struct buf *b, const struct numbers *n)
{
	if (n->total < 0)
		return;
	buf_printf(b, ",\"total\":%" PRId64 ",\"percent\":%d", n->total, n->percent);
	if (n->eta_s >= 0)
		buf_printf(b, ",\"eta_s\":%.3f", n->eta_s);
}

static void add_plain(struct buf *b, const struct numbers *n)
{
	char eta[64];

	buf_printf(b, "%" PRIu64, n->delivered);
	if (n->total >= 0)
		buf_printf(b, " of %" PRId64, n->total);
	buf_puts(b, " delivered");
	if (n->total >= 0)
		buf_printf(b, " (%d%%)", n->percent);
	buf_printf(b, ", %" PRIu64 " running, %" PRIu64 " failed", n->running, n->failed);
	if (n->total >= 0 && n->eta_s > 0)
		buf_printf(b, ", eta %s", times_show_seconds(n->eta_s, eta, sizeof(eta)));
}

static void add_bar(struct buf *b, const struct numbers *n)
{
	if (n->total >= 0) {
		buf_putc(b, '[');
		for (int i = 0; i < BAR_WIDTH; i++)
			buf_putc(b, i < n->percent * BAR_WIDTH / 100 ? '#' : '.');
		buf_puts(b, "] ");
	}
	add_plain(b, n);
}

static void show(struct meter *m)
{
	const struct map_settings *set = m->loop->set;
	struct numbers n = look(m->loop, m->began_ns);
	struct buf b = { 0 };

	if (set->progress == PROGRESS_JSON) {
		add_json(&b, &n);
		add_json_total(&b, &n);
		buf_puts(&b, "}\n");
	} else if (set->progress == PROGRESS_PLAIN) {
		add_plain(&b, &n);
		buf_putc(&b, '\n');
	} else {
		buf_puts(&b, "\r\033[K");
		add_bar(&b, &n);
	}
	fwrite(b.p, 1, b.len, stderr);
	buf_done(&b);
}

static void on_beat(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	show(arg);
}

void meter_init(struct meter *m, struct map_loop *l)
{
	struct timeval tv = loop_timeval(l->set->heartbeat_ns);

	*m = (struct meter){ .loop = l, .began_ns = loop_now_ns() };
	if (l->set->progress == PROGRESS_NONE)
		return;
	m->ev = event_new(l->base, -1, EV_PERSIST, on_beat, m);
	event_add(m->ev, &tv);
}

void meter_done(struct meter *m)
{
	if (!m->ev)
		return;
	show(m);
	if (m->loop->set->progress == PROGRESS_BAR)
		fputc('\n', stderr);
	event_free(m->ev);
}

void meter_stats(const struct map_loop *l)
{
	struct numbers n = look(l, loop_now_ns());
	struct buf b = { 0 };

	add_json(&b, &n);
	buf_printf(&b, ",\"retried\":%" PRIu64 ",\"held_max\":%" PRIu64 ",\"memory_max\":%" PRIu64 ",\"spooled_bytes\":%" PRIu64 "}\n", n.retried,
		   n.held_max, l->store.memory_peak, l->store.spooled);
	fwrite(b.p, 1, b.len, stderr);
	buf_done(&b);
}
