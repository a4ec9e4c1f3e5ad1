/* SPDX-License-Identifier: MIT */
/* Map ends: see map_ends.h. Only messages can have something in them that JSON needs an escape for. */
#include "map_ends.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "map.h"
#include "proto/base64.h"
#include "rpc.h"

#define BEGIN "{\"parameters\":{\"ended\":["
#define END "]},\"continues\":true}"
#define SMALL 4096                      /* an output of so many bytes comes with its end */

static char *room(struct map_ends *e, size_t more)
{
	if (e->len + more > e->cap) {
		e->cap = 2 * (e->len + more);
		e->text = xrealloc(e->text, e->cap);
	}
	return e->text + e->len;
}

#define ROOM 128                        /* all that is added at a time has: two names, and two numbers */

__attribute__((format(printf, 2, 3))) static void add(struct map_ends *e, const char *format, ...)
{
	char *at = room(e, ROOM);
	va_list args;

	va_start(args, format);
	e->len += (size_t)vsnprintf(at, ROOM, format, args);
	va_end(args);
}

static void add_seconds(struct map_ends *e, const char *name, int64_t us)
{
	uint64_t all = us < 0 ? -(uint64_t)us : (uint64_t)us;

	add(e, ",\"%s\":%s%" PRIu64 ".%06u", name, us < 0 ? "-" : "", all / 1000000, (unsigned)(all % 1000000));
}

static void add_output(struct map_ends *e, const char *name, const char *data, int64_t bytes)
{
	if (!data || bytes <= 0 || bytes > SMALL)
		return;
	add(e, ",\"%s\":\"", name);
	e->len += base64_encode(data, (size_t)bytes, room(e, BASE64_SIZE((size_t)bytes)));
	add(e, "\"");
}

static void add_message(struct map_ends *e, const char *message)
{
	json_t *text = json_lossy(message);
	size_t n = json_dumpb(text, NULL, 0, JSON_ENCODE_ANY);

	add(e, ",\"message\":");
	e->len += json_dumpb(text, room(e, n), n, JSON_ENCODE_ANY);
	json_decref(text);
}

void map_ends_add(struct map_ends *e, const struct map_item *it, const struct store_attempt *at, enum job_reason why)
{
	int64_t ended = at->ended_at_us ? at->ended_at_us : it->ended_at_us;

	add(e, "%s{\"tag\":%" PRIu64 ",\"reason\":\"%s\"", e->len ? "," : BEGIN, it->tag, reason_name(why));
	add(e, ",\"attempts\":%" PRIu32, it->last - it->base);
	add_seconds(e, "started_at", at->started_at_us ? at->started_at_us : ended);
	add_seconds(e, "ended_at", ended);
	add(e, ",\"out_bytes\":%" PRId64 ",\"err_bytes\":%" PRId64, at->out_bytes > 0 ? at->out_bytes : 0, at->err_bytes > 0 ? at->err_bytes : 0);
	if (why == WHY_EXIT)
		add(e, ",\"exit_code\":%d", at->exit_code);
	if (at->signal)
		add(e, ",\"signal\":%d", at->signal);
	if (at->message)
		add_message(e, at->message);
	if (it->state == ITEM_KNOWN)
		add(e, ",\"known\":true,\"delivered\":true");
	add_output(e, "out_b64", at->out, at->out_bytes);
	add_output(e, "err_b64", at->err, at->err_bytes);
	add(e, "}");
}

char *map_ends_take(struct map_ends *e, size_t *ret_len)
{
	char *text;

	add(e, END);
	text = e->text;
	*ret_len = e->len + 1;
	*e = (struct map_ends){ .len = 0 };
	return text;
}
