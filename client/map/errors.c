/* SPDX-License-Identifier: MIT */
#include "map/errors.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "map/loop.h"

bool errors_are_ours(const struct stage *s)
{
	const struct map_settings *set = s->loop->set;

	return set->err == STDERR_FIELD || (set->err == STDERR_PASS && set->results_dir && s->last);
}

static void to_stderr(const char *data, size_t n)
{
	while (n > 0) {
		ssize_t done = write(STDERR_FILENO, data, n);

		if (done < 0 && errno == EAGAIN)
			(void)poll(&(struct pollfd){ .fd = STDERR_FILENO, .events = POLLOUT }, 1, -1);  /* whose it is too does not block */
		else if (done < 0 && errno != EINTR)
			return;                 /* nobody can be told */
		if (done > 0) {
			data += done;
			n -= (size_t)done;
		}
	}
}

void errors_pass(struct task *t)
{
	struct map_loop *l = t->stage->loop;
	ssize_t n;

	if (l->set->err != STDERR_PASS || t->silent || stage_may_be_silent(t))
		return;
	while ((n = chunks_take(&l->store, &t->err, l->store.scratch, CHUNK_MAX)) > 0) {
		to_stderr(l->store.scratch, (size_t)n);
		if (t->stage->last)
			results_write(&l->sink.results, t, RESULTS_ERR, l->store.scratch, (size_t)n);
	}
	if (n < 0)
		loop_io_failed(l, "the spool", l->set->spool_dir);
}
