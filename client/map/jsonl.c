/* SPDX-License-Identifier: MIT */
#include "map/jsonl.h"

#include <inttypes.h>
#include <string.h>

#include "map/loop.h"
#include "proto/base64.h"

static void add_base64(struct buf *b, const char *data, size_t n)
{
	buf_reserve(b, BASE64_SIZE(n));
	b->len += base64_encode(data, n, b->p + b->len);
}

static void add_base64_string(struct buf *b, const char *data, size_t n)
{
	buf_putc(b, '"');
	add_base64(b, data, n);
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
		add_base64_string(b, data, n);
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
	uint32_t columns = t->stage->set->columns;
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
		if (columns > 0 && i % columns == 0)
			buf_putc(b, '[');
		if (text)
			escape_json(b, part.len ? part.data : "", part.len);
		else
			add_base64_string(b, part.data, part.len);
		if (columns > 0 && i % columns == columns - 1)
			buf_putc(b, ']');
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

/* ---- the two outputs ---- */

static void open_string(struct jsonl *j, struct buf *b, const char *name, const struct chunks *c)
{
	j->is_text = utf8_is_text(&c->text);
	j->n_kept = 0;
	buf_printf(b, ",\"%s%s\":\"", name, j->is_text ? "" : "_base64");
}

/* How many of n bytes can be written now: no character is cut, nor one of the groups of three that base64 is made of. */
static size_t without_rest(const struct jsonl *j, const char *data, size_t n)
{
	return j->is_text ? utf8_bad(data, n) : n - n % 3;
}

/* 1: there is more; 0: it was all there is; -1 with errno. */
static int add_piece(struct jsonl *j, struct buf *b, struct map_loop *l, struct task *t, enum results_stream which)
{
	struct chunks *c = which == RESULTS_OUT ? &t->out : &t->err;
	char *data = l->store.scratch;
	ssize_t got;
	size_t n;

	memcpy(data, j->kept, j->n_kept);
	got = chunks_take(&l->store, c, data + j->n_kept, CHUNK_MAX - j->n_kept);
	if (got < 0)
		return -1;
	results_write(&l->sink.results, t, which, data + j->n_kept, (size_t)got);
	n = j->n_kept + (size_t)got;
	j->n_kept = c->bytes > 0 ? n - without_rest(j, data, n) : 0;
	n -= j->n_kept;
	memcpy(j->kept, data + n, j->n_kept);
	if (j->is_text)
		escape_json_part(b, data, n);
	else
		add_base64(b, data, n);
	return c->bytes > 0;
}

/* ---- the line ---- */

static void add_head(struct buf *b, const struct task *t)
{
	buf_printf(b, "{\"seq\":%" PRIu64, t->seq);
	add_item(b, t);
	buf_puts(b, ",\"status\":");
	jsonl_status(b, t);
	buf_printf(b, ",\"attempts\":%" PRIu32, t->attempt);
}

static int add_end(struct jsonl *j, struct buf *b, const struct task *t)
{
	buf_printf(b, ",\"start\":%.6f,\"end\":%.6f}\n", t->start, t->end);
	*j = (struct jsonl){ 0 };
	return 0;
}

int jsonl_add(struct jsonl *j, struct buf *b, struct map_loop *l, struct task *t)
{
	int rc;

	if (j->step == JSONL_HEAD) {
		add_head(b, t);
		open_string(j, b, "stdout", &t->out);
		j->step = JSONL_OUT;
	}
	rc = add_piece(j, b, l, t, j->step == JSONL_OUT ? RESULTS_OUT : RESULTS_ERR);
	if (rc != 0)
		return rc;
	buf_putc(b, '"');
	if (j->step == JSONL_ERR || l->set->err != STDERR_FIELD)
		return add_end(j, b, t);
	open_string(j, b, "stderr", &t->err);
	j->step = JSONL_ERR;
	return 1;
}
