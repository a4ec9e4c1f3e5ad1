/* SPDX-License-Identifier: MIT */
#include "map/jsonl.h"

#include <inttypes.h>

#include "escape.h"
#include "map/loop.h"
#include "proto/base64.h"

static void add_base64(struct buf *b, const char *data, size_t n)
{
	buf_putc(b, '"');
	buf_reserve(b, BASE64_SIZE(n));
	b->len += base64_encode(data, n, b->p + b->len);
	buf_putc(b, '"');
}

/* "name":"text", or "name_base64":"...": JSON knows no other bytes than UTF-8. */
static void add_bytes(struct buf *b, const char *name, const char *data, size_t n)
{
	bool is_text = n == 0 || utf8_bad(data, n) == n;

	buf_printf(b, ",\"%s%s\":", name, is_text ? "" : "_base64");
	if (is_text)
		escape_json(b, n ? data : "", n);
	else
		add_base64(b, data, n);
}

static bool all_text(const struct task *t)
{
	for (size_t i = 0; i < task_parts(t); i++) {
		struct jt_bytes part = task_part(t, i);

		if (part.len && utf8_bad(part.data, part.len) != part.len)
			return false;
	}
	return true;
}

static void add_item(struct buf *b, const struct task *t)
{
	bool text = all_text(t);

	if (!t->stage->set->tuples) {
		add_bytes(b, "item", task_part(t, 0).data, task_part(t, 0).len);
		return;
	}
	buf_printf(b, ",\"item%s\":[", text ? "" : "_base64");
	for (size_t i = 0; i < task_parts(t); i++) {
		struct jt_bytes part = task_part(t, i);

		if (i > 0)
			buf_putc(b, ',');
		if (text)
			escape_json(b, part.len ? part.data : "", part.len);
		else
			add_base64(b, part.data, part.len);
	}
	buf_putc(b, ']');
}

void jsonl_status(struct buf *b, const struct task *t)
{
	if (t->status == TASK_TIMEOUT)
		buf_puts(b, "\"timeout\"");
	else if (t->status == TASK_E2BIG)
		buf_puts(b, "\"E2BIG\"");
	else if (t->status == TASK_OUTPUT)
		buf_puts(b, "\"output\"");
	else if (t->status == TASK_LOST)
		buf_puts(b, "\"lost\"");
	else if (t->status == TASK_NUL)
		buf_puts(b, "\"NUL\"");
	else if (t->status >= TASK_SIGNAL)
		buf_printf(b, "null,\"signal\":%d", t->status - TASK_SIGNAL);
	else
		buf_printf(b, "%d", t->status);
}

static int add_output(struct buf *b, struct map_loop *l, const char *name, struct chunks *c, const struct task *t, struct results *results)
{
	size_t n = c->bytes;
	char *data = xcalloc(1, n + 1);
	bool ok = chunks_take(&l->store, c, data, n) >= 0;

	if (ok)
		add_bytes(b, name, data, n);
	if (ok && c == &t->out)
		results_write(results, t, data, n);
	free(data);
	return ok ? 0 : -1;
}

int jsonl_add(struct buf *b, struct map_loop *l, struct task *t, struct results *results)
{
	buf_printf(b, "{\"seq\":%" PRIu64, t->seq);
	add_item(b, t);
	buf_puts(b, ",\"status\":");
	jsonl_status(b, t);
	buf_printf(b, ",\"attempts\":%" PRIu32, t->attempt);
	if (add_output(b, l, "stdout", &t->out, t, results) < 0)
		return -1;
	if (l->set->err == STDERR_FIELD && add_output(b, l, "stderr", &t->err, t, results) < 0)
		return -1;
	buf_printf(b, ",\"start\":%.6f,\"end\":%.6f}\n", t->start, t->end);
	return 0;
}
