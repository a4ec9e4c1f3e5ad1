/* SPDX-License-Identifier: MIT */
#include "map/meter.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "buf.h"

#define BAR_WIDTH 30

struct numbers { uint64_t read, admitted, running, finished, delivered, failed, retried, held_max; };

/* Read and admitted speak of the first stage, finished and delivered of the last; the rest of all. */
static struct numbers look(const struct map_loop *l)
{
	const struct stage *first = &l->stage[0], *last = &l->stage[l->set->n_stages - 1];
	struct numbers n = {
		.read = first->window.c.admitted, .admitted = first->window.c.admitted, .finished = last->n.finished, .delivered = last->n.delivered,
	};

	for (const struct stage *s = first; s <= last; s++) {
		n.running += s->n.running < s->set->slots ? s->n.running : s->set->slots;      /* the daemon has more than run */
		n.failed += s->n.failed;
		n.retried += s->n.retried;
		n.held_max += s->window.c.held_max;
	}
	return n;
}

static void add_json(struct buf *b, const struct numbers *n)
{
	buf_printf(b, "{\"read\":%" PRIu64 ",\"admitted\":%" PRIu64 ",\"running\":%" PRIu64 ",\"finished\":%" PRIu64 ",\"delivered\":%" PRIu64
		   ",\"failed\":%" PRIu64, n->read, n->admitted, n->running, n->finished, n->delivered, n->failed);
}

static void add_plain(struct buf *b, const struct numbers *n, int64_t total)
{
	buf_printf(b, "%" PRIu64, n->delivered);
	if (total >= 0)
		buf_printf(b, " of %" PRId64, total);
	buf_printf(b, " delivered, %" PRIu64 " running, %" PRIu64 " failed", n->running, n->failed);
}

static void add_bar(struct buf *b, const struct numbers *n, int64_t total)
{
	uint64_t part = total > 0 ? n->delivered * BAR_WIDTH / (uint64_t)total : 0;

	if (total > 0) {
		buf_putc(b, '[');
		for (uint64_t i = 0; i < BAR_WIDTH; i++)
			buf_putc(b, i < part ? '#' : '.');
		buf_puts(b, "] ");
	}
	add_plain(b, n, total);
}

static void show(struct meter *m)
{
	const struct map_settings *set = m->loop->set;
	struct numbers n = look(m->loop);
	struct buf b = { 0 };

	if (set->progress == PROGRESS_JSON) {
		add_json(&b, &n);
		buf_puts(&b, "}\n");
	} else if (set->progress == PROGRESS_PLAIN) {
		add_plain(&b, &n, set->total);
		buf_putc(&b, '\n');
	} else {
		buf_puts(&b, "\r\033[K");
		add_bar(&b, &n, set->total);
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

	*m = (struct meter){ .loop = l };
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
	struct numbers n = look(l);
	struct buf b = { 0 };

	add_json(&b, &n);
	buf_printf(&b, ",\"retried\":%" PRIu64 ",\"held_max\":%" PRIu64 ",\"memory_max\":%" PRIu64 ",\"spooled_bytes\":%" PRIu64 "}\n", n.retried,
		   n.held_max, l->store.memory_peak, l->store.spooled);
	fwrite(b.p, 1, b.len, stderr);
	buf_done(&b);
}
