/* SPDX-License-Identifier: MIT */
/* What the daemon is told of a map: calls of org.jobd, as text. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "map/loop.h"
#include "map/remote.h"
#include "proto/base64.h"
#include "proto/varlink.h"
#include "status.h"
#include "talk.h"

#define PUT_BYTES ((size_t)(256 << 10))         /* of items in one call, where there are several */
#define CALL_REST ((size_t)4096)                /* of a call beside its item */

/* ---- calls ---- */

static void call(struct remote *r, struct buf *parameters, const char *method)
{
	struct buf b = { 0 };

	buf_printf(&b, "{\"method\":\"org.jobd.%s\",\"oneway\":true,\"parameters\":{\"run\":%" PRId64, method, r->run);
	buf_add(&b, parameters->p, parameters->len);
	buf_puts(&b, "}}");
	buf_putc(&b, '\0');
	peer_add(&r->peer, b.p, b.len);
	buf_done(&b);
	buf_done(parameters);
}

static void call_list(struct remote *r, struct buf *list, const char *method, const char *name)
{
	struct buf b = { 0 };

	if (list->len == 0)
		return;
	buf_printf(&b, ",\"%s\":[", name);
	buf_add(&b, list->p, list->len);
	buf_putc(&b, ']');
	call(r, &b, method);
	list->len = 0;
}

void remote_tell_all(struct remote *r)
{
	call_list(r, &r->left, "MapDelivered", "tags");
	call_list(r, &r->puts, "MapPut", "items");
	peer_flush(&r->peer);
}

static json_t *map_parameters(const struct remote *r)
{
	enum map_resume resume = r->stage->loop->set->resume;
	json_t *p;

	if (r->run)
		p = json_pack("{s:I, s:I}", "attach", (json_int_t)r->run, "from_tag", (json_int_t)r->first_tag);
	else
		p = json_pack("{s:o}", "options", remote_options(r->stage));
	if (p && resume != RESUME_NOT)
		json_object_set_new(p, "resume", json_true());
	if (p && resume == RESUME_FAILED)
		json_object_set_new(p, "rerun_failed", json_true());
	return p;
}

int remote_tell_map(struct remote *r)
{
	json_t *parameters = map_parameters(r), *msg;
	size_t len;
	char *text;

	if (!parameters)
		return complain(CTL_USAGE, "--name and the name of the working folder must be UTF-8");
	msg = vl_call_new("org.jobd.Map", parameters, VL_MORE);
	text = vl_pack(msg, &len);
	peer_add(&r->peer, text, len);
	peer_flush(&r->peer);
	free(text);
	json_decref(msg);
	return 0;
}

void remote_tell_stop(struct remote *r)
{
	struct buf b = { 0 };

	remote_tell_all(r);
	buf_printf(&b, ",\"now\":%s", r->stop == REMOTE_KILLS ? "true" : "false");
	call(r, &b, "MapStop");
	peer_flush(&r->peer);
}

void remote_tell_end(struct remote *r, bool failed)
{
	struct buf b = { 0 };

	remote_tell_all(r);
	buf_printf(&b, ",\"failed\":%s", failed ? "true" : "false");
	call(r, &b, "MapEnd");
	peer_flush(&r->peer);
}

void remote_tell_read(struct remote *r, struct task *t, const char *name, struct task_stream *s, uint64_t max)
{
	struct buf b = { 0 };

	buf_printf(&b, ",\"tag\":%" PRIu64 ",\"stream\":\"%s\",\"offset\":%" PRIu64 ",\"max\":%" PRIu64, t->there.tag, name, s->at, max);
	s->asked = s->at + max;
	call(r, &b, "MapRead");
}

/* With a name each delivery is told before the next one begins: a kill of this process repeats one at most. */
void remote_tell_delivered(struct remote *r, uint64_t tag)
{
	buf_printf(&r->left, "%s%" PRIu64, r->left.len ? "," : "", tag);
	if (r->keys) {
		call_list(r, &r->left, "MapDelivered", "tags");
		peer_flush(&r->peer);
	}
}

/* ---- items ---- */

static void add_base64(struct buf *b, struct jt_bytes bytes)
{
	buf_putc(b, '"');
	buf_reserve(b, BASE64_SIZE(bytes.len));
	b->len += base64_encode(bytes.len ? bytes.data : "", bytes.len, b->p + b->len);
	buf_putc(b, '"');
}

void remote_tell_input(struct remote *r, struct task *t, uint64_t at, size_t n)
{
	struct buf b = { 0 };

	buf_printf(&b, ",\"tag\":%" PRIu64 ",\"offset\":%" PRIu64 ",\"data_b64\":", t->there.tag, at);
	add_base64(&b, (struct jt_bytes){ (const char *)t->item->data + at, n });
	call(r, &b, "MapInput");
}

/* The parts of this start: of the whole item, or some of a batch. */
static size_t parts_of_start(const struct task *t)
{
	return t->n_parts ? t->n_parts : task_parts(t) - t->part_at;
}

static void add_key(struct buf *b, const struct task *t)
{
	unsigned char key[KEY_SIZE];

	keys_of_start(t, key);
	buf_puts(b, ",\"key\":\"");
	for (size_t i = 0; i < sizeof(key); i++)
		buf_printf(b, "%02x", key[i]);
	buf_putc(b, '"');
}

static void add_parts(struct buf *b, const struct task *t)
{
	buf_puts(b, ",\"items_b64\":[");
	for (size_t i = 0; i < parts_of_start(t); i++) {
		if (i > 0)
			buf_putc(b, ',');
		add_base64(b, task_part(t, t->part_at + i));
	}
	buf_putc(b, ']');
}

void remote_tell_put(struct remote *r, struct task *t)
{
	struct buf *b = &r->puts;

	if (b->len > PUT_BYTES)
		remote_tell_all(r);
	buf_printf(b, "%s{\"tag\":%" PRIu64 ",\"seq\":%" PRIu64, b->len ? "," : "", t->there.tag, t->seq);
	if (remote_is_large(t))
		buf_printf(b, ",\"input_bytes\":%zu", t->item->len);
	else
		add_parts(b, t);
	if (r->keys)
		add_key(b, t);
	buf_putc(b, '}');
	if (b->len > PUT_BYTES)
		remote_tell_all(r);
}

bool remote_can_carry(const struct task *t)
{
	size_t len = CALL_REST;

	if (remote_is_large(t))
		return true;
	for (size_t i = 0; i < parts_of_start(t); i++)
		len += BASE64_SIZE(task_part(t, t->part_at + i).len) + 2;
	return len <= VL_CALL_MAX;
}
