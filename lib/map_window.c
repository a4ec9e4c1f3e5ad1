/* SPDX-License-Identifier: MIT */
/* The window of a map: which item has which place, what starts next, and in which order results leave. O(1), backoffs O(log W). */
#include "map.h"

int jti_window_init(struct jti_window *w, uint32_t size, enum jt_map_order order)
{
	*w = (struct jti_window){ .size = size, .order = order };
	w->place = calloc(size, sizeof(*w->place));
	w->unused = calloc(size, sizeof(*w->unused));
	w->todo = calloc(size, sizeof(*w->todo));
	w->done = calloc(size, sizeof(*w->done));
	if (!w->place || !w->unused || !w->todo || !w->done || jti_dues_reserve(&w->dues, size) < 0)
		return -1;
	for (; w->n_unused < size; w->n_unused++) {
		w->unused[w->n_unused] = size - 1 - w->n_unused;
		w->done[w->n_unused] = JT_NONE;
	}
	return 0;
}

void jti_window_done(struct jti_window *w)
{
	for (uint32_t i = 0; w->place && i < w->size; i++)
		jt_map_result_done(&w->place[i].r);
	free(w->place);
	free(w->unused);
	free(w->todo);
	free(w->done);
	jti_dues_done(&w->dues);
}

bool jti_window_has_room(const struct jti_window *w)
{
	return w->c.admitted - w->c.delivered < w->size;
}

void jti_window_admit(struct jti_window *w, struct jt_item item)
{
	uint32_t place = w->unused[--w->n_unused];
	w->todo[w->c.admitted++ % w->size] = place;
	w->place[place].r = (struct jt_map_result){ .seq = w->c.admitted, .item = item };
	uint64_t held = w->c.admitted - w->c.delivered;
	if (held > w->c.held_max)
		w->c.held_max = held;
}

uint64_t jti_window_waiting(const struct jti_window *w)
{
	return w->c.admitted - w->n_begun;
}

int64_t jti_window_due_ns(const struct jti_window *w)
{
	return w->dues.n > 0 ? w->dues.v[0].at_ns : JT_NEVER;
}

uint32_t jti_window_start(struct jti_window *w, int64_t now_ns)
{
	uint32_t place;
	if (w->dues.n > 0 && w->dues.v[0].at_ns <= now_ns)
		place = jti_dues_take(&w->dues, NULL, 0).place;
	else if (jti_window_waiting(w) > 0)
		place = w->todo[w->n_begun++ % w->size];
	else
		return JT_NONE;
	w->c.running++;
	w->place[place].r.attempts++;
	return place;
}

void jti_window_finish(struct jti_window *w, uint32_t place, int status, struct jt_item output)
{
	struct jt_map_result *r = &w->place[place].r;
	uint64_t position = w->order == JT_MAP_ORDERED ? r->seq - 1 : w->c.finished;
	r->status = status;
	r->output = output;
	w->done[position % w->size] = place;
	w->c.running--;
	w->c.finished++;
	w->c.failed += status != 0;
	w->c.output_bytes += output.len;
}

/* Room was made when the window was: it cannot fail. */
void jti_window_backoff(struct jti_window *w, uint32_t place, int64_t due_ns)
{
	struct jti_due due = { due_ns, w->place[place].r.seq, place };
	(void)jti_dues_push(&w->dues, NULL, due);
	w->c.running--;
	w->c.retried++;
}

bool jti_window_can_take(const struct jti_window *w)
{
	return w->done[w->n_taken % w->size] != JT_NONE;
}

void jti_window_take(struct jti_window *w, struct jt_map_result *ret)
{
	uint32_t *head = &w->done[w->n_taken++ % w->size], place = *head;
	*head = JT_NONE;
	*ret = w->place[place].r;
	w->place[place].r = (struct jt_map_result){ 0 };
	w->unused[w->n_unused++] = place;
	w->c.output_bytes -= ret->output.len;
}

void jti_window_delivered(struct jti_window *w)
{
	w->c.delivered++;
}
