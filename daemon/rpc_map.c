/* SPDX-License-Identifier: MIT */
/* RPC - maps: Map, and what is said of one while it goes on; MapList, MapControl. */
#include <stdlib.h>
#include <string.h>

#include "map.h"
#include "proto/base64.h"
#include "rpc.h"

static const struct field map_fields[] = {
	FIELD_OBJECT("options", struct map_wish, options, 0),
	FIELD_INT("attach", struct map_wish, attach, 1, UINT32_MAX - 1, 0),
	FIELD_INT("from_tag", struct map_wish, from_tag, 0, INT64_MAX, 0),
	FIELD_BOOL("resume", struct map_wish, resume, 0),
	FIELD_BOOL("rerun_failed", struct map_wish, rerun_failed, 0),
	FIELD_END
};

void rpc_map(void *ctx, struct call *call, const json_t *params)
{
	struct map_wish w = { 0 };

	if (!rpc_read(call, params, map_fields, &w))
		return;
	if (!call_wants_more(call))
		call_error(call, SERVER_EXPECTED_MORE, NULL);
	else if (!w.attach == !w.options)
		call_invalid(call, w.attach ? "attach" : "options");
	else
		map_open(ctx, call, &w);
}

/* ---- by the client that has it --------------------------------------------------------------------------------------------- */

struct map_params {
	int64_t run, tag, offset, max;
	const json_t *items, *tags;
	const char *data_b64;           /* has been looked at only */
	bool now, failed;
	int stream;
};
static const char *const streams[] = { "out", "err", NULL };

#define FIELD_RUN FIELD_INT("run", struct map_params, run, 1, UINT32_MAX - 1, FIELD_REQUIRED)

static const struct field put_fields[] = {
	FIELD_RUN,
	FIELD_ARRAY("items", struct map_params, items, FIELD_REQUIRED),
	FIELD_END
};
static const struct field input_fields[] = {
	FIELD_RUN,
	FIELD_INT("tag", struct map_params, tag, 1, INT64_MAX - 1, FIELD_REQUIRED),
	FIELD_INT("offset", struct map_params, offset, 0, INT64_MAX / 2, FIELD_REQUIRED),
	FIELD_STRING("data_b64", struct map_params, data_b64, 4, SERVER_FRAME_MAX, FIELD_REQUIRED),
	FIELD_END
};
static const struct field read_fields[] = {
	FIELD_RUN,
	FIELD_INT("tag", struct map_params, tag, 1, INT64_MAX - 1, FIELD_REQUIRED),
	FIELD_CHOICE("stream", struct map_params, stream, streams, FIELD_REQUIRED),
	FIELD_INT("offset", struct map_params, offset, 0, INT64_MAX / 2, FIELD_REQUIRED),
	FIELD_INT("max", struct map_params, max, 1, INT64_MAX / 2, FIELD_REQUIRED),
	FIELD_END
};
static const struct field delivered_fields[] = {
	FIELD_RUN,
	FIELD_ARRAY("tags", struct map_params, tags, FIELD_REQUIRED),
	FIELD_END
};
static const struct field stop_fields[] = {
	FIELD_RUN,
	FIELD_BOOL("now", struct map_params, now, 0),
	FIELD_END
};
static const struct field end_fields[] = {
	FIELD_RUN,
	FIELD_BOOL("failed", struct map_params, failed, 0),
	FIELD_END
};

static struct map *own_map(struct engine *e, const struct call *call, int64_t run)
{
	struct run *r = engine_run(e, (uint32_t)run);
	struct map *m = r ? r->map : NULL;

	return m && m->call && call_session(m->call) == call_session(call) ? m : NULL;
}

/* NULL: the call has been answered. A mistake in it is one of the map's client, if the connection has that map. */
static struct map *read_call(struct engine *e, struct call *call, const json_t *params, const struct field *table, struct map_params *p)
{
	struct req_error err = { 0 };
	struct field_error fe;
	struct arena scratch;
	struct map *m;
	int rc;

	arena_init(&scratch);
	rc = fields_read(table, params, p, &scratch, &fe);
	arena_done(&scratch);
	m = own_map(e, call, rc < 0 ? json_integer_value(json_object_get(params, "run")) : p->run);
	if (rc < 0) {
		snprintf(err.field, sizeof(err.field), "%s", fe.field);
		req_fail(&err, "org.jobd.Refused", "%s", fe.text);
	} else if (!m) {
		req_fail(&err, "org.jobd.WrongState", "run %u is not a map that this connection has", (unsigned)p->run);
	} else {
		return m;
	}
	if (m)
		map_mistake(m, &err);
	call_fail(call, &err);
	return NULL;
}

static void finish(struct map *m, struct call *call, int rc, const struct req_error *err)
{
	if (rc < 0) {
		map_mistake(m, err);
		call_fail(call, err);
	} else {
		call_reply(call, NULL);
	}
}

void rpc_map_put(void *ctx, struct call *call, const json_t *params)
{
	struct map_params p = { 0 };
	struct req_error err = { 0 };
	struct map *m = read_call(ctx, call, params, put_fields, &p);

	if (m)
		finish(m, call, map_put(m, p.items, &err), &err);
}

static int tell_input(struct map *m, const struct map_params *p, const json_t *b64, struct req_error *err)
{
	size_t len = json_string_length(b64), n;
	char *data = xcalloc(1, len);
	int rc;

	if (base64_decode(json_string_value(b64), len, data, &n) < 0)
		rc = req_fail(err, "org.jobd.Refused", "data_b64 must be base64");
	else
		rc = map_input(m, (uint64_t)p->tag, p->offset, data, n, err);
	free(data);
	return rc;
}

void rpc_map_input(void *ctx, struct call *call, const json_t *params)
{
	struct map_params p = { 0 };
	struct req_error err = { 0 };
	struct map *m = read_call(ctx, call, params, input_fields, &p);

	if (m)
		finish(m, call, tell_input(m, &p, json_object_get(params, "data_b64"), &err), &err);
}

void rpc_map_read(void *ctx, struct call *call, const json_t *params)
{
	struct map_params p = { 0 };
	struct req_error err = { 0 };
	struct map *m = read_call(ctx, call, params, read_fields, &p);

	if (m)
		finish(m, call, map_read(m, (uint64_t)p.tag, p.stream, p.offset, p.max, &err), &err);
}

void rpc_map_delivered(void *ctx, struct call *call, const json_t *params)
{
	struct map_params p = { 0 };
	struct req_error err = { 0 };
	struct map *m = read_call(ctx, call, params, delivered_fields, &p);

	if (m)
		finish(m, call, map_delivered(m, p.tags, &err), &err);
}

void rpc_map_stop(void *ctx, struct call *call, const json_t *params)
{
	struct map_params p = { 0 };
	struct map *m = read_call(ctx, call, params, stop_fields, &p);

	if (!m)
		return;
	map_stop(m, p.now);
	call_reply(call, NULL);
}

void rpc_map_end(void *ctx, struct call *call, const json_t *params)
{
	struct map_params p = { 0 };
	struct map *m = read_call(ctx, call, params, end_fields, &p);

	if (!m)
		return;
	map_end(m, p.failed ? RUN_FAILED : RUN_OK);
	call_reply(call, NULL);
}

/* ---- by anybody who may ------------------------------------------------------------------------------------------------------- */

void rpc_map_list(void *ctx, struct call *call, const json_t *params)
{
	static const struct field no_fields[] = { FIELD_END };
	struct engine *e = ctx;
	const struct map *m;
	json_t *rows;
	char none;

	if (!rpc_read(call, params, no_fields, &none))
		return;
	rows = json_array();
	LIST_FOREACH(m, &e->maps, entry)
		if (may(e, session_peer(call_session(call)), m->run, MAY_READ))
			json_array_insert_new(rows, 0, map_row(m));     /* the latest stands first in the list */
	reply_settled(e, call, json_pack("{s:o}", "maps", rows));
}

struct control_params {
	const char *run;
	int how;
};
static const char *const hows[] = { "stop", "drain", NULL };
static const struct field control_fields[] = {
	FIELD_STRING("run", struct control_params, run, 1, 255, FIELD_REQUIRED),
	FIELD_CHOICE("how", struct control_params, how, hows, FIELD_REQUIRED),
	FIELD_END
};

void rpc_map_control(void *ctx, struct call *call, const json_t *params)
{
	struct control_params p = { 0 };
	struct req_error err = { 0 };
	struct run *r;
	int rc;

	if (!rpc_read(call, params, control_fields, &p) || !(r = rpc_run(ctx, call, p.run, MAY_CHANGE)))
		return;
	rc = r->map ? map_control(r->map, p.how == 1, &err) : req_fail(&err, "org.jobd.WrongState", "run %u is no map that goes on", r->id);
	if (rc < 0)
		call_fail(call, &err);
	else
		reply_settled(ctx, call, json_pack("{s:I}", "run", (json_int_t)r->id));
}
