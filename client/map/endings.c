/* SPDX-License-Identifier: MIT */
#include "map/endings.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "map/end_status.h"
#include "map/loop.h"
#include "talk.h"

#define ITEM_MAX 40             /* bytes of an item */
#define TOLD_MAX 20             /* of a map: a mistake of the command would fill the terminal */

/* Freed by the caller; NULL: nothing but the command itself can say it. */
static char *ending_of(const struct task *t)
{
	switch (t->status) {
	case TASK_TIMEOUT:
		return xasprintf("took longer than --timeout allows");
	case TASK_E2BIG:
		return xasprintf("is too long for a command line; --stdin item takes it");
	case TASK_NUL:
		return xasprintf("has a NUL, which no argument can hold; --stdin item takes it");
	case TASK_OUTPUT:
		return xasprintf("wrote more than --output-max allows");
	case TASK_LOST:
		return xasprintf("was lost with the runner; nobody knows how it ended");
	}
	return t->status > TASK_SIGNAL ? xasprintf("was ended by signal %d (%s)", t->status - TASK_SIGNAL, strsignal(t->status - TASK_SIGNAL)) : NULL;
}

/* How much of its beginning is shown: of one line, and no cut character. */
static int excerpt(struct jt_bytes item)
{
	size_t n = 0;

	while (n < item.len && n < ITEM_MAX && item.data[n] != '\n' && item.data[n] != '\0')
		n++;
	while (n > 0 && n < item.len && ((unsigned char)item.data[n] & 0xC0) == 0x80)
		n--;
	return (int)n;
}

static void tell(const struct task *t, const char *how)
{
	struct jt_bytes first = task_part(t, 0);
	int n = excerpt(first);
	const char *more = (size_t)n < first.len || task_parts(t) > 1 ? "..." : "";

	if (t->stage->loop->set->n_stages > 1)
		mention("stage %zu, item %" PRIu64 " (%.*s%s) %s", t->stage->number, t->seq, n, first.data, more, how);
	else
		mention("item %" PRIu64 " (%.*s%s) %s", t->seq, n, first.data, more, how);
}

static bool is_told_by_result(const struct task *t)
{
	return t->silent || (t->stage->last && t->stage->loop->set->out == OUT_JSONL);
}

void endings_tell_lost(const struct task *t, uint64_t bytes)
{
	char *how = xasprintf("ended, but %" PRIu64 " bytes of what it wrote are lost: jobd does not have them any more", bytes);

	tell(t, how);
	free(how);
	if (t->stage->loop->exit_status == 0)
		t->stage->loop->exit_status = MAP_IO_ERROR;
}

void endings_tell(const struct task *t)
{
	struct map_loop *l = t->stage->loop;
	char *how = is_told_by_result(t) || l->set->err == STDERR_DROP ? NULL : ending_of(t);

	if (how && ++l->n_told <= TOLD_MAX)
		tell(t, how);
	else if (how && l->n_told == TOLD_MAX + 1)
		mention("and more items; --out jsonl tells of each");
	free(how);
}
