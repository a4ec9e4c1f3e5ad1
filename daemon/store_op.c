/* SPDX-License-Identifier: MIT */
/* Operations: made by the loop, moved to the store's thread and back, freed with all they own. */
#include <stdlib.h>
#include <unistd.h>

#include "store.h"

struct store_op *store_op_new(enum store_kind kind)
{
	struct store_op *op = calloc(1, sizeof(*op));

	if (!op)
		abort();
	op->kind = kind;
	op->sync_fd = -1;
	arena_init(&op->arena);
	return op;
}

static void attempt_done(struct store_attempt *a)
{
	free(a->out);
	free(a->err);
	free(a->message);
}

void store_run_done(struct store_run *run)
{
	free(run->name);
	free(run->key);
	free(run->options);
	*run = (struct store_run){ 0 };
}

void store_op_free(struct store_op *op)
{
	if (!op)
		return;
	if (op->sync_fd >= 0)
		close(op->sync_fd);
	attempt_done(&op->attempt);
	for (size_t i = 0; i < op->n_attempts; i++)
		attempt_done(&op->attempts[i]);
	store_run_done(&op->run);
	arena_done(&op->arena);
	free(op->attempts);
	free(op->rows);
	free(op->events);
	free(op->items);
	free(op->ids);
	free(op->path);
	free(op->text);
	free(op);
}
