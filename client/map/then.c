/* SPDX-License-Identifier: MIT */
/* The results of one stage as the items of the next. */
#include <errno.h>
#include <stdlib.h>

#include "map/loop.h"

static int result_of(struct stage *s, const struct task *t, struct jt_item *ret)
{
	size_t len = t->out.bytes;
	char *data = xcalloc(1, len + 1);

	if (chunks_take(&s->loop->store, (struct chunks *)(uintptr_t)&t->out, data, len) < 0) {
		int error = errno;

		loop_io_failed(s->loop, "the spool", s->loop->set->spool_dir);
		free(data);
		return -error;
	}
	if (len > 0 && data[len - 1] == '\n')
		len--;
	*ret = (struct jt_item){ data, len, free };
	return 1;
}

static int next(void *arg, struct jt_item *ret)
{
	struct stage *s = arg;

	for (struct task *t = stage_head(s); t; t = stage_head(s)) {
		int rc = t->status == 0 ? result_of(s, t, ret) : 0;

		stage_deliver(s, t);
		if (rc != 0)
			return rc;
	}
	return stage_is_over(s) ? 0 : -EAGAIN;
}

struct jt_source stage_as_source(struct stage *s)
{
	return (struct jt_source){ .next = next, .arg = s };
}
