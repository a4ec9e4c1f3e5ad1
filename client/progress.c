/* SPDX-License-Identifier: MIT */
#include "progress.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "escape.h"
#include "render.h"
#include "times.h"

void progress_init(struct progress *p, double now_s)
{
	*p = (struct progress){ .first_done = -1, .began_s = now_s, .now_s = now_s };
}

void progress_done(struct progress *p)
{
	free(p->newest);
	*p = (struct progress){ 0 };
}

void progress_counts(struct progress *p, const json_t *counts, double now_s)
{
	static const char *const unfinished[] = { "waiting", "ready", "held", "starting", "running", "backoff" };

	p->now_s = now_s;
	p->total = reply_int(counts, "total", 0);
	p->done = p->total;
	for (size_t i = 0; i < sizeof(unfinished) / sizeof(*unfinished); i++)
		p->done -= reply_int(counts, unfinished[i], 0);
	p->running = reply_int(counts, "starting", 0) + reply_int(counts, "running", 0);
	p->failed = reply_int(counts, "failed", 0) + reply_int(counts, "lost", 0);
	p->skipped = reply_int(counts, "skipped", 0);
	p->cancelled = reply_int(counts, "cancelled", 0);
	if (p->first_done < 0)
		p->first_done = p->done;
}

void progress_newest(struct progress *p, const char *path)
{
	free(p->newest);
	p->newest = xstrdup(path);
}

/* Columns of what is UTF-8 with a character a column; wide ones make the line wrap at worst. */
static void cut_to_width(struct buf *out, size_t start, size_t width)
{
	size_t col = 0, i = start;

	while (i < out->len && col < width) {
		i++;
		while (i < out->len && (out->p[i] & 0xc0) == 0x80)
			i++;
		col++;
	}
	out->len = i;
}

void progress_line(const struct progress *p, size_t width, struct buf *out)
{
	double seconds = p->now_s - p->began_s;
	int64_t ended = p->done - p->first_done;
	size_t start = out->len;
	char eta[64];

	buf_printf(out, "%" PRId64 "/%" PRId64 " done, %" PRId64 " running, %" PRId64 " failed", p->done, p->total, p->running, p->failed);
	if (p->skipped)
		buf_printf(out, ", %" PRId64 " skipped", p->skipped);
	if (p->cancelled)
		buf_printf(out, ", %" PRId64 " cancelled", p->cancelled);
	if (seconds > 0.5 && ended > 0) {
		double rate = (double)ended / seconds;

		buf_printf(out, rate < 10 ? ", %.1f/s" : ", %.0f/s", rate);
		if (p->done < p->total)
			buf_printf(out, ", eta %s", times_show_seconds((double)(p->total - p->done) / rate, eta, sizeof(eta)));
	}
	if (p->newest) {
		buf_puts(out, ", ");
		escape_human(out, p->newest, strlen(p->newest));
	}
	if (width)
		cut_to_width(out, start, width);
}
