/* SPDX-License-Identifier: MIT */
/* Map - what a start asks of it: which item, under which number of a slot, with which arguments. See map.h. */
#include <stdlib.h>
#include <string.h>

#include "map.h"

/* ---- which ----------------------------------------------------------------------------------------------------------- */

static bool is_full(const struct map *m)
{
	return m->set->undelivered_max >= 0 && m->undelivered > m->set->undelivered_max;
}

/* The oldest item always passes: what all others wait for is its delivery. */
jt_job map_may_start(struct map *m, jt_job j)
{
	struct map_item *oldest = TAILQ_FIRST(&m->items);

	if (!is_full(m))
		return j;
	if (!oldest || oldest->state != ITEM_PUT || jt_job_state(m->run->sched, JOB_IDX(oldest->id)) != JT_READY)
		return JT_NONE;
	return JOB_IDX(oldest->id);
}

bool map_is_last_attempt(const struct map_item *it)
{
	const struct run *r = it->map->run;

	return run_mem(it->map->run, JOB_IDX(it->id))->n_failed >= r->spec->base.retry.max;
}

/* ---- slots ----------------------------------------------------------------------------------------------------------- */

void map_slot_take(struct active *a)
{
	struct map *m = a->run->map;

	if (!a->slot && m->n_free_slots)
		a->slot = m->free_slot[--m->n_free_slots];
}

void map_slot_give(struct active *a)
{
	struct map *m = a->run->map;

	if (a->slot && a->slot <= m->n_slots)
		m->free_slot[m->n_free_slots++] = a->slot;
	a->slot = 0;
}

/* ---- the arguments --------------------------------------------------------------------------------------------------- */

static bool has_nul(const struct spec_item *item)
{
	for (size_t i = 0; i < item->n; i++)
		if (item->v[i].len && memchr(item->v[i].data, '\0', item->v[i].len))
			return true;
	return false;
}

char **map_argv(struct active *a)
{
	const struct map *m = a->run->map;
	const struct spec_item *item = a->spec->item;
	struct jt_template_values v = { .slot = a->slot, .threads = m->set->threads };
	char **argv;
	size_t n;

	if (!m->set->item_on_stdin) {
		if (has_nul(item))
			return NULL;
		v.items = item->v;
		v.n_items = item->n;
	}
	v.seq = map_item_at(m, a->idx)->seq;
	argv = jt_template_expand(m->template, &v, &n);
	if (!argv)
		abort();
	if (m->shell)
		argv[2] = m->shell;
	return argv;
}
