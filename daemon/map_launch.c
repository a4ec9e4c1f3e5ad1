/* SPDX-License-Identifier: MIT */
/* Map - what a start asks of it: which item, under which number of a slot, with which arguments. See map.h. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "log.h"
#include "map.h"

#define SLOT_ATTRIBUTE "user.jobd.slot"        /* four bytes */

/* ---- which ----------------------------------------------------------------------------------------------------------- */

static bool is_full(const struct map *m)
{
	return m->set->undelivered_max >= 0 && m->undelivered > m->set->undelivered_max;
}

/* The oldest item always passes: what all others wait for is its delivery. */
jt_job map_may_start(struct map *m, jt_job j)
{
	struct map_item *oldest = TAILQ_FIRST(&m->items);

	if (m->n_unknown_slots)
		return JT_NONE;
	if (!is_full(m))
		return j;
	if (!oldest || oldest->state != ITEM_PUT || jt_job_state(m->run->sched, JOB_IDX(oldest->id)) != JT_READY)
		return JT_NONE;
	return JOB_IDX(oldest->id);
}

json_t *map_held_text(const struct map *m, const char *path)
{
	if (m->n_unknown_slots)
		return json_sprintf("\"%s\" could start, but jobd was restarted and cannot tell which slot an item that runs on was given; when that has ended, "
				    "others start", path);
	return json_sprintf("\"%s\" could start, but %" PRId64 " bytes of what has ended have not been delivered (undelivered_max: %" PRId64
			    "); until they are only the oldest item may", path, m->undelivered, m->set->undelivered_max);
}

bool map_is_last_attempt(const struct map_item *it)
{
	const struct run *r = it->map->run;

	return run_mem(it->map->run, JOB_IDX(it->id))->n_failed >= r->spec->base.retry.max;
}

/* ---- slots ----------------------------------------------------------------------------------------------------------- */

/* The smallest that is free. It may be above the limit, where that was lowered after this one was picked. */
void map_slot_take(struct active *a)
{
	struct map *m = a->run->map;
	uint8_t *free_one;

	if (a->slot)
		return;
	if (!memchr(m->slot_taken, 0, m->slots_cap))
		map_slots_make(m, m->slots_cap + 1);    /* some run on from before a restart, when there were more */
	free_one = memchr(m->slot_taken, 0, m->slots_cap);
	*free_one = 1;
	a->slot = (uint32_t)(free_one - m->slot_taken) + 1;
}

void map_slot_give(struct active *a)
{
	struct map *m = a->run->map;

	if (a->slot == SLOT_UNKNOWN)
		m->n_unknown_slots--;
	else if (a->slot)
		m->slot_taken[a->slot - 1] = 0;
	a->slot = 0;
}

/* ---- slots of what an earlier jobd has started ---- */

/* With the file of its output: only of what runs for a while, as most items do not. */
void map_slot_note(const struct active *a)
{
	int fd = output_fd(a->run->e, JOB_ID(a->run->id, a->idx), a->attempt, false);

	if (fd >= 0) {
		(void)fsetxattr(fd, SLOT_ATTRIBUTE, &a->slot, sizeof(a->slot), 0);     /* else: see slot_told */
		close(fd);
	}
}

/* 0: it was not, or could not be. */
static uint32_t slot_noted(const struct active *a)
{
	int fd = output_fd(a->run->e, JOB_ID(a->run->id, a->idx), a->attempt, false);
	uint32_t slot = 0;

	if (fd >= 0) {
		if (fgetxattr(fd, SLOT_ATTRIBUTE, &slot, sizeof(slot)) != sizeof(slot))
			slot = 0;
		close(fd);
	}
	return slot;
}

/* What its command was told stands in its environment. SLOT_UNKNOWN: that cannot be read. */
static uint32_t slot_told(int32_t pid)
{
	static const char name[] = "JOBD_SLOT=";
	uint32_t slot = SLOT_UNKNOWN;
	char path[32], *line = NULL;
	size_t size = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/environ", pid);
	f = fopen(path, "re");
	while (f && slot == SLOT_UNKNOWN && getdelim(&line, &size, '\0', f) > 0)
		if (strncmp(line, name, sizeof(name) - 1) == 0)
			slot = (uint32_t)strtoul(line + sizeof(name) - 1, NULL, 10);
	if (f)
		fclose(f);
	free(line);
	return slot ? slot : SLOT_UNKNOWN;
}

#define SLOTS_SANE 100000               /* what MapOptions may have */

static bool take_number(struct map *m, uint32_t slot)
{
	if (!slot || slot > SLOTS_SANE)
		return false;
	map_slots_make(m, slot);
	if (m->slot_taken[slot - 1])
		return false;
	m->slot_taken[slot - 1] = 1;
	return true;
}

static bool find_slot(struct active *a, int32_t pid)
{
	uint32_t slot = slot_noted(a);

	if (!slot)
		slot = slot_told(pid);
	if (!take_number(a->run->map, slot))
		return false;
	a->slot = slot;
	return true;
}

void map_slot_adopt(struct active *a, int32_t pid)
{
	struct map *m = a->run->map;

	if (!a->slot && !find_slot(a, pid)) {
		a->slot = SLOT_UNKNOWN;
		m->n_unknown_slots++;
		if (pid)
			log_warn("run %u: which slot its job %u was told is not known; nothing else starts until it has ended", a->run->id, a->idx);
	} else if (a->slot == SLOT_UNKNOWN && find_slot(a, pid)) {
		m->n_unknown_slots--;
		run_wants(a->run);
	}
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
	struct jt_template_values v = { .slot = a->slot, .threads = m->set->threads, .columns = m->set->columns };
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
