/* SPDX-License-Identifier: MIT */
/* Attempt: see attempt.h. A hash table with chains, grown by doubling. */
#include "attempt.h"

#include <stdlib.h>

#include "log.h"

#define FIRST_SLOTS 256

static size_t slot_of(size_t n_slots, uint64_t job, uint32_t attempt)
{
	uint64_t h = (job ^ (uint64_t)attempt << 20) * UINT64_C(0x9e3779b97f4a7c15);

	return (size_t)(h >> 32) & (n_slots - 1);
}

static struct attempt **new_slots(size_t n)
{
	struct attempt **slots = calloc(n, sizeof(struct attempt *));

	if (!slots)
		log_die("no memory for the table of attempts");
	return slots;
}

void attempts_init(struct attempt_table *t)
{
	*t = (struct attempt_table){.slots = new_slots(FIRST_SLOTS), .n_slots = FIRST_SLOTS};
	LIST_INIT(&t->all);
}

struct attempt *attempts_find(const struct attempt_table *t, uint64_t job, uint32_t attempt)
{
	struct attempt *a = t->slots[slot_of(t->n_slots, job, attempt)];

	while (a && (a->end.job != job || a->end.attempt != attempt))
		a = a->hash_next;
	return a;
}

static void insert(struct attempt **slots, size_t n_slots, struct attempt *a)
{
	size_t i = slot_of(n_slots, a->end.job, a->end.attempt);

	a->hash_next = slots[i];
	slots[i] = a;
}

static void grow(struct attempt_table *t)
{
	size_t n = t->n_slots * 2;
	struct attempt **slots = new_slots(n), *a;

	LIST_FOREACH(a, &t->all, all_link)
		insert(slots, n, a);
	free(t->slots);
	t->slots = slots;
	t->n_slots = n;
}

static struct attempt *add(struct attempt_table *t, uint64_t job, uint32_t attempt)
{
	struct attempt *a = calloc(1, sizeof(*a));

	if (!a)
		log_die("no memory for an attempt");
	a->end.job = job;
	a->end.attempt = attempt;
	a->pidfd = -1;
	a->events_fd = -1;
	a->sibling_fd = -1;
	a->due_at = SIZE_MAX;
	a->start = (struct note){.kind = NOTE_START, .about = a};
	a->started = (struct note){.kind = NOTE_STARTED, .about = a};
	a->ended = (struct note){.kind = NOTE_ENDED, .about = a};
	a->settled = (struct note){.kind = NOTE_SETTLED, .about = a};
	if (t->n == t->n_slots)
		grow(t);
	insert(t->slots, t->n_slots, a);
	LIST_INSERT_HEAD(&t->all, a, all_link);
	t->n++;
	return a;
}

struct attempt *attempts_add(struct attempt_table *t, const struct rm_start *st, struct order *order)
{
	struct attempt *a = add(t, st->job, st->attempt);

	a->grace_ms = st->grace_ms;
	a->output_max = st->output_max;
	a->order = order;
	return a;
}

struct attempt *attempts_adopt(struct attempt_table *t, const struct rm_end *end)
{
	struct attempt *a = add(t, end->job, end->attempt);

	a->end = *end;
	a->has_ended = true;
	return a;
}

void attempts_remove(struct attempt_table *t, struct attempt *a)
{
	struct attempt **at = &t->slots[slot_of(t->n_slots, a->end.job, a->end.attempt)];

	while (*at != a)
		at = &(*at)->hash_next;
	*at = a->hash_next;
	LIST_REMOVE(a, all_link);
	t->n--;
	order_free(a->order);
	free(a);
}

void attempts_done(struct attempt_table *t)
{
	struct attempt *a;

	while ((a = LIST_FIRST(&t->all)))
		attempts_remove(t, a);
	free(t->slots);
}
