/* SPDX-License-Identifier: MIT */
/*
 * Map - the connection that has it: what it is told, and what its going means. See map.h.
 *
 * Ends are gathered for a turn of the loop and leave in one reply. While the connection is full they are not kept in memory: what has ended
 * stands in a queue, and its record is read when there is room.
 */
#include "map.h"

#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "rpc.h"

#define REPLY_BYTES (256 * 1024)        /* of ends in one reply, roughly */
#define ASKING_MAX 32

/* ---- replies ----------------------------------------------------------------------------------------------------------- */

static void flush_ends(struct map *m)
{
	size_t len;
	char *text;

	if (!m->ends.text)
		return;
	text = map_ends_take(&m->ends, &len);
	if (m->call)
		call_continue_text(m->call, text, len);
	else
		free(text);
}

/* Ends that were gathered go first: pieces of an output are not told before an end that was there before. */
void map_say(struct map *m, json_t *params)
{
	flush_ends(m);
	call_continue(m->call, params);
}

static void no_news(struct map *m)
{
	if (m->has_news)
		TAILQ_REMOVE(&m->run->e->map_news, m, news);
	m->has_news = false;
}

void map_turn(struct engine *e)
{
	struct map *m;

	while ((m = TAILQ_FIRST(&e->map_news))) {
		no_news(m);
		flush_ends(m);
	}
}

/* ---- an end ------------------------------------------------------------------------------------------------------------- */

static void tell_now(struct map_item *it, const struct store_attempt *at, enum job_reason why)
{
	struct map *m = it->map;

	map_ends_add(&m->ends, it, at, why);
	if (!m->has_news)
		TAILQ_INSERT_TAIL(&m->run->e->map_news, m, news);
	m->has_news = true;
	if (m->ends.len > REPLY_BYTES)
		flush_ends(m);
	engine_turn(m->run->e);
}

void map_tell(struct map_item *it, const struct store_attempt *at, enum job_reason why)
{
	struct map *m = it->map;

	if (!m->call)
		return;
	if (!m->greeted || call_is_full(m->call))
		map_tell_later(it);
	else
		tell_now(it, at, why);
}

/* ---- ends that wait for room, or whose record has to be read ---------------------------------------------------------------- */

void map_tell_later(struct map_item *it)
{
	struct map *m = it->map;

	if (!m->call || it->is_untold)
		return;
	it->is_untold = true;
	TAILQ_INSERT_TAIL(&m->untold, it, untold);
	map_pump(m);
}

void map_untell(struct map_item *it)
{
	if (it->is_untold)
		TAILQ_REMOVE(&it->map->untold, it, untold);
	it->is_untold = false;
}

static bool is_failure(const struct map_item *it, const struct store_attempt *at)
{
	return it->map->rerun_failed && it->state == ITEM_KNOWN && (at->reason != WHY_EXIT || at->exit_code != 0);
}

/* Of one that was cancelled before it began there is no attempt, or only one that was to be tried again. */
static void record_read(struct map_item *it, const struct store_attempt *at)
{
	static const struct store_attempt none = { .exit_code = -1 };

	if (it->state == ITEM_ENDED && it->cancelled)
		tell_now(it, at && at->reason == WHY_CANCELLED ? at : &none, WHY_CANCELLED);
	else if (at && is_failure(it, at))
		map_item_again(it);
	else
		tell_now(it, at ? at : &none, at ? (enum job_reason)at->reason : WHY_LOST);
}

static void recorded(struct store_op *op)
{
	struct run *r = engine_run(op->ctx, op->run.run);
	struct map *m = r ? r->map : NULL;
	struct map_item *it = m && op->since == m->n_clients ? map_find(m, op->n) : NULL;

	if (!m || op->since != m->n_clients)
		return;
	m->n_asking--;
	if (it && it->is_asking) {
		it->is_asking = false;
		record_read(it, op->n_attempts ? &op->attempts[0] : NULL);
		map_read_on(it);
	}
	map_pump(m);
}

static void read_record(struct map_item *it)
{
	struct map *m = it->map;
	struct store_op *op = engine_op(m->run->e, ST_GET_OUTPUT, m->run);

	it->is_asking = true;
	m->n_asking++;
	op->id = it->id;
	op->attempt.attempt = it->last;
	op->n = it->tag;
	op->since = m->n_clients;
	op->urgent = true;
	op->done = recorded;
	engine_post(m->run->e, op);
}

/* ---- trouble ---------------------------------------------------------------------------------------------------------------- */

/* Who reads nothing is told nothing: it waits for itself. */
void map_tell_trouble(struct engine *e, const char *text)
{
	for (uint32_t i = 0; i < e->n_runs_cap; i++) {
		struct map *m = e->runs[i] ? e->runs[i]->map : NULL;

		if (m && m->call && m->greeted && !call_is_full(m->call))
			map_say(m, json_pack("{s:o}", "trouble", json_lossy(text)));
	}
}

/* ---- room ------------------------------------------------------------------------------------------------------------------- */

static void drained(void *arg, struct call *call)
{
	struct map *m = arg;

	(void)call;
	m->drains = false;
	map_pump(m);
	if (m->call)
		map_readers_step(m);
}

void map_wait_for_room(struct map *m)
{
	if (!m->drains)
		call_on_drain(m->call, drained, m);
	m->drains = true;
}

void map_pump(struct map *m)
{
	struct map_item *it;

	while (m->call && m->greeted && m->n_asking < ASKING_MAX && (it = TAILQ_FIRST(&m->untold))) {
		if (call_is_full(m->call)) {
			map_wait_for_room(m);
			return;
		}
		map_untell(it);
		read_record(it);
	}
}

/* ---- coming and going ----------------------------------------------------------------------------------------------------------- */

static void drop_readers(struct item_list *list)
{
	struct map_item *it;

	TAILQ_FOREACH(it, list, link)
		map_readers_drop(it);
}

void map_detach(struct map *m)
{
	struct map_item *it;

	if (m->call)
		call_on_abort(m->call, NULL, NULL);
	m->call = NULL;
	m->greeted = m->drains = false;
	m->n_asking = 0;
	m->n_clients++;
	map_input_drop(m);
	flush_ends(m);
	no_news(m);
	drop_readers(&m->items);
	TAILQ_FOREACH(it, &m->items, link) {
		map_untell(it);
		it->is_asking = false;
	}
}

/* What the next client knows by its keys alone. What it can not have from us is put again. */
static void leave_behind(struct map *m)
{
	struct map_item *it, *next;

	for (it = TAILQ_FIRST(&m->items); it; it = next) {
		next = TAILQ_NEXT(it, link);
		if (it->stored)
			map_item_disclaim(it);
		else
			map_item_free(it);
	}
}

/* Nobody has the map any more. */
void map_leave(struct map *m)
{
	map_detach(m);
	if (m->run->e->stopping || m->ending)
		return;
	if (map_is_named(m) && m->stopped) {    /* what is being cut off is nothing that a later client could take over */
		map_end(m, RUN_CANCELLED);
		return;
	}
	if (map_is_named(m)) {
		leave_behind(m);
		return;
	}
	log_info("run %u: its client has gone; the map is stopped", m->run->id);
	m->stopped = true;
	map_end(m, RUN_CANCELLED);
}

static void gone(void *arg, struct call *call)
{
	struct map *m = arg;

	(void)call;
	m->call = NULL;
	map_leave(m);
}

static json_t *heartbeat(void *arg)
{
	(void)arg;
	return json_object();
}

void map_attach(struct map *m, struct call *call)
{
	m->call = call;
	m->n_clients++;
	m->greeted = false;
	m->stopped = false;
	call_on_abort(call, gone, m);
	call_set_heartbeat(call, heartbeat, m);
	if (m->nobody)
		event_del(m->nobody);
}

static json_t *tags_in_hand(const struct map *m)
{
	json_t *tags = json_array();
	const struct map_item *it;

	TAILQ_FOREACH(it, &m->items, link)
		json_array_append_new(tags, json_integer((json_int_t)it->tag));
	TAILQ_FOREACH(it, &m->others, link)
		json_array_append_new(tags, json_integer((json_int_t)it->tag));
	return tags;
}

static void greet(struct store_op *op)
{
	struct run *r = engine_run(op->ctx, op->run.run);
	struct map *m = r ? r->map : NULL;
	const char *trouble = health_text(op->ctx);

	if (!m || !m->call || op->since != m->n_clients)
		return;
	m->greeted = true;
	map_say(m, json_pack("{s:I, s:b, s:b, s:I, s:o, s:o*}", "run", (json_int_t)r->id, "resumed", m->resumed, "same_command", op->limit, "next_tag",
			     (json_int_t)m->next_tag, "in_hand", tags_in_hand(m), "trouble", trouble ? json_lossy(trouble) : NULL));
	map_pump(m);
}

void map_greet(struct map *m, bool same_command)
{
	struct store_op *op = engine_op(m->run->e, ST_EVENT, m->run);

	op->since = m->n_clients;
	op->limit = same_command;
	op->urgent = true;
	op->done = greet;
	engine_post(m->run->e, op);
}

void map_mistake(struct map *m, const struct req_error *err)
{
	struct call *call = m->call;

	log_info("run %u: its client made a mistake: %s", m->run->id, err->text);
	flush_ends(m);
	call_on_abort(call, NULL, NULL);
	m->call = NULL;
	call_fail(call, err);
	map_leave(m);
}

void map_run_ended(struct run *r)
{
	struct map *m = r->map;

	if (!m)
		return;
	if (m->call) {
		flush_ends(m);
		call_on_abort(m->call, NULL, NULL);
		call_reply(m->call, json_pack("{s:b}", "done", true));
		m->call = NULL;
	}
	if (!map_is_named(m))
		output_drop(r);
	map_free(m);
	map_nexts_open(r);
}

/* ---- what others ask -------------------------------------------------------------------------------------------------------------- */

int map_control(struct map *m, bool drain, struct req_error *err)
{
	if (m->ending)
		return req_fail(err, "org.jobd.WrongState", "run %u is ending already", m->run->id);
	if (m->call && !m->greeted)
		return req_fail(err, "org.jobd.Busy", "run %u is just being taken over by a client: ask again", m->run->id);
	if (m->call) {
		map_say(m, json_pack("{s:s}", "stop", drain ? "drain" : "stop"));
		return 0;
	}
	if (drain) {            /* nothing is put: it is over when the last that was has ended */
		m->ending = true;
		m->ends_as = RUN_CANCELLED;
		map_check_end(m);
	} else {
		map_end(m, RUN_CANCELLED);
	}
	return 0;
}

json_t *map_row(const struct map *m)
{
	const struct run *r = m->run;
	const struct jt_counts *c = jt_sched_counts(r->sched);
	json_t *row;

	row = json_pack("{s:I, s:o, s:I, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "run", (json_int_t)r->id, "name", json_opt(r->name), "owner",
			 (json_int_t)r->uid, "state", m->ending ? "stopping" : m->call ? "attached" : "waiting", "slots", (json_int_t)r->slots, "window",
			 (json_int_t)m->set->window, "in_hand", (json_int_t)m->n_items + m->n_others, "running", (json_int_t)(c->n[JT_STARTING] + c->n[JT_RUNNING]), "put",
			 (json_int_t)m->n_put, "ended", (json_int_t)m->n_ended, "failed", (json_int_t)m->n_failed, "delivered",
			 (json_int_t)m->n_delivered);
	if (row && m->set->stage)
		json_object_set_new(row, "stage", json_integer(m->set->stage));
	return row;
}
